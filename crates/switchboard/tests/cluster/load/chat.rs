//! Users who write to each other, each with a device that follows, all by way of the balancer.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use switchboard_client::{
    Client, Session, chat,
    chat::{Entry, Happening},
    session::Event,
};
use tokio::task::JoinSet;

use super::{Count, Ground, locked};
use crate::cluster::DEADLINE;

const TENANT: &str = "chat";

const USERS: usize = 6;

/// What became of a message: to whom, its id, and when its sender was told so.
#[derive(Clone, Copy, Debug)]
struct Sent {
    to: usize,
    id: u64,
    at: Instant,
}

/// What senders were told and devices got.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// By sender and name.
    sent: Mutex<HashMap<(usize, String), Sent>>,
    /// When a device got a message: by its user, the other user and the id.
    came: Mutex<HashMap<(usize, usize, u64), Instant>>,
    /// How far each device has come.
    inboxes: [Mutex<u64>; USERS],
    /// Held for as long as this is.
    sessions: Mutex<Vec<Arc<Session>>>,
    pub(crate) acknowledged: Count,
}

fn phone(user: usize) -> String {
    format!("+4179000000{user}")
}

fn text(from: usize, name: &str) -> String {
    format!("{name} of {from}")
}

fn user(phone: &str) -> usize {
    phone.strip_prefix("+4179000000").and_then(|it| it.parse().ok()).unwrap_or(USERS)
}

pub(crate) fn start(ground: &Ground, tasks: &mut JoinSet<()>) -> Arc<History> {
    let history = Arc::new(History::default());
    for number in 0..USERS {
        let session = Arc::new(follow(ground, &history, number));
        locked(&history.sessions).push(Arc::clone(&session));
        tasks.spawn(send(ground.clone(), Arc::clone(&history), number, session));
    }
    history
}

/// A device: it must get its user's inbox in order, each entry once.
fn follow(ground: &Ground, history: &Arc<History>, number: usize) -> Session {
    let (ground_, history) = (ground.clone(), Arc::clone(history));
    let told = move |event| {
        let Event::Happened(entry) = event else { return };
        let mut at = locked(&history.inboxes[number]);
        if entry.sequence != *at + 1 {
            ground_.wrong(format!("user {number} got {} after {}", entry.sequence, *at));
        }
        *at = entry.sequence;
        drop(at);
        if let Happening::Message(message) = entry.what {
            let message = (number, user(&message.chat), message.id);
            locked(&history.came).insert(message, Instant::now());
        }
    };
    let client = ground.tcp_client(TENANT);
    let session = client.connect(phone(number)).with_inbox("").with_events(told);
    session.start().unwrap()
}

/// Writes, every other user over its session; what is not answered is repeated under its name.
async fn send(ground: Ground, history: Arc<History>, from: usize, session: Arc<Session>) {
    let client = ground.client(TENANT);
    for number in 0_usize.. {
        let (to, name) = ((from + 1 + number % (USERS - 1)) % USERS, format!("m-{number}"));
        let text = text(from, &name);
        loop {
            let sent = if from.is_multiple_of(2) {
                session.send(&phone(to), &text, Some(&name)).await.map(|it| it.id)
            } else {
                let (from, to) = (phone(from), phone(to));
                client.send_message(&from, &to, &text, Some(&name)).await.map(|it| it.0.id)
            };
            match sent {
                Ok(id) => {
                    let sent = Sent { to, id, at: Instant::now() };
                    locked(&history.sent).insert((from, name), sent);
                    history.acknowledged.add();
                    break;
                }
                Err(error) => ground.saw("send", &error),
            }
            if ground.stopped() {
                return;
            }
        }
        if number.is_multiple_of(5) {
            // Whatever was read stays read; it is said again next time.
            let _ = client.acknowledge(&phone(from), &phone(to), None, Some(1)).await;
        }
        ground.pause(Duration::from_millis(60)).await;
        if ground.stopped() {
            return;
        }
    }
}

impl History {
    /// How long messages took from acknowledged to the device of their recipient, of those that
    /// were acknowledged in a time; those that have not come yet have taken until now.
    pub(crate) fn delays(&self, from: Instant, to: Instant) -> Vec<Duration> {
        let (sent, came) = (locked(&self.sent), locked(&self.came));
        let sent = sent.iter().filter(|(_, it)| from <= it.at && it.at < to);
        let mut delays: Vec<Duration> = sent
            .map(|((sender, _), it)| {
                let came = came.get(&(it.to, *sender, it.id)).copied();
                came.unwrap_or_else(Instant::now).saturating_duration_since(it.at)
            })
            .collect();
        delays.sort_unstable();
        delays
    }
}

