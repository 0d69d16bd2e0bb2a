//! Putting values into the vault.

use std::sync::Arc;

use switchboard_core::{
    Code, Error, Millis, Result,
    vault::{
        Change, Context, EncryptionKey, Expected, Found, Outcome, Place, Record, RecordId, Then,
        Value, seal,
    },
};

use super::{Asker, Derived, Shown, Vault, salts};

/// How often a store is tried again while others store under the same id.
const TRIES: usize = 32;

/// A value to store.
#[derive(Debug)]
pub(crate) struct Storing {
    pub(crate) id: RecordId,
    pub(crate) key: Arc<EncryptionKey>,
    pub(crate) value: Value,
    pub(crate) expires_at: Option<Millis>,
    /// Which version must be there; 0: none.
    pub(crate) if_version: Option<u64>,
}

/// A value was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) updated_at: Millis,
    pub(crate) version: u64,
    pub(crate) new: bool,
    pub(crate) replaced_key: bool,
}

/// Where a record goes, and which it will be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Going {
    pub(super) expected: Expected,
    pub(super) version: u64,
    pub(super) updated_at: Millis,
    pub(super) expires_at: Option<Millis>,
}

impl Vault {
    /// Stores a value.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidRequest`] for a time that is over; [`Code::Conflict`] when another version is
    /// there than the caller knows, or the tenant's records keep their key and this is another;
    /// [`Code::TooManyRequests`]; [`Code::Unavailable`].
    pub(crate) async fn store(&self, asker: &Asker, storing: Storing) -> Result<Stored> {
        let Storing { id, key, value, expires_at, if_version } = storing;
        if expires_at.is_some_and(|at| at <= self.clock.now()) {
            return Err(Error::new(Code::InvalidRequest, "expires_at is over already"));
        }
        let (derived, profile) = self.derived_to_store(asker, &key).await?;
        drop(key);
        for _ in 0..TRIES {
            let place = self.records.get(asker.tenant, &id).await?;
            let there = self.there(place.found.as_ref());
            let new = there.is_none();
            let replaced_key = there.is_some_and(|record| !derived.opens(record));
            self.check(asker, there, if_version, replaced_key)?;
            let going = self.going(&place, expires_at);
            let change = sealed(asker, &id, (&derived, profile), &value, going)?;
            if self.records.change(vec![change]).await? == [Outcome::Done] {
                self.metrics.vault.stored(1);
                if replaced_key {
                    self.tell_replaced(asker, &id);
                }
                let Going { updated_at, version, .. } = going;
                return Ok(Stored { updated_at, version, new, replaced_key });
            }
        }
        let what = "others store under this id all the time: try again later";
        Err(Error::new(Code::Unavailable, what))
    }

    fn check(
        &self,
        asker: &Asker,
        there: Option<&Record>,
        if_version: Option<u64>,
        replaced_key: bool,
    ) -> Result<()> {
        let version = there.map_or(0, |record| record.version);
        if if_version.is_some_and(|expected| expected != version) {
            let what = "the record has another version than if_version says";
            return Err(Error::new(Code::Conflict, what));
        }
        let tenant = asker.tenant.as_str();
        let same_key = self.options.same_key.iter().any(|name| name == tenant || name == "*");
        if replaced_key && same_key {
            let what = "this tenant's records are stored over under their own key only";
            return Err(Error::new(Code::Conflict, what));
        }
        Ok(())
    }

    /// The next record of a place.
    pub(super) fn going(&self, place: &Place, expires_at: Option<Millis>) -> Going {
        let there = place.found.as_ref().map(Found::record);
        let (expected, version) = match there {
            // There is a next one, but for a version that damage has made.
            Some(record) => (
                Expected::Version(record.version),
                record.version.checked_add(1).unwrap_or(place.first_version),
            ),
            None => (Expected::Absent, place.first_version),
        };
        Going { expected, version, updated_at: self.clock.now(), expires_at }
    }

    /// Somebody who has no key to a record may so hold it to ransom.
    fn tell_replaced(&self, asker: &Asker, id: &RecordId) {
        self.metrics.vault.replaced_key();
        let (tenant, address) = (asker.tenant, Shown(asker.address));
        let what = "a record was stored over under another key";
        tracing::warn!(%tenant, id = id.as_str(), %address, "{what}");
    }
}

/// The change that puts a value, sealed under one of the tenant's profiles.
pub(super) fn sealed(
    asker: &Asker,
    id: &RecordId,
    (derived, profile): (&Derived, u8),
    value: &Value,
    going: Going,
) -> Result<Change> {
    let Going { expected, version, updated_at, expires_at } = going;
    let tenant = asker.tenant;
    let context = Context { tenant: &tenant, id, version, updated_at, expires_at };
    let key = derived.under(profile).ok_or_else(|| {
        Error::new(Code::Internal, "a tenant that stores has no way to derive keys")
    })?;
    let sealed = seal(key, profile, &context, value, &salts::draw())?;
    let then = Then::Put(Record { version, updated_at, expires_at, sealed });
    Ok(Change { tenant, id: id.clone(), expected, then })
}
