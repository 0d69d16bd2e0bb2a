//! The bus: what is tried again, and how streams come back.

mod consume;
mod node;
mod publish;
mod queues;
mod request;
mod sessions;
mod subscribe;
