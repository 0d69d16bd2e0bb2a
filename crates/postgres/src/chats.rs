//! Conversations.

use crate::Ground;

/// Where conversations are kept.
#[derive(Debug)]
pub struct Front {
    ground: Ground,
}

impl Front {
    pub(crate) fn new(ground: &Ground) -> Self {
        Self { ground: ground.clone() }
    }
}
