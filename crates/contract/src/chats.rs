//! The contract of [`Chats`].
#![expect(clippy::unwrap_used, reason = "a suite of tests")]

mod interleavings;
mod pages;

use std::sync::{Arc, Mutex};

use switchboard_core::{
    Code, Error, Millis, Result,
    chat::{
        Acknowledgement, Chats, ClientMessageId, Draft, Entry, Happening, Marks, MessageStatus,
        Name, PhoneNumber, Reach, Sent, Signal, Signals, Text, User,
    },
};
use tokio::task::JoinSet;

pub(crate) use self::interleavings::Interleaving;
pub use self::{
    interleavings::{any_interleaving_is_that_of_the_model, interleavings_over_restarts},
    pages::{
        chats_are_paged_as_they_were, cursors_of_one_moment_lose_nothing,
        messages_are_paged_both_ways, the_latest_chat_comes_first,
    },
};

/// Declares one test for each clause of the contract, for the chats that `$open` opens.
///
/// `$open` is an async function that gives something which can be borrowed as an
/// `Arc<dyn Chats>`: the store itself, or a guard that also owns its directory.
#[macro_export]
macro_rules! chats {
    ($open:expr) => {
        $crate::chats!(
            $open;
            ids_and_sequences_have_no_gaps,
            the_newest_of_many_inboxes_are_told,
            a_repeat_answers_the_first_message,
            of_equal_sends_at_once_one_is_new,
            another_text_or_recipient_is_a_conflict,
            names_of_messages_are_the_senders_own,
            nobody_sees_the_chats_of_another,
            marks_only_move_forward,
            a_receipt_reaches_the_sender_and_not_the_reader,
            what_is_not_there_can_not_be_acknowledged,
            unread_is_what_is_behind_the_mark,
            users_are_known_by_their_names,
            signals_are_the_inbox,
            a_message_can_be_traced,
            the_latest_chat_comes_first,
            chats_are_paged_as_they_were,
            messages_are_paged_both_ways,
            cursors_of_one_moment_lose_nothing,
            any_interleaving_is_that_of_the_model,
        );
    };
    ($open:expr; $($clause:ident,)+) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $clause() {
            let opened = $open().await;
            $crate::chats::$clause(opened.as_ref()).await;
        })+
    };
}

/// A user of the tenant `a`.
fn user(number: u64) -> User {
    user_of("a", number)
}

fn user_of(tenant: &str, number: u64) -> User {
    User { tenant: tenant.parse().unwrap(), phone: phone(number) }
}

fn phone(number: u64) -> PhoneNumber {
    PhoneNumber::from_digits(41_790_000_000 + number).unwrap()
}

fn name(id: &str) -> ClientMessageId {
    ClientMessageId::new(id).unwrap()
}

/// A message whose text is what it is called.
fn draft(from: User, to: PhoneNumber, id: &str) -> Draft {
    let text = Text::new(&format!("text of {id}")).unwrap();
    Draft { from, to, text, client_message_id: name(id), at: Millis(1_000), trace: None }
}

async fn send(chats: &Arc<dyn Chats>, draft: Draft) -> Result<Sent> {
    chats.send(vec![draft]).await.unwrap().pop().unwrap()
}

/// Sends a message from one user of the tenant `a` to another.
async fn say(chats: &Arc<dyn Chats>, from: u64, to: u64, id: &str) -> Sent {
    send(chats, draft(user(from), phone(to), id)).await.unwrap()
}

async fn acknowledge(
    chats: &Arc<dyn Chats>,
    (by, peer): (u64, u64),
    (delivered_up_to, read_up_to): (Option<u64>, Option<u64>),
) -> Result<(u64, u64)> {
    let (user, peer, at) = (user(by), phone(peer), Millis(2_000));
    let stated = Acknowledgement { user, peer, delivered_up_to, read_up_to, at };
    let marks = chats.acknowledge(vec![stated]).await.unwrap().pop().unwrap();
    marks.map(|Marks { delivered_up_to, read_up_to }| (delivered_up_to, read_up_to))
}

