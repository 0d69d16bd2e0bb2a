//! From callers' keys to those that records are sealed under.
//!
//! A generated key is derived at once, each time. A passphrase is stretched, which takes some 15 ms
//! and 19 MiB: on threads of their own, a few at once, once for all who wait for the same, and then
//! remembered for a while.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use switchboard_core::{
    Code, Error, Result, Tenant,
    vault::{Addressing, ClientKey, EncryptionKey, Profile, Workspace},
};
use tokio::{sync::Semaphore, task, time::Instant};

use super::{
    Derived, VaultOptions,
    cache::{Address, Cache, Cell},
    quota::Quota,
    salts,
};
use crate::telemetry::Metrics;

/// The most keys that are remembered.
const KEYS_MAX: usize = 10_000;

/// The most derivations that wait for their turn, and the most requests that wait for any: each
/// holds its body meanwhile.
const DERIVATIONS_WAITING_MAX: usize = 64;
const REQUESTS_WAITING_MAX: usize = 256;

/// Derives keys.
pub(super) struct Keys {
    /// What addresses are made with: known to this process alone, and to no other after it.
    addressing: Addressing,
    remember: bool,
    known: Mutex<Known>,
    /// Derivations at once.
    places: Semaphore,
    derivations: Semaphore,
    requests: Semaphore,
    workspaces: Mutex<Vec<Workspace>>,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct Known {
    cache: Cache,
    quota: Quota,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("known", &self.lock().cache.len()).finish_non_exhaustive()
    }
}

impl Keys {
    pub(super) fn new(options: &VaultOptions, metrics: Arc<Metrics>) -> Self {
        let mut random = [0; 32];
        let remember = !options.key_cache.is_zero() && salts::random(&mut random).is_ok();
        let quota = Quota::new(options.new_keys_burst, options.new_keys_per_second);
        let known = Known { cache: Cache::new(KEYS_MAX, options.key_cache), quota };
        let cores = thread::available_parallelism().map_or(1, Into::into);
        Self {
            addressing: Addressing::new(&random),
            remember,
            known: Mutex::new(known),
            places: Semaphore::new((cores / 2).max(1)),
            derivations: Semaphore::new(DERIVATIONS_WAITING_MAX),
            requests: Semaphore::new(REQUESTS_WAITING_MAX),
            workspaces: Mutex::default(),
            metrics,
        }
    }

    /// Derives a key for each of a tenant's profiles, so that how long it takes does not depend on
    /// what is stored.
    ///
    /// # Errors
    ///
    /// [`Code::TooManyRequests`] when too many wait, or the tenant brings too many new passphrases.
    pub(super) async fn derive(
        &self,
        tenant: Tenant,
        key: &Arc<EncryptionKey>,
        profiles: &[Profile],
    ) -> Result<Derived> {
        let mut derived = Vec::with_capacity(profiles.len());
        for profile in profiles {
            let one = match key.derive_generated(profile)? {
                Some(one) => one,
                None => self.stretched(tenant, key, profile).await?,
            };
            derived.push((profile.number, one));
        }
        Ok(Derived(derived.into()))
    }

    async fn stretched(
        &self,
        tenant: Tenant,
        key: &Arc<EncryptionKey>,
        profile: &Profile,
    ) -> Result<ClientKey> {
        let address = self.addressing.address(&tenant, profile, key);
        let cell = self.cell(tenant, address)?;
        if let Some(derived) = cell.get() {
            self.metrics.vault.cached_key();
            return Ok(derived.clone());
        }
        let busy = |_| {
            self.metrics.vault.refused_key();
            let what = "too many passphrases wait to be derived: try again in a second";
            Error::new(Code::TooManyRequests, what)
        };
        let _waiting = self.requests.try_acquire().map_err(busy)?;
        let derived = cell.get_or_try_init(|| async {
            let _waiting = self.derivations.try_acquire().map_err(busy)?;
            self.stretch(key, *profile).await
        });
        let derived = derived.await.cloned();
        if derived.is_err() || !self.remember {
            self.lock().cache.remove(&address, &cell);
        }
        derived
    }

    /// Where what becomes of a passphrase is put, or has been.
    fn cell(&self, tenant: Tenant, address: Address) -> Result<Cell> {
        let (mut known, now) = (self.lock(), Instant::now());
        if let Some(cell) = known.cache.find(&address, now) {
            return Ok(cell);
        }
        known.quota.take(tenant, now).map_err(|wait| {
            self.metrics.vault.refused_key();
            let what = format!(
                "the tenant brings too many new passphrases: try again in {} s, or use keys of \
                 `switchboard vault keygen`",
                wait.as_secs() + 1
            );
            Error::new(Code::TooManyRequests, what)
        })?;
        Ok(known.cache.add(address, now))
    }

