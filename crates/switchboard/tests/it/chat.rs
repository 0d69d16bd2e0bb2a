//! Chat over the real program: restarts, `kill -9` under load, and the command line.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::Value;
use switchboard_client::{
    Client,
    chat::{Entry, Happening, MessageStatus},
    session::Event,
};
use tokio::{sync::mpsc, task::JoinSet, time};
use tokio_stream::StreamExt as _;

use crate::node::{DEADLINE, Node, run, switchboard};

/// How often the node is killed.
const ROUNDS: u32 = 12;

const USERS: u32 = 6;

fn phone(number: u32) -> String {
    format!("+4179000000{number}")
}

/// What senders were told: by sender and name, the recipient and the id.
type Told = Arc<Mutex<BTreeMap<(u32, String), (u32, u64)>>>;

/// Sends until the node is killed: some of it again, at the end some receipts.
async fn load(url: String, told: Told, from: u32, round: u32) {
    let client = Client::new(&url).unwrap().with_timeout(Duration::from_millis(400));
    for number in 0..10_000_u32 {
        // One in four was sent in an earlier round.
        let of = if number.is_multiple_of(4) { round / 2 } else { round };
        let name = format!("{of}-{number}");
        let to = (from + 1 + number % (USERS - 1)) % USERS;
        let text = format!("text of {name}");
        let sent = client.send_message(&phone(from), &phone(to), &text, Some(&name)).await;
        let Ok((message, new)) = sent else { return };
        {
            let mut told = told.lock().unwrap();
            if let Some(before) = told.insert((from, name.clone()), (to, message.id)) {
                assert_eq!((before, false), ((to, message.id), new), "{name} was told twice");
            }
        }
        if number % 7 == 0 {
            let by = (phone(to), phone(from));
            let read = client.acknowledge(&by.0, &by.1, None, Some(message.id)).await;
            if read.is_err() {
                return;
            }
        }
    }
}

/// A device that follows: it must see its inbox in order, once, whatever the node does.
fn follow(node: &Node, number: u32) -> (switchboard_client::Session, mpsc::Receiver<Entry>) {
    let (entries, came) = mpsc::channel(10_000);
    let session = Client::new(&format!("tcp://{}", node.tcp))
        .unwrap()
        .connect(phone(number))
        .with_inbox("")
        .with_events(move |event| {
            if let Event::Happened(entry) = event {
                entries.try_send(entry).unwrap();
            }
        })
        .start()
        .unwrap();
    (session, came)
}

async fn inbox(client: &Client, number: u32) -> Vec<Entry> {
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let page = client.read_inbox(&phone(number), &after, 1_000).await.unwrap();
        if page.entries.is_empty() {
            return all;
        }
        all.extend(page.entries);
        after = page.next_cursor;
    }
}

#[test]
fn nothing_acknowledged_is_lost_or_doubled() {
    let options = ["--log-segment-mib", "1", "--checkpoint-messages", "500"];
    let mut node = Node::with(&options);
    let told = Told::default();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for round in 0..ROUNDS {
        runtime.block_on(async {
            let mut callers = JoinSet::new();
            for from in 0..USERS {
                callers.spawn(load(node.url(), Arc::clone(&told), from, round));
            }
            // Once the load gets through, at a moment that is not to be chosen.
            let before = told.lock().unwrap().len();
            let through = async {
                while told.lock().unwrap().len() < before + 50 {
                    time::sleep(Duration::from_millis(1)).await;
                }
            };
            time::timeout(DEADLINE, through).await.unwrap();
            time::sleep(Duration::from_millis(u64::from(round * 7))).await;
            node.kill();
            callers.join_all().await;
        });
        node.start_again();
    }
    runtime.block_on(check(&node, &told));
}

async fn check(node: &Node, told: &Told) {
    let told = told.lock().unwrap().clone();
    assert!(usize::try_from(ROUNDS * 50).unwrap() <= told.len(), "{} messages", told.len());
    let client = Client::new(&node.url()).unwrap();
    let mut inboxes = Vec::new();
    for number in 0..USERS {
        inboxes.push(inbox(&client, number).await);
    }
    for (number, inbox) in (0..).zip(&inboxes) {
        let sequences: Vec<u64> = inbox.iter().map(|entry| entry.sequence).collect();
        assert_eq!(sequences, (1..=inbox.len() as u64).collect::<Vec<_>>(), "user {number}");
        // Ids of each chat count from 1, in order, without gaps; names are there once.
        let mut last: BTreeMap<&str, u64> = BTreeMap::new();
        let mut marks: BTreeMap<&str, u64> = BTreeMap::new();
        for entry in inbox {
            match &entry.what {
                Happening::Message(message) => {
                    let last = last.entry(&message.chat).or_default();
                    assert_eq!(message.id, *last + 1, "user {number}, chat {}", message.chat);
                    *last = message.id;
                }
                Happening::Delivered(receipt) | Happening::Read(receipt) => {
                    let mark = marks.entry(&receipt.chat).or_default();
                    assert!(*mark < receipt.up_to, "marks move forward");
                    assert!(receipt.up_to <= last[receipt.chat.as_str()]);
                    *mark = receipt.up_to;
                }
                other => panic!("{other:?}"),
            }
        }
    }
    for ((from, name), (to, id)) in &told {
        for user in [from, to] {
            let chat = phone(if user == from { *to } else { *from });
            let there = inboxes[*user as usize].iter().filter(|entry| match &entry.what {
                Happening::Message(it) => {
                    it.chat == chat && it.id == *id && it.text == format!("text of {name}")
                }
                _ => false,
            });
            assert_eq!(there.count(), 1, "{name} of {from} in the inbox of {user}");
        }
    }
    for ((from, name), (to, id)) in told.iter().step_by(37) {
        let text = format!("text of {name}");
        let again = client.send_message(&phone(*from), &phone(*to), &text, Some(name)).await;
        let (message, new) = again.unwrap();
        assert_eq!((message.id, new), (*id, false), "{name}");
    }
    check_unread(&client, &inboxes).await;
}

