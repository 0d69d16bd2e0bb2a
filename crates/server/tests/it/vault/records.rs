//! Storing, retrieving, deleting and sealing anew, as long as everybody has the right key.

use std::time::Duration;

use tokio::task::JoinSet;

use super::{Caller, Content, Over, Record, Stored, key};
use crate::node::Node;

fn ids(records: &[Record]) -> Vec<&str> {
    records.iter().map(|record| record.id.as_str()).collect()
}

#[tokio::test]
async fn what_is_stored_is_retrieved_and_stored_over() {
    let node = Node::start().await;
    for caller in Caller::both(&node) {
        let first = caller.store("config", &key(1), r#"{"pi": 3.10}"#).await.unwrap();
        assert!(first.new && !first.replaced_key);
        let again = caller.store("config", &key(1), "[2]").await.unwrap();
        assert!(!again.new && !again.replaced_key);
        assert!(first.version < again.version && first.updated_at < again.updated_at);
        let expected = Record {
            id: "config".to_owned(),
            content: Content::Json("[2]".to_owned()),
            version: again.version,
            updated_at: again.updated_at,
            expires_at: None,
        };
        // Whatever it came over.
        for reader in [caller.clone(), caller.other()] {
            for pattern in ["config", "con*", "*", "c*f*g"] {
                let found = reader.retrieve(pattern, &key(1)).await.unwrap();
                assert_eq!(found, std::slice::from_ref(&expected), "{pattern}");
            }
        }
        assert_eq!(caller.delete("config", &key(1)).await.unwrap(), 1);
        assert_eq!(caller.retrieve("*", &key(1)).await.unwrap(), []);
        assert_eq!(caller.delete("config", &key(1)).await.unwrap(), 0, "a second time");
    }
}

#[tokio::test]
async fn bytes_come_back_as_bytes() {
    let node = Node::start().await;
    let grpc = Caller::new(&node, Over::Grpc, "a");
    let all: Vec<u8> = (0..=255).collect();
    for (id, content_type, told, data) in [
        ("all", "image/png", "image/png", all.as_slice()),
        ("none", "", "application/octet-stream", b"".as_slice()),
        ("odd", "text/plain; x=\"\\\"", "text/plain; x=\"\\\"", b"{}".as_slice()),
    ] {
        let sent = Content::Bytes(content_type.to_owned(), data.to_vec());
        let stored = grpc.put(id, &key(1), sent, None, None).await.unwrap();
        let expected = Record {
            id: id.to_owned(),
            content: Content::Bytes(told.to_owned(), data.to_vec()),
            version: stored.version,
            updated_at: stored.updated_at,
            expires_at: None,
        };
        for reader in [grpc.clone(), grpc.other()] {
            let found = reader.retrieve(id, &key(1)).await.unwrap();
            assert_eq!(found, std::slice::from_ref(&expected));
        }
    }
}

#[tokio::test]
async fn pages_have_every_record_once_and_a_full_last_one_ends() {
    let node = Node::start().await;
    for caller in Caller::both(&node) {
        let mut expected = Vec::new();
        for number in 0..25 {
            let id = format!("r{:02}", number * 7 % 25);
            caller.store(&id, &key(1), &number.to_string()).await.unwrap();
            // Of another key, before, between and behind.
            caller.store(&format!("{id}x"), &key(2), "0").await.unwrap();
            expected.push(id);
        }
        caller.store("qqq", &key(1), "0").await.unwrap();
        expected.sort();
        for limit in [1, 5, 7, 24, 25, 26] {
            let (mut came, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
            loop {
                let (page, next) = caller.page("r*", &key(1), limit, &cursor).await.unwrap();
                assert!(page.len() <= limit as usize);
                pages += 1;
                came.extend(ids(&page).into_iter().map(str::to_owned));
                if caller.over == Over::Rest {
                    let full = page.len() == limit as usize;
                    assert!(full || next.is_none(), "a page that is not the last is full");
                    // A full page that is the last says so.
                    assert_eq!(next.is_none(), came.len() == 25, "limit {limit}");
                }
                match next {
                    Some(next) => cursor = next,
                    None => break,
                }
            }
            assert_eq!(came, expected, "limit {limit}, {:?}", caller.over);
            let full = 25_usize.div_ceil(limit as usize);
            assert_eq!(pages, full + usize::from(caller.over == Over::Grpc), "limit {limit}");
        }
    }
}

#[tokio::test]
async fn a_cursor_of_one_transport_is_one_of_the_other() {
    let node = Node::start().await;
    let [rest, _] = Caller::both(&node);
    let grpc = rest.other();
    for number in 0..9 {
        rest.store(&format!("r{number}"), &key(1), "1").await.unwrap();
    }
    let (_, behind) = rest.page("r*", &key(1), 4, "").await.unwrap();
    let (left, _) = grpc.page("r*", &key(1), 0, behind.as_ref().unwrap()).await.unwrap();
    assert_eq!(ids(&left), ["r4", "r5", "r6", "r7", "r8"]);
    let (some, behind) = grpc.page("r*", &key(1), 2, "").await.unwrap();
    assert_eq!(ids(&some), ["r0", "r1"]);
    let (left, next) = rest.page("r*", &key(1), 100, behind.as_ref().unwrap()).await.unwrap();
    assert_eq!((ids(&left).len(), next), (7, None));
    // Behind a record that is gone, it goes on all the same.
    rest.delete("r1", &key(1)).await.unwrap();
    let (left, _) = rest.page("r*", &key(1), 1, behind.as_ref().unwrap()).await.unwrap();
    assert_eq!(ids(&left), ["r2"]);
    // And a change takes it too.
    assert_eq!(grpc.delete_from("r*", &key(1), behind.as_ref().unwrap()).await.unwrap(), 7);
    assert_eq!(ids(&grpc.retrieve("*", &key(1)).await.unwrap()), ["r0"]);
}

#[tokio::test]
async fn the_star_alone_is_special_and_the_whole_id_must_match() {
    let node = Node::start().await;
    let stored = [
        "a",
        "a b",
        "a$",
        "a%",
        "a.c",
        "a?",
        "a[b]",
        "a\\",
        "a\\b",
        "a^",
        "a_",
        "ab",
        "abc",
        "A.C",
        "e\u{301}",
        "\u{e9}",
        "{a,b}",
        "(a|b)",
        "Zoë 🦀",
        "../a",
        "a/b",
        "\"a\"",
        "+a",
    ];
    for caller in Caller::both(&node) {
        for id in stored {
            caller.store(id, &key(1), "1").await.unwrap();
        }
        for id in stored {
            let found = caller.retrieve(id, &key(1)).await.unwrap();
            assert_eq!(ids(&found), [id]);
        }
        for (pattern, expected) in [
            ("a.*", &["a.c"][..]),
            ("a.c*", &["a.c"]),
            ("*.c", &["a.c"]),
            ("a%*", &["a%"]),
            ("a_*", &["a_"]),
            ("a[b]*", &["a[b]"]),
            ("*[a]*", &[]),
            ("a$*", &["a$"]),
            ("a?*", &["a?"]),
            ("a\\*", &["a\\", "a\\b"]),
            ("\\**", &[]),
            ("b*", &[]),
            ("*b", &["a b", "a/b", "a\\b", "ab"]),
            ("a*c", &["a.c", "abc"]),
            ("A*", &["A.C"]),
            ("*\u{301}", &["e\u{301}"]),
            ("e*", &["e\u{301}"]),
            ("\u{e9}*", &["\u{e9}"]),
            ("*ë*", &["Zoë 🦀"]),
            ("{a,b}*", &["{a,b}"]),
            ("(a|b)*", &["(a|b)"]),
            ("*/*", &["../a", "a/b"]),
            (".*", &["../a"]),
            ("ab*c*", &["abc"]),
            ("*bcd", &[]),
        ] {
            let found = caller.retrieve(pattern, &key(1)).await.unwrap();
            assert_eq!(ids(&found), expected, "{pattern} {:?}", caller.over);
        }
        let mut all = stored.to_vec();
        all.sort_unstable();
        for pattern in ["*", "**", "***"] {
            assert_eq!(ids(&caller.retrieve(pattern, &key(1)).await.unwrap()), all, "{pattern}");
        }
    }
}

#[tokio::test]
async fn a_store_happens_over_the_version_that_it_expects() {
    let node = Node::start().await;
    for caller in Caller::both(&node) {
        let store = async |text: &str, version: Option<u64>| {
            caller.store_as("a", &key(1), text, version, None).await
        };
        assert_eq!(store("1", Some(1)).await.unwrap_err().code, "conflict", "there is none");
        let first = store("1", Some(0)).await.unwrap();
        assert_eq!(store("2", Some(0)).await.unwrap_err().code, "conflict", "there is one");
        let second = store("2", Some(first.version)).await.unwrap();
        for stale in [0, first.version, second.version + 1, u64::MAX] {
            assert_eq!(store("3", Some(stale)).await.unwrap_err().code, "conflict");
        }
        let found = caller.retrieve("a", &key(1)).await.unwrap();
        assert_eq!(found[0].content, Content::Json("2".to_owned()));
        assert_eq!(found[0].version, second.version, "a conflict changes nothing");
    }
}

#[tokio::test]
async fn of_many_stores_over_one_version_one_wins() {
    let node = Node::start().await;
    for caller in Caller::both(&node) {
        let mut version = 0;
        for round in 0..5 {
            let mut callers = JoinSet::new();
            for number in 0..16 {
                let caller = if number % 2 == 0 { caller.clone() } else { caller.other() };
                callers.spawn(async move {
                    let text = format!("[{round},{number}]");
                    let stored = caller.store_as("a", &key(1), &text, Some(version), None).await;
                    (text, stored)
                });
            }
            let all = callers.join_all().await;
            let won: Vec<_> = all.iter().filter(|(_, stored)| stored.is_ok()).collect();
            let [(text, Ok(Stored { version: now, .. }))] = won[..] else { panic!("{won:?}") };
            let lost = all.iter().filter_map(|(_, stored)| stored.as_ref().err());
            assert!(lost.into_iter().all(|refused| refused.code == "conflict"));
            assert_eq!(caller.text("a", &key(1)).await.as_ref(), Some(text));
            assert!(version < *now);
            version = *now;
        }
    }
}

#[tokio::test]
async fn a_version_never_comes_again() {
    let node = Node::start().await;
    for caller in Caller::both(&node) {
        let mut greatest = 0;
        for round in 0..4_u32 {
            let stored = caller.store_as("a", &key(1), "1", Some(0), None).await.unwrap();
            assert!(stored.new && greatest < stored.version, "round {round}");
            greatest = stored.version;
            for _ in 0..round {
                greatest = caller.store("a", &key(1), "2").await.unwrap().version;
            }
            caller.rekey("a", &key(1), &key(2)).await.unwrap();
            let rekeyed = caller.retrieve("a", &key(2)).await.unwrap()[0].version;
            assert!(greatest < rekeyed);
            greatest = rekeyed;
            assert_eq!(caller.delete("a", &key(2)).await.unwrap(), 1);
        }
    }
}

#[tokio::test]
async fn what_has_expired_is_gone_for_every_call() {
    let node = Node::start().await;
    for caller in Caller::both(&node) {
        let store =
            async |id: &str, at: Option<i64>| caller.store_as(id, &key(1), "1", None, at).await;
        for past in [node.world.time() - 1, node.world.time(), 0, -1, i64::MIN] {
            assert_eq!(store("a", Some(past)).await.unwrap_err().code, "invalid_request");
        }
        let at = node.world.time() + 60_000;
        let stored = store("a", Some(at)).await.unwrap();
        store("b", Some(i64::MAX - 1)).await.unwrap();
        store("c", None).await.unwrap();
        assert_eq!(caller.rekey("a", &key(1), &key(1)).await.unwrap(), 1);
        let found = caller.retrieve("*", &key(1)).await.unwrap();
        let times: Vec<_> = found.iter().map(|record| record.expires_at).collect();
        assert_eq!(times, [Some(at), Some(i64::MAX - 1), None], "another key, the same end");
        assert!(stored.updated_at < found[0].updated_at, "sealed anew is stored anew");
        let version = found[0].version;

        node.world.turn(Duration::from_mins(1));
        assert_eq!(ids(&caller.retrieve("*", &key(1)).await.unwrap()), ["b", "c"]);
        assert_eq!(caller.retrieve("a", &key(1)).await.unwrap(), []);
        assert_eq!(caller.delete("a", &key(1)).await.unwrap(), 0);
        assert_eq!(caller.rekey("a*", &key(1), &key(2)).await.unwrap(), 0);
        // A foreign key, and still nothing is replaced: there is nothing.
        let again = caller.store_as("a", &key(3), "2", Some(0), None).await.unwrap();
        assert!(again.new && !again.replaced_key && version < again.version);
        assert_eq!(caller.text("a", &key(3)).await.as_deref(), Some("2"), "and never ends");
        // Stored over without an end, it has none any more.
        assert!(!store("b", None).await.unwrap().new);
        assert_eq!(caller.retrieve("b", &key(1)).await.unwrap()[0].expires_at, None);
    }
}

#[tokio::test]
async fn tenants_are_apart() {
    let node = Node::start().await;
    let [rest, grpc] = Caller::both(&node);
    rest.store("a", &key(1), "1").await.unwrap();
    assert_eq!(grpc.retrieve("*", &key(1)).await.unwrap(), []);
    assert_eq!(grpc.delete("*", &key(1)).await.unwrap(), 0);
    assert_eq!(grpc.rekey("*", &key(1), &key(2)).await.unwrap(), 0);
    assert_eq!(rest.text("a", &key(1)).await.as_deref(), Some("1"));
}
