//! The vault: values that nobody reads but who holds their key.
//!
//! An [`EncryptionKey`] goes with each call and stays nowhere; who loses it has lost the values. An
//! id is 1 to 256 bytes of UTF-8 without `*` and control characters: a name, not a secret. In a
//! *pattern* each `*` stands for any characters, and nothing else is special, so an id is the
//! pattern of itself. Times are milliseconds since the Unix epoch.
//!
//! Each call is repeated until it is answered or the client's timeout is over, but for a store with
//! a version: see [`Client::store`].
//!
//! ```no_run
//! # async fn example() -> Result<(), switchboard_client::Error> {
//! use switchboard_client::{
//!     Client,
//!     vault::{EncryptionKey, StoreOptions, VaultContent, VaultValue},
//! };
//!
//! let client = Client::new("http://127.0.0.1:7400")?;
//! let key = EncryptionKey::new("correct horse battery staple");
//! let value = VaultValue::json(r#"{"limit": 3.10}"#);
//! client.store("config", &value, &key, StoreOptions::default()).await?;
//! for record in client.retrieve_all("conf*", &key).await? {
//!     if let VaultContent::Json(text) = record.value.content() {
//!         println!("{}: {text}", record.id);
//!     }
//! }
//! # Ok(())
//! # }
//! ```

use std::{fmt, mem};

use futures_util::stream;
use switchboard_proto::v1::{
    self, Blob, DeleteRequest, RekeyRequest, RetrieveRequest, StoreRequest, value,
    vault_service_client::VaultServiceClient,
};
use tokio::time::{self, Instant};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Streaming, transport::Channel};
use zeroize::Zeroizing;

use crate::{
    Client, Error,
    retry::{self, Pauses},
};

/// What bytes are of which nothing is said.
const CONTENT_TYPE: &str = "application/octet-stream";

/// What a value is sealed under: any text of 1 to 1,024 bytes, or better one of `switchboard vault
/// keygen`. Printed as `[redacted]` and wiped when it is dropped; what a connection has sent of it
/// is not.
#[derive(Clone)]
pub struct EncryptionKey(Zeroizing<String>);

impl EncryptionKey {
    /// Takes a key as it is written, byte for byte. The node looks at it, and refuses what is none
    /// with `invalid_encryption_key`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// A copy for a request, which wipes it.
    fn copied(&self) -> String {
        String::clone(&self.0)
    }
}

impl fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EncryptionKey([redacted])")
    }
}

/// What is kept: a JSON text of up to 1 MiB, or as many bytes and what they are. Printed as
/// `[redacted]` and wiped when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct VaultValue(v1::Value);

/// What a value is.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum VaultContent<'a> {
    /// A JSON text, just as it was stored.
    Json(&'a str),
    /// Bytes.
    Bytes {
        /// What they are, as in the header of this name.
        content_type: &'a str,
        /// They themselves.
        data: &'a [u8],
    },
}

impl VaultValue {
    /// Takes a JSON text (RFC 8259), which is given back just as it is written. The node refuses
    /// what is none, is nested deeper than 127 or has half of a pair of surrogates.
    pub fn json(text: impl Into<String>) -> Self {
        Self(v1::Value { content: Some(value::Content::Json(text.into())) })
    }

    /// Takes bytes, and what they are: up to 127 characters of visible ASCII, or nothing for
    /// `application/octet-stream`.
    pub fn bytes(content_type: impl Into<String>, data: impl Into<Vec<u8>>) -> Self {
        let blob = Blob { content_type: content_type.into(), data: data.into() };
        Self(v1::Value { content: Some(value::Content::Bytes(blob)) })
    }

    /// What it is.
    pub fn content(&self) -> VaultContent<'_> {
        match &self.0.content {
            Some(value::Content::Json(text)) => VaultContent::Json(text),
            Some(value::Content::Bytes(blob)) => {
                let told = Some(blob.content_type.as_str()).filter(|told| !told.is_empty());
                let content_type = told.unwrap_or(CONTENT_TYPE);
                VaultContent::Bytes { content_type, data: &blob.data }
            }
            // Not made here, and refused where it comes from a node.
            None => VaultContent::Bytes { content_type: CONTENT_TYPE, data: &[] },
        }
    }
}

impl fmt::Debug for VaultValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VaultValue([redacted])")
    }
}

impl fmt::Debug for VaultContent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VaultContent([redacted])")
    }
}

/// How a value is stored. By default it stays for ever, over any that was there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreOptions {
    /// From when on the record is gone, in milliseconds since the Unix epoch.
    pub expires_at: Option<i64>,
    /// Stores only if the record has this version; 0: only if there is none.
    pub if_version: Option<u64>,
}

/// What became of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Under which id.
    pub id: String,
    /// When, in milliseconds since the Unix epoch.
    pub updated_at: i64,
    /// Greater with each change of this record, and never used again for its id.
    pub version: u64,
    /// Whether there was none before. After a retry the first try may have made it, and this is
    /// `false`.
    pub new: bool,
    /// Whether there was one that this key does not open.
    pub replaced_key: bool,
}

