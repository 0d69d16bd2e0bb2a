//! What of a tenant's events has expired.

use switchboard_core::bus::{Interest, TopicFilter};
use tokio_postgres::Row;

/// What has expired, by the filters of rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks(Vec<Mark>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Mark {
    filter: TopicFilter,
    /// The newest that has expired by a rule with this filter.
    sequence: i64,
    /// Which time it was that events of the tenant expired.
    expiry: i64,
}

impl Marks {
    /// What the three columns from this one on say.
    pub(super) fn of(row: &Row, from: usize) -> Self {
        let filters: Vec<&str> = row.get(from);
        let sequences: Vec<i64> = row.get(from + 1);
        let expiries: Vec<i64> = row.get(from + 2);
        let marks = filters.into_iter().zip(sequences.into_iter().zip(expiries));
        let mark = |(filter, (sequence, expiry))| {
            // One that can't be read is taken for any: too many are told rather than too few.
            let any = || TopicFilter::new(">");
            let filter = TopicFilter::new(filter).or_else(|_| any()).ok()?;
            Some(Mark { filter, sequence, expiry })
        };
        Self(marks.filter_map(mark).collect())
    }

    /// Whether an event behind a place has expired that may have been wanted, and that is news to
    /// whoever knows of so many times.
    pub(super) fn missed(&self, interest: &Interest, after: u64, known: u64) -> bool {
        let is_news = |mark: &Mark| {
            i128::from(after) < mark.sequence.into() && i128::from(known) < mark.expiry.into()
        };
        let overlaps = |mark: &Mark| interest.filters().iter().any(|it| it.overlaps(&mark.filter));
        self.0.iter().any(|mark| is_news(mark) && overlaps(mark))
    }

    /// Events up to a sequence have expired by a rule, at this time of many.
    pub(super) fn set(&mut self, filter: &TopicFilter, sequence: i64, expiry: i64) {
        if let Some(mark) = self.0.iter_mut().find(|mark| mark.filter == *filter) {
            mark.sequence = sequence.max(mark.sequence);
            mark.expiry = expiry;
        } else {
            self.0.push(Mark { filter: filter.clone(), sequence, expiry });
        }
    }

    /// The three columns.
    pub(super) fn columns(&self) -> (Vec<&str>, Vec<i64>, Vec<i64>) {
        (
            self.0.iter().map(|mark| mark.filter.as_str()).collect(),
            self.0.iter().map(|mark| mark.sequence).collect(),
            self.0.iter().map(|mark| mark.expiry).collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_have_missed_something() {
        let mut marks = Marks::default();
        let filter = |text| TopicFilter::new(text).unwrap();
        marks.set(&filter("a.>"), 9, 1);
        marks.set(&filter("c"), 4, 2);
        marks.set(&filter("a.>"), 7, 1);
        for (wanted, after, known, missed) in [
            ("a.c", 8, 0, true),
            ("a.c", 9, 0, false),
            ("a.c", 8, 1, false),
            (">", 3, 1, true),
            (">", 4, 1, false),
            ("d", 0, 0, false),
            (">", u64::MAX, 0, false),
        ] {
            let interest = Interest::new([wanted], []).unwrap();
            assert_eq!(marks.missed(&interest, after, known), missed, "{wanted} {after} {known}");
        }
    }
}
