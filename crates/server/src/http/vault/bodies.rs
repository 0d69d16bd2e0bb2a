//! What the vault says in JSON.
//!
//! What is refused is told by its place alone: an error that shows what stands there would show a
//! key or a value.

use std::io::{self, Write};

use base64ct::{Base64, Encoding as _};
use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use switchboard_core::{
    Code, Error, Result,
    vault::{Content, Secret},
};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::vault::Opened;

/// A value to keep.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = VaultStoreRequest)]
pub(super) struct StoreRequest {
    /// 1 to 256 bytes without `*` and control characters. A name, not a secret.
    #[schema(example = "engineering-jobs-1")]
    pub(super) id: String,
    /// Any text of 1 to 1,024 bytes; best one of `switchboard vault keygen`.
    #[schema(value_type = String, example = "correct horse battery staple")]
    pub(super) encryption_key: Zeroizing<String>,
    /// Any JSON of up to 1 MiB. It comes back just as it is written here.
    #[schema(value_type = Object, example = json!({"pi": 3.10}))]
    pub(super) value: Box<RawValue>,
    /// From when on the record is gone, in milliseconds since the Unix epoch.
    #[schema(example = 1_790_000_000_000_i64)]
    pub(super) expires_at: Option<i64>,
    /// Stores only if the record has this version; 0: only if there is none.
    #[schema(example = 0)]
    pub(super) if_version: Option<u64>,
}

/// A value was stored.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = VaultStoreResponse)]
pub(super) struct StoreResponse {
    #[schema(example = "engineering-jobs-1")]
    pub(super) id: String,
    /// In milliseconds since the Unix epoch.
    #[schema(example = 1_790_000_000_000_i64)]
    pub(super) updated_at: i64,
    /// Greater with each change of the record, and never used again for its id.
    #[schema(example = 1)]
    pub(super) version: u64,
    /// Whether there was a record that this key does not open.
    #[schema(example = false)]
    pub(super) replaced_key: bool,
}

/// Which records to get.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = VaultRetrieveRequest)]
pub(super) struct RetrieveRequest {
    /// An id, or a pattern in which each `*` stands for any characters.
    #[schema(example = "engineering-jobs-*")]
    pub(super) id: String,
    /// The key that they were stored under.
    #[schema(value_type = String, example = "correct horse battery staple")]
    pub(super) encryption_key: Zeroizing<String>,
    /// 1 to 1,000; 100 where it is absent.
    #[schema(example = 100)]
    pub(super) limit: Option<u32>,
    /// The header `Switchboard-Next-Cursor` of an earlier answer.
    pub(super) cursor: Option<String>,
}

/// Which records to delete.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = VaultDeleteRequest)]
pub(super) struct DeleteRequest {
    /// An id, or a pattern in which each `*` stands for any characters.
    #[schema(example = "engineering-jobs-1")]
    pub(super) id: String,
    /// The key that they were stored under.
    #[schema(value_type = String, example = "correct horse battery staple")]
    pub(super) encryption_key: Zeroizing<String>,
    /// The header `Switchboard-Next-Cursor` of an earlier answer.
    pub(super) cursor: Option<String>,
}

/// Records were deleted.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = VaultDeleteResponse)]
pub(super) struct DeleteResponse {
    /// How many.
    #[schema(example = 1)]
    pub(super) deleted: u64,
}

/// Which records to seal under another key.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = VaultRekeyRequest)]
pub(super) struct RekeyRequest {
    /// An id, or a pattern in which each `*` stands for any characters.
    #[schema(example = "engineering-jobs-*")]
    pub(super) id: String,
    /// The key that they were stored under.
    #[schema(value_type = String, example = "correct horse battery staple")]
    pub(super) old_encryption_key: Zeroizing<String>,
    /// The key that they are to be under.
    #[schema(value_type = String, example = "another key")]
    pub(super) new_encryption_key: Zeroizing<String>,
    /// The header `Switchboard-Next-Cursor` of an earlier answer.
    pub(super) cursor: Option<String>,
}

/// Records were sealed under another key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = VaultRekeyResponse)]
pub(super) struct RekeyResponse {
    /// How many.
    #[schema(example = 1)]
    pub(super) rekeyed: u64,
}

/// A record that was opened: with `value`, or with `bytes` and `content_type`.
#[derive(ToSchema)]
#[schema(as = VaultRecord)]
#[expect(dead_code, reason = "describes what is written by hand")]
pub(super) struct Record {
    #[schema(example = "engineering-jobs-1")]
    id: String,
    /// The JSON just as it was stored.
    #[schema(value_type = Object, example = json!({"pi": 3.10}))]
    value: Option<()>,
    /// Of bytes: in base64.
    bytes: Option<String>,
    /// Of bytes: what they are.
    content_type: Option<String>,
    /// Greater with each change of the record.
    #[schema(example = 1)]
    version: u64,
    /// In milliseconds since the Unix epoch.
    #[schema(example = 1_790_000_000_000_i64)]
    updated_at: i64,
    /// From when on it is gone; left out where it never is.
    expires_at: Option<i64>,
}

/// Reads a body.
///
/// # Errors
///
/// [`Code::InvalidRequest`], with line and column and nothing of what stands there.
pub(super) fn read<T: DeserializeOwned>(body: &Secret) -> Result<T> {
    serde_json::from_slice(body.expose()).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let what = format!(
            "the body is not what this call takes at line {line} column {column}: see /docs"
        );
        Error::new(Code::InvalidRequest, what)
    })
}

/// Records as a JSON array, written with the values as they are.
#[derive(Default)]
pub(super) struct Array(Secret);

impl Array {
    pub(super) fn len(&self) -> usize {
        self.0.expose().len()
    }

    pub(super) fn push(&mut self, opened: &Opened) {
        // What stands beside the value, and the value; most ids are short.
        self.0.reserve(256 + opened.value.len());
        self.0.push(if self.len() == 0 { b"[" } else { b"," });
        self.0.push(b"{\"id\":");
        self.text(opened.id.as_str());
        match opened.value.content() {
            Content::Json(text) => {
                self.0.push(b",\"value\":");
                self.0.push(text.as_bytes());
            }
            Content::Bytes(content_type, bytes) => {
                self.0.push(b",\"bytes\":\"");
                self.0.push(Zeroizing::new(Base64::encode_string(bytes)).as_bytes());
                self.0.push(b"\",\"content_type\":");
                self.text(content_type.as_str());
            }
        }
        let Opened { version, updated_at, expires_at, .. } = opened;
        // Writing to memory does not fail.
        let _ = write!(self, ",\"version\":{version},\"updated_at\":{}", updated_at.0);
        if let Some(at) = expires_at {
            let _ = write!(self, ",\"expires_at\":{}", at.0);
        }
        self.0.push(b"}");
    }

    /// The whole answer; wiped when it is sent.
    pub(super) fn end(mut self) -> Bytes {
        if self.len() == 0 {
            self.0.push(b"[");
        }
        // For whoever reads it in a terminal.
        self.0.push(b"]\n");
        Bytes::from_owner(Sent(self.0))
    }

    fn text(&mut self, text: &str) {
        // Writing to memory does not fail.
        let _ = serde_json::to_writer(self, text);
    }
}

impl Write for Array {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Sent(Secret);

impl AsRef<[u8]> for Sent {
    fn as_ref(&self) -> &[u8] {
        self.0.expose()
    }
}
