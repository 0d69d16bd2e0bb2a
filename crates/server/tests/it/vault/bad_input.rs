//! What is refused, with which code, and without a word of what was sent.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use serde_json::json;

use super::{Caller, Over, caller::post, key};
use crate::{
    grpc::raw_call,
    node::{Node, exchange},
};

/// Stands wherever an answer might show what was sent.
const CANARY: &str = "cAnArY-7f3a";

#[track_caller]
fn silent(said: &str) {
    for form in [CANARY, "cAnA", &Base64UrlUnpadded::encode_string(CANARY.as_bytes())] {
        assert!(!said.contains(form), "{said}");
    }
}

#[tokio::test]
async fn bad_input_is_named_over_every_transport() {
    let node = Node::start().await;
    let canary = format!("\"{CANARY}\"");
    let (long_id, long_key) = ("x".repeat(257), CANARY.repeat(100));
    let deep = format!("{}{canary}{}", "[".repeat(128), "]".repeat(128));
    let many = format!("*{}", "x".repeat(257));
    for caller in Caller::both(&node) {
        caller.store("a", &key(1), "1").await.unwrap();
        let foreign = caller.page("*", &key(1), 1, "").await.unwrap().1;
        for (id, key, text, code) in [
            ("", CANARY, &*canary, "invalid_id"),
            ("a*", CANARY, &canary, "invalid_id"),
            ("a\n", CANARY, &canary, "invalid_id"),
            (&long_id, CANARY, &canary, "invalid_id"),
            ("a", "", &canary, "invalid_encryption_key"),
            ("a", &long_key, &canary, "invalid_encryption_key"),
            ("a", CANARY, &deep, "invalid_value"),
            ("a", CANARY, "[\"cAnArY-7f3a\",\"\\ud800\"]", "invalid_value"),
            ("a", CANARY, "\"\\udc00cAnArY-7f3a\"", "invalid_value"),
        ] {
            let refused = caller.store(id, key, text).await.unwrap_err();
            assert_eq!(refused.code, code, "{id} {text}");
            silent(&refused.said);
        }
        for (id, key, cursor, code) in [
            ("", CANARY, "", "invalid_id"),
            ("a\u{85}", CANARY, "", "invalid_id"),
            (&many, CANARY, "", "invalid_id"),
            (&"*".repeat(513), CANARY, "", "invalid_id"),
            ("*", "", "", "invalid_encryption_key"),
            ("*", &long_key, "", "invalid_encryption_key"),
            ("*", CANARY, CANARY, "invalid_cursor"),
            ("a*", CANARY, foreign.as_deref().unwrap_or("YQ.00000000"), "invalid_cursor"),
        ] {
            for refused in [
                caller.page(id, key, 0, cursor).await.unwrap_err(),
                caller.delete_from(id, key, cursor).await.unwrap_err(),
                caller.rekey_from(id, [key, CANARY], cursor).await.unwrap_err(),
            ] {
                assert_eq!(refused.code, code, "{id} {key} {cursor}");
                silent(&refused.said);
            }
        }
        for new in ["", &long_key] {
            let refused = caller.rekey("*", CANARY, new).await.unwrap_err();
            assert_eq!(refused.code, "invalid_encryption_key");
            silent(&refused.said);
        }
        let refused = caller.store_as("a", CANARY, &canary, None, Some(1)).await.unwrap_err();
        assert_eq!(refused.code, "invalid_request", "over already");
        silent(&refused.said);
        let nobody = Caller::new(&node, caller.over, "no%20body!");
        for refused in [
            nobody.store("a", CANARY, &canary).await.unwrap_err(),
            nobody.page("a", CANARY, 0, "").await.unwrap_err(),
            nobody.delete("a", CANARY).await.unwrap_err(),
            nobody.rekey("a", CANARY, CANARY).await.unwrap_err(),
        ] {
            assert_eq!(refused.code, "invalid_tenant");
            silent(&refused.said);
        }
        assert_eq!(caller.text("a", &key(1)).await.as_deref(), Some("1"), "nothing was changed");
    }
}

