//! The sealed records of the vault.
//!
//! # How a change happens
//!
//! One transaction takes all changes that wait ([`writer`]):
//!
//! 1. It locks the rows that are there, tenant by tenant and in the order of their ids, and then
//!    reads the greatest version that was removed of each tenant.
//! 2. It decides every change in memory, in the order in which they came ([`decide`]): a change
//!    sees what those before it did.
//! 3. It writes what each place has come to, and commits.
//!
//! A row that is there can't change between 1 and 3. One that is not can't be locked: another node
//! may put it meanwhile, and remove it again. So a row is inserted only where there still is none,
//! and its version is compared once more with what was removed, after it was inserted: from then on
//! nobody else can put or remove anything there. If either fails, all of it is undone and decided
//! anew. Hence no version of an id is ever put twice, and no row of a tenant is fought over.
//!
//! # How a record expires
//!
//! The index of times leads with the tenant. Which tenants to look at says `vault_tenant`, which
//! has a row for each that ever had something to expire: one statement looks up the earliest time
//! of many of them. What is due goes a part at a time, each part a transaction, and what another
//! node is removing is skipped.
//!
//! # Damage
//!
//! Each row has two checksums ([`row`]). The one of its head says whether its version and its times
//! can be believed, without reading what is sealed.
//!
//! What was removed is gone from the tables with the commit, and from the files when the database
//! makes use of the room again (`VACUUM`).
//!
//! No statement speaks of more than one tenant, so that a database which is partitioned by tenant
//! runs each on one of its parts.

mod decide;
mod expiry;
mod profiles;
mod reader;
pub(crate) mod row;
mod work;
mod writer;

use std::sync::Arc;

use switchboard_core::{
    Millis, Tenant,
    vault::{Answer, Change, Outcome, Page, Place, Profile, Range, RecordId, Records},
};

use self::{
    work::{Due, Work},
    writer::Writer,
};
use crate::{Ground, lane::Lane, readers::Readers};

/// Where the records of the vault are kept.
#[derive(Debug)]
pub struct Front {
    lane: Arc<Lane<Work>>,
    readers: Arc<Readers>,
}

impl Front {
    pub(crate) fn new(ground: &Ground) -> Self {
        let lane = Arc::new(ground.lane("vault", Writer));
        Self { lane, readers: Arc::clone(&ground.readers) }
    }
}

impl Records for Front {
    fn profiles(&self, tenant: Tenant) -> Answer<Arc<[Profile]>> {
        let readers = Arc::clone(&self.readers);
        Box::pin(async move { reader::profiles(&readers, tenant).await })
    }

    fn add_profile(&self, tenant: Tenant, profile: Profile) -> Answer<Arc<[Profile]>> {
        Box::pin(self.lane.ask(|answer| Work::AddProfile { tenant, profile, answer }))
    }

    fn get(&self, tenant: Tenant, id: &RecordId) -> Answer<Place> {
        let (readers, id) = (Arc::clone(&self.readers), id.clone());
        Box::pin(async move { reader::get(&readers, tenant, &id).await })
    }

    fn list(&self, tenant: Tenant, range: Range) -> Answer<Page> {
        let readers = Arc::clone(&self.readers);
        Box::pin(async move { reader::list(&readers, tenant, &range).await })
    }

    fn change(&self, changes: Vec<Change>) -> Answer<Vec<Outcome>> {
        let parts = work::parts(changes).into_iter();
        let changing: Vec<_> =
            parts.map(|changes| self.lane.ask(|answer| Work::Change { changes, answer })).collect();
        Box::pin(async move {
            let mut outcomes = Vec::new();
            for changing in changing {
                outcomes.append(&mut changing.await?);
            }
            Ok(outcomes)
        })
    }

    fn expire(&self, now: Millis) -> Answer<u64> {
        let (lane, readers) = (Arc::clone(&self.lane), Arc::clone(&self.readers));
        Box::pin(async move {
            let (mut removed, mut behind) = (0, String::new());
            loop {
                let tenants = reader::tenants_with_due(&readers, behind, now).await?;
                let Some(last) = tenants.last() else { return Ok(removed) };
                behind = last.clone();
                for tenant in tenants {
                    let mut due = Some(Due::first(tenant, now));
                    while let Some(part) = due {
                        let gone = lane.ask(|answer| Work::Expire { due: part, answer }).await?;
                        removed += gone.removed;
                        due = gone.rest;
                    }
                }
            }
        })
    }
}
