//! What a node tells of itself: metrics, health, logs and traces.

mod admin;
mod bus;
mod chat;
mod histogram;
mod known;
mod logs;
mod metrics;
mod presence;
mod process;
mod sessions;
mod signals;
mod traces;
mod vault;

pub(crate) use self::{
    admin::router as admin,
    logs::{inject_parent, parent_of},
    metrics::Route,
    traces::{current_trace, delivered, send_trace},
};
use self::{
    bus::Bus, chat::Chat, presence::Presence, sessions::Sessions, signals::Signals, vault::Vault,
};
pub use self::{
    logs::{Error, Guard, LogFormat, Settings, start},
    metrics::Metrics,
};
