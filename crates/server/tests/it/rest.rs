//! REST: what is taken, what is refused, and with which name.

use crate::node::Node;

#[track_caller]
fn check((status, body): &(u16, String), expected: u16, says: &str) {
    assert_eq!(*status, expected, "{body}");
    assert!(body.contains(says), "{says:?} is not in {body}");
}

const ONE: &str = "/v1/tenants/a/ingest";
const BATCH: &str = "/v1/tenants/a/ingest/batch";

#[tokio::test]
async fn the_sample_conversation() {
    let node = Node::start().await;
    for (tenant, key, id, new) in [
        ("3bd1c697", "K-h53dk-A", 1, true),
        ("75682017", "K-h53dk-A", 2, true),
        ("3bd1c697", "K-867vc-C", 3, true),
        ("75682017", "K-h53dk-A", 2, false),
    ] {
        let path = format!("/v1/tenants/{tenant}/ingest");
        let answer = node.post(&path, format!(r#"{{"key":"{key}"}}"#)).await;
        check(&answer, 200, &format!(r#","id":{id},"new":{new}}}"#));
        assert!(answer.1.starts_with(r#"{"timestamp":1"#), "{}", answer.1);
    }
}

#[tokio::test]
async fn bad_input_is_named_and_changes_nothing() {
    let node = Node::start().await;
    let long = format!(r#"{{"key":"{}"}}"#, "x".repeat(2 * 1024 * 1024));
    for (path, body, status, code) in [
        (ONE, r#"{"key":"K-4bbf1-p"}"#, 400, "invalid_key"),
        (ONE, r#"{"key":""}"#, 400, "invalid_key"),
        (ONE, r#"{"key":1}"#, 400, "invalid_request"),
        (ONE, r#"{"key":"K-4bbf1-P","x":1}"#, 400, "invalid_request"),
        (ONE, r#"{"key":"K-4bbf1-P","key":"K-4bbf1-P"}"#, 400, "invalid_request"),
        (ONE, r#"{"key":"K-4bbf1-P"} x"#, 400, "invalid_request"),
        (ONE, r#"{"key":"K-4bbf1-P""#, 400, "invalid_request"),
        (ONE, r"{}", 400, "invalid_request"),
        (ONE, r#"["K-4bbf1-P",1]"#, 400, "invalid_request"),
        (ONE, "", 400, "invalid_request"),
        (ONE, &long, 413, "too_large"),
        (BATCH, r#"{"keys":[]}"#, 400, "invalid_request"),
        (BATCH, r#"{"keys":["K-4bbf1-P","K-4bbf1"]}"#, 400, "invalid_key"),
        (BATCH, r#"{"keys":"K-4bbf1-P"}"#, 400, "invalid_request"),
        ("/v1/tenants/a%20b/ingest", r#"{"key":"K-4bbf1-P"}"#, 400, "invalid_tenant"),
        ("/v1/tenants/%FF/ingest", r#"{"key":"K-4bbf1-P"}"#, 400, "invalid_tenant"),
        ("/v1/tenants/a/nothing", r#"{"key":"K-4bbf1-P"}"#, 404, "not_found"),
    ] {
        let answer = node.post(path, body).await;
        check(&answer, status, &format!(r#""code":"{code}""#));
        check(&answer, status, &format!(r#""type":"urn:switchboard:{code}""#));
    }
    let invalid_utf8 = [br#"{"key":"K-4bbf1-"#.as_slice(), &[0xff], br#""}"#].concat();
    check(&node.post(ONE, invalid_utf8).await, 400, "invalid_request");
    let form = node.send("POST", ONE, "text/plain", br#"{"key":"K-4bbf1-P"}"#).await;
    check(&form, 415, "unsupported_media_type");
    check(&node.send("GET", ONE, "application/json", b"").await, 405, "method_not_allowed");

    let answer = node.post(ONE, r#"{"key":"K-4bbf1-P"}"#).await;
    check(&answer, 200, r#""id":1,"new":true"#);
}

#[tokio::test]
async fn a_body_without_a_length_is_limited_too() {
    let node = Node::start().await;
    let mut request = format!(
        "POST {ONE} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\
         content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    .into_bytes();
    for _ in 0..40 {
        request.extend(b"10000\r\n");
        request.resize(request.len() + 0x10000, b' ');
        request.extend(b"\r\n");
    }
    request.extend(b"0\r\n\r\n");
    let answer = crate::node::exchange(node.main, &request).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.contains("413 Payload Too Large"), "{answer}");
}

#[tokio::test]
async fn a_batch_is_recorded_whole_or_not_at_all() {
    let node = Node::start().await;
    let mut keys = vec![r#""K-4bbf1-P""#; 9_999];
    keys.push(r#""K-4bbf1-p""#);
    let answer = node.post(BATCH, format!(r#"{{"keys":[{}]}}"#, keys.join(","))).await;
    check(&answer, 400, "key at index 9999: a key is K-");
    keys[9_999] = r#""K-4bbf1-Q""#;
    let answer = node.post(BATCH, format!(r#"{{"keys":[{}]}}"#, keys.join(","))).await;
    check(&answer, 200, r#""id":1,"new":true"#);
    check(&answer, 200, r#""id":2,"new":true}]}"#);
    keys.push(r#""K-4bbf1-R""#);
    let answer = node.post(BATCH, format!(r#"{{"keys":[{}]}}"#, keys.join(","))).await;
    check(&answer, 413, "at most 10000 keys");
}

#[tokio::test]
async fn it_describes_itself() {
    let node = Node::start().await;
    let description = node.send("GET", "/openapi.json", "text/plain", b"").await;
    check(&description, 200, "/v1/tenants/{tenant}/ingest/batch");
    check(&node.send("GET", "/docs/", "text/plain", b"").await, 200, "swagger-ui");
    let script = node.send("GET", "/docs/swagger-initializer.js", "text/plain", b"").await;
    check(&script, 200, "/openapi.json");
    check(&node.send("GET", "/docs/nothing.js", "text/plain", b"").await, 404, "not_found");
}

#[tokio::test]
async fn a_panic_is_an_error_of_one_request() {
    let node = Node::start().await;
    let panics = format!(r#"{{"key":"{}"}}"#, crate::node::PANIC);
    check(&node.post(ONE, panics).await, 500, "internal");
    check(&node.post(ONE, r#"{"key":"K-4bbf1-P"}"#).await, 200, r#""id":1"#);
}