/// Unread is what a plain count says.
async fn check_unread(client: &Client, inboxes: &[Vec<Entry>]) {
    for number in 0..USERS {
        for chat in client.list_chats(&phone(number), 100, "").await.unwrap().entries {
            let peer = (0..USERS).find(|&other| phone(other) == chat.peer).unwrap();
            let own = phone(number);
            let read = inboxes[peer as usize].iter().filter_map(|entry| match &entry.what {
                Happening::Read(receipt) if receipt.chat == own => Some(receipt.up_to),
                _ => None,
            });
            let mark = read.max().unwrap_or_default();
            let unread = inboxes[number as usize].iter().filter(|entry| match &entry.what {
                Happening::Message(it) => {
                    it.from == chat.peer && it.chat == chat.peer && mark < it.id
                }
                _ => false,
            });
            assert_eq!(chat.unread, unread.count() as u64, "{own} with {}", chat.peer);
        }
    }
}

#[test]
fn a_device_that_follows_sees_all_once_whatever_the_node_does() {
    let mut node = Node::with(&["--log-segment-mib", "1", "--checkpoint-messages", "100"]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (_first, mut came) = follow(&node, 1);
        let (_second, mut other) = follow(&node, 1);
        let client = Client::new(&node.url()).unwrap().with_timeout(DEADLINE);
        for round in 0..4 {
            for number in 0..50 {
                let name = format!("{round}-{number}");
                client.send_message(&phone(0), &phone(1), "hi", Some(&name)).await.unwrap();
            }
            node.kill();
            node.start_again_in_place();
        }
        for device in [&mut came, &mut other] {
            for sequence in 1..=200 {
                let entry = time::timeout(DEADLINE, device.recv()).await.unwrap().unwrap();
                assert_eq!(entry.sequence, sequence);
            }
        }
        let mut stream = client.follow_inbox(&phone(1), "").await.unwrap();
        for sequence in 1..=200 {
            let entry = time::timeout(DEADLINE, stream.next()).await.unwrap().unwrap().unwrap();
            assert_eq!(entry.sequence, sequence);
        }
        // The sessions acknowledge by themselves, and what was said is said again.
        let delivered = async {
            loop {
                let page = client.list_messages(&phone(0), &phone(1), 200, "").await.unwrap();
                if page.entries.iter().all(|it| it.status == MessageStatus::Delivered) {
                    return page.entries.len();
                }
                time::sleep(Duration::from_millis(10)).await;
            }
        };
        assert_eq!(time::timeout(DEADLINE, delivered).await.unwrap(), 200);
    });
}

#[test]
fn the_command_line() {
    let node = Node::start();
    let url = node.url();
    let ask = |arguments: &[&str]| {
        let output = run(switchboard().arg("chat").args(["--url", &url, "--json"]).args(arguments));
        let (out, err) = (String::from_utf8(output.stdout), String::from_utf8(output.stderr));
        (output.status.code(), out.unwrap(), err.unwrap())
    };
    let [ann, bob] = [0, 1].map(phone);
    assert_eq!(ask(&["register", &bob, "--name", "Bob"]).0, Some(0));
    let (code, out, err) = ask(&["send", "--from", &ann, "--to", &bob, "--id", "m", "hello"]);
    assert_eq!(code, Some(0), "{err}");
    let sent: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&sent["new"], &sent["message"]["id"]), (&true.into(), &1.into()));
    let (_, out, _) = ask(&["chats", &ann]);
    let chat: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&chat["peer"], &chat["peer_name"]), (&bob.as_str().into(), &"Bob".into()));
    for number in 0..30 {
        ask(&["send", "--from", &ann, "--to", &bob, &format!("{number}")]);
    }
    let (_, out, _) = ask(&["messages", &bob, &ann, "--limit", "7", "--all"]);
    let ids = out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].clone());
    assert_eq!(ids.collect::<Vec<_>>(), (1..=31).rev().map(Value::from).collect::<Vec<_>>());
    let (_, out, _) = ask(&["trace", &ann, "m"]);
    assert!(out.contains(r#""step":"signalled""#), "{out}");
    for (arguments, code, says) in [
        (["trace", ann.as_str(), "none"], 1, "not_found"),
        (["messages", "12", bob.as_str()], 1, "invalid_phone"),
        (["messages", ann.as_str(), ann.as_str()], 1, "invalid_recipient"),
        (["messages", ann.as_str(), "--nonsense"], 2, "nonsense"),
    ] {
        let (ended, _, err) = ask(&arguments);
        assert_eq!(ended, Some(code), "{err}");
        assert!(err.contains(says), "{err}");
    }
}