/// All that an inbox holds, read in pages of so many.
async fn inbox(chats: &Arc<dyn Chats>, user: User, limit: u32) -> Vec<Entry> {
    let mut all: Vec<Entry> = Vec::new();
    loop {
        let after = all.last().map_or(0, |entry| entry.sequence);
        let page = chats.inbox(user, after, limit).await.unwrap();
        assert!(page.entries.len() <= limit as usize);
        if page.entries.is_empty() {
            assert_eq!(page.newest, after);
            return all;
        }
        all.extend(page.entries);
    }
}

/// The ids of a chat's messages, the newest first.
async fn ids(chats: &Arc<dyn Chats>, by: User, peer: PhoneNumber) -> Vec<u64> {
    let page = chats.messages(by, peer, Reach::Newest, 1_000).await.unwrap();
    page.messages.iter().map(|listed| listed.message.id).collect()
}

/// Both directions of a chat count together; inboxes count by themselves.
pub async fn ids_and_sequences_have_no_gaps(chats: &Arc<dyn Chats>) {
    for number in 1..=20_u64 {
        let (from, to) = if number % 3 == 0 { (1, 0) } else { (0, 1) };
        let sent = say(chats, from, to, &format!("{number}")).await;
        assert!(sent.new);
        assert_eq!((sent.message.id, sent.status), (number, MessageStatus::Sent));
        say(chats, from, 2, &format!("other {number}")).await;
    }
    for by in [0, 1] {
        let seen = ids(chats, user(by), phone(1 - by)).await;
        assert_eq!(seen, (1..=20).rev().collect::<Vec<_>>());
    }
    for (by, count) in [(0, 34), (1, 26), (2, 20)] {
        let entries = inbox(chats, user(by), 7).await;
        let sequences: Vec<u64> = entries.iter().map(|entry| entry.sequence).collect();
        assert_eq!(sequences, (1..=count).collect::<Vec<_>>(), "user {by}");
    }
}

/// Also when it has been read meanwhile, and nothing is added to any list.
pub async fn a_repeat_answers_the_first_message(chats: &Arc<dyn Chats>) {
    let first = say(chats, 0, 1, "m").await;
    acknowledge(chats, (1, 0), (None, Some(1))).await.unwrap();
    let mut again = draft(user(0), phone(1), "m");
    again.at = Millis(9_000);
    let again = send(chats, again).await.unwrap();
    assert!(!again.new);
    assert_eq!(again.message, first.message);
    assert_eq!(again.status, MessageStatus::Read);
    assert_eq!(ids(chats, user(0), phone(1)).await, [1]);
    assert_eq!(inbox(chats, user(1), 10).await.len(), 1);
}

/// Whoever is asked for, in the order of the question; also where there is nothing.
pub async fn the_newest_of_many_inboxes_are_told(chats: &Arc<dyn Chats>) {
    assert!(chats.newest(Vec::new()).await.unwrap().is_empty());
    say(chats, 0, 1, "m").await;
    say(chats, 2, 0, "n").await;
    acknowledge(chats, (1, 0), (None, Some(1))).await.unwrap();
    let other = User { tenant: "other".parse().unwrap(), ..user(0) };
    let asked = vec![user(1), other, user(0), user(3), user(2), user(0)];
    assert_eq!(chats.newest(asked).await.unwrap(), [1, 0, 3, 0, 1, 3]);
}

/// In one batch, and from many callers.
pub async fn of_equal_sends_at_once_one_is_new(chats: &Arc<dyn Chats>) {
    let drafts = vec![draft(user(0), phone(1), "same"); 5];
    let sent = chats.send(drafts).await.unwrap();
    let sent: Vec<Sent> = sent.into_iter().map(Result::unwrap).collect();
    assert_eq!(sent.iter().filter(|sent| sent.new).count(), 1);
    assert!(sent[0].new && sent.iter().all(|it| it.message == sent[0].message));
    let mut callers = JoinSet::new();
    for _ in 0..16 {
        let chats = Arc::clone(chats);
        callers.spawn(async move {
            let mut new = 0;
            for number in 0..50 {
                let sent = send(&chats, draft(user(0), phone(1), &format!("{number}"))).await;
                new += usize::from(sent.unwrap().new);
            }
            new
        });
    }
    assert_eq!(callers.join_all().await.iter().sum::<usize>(), 50);
    assert_eq!(ids(chats, user(1), phone(0)).await, (1..=51).rev().collect::<Vec<_>>());
}

