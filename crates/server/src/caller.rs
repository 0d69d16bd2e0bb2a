//! Who calls, and for which tenant.
//!
//! The only place that makes a [`Tenant`] of what a request says. Today every node is open: whoever
//! reaches it may speak for any tenant, which is why it listens on loopback only. Credentials will
//! be checked here, and nowhere else.

use switchboard_core::{Result, Tenant};

/// Establishes the tenant of a request.
///
/// # Errors
///
/// [`switchboard_core::Code::InvalidTenant`] when it is not written as one.
pub(crate) fn tenant(named: &str) -> Result<Tenant> {
    named.parse()
}