/// A value, and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Under which id.
    pub id: String,
    /// The value.
    pub value: VaultValue,
    /// Greater with each change of this record, and never used again for its id.
    pub version: u64,
    /// When it was stored, in milliseconds since the Unix epoch.
    pub updated_at: i64,
    /// From when on it is gone, if it ever is.
    pub expires_at: Option<i64>,
    /// Reading on from here goes on behind this record.
    pub cursor: String,
}

impl TryFrom<v1::Record> for Record {
    type Error = Error;

    fn try_from(it: v1::Record) -> Result<Self, Error> {
        let value = it.value.filter(|value| value.content.is_some());
        let value = value.map(VaultValue).ok_or_else(|| {
            Error::new("internal", "a record came without a value that this version knows")
        })?;
        let v1::Record { id, version, updated_at, expires_at, cursor, .. } = it;
        Ok(Self { id, value, version, updated_at, expires_at, cursor })
    }
}

/// Which records are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetrieveOptions {
    /// The most records; 0: all.
    pub limit: u32,
    /// The cursor of a record: goes on behind it. Empty: from the first.
    pub cursor: String,
}

/// Records that are being read.
struct Reading {
    client: Client,
    /// What is still to be read.
    request: RetrieveRequest,
    /// Whether the limit is reached: 0 would be no limit.
    full: bool,
    /// The pauses before it is opened again, and until when it is, unless something comes.
    pauses: Pauses,
    until: Instant,
    records: Option<Streaming<v1::Record>>,
}

impl Reading {
    async fn open(&mut self) -> Result<(), Error> {
        let service = self.client.vault()?;
        let opened = retry::until(self.client.timeout, || {
            let (mut service, request) = (service.clone(), self.request.clone());
            async move { service.retrieve(request).await }
        });
        self.records = Some(opened.await?.into_inner());
        Ok(())
    }

    /// The next record; none at the end.
    async fn next(&mut self) -> Option<Result<Record, Error>> {
        loop {
            let records = self.records.as_mut().filter(|_| !self.full)?;
            let error = match records.message().await {
                Ok(record) => return self.took(record?),
                Err(status) => Error::from(status),
            };
            // Only as long as it gets further, or it would go on for ever.
            self.records = None;
            let pause = self.pauses.after_failure();
            if !error.is_unavailable() || self.until < Instant::now() + pause {
                return Some(Err(error));
            }
            time::sleep(pause).await;
            if let Err(error) = self.open().await {
                return Some(Err(error));
            }
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "as the next one")]
    fn took(&mut self, record: v1::Record) -> Option<Result<Record, Error>> {
        (self.pauses, self.until) = retry::afresh(self.client.timeout);
        self.request.cursor.clone_from(&record.cursor);
        if 0 < self.request.limit {
            self.request.limit -= 1;
            self.full = self.request.limit == 0;
        }
        let record = Record::try_from(record);
        if record.is_err() {
            self.records = None;
        }
        Some(record)
    }
}

impl Client {
    fn vault(&self) -> Result<VaultServiceClient<Channel>, Error> {
        Ok(VaultServiceClient::new(self.channel()?))
    }

    /// Keeps a value under an id, over any that was there, whichever key that had. Durable when
    /// this returns.
    ///
    /// Without `if_version` a repeat is the same, and tries go on. With it, this is tried again
    /// only where the try before has surely stored nothing: after `unavailable` it may be stored,
    /// and the same again may be a `conflict` with oneself.
    ///
    /// # Errors
    ///
    /// `invalid_id`, `invalid_encryption_key`, `invalid_value`, `invalid_tenant`; `too_large` for a
    /// value of more than 1 MiB; `conflict` where the record has another version than `if_version`;
    /// `unavailable`.
    pub async fn store(
        &self,
        id: &str,
        value: &VaultValue,
        key: &EncryptionKey,
        options: StoreOptions,
    ) -> Result<Stored, Error> {
        let mut request = StoreRequest::default();
        request.tenant = self.tenant.to_string();
        request.id = id.to_owned();
        request.encryption_key = key.copied();
        request.value = Some(value.0.clone());
        request.expires_at = options.expires_at;
        request.if_version = options.if_version;
        let service = self.vault()?;
        let call = || {
            let (mut service, request) = (service.clone(), request.clone());
            async move { service.store(request).await }
        };
        let answer = match options.if_version {
            None => retry::until(self.timeout, call).await?,
            Some(_) => retry::once(self.timeout, call).await?,
        };
        let v1::StoreResponse { id, updated_at, version, new, replaced_key } = answer.into_inner();
        Ok(Stored { id, updated_at, version, new, replaced_key })
    }

