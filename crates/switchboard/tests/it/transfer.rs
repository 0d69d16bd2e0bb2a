//! From a directory to a database and back: the same answers, whatever happens on the way.

use std::{
    process::{Command, Output},
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use switchboard_client::{
    Client,
    bus::{Draft, Interest, QueueSettings, Settlement},
    vault::{EncryptionKey, Record, StoreOptions, VaultValue},
};
use switchboard_servers::{Nats, Postgres};
use tempfile::TempDir;

use crate::node::{DEADLINE, Node, run, switchboard, until};

const USERS: u32 = 4;

fn phone(number: u32) -> String {
    format!("+4179000000{number}")
}

fn key() -> EncryptionKey {
    EncryptionKey::new("a key that nobody guesses")
}

fn carry(word: &str, folder: &str, store: &str) -> Command {
    let mut command = switchboard();
    command.args([word, "--data-dir", folder, "--store", store]);
    command
}

#[track_caller]
fn told(output: &Output, code: i32) -> String {
    let out = String::from_utf8_lossy(&output.stdout);
    let told = format!("{out}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{told}");
    told
}

/// Fills a node over its transports, and tells a delivery that is under way.
fn fill(node: &Node) -> String {
    for tenant in ["a", "b"] {
        let keys: Vec<String> = (0..2_000).map(|n| format!("K-{n:05}-A")).collect();
        let body = json!({ "keys": keys }).to_string();
        assert_eq!(node.post(&format!("/v1/tenants/{tenant}/ingest/batch"), &body).0, 200);
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let delivery = runtime.block_on(async {
        let client = Client::new(&node.url()).unwrap();
        for number in 0..120_u32 {
            let (from, to) = (number % USERS, (number + 1 + number % (USERS - 1)) % USERS);
            let (from, to) = if from == to { (from, (to + 1) % USERS) } else { (from, to) };
            let (from, to) = (phone(from), phone(to));
            let (text, name) = (format!("text {number} \u{1f980}"), format!("{number}"));
            let sent = client.send_message(&from, &to, &text, Some(&name)).await.unwrap();
            if number % 5 == 0 {
                let id = Some(sent.0.id);
                let (delivered, read) = if number % 2 == 0 { (id, None) } else { (None, id) };
                client.acknowledge(&to, &from, delivered, read).await.unwrap();
            }
        }
        for number in 0..20_u32 {
            let value = VaultValue::json(format!("{{\"number\":{number}}}"));
            let id = format!("record-{number}");
            client.store(&id, &value, &key(), StoreOptions::default()).await.unwrap();
        }
        client.delete("record-7", &key()).await.unwrap();
        let interest = Interest::new(["jobs.>"]);
        let settings = QueueSettings { ack_timeout_ms: 3_600_000, ..QueueSettings::new(interest) };
        client.create_queue("work", settings, "start").await.unwrap();
        for number in 0..40_u32 {
            let draft = Draft::new(format!("jobs.{}", number % 3), "t", format!("job {number}"));
            client.publish(draft.with_key(format!("{number}"))).await.unwrap();
            let draft = Draft::new("metrics.cpu", "t", format!("{number}"));
            client.publish(draft).await.unwrap();
        }
        let pulled = client.pull("work", 10, Duration::ZERO).await.unwrap();
        let ids: Vec<_> = pulled.iter().map(|delivery| delivery.id.clone()).collect();
        let settlement = Settlement::ack(ids[..6].to_vec());
        client.settle("work", settlement).await.unwrap();
        ids[8].clone()
    });
    // What is not kept has gone before the move.
    until("metrics have expired", || {
        let (_, page) = node.get("/v1/tenants/default/events?topics=metrics.%3E&after=start");
        page.contains("\"events\":[]")
    });
    delivery
}

/// What a node answers to everything that was asked before.
fn answers(node: &Node) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    let mut ask = |path: String| {
        let (status, answer) = node.get(&format!("/v1/tenants/default{path}"));
        let mut answer: Value = serde_json::from_str(&answer).unwrap();
        // An age goes on with the time: that there is one is compared, and `oldest_at`.
        if let Some(age) = answer.get_mut("oldest_age_ms") {
            *age = json!(age.is_number());
        }
        all.push((path, json!([status, answer])));
    };
    for user in 0..USERS {
        let of = format!("/users/%2B4179000000{user}");
        ask(format!("{of}/inbox?limit=1000"));
        ask(format!("{of}/chats"));
        for peer in (0..USERS).filter(|peer| *peer != user) {
            ask(format!("{of}/chats/%2B4179000000{peer}/messages?limit=1000"));
        }
    }
    ask("/events?topics=%3E&after=start&limit=1000".to_owned());
    ask("/events?topics=metrics.%3E&after=1".to_owned());
    ask("/events?topics=jobs.1&after=40".to_owned());
    ask("/queues/work".to_owned());
    for tenant in ["a", "b"] {
        for number in [0, 1, 999, 1_999] {
            let key = format!("K-{number:05}-A");
            all.push((key.clone(), json!(node.ingest(tenant, &key))));
        }
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let records = runtime.block_on(async {
        let client = Client::new(&node.url()).unwrap();
        client.retrieve_all("*", &key()).await.unwrap()
    });
    assert_eq!(records.len(), 19);
    let record = |it: &Record| format!("{} {} {}", it.id, it.version, it.updated_at);
    all.push(("records".to_owned(), json!(records.iter().map(record).collect::<Vec<_>>())));
    all
}

#[track_caller]
fn assert_same(here: Vec<(String, Value)>, there: &[(String, Value)]) {
    for ((path, here), (_, there)) in here.into_iter().zip(there) {
        assert_eq!(here, *there, "{path}");
    }
}

/// What was under way goes on, and what is new comes behind what was there.
fn goes_on(node: &Node, delivery: String) {
    let answer = node.ingest("a", "K-zzzzz-Z");
    let id = answer.strip_prefix("\"id\":").unwrap().split(',').next().unwrap();
    assert!(4_000 < id.parse::<u64>().unwrap() && answer.ends_with("\"new\":true"), "{answer}");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = Client::new(&node.url()).unwrap();
        let settled = client.settle("work", Settlement::ack(vec![delivery])).await.unwrap();
        assert_eq!(settled.done, 1, "a delivery from before");
        let pulled = client.pull("work", 100, Duration::ZERO).await.unwrap();
        assert_eq!(pulled.len(), 30, "those that were never delivered");
        let again = Draft::new("jobs.0", "t", "job 0").with_key("0");
        assert!(!client.publish(again).await.unwrap().new, "a key from before");
        let (_, new) =
            client.send_message(&phone(0), &phone(1), "text 0 \u{1f980}", Some("0")).await.unwrap();
        assert!(!new, "a message from before");
        let events = client.read_events(&Interest::new(["jobs.>"]), "start", 100).await.unwrap();
        assert_eq!(events.events.len(), 40);
    });
}

