//! Lists, page by page.

use std::sync::Arc;

use switchboard_core::chat::{Chats, ChatsPlace, PhoneNumber, Reach};

use super::{acknowledge, inbox, phone, say, user};

/// By the last message; a receipt is no activity.
pub async fn the_latest_chat_comes_first(chats: &Arc<dyn Chats>) {
    for (number, peer) in [1, 2, 3, 1].into_iter().enumerate() {
        say(chats, 0, peer, &format!("{number}")).await;
    }
    say(chats, 2, 0, "back").await;
    acknowledge(chats, (3, 0), (None, Some(1))).await.unwrap();
    let page = chats.chats(user(0), None, 10).await.unwrap();
    let peers: Vec<PhoneNumber> = page.chats.iter().map(|chat| chat.peer).collect();
    assert_eq!(peers, [phone(2), phone(1), phone(3)]);
    let last: Vec<u64> = page.chats.iter().map(|chat| chat.last.message.id).collect();
    assert_eq!(last, [2, 2, 1]);
    assert_eq!(page.next, None);
}

/// Whatever happens between two pages: each chat once, in the order in which they were.
pub async fn chats_are_paged_as_they_were(chats: &Arc<dyn Chats>) {
    for peer in 1..=9 {
        say(chats, 0, peer, &format!("first {peer}")).await;
    }
    for limit in [1, 2, 4] {
        let whole = chats.chats(user(0), None, 100).await.unwrap();
        let expected: Vec<_> = whole.chats.iter().map(|chat| chat.peer).collect();
        let mut peers = Vec::new();
        let mut on: Option<ChatsPlace> = None;
        let mut round = 0;
        loop {
            let page = chats.chats(user(0), on, limit).await.unwrap();
            peers.extend(page.chats.iter().map(|chat| chat.peer));
            let Some(next) = page.next else { break };
            on = Some(next);
            round += 1;
            // Into one that was listed, one that was not, and one that is new.
            let listed = peers[0].digits() - phone(0).digits();
            let unlisted = expected[expected.len() - 1].digits() - phone(0).digits();
            say(chats, listed, 0, &format!("{limit} {round} listed")).await;
            say(chats, 0, unlisted, &format!("{limit} {round} unlisted")).await;
            let new = 100 * u64::from(limit) + round;
            say(chats, new, 0, "new").await;
        }
        assert_eq!(peers, expected, "pages of {limit}");
    }
}

/// No page loses or doubles a message, from either end.
pub async fn messages_are_paged_both_ways(chats: &Arc<dyn Chats>) {
    for number in 0..23 {
        say(chats, number % 2, 1 - number % 2, &format!("{number}")).await;
    }
    for limit in [1, 2, 3, 7, 23, 50] {
        let read = async |reach| {
            let page = chats.messages(user(0), phone(1), reach, limit).await.unwrap();
            assert!(page.messages.len() <= limit as usize && page.last_id == 23);
            page.messages.iter().map(|listed| listed.message.id).collect::<Vec<u64>>()
        };
        let (mut older, mut reach) = (Vec::new(), Reach::Newest);
        loop {
            let page = read(reach).await;
            let Some(&last) = page.last() else { break };
            older.extend(page);
            reach = Reach::Before(last);
        }
        assert_eq!(older, (1..=23).rev().collect::<Vec<_>>(), "pages of {limit}");
        let (mut newer, mut behind) = (Vec::new(), 0);
        loop {
            let mut page = read(Reach::After(behind)).await;
            let Some(&first) = page.first() else { break };
            page.reverse();
            newer.extend(page);
            behind = first;
        }
        assert_eq!(newer, (1..=23).collect::<Vec<_>>(), "pages of {limit}");
    }
    for reach in [Reach::Before(0), Reach::Before(1), Reach::After(23), Reach::After(u64::MAX)] {
        let page = chats.messages(user(0), phone(1), reach, 10).await.unwrap();
        assert!(page.messages.is_empty(), "{reach:?}");
    }
    let page = chats.messages(user(0), phone(1), Reach::Before(u64::MAX), 1).await.unwrap();
    assert_eq!(page.messages[0].message.id, 23);
}

/// Everything here was sent in the same millisecond; devices read in steps of their own.
pub async fn cursors_of_one_moment_lose_nothing(chats: &Arc<dyn Chats>) {
    for number in 0..60 {
        say(chats, 1 + number % 5, 0, &format!("{number}")).await;
    }
    let whole = inbox(chats, user(0), 1_000).await;
    assert_eq!(whole.len(), 60);
    for limit in [1, 2, 3, 7, 59, 60] {
        assert_eq!(inbox(chats, user(0), limit).await, whole, "pages of {limit}");
    }
    for after in [0, 1, 30, 59, 60] {
        let page = chats.inbox(user(0), after, 100).await.unwrap();
        assert_eq!(page.entries[..], whole[usize::try_from(after).unwrap()..]);
    }
    let page = chats.inbox(user(0), 10, 0).await.unwrap();
    assert_eq!((page.entries.len(), page.newest), (0, 60));
    assert!(chats.inbox(user(0), 61, 10).await.is_err());
    assert!(chats.inbox(user(77), 1, 10).await.is_err());
}
