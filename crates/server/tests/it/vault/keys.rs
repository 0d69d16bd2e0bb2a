//! Wrong keys, other people's keys, and new ones.

use switchboard_server::VaultOptions;

use super::{Caller, Over, REPLACED, WRONG_KEY, cheap, counted, key};
use crate::node::{Node, until};

#[tokio::test]
async fn a_wrong_key_is_answered_as_an_id_that_is_not_there() {
    let node = Node::with_vault(cheap()).await;
    for caller in Caller::both(&node) {
        for number in 0..3 {
            caller.store(&format!("a{number}"), "the right one", "1").await.unwrap();
        }
        let before = counted(&node, WRONG_KEY).await;
        for wrong in ["the right one ", "The right one", " ", &key(9)] {
            for (pattern, absent) in [("a1", "b1"), ("a*", "b*"), ("*", "b*")] {
                assert_eq!(caller.retrieve(pattern, wrong).await.unwrap(), []);
                assert_eq!(caller.delete(pattern, wrong).await.unwrap(), 0);
                assert_eq!(caller.rekey(pattern, wrong, "another").await.unwrap(), 0);
                let asked = async |id: &str, more: &str, call: &str| {
                    let body = format!("{{\"id\":\"{id}\",{more}}}").replace("KEY", wrong);
                    let answer = caller.ask(call, &body).await;
                    (answer.status, answer.headers, answer.body)
                };
                for (call, more) in [
                    ("retrieve", r#""encryption_key":"KEY""#),
                    ("retrieve", r#""encryption_key":"KEY","limit":1"#),
                    ("delete", r#""encryption_key":"KEY""#),
                    ("rekey", r#""old_encryption_key":"KEY","new_encryption_key":"n""#),
                ] {
                    let (here, there) =
                        (asked(pattern, more, call).await, asked(absent, more, call).await);
                    assert_eq!(here, there, "{call} {pattern}");
                    assert_eq!(here.0, 200);
                }
            }
        }
        // Four wrong keys, seven calls, of one, three and three records.
        let expected = before + 4 * 7 * 7;
        until("they are counted", async || counted(&node, WRONG_KEY).await == expected).await;
        for number in 0..3 {
            let text = caller.text(&format!("a{number}"), "the right one").await;
            assert_eq!(text.as_deref(), Some("1"), "nothing was changed");
        }
    }
}

#[tokio::test]
async fn keys_are_taken_whole_and_byte_for_byte() {
    let node = Node::with_vault(cheap()).await;
    let long = "x".repeat(1_023);
    let pairs = [
        (format!("{}a", "x".repeat(72)), format!("{}b", "x".repeat(72))),
        (format!("{long}a"), format!("{long}b")),
        ("\u{e9}".to_owned(), "e\u{301}".to_owned()),
        ("key".to_owned(), "key\n".to_owned()),
        ("key".to_owned(), "key\0".to_owned()),
        ("key".to_owned(), "key\0more".to_owned()),
        ("\0".to_owned(), "\0\0".to_owned()),
        (" ".to_owned(), "  ".to_owned()),
        (key(1), key(1) + " "),
        (key(1), key(1).replacen("swvk1_", "SWVK1_", 1)),
    ];
    for caller in Caller::both(&node) {
        for (one, other) in &pairs {
            for (right, wrong) in [(one, other), (other, one)] {
                caller.store("a", right, "1").await.unwrap();
                assert_eq!(caller.text("a", wrong).await, None, "{right:?} {wrong:?}");
                assert_eq!(caller.text("a", right).await.as_deref(), Some("1"), "{right:?}");
                assert_eq!(caller.other().text("a", right).await.as_deref(), Some("1"));
            }
        }
    }
}

#[tokio::test]
async fn a_thousand_wrong_keys_open_nothing_and_are_all_answered() {
    let node = Node::start().await;
    for caller in Caller::both(&node) {
        for (number, text) in (0..).zip(["5", "0", "\"\"", "null"]) {
            caller.store(&format!("a{number}"), &key(0), text).await.unwrap();
        }
        for number in 1..=500 {
            assert_eq!(caller.retrieve("*", &key(number)).await.unwrap(), []);
        }
        assert_eq!(caller.retrieve("*", &key(0)).await.unwrap().len(), 4);
    }
    let counted = counted(&node, WRONG_KEY).await;
    assert_eq!(counted, 2 * 500 * 4);
}

#[tokio::test]
async fn a_record_of_another_key_is_stored_over_and_that_is_told() {
    let node = Node::start().await;
    for caller in Caller::both(&node) {
        let before = counted(&node, REPLACED).await;
        caller.store("a", &key(1), "1").await.unwrap();
        let over = caller.store("a", &key(2), "2").await.unwrap();
        assert!(over.replaced_key && !over.new);
        assert_eq!(caller.text("a", &key(1)).await, None);
        assert_eq!(caller.text("a", &key(2)).await.as_deref(), Some("2"));
        assert!(!caller.store("a", &key(2), "3").await.unwrap().replaced_key);
        let version = caller.retrieve("a", &key(2)).await.unwrap()[0].version;
        let over = caller.store_as("a", &key(1), "4", Some(version), None).await.unwrap();
        assert!(over.replaced_key);
        assert_eq!(counted(&node, REPLACED).await, before + 2);
    }
}

#[tokio::test]
async fn where_records_keep_their_key_nobody_takes_them() {
    for same_key in [vec!["rest".to_owned(), "grpc".to_owned()], vec!["*".to_owned()]] {
        let all = same_key.len() == 1;
        let node = Node::with_vault(VaultOptions { same_key, ..cheap() }).await;
        let other = Caller::new(&node, Over::Rest, "other");
        for caller in Caller::both(&node) {
            caller.store("a", &key(1), "1").await.unwrap();
            let before = caller.retrieve("a", &key(1)).await.unwrap();
            for version in [None, Some(before[0].version)] {
                let refused = caller.store_as("a", &key(2), "2", version, None).await;
                assert_eq!(refused.unwrap_err().code, "conflict");
            }
            assert_eq!(caller.retrieve("a", &key(1)).await.unwrap(), before, "as it was");
            assert!(!caller.store("a", &key(1), "3").await.unwrap().new, "under its own key");
            // Its holder gives it another.
            assert_eq!(caller.rekey("a", &key(1), &key(2)).await.unwrap(), 1);
            assert_eq!(caller.store("a", &key(1), "4").await.unwrap_err().code, "conflict");
            caller.store("a", &key(2), "4").await.unwrap();
            // A free place is anybody's.
            assert_eq!(caller.delete("a", &key(2)).await.unwrap(), 1);
            assert!(caller.store("a", &key(3), "5").await.unwrap().new);
        }
        other.store("a", &key(1), "1").await.unwrap();
        assert_eq!(other.store("a", &key(2), "2").await.is_err(), all);
        assert_eq!(counted(&node, REPLACED).await, u64::from(!all));
    }
}

#[tokio::test]
async fn what_the_key_opens_is_changed_and_nothing_else() {
    let node = Node::start().await;
    for caller in Caller::both(&node) {
        for number in 0..12 {
            let id = format!("a{number:02}");
            caller.store(&id, &key(number % 3), &number.to_string()).await.unwrap();
        }
        caller.store("b", &key(0), "b").await.unwrap_err();
        caller.store("b", &key(0), "\"b\"").await.unwrap();
        let others = caller.retrieve("*", &key(1)).await.unwrap();
        let before = caller.retrieve("a*", &key(0)).await.unwrap();
        assert_eq!((before.len(), others.len()), (4, 4));

        assert_eq!(caller.rekey("a*", &key(0), &key(9)).await.unwrap(), 4);
        assert_eq!(caller.rekey("a*", &key(0), &key(9)).await.unwrap(), 0, "again");
        assert_eq!(caller.retrieve("a*", &key(0)).await.unwrap(), []);
        let after = caller.retrieve("*", &key(9)).await.unwrap();
        assert_eq!(after.len(), 4);
        for (before, after) in before.iter().zip(&after) {
            assert_eq!((&before.id, &before.content), (&after.id, &after.content));
            assert!(before.version < after.version && before.updated_at < after.updated_at);
        }
        assert_eq!(caller.text("b", &key(0)).await.as_deref(), Some("\"b\""), "not asked for");

        assert_eq!(caller.delete("*", &key(2)).await.unwrap(), 4);
        assert_eq!(caller.delete("*", &key(2)).await.unwrap(), 0, "again");
        assert_eq!(caller.retrieve("*", &key(1)).await.unwrap(), others, "as it was");
        assert_eq!(caller.retrieve("*", &key(9)).await.unwrap(), after, "as it was");
        // Onto a key that has records already, and onto itself.
        assert_eq!(caller.rekey("*", &key(9), &key(1)).await.unwrap(), 4);
        assert_eq!(caller.retrieve("*", &key(1)).await.unwrap().len(), 8);
        assert_eq!(caller.rekey("*", &key(1), &key(1)).await.unwrap(), 8);
        assert_eq!(caller.retrieve("*", &key(1)).await.unwrap().len(), 8);
    }
}
