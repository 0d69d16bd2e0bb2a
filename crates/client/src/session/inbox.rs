//! What a session remembers of its user's inbox, from one connection to the next.

use std::collections::BTreeMap;

use switchboard_proto::v1::{SessionAcknowledgeRequest, client_frame};
use tokio::time::Instant;

use super::INBOX_PAUSE;
use crate::chat::{Entry, Happening};

/// The numbers of the session's own requests begin here: no application asks so many.
pub(super) const OWN: u64 = 1 << 63;

/// Where a session is in the inbox, and what it has to say of what arrived.
#[derive(Debug)]
pub(super) struct Inbox {
    /// From where on it follows.
    pub(super) after: String,
    /// The sequence of the last entry that was handed out; 0 before the first.
    last: u64,
    /// Whether what arrives is acknowledged.
    receipts: bool,
    /// Up to which message each chat has arrived, where it was not said.
    arrived: BTreeMap<String, u64>,
    /// What was said and not answered, by the number of the request.
    said: BTreeMap<u64, (String, u64)>,
    next: u64,
    /// When it is said next.
    pub(super) due: Option<Instant>,
}

impl Inbox {
    pub(super) fn new(after: String, receipts: bool) -> Self {
        Self {
            after,
            last: 0,
            receipts,
            arrived: BTreeMap::new(),
            said: BTreeMap::new(),
            next: OWN,
            due: None,
        }
    }

    /// A new connection: what was not answered on the last is said again.
    pub(super) fn connected(&mut self) {
        for (_, (chat, up_to)) in std::mem::take(&mut self.said) {
            self.note(chat, up_to);
        }
        self.due = (!self.arrived.is_empty()).then(Instant::now);
    }

    /// The node follows from here on.
    pub(super) fn following(&mut self, cursor: String) {
        self.after = cursor;
    }

    /// An entry came. False where it was handed out before.
    pub(super) fn came(&mut self, entry: &Entry, own: &str) -> bool {
        if entry.sequence <= self.last {
            return false;
        }
        self.last = entry.sequence;
        self.after.clone_from(&entry.cursor);
        if let Happening::Message(message) = &entry.what
            && self.receipts
            && message.from != own
            && message.from == message.chat
        {
            self.note(message.chat.clone(), message.id);
            self.due.get_or_insert_with(|| Instant::now() + INBOX_PAUSE);
        }
        true
    }

    fn note(&mut self, chat: String, up_to: u64) {
        let mark = self.arrived.entry(chat).or_default();
        *mark = up_to.max(*mark);
    }

    /// What is to be said now: one frame for each chat.
    pub(super) fn say(&mut self) -> Vec<client_frame::Frame> {
        self.due = None;
        let arrived = std::mem::take(&mut self.arrived);
        let frames = arrived.into_iter().map(|(peer, up_to)| {
            self.next += 1;
            self.said.insert(self.next, (peer.clone(), up_to));
            client_frame::Frame::Acknowledge(SessionAcknowledgeRequest {
                peer,
                delivered_up_to: Some(up_to),
                read_up_to: None,
                request_id: self.next,
            })
        });
        frames.collect()
    }

    /// One of these was answered, whatever the answer.
    pub(super) fn answered(&mut self, request_id: u64) {
        self.said.remove(&request_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{Message, MessageStatus};

    fn entry(sequence: u64, chat: &str, from: &str, id: u64) -> Entry {
        let message = Message {
            id,
            chat: chat.to_owned(),
            from: from.to_owned(),
            to: String::new(),
            text: String::new(),
            sent_at: 0,
            status: MessageStatus::Sent,
            client_message_id: String::new(),
        };
        let what = Happening::Message(message);
        Entry { sequence, cursor: format!("c{sequence}"), what }
    }

    fn said(inbox: &mut Inbox) -> Vec<(String, u64)> {
        let read = |frame| match frame {
            client_frame::Frame::Acknowledge(it) => (it.peer, it.delivered_up_to.unwrap()),
            other => panic!("{other:?}"),
        };
        inbox.say().into_iter().map(read).collect()
    }

    #[tokio::test]
    async fn what_arrived_is_said_once_for_each_chat_and_again_if_it_was_not_answered() {
        let mut inbox = Inbox::new("now".to_owned(), true);
        assert!(inbox.came(&entry(1, "p", "p", 4), "me"));
        assert!(inbox.came(&entry(2, "p", "p", 5), "me"));
        assert!(inbox.came(&entry(3, "q", "me", 9), "me"));
        assert!(!inbox.came(&entry(3, "q", "me", 9), "me"));
        assert_eq!(inbox.after, "c3");
        assert!(inbox.due.is_some());
        assert_eq!(said(&mut inbox), [("p".to_owned(), 5)]);
        assert!(inbox.due.is_none() && said(&mut inbox).is_empty());
        inbox.connected();
        assert_eq!(said(&mut inbox), [("p".to_owned(), 5)]);
        inbox.answered(OWN + 2);
        inbox.connected();
        assert!(inbox.due.is_none() && said(&mut inbox).is_empty());
    }

    #[tokio::test]
    async fn nothing_is_said_where_the_application_says_it() {
        let mut inbox = Inbox::new(String::new(), false);
        assert!(inbox.came(&entry(1, "p", "p", 4), "me"));
        assert!(inbox.due.is_none() && said(&mut inbox).is_empty());
    }
}