fn filled() -> (Node, String, Vec<(String, Value)>) {
    let options = ["--log-segment-mib", "1", "--checkpoint-messages", "50"];
    let options = [&options[..], &["--retention", "metrics.>=1s"]].concat();
    let mut node = Node::with(&options);
    let delivery = fill(&node);
    let answers = answers(&node);
    assert_eq!(node.stop(), 0);
    (node, delivery, answers)
}

/// A node on a directory that was filled by an import.
fn node_on(folder: TempDir) -> Node {
    Node::on(folder, &["--log-segment-mib", "1", "--retention", "metrics.>=1s"])
}

#[test]
fn everything_moves_to_a_database_and_back() {
    let server = Postgres::start().unwrap();
    let store = server.database().unwrap();
    let (node, delivery, before) = filled();
    let data = node.data();
    let data = data.to_str().unwrap();

    let output = told(&run(&mut carry("export", data, &store)), 0);
    assert!(output.contains("both sides are equal") && !output.contains("NOT"), "{output}");
    let again = told(&run(&mut carry("export", data, &store)), 0);
    assert!(again.contains("everything was carried before"), "{again}");

    let nats = Nats::start().unwrap();
    let signals = nats.url();
    let options = ["--store", store.as_str(), "--signals", signals.as_str()];
    let mut there = Node::with(&[&options[..], &["--retention", "metrics.>=1s"]].concat());
    assert_same(answers(&there), &before);
    // Who serves can't be carried.
    let output = told(&run(&mut carry("import", "/nowhere/at/all", &store)), 1);
    assert!(output.contains("a node uses the database"), "{output}");
    assert_eq!(there.stop(), 0);

    let folder = TempDir::new().unwrap();
    let new = folder.path().join("data");
    let new = new.to_str().unwrap();
    let output = run(carry("import", new, &store).arg("--json"));
    let moved: Value = serde_json::from_str(&told(&output, 0)).unwrap();
    assert_eq!(moved["equal"], true, "{moved}");
    let rows = |name: &str| {
        let mut sections = moved["sections"].as_array().unwrap().iter();
        sections.find(|it| it["section"] == name).unwrap()["here"]["rows"].as_u64().unwrap()
    };
    assert_eq!((rows("keys"), rows("records"), rows("events")), (4_000, 19, 40));
    assert_eq!((rows("queues"), rows("deliveries")), (1, 4));

    let mut moved = node_on(folder);
    assert_same(answers(&moved), &before);
    goes_on(&moved, delivery);
    assert_eq!(moved.stop(), 0);
    // The two are not what they were.
    let output = told(&run(&mut carry("import", new, &store)), 1);
    assert!(output.contains("something has changed on one side since"), "{output}");
}