#[tokio::test]
async fn bodies_that_are_none_are_refused_without_a_word_of_them() {
    let node = Node::start().await;
    let rest = Caller::new(&node, Over::Rest, "a");
    let bodies = [
        "",
        "CANARY",
        "\"CANARY\"",
        "[\"CANARY\"]",
        r#"{"id":"a","encryption_key":"CANARY","value":CANARY}"#,
        r#"{"id":"a","encryption_key":"CANARY","value":"CANARY"#,
        r#"{"id":"a","encryption_key":"CANARY","value":"CANARY"} CANARY"#,
        r#"{"id":"a","encryption_key":"CANARY","value":1,"CANARY":1}"#,
        r#"{"id":"a","encryption_key":"CANARY","values":"CANARY"}"#,
        r#"{"id":"a","encryption_key":"CANARY","encryption_key":"CANARY","value":1}"#,
        r#"{"id":"a","encryption_key":{"CANARY":"CANARY"},"value":1}"#,
        r#"{"id":"a","encryption_key":["CANARY"],"value":1}"#,
        r#"{"id":"a","encryption_key":null,"value":"CANARY"}"#,
        r#"{"id":"a","encryption_key":73256473,"value":"CANARY"}"#,
        r#"{"id":"a","encryption_key":"CANARY\u00","value":1}"#,
        r#"{"id":"a","encryption_key":"CANARY\ud800","value":1}"#,
        r#"{"id":"a","encryption_key":"CANARY","value":"CANARY\q"}"#,
        r#"{"id":"a","encryption_key":"CANARY","value":01}"#,
        r#"{"id":"a","encryption_key":"CANARY"}"#,
        r#"{"encryption_key":"CANARY","value":"CANARY"}"#,
        r#"{"id":{"CANARY":1},"encryption_key":"CANARY","value":1}"#,
        r#"{"id":"a","encryption_key":"CANARY","value":1,"if_version":"CANARY"}"#,
        r#"{"id":"a","encryption_key":"CANARY","value":1,"if_version":-1}"#,
        r#"{"id":"a","encryption_key":"CANARY","value":1,"expires_at":"CANARY"}"#,
        r#"{"id":"a","encryption_key":"CANARY","value":1,"expires_at":1.5}"#,
        r#"{"id":"a","encryption_key":"CANARY","bytes":"CANARY","content_type":"CANARY"}"#,
        r#"{"id":"a","encryption_key":"CANARY","limit":"CANARY"}"#,
        r#"{"id":"a","encryption_key":"CANARY","limit":-1}"#,
        r#"{"id":"a","encryption_key":"CANARY","limit":0}"#,
        r#"{"id":"a","encryption_key":"CANARY","cursor":{"CANARY":1}}"#,
        r#"{"id":"a","old_encryption_key":"CANARY","new_encryption_key":["CANARY"]}"#,
        r#"{"id":"a","old_encryption_key":"CANARY"}"#,
    ];
    for body in bodies {
        for call in ["store", "retrieve", "delete", "rekey"] {
            // A body that one call takes, another does not.
            let fits = call != "store" && body == r#"{"id":"a","encryption_key":"CANARY"}"#;
            if fits && call != "rekey" {
                continue;
            }
            let answer = rest.ask(call, &body.replace("CANARY", CANARY)).await;
            let said = format!("{:?} {}", answer.headers, answer.body);
            assert_eq!(answer.status, 400, "{call} {body} {said}");
            assert!(answer.body.contains(r#""code":"invalid_request""#), "{call} {body} {said}");
            silent(&said);
            assert!(!said.contains("73256473"), "{said}");
        }
    }
    // No UTF-8, in a key and in a value.
    for body in [
        (&b"{\"id\":\"a\",\"encryption_key\":\""[..], &b"\xff\",\"value\":1}"[..]),
        (b"{\"id\":\"a\",\"encryption_key\":\"k\",\"value\":\"", b"\xff\"}"),
    ] {
        let body = [body.0, CANARY.as_bytes(), body.1].concat();
        let headers = "content-type: application/json\r\n";
        let answer = post(node.main, "/v1/tenants/a/vault/store", headers, &body).await;
        assert_eq!(answer.status, 400);
        silent(&answer.body);
    }
}

#[tokio::test]
async fn what_is_not_asked_for_as_it_should_be_is_refused_without_a_word_of_it() {
    let node = Node::start().await;
    let body = json!({"id": "a", "encryption_key": CANARY, "value": CANARY}).to_string();
    for call in ["store", "retrieve", "delete", "rekey"] {
        let path = format!("/v1/tenants/a/vault/{call}");
        for (headers, status, code) in [
            ("", 415, "unsupported_media_type"),
            ("content-type: text/plain\r\n", 415, "unsupported_media_type"),
            (&format!("content-type: {CANARY}\r\n"), 415, "unsupported_media_type"),
        ] {
            let answer = post(node.main, &path, headers, body.as_bytes()).await;
            assert_eq!(answer.status, status, "{call} {headers}");
            assert!(answer.body.contains(code), "{}", answer.body);
            silent(&answer.body);
        }
        // A key in the address is none; nor is it shown.
        let json = "content-type: application/json\r\n";
        let query = format!("{path}?encryption_key={CANARY}");
        let answer = post(node.main, &query, json, br#"{"id":"a","value":1}"#).await;
        assert_eq!(answer.status, 400, "{call}");
        silent(&answer.body);
        let get = format!("GET {query} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        let answer = String::from_utf8(exchange(node.main, get.as_bytes()).await).unwrap();
        assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
        silent(&answer);
    }
}

#[tokio::test]
async fn messages_that_are_none_are_refused_without_a_word_of_them() {
    let node = Node::start().await;
    let field = |number: u8, bytes: &[u8]| {
        let len = u8::try_from(bytes.len()).unwrap();
        [&[number << 3 | 2, len], bytes].concat()
    };
    let broken = [CANARY.as_bytes(), b"\xff"].concat();
    for call in ["Store", "Retrieve", "Delete", "Rekey"] {
        let call = format!("switchboard.v1.VaultService/{call}");
        for message in [
            // A key that is no UTF-8, one that is cut off, one that is a number.
            [field(1, b"a"), field(2, b"a"), field(3, &broken)].concat(),
            [field(1, b"a"), vec![3 << 3 | 2, 100], CANARY.as_bytes().to_vec()].concat(),
            [field(1, b"a"), field(3, CANARY.as_bytes()), vec![3 << 3, 5]].concat(),
            CANARY.as_bytes().to_vec(),
        ] {
            let status = raw_call(&node, &call, &message).await;
            silent(&format!("{status:?}"));
            assert_eq!(status.code(), tonic::Code::InvalidArgument, "{call} {status:?}");
        }
    }
    // A value that is neither JSON nor bytes, and JSON that is none.
    let store = |value: &[u8]| {
        let key = field(3, CANARY.as_bytes());
        [field(1, b"a"), field(2, b"a"), key, field(4, value)].concat()
    };
    let blob = field(2, &[field(1, &[b"\n", CANARY.as_bytes()].concat()), field(2, b"1")].concat());
    for value in [
        vec![],
        field(1, CANARY.as_bytes()),
        field(1, b""),
        field(1, format!("\u{feff}\"{CANARY}\"").as_bytes()),
        field(1, format!("\"{CANARY}\" {CANARY}").as_bytes()),
        field(3, CANARY.as_bytes()),
        blob,
    ] {
        let call = "switchboard.v1.VaultService/Store";
        let status = raw_call(&node, call, &store(&value)).await;
        silent(&format!("{status:?}"));
        assert_eq!(status.code(), tonic::Code::InvalidArgument, "{status:?}");
    }
    let caller = Caller::new(&node, Over::Grpc, "a");
    assert_eq!(caller.retrieve("*", CANARY).await.unwrap(), []);
}
