//! Sealed records in a plain map.

use std::{
    collections::BTreeMap,
    future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use switchboard_core::{
    Millis, Tenant,
    transfer::{Row, Section},
    vault::{
        Answer, Change, Expected, Found, Listed, Outcome, Page, Place, Profile, Range, Record,
        RecordId, Then,
    },
};

/// All records of all tenants.
#[derive(Debug, Default)]
pub(super) struct Records(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    records: BTreeMap<(Tenant, RecordId), Record>,
    /// The greatest version that was ever removed of a tenant.
    removed: BTreeMap<Tenant, u64>,
    profiles: BTreeMap<(Tenant, u8), Profile>,
}

impl Kept {
    fn profiles(&self, tenant: Tenant) -> Arc<[Profile]> {
        self.profiles.range((tenant, 0)..=(tenant, u8::MAX)).map(|(_, it)| *it).collect()
    }

    fn get(&self, tenant: Tenant, id: RecordId) -> Place {
        let found = self.records.get(&(tenant, id)).cloned().map(Found::Whole);
        Place { found, first_version: self.first_version(tenant) }
    }

    fn first_version(&self, tenant: Tenant) -> u64 {
        self.removed.get(&tenant).map_or(1, |removed| removed + 1)
    }

    fn list(&self, tenant: Tenant, range: &Range) -> Page {
        let asked = |id: &RecordId| {
            id.as_str().starts_with(&*range.prefix) && range.after.as_ref().is_none_or(|it| it < id)
        };
        let own = self.records.iter().filter(|((of, id), _)| *of == tenant && asked(id));
        let (mut page, mut bytes) = (Page::default(), 0);
        for ((_, id), record) in own {
            let full = range.records_max <= page.listed.len() || range.bytes_max <= bytes;
            if let Some(last) = page.listed.last().filter(|_| full) {
                page.next = Some(last.id.clone());
                break;
            }
            bytes += record.sealed.as_bytes().len();
            page.listed.push(Listed { id: id.clone(), found: Found::Whole(record.clone()) });
        }
        page
    }

    fn change(&mut self, change: Change) -> Outcome {
        let Change { tenant, id, expected, then } = change;
        let first_version = self.first_version(tenant);
        let place = (tenant, id);
        let before = self.records.get(&place).map(|record| record.version);
        let as_expected = match expected {
            Expected::Absent => before.is_none(),
            Expected::Version(version) => before == Some(version),
        };
        if !as_expected {
            return Outcome::Changed;
        }
        match then {
            Then::Put(record) => {
                if record.version < before.map_or(first_version, |before| before + 1) {
                    return Outcome::Changed;
                }
                self.records.insert(place, record);
            }
            Then::Delete => self.remove(&place),
        }
        Outcome::Done
    }

    fn remove(&mut self, place: &(Tenant, RecordId)) {
        if let Some(Record { version, .. }) = self.records.remove(place) {
            let removed = self.removed.entry(place.0).or_default();
            *removed = version.max(*removed);
        }
    }

    fn expire(&mut self, now: Millis) -> u64 {
        let expired = self.records.iter().filter(|(_, record)| record.has_expired(now));
        let places: Vec<_> = expired.map(|(place, _)| place.clone()).collect();
        for place in &places {
            self.remove(place);
        }
        places.len() as u64
    }
}

impl Records {
    /// All rows of a section.
    pub(super) fn rows(&self, section: Section) -> Vec<Row> {
        let kept = self.lock();
        match section {
            Section::Profiles => {
                let row = |(&(tenant, _), &profile)| Row::Profile { tenant, profile };
                kept.profiles.iter().map(row).collect()
            }
            Section::Versions => {
                let row = |(&tenant, removed): (&Tenant, &u64)| Row::Version {
                    tenant,
                    first: removed + 1,
                };
                kept.removed.iter().map(row).collect()
            }
            _ => {
                let row = |((tenant, id), record): (&(Tenant, RecordId), &Record)| Row::Record {
                    tenant: *tenant,
                    id: id.clone(),
                    record: record.clone(),
                };
                kept.records.iter().map(row).collect()
            }
        }
    }

    /// Takes a row.
    pub(super) fn put(&self, row: Row) -> switchboard_core::Result<()> {
        let mut kept = self.lock();
        let is_it = match row {
            Row::Profile { tenant, profile } => {
                *kept.profiles.entry((tenant, profile.number)).or_insert(profile) == profile
            }
            Row::Version { tenant, first } => {
                *kept.removed.entry(tenant).or_insert(first - 1) == first - 1
            }
            Row::Record { tenant, id, record } => {
                *kept.records.entry((tenant, id)).or_insert(record.clone()) == record
            }
            _ => true,
        };
        if is_it { Ok(()) } else { Err(super::transfer::conflict()) }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ready<T: Send + 'static>(answer: T) -> Answer<T> {
    Box::pin(future::ready(Ok(answer)))
}

impl switchboard_core::vault::Records for super::Model {
    fn profiles(&self, tenant: Tenant) -> Answer<Arc<[Profile]>> {
        ready(self.records.lock().profiles(tenant))
    }

    fn add_profile(&self, tenant: Tenant, profile: Profile) -> Answer<Arc<[Profile]>> {
        let mut kept = self.records.lock();
        kept.profiles.entry((tenant, profile.number)).or_insert(profile);
        ready(kept.profiles(tenant))
    }

    fn get(&self, tenant: Tenant, id: &RecordId) -> Answer<Place> {
        ready(self.records.lock().get(tenant, id.clone()))
    }

    fn list(&self, tenant: Tenant, range: Range) -> Answer<Page> {
        ready(self.records.lock().list(tenant, &range))
    }

    fn change(&self, changes: Vec<Change>) -> Answer<Vec<Outcome>> {
        let mut kept = self.records.lock();
        ready(changes.into_iter().map(|change| kept.change(change)).collect())
    }

    fn expire(&self, now: Millis) -> Answer<u64> {
        ready(self.records.lock().expire(now))
    }
}
