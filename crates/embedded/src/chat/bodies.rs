//! Entries of the log, read where they stand.

use std::sync::Arc;

use switchboard_core::{
    Millis,
    chat::{ClientMessageId, Message, Text},
};

use super::{
    entry::{self, Entry, HEADER, MessageEntry, ReceiptEntry, Times},
    keys::ChatKey,
    reader::{damaged, phone},
};
use crate::{
    Error,
    log::{Archive, Block, Location},
};

/// How much is read of an entry that stands across two blocks, in bytes: most are shorter.
const ONE: usize = 4 * 1024;

/// An entry of the log.
pub(super) enum Found {
    Message { message: Arc<Message>, tenant: u32, behind: u32, sequences: [u64; 2] },
    Receipt(ReceiptEntry),
    Times(Times),
    Other,
}

/// Reads entries; best in their order, in which those that stand together are read together.
pub(super) struct Bodies<'a> {
    archive: &'a Archive,
    /// What was read last of an entry across two blocks.
    bytes: Vec<u8>,
    begin: u64,
    block: Option<Block>,
}

impl<'a> Bodies<'a> {
    pub(super) fn new(archive: &'a Archive) -> Self {
        Self { archive, bytes: Vec::new(), begin: 0, block: None }
    }

    /// The entry that stands at a place.
    pub(super) fn entry(&mut self, place: u64) -> Result<Found, Error> {
        let (entry, _) = entry::read(self.load(place)?).ok_or_else(|| damaged(place))?;
        Ok(match entry {
            Entry::Message(entry) => Found::Message {
                message: message(&entry, place)?,
                tenant: entry.tenant,
                behind: entry.behind,
                sequences: entry.sequences,
            },
            Entry::Receipt(entry) => Found::Receipt(entry),
            Entry::Times(times) => Found::Times(times),
            Entry::Tenant(_) | Entry::User(_) => Found::Other,
        })
    }

    /// The entry that stands at a place, as it is.
    pub(super) fn raw(&mut self, place: u64) -> Result<&[u8], Error> {
        let bytes = self.load(place)?;
        let length = entry::length(bytes).ok_or_else(|| damaged(place))?;
        bytes.get(..length).ok_or_else(|| damaged(place))
    }

    /// The message that stands at a place, which must be this one.
    pub(super) fn message(
        &mut self,
        place: u64,
        (chat, id): (ChatKey, u64),
    ) -> Result<Arc<Message>, Error> {
        let Found::Message { message, tenant, .. } = self.entry(place)? else {
            return Err(damaged(place));
        };
        let (found, _) = ChatKey::of(tenant, message.from.digits(), message.to.digits());
        if found == chat && message.id == id { Ok(message) } else { Err(damaged(place)) }
    }

    /// What stands at a place and behind it: the whole entry at least.
    fn load(&mut self, place: u64) -> Result<&[u8], Error> {
        let held = self.block.as_ref().is_some_and(|it| whole(&it.bytes, it.begin.0, place));
        if !held {
            self.block = Some(self.archive.block(Location(place))?);
        }
        if self.block.as_ref().is_some_and(|it| whole(&it.bytes, it.begin.0, place)) {
            return Ok(self.block.as_ref().map_or(&[], |it| from(&it.bytes, it.begin.0, place)));
        }
        // It stands across two blocks.
        if !whole(&self.bytes, self.begin, place) {
            self.archive.read(Location(place), ONE, &mut self.bytes)?;
            self.begin = place;
            let length = entry::length(&self.bytes).ok_or_else(|| damaged(place))?;
            if self.bytes.len() < length {
                self.archive.read(Location(place), length, &mut self.bytes)?;
            }
        }
        Ok(from(&self.bytes, self.begin, place))
    }
}

/// What stands behind a place, of bytes that begin at another.
fn from(bytes: &[u8], begin: u64, place: u64) -> &[u8] {
    let at = place.checked_sub(begin).and_then(|at| usize::try_from(at).ok());
    at.and_then(|at| bytes.get(at..)).unwrap_or_default()
}

/// Whether an entry that stands at a place is whole within bytes that begin at another.
fn whole(bytes: &[u8], begin: u64, place: u64) -> bool {
    let rest = from(bytes, begin, place);
    HEADER <= rest.len() && entry::length(rest).is_some_and(|length| length <= rest.len())
}

/// A message as it stands in the log, which must be this one.
pub(super) fn message_of(
    entry: &MessageEntry<'_>,
    (chat, id): (ChatKey, u64),
) -> Result<Arc<Message>, Error> {
    let (found, _) = ChatKey::of(entry.tenant, entry.from, entry.to);
    if found == chat && entry.id == id { message(entry, id) } else { Err(damaged(id)) }
}

/// A message as it stands in the log.
pub(super) fn message(entry: &MessageEntry<'_>, place: u64) -> Result<Arc<Message>, Error> {
    // What was written was checked before; what can't be so is damage.
    let wrong = |_| damaged(place);
    Ok(Arc::new(Message {
        id: entry.id,
        from: phone(entry.from)?,
        to: phone(entry.to)?,
        text: Text::new(entry.text).map_err(wrong)?,
        client_message_id: ClientMessageId::new(entry.client_message_id).map_err(wrong)?,
        sent_at: Millis(entry.at),
        trace: entry.trace,
    }))
}
