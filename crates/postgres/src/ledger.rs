//! Ingest: every key once.

use crate::Ground;

/// Where keys are recorded.
#[derive(Debug)]
pub struct Front {
    ground: Ground,
}

impl Front {
    pub(crate) fn new(ground: &Ground) -> Self {
        Self { ground: ground.clone() }
    }
}