async fn inbox(client: &Client, number: usize) -> Vec<Entry> {
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

/// What is wrong with an inbox by itself: sequences and ids of each chat count from 1 without gaps,
/// and marks move forward, never beyond what was sent.
fn judge(inbox: &[Entry]) -> Vec<String> {
    let mut wrong = Vec::new();
    let (mut last, mut marks) = (BTreeMap::<&str, u64>::new(), BTreeMap::<&str, u64>::new());
    for (expected, entry) in (1..).zip(inbox) {
        if entry.sequence != expected {
            wrong.push(format!("sequence {} in the place of {expected}", entry.sequence));
        }
        match &entry.what {
            Happening::Message(message) => {
                let last = last.entry(&message.chat).or_default();
                if message.id != *last + 1 {
                    wrong.push(format!("{} follows {last} of {}", message.id, message.chat));
                }
                *last = message.id;
            }
            Happening::Delivered(receipt) => {
                let mark = marks.entry(&receipt.chat).or_default();
                let sent = last.get(receipt.chat.as_str()).copied().unwrap_or_default();
                if receipt.up_to <= *mark || sent < receipt.up_to {
                    wrong.push(format!("delivered up to {}, of {mark} to {sent}", receipt.up_to));
                }
                *mark = receipt.up_to;
            }
            Happening::Read(_) => {}
            other => wrong.push(format!("{other:?}")),
        }
    }
    wrong
}

/// Whether two entries are the same; how far a message has come may differ.
fn same((one, other): (&Entry, &Entry)) -> bool {
    let what = match (&one.what, &other.what) {
        (Happening::Message(one), Happening::Message(other)) => {
            let status = other.status;
            chat::Message { status, ..one.clone() } == *other
        }
        (one, other) => one == other,
    };
    what && one.sequence == other.sequence
}

/// Looks at the inboxes, as each node tells them, and at what the devices got of them.
pub(crate) async fn check(ground: &Ground, history: &History) {
    let sent = locked(&history.sent).clone();
    let client = ground.client(TENANT);
    let mut there: HashMap<(usize, usize, u64), Vec<String>> = HashMap::new();
    for number in 0..USERS {
        // Devices acknowledge what they got: until that is over, something is added.
        let mut entries = inbox(&client, number).await;
        let begun = Instant::now();
        while *locked(&history.inboxes[number]) != entries.len() as u64 {
            if DEADLINE < begun.elapsed() {
                let at = *locked(&history.inboxes[number]);
                ground.wrong(format!("user {number} got {at} of {} entries", entries.len()));
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            entries = inbox(&client, number).await;
        }
        for wrong in judge(&entries) {
            ground.wrong(format!("inbox of user {number}: {wrong}"));
        }
        for url in &ground.nodes {
            let node = Client::new(url).unwrap().with_tenant(TENANT);
            // It may have no role for it.
            let Ok(_) = node.read_inbox(&phone(number), "", 1).await else { continue };
            let told = inbox(&node, number).await;
            if told.len() < entries.len() || !entries.iter().zip(&told).all(same) {
                ground.wrong(format!("{url} tells another inbox of user {number}"));
            }
        }
        for entry in entries {
            if let Happening::Message(message) = entry.what {
                let place = (number, user(&message.chat), message.id);
                there.entry(place).or_default().push(message.text);
            }
        }
    }
    for ((from, name), Sent { to, id, .. }) in &sent {
        for place in [(*from, *to, *id), (*to, *from, *id)] {
            let texts = there.get(&place).map(Vec::as_slice).unwrap_or_default();
            if texts != [text(*from, name)] {
                ground.wrong(format!("{name} of user {from} is {texts:?} in {place:?}"));
            }
        }
    }
    // A text names its sender and its message: it is in an inbox once.
    let mut texts = HashMap::new();
    for ((owner, peer, id), told) in &there {
        for text in told {
            if let Some(other) = texts.insert((*owner, text), (*peer, *id)) {
                let both = [other, (*peer, *id)];
                ground.wrong(format!("user {owner} has {text:?} twice: {both:?}"));
            }
        }
    }
    locked(&history.sessions).clear();
}
