//! The contract of conversations, on a PostgreSQL that the tests start for themselves.
#![expect(clippy::unwrap_used, reason = "a suite of tests")]

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock},
};

use switchboard_contract::chats;
use switchboard_core::{
    Millis,
    chat::{
        Acknowledgement, Chats, ClientMessageId, Draft, Entry, Happening, Listed, Marks, Message,
        PhoneNumber, Reach, Sent, Signal, Signals, TEXT_CHARS_MAX, Text, TraceContext, User,
    },
    store::Unobserved,
};
use switchboard_postgres::{Options, Postgres};
use tokio::{sync::mpsc, task::JoinSet};

/// One server for all tests of this file; each has a database of its own.
fn server() -> &'static switchboard_servers::Postgres {
    static SERVER: OnceLock<switchboard_servers::Postgres> = OnceLock::new();
    SERVER.get_or_init(|| switchboard_servers::Postgres::start().unwrap())
}

/// A store with its database.
struct Opened {
    chats: Arc<dyn Chats>,
    store: Postgres,
    url: String,
}

impl AsRef<Arc<dyn Chats>> for Opened {
    fn as_ref(&self) -> &Arc<dyn Chats> {
        &self.chats
    }
}

async fn open(url: String) -> Opened {
    let store = Postgres::open(&url, Options::default(), Arc::new(Unobserved)).await.unwrap();
    Opened { chats: Arc::clone(&store.chats) as _, store, url }
}

async fn opened() -> Opened {
    open(server().database().unwrap()).await
}

/// What was opened before is closed, its database stays.
async fn reopened(before: Option<Opened>) -> Opened {
    match before {
        Some(Opened { store, url, .. }) => {
            store.close().await;
            open(url).await
        }
        None => opened().await,
    }
}

switchboard_contract::chats!(opened);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_interleaving_survives_restarts() {
    for seed in [1, 2, 3] {
        chats::interleavings_over_restarts(seed, reopened).await;
    }
}

/// A number below a bound, each time another.
fn below(state: &mut u64, bound: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % bound
}

fn user(number: u64) -> User {
    let phone = PhoneNumber::from_digits(41_790_000_000 + number).unwrap();
    User { tenant: "a".parse().unwrap(), phone }
}

/// What is sent by one user to another under a name says all of that.
fn draft(from: u64, to: u64, name: &str) -> Draft {
    Draft {
        from: user(from),
        to: user(to).phone,
        text: Text::new(&format!("{from} to {to}: {name}")).unwrap(),
        client_message_id: ClientMessageId::new(name).unwrap(),
        at: Millis(1_000),
        trace: None,
    }
}

async fn inbox(chats: &Arc<dyn Chats>, user: User) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    loop {
        let page = chats.inbox(user, entries.len() as u64, 1_000).await.unwrap();
        if page.entries.is_empty() {
            assert_eq!(page.newest, entries.len() as u64);
            return entries;
        }
        entries.extend(page.entries);
    }
}

/// All messages of a chat, the oldest first.
async fn messages(chats: &Arc<dyn Chats>, by: User, peer: PhoneNumber) -> Vec<Listed> {
    let mut messages: Vec<Listed> = Vec::new();
    loop {
        let reach = Reach::After(messages.len() as u64);
        let page = chats.messages(by, peer, reach, 1_000).await.unwrap();
        if page.messages.is_empty() {
            assert_eq!(page.last_id, messages.len() as u64);
            return messages;
        }
        messages.extend(page.messages.into_iter().rev());
    }
}

/// Keeps what it is told, and passes it on to be looked up.
#[derive(Debug)]
struct Told {
    entries: Mutex<Vec<(User, Entry)>>,
    fresh: mpsc::Sender<(User, Entry)>,
}

impl Signals for Told {
    fn tell(&self, signals: Vec<Signal>) {
        for signal in signals {
            let Signal::Happened { user, entry } = signal else { continue };
            // One that does not fit is not looked up.
            let _ = self.fresh.try_send((user, entry.clone()));
            self.entries.lock().unwrap().push((user, entry));
        }
    }
}

