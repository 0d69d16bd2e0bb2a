//! The vault: records that are sealed before they come here.
//!
//! They have a log of their own in `vault/log/`, which takes them first, and tables, which keep
//! them ([`tables`]). Between the two they are in memory too ([`recent`]). In the log, in memory
//! and in the tables a record is the same bytes, with a checksum of their own ([`entry`]): wherever
//! it is damaged, that is noticed, and noticed of this record alone.
//!
//! One thread decides and writes ([`writer`]), another puts away ([`keeper`]), and whoever asks
//! reads by himself ([`reader`]).

mod carry;
mod entry;
mod keeper;
mod open;
mod reader;
mod recent;
mod tables;
mod work;
mod writer;

use std::{future, sync::Arc, time::Instant};

use switchboard_core::{
    Code, Error as Refusal, Millis, Tenant,
    vault::{self, Change, Outcome, Page, Place, Profile, Range, RecordId},
};

pub(crate) use self::{
    carry::Records,
    keeper::Keeper,
    open::{Parts, open, size},
    work::Work,
    writer::Writer,
};
use self::{reader::Shared, work::Task};
use crate::{
    Error,
    queue::{Answer, Queue},
};

/// The length of a segment of the log, in bytes.
pub(crate) const SEGMENT_BYTES: usize = 32 * 1024 * 1024;

/// After how many bytes of records they are put into tables.
pub(crate) const FLUSH_BYTES: usize = 256 * 1024 * 1024;

/// The folder of all that is the vault's.
pub(crate) const FOLDER: &str = "vault";

/// The way to records for all who ask.
#[derive(Clone, Debug)]
pub(crate) struct Front {
    pub(crate) queue: Arc<Queue<Work>>,
    shared: Arc<Shared>,
}

impl Front {
    fn ask<T: Send + 'static>(&self, task: impl FnOnce(Answer<T>) -> Task) -> vault::Answer<T> {
        self.queue.ask(|answer| Work { task: task(answer), arrived: Instant::now() })
    }

    /// What was read is there at once: nothing is waited for but the disk.
    fn told<T: Send + 'static>(read: Result<T, Error>) -> vault::Answer<T> {
        Box::pin(future::ready(read.map_err(|error| {
            tracing::error!(error = %error.chain(), "the vault can't be read");
            Refusal::new(Code::Unavailable, "the store could not be read").caused_by(error)
        })))
    }
}

impl vault::Records for Front {
    fn profiles(&self, tenant: Tenant) -> vault::Answer<Arc<[Profile]>> {
        Self::told(Ok(self.shared.profiles(&tenant)))
    }

    fn add_profile(&self, tenant: Tenant, profile: Profile) -> vault::Answer<Arc<[Profile]>> {
        self.ask(|answer| Task::AddProfile { tenant, profile, answer })
    }

    fn get(&self, tenant: Tenant, id: &RecordId) -> vault::Answer<Place> {
        Self::told(self.shared.get(&tenant, id))
    }

    fn list(&self, tenant: Tenant, range: Range) -> vault::Answer<Page> {
        Self::told(self.shared.list(&tenant, &range))
    }

    fn change(&self, changes: Vec<Change>) -> vault::Answer<Vec<Outcome>> {
        self.ask(|answer| Task::Change { changes, answer })
    }

    fn expire(&self, now: Millis) -> vault::Answer<u64> {
        let front = self.clone();
        Box::pin(async move {
            let mut removed = 0;
            // A part at a time, so that others are not held up.
            loop {
                let part = front.ask(|answer| Task::Expire { now, answer }).await?;
                if part == 0 {
                    return Ok(removed);
                }
                removed += part;
            }
        })
    }
}
