//! What a node tells of itself: metrics, health, logs and traces.

mod admin;
mod histogram;
mod known;
mod logs;
mod metrics;
mod presence;
mod process;
mod sessions;

pub(crate) use self::{
    admin::router as admin,
    logs::{inject_parent, parent_of},
    metrics::Route,
};
pub use self::{
    logs::{Error, Guard, LogFormat, Settings, start},
    metrics::Metrics,
};
use self::{presence::Presence, sessions::Sessions};
