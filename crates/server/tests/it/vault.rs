//! The vault, as its users and its attackers meet it, over every transport.

mod bad_input;
mod caller;
mod digits;
mod keys;
mod limits;
mod records;

use switchboard_core::vault::{EncryptionKey, Work};
use switchboard_server::VaultOptions;

pub(crate) use self::caller::{Caller, Content, Over, Record, Stored};
use crate::node::Node;

/// What a passphrase costs in tests: next to nothing.
const CHEAP: Work = Work { memory_kib: 8, passes: 1, lanes: 1 };

/// A vault whose passphrases cost next to nothing.
fn cheap() -> VaultOptions {
    VaultOptions { work: CHEAP, new_keys_burst: 1_000, ..VaultOptions::default() }
}

/// A generated key.
fn key(number: u16) -> String {
    let mut random = [0xa5; 32];
    random[..2].copy_from_slice(&number.to_be_bytes());
    let key = EncryptionKey::generated(&random);
    str::from_utf8(key.expose()).unwrap().to_owned()
}

/// What a metric tells; 0 where it tells nothing yet.
async fn counted(node: &Node, name: &str) -> u64 {
    let (status, told) = node.admin("/metrics").await;
    assert_eq!(status, 200);
    let value = told.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.map_or(0, |value| value.parse().unwrap())
}

const WRONG_KEY: &str = "switchboard_vault_records_left_out_total{reason=\"wrong_key\"}";
const REPLACED: &str = "switchboard_vault_replaced_keys_total";
