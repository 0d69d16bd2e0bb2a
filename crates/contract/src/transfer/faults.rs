//! What is cut off, and what does not fit.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use switchboard_core::{
    Code, Error, Millis, Result,
    transfer::{Answer, Archive, Begun, Page, Place, Reached, Row, Section, carry},
};

use super::{Unwatched, Vessel, assert_equal, carried, lived, refused};
use crate::Model;

/// A store that tells so many pages, of few rows, and fails then.
#[derive(Debug)]
struct CutOff {
    model: Arc<Model>,
    pages: AtomicU64,
}

impl Archive for CutOff {
    fn identity(&self) -> Answer<'_, String> {
        self.model.identity()
    }

    fn count(&self, section: Section) -> Answer<'_, u64> {
        self.model.count(section)
    }

    fn read(&self, section: Section, from: Option<Place>, rows_max: usize) -> Answer<'_, Page> {
        if self.pages.fetch_sub(1, Ordering::Relaxed) == 1 {
            let cut_off = Err(Error::new(Code::Unavailable, "cut off"));
            return Box::pin(std::future::ready(cut_off));
        }
        self.model.read(section, from, rows_max.min(20))
    }
}

/// What is cut off at any moment, and begun again, comes to the same.
pub async fn what_is_cut_off_is_gone_on_with<V: Vessel>() {
    let vessel = V::empty().await;
    let (life, model) = lived(8, 100).await;
    let mut ended: Option<Result<_>> = None;
    for pages in [1, 2, 3, 5, 8, 13, 21, 34, 200, 100_000] {
        let origin = CutOff { model: Arc::clone(&model), pages: AtomicU64::new(pages) };
        let destination = vessel.destination().await;
        ended = Some(carry(&origin, &*destination, &Unwatched).await);
        drop(destination);
        if matches!(ended, Some(Ok(_))) {
            break;
        }
    }
    assert_equal(&ended.unwrap().unwrap());
    life.compare(&vessel.serve().await).await;
}

/// Equal rows may come again; others of the same name change nothing.
pub async fn another_row_of_the_same_name_is_refused<V: Vessel>() {
    let vessel = V::empty().await;
    let (_, model) = lived(9, 100).await;
    let destination = vessel.destination().await;
    let begun = destination.begin("a store").await.unwrap();
    assert!(matches!(begun, Begun::Open(_)));
    for section in Section::ALL {
        let rows = super::all(&*model, section, 5_000).await;
        destination.write(section, rows.clone(), Reached::End).await.unwrap();
        destination.write(section, rows, Reached::End).await.unwrap();
    }
    for section in Section::ALL {
        let rows = super::all(&*model, section, 5_000).await;
        let Some(other) = rows.into_iter().next().map(other) else { continue };
        refused(destination.write(section, vec![other], Reached::End).await);
    }
    destination.finish().await.unwrap();
    drop(destination);
    let archive = vessel.archive().await;
    assert_equal(&carried(&*archive, &Model::default()).await);
    for section in Section::ALL {
        let rows = super::all(&*model, section, 5_000).await.len();
        assert_eq!(super::all(&*archive, section, 5_000).await.len(), rows, "{section}");
    }
}

/// Another row of the same name.
fn other(row: Row) -> Row {
    let later = |Millis(at): Millis| Millis(at.wrapping_add(1));
    match row {
        Row::Key { entry, id } => Row::Key { entry, id: id + 1_000_000 },
        Row::User { user, name, created_at } => {
            Row::User { user, name, created_at: later(created_at) }
        }
        Row::Said(mut said) => {
            said.message.sent_at = later(said.message.sent_at);
            Row::Said(said)
        }
        Row::Receipt(mut receipt) => {
            receipt.at = later(receipt.at);
            Row::Receipt(receipt)
        }
        Row::Profile { tenant, mut profile } => {
            profile.work.passes = profile.work.passes.wrapping_add(1);
            Row::Profile { tenant, profile }
        }
        Row::Version { tenant, first } => Row::Version { tenant, first: first + 1 },
        Row::Record { tenant, id, mut record } => {
            record.version = record.version.wrapping_add(1);
            Row::Record { tenant, id, record }
        }
        Row::Expiry(mut expiry) => {
            expiry.sequence += 1;
            Row::Expiry(expiry)
        }
        Row::Event { tenant, mut event } => {
            event.at = later(event.at);
            Row::Event { tenant, event }
        }
        Row::Head { tenant, newest, at } => Row::Head { tenant, newest: newest - 1, at },
        Row::Queue { queue, settings, mut progress } => {
            progress.acknowledged += 1;
            Row::Queue { queue, settings, progress }
        }
        Row::Delivery { queue, mut id, held } => {
            id.attempt += 1;
            Row::Delivery { queue, id, held }
        }
        Row::Stay(mut stay) => {
            stay.newest += 1;
            Row::Stay(stay)
        }
    }
}
