//! Conversations over restarts, with checkpoints within.
#![expect(clippy::unwrap_used, reason = "a suite of tests")]

use std::sync::Arc;

use switchboard_core::{
    Code, Millis,
    chat::{
        Acknowledgement, Chats, ClientMessageId, Draft, Happening, MessageStatus, PhoneNumber,
        Reach, Text, User,
    },
    store::Unobserved,
};
use switchboard_embedded::{Embedded, Options, disk::LocalDisk};

fn open(folder: &std::path::Path) -> Embedded {
    let disk = Arc::new(LocalDisk::open(folder).unwrap());
    let options = Options {
        segment_bytes: 64 * 1024,
        reports_segment_bytes: 64 * 1024,
        chat_segment_bytes: 128 * 1024,
        chat_flush_entries: 50,
        entropy: 7,
        ..Options::default()
    };
    Embedded::open(disk, &options, Arc::new(Unobserved)).unwrap()
}

fn phone(number: u64) -> PhoneNumber {
    PhoneNumber::from_digits(41_790_000_000 + number).unwrap()
}

fn user(number: u64) -> User {
    User { tenant: "a".parse().unwrap(), phone: phone(number) }
}

fn draft(from: u64, to: u64, id: &str, at: i64) -> Draft {
    Draft {
        from: user(from),
        to: phone(to),
        text: Text::new(&format!("text of {id}")).unwrap(),
        client_message_id: ClientMessageId::new(id).unwrap(),
        at: Millis(at),
        trace: None,
    }
}

#[tokio::test]
async fn what_was_sent_is_there_after_restarts_and_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    let mut at = 1_000;
    for round in 0..6_u64 {
        let store = open(folder.path());
        for number in 0..60 {
            at += 1;
            let name = format!("{round}-{number}");
            let to = 1 + number % 3;
            let sent = store.send(vec![draft(0, to, &name, at)]).await.unwrap();
            let sent = sent[0].as_ref().unwrap();
            assert!(sent.new);
            assert_eq!(sent.message.id, round * 20 + number / 3 + 1);
        }
        // A repeat from any round, and one that differs.
        let again = store.send(vec![draft(0, 1, "0-0", 5)]).await.unwrap();
        let again = again[0].as_ref().unwrap();
        assert!(!again.new);
        assert_eq!((again.message.id, again.message.sent_at), (1, Millis(1_001)));
        let other = store.send(vec![draft(0, 2, "0-0", 5)]).await.unwrap();
        assert_eq!(other[0].as_ref().unwrap_err().code(), Code::Conflict);
        let stated = Acknowledgement {
            user: user(1),
            peer: phone(0),
            delivered_up_to: Some((round + 1) * 20),
            read_up_to: Some(round * 20 + 5),
            at: Millis(at),
        };
        let marks = store.acknowledge(vec![stated]).await.unwrap();
        assert_eq!(marks[0].as_ref().unwrap().read_up_to, round * 20 + 5);
        check(&store, round + 1).await;
        drop(store);
        check(&open(folder.path()), round + 1).await;
    }
}

async fn check(store: &Embedded, rounds: u64) {
    let page = store.messages(user(1), phone(0), Reach::Newest, 1_000).await.unwrap();
    assert_eq!(page.last_id, rounds * 20);
    let ids: Vec<u64> = page.messages.iter().map(|listed| listed.message.id).collect();
    assert_eq!(ids, (1..=rounds * 20).rev().collect::<Vec<_>>());
    assert_eq!(page.messages[0].status, MessageStatus::Delivered);
    assert_eq!(page.messages[15].status, MessageStatus::Read);
    let chats = store.chats(user(0), None, 10).await.unwrap();
    let peers: Vec<_> = chats.chats.iter().map(|chat| chat.peer).collect();
    assert_eq!(peers, [phone(3), phone(2), phone(1)]);
    let own = store.chats(user(1), None, 10).await.unwrap();
    assert_eq!(own.chats[0].unread, 15);
    // 60 own messages a round, and two receipts.
    let inbox = store.inbox(user(0), 0, 1_000).await.unwrap();
    assert_eq!(inbox.newest, rounds * 62);
    let sequences: Vec<u64> = inbox.entries.iter().map(|entry| entry.sequence).collect();
    assert_eq!(sequences, (1..=rounds * 62).collect::<Vec<_>>());
    assert!(matches!(inbox.entries[61].what, Happening::Read { up_to: 5, .. }));
    assert_eq!(store.inbox(user(0), 1_000, 1).await.unwrap_err().code(), Code::InvalidCursor);
    let steps = store.trace(user(0), ClientMessageId::new("0-0").unwrap()).await.unwrap();
    assert_eq!(steps.message.id, 1);
    assert!(steps.read.is_some() && steps.delivered <= steps.read);
    assert!(steps.message.sent_at <= steps.stored && steps.stored <= steps.signalled);
}