/// Listens to a node; everything that it tells is at once looked up at another.
fn listen(node: &Arc<dyn Chats>, other: &Arc<dyn Chats>, lookers: &mut JoinSet<u64>) -> Arc<Told> {
    let (fresh, mut told) = mpsc::channel(10_000);
    let listener = Arc::new(Told { entries: Mutex::default(), fresh });
    node.tell(Arc::clone(&listener) as _);
    let other = Arc::clone(other);
    lookers.spawn(async move {
        let mut count = 0;
        while let Some((user, entry)) = told.recv().await {
            let page = other.inbox(user, entry.sequence - 1, 1).await.unwrap();
            assert_eq!(page.entries, [entry], "a signal came before what it tells was there");
            count += 1;
        }
        count
    });
    listener
}

const USERS: u64 = 6;
const CALLERS: u64 = 6;
const ROUNDS: u64 = 25;

/// One of many who write at once: batches among all users, each of which another caller of another
/// node sends too, and receipts in between. Returns what was answered to whom.
async fn write(chats: Arc<dyn Chats>, caller: u64) -> Vec<(Draft, Sent)> {
    let mut random = caller;
    let mut answered = Vec::new();
    for round in 0..ROUNDS {
        let mut drafts = Vec::new();
        for place in 0..4 {
            // The same of all callers with the same half, so that names are used at once.
            let mut same = caller / 2 * 1_000_000 + round * 1_000 + place;
            let from = below(&mut same, USERS);
            let to = (from + 1 + below(&mut same, USERS - 1)) % USERS;
            drafts.push(draft(from, to, &format!("{} {round} {place}", caller / 2)));
        }
        if caller % 2 == 1 {
            drafts.reverse();
        }
        let sent = chats.send(drafts.clone()).await.unwrap();
        for (draft, sent) in drafts.into_iter().zip(sent) {
            let sent = sent.unwrap();
            let (user, peer) = (User { phone: draft.to, ..draft.from }, draft.from.phone);
            let up_to = 1 + below(&mut random, sent.message.id);
            let delivered_up_to = (below(&mut random, 2) == 0).then_some(sent.message.id);
            let read_up_to =
                (delivered_up_to.is_none() || below(&mut random, 2) == 0).then_some(up_to);
            let at = Millis(2_000);
            let stated = Acknowledgement { user, peer, delivered_up_to, read_up_to, at };
            let marks = chats.acknowledge(vec![stated]).await.unwrap().pop().unwrap().unwrap();
            assert!(delivered_up_to.unwrap_or_default() <= marks.delivered_up_to);
            assert!(read_up_to.unwrap_or_default() <= marks.read_up_to);
            answered.push((draft, sent));
        }
    }
    answered
}

/// Everybody writes to everybody, through both nodes, each thing under the same names at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_are_as_one() {
    let one = opened().await;
    let other = open(one.url.clone()).await;
    let nodes = [&one.chats, &other.chats];
    let mut lookers = JoinSet::new();
    let told = [(0, 1), (1, 0)].map(|(at, by)| listen(nodes[at], nodes[by], &mut lookers));
    let mut callers = JoinSet::new();
    for caller in 0..2 * CALLERS {
        let node = nodes[usize::try_from(caller % 2).unwrap()];
        callers.spawn(write(Arc::clone(node), caller));
    }
    let answered: Vec<(Draft, Sent)> = callers.join_all().await.into_iter().flatten().collect();
    // Each name once, however often and wherever it was sent.
    let mut by_name: HashMap<_, Vec<&Sent>> = HashMap::new();
    for (draft, sent) in &answered {
        assert_eq!((sent.message.to, &sent.message.text), (draft.to, &draft.text));
        by_name.entry((draft.from, &draft.client_message_id)).or_default().push(sent);
    }
    for sent in by_name.values() {
        assert_eq!(sent.iter().filter(|sent| sent.new).count(), 1);
        assert!(sent.iter().all(|it| it.message == sent[0].message));
    }
    let mut found = 0;
    for number in 0..USERS {
        found += check_user(nodes, &told, number).await;
    }
    // Everybody sees what he sent and what he got.
    assert_eq!(found, 2 * by_name.len());
    for node in nodes {
        node.tell(Arc::new(Nobody));
    }
    drop(told);
    let looked_up: u64 = lookers.join_all().await.into_iter().sum();
    assert!(by_name.len() as u64 <= looked_up);
}

