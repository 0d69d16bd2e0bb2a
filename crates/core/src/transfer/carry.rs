//! Carries everything, and compares both sides in the end.

use std::fmt;

use super::{Archive, Begun, Destination, Page, ROWS_MAX, Reached, Section, Tally};
use crate::Result;

/// Is told how far one has come.
pub trait Watch: fmt::Debug + Send + Sync {
    /// A section begins, or is gone on with, that has about so many rows.
    fn begin(&self, section: Section, rows: u64);

    /// So many rows more are there.
    fn carried(&self, section: Section, rows: u64);

    /// A section is there; or was there before.
    fn done(&self, section: Section);

    /// All is there, and both sides are read once more.
    fn compare(&self, section: Section);
}

/// A section on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compared {
    /// Which.
    pub section: Section,
    /// What the origin has.
    pub there: Tally,
    /// What the destination has.
    pub here: Tally,
}

/// What was carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Whether all of it had been carried before.
    pub before: bool,
    /// Every section, as it is on both sides.
    pub sections: Vec<Compared>,
}

impl Compared {
    /// Whether both sides have the same.
    pub fn is_equal(&self) -> bool {
        self.there == self.here
    }
}

impl Moved {
    /// Whether both sides have the same.
    pub fn is_equal(&self) -> bool {
        self.sections.iter().all(Compared::is_equal)
    }
}

/// Carries everything from one store to another, from where it was when this was begun before, and
/// compares them.
///
/// # Errors
///
/// Those of both: what was carried so far is there, and the next call goes on with it.
pub async fn carry(
    origin: &dyn Archive,
    destination: &dyn Destination,
    watch: &dyn Watch,
) -> Result<Moved> {
    let identity = origin.identity().await?;
    let before = match destination.begin(&identity).await? {
        Begun::Finished => true,
        Begun::Open(reached) => {
            for section in Section::ALL {
                let found = reached.iter().find(|(of, _)| *of == section);
                let from = found.map(|(_, reached)| reached.clone()).unwrap_or_default();
                carry_section(origin, destination, (section, from), watch).await?;
                watch.done(section);
            }
            destination.finish().await?;
            false
        }
    };
    let mut sections = Vec::new();
    for section in Section::ALL {
        watch.compare(section);
        let there = tally(origin, section).await?;
        let here = tally(destination, section).await?;
        sections.push(Compared { section, there, here });
    }
    Ok(Moved { before, sections })
}

async fn carry_section(
    origin: &dyn Archive,
    destination: &dyn Destination,
    (section, reached): (Section, Reached),
    watch: &dyn Watch,
) -> Result<()> {
    let mut from = match reached {
        Reached::Nothing => None,
        Reached::Place(place) => Some(place),
        Reached::End => return Ok(()),
    };
    watch.begin(section, origin.count(section).await?);
    loop {
        let Page { rows, next } = origin.read(section, from, ROWS_MAX).await?;
        let count = rows.len() as u64;
        let reached = next.clone().map_or(Reached::End, Reached::Place);
        destination.write(section, rows, reached).await?;
        watch.carried(section, count);
        if next.is_none() {
            return Ok(());
        }
        from = next;
    }
}

/// What a store has of a section.
async fn tally(archive: &dyn Archive, section: Section) -> Result<Tally> {
    let (mut tally, mut from) = (Tally::default(), None);
    loop {
        let page = archive.read(section, from, ROWS_MAX).await?;
        page.rows.iter().for_each(|row| tally.add(row));
        if page.next.is_none() {
            return Ok(tally);
        }
        from = page.next;
    }
}
