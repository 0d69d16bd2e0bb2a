//! Reads what is durable, from whatever thread asks.

use std::{
    collections::{HashMap, btree_map},
    iter::Peekable,
    ops::{Bound, Deref},
    sync::Arc,
};

use switchboard_core::{
    Tenant,
    vault::{Listed, Page, Place, Profile, Range, RecordId},
};

use super::{
    entry::{self, Key},
    recent::{Card, Generation, Happened, Kept},
    tables::{Rows, Tables},
};
use crate::{
    Error,
    engine::guarded,
    error::EngineError,
    handover::{HandedOver, Handover},
};

/// What all readers share, and the one writer changes.
#[derive(Debug)]
pub(super) struct Shared {
    state: Handover<State>,
}

/// What is durable: what the tables hold, and what they do not hold yet.
#[derive(Debug)]
pub(super) struct State {
    pub(super) current: Generation,
    pub(super) flushing: Option<Arc<Generation>>,
    pub(super) tables: Arc<Tables>,
    /// All tenants that ever had a profile.
    pub(super) cards: HashMap<Tenant, Card>,
}

impl HandedOver for State {
    fn is_flushing(&self) -> bool {
        self.flushing.is_some()
    }
}

impl Deref for Shared {
    type Target = Handover<State>;

    fn deref(&self) -> &Handover<State> {
        &self.state
    }
}

impl State {
    /// What is durable can be read.
    pub(super) fn apply(&mut self, happened: Happened) {
        if let Happened::Card(tenant, card) = &happened {
            self.cards.insert(*tenant, card.clone());
        }
        self.current.apply(happened);
    }

    /// What memory says of a place; none where it says nothing.
    fn recent(&self, key: &[u8]) -> Option<Kept> {
        let generations = [Some(&self.current), self.flushing.as_deref()];
        generations.into_iter().flatten().find_map(|it| it.records.get(key)).cloned()
    }
}

impl Shared {
    pub(super) fn new(state: State) -> Self {
        Self { state: Handover::new(state) }
    }

    pub(super) fn profiles(&self, tenant: &Tenant) -> Arc<[Profile]> {
        self.read().cards.get(tenant).map(|card| Arc::clone(&card.profiles)).unwrap_or_default()
    }

    pub(super) fn get(&self, tenant: &Tenant, id: &RecordId) -> Result<Place, Error> {
        let key = entry::key(tenant, id);
        // A version that was removed is known before the record is seen to be gone.
        let found = self.look(&key, |bytes| entry::read(&key, bytes))?;
        let removed = self.read().cards.get(tenant).map_or(0, |card| card.removed);
        Ok(Place { found, first_version: removed.saturating_add(1) })
    }

