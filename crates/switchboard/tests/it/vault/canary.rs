//! Keys and values that stand nowhere else are sent in every way, right and wrong. Afterwards they
//! are looked for wherever the node might have left them.

use std::{
    fs,
    io::Write as _,
    net::TcpListener as Listener,
    process::Stdio,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use switchboard_client::{
    Client,
    vault::{EncryptionKey, StoreOptions, VaultValue},
};
use switchboard_core::vault;
use tokio::{net::TcpListener, runtime::Runtime, task::JoinSet};

use super::search::{Search, assert_none, canary};
use crate::node::{Node, until};

/// All that is sent as a key, by what it is.
const KEYS: [&str; 6] =
    ["key of REST", "new key of REST", "key of gRPC", "new key of gRPC", "key of CLI", "wrong key"];

/// All that is sent as a value.
const VALUES: [&str; 5] =
    ["value of REST", "chunked value", "value of gRPC", "bytes of gRPC", "value of CLI"];

/// What is sent where nothing of the kind belongs.
const MISPLACED: [&str; 6] =
    ["of no JSON", "of another type", "unknown field", "in the address", "trailing", "refused"];

/// An id and a message, which are no secrets: where they are, a search finds them.
const ID: &str = "canary-record-5b1f0c7e";
const MESSAGE: &str = "canary-message-93ac41d0";

/// The key of this name: one is a generated one.
fn secret_key(name: &str) -> String {
    if name != "key of REST" {
        return canary(name);
    }
    let key = vault::EncryptionKey::generated(generated().as_slice().try_into().unwrap());
    str::from_utf8(key.expose()).unwrap().to_owned()
}

/// What the generated key is made of.
fn generated() -> Vec<u8> {
    canary("a generated key").into_bytes()[..32].to_vec()
}

fn search(misplaced: bool) -> Search {
    let mut search = Search::new().bytes("random bytes of a key", generated());
    for name in KEYS {
        // What a generated key begins and ends with is short; its middle is as good.
        let text = secret_key(name);
        search = search.text(name, text.strip_prefix("swvk1_").unwrap_or(&text));
    }
    for name in VALUES {
        search = search.text(name, &canary(name));
    }
    for name in MISPLACED.into_iter().filter(|_| misplaced) {
        search = search.text(name, &canary(name));
    }
    search
}

fn raw(node: &Node, request: &str) -> String {
    let mut stream = std::net::TcpStream::connect(&node.main).unwrap();
    stream.set_read_timeout(Some(crate::node::DEADLINE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    std::io::read_to_string(stream).unwrap()
}

/// A body in pieces, as of a program that doesn't know how long it will be.
fn chunked(body: &str) -> String {
    let pieces = body
        .as_bytes()
        .chunks(7)
        .map(|piece| format!("{:x}\r\n{}\r\n", piece.len(), str::from_utf8(piece).unwrap()));
    let head = "POST /v1/tenants/default/vault/store HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\
                content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    format!("{head}{}0\r\n\r\n", pieces.collect::<String>())
}

fn over_rest(node: &Node) {
    let [key, new] = ["key of REST", "new key of REST"].map(secret_key);
    let long = canary("value of REST").repeat(2_000);
    for (id, value) in [(ID, canary("value of REST")), ("rest-2", long)] {
        node.store(id, &key, &json!({"name": value}));
    }
    let body = json!({"id": "rest-3", "encryption_key": key, "value": canary("chunked value")});
    assert!(raw(node, &chunked(&body.to_string())).starts_with("HTTP/1.1 201"));
    assert_eq!(node.retrieve("*", &key).len(), 3);
    assert_eq!(node.retrieve("*", &secret_key("wrong key")).len(), 0);
    assert_eq!(node.retrieve(ID, &secret_key("wrong key")).len(), 0);
    let rekey = json!({"id": "*", "old_encryption_key": key, "new_encryption_key": new});
    assert_eq!(node.vault("rekey", &rekey).0, 200);
    let delete = json!({"id": "rest-3", "encryption_key": new});
    assert_eq!(node.vault("delete", &delete).0, 200);
    assert_eq!(node.retrieve("*", &new).len(), 2);
}

async fn over_grpc(url: String) {
    let client = Client::new(&url).unwrap();
    let [key, new, wrong] = ["key of gRPC", "new key of gRPC", "wrong key"]
        .map(|name| EncryptionKey::new(secret_key(name)));
    let text = canary("value of gRPC");
    let bytes = canary("bytes of gRPC").into_bytes();
    for (id, value) in [
        ("grpc-1", VaultValue::json(format!("[\"{text}\"]"))),
        ("grpc-2", VaultValue::json(format!("[\"{}\"]", text.repeat(2_000)))),
        ("grpc-3", VaultValue::bytes("text/plain", bytes)),
    ] {
        client.store(id, &value, &key, StoreOptions::default()).await.unwrap();
    }
    let no_json = VaultValue::json(format!("\"{text}\" {text}"));
    let refused = client.store("grpc-4", &no_json, &key, StoreOptions::default()).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), "invalid_value");
    let told = format!("{refused:?} {refused}");
    assert_none(search(true).look(told.as_bytes(), |at| format!("an error at {at}")));
    assert_eq!(client.retrieve_all("*", &key).await.unwrap().len(), 3);
    assert_eq!(client.retrieve_all("*", &wrong).await.unwrap().len(), 0);
    assert_eq!(client.rekey("*", &key, &new).await.unwrap(), 3);
    assert_eq!(client.delete("grpc-3", &new).await.unwrap(), 1);
}

fn from_the_command_line(node: &Node) {
    let path = node.folder.path().join("key");
    fs::write(&path, secret_key("key of CLI")).unwrap();
    for (arguments, input) in [
        (&["store", "cli"][..], format!("{{\"a\":\"{}\"}}", canary("value of CLI"))),
        (&["retrieve", "*"], String::new()),
        (&["delete", "*"], String::new()),
    ] {
        let mut command = node.command(&["vault"]);
        command.args(arguments).arg("--key-file").arg(&path);
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = piped.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }
    fs::remove_file(&path).unwrap();
}

/// What is wrong, each time at another place.
fn misplaced(node: &Node) {
    let of = |name: &str| canary(name);
    let path = "/v1/tenants/default/vault/store";
    for body in [
        format!("{{\"id\":\"a\",\"encryption_key\":\"{0}\",\"value\":{0}}}", of("of no JSON")),
        format!("{{\"id\":\"a\",\"encryption_key\":[\"{}\"],\"value\":1}}", of("of another type")),
        format!("{{\"id\":\"a\",\"encryption_key\":\"k\",\"{}\":1}}", of("unknown field")),
        format!("{{\"id\":\"a\",\"encryption_key\":\"k\",\"value\":1}} {}", of("trailing")),
        json!({"id": "a*", "encryption_key": of("refused"), "value": of("refused")}).to_string(),
        json!({"id": "", "encryption_key": of("refused"), "value": of("refused")}).to_string(),
    ] {
        let (status, answer) = node.post(path, &body);
        assert_eq!(status, 400, "{answer}");
        assert_none(search(true).look(answer.as_bytes(), |at| format!("the answer at {at}")));
    }
    let address = format!("{path}?encryption_key={}", of("in the address"));
    assert_eq!(node.post(&address, r#"{"id":"a","value":1}"#).0, 400);
    assert_eq!(node.get(&address).0, 405);
    let mut wrong = node.command(&["vault", "store", "a*", "1"]);
    let output = wrong.env("SWITCHBOARD_ENCRYPTION_KEY", of("refused")).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
}

/// Takes what is exported over OTLP, and answers that all is well.
async fn collect(collector: TcpListener, exported: Arc<Mutex<Vec<u8>>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = collector.accept().await {
        let exported = Arc::clone(&exported);
        connections.spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let exported = Arc::clone(&exported);
                async move {
                    let body = request.into_body().collect().await?.to_bytes();
                    exported.lock().unwrap().extend_from_slice(&body);
                    let mut trailers = HeaderMap::new();
                    trailers.insert("grpc-status", HeaderValue::from_static("0"));
                    // An empty message.
                    let frames =
                        [Frame::data(Bytes::from_static(&[0; 5])), Frame::trailers(trailers)];
                    let frames = tokio_stream::iter(frames.map(Ok::<_, hyper::Error>));
                    let mut response = Response::new(StreamBody::new(frames));
                    let grpc = HeaderValue::from_static("application/grpc");
                    response.headers_mut().insert("content-type", grpc);
                    Ok::<_, hyper::Error>(response)
                }
            });
            let builder = http2::Builder::new(TokioExecutor::new());
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn holds(bytes: &[u8], text: &str) -> bool {
    let search = Search::new().bytes("it", text.as_bytes().to_vec());
    !search.look(bytes, |at| at.to_string()).is_empty()
}

#[test]
fn nothing_is_kept_on_disk_or_told_to_anybody() {
    let collector = Listener::bind("127.0.0.1:0").unwrap();
    collector.set_nonblocking(true).unwrap();
    let endpoint = format!("http://{}", collector.local_addr().unwrap());
    let runtime = Runtime::new().unwrap();
    let traces = Arc::<Mutex<Vec<u8>>>::default();
    let _collecting = {
        let _entered = runtime.enter();
        let mut collecting = JoinSet::new();
        let collector = TcpListener::from_std(collector).unwrap();
        collecting.spawn(collect(collector, Arc::clone(&traces)));
        collecting
    };
    let mut node = Node::with(&[
        "--log-filter",
        "trace",
        "--log-format",
        "json",
        "--otlp-endpoint",
        &endpoint,
        "--trace-sample",
        "1",
    ]);
    // At this level it tells of frames that end without an error, by that word.
    node.may_err();
    over_rest(&node);
    runtime.block_on(over_grpc(node.url()));
    from_the_command_line(&node);
    misplaced(&node);
    let search = search(true);
    let (_, metrics) = node.get_admin("/metrics");
    assert_none(search.look(metrics.as_bytes(), |at| format!("metrics at {at}")));
    assert!(holds(metrics.as_bytes(), "switchboard_vault_records_total"));

    // As it is while the node runs, and after it has put everything away.
    assert_none(search.files(&node.data()));
    assert_eq!(node.stop(), 0);
    let data = node.data();
    assert_none(search.files(&data));
    let id = Search::new().bytes("the id", ID.as_bytes().to_vec());
    assert!(!id.files(&data).is_empty(), "a search finds what is there");
    for (name, told) in [("log", node.log()), ("standard output", node.said())] {
        assert_none(search.look(told.as_bytes(), |at| format!("{name} at {at}")));
    }
    assert!(holds(node.log().as_bytes(), ID), "the log tells of a wrong key, with the id");
    assert!(!holds(node.log().as_bytes(), "\"level\":\"ERROR\""));
    assert!(holds(node.said().as_bytes(), &node.main));
    until("traces come", || holds(&traces.lock().unwrap(), "request"));
    let traces = traces.lock().unwrap();
    assert!(holds(&traces, "vault") && holds(&traces, "rekey"));
    assert_none(search.look(&traces, |at| format!("traces at {at}")));
}

/// Something that is done with a node.
type Step<'a> = &'a dyn Fn(&Node);

#[test]
fn nothing_is_left_in_memory() {
    // Otherwise only the administrator may look.
    let node = Node::with(&["--core-dumps"]);
    let message = json!({"to": "+41790000002", "text": MESSAGE}).to_string();
    let (status, answer) = node.post("/v1/tenants/default/users/+41790000001/messages", &message);
    assert_eq!(status, 201, "{answer}");
    let known = Search::new()
        .bytes("the message", MESSAGE.as_bytes().to_vec())
        .bytes("the id", ID.as_bytes().to_vec());
    let search = search(false);
    let alone = |node: &Node| {
        for name in ["key of REST", "wrong key"] {
            node.retrieve(ID, &secret_key(name));
        }
    };
    let grpc = |node: &Node| Runtime::new().unwrap().block_on(over_grpc(node.url()));
    // Each looked for at once: later work might write over what the former has left.
    let steps: [(&str, Step<'_>); 4] = [
        ("REST", &over_rest),
        ("one call each", &alone),
        ("gRPC", &grpc),
        ("the command line", &from_the_command_line),
    ];
    for (step, work) in steps {
        work(&node);
        // What asks is a connection too.
        until("all connections are closed", || node.counted("switchboard_connections") <= 1);
        assert_none(search.memory(node.id(), step));
    }
    let found = known.memory(node.id(), "it");
    for what in ["the message", "the id"] {
        assert!(found.iter().any(|hit| hit.of == what), "a search finds what is there: {what}");
    }
}
