//! What the rules do not keep any more, found out.

use std::collections::HashMap;

use switchboard_core::{
    Millis, Result as Answer,
    bus::{Interest, Retention, TopicFilter},
};

use super::{
    marks::{Mark, Marks},
    part::{By, Part},
    plan::{Search, Wanted},
    reader::{Shared, unreadable},
};
use crate::Error;

/// How many events are looked for at once.
const TOGETHER: usize = 4096;

/// What is to expire of one tenant.
#[derive(Debug)]
pub(super) struct Expiring {
    pub(super) tenant: u32,
    /// Not yet one of any expiry.
    pub(super) marks: Vec<Mark>,
    pub(super) count: u64,
}

/// Looks at an event of a rule, and says whether it wants another.
type Each<'a> = dyn FnMut(&mut Mark, &mut dyn Part, u32) -> Result<bool, Error> + 'a;

/// One rule, at a time.
struct Rule<'a> {
    mark: Mark,
    interest: Interest,
    /// Events before this time go.
    before: Option<i64>,
    bytes: Option<u64>,
    marks: &'a Marks,
}

impl Shared {
    /// What of all tenants the rules do not keep at a time.
    pub(super) fn expiring(&self, rules: &[Retention], now: Millis) -> Answer<Vec<Expiring>> {
        let mut all = Vec::new();
        for tenant in 0..self.tenants() {
            let expiring = self.expiring_of(tenant, rules, now).map_err(unreadable)?;
            all.extend(Some(expiring).filter(|expiring| 0 < expiring.count));
        }
        Ok(all)
    }

    fn expiring_of(
        &self,
        tenant: u32,
        rules: &[Retention],
        now: Millis,
    ) -> Result<Expiring, Error> {
        let marks = self.marks(tenant);
        let mut expiring = Expiring { tenant, marks: Vec::new(), count: 0 };
        for (place, rule) in rules.iter().enumerate() {
            let before = rules[..place].iter().map(|rule| &rule.filter);
            let before = before.filter(|filter| filter.overlaps(&rule.filter));
            let Some(mut rule) = Rule::new(rule, before.cloned().collect(), now, &marks) else {
                continue;
            };
            let known = rule.mark.sequence;
            let count = rule.expire(self, tenant)?;
            if known < rule.mark.sequence {
                expiring.marks.push(rule.mark);
                expiring.count += count;
            }
        }
        Ok(expiring)
    }
}

impl<'a> Rule<'a> {
    /// None for a rule that keeps all, for ever.
    fn new(rule: &Retention, but: Vec<TopicFilter>, now: Millis, marks: &'a Marks) -> Option<Self> {
        let Retention { filter, age_ms, bytes } = rule;
        if age_ms.is_none() && bytes.is_none() {
            return None;
        }
        let interest = Interest::new([filter.as_str()], []).ok()?;
        let sequence = marks.of(filter, &but);
        let mark = Mark { filter: filter.clone(), but, sequence, expiry: 0 };
        let before = age_ms.map(|age_ms| now.0.saturating_sub(age_ms));
        Some(Self { mark, interest, before, bytes: *bytes, marks })
    }

    /// Moves the mark behind all that go, and says how many these are.
    fn expire(&mut self, shared: &Shared, tenant: u32) -> Result<u64, Error> {
        let mut excess = match self.bytes {
            Some(max) => self.total(shared, tenant)?.saturating_sub(max),
            None => 0,
        };
        let (mut count, mut position) = (0, self.mark.sequence);
        shared.each_part(tenant, self.mark.sequence, &mut |part| {
            let from = part.behind(position)?;
            let old = self.before.map_or(Ok(0), |before| part.since(before))?;
            // All before this place go that are this rule's.
            let may_go = if 0 < excess { part.len() } else { old };
            position = part.sequence(part.len() - 1)?;
            let more = self.each(part, (from, may_go), &mut |mark, part, place| {
                if old <= place && excess == 0 {
                    return Ok(false);
                }
                if 0 < excess {
                    excess = excess.saturating_sub(part.size(place)?.into());
                }
                mark.sequence = part.sequence(place)?;
                count += 1;
                Ok(true)
            })?;
            Ok(more && (0 < excess || old == part.len()))
        })?;
        Ok(count)
    }

    /// How many bytes the events of the rule have that are kept.
    fn total(&mut self, shared: &Shared, tenant: u32) -> Result<u64, Error> {
        let (mut total, mut position) = (0, self.mark.sequence);
        let marked = self.marks.greatest_of(&self.mark.filter);
        shared.each_part(tenant, self.mark.sequence, &mut |part| {
            let from = part.behind(position)?;
            position = part.sequence(part.len() - 1)?;
            if marked < part.sequence(0)? {
                total += self.sum(part)?;
                return Ok(true);
            }
            let len = part.len();
            self.each(part, (from, len), &mut |_, part, place| {
                total += u64::from(part.size(place)?);
                Ok(true)
            })
        })?;
        Ok(total)
    }

    /// The bytes of a part, without a look at each event.
    fn sum(&self, part: &mut dyn Part) -> Result<u64, Error> {
        let mut sum = 0;
        for labels in part.matching(&self.mark.filter, u32::MAX)?.unwrap_or_default() {
            if self.mark.but.is_empty() {
                sum += part.bytes(labels)?;
                continue;
            }
            for label in labels {
                if self.mark.takes(part.name(By::Topic, label)?) {
                    sum += part.bytes(label..label + 1)?;
                }
            }
        }
        Ok(sum)
    }

    /// Hands over the events of the rule that are kept, of some places, until it is enough. Says
    /// whether it was not.
    fn each(
        &mut self,
        part: &mut dyn Part,
        (mut from, to): (u32, u32),
        each: &mut Each<'_>,
    ) -> Result<bool, Error> {
        let wanted = Wanted { interest: &self.interest, marks: self.marks };
        let mut search = Search::new(part, wanted)?;
        let mut takes = HashMap::new();
        while from < to {
            let found = search.find(part, from, TOGETHER, &mut usize::MAX.clone())?;
            for place in found.places.into_iter().take_while(|place| *place < to) {
                let topic = part.label(By::Topic, place)?;
                let takes = match takes.get(&topic) {
                    Some(takes) => *takes,
                    None if self.mark.but.is_empty() => true,
                    None => {
                        let new = self.mark.takes(part.name(By::Topic, topic)?);
                        takes.insert(topic, new);
                        new
                    }
                };
                if takes && !each(&mut self.mark, part, place)? {
                    return Ok(false);
                }
            }
            from = found.to;
        }
        Ok(true)
    }
}
