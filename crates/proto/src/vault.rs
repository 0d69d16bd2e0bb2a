//! Messages that hold keys or values: they wipe them when they are dropped, whole or half decoded,
//! and print `[redacted]` in their place.

use std::{fmt, mem};

use crate::v1::{
    Blob, DeleteRequest, RekeyRequest, RetrieveRequest, StoreRequest, Value, value::Content,
};

const REDACTED: &str = "[redacted]";

/// Filling is as fast as memory; the barrier keeps the compiler from leaving it out.
fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    zeroize::optimization_barrier(bytes);
}

fn wipe_text(text: &mut String) {
    wipe(&mut mem::take(text).into_bytes());
}

impl Drop for Blob {
    fn drop(&mut self) {
        wipe(&mut self.data);
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        if let Some(Content::Json(json)) = &mut self.content {
            wipe_text(json);
        }
    }
}

impl Drop for StoreRequest {
    fn drop(&mut self) {
        wipe_text(&mut self.encryption_key);
    }
}

impl Drop for RetrieveRequest {
    fn drop(&mut self) {
        wipe_text(&mut self.encryption_key);
    }
}

impl Drop for DeleteRequest {
    fn drop(&mut self) {
        wipe_text(&mut self.encryption_key);
    }
}

impl Drop for RekeyRequest {
    fn drop(&mut self) {
        wipe_text(&mut self.old_encryption_key);
        wipe_text(&mut self.new_encryption_key);
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl fmt::Debug for StoreRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreRequest")
            .field("tenant", &self.tenant)
            .field("id", &self.id)
            .field("encryption_key", &REDACTED)
            .field("value", &self.value)
            .field("expires_at", &self.expires_at)
            .field("if_version", &self.if_version)
            .finish()
    }
}

impl fmt::Debug for RetrieveRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetrieveRequest")
            .field("tenant", &self.tenant)
            .field("id", &self.id)
            .field("encryption_key", &REDACTED)
            .field("limit", &self.limit)
            .field("cursor", &self.cursor)
            .finish()
    }
}

impl fmt::Debug for DeleteRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeleteRequest")
            .field("tenant", &self.tenant)
            .field("id", &self.id)
            .field("encryption_key", &REDACTED)
            .field("cursor", &self.cursor)
            .finish()
    }
}

impl fmt::Debug for RekeyRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RekeyRequest")
            .field("tenant", &self.tenant)
            .field("id", &self.id)
            .field("old_encryption_key", &REDACTED)
            .field("new_encryption_key", &REDACTED)
            .field("cursor", &self.cursor)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CANARY: &str = "canary";

    fn canary() -> String {
        CANARY.to_owned()
    }

    #[test]
    fn keys_and_values_are_not_printed() {
        let value = Value { content: Some(Content::Json(canary())) };
        let blob = Blob { content_type: String::new(), data: canary().into_bytes() };
        let bytes = Value { content: Some(Content::Bytes(blob.clone())) };
        let mut store = StoreRequest::default();
        store.id = "printed".to_owned();
        store.encryption_key = canary();
        store.value = Some(value.clone());
        let printed = format!("{value:?} {bytes:?} {blob:?} {store:?} {:?}", value.content);
        assert!(printed.contains("printed") && !printed.contains(CANARY), "{printed}");
        assert!(!printed.contains(&format!("{:?}", CANARY.as_bytes())), "{printed}");
    }

    #[test]
    fn other_requests_neither() {
        let mut retrieve = RetrieveRequest::default();
        retrieve.encryption_key = canary();
        let mut delete = DeleteRequest::default();
        delete.encryption_key = canary();
        let mut rekey = RekeyRequest::default();
        (rekey.old_encryption_key, rekey.new_encryption_key) = (canary(), canary());
        let printed = format!("{retrieve:?} {delete:?} {rekey:?}");
        assert!(!printed.contains(CANARY), "{printed}");
    }
}
