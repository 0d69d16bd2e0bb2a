//! Finds the events that somebody wants behind a place, the cheapest way that there is.
//!
//! Events are read in stretches of the log, each with the tenant's head in one statement, so that
//! both are of one moment. Where few labels are wanted each is looked up in the index of labels;
//! where many are, a short stretch is read through, and a long one is looked up. Whoever wants what
//! is rare does so not pay for what is not wanted, and no statement does more than it should.

use std::sync::Arc;

use switchboard_core::{
    Millis, Tenant,
    bus::{Body, Event, FilterWord, Interest},
};
use tokio_postgres::{Row, types::ToSql};

use super::{
    count,
    labels::{LABELS_MAX, Labels},
    marks::Marks,
    number,
};
use crate::{lane::Fault, link::Link};

/// The first stretch, in sequences, and how much longer each is than the one before.
const STRETCH: i64 = 4_096;
const LONGER: i64 = 8;

/// So many labels are looked up in all of the log at once.
const LOOKUPS: usize = 64;

/// Looking one label up costs about as much as reading so many events.
const LOOKUP_COST: i64 = 8;

/// After about so many events that were read, or looked up, a search stops where it is.
const WORK_MAX: i64 = 400_000;

/// Of the events in `$found`: with the head before them, and without the bodies of those that come
/// when these are `$5` bytes already.
macro_rules! found {
    ($found:literal) => {
        concat!(
            "SELECT newest, expiries, labels, mark_filters, mark_sequences, mark_expiries, \
             NULL::bigint, NULL::bigint, NULL::bytea FROM bus_head WHERE tenant = $1 UNION ALL \
             SELECT NULL, NULL, NULL, NULL, NULL, NULL, f.sequence, f.at, \
             CASE WHEN f.before < $5 THEN f.body END FROM (\
             SELECT e.sequence, e.at, e.body, sum(octet_length(e.body)) OVER \
             (ORDER BY e.sequence) - octet_length(e.body) AS before FROM (",
            $found,
            ") e) f"
        )
    };
}

/// All of a stretch.
const ALL: &str = found!(
    "SELECT sequence, at, body FROM bus_event \
     WHERE tenant = $1 AND sequence > $2 AND sequence <= $3 ORDER BY sequence LIMIT $4"
);

/// A stretch is read through for some labels.
const THROUGH: &str = found!(
    "SELECT sequence, at, body FROM (SELECT sequence, at, label, body FROM bus_event \
     WHERE tenant = $1 AND sequence > $2 AND sequence <= $3 ORDER BY sequence OFFSET 0) s \
     WHERE label = ANY ($6::int[]) ORDER BY sequence LIMIT $4"
);

/// Some labels are looked up.
const LOOKED_UP: &str = found!(
    "SELECT b.sequence, b.at, b.body FROM (\
     SELECT o.sequence FROM unnest($6::int[]) AS l (label) CROSS JOIN LATERAL (\
     SELECT sequence FROM bus_event WHERE tenant = $1 AND label = l.label \
     AND sequence > $2 AND sequence <= $3 ORDER BY sequence LIMIT $4) o \
     ORDER BY o.sequence LIMIT $4) s CROSS JOIN LATERAL (\
     SELECT sequence, at, body FROM bus_event \
     WHERE tenant = $1 AND sequence = s.sequence LIMIT 1) b ORDER BY b.sequence"
);

/// A stretch is read through for topics and types, where labels are too many to be known.
const MATCHED: &str = found!(
    "SELECT s.sequence, s.at, s.body FROM (SELECT sequence, at, label, body FROM bus_event \
     WHERE tenant = $1 AND sequence > $2 AND sequence <= $3 ORDER BY sequence OFFSET 0) s \
     CROSS JOIN LATERAL (SELECT topic, type FROM bus_label \
     WHERE tenant = $1 AND number = s.label LIMIT 1) l \
     WHERE l.topic ~ $6 AND (l.type = ANY ($7::text[]) OR $7::text[] = '{}') \
     ORDER BY s.sequence LIMIT $4"
);

