//! A node's connection, and how its subjects are written on it.

use std::sync::Arc;

use async_nats::{Client, PublishError, SubscribeError, Subscriber};
use bytes::Bytes;
use switchboard_core::{Code, Error, Result, signals::Subject};

use crate::PREFIX;

/// The longest name of a cluster, in bytes.
const CLUSTER_BYTES_MAX: usize = 64;

/// The connection of one node of a cluster. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Wire {
    pub(crate) client: Client,
    /// What the node is told apart by.
    pub(crate) node: u64,
    prefix: Arc<str>,
}

impl Wire {
    pub(crate) fn new(client: Client, node: u64, prefix: Arc<str>) -> Self {
        Self { client, node, prefix }
    }

    /// Waits while the server takes nothing.
    pub(crate) async fn publish(
        &self,
        subject: &Subject,
        message: Bytes,
    ) -> std::result::Result<(), PublishError> {
        self.client.publish(self.written(subject), message).await
    }

    pub(crate) async fn subscribe(
        &self,
        subject: &Subject,
    ) -> std::result::Result<Subscriber, SubscribeError> {
        self.client.subscribe(self.written(subject)).await
    }

    fn written(&self, subject: &Subject) -> String {
        format!("{}{subject}", self.prefix)
    }
}

/// What all subjects of a cluster begin with.
///
/// # Errors
///
/// [`Code::InvalidRequest`]: it is not 1 to 64 of `[A-Za-z0-9_-]`.
pub(crate) fn prefix(cluster: &str) -> Result<Arc<str>> {
    let fits = (1..=CLUSTER_BYTES_MAX).contains(&cluster.len());
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if !fits || !cluster.bytes().all(plain) {
        let what =
            format!("a cluster's name is 1 to {CLUSTER_BYTES_MAX} of A-Z, a-z, 0-9, _ and -");
        return Err(Error::new(Code::InvalidRequest, what));
    }
    Ok(format!("{PREFIX}{cluster}.").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_one_word() {
        assert_eq!(&*prefix("a-B_9").unwrap(), "switchboard.1.a-B_9.");
        assert!(prefix(&"a".repeat(64)).is_ok());
        for wrong in ["", "a.b", "a b", "*", ">", "é", &"a".repeat(65)] {
            assert_eq!(prefix(wrong).unwrap_err().code(), Code::InvalidRequest, "{wrong:?}");
        }
    }
}
