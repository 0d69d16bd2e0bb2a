//! Everything that was said, at rest: told, or taken from another store.
//!
//! Nobody sends meanwhile. It is told in the order of the log, which is one in which it happened.

use std::{collections::HashMap, sync::Arc};

use switchboard_core::{
    Error as Refusal, Millis, Tenant,
    chat::User,
    store::Unobserved,
    transfer::{BYTES_MAX, Page, Place, Receipt, Row, Section, Sequences, Waiting},
};

use super::{
    FOLDER, Keeper, Writer,
    bodies::{self, Bodies},
    entry::{self, Entry, MessageEntry, ReceiptEntry},
    open::{Parts, open},
    reader::{Shared, damaged, phone},
};
use crate::{
    Error, Options,
    disk::{Disk, Folder},
    health::Health,
    keeper::Keeps as _,
    log::{Records, Spare},
    transfer::numbers,
};

/// Everything that was said.
#[derive(Debug)]
pub(crate) struct Said {
    writer: Writer,
    keeper: Keeper,
    pub(crate) spare: Spare,
    disk: Arc<dyn Disk>,
    waiting: Waiting,
    flush_entries: usize,
    /// The segment that was read last.
    segment: Option<Records>,
}

impl Said {
    /// Opens what is there, or makes it, and puts away what the log holds.
    pub(crate) fn open(
        disk: &Arc<dyn Disk>,
        options: &Options,
        health: &Arc<Health>,
    ) -> Result<Self, Error> {
        let Parts { writer, keeper, spare, .. } =
            open(disk, options, health, Arc::new(Unobserved))?;
        let mut said = Self {
            writer,
            keeper,
            spare,
            disk: Arc::new(Folder::of(Arc::clone(disk), FOLDER)),
            waiting: Waiting::default(),
            flush_entries: options.chat_flush_entries,
            segment: None,
        };
        said.flush()?;
        Ok(said)
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.keeper.shared
    }

    /// About how many rows there are.
    pub(crate) fn count(&self, section: Section) -> u64 {
        if section == Section::Messages { self.writer.fresh.sent } else { 0 }
    }

    /// Puts into tables what is not there yet.
    pub(crate) fn flush(&mut self) -> Result<(), Error> {
        if 0 < self.shared().read().recent.current.entries
            && let Some(mut flush) = self.writer.flush()
        {
            self.keeper.checkpoint(&mut flush)?;
        }
        Ok(())
    }

    /// Takes rows. Says whether all of them are where they belong, durably.
    pub(crate) fn put(&mut self, rows: Vec<Row>) -> Result<Result<bool, Refusal>, Error> {
        let loaded = self.writer.load(rows, &mut self.waiting)?;
        self.segment = None;
        if self.flush_entries <= self.shared().read().recent.current.entries {
            self.flush()?;
        }
        Ok(loaded.map(|()| self.waiting.is_empty()))
    }

    /// Tells rows.
    pub(crate) fn read(
        &mut self,
        section: Section,
        from: Option<&Place>,
        max: usize,
    ) -> Result<Page, Error> {
        let names = self.shared().names();
        if section == Section::Users {
            self.flush()?;
            return self.users(&names, from, max);
        }
        let mut from = from.map_or(Some([1, 0, 0]), numbers).ok_or_else(|| damaged(0))?;
        let (mut page, mut bytes) = (Page::default(), 0);
        loop {
            let [number, index, offset] = from;
            let Some((payload, begin)) = self.record(number, index)? else {
                if self.writer.log.position().segment <= number {
                    return Ok(page);
                }
                from = [number + 1, 0, 0];
                continue;
            };
            let mut at = usize::try_from(offset).unwrap_or(usize::MAX);
            let shared = Arc::clone(self.shared());
            let mut bodies = Bodies::new(&shared.archive);
            while at < payload.len() {
                if max <= page.rows.len() || BYTES_MAX <= bytes {
                    from[2] = at as u64;
                    let bytes = from.iter().flat_map(|number| number.to_be_bytes());
                    page.next = Some(Place(bytes.collect()));
                    return Ok(page);
                }
                let place = begin + at as u64;
                let rest = payload.get(at..).unwrap_or_default();
                let (entry, behind) = entry::read(rest).ok_or_else(|| damaged(place))?;
                at = payload.len() - behind.len();
                let row = told(&shared, &names, (&entry, place), &mut bodies)?;
                bytes += row.as_ref().map_or(0, Row::size);
                page.rows.extend(row);
            }
            from = [number, index + 1, 0];
        }
    }

