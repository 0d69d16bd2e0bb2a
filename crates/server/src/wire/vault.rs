//! The messages of the vault. Keys and values are moved, so that no copy is left behind.

use std::{mem, sync::Arc};

use switchboard_core::{
    Code, Error, Millis, Result,
    vault::{Content, ContentType, EncryptionKey, RecordId, Value},
};
use switchboard_proto::v1::{self, value::Content as Sent};

use crate::vault::{Changed, Opened, Stored, Storing};

/// A key as it came.
pub(crate) fn key(text: &mut String) -> Result<Arc<EncryptionKey>> {
    EncryptionKey::new(mem::take(text)).map(Arc::new)
}

/// What is to be stored.
pub(crate) fn storing(request: &mut v1::StoreRequest) -> Result<Storing> {
    let content = request.value.as_mut().and_then(|value| value.content.take());
    let value = match content {
        Some(Sent::Json(text)) => Value::json(text)?,
        Some(Sent::Bytes(mut blob)) => {
            Value::bytes(ContentType::new(&blob.content_type)?, mem::take(&mut blob.data))?
        }
        None => {
            let what = "there is no value: it is a JSON text, or bytes";
            return Err(Error::new(Code::InvalidValue, what));
        }
    };
    Ok(Storing {
        id: RecordId::new(&request.id)?,
        key: key(&mut request.encryption_key)?,
        value,
        expires_at: request.expires_at.map(Millis),
        if_version: request.if_version,
    })
}

/// A value was stored.
pub(crate) fn stored(id: String, stored: &Stored) -> v1::StoreResponse {
    let Stored { updated_at, version, new, replaced_key } = *stored;
    v1::StoreResponse { id, updated_at: updated_at.0, version, new, replaced_key }
}

/// A record that was opened.
pub(crate) fn record(opened: &Opened, cursor: String) -> v1::Record {
    let content = match opened.value.content() {
        Content::Json(text) => Sent::Json(text.to_owned()),
        Content::Bytes(content_type, data) => Sent::Bytes(v1::Blob {
            content_type: content_type.as_str().to_owned(),
            data: data.to_vec(),
        }),
    };
    v1::Record {
        id: opened.id.as_str().to_owned(),
        value: Some(v1::Value { content: Some(content) }),
        version: opened.version,
        updated_at: opened.updated_at.0,
        expires_at: opened.expires_at.map(|at| at.0),
        cursor,
    }
}

/// Records were deleted.
pub(crate) fn deleted(changed: Changed) -> v1::DeleteResponse {
    let Changed { records, next } = changed;
    v1::DeleteResponse { deleted: records, next_cursor: next.unwrap_or_default() }
}

/// Records were sealed anew.
pub(crate) fn rekeyed(changed: Changed) -> v1::RekeyResponse {
    let Changed { records, next } = changed;
    v1::RekeyResponse { rekeyed: records, next_cursor: next.unwrap_or_default() }
}
