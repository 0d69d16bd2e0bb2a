//! The sealed records of the vault.

use crate::Ground;

/// Where the records of the vault are kept.
#[derive(Debug)]
pub struct Front {
    ground: Ground,
}

impl Front {
    pub(crate) fn new(ground: &Ground) -> Self {
        Self { ground: ground.clone() }
    }
}