/// It changes nothing, and is no reason to refuse the others of its batch.
pub async fn another_text_or_recipient_is_a_conflict(chats: &Arc<dyn Chats>) {
    say(chats, 0, 1, "m").await;
    let other = Draft { text: Text::new("other").unwrap(), ..draft(user(0), phone(1), "m") };
    let batch = vec![draft(user(0), phone(2), "m"), draft(user(0), phone(2), "n"), other];
    let sent = chats.send(batch).await.unwrap();
    let codes: Vec<_> = sent.iter().map(|it| it.as_ref().err().map(Error::code)).collect();
    assert_eq!(codes, [Some(Code::Conflict), None, Some(Code::Conflict)]);
    assert_eq!(ids(chats, user(0), phone(1)).await, [1]);
    assert_eq!(ids(chats, user(0), phone(2)).await, [1]);
    assert_eq!(inbox(chats, user(0), 10).await.len(), 2);
}

/// Two senders, or the users of two tenants, may call their messages the same.
pub async fn names_of_messages_are_the_senders_own(chats: &Arc<dyn Chats>) {
    for from in [user(0), user(2), user_of("b", 0), user_of("ab", 0)] {
        assert!(send(chats, draft(from, phone(1), "m")).await.unwrap().new);
    }
}

/// Not even one whose number begins with another's, or has the same number in another tenant.
pub async fn nobody_sees_the_chats_of_another(chats: &Arc<dyn Chats>) {
    let short = PhoneNumber::from_digits(417_912_345).unwrap();
    let long = PhoneNumber::from_digits(41_791_234_567).unwrap();
    let of = |phone| User { tenant: "a".parse().unwrap(), phone };
    send(chats, draft(of(long), phone(1), "m")).await.unwrap();
    send(chats, draft(user(2), long, "n")).await.unwrap();
    send(chats, draft(user_of("b", 5), phone(6), "o")).await.unwrap();
    let strangers = [of(short), user(3), user_of("b", 1), user_of("c", 1), user_of("aa", 1)];
    for stranger in strangers {
        assert!(chats.chats(stranger, None, 10).await.unwrap().chats.is_empty());
        assert!(inbox(chats, stranger, 10).await.is_empty());
        for peer in [long, phone(1), phone(2)] {
            let page = chats.messages(stranger, peer, Reach::Newest, 10).await.unwrap();
            assert!(page.messages.is_empty() && page.last_id == 0);
        }
        let traced = chats.trace(stranger, name("m")).await;
        assert_eq!(traced.unwrap_err().code(), Code::NotFound);
    }
    assert_eq!(chats.chats(of(long), None, 10).await.unwrap().chats.len(), 2);
}

/// Statuses never go backwards, and read implies delivered.
pub async fn marks_only_move_forward(chats: &Arc<dyn Chats>) {
    for number in 0..5 {
        say(chats, 0, 1, &format!("{number}")).await;
    }
    for (stated, expected) in [
        ((Some(2), None), (2, 0)),
        ((Some(1), None), (2, 0)),
        ((None, Some(1)), (2, 1)),
        ((Some(4), Some(3)), (4, 3)),
        ((None, Some(2)), (4, 3)),
        ((None, Some(5)), (5, 5)),
        ((Some(1), Some(1)), (5, 5)),
    ] {
        let before = statuses(chats).await;
        assert_eq!(acknowledge(chats, (1, 0), stated).await.unwrap(), expected);
        let after = statuses(chats).await;
        assert!(before.iter().zip(&after).all(|(before, after)| before <= after));
    }
}

