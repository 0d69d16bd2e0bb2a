//! Events and queues.

use crate::Ground;

/// Where events and queues are kept.
#[derive(Debug)]
pub struct Front {
    ground: Ground,
}

impl Front {
    pub(crate) fn new(ground: &Ground) -> Self {
        Self { ground: ground.clone() }
    }
}
