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
    log::{Archive, Location},
};

/// How much is read where an entry stands alone, in bytes: most are shorter.
const ONE: usize = 512;

/// How much is read where the next entries are likely to be wanted, too.
const MANY: usize = 64 * 1024;

/// How far apart entries stand at most that stand together, in bytes.
const NEAR: u64 = 2 * 1024;

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
    bytes: Vec<u8>,
    begin: u64,
    last: u64,
}

impl<'a> Bodies<'a> {
    pub(super) fn new(archive: &'a Archive) -> Self {
        Self { archive, bytes: Vec::new(), begin: 0, last: 0 }
    }

    /// The entry that stands at a place.
    pub(super) fn entry(&mut self, place: u64) -> Result<Found, Error> {
        self.load(place)?;
        let at = self.at(place);
        let (entry, _) =
            entry::read(self.bytes.get(at..).unwrap_or_default()).ok_or_else(|| damaged(place))?;
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

    /// Where a place is in what was read.
    fn at(&self, place: u64) -> usize {
        usize::try_from(place - self.begin).unwrap_or(usize::MAX)
    }

    /// Sees to it that the whole entry is in memory.
    fn load(&mut self, place: u64) -> Result<(), Error> {
        let near = self.last != 0 && self.last <= place && place - self.last < NEAR;
        self.last = place;
        if self.begin != 0 && self.begin <= place && self.holds(place) {
            return Ok(());
        }
        let len = if near { MANY } else { ONE };
        self.archive.read(Location(place), len, &mut self.bytes)?;
        self.begin = place;
        let whole = entry::length(&self.bytes).ok_or_else(|| damaged(place))?;
        if self.bytes.len() < whole {
            self.archive.read(Location(place), whole, &mut self.bytes)?;
        }
        Ok(())
    }

    fn holds(&self, place: u64) -> bool {
        let rest = self.bytes.get(self.at(place)..).unwrap_or_default();
        HEADER <= rest.len() && entry::length(rest).is_some_and(|length| length <= rest.len())
    }
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
