//! How the vault works.

use std::time::Duration;

use clap::Args;
use switchboard_core::vault::Work;
use switchboard_server::VaultOptions;

/// What a caller's key costs, and who may store over what.
#[derive(Clone, Debug, Args)]
pub(crate) struct Records {
    /// Memory for deriving a key from a passphrase (Argon2id), in KiB. Another value is for what is
    /// stored from now on; what was stored before still opens.
    #[arg(long, env = "SWITCHBOARD_VAULT_MEMORY_KIB", default_value_t = Work::default().memory_kib)]
    vault_memory_kib: u32,

    /// How often that memory is gone through.
    #[arg(long, env = "SWITCHBOARD_VAULT_PASSES", default_value_t = Work::default().passes)]
    vault_passes: u32,

    /// How long what a passphrase has become is remembered when nobody uses it, in seconds; three
    /// times as long at most; 0: not at all.
    #[arg(long, env = "SWITCHBOARD_VAULT_KEY_CACHE_SECONDS", default_value_t = 300)]
    vault_key_cache_seconds: u64,

    /// Passphrases that a tenant may bring for the first time at once.
    #[arg(
        long,
        env = "SWITCHBOARD_VAULT_NEW_KEYS_BURST",
        default_value_t = VaultOptions::default().new_keys_burst
    )]
    vault_new_keys_burst: u32,

    /// Passphrases that a tenant may bring for the first time in a second, on and on.
    #[arg(
        long,
        env = "SWITCHBOARD_VAULT_NEW_KEYS_PER_SECOND",
        default_value_t = VaultOptions::default().new_keys_per_second
    )]
    vault_new_keys_per_second: u32,

    /// Tenants whose records may be stored over under their own key only; `*` stands for all.
    #[arg(long, env = "SWITCHBOARD_VAULT_SAME_KEY", value_delimiter = ',')]
    vault_same_key: Vec<String>,

    /// After how many MiB of records they are moved from the log to the tables, from 1.
    #[arg(
        long,
        env = "SWITCHBOARD_CHECKPOINT_VAULT_MIB",
        default_value_t = 256,
        value_parser = clap::value_parser!(u32).range(1..=1024)
    )]
    pub(crate) checkpoint_vault_mib: u32,
}

impl Records {
    pub(crate) fn options(&self) -> VaultOptions {
        VaultOptions {
            work: Work {
                memory_kib: self.vault_memory_kib,
                passes: self.vault_passes,
                ..Work::default()
            },
            key_cache: Duration::from_secs(self.vault_key_cache_seconds),
            new_keys_burst: self.vault_new_keys_burst,
            new_keys_per_second: self.vault_new_keys_per_second,
            same_key: self.vault_same_key.clone(),
        }
    }
}
