//! The vault, as the transports share it.
//!
//! The only place of a running node that sees keys and values: it derives, seals and opens. A store
//! sees what is sealed.

mod cache;
mod keys;
mod quota;
mod reading;
mod salts;
mod storing;

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use switchboard_core::{
    Code, Error, Result, Tenant,
    time::Clock,
    vault::{
        ClientKey, EncryptionKey, Found, Pattern, Profile, Record, Records, SALT_BYTES, Work, opens,
    },
};
use tokio::time;
use tokio_util::sync::CancellationToken;

use self::keys::Keys;
pub(crate) use self::{
    reading::{Changed, Opened, Reading, WINDOW_BYTES},
    storing::{Stored, Storing},
};
use crate::{
    door::Entrance,
    node::{Node, Ports},
    telemetry::Metrics,
};

/// How often records are removed whose time is up. They are gone from answers at once.
const EXPIRE: Duration = Duration::from_secs(30);

/// How often keys are looked at that nobody has used for a while.
const FORGET: Duration = Duration::from_secs(1);

/// What beside the value is in a request: a key and an id, each of whose bytes may be escaped.
pub(crate) const BESIDE_VALUE: usize = 16 * 1024;

/// How the vault of a node works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultOptions {
    /// What a passphrase costs, for tenants that are new, and for what is stored from now on.
    pub work: Work,
    /// How long what a passphrase has become is remembered when nobody uses it; three times as long
    /// at most. Zero: not at all.
    pub key_cache: Duration,
    /// Passphrases that a tenant may bring for the first time at once; later ones come back at
    /// [`VaultOptions::new_keys_per_second`].
    pub new_keys_burst: u32,
    /// Passphrases that a tenant may bring for the first time in a second, on and on.
    pub new_keys_per_second: u32,
    /// Tenants whose records may be stored over under their own key only; `*` stands for all.
    pub same_key: Vec<String>,
}

impl Default for VaultOptions {
    fn default() -> Self {
        Self {
            work: Work::default(),
            key_cache: Duration::from_mins(5),
            new_keys_burst: 20,
            new_keys_per_second: 5,
            same_key: Vec::new(),
        }
    }
}

/// The vault of a node.
#[derive(Debug)]
pub(crate) struct Vault {
    records: Arc<dyn Records>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    options: VaultOptions,
    keys: Keys,
}

/// The ways in of one transport.
#[derive(Debug)]
pub(crate) struct Entrances {
    pub(crate) store: Entrance,
    pub(crate) retrieve: Entrance,
    pub(crate) delete: Entrance,
    pub(crate) rekey: Entrance,
}

impl Entrances {
    pub(crate) fn new(node: &Node, transport: &'static str) -> Self {
        let entrance = |operation| Entrance::new(node, "vault", operation, transport);
        Self {
            store: entrance("store"),
            retrieve: entrance("retrieve"),
            delete: entrance("delete"),
            rekey: entrance("rekey"),
        }
    }
}

/// Who asks, and for whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    pub(crate) tenant: Tenant,
    /// Where from, if that is known.
    pub(crate) address: Option<SocketAddr>,
}

/// What a caller's key has become for each of his tenant's profiles, the newest last.
#[derive(Clone)]
pub(crate) struct Derived(Arc<[(u8, ClientKey)]>);

impl Derived {
    fn of(&self, record: &Record) -> Option<&ClientKey> {
        self.under(record.sealed.profile()?)
    }

    fn under(&self, profile: u8) -> Option<&ClientKey> {
        self.0.iter().find(|(number, _)| *number == profile).map(|(_, key)| key)
    }

    /// Whether a record was sealed under the key.
    fn opens(&self, record: &Record) -> bool {
        self.of(record).is_some_and(|key| opens(key, &record.sealed))
    }
}

impl fmt::Debug for Derived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Records that were left out of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct LeftOut {
    wrong_key: u64,
    damaged: u64,
}

impl Vault {
    pub(crate) fn new(ports: &Ports, metrics: Arc<Metrics>, options: VaultOptions) -> Arc<Self> {
        let (records, clock) = (Arc::clone(&ports.records), Arc::clone(&ports.clock));
        let keys = Keys::new(&options, Arc::clone(&metrics));
        Arc::new(Self { records, clock, metrics, options, keys })
    }

    /// Forgets keys and removes what has expired, again and again until stopped.
    pub(crate) async fn tidy(self: Arc<Self>, stop: CancellationToken) {
        let mut expire = time::interval(EXPIRE);
        let mut forget = time::interval(FORGET);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = forget.tick() => self.keys.forget(),
                _ = expire.tick() => self.expire().await,
            }
        }
        self.keys.forget_all();
    }

    async fn expire(&self) {
        match self.records.expire(self.clock.now()).await {
            Ok(removed) => self.metrics.vault.expired(removed),
            // Tried again before long; a store that has failed has told so by itself.
            Err(error) => tracing::debug!(error = %error.chain(), "nothing could be expired"),
        }
    }

    /// What a key has become for a tenant; none where the tenant has no record.
    async fn derived(&self, asker: &Asker, key: &Arc<EncryptionKey>) -> Result<Option<Derived>> {
        let profiles = self.records.profiles(asker.tenant).await?;
        if profiles.is_empty() {
            return Ok(None);
        }
        self.keys.derive(asker.tenant, key, &profiles).await.map(Some)
    }

    /// The same, for a tenant that is about to have a record: with the number of the profile that
    /// it is to be sealed under, which is of the work that this node is told to do.
    async fn derived_to_store(
        &self,
        asker: &Asker,
        key: &Arc<EncryptionKey>,
    ) -> Result<(Derived, u8)> {
        let mut profiles = self.records.profiles(asker.tenant).await?;
        let number = loop {
            let mut right = profiles.iter().rev().filter(|it| it.work == self.options.work);
            if let Some(profile) = right.next() {
                break profile.number;
            }
            let number = profiles.last().map_or(Some(1), |newest| newest.number.checked_add(1));
            let number = number.ok_or_else(|| {
                let what = "the work of this tenant's passphrases was changed 255 times";
                Error::new(Code::Internal, what)
            })?;
            let mut salt = [0; SALT_BYTES];
            salts::random(&mut salt)?;
            let profile = Profile { number, salt, work: self.options.work };
            profiles = self.records.add_profile(asker.tenant, profile).await?;
        };
        Ok((self.keys.derive(asker.tenant, key, &profiles).await?, number))
    }

    /// What is at a place, unless its time is up.
    fn there<'a>(&self, found: Option<&'a Found>) -> Option<&'a Record> {
        let now = self.clock.now();
        found.filter(|found| !found.has_expired(now)).map(Found::record)
    }

    /// Tells of records that were left out, once for a request.
    fn tell(&self, asker: &Asker, pattern: &Pattern, left_out: LeftOut) {
        let LeftOut { wrong_key, damaged } = left_out;
        self.metrics.vault.left_out(wrong_key, damaged);
        let (tenant, address) = (asker.tenant, Shown(asker.address));
        if 0 < wrong_key {
            let what = "records do not open with the key that was given, and were left out";
            tracing::warn!(%tenant, id = pattern.as_str(), records = wrong_key, %address, "{what}");
        }
        if 0 < damaged {
            let what = "records of the vault are damaged, and were left out";
            tracing::error!(%tenant, id = pattern.as_str(), records = damaged, %address, "{what}");
        }
    }
}

/// An address, if it is known.
struct Shown(Option<SocketAddr>);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("unknown"),
        }
    }
}
