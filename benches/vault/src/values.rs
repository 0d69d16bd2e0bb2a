//! The values, keys and ids of the benchmark.

use rand::Rng as _;
use switchboard_core::{
    Millis, Tenant,
    vault::{
        ClientKey, Context, EncryptionKey, Profile, Record, RecordId, SALT_BYTES, Value, Work, seal,
    },
};
use switchboard_peers::Error;

/// How long a value is where nothing else is said, in bytes.
pub(crate) const VALUE_BYTES: usize = 1_024;

pub(crate) const NOW: Millis = Millis(1_790_000_000_000);

/// A JSON text of so many bytes.
pub(crate) fn text(bytes: usize) -> String {
    const FIELD: &str = "\"job\":\"The quick brown fox\",";
    let fields = FIELD.repeat(bytes.saturating_sub(20) / FIELD.len());
    if fields.is_empty() {
        return format!("\"{}\"", "x".repeat(bytes - 2));
    }
    let rest = bytes - fields.len() - "{\"rest\":\"\"}".len();
    format!("{{{fields}\"rest\":\"{}\"}}", "x".repeat(rest))
}

/// A value that is such a text.
pub(crate) fn value(bytes: usize) -> Result<Value, Error> {
    let value = Value::json(text(bytes))?;
    if value.len() == bytes { Ok(value) } else { Err("a value has another length".into()) }
}

pub(crate) fn tenant() -> Result<Tenant, Error> {
    Ok("default".parse()?)
}

/// A generated key, one for each number.
pub(crate) fn key(number: u8) -> EncryptionKey {
    EncryptionKey::generated(&[number; 32])
}

/// The same as it is written.
pub(crate) fn key_text(number: u8) -> Result<String, Error> {
    Ok(String::from_utf8(key(number).expose().to_vec())?)
}

/// What a generated key becomes.
pub(crate) fn client_key(number: u8) -> Result<ClientKey, Error> {
    Ok(key(number).derive_generated(&profile())?.ok_or("no generated key")?)
}

pub(crate) fn profile() -> Profile {
    Profile { number: 1, salt: [7; SALT_BYTES], work: Work::default() }
}

/// Where a record stands whose version is the first.
pub(crate) fn context<'a>(tenant: &'a Tenant, id: &'a RecordId) -> Context<'a> {
    Context { tenant, id, version: 1, updated_at: NOW, expires_at: None }
}

/// The id of a record, of equal length for all.
pub(crate) fn id_text(number: usize) -> String {
    format!("engineering-jobs-{number:07}")
}

/// Records of different ids and of equal values.
pub(crate) fn records(
    count: usize,
    key: &ClientKey,
    value: &Value,
) -> Result<Vec<(RecordId, Record)>, Error> {
    let tenant = tenant()?;
    let sealed = (0..count).map(|number| {
        let id = RecordId::new(&id_text(number))?;
        let mut salt = [0; 16];
        rand::rng().fill_bytes(&mut salt);
        let sealed = seal(key, 1, &context(&tenant, &id), value, &salt)?;
        Ok((id, Record { version: 1, updated_at: NOW, expires_at: None, sealed }))
    });
    sealed.collect()
}
