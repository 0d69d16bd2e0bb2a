//! Where a gateway's reports go.

use std::{fmt, pin::Pin};

use switchboard_core::{Result, presence::Report};

/// Takes the reports of a gateway.
pub(crate) trait Reports: fmt::Debug + Send + Sync {
    /// Keeps a report and folds it; durable when ready. May be given again.
    fn report(&self, report: Report) -> Pin<Box<dyn Future<Output = Result<()>> + Send>>;
}
