//! A record that is damaged where it lies is left out, and nothing else.

use std::fs;

use serde_json::json;

use super::{DAMAGED, WRONG_KEY, key};
use crate::node::{Node, until};

const DAMAGED_ID: &str = "record-of-which-a-byte-is-turned";

/// One that seems to have expired since.
const EXPIRED_ID: &str = "record-of-which-the-end-is-turned";

/// The places of some bytes in others.
fn places(bytes: &[u8], wanted: &[u8]) -> Vec<usize> {
    let found = bytes.windows(wanted.len()).enumerate().filter(|(_, at)| *at == wanted);
    found.map(|(at, _)| at).collect()
}

#[test]
fn a_record_that_is_damaged_is_left_out_and_its_neighbours_are_not() {
    let mut node = Node::start();
    // Stands in clear before what is sealed, and nowhere else: by it the record is found.
    let expires_at = i64::MAX - 0x0000_1234_5678_9abc;
    let value = "v".repeat(200);
    for id in ["record-1", "record-2", "record-z"] {
        node.store(id, &key(1), &json!(value));
    }
    let body = json!({
        "id": DAMAGED_ID, "encryption_key": key(1), "value": value, "expires_at": expires_at,
    });
    assert_eq!(node.vault("store", &body).0, 201);
    let other = expires_at - 1;
    let body = json!({
        "id": EXPIRED_ID, "encryption_key": key(1), "value": value, "expires_at": other,
    });
    assert_eq!(node.vault("store", &body).0, 201);
    assert_eq!(node.retrieve("record-*", &key(1)).len(), 5);
    assert_eq!(node.stop(), 0);

    let path = node.data().join("vault/engine.redb");
    let mut bytes = fs::read(&path).unwrap();
    assert!(!places(&bytes, DAMAGED_ID.as_bytes()).is_empty(), "its id is in clear");
    // Version, updated at and expires at, then version, profile, salt and commitment.
    let found = places(&bytes, &expires_at.to_be_bytes());
    let sealed: Vec<usize> =
        found.into_iter().map(|at| at + 8).filter(|&at| bytes[at..].starts_with(&[1, 1])).collect();
    assert_eq!(sealed.len(), 1, "the record is there once");
    bytes[sealed[0] + 50 + 100] ^= 0x10;
    // A time long gone. In the list of what expires it stands with its place behind it.
    let found = places(&bytes, &other.to_be_bytes());
    let ends: Vec<usize> =
        found.into_iter().filter(|&at| bytes[at + 8..].starts_with(&[1, 1])).collect();
    assert_eq!(ends.len(), 1);
    bytes[ends[0]] ^= 0x80;
    fs::write(&path, bytes).unwrap();

    node.start_again();
    node.may_err();
    let (wrong_key, damaged) = (node.counted(WRONG_KEY), node.counted(DAMAGED));
    let found = node.retrieve("*", &key(1));
    let ids: Vec<&str> = found.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, ["record-1", "record-2", "record-z"]);
    assert!(found.iter().all(|(_, it)| *it == json!(value)));
    for id in [DAMAGED_ID, EXPIRED_ID] {
        assert_eq!(node.retrieve(id, &key(1)), [], "nor under its id");
    }
    // Who has another key is told no more.
    assert_eq!(node.retrieve("*", &key(2)), []);
    until("it is counted", || node.counted(DAMAGED) == damaged + 6);
    assert_eq!(node.counted(WRONG_KEY), wrong_key + 3, "damaged is not mixed up with a wrong key");
    let log = node.log();
    let told = log.lines().filter(|line| line.contains("ERROR") && line.contains("damaged"));
    assert_eq!(told.count(), 4, "each request tells once: {log}");

    // It is not changed, and does not change others.
    for (call, what) in [("delete", "deleted"), ("rekey", "rekeyed")] {
        let body = match call {
            "delete" => json!({"id": DAMAGED_ID, "encryption_key": key(1)}),
            _ => json!({
                "id": DAMAGED_ID, "old_encryption_key": key(1), "new_encryption_key": key(2),
            }),
        };
        let (status, answer) = node.vault(call, &body);
        assert_eq!((status, answer.trim()), (200, &*format!("{{\"{what}\":0}}")));
    }
    // Stored again it is whole. Its key is told by what is left of it.
    let again = |key: &str| {
        let (status, answer) =
            node.vault("store", &json!({"id": DAMAGED_ID, "encryption_key": key, "value": 1}));
        (status, answer.contains("\"replaced_key\":false"))
    };
    assert_eq!(again(&key(1)), (200, true));
    assert_eq!(node.retrieve(DAMAGED_ID, &key(1)), [(DAMAGED_ID.to_owned(), json!(1))]);
    assert_eq!(node.retrieve("*", &key(1)).len(), 4);
    // Of whom what is left says that it was another's, that is told too.
    let body = json!({"id": EXPIRED_ID, "encryption_key": key(2), "value": 2});
    let (status, answer) = node.vault("store", &body);
    assert!(status == 200 && answer.contains("\"replaced_key\":true"), "{answer}");
    assert_eq!(node.retrieve("*", &key(2)), [(EXPIRED_ID.to_owned(), json!(2))]);
}
