//! The vault over the real program: killed, damaged, searched for what it must not keep, and from
//! the command line.

mod canary;
mod commands;
mod crash;
mod damage;
mod search;

use serde_json::{Value, json};
use switchboard_core::vault::EncryptionKey;

use crate::node::Node;

/// A generated key.
fn key(number: u8) -> String {
    let key = EncryptionKey::generated(&[number; 32]);
    str::from_utf8(key.expose()).unwrap().to_owned()
}

impl Node {
    fn vault(&self, call: &str, body: &Value) -> (u16, String) {
        self.post(&format!("/v1/tenants/default/vault/{call}"), &body.to_string())
    }

    /// Stores over REST, and tells the version.
    fn store(&self, id: &str, key: &str, value: &Value) -> u64 {
        let body = json!({"id": id, "encryption_key": key, "value": value});
        let (status, answer) = self.vault("store", &body);
        assert!(matches!(status, 200 | 201), "{answer}");
        let told: Value = serde_json::from_str(&answer).unwrap();
        told["version"].as_u64().unwrap()
    }

    /// Ids and values of what opens.
    fn retrieve(&self, pattern: &str, key: &str) -> Vec<(String, Value)> {
        let body = json!({"id": pattern, "encryption_key": key, "limit": 1_000});
        let (status, answer) = self.vault("retrieve", &body);
        assert_eq!(status, 200, "{answer}");
        let told: Vec<Value> = serde_json::from_str(&answer).unwrap();
        let record = |it: &Value| (it["id"].as_str().unwrap().to_owned(), it["value"].clone());
        told.iter().map(record).collect()
    }

    /// What a metric tells; 0 where it tells nothing yet.
    fn counted(&self, name: &str) -> u64 {
        let (_, told) = self.get_admin("/metrics");
        let value = told.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().unwrap())
    }
}

const DAMAGED: &str = "switchboard_vault_records_left_out_total{reason=\"damaged\"}";
const WRONG_KEY: &str = "switchboard_vault_records_left_out_total{reason=\"wrong_key\"}";