    /// Stretches a passphrase when it is its turn.
    async fn stretch(&self, key: &Arc<EncryptionKey>, profile: Profile) -> Result<ClientKey> {
        let gone = "the node is stopping";
        let place = self.places.acquire().await;
        let _place = place.map_err(|_| Error::new(Code::Unavailable, gone))?;
        let workspace = self.workspaces().pop();
        let key = Arc::clone(key);
        let work = move || {
            let mut workspace = workspace.unwrap_or_default();
            (key.derive(&profile, &mut workspace), workspace)
        };
        let (derived, workspace) = task::spawn_blocking(work).await.map_err(|_panic| {
            Error::new(Code::Internal, "a defect in this node: a key was not derived")
        })?;
        self.workspaces().push(workspace);
        self.metrics.vault.derived_key();
        derived
    }

    /// Forgets what was not used for a while.
    pub(super) fn forget(&self) {
        let (mut known, now) = (self.lock(), Instant::now());
        known.cache.forget(now);
        known.quota.forget(now);
        let len = known.cache.len();
        drop(known);
        self.metrics.vault.cached_keys(len);
    }

    /// Forgets all.
    pub(super) fn forget_all(&self) {
        self.lock().cache.forget_all();
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn workspaces(&self) -> MutexGuard<'_, Vec<Workspace>> {
        self.workspaces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use switchboard_core::{
        store::{Condition, Vitals},
        vault::Work,
    };

    use super::*;

    const PROFILE: Profile =
        Profile { number: 1, salt: [7; 16], work: Work { memory_kib: 8, passes: 1, lanes: 1 } };

    fn keys(options: &VaultOptions) -> Arc<Keys> {
        Arc::new(Keys::new(options, Metrics::new()))
    }

    fn key(text: &str) -> Arc<EncryptionKey> {
        Arc::new(EncryptionKey::new(text.to_owned()).unwrap())
    }

    const VITALS: Vitals = Vitals {
        condition: Condition::Writable,
        commits_waiting: 0,
        ingest_keys: 0,
        ingest_index_bytes: 0,
        size_bytes: 0,
        free_bytes: None,
    };

    fn counted(keys: &Keys, result: &str) -> u64 {
        let name = format!("switchboard_vault_keys_total{{result=\"{result}\"}} ");
        let text = keys.metrics.encode(&VITALS, &[]);
        text.lines().find_map(|line| line.strip_prefix(&*name)).unwrap().parse().unwrap()
    }

    #[tokio::test]
    async fn a_passphrase_is_derived_once_for_all_who_wait_for_it() {
        let keys = keys(&VaultOptions::default());
        let tenant = "a".parse().unwrap();
        let all = (0..50).map(|_| async {
            keys.derive(tenant, &key("a passphrase"), &[PROFILE]).await.unwrap()
        });
        let all = futures_util::future::join_all(all).await;
        assert!(all.windows(2).all(|pair| pair[0].0 == pair[1].0));
        assert_eq!(counted(&keys, "derived"), 1);
        keys.derive(tenant, &key("a passphrase"), &[PROFILE]).await.unwrap();
        assert!(0 < counted(&keys, "cached"));
        assert_eq!(counted(&keys, "derived"), 1);
    }

    #[tokio::test]
    async fn new_passphrases_are_limited_and_known_ones_are_not() {
        let options =
            VaultOptions { new_keys_burst: 2, new_keys_per_second: 0, ..VaultOptions::default() };
        let keys = keys(&options);
        let tenant = "a".parse().unwrap();
        for text in ["one", "two"] {
            keys.derive(tenant, &key(text), &[PROFILE]).await.unwrap();
        }
        let refused = keys.derive(tenant, &key("three"), &[PROFILE]).await.unwrap_err();
        assert_eq!(refused.code(), Code::TooManyRequests);
        keys.derive(tenant, &key("one"), &[PROFILE]).await.unwrap();
        let generated = Arc::new(EncryptionKey::generated(&[1; 32]));
        keys.derive(tenant, &generated, &[PROFILE]).await.unwrap();
        keys.derive("b".parse().unwrap(), &key("three"), &[PROFILE]).await.unwrap();
        assert_eq!(counted(&keys, "refused"), 1);
    }

    #[tokio::test]
    async fn nothing_is_remembered_that_is_not_to_be() {
        let options = VaultOptions { key_cache: Duration::ZERO, ..VaultOptions::default() };
        let keys = keys(&options);
        for expected in 1..=2 {
            keys.derive("a".parse().unwrap(), &key("one"), &[PROFILE]).await.unwrap();
            assert_eq!(counted(&keys, "derived"), expected);
            assert_eq!(keys.lock().cache.len(), 0);
        }
    }

    #[tokio::test]
    async fn more_than_can_wait_are_refused() {
        let options = VaultOptions { new_keys_burst: 1_000, ..VaultOptions::default() };
        let keys = keys(&options);
        let tenant = "a".parse().unwrap();
        let all = (0..100).map(|number| {
            let keys = Arc::clone(&keys);
            async move { keys.derive(tenant, &key(&format!("key {number}")), &[PROFILE]).await }
        });
        let all = futures_util::future::join_all(all).await;
        let refused = all.iter().filter(|derived| derived.is_err()).count();
        // While they come, some may have been taken to be derived already.
        assert!((1..=100 - DERIVATIONS_WAITING_MAX).contains(&refused), "{refused}");
        assert_eq!(counted(&keys, "derived"), 100 - refused as u64);
        keys.forget_all();
        assert_eq!(keys.lock().cache.len(), 0);
    }
}