    /// Looks at what is kept under a key.
    pub(super) fn look<T>(
        &self,
        key: &[u8],
        look: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>, Error> {
        let tables = {
            let state = self.read();
            if let Some(recent) = state.recent(key) {
                return Ok(recent.bytes().map(look));
            }
            Arc::clone(&state.tables)
        };
        tables.get(key, look)
    }

    /// The keys of records whose time is up, so many at most.
    pub(super) fn expired(&self, now: i64, max: usize) -> Result<Vec<Key>, Error> {
        let state = self.read();
        let up = |it: &Generation| {
            let up = it.expiring.iter().take_while(|(at, _)| *at <= now).map(|(_, key)| key);
            up.take(max).cloned().collect::<Vec<_>>()
        };
        let mut keys = up(&state.current);
        if let Some(flushing) = &state.flushing {
            let older = up(flushing).into_iter();
            keys.extend(older.filter(|key| !state.current.records.contains_key(key)));
        }
        // What memory speaks of is not as the tables have it.
        let not_recent = |key: &[u8]| state.recent(key).is_none();
        keys.extend(state.tables.expired(now, max.saturating_sub(keys.len()), not_recent)?);
        Ok(keys)
    }

    pub(super) fn list(&self, tenant: &Tenant, range: &Range) -> Result<Page, Error> {
        let (from, to) = bounds(tenant, range);
        if let (Bound::Excluded(from) | Bound::Included(from), Bound::Excluded(to)) = (&from, &to)
            && to <= from
        {
            return Ok(Page::default());
        }
        let bounds = (slice(&from), slice(&to));
        // Held for a page: what is listed is all of one moment.
        let state = self.read();
        let mut rows = Merged {
            current: state.current.records.range::<[u8], _>(bounds).peekable(),
            flushing: state
                .flushing
                .as_deref()
                .map(|it| it.records.range::<[u8], _>(bounds).peekable()),
            tables: state.tables.range(bounds)?,
            table: None,
            read: false,
        };
        let (mut page, mut bytes_left) = (Page::default(), range.bytes_max);
        while let Some(row) = guarded(|| rows.next())? {
            if range.records_max <= page.listed.len()
                || !page.listed.is_empty() && bytes_left < row.bytes().len()
            {
                page.next = page.listed.last().map(|last| last.id.clone());
                break;
            }
            bytes_left = bytes_left.saturating_sub(row.bytes().len());
            let found = entry::read(row.key(), row.bytes());
            let Some((_, id)) = entry::read_key(row.key()) else {
                tracing::error!("a key of the vault is damaged: its record is left out");
                continue;
            };
            page.listed.push(Listed { id, found });
        }
        Ok(page)
    }
}

/// The keys that a range may have.
fn bounds(tenant: &Tenant, range: &Range) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    let mut first = entry::tenant_key(tenant);
    let tenant_len = first.len();
    first.extend_from_slice(range.prefix.as_bytes());
    // No byte of UTF-8, and none of a tenant, is 255.
    let mut end = first.clone();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    if range.prefix.is_empty() {
        // The first byte of the last tenant of this length must not be carried into.
        end = [&first[..tenant_len], &[0xff]].concat();
    }
    let from = match &range.after {
        Some(after) => {
            let mut behind = first[..tenant_len].to_vec();
            behind.extend_from_slice(after.as_str().as_bytes());
            if behind < first { Bound::Included(first) } else { Bound::Excluded(behind) }
        }
        None => Bound::Included(first),
    };
    (from, Bound::Excluded(end))
}

fn slice(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    bound.as_ref().map(Vec::as_slice)
}

type Recent<'a> = Peekable<btree_map::Range<'a, Key, Kept>>;
type Guard = redb::AccessGuard<'static, &'static [u8]>;

/// What is kept, in the order of the keys, wherever it is: what came later is what counts.
struct Merged<'a> {
    current: Recent<'a>,
    flushing: Option<Recent<'a>>,
    tables: Rows,
    /// The next of the tables, once it was read.
    table: Option<(Guard, Guard)>,
    read: bool,
}

enum Row<'a> {
    Recent(&'a [u8], &'a [u8]),
    Table(Guard, Guard),
}

impl Row<'_> {
    fn key(&self) -> &[u8] {
        match self {
            Self::Recent(key, _) => key,
            Self::Table(key, _) => key.value(),
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Recent(_, bytes) => bytes,
            Self::Table(_, bytes) => bytes.value(),
        }
    }
}

impl<'a> Merged<'a> {
    fn next(&mut self) -> Result<Option<Row<'a>>, Error> {
        loop {
            if !self.read {
                let row = self.tables.next().transpose();
                self.table = row.map_err(redb::Error::from).map_err(EngineError)?;
                self.read = true;
            }
            let table = self.table.as_ref().map(|(key, _)| key.value());
            let flushing = self.flushing.as_mut().and_then(Peekable::peek).map(|(key, _)| &***key);
            let current = self.current.peek().map(|(key, _)| &***key);
            let Some(least) = [table, flushing, current].into_iter().flatten().min() else {
                return Ok(None);
            };
            let [table, flushing, current] =
                [table, flushing, current].map(|key| key == Some(least));
            self.read &= !table;
            let table = if table { self.table.take() } else { None };
            let older =
                if flushing { self.flushing.as_mut().and_then(Iterator::next) } else { None };
            let newer = if current { self.current.next() } else { None };
            match (newer.or(older), table) {
                (Some((key, Kept::Record(bytes))), _) => return Ok(Some(Row::Recent(key, bytes))),
                (Some((_, Kept::Nothing)), _) => {}
                (None, Some((key, bytes))) => return Ok(Some(Row::Table(key, bytes))),
                (None, None) => return Ok(None),
            }
        }
    }
}