#[derive(Debug)]
struct Nobody;

impl Signals for Nobody {
    fn tell(&self, _: Vec<Signal>) {}
}

/// All that a user can see agrees, and with what both nodes have told. Returns how many messages
/// he has.
async fn check_user(nodes: [&Arc<dyn Chats>; 2], told: &[Arc<Told>; 2], number: u64) -> usize {
    let own = user(number);
    let entries = inbox(nodes[0], own).await;
    assert_eq!(entries, inbox(nodes[1], own).await);
    let sequences = entries.iter().map(|entry| entry.sequence);
    assert!(sequences.eq(1..=entries.len() as u64));
    assert_eq!(nodes[1].newest(vec![own]).await.unwrap(), [entries.len() as u64]);
    // Each node has told its part in order, and both together all.
    let mut all = Vec::new();
    for told in told {
        let told = told.entries.lock().unwrap();
        let told: Vec<_> = told.iter().filter(|(user, _)| *user == own).collect();
        assert!(told.is_sorted_by(|(_, one), (_, next)| one.sequence < next.sequence));
        all.extend(told.into_iter().map(|(_, entry)| entry.clone()));
    }
    all.sort_unstable_by_key(|entry| entry.sequence);
    assert_eq!(all, entries);
    let listed = nodes[0].chats(own, None, 100).await.unwrap().chats;
    let mut count = 0;
    for peer in (0..USERS).filter(|&peer| peer != number).map(user) {
        let seen = messages(nodes[0], own, peer.phone).await;
        count += seen.len();
        assert!(seen.iter().map(|it| it.message.id).eq(1..=seen.len() as u64));
        let in_inbox = entries.iter().filter_map(|entry| match &entry.what {
            Happening::Message(message) if message.peer_of(own.phone) == peer.phone => {
                Some(message)
            }
            _ => None,
        });
        assert!(in_inbox.eq(seen.iter().map(|it| &it.message)));
        let Some(chat) = listed.iter().find(|chat| chat.peer == peer.phone) else {
            assert!(seen.is_empty());
            continue;
        };
        assert_eq!(Some(&chat.last), seen.last());
        let by_peer = seen.iter().filter(|it| it.message.from == peer.phone);
        let marks = marks(nodes[1], own, peer.phone).await;
        let unread = by_peer.clone().filter(|it| marks.read_up_to < it.message.id).count();
        assert_eq!(chat.unread, unread as u64);
        for it in by_peer {
            assert_eq!(it.status, marks.status(it.message.id));
        }
        let peers = inbox(nodes[0], peer).await;
        assert_eq!(last_receipt(&peers, own.phone, true), marks.read_up_to);
        let delivered = last_receipt(&peers, own.phone, false).max(marks.read_up_to);
        assert_eq!(delivered, marks.delivered_up_to);
    }
    count
}

/// How far a user has come, by a receipt that says nothing new.
async fn marks(chats: &Arc<dyn Chats>, user: User, peer: PhoneNumber) -> Marks {
    let delivered_up_to = Some(1);
    let at = Millis(3_000);
    let stated = Acknowledgement { user, peer, delivered_up_to, read_up_to: None, at };
    chats.acknowledge(vec![stated]).await.unwrap().pop().unwrap().unwrap()
}

/// Up to where a peer has come by what stands in an inbox, where each receipt says more than those
/// before.
fn last_receipt(entries: &[Entry], by: PhoneNumber, of_read: bool) -> u64 {
    let told = entries.iter().filter_map(|entry| match entry.what {
        Happening::Delivered { peer, up_to, .. } if peer == by && !of_read => Some(up_to),
        Happening::Read { peer, up_to, .. } if peer == by && of_read => Some(up_to),
        _ => None,
    });
    let told: Vec<u64> = told.collect();
    assert!(told.is_sorted_by(|one, next| one < next));
    told.last().copied().unwrap_or_default()
}

