//! How much, and how often.

use switchboard_server::VaultOptions;

use super::{CHEAP, Caller, Content, Over, counted, key};
use crate::node::Node;

#[tokio::test]
async fn new_passphrases_are_limited_and_nothing_else_is() {
    let options = VaultOptions {
        work: CHEAP,
        new_keys_burst: 3,
        new_keys_per_second: 0,
        ..Default::default()
    };
    let node = Node::with_vault(options).await;
    for caller in Caller::both(&node) {
        for passphrase in ["one", "two", "three"] {
            caller.store(passphrase, passphrase, "1").await.unwrap();
        }
        for new in ["four", "five"] {
            let refused = caller.store("a", new, "1").await.unwrap_err();
            assert_eq!(refused.code, "too_many_requests");
            assert!(!refused.said.contains(new), "{refused:?}");
            let refused = caller.retrieve("*", new).await.unwrap_err();
            assert_eq!(refused.code, "too_many_requests", "it tells nothing of the key");
            assert_eq!(caller.delete("*", new).await.unwrap_err().code, "too_many_requests");
            let refused = caller.rekey("*", "one", new).await.unwrap_err();
            assert_eq!(refused.code, "too_many_requests");
        }
        assert_eq!(caller.text("one", "one").await.as_deref(), Some("1"), "nothing was changed");
        for known in ["one", "two", "three"] {
            caller.store(known, known, "2").await.unwrap();
            assert_eq!(caller.retrieve("*", known).await.unwrap().len(), 1);
        }
        for number in 0..50 {
            assert_eq!(caller.retrieve("*", &key(number)).await.unwrap(), []);
        }
        caller.store("a", &key(1), "1").await.unwrap();
        // Whose limit is reached is no other's matter.
        let other = Caller::new(&node, caller.over, &format!("{}2", caller.tenant));
        other.store("a", "four", "1").await.unwrap();
    }
    let refused = "switchboard_vault_keys_total{result=\"refused\"}";
    assert_eq!(counted(&node, refused).await, 2 * 2 * 4);
}

#[tokio::test]
async fn a_value_has_up_to_a_mebibyte() {
    const MAX: usize = 1024 * 1024;
    let node = Node::start().await;
    // As long as it may be, and each byte of it escaped as long as it can.
    let (id, key) = ("\u{e9}".repeat(128), "\u{1}".repeat(1_024));
    for caller in Caller::both(&node) {
        let text = |len: usize| format!("\"{}\"", "x".repeat(len - 2));
        caller.store(&id, &key, &text(MAX)).await.unwrap();
        for reader in [caller.clone(), caller.other()] {
            assert!(reader.text(&id, &key).await.as_deref() == Some(&*text(MAX)));
        }
        let refused = caller.store(&id, &key, &text(MAX + 1)).await.unwrap_err();
        assert_eq!(refused.code, "too_large");
        assert!(!refused.said.contains("xxx"), "{refused:?}");
        let refused = caller.store(&id, &key, &text(2 * MAX)).await.unwrap_err();
        assert_eq!(refused.code, "too_large", "the body");
        assert!(caller.text(&id, &key).await.as_deref() == Some(&*text(MAX)), "as it was");
    }
    let grpc = Caller::new(&node, Over::Grpc, "grpc");
    for (len, taken) in [(MAX, true), (MAX + 1, false)] {
        let content = Content::Bytes(String::new(), vec![0xff; len]);
        let stored = grpc.put("b", &key, content, None, None).await;
        assert_eq!(stored.is_ok(), taken);
        assert!(stored.is_ok() || stored.unwrap_err().code == "too_large");
    }
    for reader in [grpc.clone(), grpc.other()] {
        let found = reader.retrieve("b", &key).await.unwrap();
        let Content::Bytes(_, data) = &found[0].content else { panic!("no bytes") };
        assert!(data.len() == MAX && data.iter().all(|&byte| byte == 0xff));
    }
}

#[tokio::test]
async fn pages_are_bounded_in_records_and_in_bytes() {
    let node = Node::start().await;
    let [rest, _] = Caller::both(&node);
    let text = format!("\"{}\"", "x".repeat(1024 * 1024 - 2));
    for number in 0..10 {
        rest.store(&format!("long{number}"), &key(1), &text).await.unwrap();
    }
    let (page, next) = rest.page("long*", &key(1), 0, "").await.unwrap();
    assert_eq!(page.len(), 8, "8 MiB");
    let (page, next) = rest.page("long*", &key(1), 0, &next.unwrap()).await.unwrap();
    assert_eq!((page.len(), next), (2, None));

    for number in 0..101 {
        rest.store(&format!("short{number:03}"), &key(1), "1").await.unwrap();
    }
    for (limit, expected) in [(0, 100), (99, 99), (1_000, 101)] {
        let (page, next) = rest.page("short*", &key(1), limit, "").await.unwrap();
        assert_eq!((page.len(), next.is_some()), (expected, expected < 101));
    }
    let refused = rest.page("short*", &key(1), 1_001, "").await.unwrap_err();
    assert_eq!(refused.code, "too_large");
    let (all, _) = rest.other().page("short*", &key(1), 0, "").await.unwrap();
    assert_eq!(all.len(), 101, "a stream has no pages");
}