/// What somebody wants.
#[derive(Clone, Copy, Debug)]
pub(super) struct Search<'a> {
    pub(super) tenant: Tenant,
    pub(super) interest: &'a Interest,
    /// Behind this place.
    pub(super) after: u64,
    /// So many at most.
    pub(super) max: usize,
    /// No more once they are so many bytes.
    pub(super) bytes_max: usize,
}

/// What there is.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) events: Vec<Event>,
    /// All that are wanted up to here are these.
    pub(super) position: u64,
    /// As it was when the search began, but for the newest sequence.
    pub(super) head: Seen,
}

/// What a tenant's head was at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) newest: u64,
    pub(super) expiries: u64,
    pub(super) labels: i32,
    pub(super) marks: Marks,
}

/// How a stretch is looked at.
#[derive(Debug)]
enum Way {
    All,
    Labels(Arc<[i32]>),
    Matching { pattern: String, types: Vec<String> },
}

/// What one statement said.
struct Stretch {
    head: Option<Seen>,
    /// Without a body where there was no room.
    events: Vec<(u64, Millis, Option<Body>)>,
}

/// Searches the log.
pub(super) async fn find(link: &Link, labels: &Labels, search: Search<'_>) -> Result<Found, Fault> {
    let Search { tenant, interest, after, max, bytes_max } = search;
    let mut found = Found { position: after, ..Found::default() };
    let (mut began, mut many, mut work, mut bytes) = (false, false, 0, 0);
    let mut length = STRETCH;
    loop {
        let wanted = labels.wanted(tenant, interest);
        let way = Way::to(interest, &wanted.labels, many);
        let from = number(found.position);
        let to = way.end(from, length);
        // The first has room however long it is.
        let room = bytes_max.max(usize::from(found.events.is_empty())).saturating_sub(bytes);
        let left = (max - found.events.len(), room);
        let stretch = way.take(link, tenant, (from, to), left).await?;
        let Some(head) = stretch.head else {
            return Ok(found);
        };
        if matches!(way, Way::Labels(_)) && wanted.among < head.labels {
            many = LABELS_MAX < usize::try_from(head.labels).unwrap_or_default();
            if !many {
                labels.learn(link, tenant, wanted.among).await?;
            }
            if many || labels.wanted(tenant, interest).labels.len() != wanted.labels.len() {
                continue;
            }
        }
        if !began {
            (began, found.head) = (true, head);
        } else if head.marks.missed(interest, found.position, found.head.expiries) {
            // Some of this stretch has gone since the search began: whoever reads on is told.
            return Ok(found);
        } else {
            found.head.newest = head.newest;
        }
        if max == 0 {
            return Ok(found);
        }
        for (sequence, at, body) in stretch.events {
            let Some(body) = body else { return Ok(found) };
            bytes += body.as_bytes().len();
            found.position = sequence;
            found.events.push(Event { sequence, at, body });
            if max <= found.events.len() {
                return Ok(found);
            }
        }
        found.position = count(to).min(found.head.newest).max(after);
        work += way.cost(from, to);
        if found.head.newest <= found.position || WORK_MAX < work {
            return Ok(found);
        }
        length = length.saturating_mul(LONGER);
    }
}

impl Way {
    fn to(interest: &Interest, labels: &Arc<[i32]>, many: bool) -> Self {
        let all = interest.filters().iter().any(|filter| filter.as_str() == ">");
        if all && interest.types().is_empty() {
            return Self::All;
        }
        if many {
            let types = interest.types().iter().map(|kind| kind.as_str().to_owned()).collect();
            return Self::Matching { pattern: pattern(interest), types };
        }
        Self::Labels(Arc::clone(labels))
    }