    /// The records under an id or pattern that the key opens, as they come, ordered by the bytes of
    /// their ids. Others are left out without a word, so a wrong key gives none. A stream that
    /// broke is taken up again behind its last record.
    ///
    /// # Errors
    ///
    /// `invalid_id`, `invalid_encryption_key`, `invalid_cursor`, `invalid_tenant`; `unavailable`;
    /// all of them also from the stream, which then ends.
    pub async fn retrieve(
        &self,
        pattern: &str,
        key: &EncryptionKey,
        options: RetrieveOptions,
    ) -> Result<impl Stream<Item = Result<Record, Error>> + Send + Unpin + use<>, Error> {
        let mut request = RetrieveRequest::default();
        request.tenant = self.tenant.to_string();
        request.id = pattern.to_owned();
        request.encryption_key = key.copied();
        request.limit = options.limit;
        request.cursor = options.cursor;
        let client = self.clone();
        let (pauses, until) = retry::afresh(self.timeout);
        let mut reading = Reading { client, request, full: false, pauses, until, records: None };
        reading.open().await?;
        let records = stream::unfold(reading, async |mut reading| {
            let record = reading.next().await?;
            Some((record, reading))
        });
        Ok(Box::pin(records))
    }

    /// All records of [`Client::retrieve`] at once. They are in memory together: for many, or long
    /// ones, take the stream.
    ///
    /// # Errors
    ///
    /// Those of [`Client::retrieve`].
    pub async fn retrieve_all(
        &self,
        pattern: &str,
        key: &EncryptionKey,
    ) -> Result<Vec<Record>, Error> {
        self.retrieve(pattern, key, RetrieveOptions::default()).await?.collect().await
    }

    /// Removes the records under an id or pattern that the key opens, and tells how many. After a
    /// retry, those that the try before removed are not counted.
    ///
    /// # Errors
    ///
    /// `invalid_id`, `invalid_encryption_key`, `invalid_tenant`; `unavailable`: some may be removed
    /// then, and repeating it removes the rest.
    pub async fn delete(&self, pattern: &str, key: &EncryptionKey) -> Result<u64, Error> {
        let mut request = DeleteRequest::default();
        request.tenant = self.tenant.to_string();
        request.id = pattern.to_owned();
        request.encryption_key = key.copied();
        let service = self.vault()?;
        let mut deleted = 0;
        loop {
            let answer = retry::until(self.timeout, || {
                let (mut service, request) = (service.clone(), request.clone());
                async move { service.delete(request).await }
            });
            let answer = answer.await?.into_inner();
            deleted += answer.deleted;
            if !goes_on(&mut request.cursor, answer.next_cursor)? {
                return Ok(deleted);
            }
        }
    }

    /// Seals the records under an id or pattern that the old key opens under the new one, each at
    /// once, and tells how many. After a retry, those of the try before are not counted.
    ///
    /// # Errors
    ///
    /// `invalid_id`, `invalid_encryption_key`, `invalid_tenant`; `unavailable`: some may have the
    /// new key then, and repeating it does the rest.
    pub async fn rekey(
        &self,
        pattern: &str,
        old_key: &EncryptionKey,
        new_key: &EncryptionKey,
    ) -> Result<u64, Error> {
        let mut request = RekeyRequest::default();
        request.tenant = self.tenant.to_string();
        request.id = pattern.to_owned();
        request.old_encryption_key = old_key.copied();
        request.new_encryption_key = new_key.copied();
        let service = self.vault()?;
        let mut rekeyed = 0;
        loop {
            let answer = retry::until(self.timeout, || {
                let (mut service, request) = (service.clone(), request.clone());
                async move { service.rekey(request).await }
            });
            let answer = answer.await?.into_inner();
            rekeyed += answer.rekeyed;
            if !goes_on(&mut request.cursor, answer.next_cursor)? {
                return Ok(rekeyed);
            }
        }
    }
}

/// Moves to where a call goes on, if it does.
fn goes_on(cursor: &mut String, next: String) -> Result<bool, Error> {
    if next.is_empty() {
        return Ok(false);
    }
    if mem::replace(cursor, next) == *cursor {
        return Err(Error::new("internal", "the node goes on where it began"));
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_are_not_printed() {
        let key = EncryptionKey::new("canary");
        let values = [VaultValue::json("\"canary\""), VaultValue::bytes("text/plain", "canary")];
        let printed = format!("{key:?} {values:?} {:?}", values[1].content());
        assert!(!printed.contains("canary"), "{printed}");
        assert!(!printed.contains(&format!("{:?}", b"canary")), "{printed}");
    }

    #[test]
    fn bytes_of_which_nothing_is_said() {
        let expected = VaultContent::Bytes { content_type: CONTENT_TYPE, data: &[0, 255] };
        assert_eq!(VaultValue::bytes("", [0, 255]).content(), expected);
    }

    #[test]
    fn a_record_has_a_value() {
        let none = v1::Record { value: Some(v1::Value { content: None }), ..v1::Record::default() };
        for record in [none, v1::Record::default()] {
            assert_eq!(Record::try_from(record).unwrap_err().code(), "internal");
        }
    }
}
