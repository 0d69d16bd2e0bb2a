//! Conversations, cut everywhere.

use std::{collections::BTreeMap, sync::Arc};

use switchboard_core::{
    Millis,
    chat::{
        Acknowledgement, Chats as _, ClientMessageId, Draft, Happening, MessageStatus, PhoneNumber,
        Reach, Text, User,
    },
    store::Unobserved,
};

use super::{
    Random,
    cuts::every_cut,
    disk::SimDisk,
    model::Image,
    rig::{OPTIONS, entry, health, now},
};
use crate::{Error, chat, disk::Disk, keeper::Keeps as _, serve::Writes as _};

/// Chats on a simulated disk, driven by hand.
struct Rig {
    disk: Arc<SimDisk>,
    parts: chat::Parts,
}

fn user(number: u64) -> User {
    let phone = PhoneNumber::from_digits(41_790_000_000 + number).unwrap();
    User { tenant: "a".parse().unwrap(), phone }
}

/// The message that has this number goes from one to the other of two users.
fn draft(number: u32) -> Draft {
    let from = u64::from(number % 2);
    Draft {
        from: user(from),
        to: user(1 - from).phone,
        text: Text::new(&"x".repeat(1 + number as usize * 37 % 900)).unwrap(),
        client_message_id: ClientMessageId::new(&format!("{number}")).unwrap(),
        at: Millis(number.into()),
        trace: None,
    }
}

impl Rig {
    fn open(image: Image) -> Result<Self, Error> {
        let (disk, health) = (Arc::new(SimDisk::new(image)), health()?);
        let on = Arc::clone(&disk) as Arc<dyn Disk>;
        let parts = chat::open(&on, &OPTIONS, &health, Arc::new(Unobserved))?;
        Ok(Self { disk, parts })
    }

    /// Does what waits.
    fn work(&mut self) {
        self.parts.spare.prepare();
        let mut works = self.parts.front.queue.take(Vec::new()).unwrap();
        self.parts.writer.commit(&mut works).unwrap();
    }

    /// Sends a message, and tells which id it got.
    fn send(&mut self, number: u32) -> u64 {
        let answer = self.parts.front.send(vec![draft(number)]);
        self.work();
        let sent = now(answer).unwrap().pop().unwrap().unwrap();
        self.disk.acked(vec![(entry(0, number), sent.message.id)]);
        sent.message.id
    }

    /// Reads all, as one of the two.
    fn read(&mut self, by: u64, up_to: u64) {
        let stated = Acknowledgement {
            user: user(by),
            peer: user(1 - by).phone,
            delivered_up_to: None,
            read_up_to: Some(up_to),
            at: Millis(1_000),
        };
        let answer = self.parts.front.acknowledge(vec![stated]);
        self.work();
        now(answer).unwrap().pop().unwrap().unwrap();
    }

    fn checkpoint(&mut self) {
        let mut flush = self.parts.writer.flush().unwrap();
        self.parts.keeper.checkpoint(&mut flush).unwrap();
    }
}

/// Opens what a cut left: all that was answered is there once, with its id; nothing has a gap; and
/// a repeat is known.
fn check(image: Image, acked: &BTreeMap<u32, u64>, read: u64) -> Result<(), String> {
    let mut rig = Rig::open(image).map_err(|error| error.chain())?;
    let front = &rig.parts.front;
    let page = now(front.messages(user(0), user(1).phone, Reach::Newest, 1_000));
    let page = page.map_err(|error| error.chain().to_string())?;
    let mut found = BTreeMap::new();
    for (listed, id) in page.messages.iter().rev().zip(1..) {
        let number: u32 = listed.message.client_message_id.as_str().parse().unwrap();
        if listed.message.id != id || listed.message.text != draft(number).text {
            return Err(format!("message {id} is not what it was"));
        }
        if listed.message.id <= read && listed.message.to == user(0).phone {
            let status = listed.status;
            if status != MessageStatus::Read {
                return Err(format!("message {id} was read, and is {status:?}"));
            }
        }
        found.insert(number, id);
    }
    for (number, id) in acked {
        if found.get(number) != Some(id) {
            return Err(format!("message {number} with id {id} is missing of {found:?}"));
        }
    }
    for by in [0, 1] {
        let inbox = now(front.inbox(user(by), 0, 10_000)).map_err(|error| error.to_string())?;
        let messages =
            |entry: &&switchboard_core::chat::Entry| matches!(entry.what, Happening::Message(_));
        if inbox.entries.iter().filter(messages).count() != found.len()
            || !inbox.entries.iter().map(|entry| entry.sequence).eq(1..=inbox.newest)
        {
            return Err(format!("the inbox of {by} is not that of its chat"));
        }
    }
    if let Some((&number, &id)) = acked.iter().next_back()
        && rig.send(number) != id
    {
        return Err(format!("a repeat of {number} has another id"));
    }
    Ok(())
}

#[test]
fn messages_survive_every_cut() {
    let mut random = Random(11);
    let mut rig = Rig::open(Image::default()).unwrap();
    // Several segments, with checkpoints and merges within.
    let mut reads = Vec::new();
    for number in 1..=24 {
        let id = rig.send(number);
        if number % 5 == 0 {
            rig.read(0, id);
            reads.push((number, id));
        }
        if number % 4 == 0 {
            rig.checkpoint();
        }
    }
    let cuts = every_cut(&rig.disk, &mut random, |image, acked| {
        // What was read is known once a later message was answered.
        let last = acked.keys().next_back().copied().unwrap_or(0);
        let read = reads.iter().filter(|(number, _)| *number < last).map(|&(_, id)| id).max();
        check(image, acked, read.unwrap_or(0))
    });
    assert!(300 < cuts, "{cuts}");
}