    /// The payload of a record, and where it stands. None behind the last of its segment.
    fn record(&mut self, number: u64, index: u64) -> Result<Option<(Vec<u8>, u64)>, Error> {
        if self.segment.as_ref().is_none_or(|segment| segment.number != number) {
            let before = self.segment.take().and_then(|it| Some((it.number, it.last()?)));
            self.segment = Records::open(&*self.disk, number)?;
            let first = self.segment.as_ref().and_then(|it| it.get(0)).map(|(it, ..)| it);
            // A record that is missing was damaged: what stands behind it in its segment is too.
            if let (Some((before, last)), Some(first)) = (before, first)
                && before + 1 == number
                && first != last + 1
            {
                return Err(damaged(before << 32));
            }
        }
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        let Some(segment) = &self.segment else { return Err(damaged(number << 32)) };
        let position = self.writer.log.position();
        let is_last = number == position.segment;
        if is_last && segment.last().is_some_and(|last| last != position.sequence) {
            return Err(damaged(number << 32));
        }
        Ok(segment.get(index).map(|(_, begin, payload)| (payload.to_vec(), begin.0)))
    }

    fn users(
        &self,
        names: &HashMap<u32, Tenant>,
        from: Option<&Place>,
        max: usize,
    ) -> Result<Page, Error> {
        let tables = Arc::clone(&self.shared().read().tables);
        let from = from.map_or(&[][..], |Place(bytes)| bytes);
        let cards = tables.cards(from, max + 1)?;
        let next = cards.get(max).map(|(user, _)| Place(user.to_bytes().to_vec()));
        let mut rows = Vec::with_capacity(cards.len());
        for (user, card) in cards.into_iter().take(max) {
            let tenant = *names.get(&user.tenant).ok_or_else(|| damaged(user.phone))?;
            let user = User { tenant, phone: phone(user.phone)? };
            rows.push(Row::User { user, name: card.name, created_at: card.created_at });
        }
        Ok(Page { rows, next })
    }
}

/// What an entry of the log says, if it is one of those that are told.
fn told(
    shared: &Shared,
    names: &HashMap<u32, Tenant>,
    (entry, place): (&Entry<'_>, u64),
    bodies: &mut Bodies<'_>,
) -> Result<Option<Row>, Error> {
    let tenant = |number| names.get(number).copied().ok_or_else(|| damaged(place));
    Ok(match entry {
        Entry::Message(entry) => {
            let message = Arc::unwrap_or_clone(bodies::message(entry, place)?);
            let &MessageEntry { behind, sequences: [from, to], .. } = entry;
            let times = shared.times_of(place, behind, bodies)?;
            let accepted = message.sent_at;
            let stored = times.map_or(accepted, |times| Millis(times.stored.max(accepted.0)));
            Some(Row::Said(switchboard_core::transfer::Said {
                tenant: tenant(&entry.tenant)?,
                message,
                sequences: Sequences { from, to },
                stored,
            }))
        }
        Entry::Receipt(entry) => {
            let &ReceiptEntry { by, peer, read, up_to, sequence, at, .. } = entry;
            let user = User { tenant: tenant(&entry.tenant)?, phone: phone(by)? };
            let (peer, at) = (phone(peer)?, Millis(at));
            Some(Row::Receipt(Receipt { user, peer, read, up_to, sequence, at }))
        }
        Entry::Times(_) | Entry::Tenant(_) | Entry::User(_) => None,
    })
}
