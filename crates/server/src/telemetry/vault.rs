//! The metrics of the vault.

use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge};

use super::metrics::{Labels, Registrar};

/// The metrics of the vault.
#[derive(Debug)]
pub(crate) struct Vault {
    stored: Counter,
    retrieved: Counter,
    deleted: Counter,
    rekeyed: Counter,
    expired: Counter,
    wrong_key: Counter,
    damaged: Counter,
    replaced_keys: Counter,
    derived: Counter,
    cached: Counter,
    refused: Counter,
    cached_keys: Gauge,
}

impl Vault {
    pub(super) fn new(r: &mut Registrar) -> Self {
        let records: Family<Labels, Counter> = r.add(
            "switchboard_vault_records",
            "Records by what became of them: stored, retrieved, deleted, rekeyed, expired",
            Family::default(),
        );
        let left_out: Family<Labels, Counter> = r.add(
            "switchboard_vault_records_left_out",
            "Records left out of answers, by reason: wrong_key, damaged (not as they were written)",
            Family::default(),
        );
        let keys: Family<Labels, Counter> = r.add(
            "switchboard_vault_keys",
            "Passphrases that came, by result: derived, cached (derived lately), refused (too \
             many)",
            Family::default(),
        );
        let one = |family: &Family<Labels, Counter>, name, value| {
            family.get_or_create(&vec![(name, value)]).clone()
        };
        Self {
            stored: one(&records, "result", "stored"),
            retrieved: one(&records, "result", "retrieved"),
            deleted: one(&records, "result", "deleted"),
            rekeyed: one(&records, "result", "rekeyed"),
            expired: one(&records, "result", "expired"),
            wrong_key: one(&left_out, "reason", "wrong_key"),
            damaged: one(&left_out, "reason", "damaged"),
            replaced_keys: r.counter(
                "switchboard_vault_replaced_keys",
                "Records stored over under another key: many at once may be somebody who takes \
                 them hostage",
            ),
            derived: one(&keys, "result", "derived"),
            cached: one(&keys, "result", "cached"),
            refused: one(&keys, "result", "refused"),
            cached_keys: r.gauge(
                "switchboard_vault_cached_keys",
                "What passphrases have become that is remembered for a while.",
            ),
        }
    }

    pub(crate) fn stored(&self, records: u64) {
        self.stored.inc_by(records);
    }

    pub(crate) fn retrieved(&self, records: u64) {
        self.retrieved.inc_by(records);
    }

    pub(crate) fn deleted(&self, records: u64) {
        self.deleted.inc_by(records);
    }

    pub(crate) fn rekeyed(&self, records: u64) {
        self.rekeyed.inc_by(records);
    }

    pub(crate) fn expired(&self, records: u64) {
        self.expired.inc_by(records);
    }

    /// Records were left out of an answer.
    pub(crate) fn left_out(&self, wrong_key: u64, damaged: u64) {
        self.wrong_key.inc_by(wrong_key);
        self.damaged.inc_by(damaged);
    }

    /// A record was stored over under another key.
    pub(crate) fn replaced_key(&self) {
        self.replaced_keys.inc();
    }

    /// A passphrase was derived.
    pub(crate) fn derived_key(&self) {
        self.derived.inc();
    }

    /// A passphrase was derived lately.
    pub(crate) fn cached_key(&self) {
        self.cached.inc();
    }

    /// A passphrase was one too many.
    pub(crate) fn refused_key(&self) {
        self.refused.inc();
    }

    /// So many are remembered.
    pub(crate) fn cached_keys(&self, keys: usize) {
        self.cached_keys.set(i64::try_from(keys).unwrap_or(i64::MAX));
    }
}