async fn statuses(chats: &Arc<dyn Chats>) -> Vec<MessageStatus> {
    let page = chats.messages(user(0), phone(1), Reach::Newest, 10).await.unwrap();
    let seen = chats.messages(user(1), phone(0), Reach::Newest, 10).await.unwrap();
    assert_eq!(page, seen, "both see the same");
    page.messages.iter().map(|listed| listed.status).collect()
}

/// Once for each mark that moves, and never for one that does not.
pub async fn a_receipt_reaches_the_sender_and_not_the_reader(chats: &Arc<dyn Chats>) {
    for number in 0..3 {
        say(chats, 0, 1, &format!("{number}")).await;
    }
    acknowledge(chats, (1, 0), (Some(1), None)).await.unwrap();
    acknowledge(chats, (1, 0), (Some(1), None)).await.unwrap();
    acknowledge(chats, (1, 0), (Some(3), Some(2))).await.unwrap();
    acknowledge(chats, (1, 0), (None, Some(3))).await.unwrap();
    let (peer, at) = (phone(1), Millis(2_000));
    let told: Vec<_> = inbox(chats, user(0), 2).await.into_iter().map(|it| it.what).collect();
    assert_eq!(
        told[3..],
        [
            Happening::Delivered { peer, up_to: 1, at },
            Happening::Delivered { peer, up_to: 3, at },
            Happening::Read { peer, up_to: 2, at },
            Happening::Read { peer, up_to: 3, at },
        ]
    );
    let reader = inbox(chats, user(1), 10).await;
    assert!(reader.iter().all(|entry| matches!(entry.what, Happening::Message(_))));
    assert_eq!(reader.len(), 3);
}

/// A message beyond the last, or of a chat that is none; nothing is changed by it.
pub async fn what_is_not_there_can_not_be_acknowledged(chats: &Arc<dyn Chats>) {
    say(chats, 0, 1, "m").await;
    for (who, stated) in [
        ((1, 0), (Some(2), None)),
        ((1, 0), (Some(1), Some(2))),
        ((1, 0), (Some(0), None)),
        ((1, 2), (Some(1), None)),
        ((7, 8), (None, Some(1))),
    ] {
        let refused = acknowledge(chats, who, stated).await;
        assert_eq!(refused.unwrap_err().code(), Code::NotFound, "{who:?} {stated:?}");
    }
    assert_eq!(statuses(chats).await, [MessageStatus::Sent]);
    assert_eq!(inbox(chats, user(0), 10).await.len(), 1);
}

/// A user's own messages are never unread, and sending reads nothing.
pub async fn unread_is_what_is_behind_the_mark(chats: &Arc<dyn Chats>) {
    let unread = async |by: u64| chats.chats(user(by), None, 1).await.unwrap().chats[0].unread;
    for number in 0..10 {
        let (from, to) = if number % 2 == 0 { (0, 1) } else { (1, 0) };
        say(chats, from, to, &format!("{number}")).await;
    }
    assert_eq!((unread(0).await, unread(1).await), (5, 5));
    acknowledge(chats, (1, 0), (Some(10), None)).await.unwrap();
    assert_eq!(unread(1).await, 5);
    for (up_to, left) in [(1, 4), (2, 4), (5, 2), (8, 1), (9, 0), (10, 0)] {
        acknowledge(chats, (1, 0), (None, Some(up_to))).await.unwrap();
        assert_eq!((unread(0).await, unread(1).await), (5, left), "read up to {up_to}");
    }
    say(chats, 0, 1, "one more").await;
    assert_eq!(unread(1).await, 1);
}

