//! The status service.

mod sink;

pub(crate) use self::sink::{Nowhere, Reports};
