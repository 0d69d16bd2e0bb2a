//! Records, each changed by one writer, read by others.

use std::{sync::Arc, time::Duration};

use switchboard_client::vault::{EncryptionKey, StoreOptions, VaultContent, VaultValue};
use tokio::task::JoinSet;

use super::{Count, Ground};

const TENANT: &str = "vault";

const WRITERS: u32 = 4;

/// A generated key: a passphrase would take its time.
const KEY: &str = "swvk1_PfLf5IaDO2xM-iLTX5sBtuAg48sQhsqYGhyWCZDg6uU_smtsgw";

/// What was acknowledged.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) acknowledged: Count,
}

pub(crate) fn start(ground: &Ground, tasks: &mut JoinSet<()>) -> Arc<History> {
    let history = Arc::new(History::default());
    for writer in 0..WRITERS {
        tasks.spawn(write(ground.clone(), Arc::clone(&history), writer));
    }
    history
}

fn record(writer: u32) -> String {
    format!("record-{writer}")
}

fn value(number: u64) -> VaultValue {
    VaultValue::json(format!(r#"{{"number": {number}.00}}"#))
}

/// Stores one value after the other, and reads each by way of another node.
async fn write(ground: Ground, history: Arc<History>, writer: u32) {
    let (one, other) = (ground.client(TENANT), ground.client(TENANT));
    let (id, key) = (record(writer), EncryptionKey::new(KEY));
    let mut version = 0;
    for number in 1_u64.. {
        // With the version, so that a try whose answer was lost can't come over a later value.
        let options = StoreOptions { if_version: Some(version), ..StoreOptions::default() };
        loop {
            match one.store(&id, &value(number), &key, options).await {
                Ok(stored) => {
                    version = stored.version;
                    break;
                }
                Err(error) if error.code() == "conflict" => {
                    // One of the tries before.
                    match read(&ground, &other, &id, &key).await {
                        Some((there, it)) if it == value(number) => {
                            version = there;
                            break;
                        }
                        Some((there, _)) => {
                            ground.wrong(format!("{id} has version {there}, not {version}"));
                            return;
                        }
                        None => {}
                    }
                }
                Err(error) => ground.saw("store", &error),
            }
            if ground.stopped() {
                return;
            }
        }
        history.acknowledged.add();
        match read(&ground, &other, &id, &key).await {
            Some((there, it)) if there != version || it != value(number) => {
                let VaultContent::Json(it) = it.content() else { return };
                ground.wrong(format!("{id} is {it} ({there}), not {number} ({version})"));
            }
            _ => {}
        }
        ground.pause(Duration::from_millis(80)).await;
        if ground.stopped() {
            return;
        }
    }
}

/// A record's version and value; none where nobody could be asked.
async fn read(
    ground: &Ground,
    client: &switchboard_client::Client,
    id: &str,
    key: &EncryptionKey,
) -> Option<(u64, VaultValue)> {
    match client.retrieve_all(id, key).await {
        Ok(records) if records.len() == 1 => {
            records.into_iter().next().map(|it| (it.version, it.value))
        }
        Ok(records) => {
            ground.wrong(format!("{id} is there {} times", records.len()));
            None
        }
        Err(error) => {
            ground.saw("retrieve", &error);
            None
        }
    }
}

/// Reads all records by way of every node.
pub(crate) async fn check(ground: &Ground, _history: &History) {
    let key = EncryptionKey::new(KEY);
    let mut all = Vec::new();
    for url in &ground.nodes {
        let node = switchboard_client::Client::new(url).unwrap().with_tenant(TENANT);
        // It may have no role for it.
        let Ok(records) = node.with_timeout(Duration::from_secs(5)).retrieve_all("*", &key).await
        else {
            continue;
        };
        if records.len() != usize::try_from(WRITERS).unwrap() {
            ground.wrong(format!("{url} has {} records", records.len()));
        }
        all.push(records.into_iter().map(|it| (it.id, it.version, it.value)).collect::<Vec<_>>());
    }
    if all.windows(2).any(|pair| pair[0] != pair[1]) {
        ground.wrong("nodes tell different records".to_owned());
    }
}