/// The first time makes a user known; a name stays until there is another.
pub async fn users_are_known_by_their_names(chats: &Arc<dyn Chats>) {
    say(chats, 0, 1, "m").await;
    let peer_name =
        async || chats.chats(user(0), None, 1).await.unwrap().chats[0].peer_name.clone();
    assert_eq!(peer_name().await, None);
    let [zoe, other] = ["Zoë", "other"].map(|it| Name::new(it).unwrap());
    for (name, expected, new) in [
        (None, None, true),
        (Some(&zoe), Some(&zoe), false),
        (None, Some(&zoe), false),
        (Some(&other), Some(&other), false),
    ] {
        let at = Millis(if new { 1_000 } else { 2_000 });
        let registered = chats.register(user(1), name.cloned(), at).await.unwrap();
        assert_eq!(registered.new, new);
        assert_eq!(registered.profile.name.as_ref(), expected);
        assert_eq!(registered.profile.created_at, Millis(1_000));
        assert_eq!(peer_name().await.as_ref(), expected);
    }
    // One of whom nothing was ever said, in a tenant of his own.
    assert!(chats.register(user_of("z", 1), None, Millis(1)).await.unwrap().new);
}

/// Keeps what it is told.
#[derive(Debug, Default)]
struct Told(Mutex<Vec<(User, Entry)>>);

impl Signals for Told {
    fn tell(&self, signals: Vec<Signal>) {
        let entries = signals.into_iter().filter_map(|signal| match signal {
            Signal::Happened { user, entry } => Some((user, entry)),
            Signal::Typing { .. } => None,
        });
        self.0.lock().unwrap().extend(entries);
    }
}

/// In the order of each inbox, and not before they can be read.
pub async fn signals_are_the_inbox(chats: &Arc<dyn Chats>) {
    let told = Arc::new(Told::default());
    chats.tell(Arc::clone(&told) as Arc<dyn Signals>);
    let mut callers = JoinSet::new();
    for from in 0..4_u64 {
        let chats = Arc::clone(chats);
        callers.spawn(async move {
            for number in 0..20 {
                let to = (from + 1 + number % 3) % 4;
                say(&chats, from, to, &format!("{number}")).await;
                acknowledge(&chats, (to, from), (Some(1), None)).await.unwrap();
            }
        });
    }
    callers.join_all().await;
    let told = told.0.lock().unwrap().clone();
    for by in 0..4 {
        let own = told.iter().filter(|(user, _)| *user == self::user(by));
        let own: Vec<Entry> = own.map(|(_, entry)| entry.clone()).collect();
        assert_eq!(own, inbox(chats, user(by), 100).await, "user {by}");
    }
}

/// Each step once, in order, told to the sender alone.
pub async fn a_message_can_be_traced(chats: &Arc<dyn Chats>) {
    for number in 0..3 {
        say(chats, 0, 1, &format!("{number}")).await;
    }
    let steps = chats.trace(user(0), name("1")).await.unwrap();
    assert_eq!((steps.message.id, steps.delivered, steps.read), (2, None, None));
    assert!(steps.message.sent_at <= steps.stored && steps.stored <= steps.signalled);
    acknowledge(chats, (1, 0), (Some(2), None)).await.unwrap();
    let steps = chats.trace(user(0), name("1")).await.unwrap();
    assert_eq!((steps.delivered, steps.read), (Some(Millis(2_000)), None));
    let steps = chats.trace(user(0), name("2")).await.unwrap();
    assert_eq!((steps.delivered, steps.read), (None, None));
    acknowledge(chats, (1, 0), (None, Some(3))).await.unwrap();
    let steps = chats.trace(user(0), name("2")).await.unwrap();
    assert_eq!((steps.delivered, steps.read), (Some(Millis(2_000)), Some(Millis(2_000))));
    for (who, id) in [(user(1), "1"), (user(0), "none"), (user_of("b", 0), "1")] {
        assert_eq!(chats.trace(who, name(id)).await.unwrap_err().code(), Code::NotFound);
    }
}

#[cfg(test)]
mod tests {
    use std::future;

    use super::*;
    use crate::Model;

    fn open() -> future::Ready<Box<Arc<dyn Chats>>> {
        future::ready(Box::new(Arc::new(Model::default())))
    }

    crate::chats!(open);
}