    /// Where a stretch ends.
    fn end(&self, from: i64, length: i64) -> i64 {
        match self {
            Self::Labels(labels) if labels.len() <= LOOKUPS => i64::MAX,
            Self::Matching { .. } => from.saturating_add(STRETCH),
            _ => from.saturating_add(length),
        }
    }

    /// Whether labels are looked up in a stretch rather than that it is read through.
    fn looks_up(labels: &[i32], from: i64, to: i64) -> bool {
        let cost = i64::try_from(labels.len()).unwrap_or(i64::MAX).saturating_mul(LOOKUP_COST);
        labels.len() <= LOOKUPS || cost < to.saturating_sub(from)
    }

    /// About how many events it was worth to look at a stretch.
    fn cost(&self, from: i64, to: i64) -> i64 {
        match self {
            Self::Labels(labels) if Self::looks_up(labels, from, to) => {
                i64::try_from(labels.len()).unwrap_or(i64::MAX).saturating_mul(LOOKUP_COST)
            }
            Self::Matching { .. } => to.saturating_sub(from).saturating_mul(LOOKUP_COST),
            // What is there is wanted, and what is not costs next to nothing.
            Self::All => 0,
            Self::Labels(_) => to.saturating_sub(from),
        }
    }

    async fn take(
        &self,
        link: &Link,
        tenant: Tenant,
        (from, to): (i64, i64),
        (max, bytes): (usize, usize),
    ) -> Result<Stretch, Fault> {
        let tenant = tenant.as_str();
        let (max, bytes) = (number(max as u64), number(bytes as u64));
        let mut params: Vec<&(dyn ToSql + Sync)> = vec![&tenant, &from, &to, &max, &bytes];
        let wanted: &[i32];
        let sql = match self {
            Self::All => ALL,
            Self::Labels(labels) => {
                wanted = labels;
                params.push(&wanted);
                if Self::looks_up(labels, from, to) { LOOKED_UP } else { THROUGH }
            }
            Self::Matching { pattern, types } => {
                params.extend([pattern as &(dyn ToSql + Sync), types]);
                MATCHED
            }
        };
        let statement = link.statement(sql).await?;
        let rows = link.client.query(&statement, &params).await?;
        let mut stretch = Stretch { head: None, events: Vec::with_capacity(rows.len()) };
        for row in &rows {
            match row.get::<_, Option<i64>>(6) {
                None => stretch.head = Some(Seen::of(row)),
                Some(sequence) => {
                    let body = row.get::<_, Option<&[u8]>>(8).map(body).transpose()?;
                    stretch.events.push((count(sequence), Millis(row.get(7)), body));
                }
            }
        }
        stretch.events.sort_unstable_by_key(|(sequence, ..)| *sequence);
        Ok(stretch)
    }
}

impl Seen {
    fn of(row: &Row) -> Self {
        Self {
            newest: count(row.get(0)),
            expiries: count(row.get(1)),
            labels: row.get(2),
            marks: Marks::of(row, 3),
        }
    }
}

/// What an event says, as it was put away.
pub(super) fn body(bytes: &[u8]) -> Result<Body, Fault> {
    let len = bytes.len();
    Body::from_bytes(&bytes.into(), 0, len).ok_or_else(|| super::unreadable("an event"))
}

/// The topics that are wanted, as a regular expression: words have no character that means another.
fn pattern(interest: &Interest) -> String {
    let filters = interest.filters().iter().map(|filter| {
        let words = filter.words().map(|word| match word {
            FilterWord::Is(word) => word,
            FilterWord::Any => "[^.]+",
            FilterWord::Rest => ".+",
        });
        words.collect::<Vec<_>>().join("\\.")
    });
    format!("^({})$", filters.collect::<Vec<_>>().join("|"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_as_a_pattern() {
        let interest = Interest::new(["a.*.c", "b-1.>"], []).unwrap();
        assert_eq!(pattern(&interest), r"^(a\.[^.]+\.c|b-1\..+)$");
    }
}
