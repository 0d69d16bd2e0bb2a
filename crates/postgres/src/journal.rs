//! The reports of gateways.

use crate::Ground;

/// Where the reports of gateways are kept.
#[derive(Debug)]
pub struct Front {
    ground: Ground,
}

impl Front {
    pub(crate) fn new(ground: &Ground) -> Self {
        Self { ground: ground.clone() }
    }
}