/// Far more chats than a page or a step of the order has, of which many move between any two pages.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_chats_are_paged_as_the_model_pages_them() {
    let opened = opened().await;
    let model: Arc<dyn Chats> = Arc::new(switchboard_contract::Model::default());
    let stores = [&opened.chats, &model];
    let mut random = 11;
    let mut number = 0;
    let mut send = async |count: u64, among: u64| {
        let mut drafts = Vec::new();
        for _ in 0..count {
            // The one whose chats they are is in the middle.
            let peer = 1 + below(&mut random, among);
            let peer = if peer == 100 { 0 } else { peer };
            let (from, to) = if below(&mut random, 2) == 0 { (100, peer) } else { (peer, 100) };
            drafts.push(draft(from, to, &format!("{number}")));
            number += 1;
        }
        for store in stores {
            store.send(drafts.clone()).await.unwrap();
        }
    };
    send(400, 150).await;
    for (limit, between) in [(7, 10), (60, 100), (300, 0)] {
        let mut places = [None, None];
        loop {
            let mut pages = Vec::new();
            for (store, on) in stores.iter().zip(&mut places) {
                let page = store.chats(user(100), *on, limit).await.unwrap();
                *on = page.next;
                pages.push(page.chats);
            }
            assert_eq!(pages[0], pages[1], "pages of {limit}");
            assert_eq!(places[0].is_some(), places[1].is_some());
            if places[0].is_none() {
                break;
            }
            send(between, 160).await;
        }
    }
}

/// Whatever a message is made of comes back as it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_comes_back_as_it_was() {
    let opened = opened().await;
    let texts = ["x", "grüezi 🦀\r\n\t\\x00 '\"%_", &"🦀".repeat(TEXT_CHARS_MAX)];
    let trace = TraceContext { trace_id: u128::MAX - 7, span_id: 1 << 63, flags: 0xff };
    let mut drafts = Vec::new();
    for (number, text) in (0..).zip(texts) {
        let text = Text::new(text).unwrap();
        let at = Millis(i64::MAX - 5);
        drafts
            .push(Draft { text, at, trace: Some(trace), ..draft(0, 1, &format!("é{number}\\")) });
    }
    let sent = opened.chats.send(drafts.clone()).await.unwrap();
    let sent: Vec<_> = sent.into_iter().map(|sent| sent.unwrap().message).collect();
    for (draft, sent) in drafts.iter().zip(&sent) {
        let Message { text, client_message_id, sent_at, trace, .. } = &**sent;
        assert_eq!((text, client_message_id), (&draft.text, &draft.client_message_id));
        assert_eq!((*sent_at, *trace), (draft.at, draft.trace));
    }
    let read = messages(&opened.chats, user(1), user(0).phone).await;
    assert!(read.iter().map(|it| &it.message).eq(&sent));
    let repeated = opened.chats.send(drafts).await.unwrap();
    assert!(repeated.into_iter().map(|sent| sent.unwrap().message).eq(sent.iter().cloned()));
    let read = inbox(&opened.chats, user(0)).await;
    let read = read.into_iter().map(|entry| entry.what);
    assert!(read.eq(sent.into_iter().map(Happening::Message)));
}

/// A batch may be of many tenants: each is answered in its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_many_tenants_is_answered_in_order() {
    let opened = opened().await;
    let of = |tenant: u64, number: u64| {
        let from = User { tenant: format!("t{tenant}").parse().unwrap(), ..user(0) };
        Draft { from, ..draft(0, 1, &format!("{number}")) }
    };
    let drafts: Vec<Draft> = (0..100).map(|number| of(number % 11, number)).collect();
    let sent = opened.chats.send(drafts.clone()).await.unwrap();
    for (number, (draft, sent)) in drafts.iter().zip(&sent).enumerate() {
        let sent = sent.as_ref().unwrap();
        assert_eq!(sent.message.client_message_id, draft.client_message_id);
        assert_eq!(sent.message.id, number as u64 / 11 + 1);
    }
    let stated = drafts.iter().map(|draft| Acknowledgement {
        user: User { phone: draft.to, ..draft.from },
        peer: draft.from.phone,
        delivered_up_to: None,
        read_up_to: Some(10),
        at: Millis(2_000),
    });
    let marks = opened.chats.acknowledge(stated.collect()).await.unwrap();
    for (number, marks) in marks.into_iter().enumerate() {
        // The first tenant has ten messages, the last nine.
        let last = (100 - number % 11).div_ceil(11);
        assert_eq!(marks.is_ok(), 10 <= last, "tenant {}", number % 11);
    }
}