#[test]
fn a_move_that_is_killed_goes_on_where_it_was() {
    let server = Postgres::start().unwrap();
    let store = server.database().unwrap();
    let (node, delivery, before) = filled();
    let data = node.data();
    let folder = TempDir::new().unwrap();
    let new = folder.path().join("data");
    for (word, folder) in [("export", &data), ("import", &new)] {
        // Each time it gets a little further, until it gets through.
        let mut killed = 0;
        let longer = |delay: &Duration| Some(*delay * 3 / 2);
        for delay in std::iter::successors(Some(Duration::from_millis(40)), longer) {
            let mut child = carry(word, folder.to_str().unwrap(), &store)
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap();
            thread::sleep(delay);
            let ended = child.try_wait().unwrap();
            child.kill().unwrap();
            let status = child.wait().unwrap();
            if let Some(status) = ended {
                assert!(status.success(), "{word}: {status}");
                break;
            }
            assert!(delay < DEADLINE, "{word} never ends: {status}");
            killed += 1;
        }
        assert!(0 < killed, "{word} was never killed");
        let again = told(&run(&mut carry(word, folder.to_str().unwrap(), &store)), 0);
        assert!(again.contains("everything was carried before"), "{again}");
    }
    let mut moved = node_on(folder);
    assert_same(answers(&moved), &before);
    goes_on(&moved, delivery);
    assert_eq!(moved.stop(), 0);
}

#[test]
fn what_can_not_be_carried_is_told_and_nothing_is_changed() {
    let server = Postgres::start().unwrap();
    let store = server.database().unwrap();
    let folder = TempDir::new().unwrap();
    let missing = folder.path().join("nowhere");
    let missing = missing.to_str().unwrap();
    let output = told(&run(&mut carry("export", missing, &store)), 1);
    assert!(output.contains("there is no store in"), "{output}");
    assert!(!folder.path().join("nowhere").exists());
    let output = told(&run(&mut carry("export", missing, "embedded")), 2);
    assert!(output.contains("--store is the database"), "{output}");

    // A directory that a node uses, and one that holds something else.
    let mut node = Node::start();
    assert_eq!(node.ingest("a", "K-00000-A"), "\"id\":1,\"new\":true");
    let data = node.data();
    let data = data.to_str().unwrap();
    let output = told(&run(&mut carry("export", data, &store)), 1);
    assert!(output.contains("in use by process"), "{output}");
    assert_eq!(node.stop(), 0);
    let output = told(&run(&mut carry("import", data, &store)), 1);
    assert!(output.contains("the directory holds something else"), "{output}");
    node.start_again();
    assert_eq!(node.ingest("a", "K-00000-A"), "\"id\":1,\"new\":false");
    assert_eq!(node.stop(), 0);
    told(&run(&mut carry("export", data, &store)), 0);
    let mut other = Node::start();
    other.ingest("a", "K-00001-A");
    assert_eq!(other.stop(), 0);
    let output = run(&mut carry("export", other.data().to_str().unwrap(), &store));
    assert!(told(&output, 1).contains("the database holds something else"));
}
