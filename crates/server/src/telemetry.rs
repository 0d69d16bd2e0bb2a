//! What a node tells of itself: metrics, health, logs and traces.

mod admin;
mod histogram;
mod known;
mod logs;
mod metrics;
mod process;
mod sessions;

use self::sessions::Sessions;
pub(crate) use self::{
    admin::router as admin, logs::parent_of, metrics::Route, sessions::SessionGuard,
};
pub use self::{
    logs::{Error, Guard, LogFormat, Settings, start},
    metrics::Metrics,
};
