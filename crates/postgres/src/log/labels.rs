//! Which labels are wanted: what this node knows of the labels of tenants.
//!
//! A label is a topic with a type. They only grow, and a tenant's count from 1: what is known is a
//! beginning of all, and the head says how many there are.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use switchboard_core::{
    Tenant,
    bus::{Interest, Retention, rule_of},
};

use crate::link::Link;

/// Of a tenant with more labels none are known: they are looked at where they are.
pub(super) const LABELS_MAX: usize = 50_000;

/// The most that is known of all tenants together.
const TOTAL_MAX: usize = 500_000;

/// Of how many interests it is known which labels of a tenant they want.
const INTERESTS_MAX: usize = 1_024;

const NEXT: &str = "SELECT topic, type FROM bus_label WHERE tenant = $1 AND number > $2 \
     ORDER BY number";

/// What is known.
#[derive(Debug, Default)]
pub(super) struct Labels(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    tenants: HashMap<Tenant, Own>,
    total: usize,
}

/// A tenant's.
#[derive(Debug, Default)]
struct Own {
    /// That with the number 1 first.
    all: Vec<(Box<str>, Box<str>)>,
    /// Those that are wanted among so many.
    wanted: HashMap<Interest, (usize, Arc<[i32]>)>,
}

/// The labels that are wanted, as far as they are known.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) labels: Arc<[i32]>,
    /// Among so many.
    pub(super) among: i32,
}

impl Labels {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those that are wanted of the ones that are known.
    pub(super) fn wanted(&self, tenant: Tenant, interest: &Interest) -> Wanted {
        self.lock().tenants.get_mut(&tenant).map_or_else(Wanted::none, |own| own.wanted(interest))
    }

    /// All that are wanted, however many there are.
    pub(super) async fn all_wanted(
        &self,
        link: &Link,
        tenant: Tenant,
        interest: &Interest,
    ) -> Result<Arc<[i32]>, tokio_postgres::Error> {
        let known = self.wanted(tenant, interest).among;
        self.learn(link, tenant, known).await?;
        Ok(self.wanted(tenant, interest).labels)
    }

    /// The labels of a tenant whose topics belong to each of some rules.
    pub(super) fn under(&self, tenant: Tenant, rules: &[Retention]) -> Vec<Vec<i32>> {
        let mut under: Vec<Vec<i32>> = rules.iter().map(|_| Vec::new()).collect();
        if let Some(own) = self.lock().tenants.get(&tenant) {
            for ((topic, _), number) in own.all.iter().zip(1..) {
                if let Some(labels) = rule_of(rules, topic).and_then(|rule| under.get_mut(rule)) {
                    labels.push(number);
                }
            }
        }
        under
    }

    /// How many of a tenant are known.
    pub(super) fn known(&self, tenant: Tenant) -> i32 {
        let known = self.lock().tenants.get(&tenant).map_or(0, |own| own.all.len());
        i32::try_from(known).unwrap_or(i32::MAX)
    }

    /// Reads those that are not known yet.
    pub(super) async fn learn(
        &self,
        link: &Link,
        tenant: Tenant,
        known: i32,
    ) -> Result<(), tokio_postgres::Error> {
        let next = link.statement(NEXT).await?;
        let rows = link.client.query(&next, &[&tenant.as_str(), &known]).await?;
        let mut all = self.lock();
        if TOTAL_MAX < all.total + rows.len() {
            *all = Known::default();
        }
        let own = all.tenants.entry(tenant).or_default();
        // Somebody else may have learnt some of them meanwhile, or all were forgotten.
        let Some(there) = own.all.len().checked_sub(usize::try_from(known).unwrap_or_default())
        else {
            return Ok(());
        };
        let new = rows.iter().skip(there).map(|row| (row.get(0), row.get(1)));
        let new: Vec<(Box<str>, Box<str>)> =
            new.map(|(topic, kind): (&str, &str)| (topic.into(), kind.into())).collect();
        let count = new.len();
        own.all.extend(new);
        all.total += count;
        Ok(())
    }
}

impl Own {
    fn wanted(&mut self, interest: &Interest) -> Wanted {
        let among = i32::try_from(self.all.len()).unwrap_or(i32::MAX);
        let (known, before) = match self.wanted.get(interest) {
            Some((known, labels)) => (*known, Arc::clone(labels)),
            None => (0, Arc::default()),
        };
        if known == self.all.len() {
            return Wanted { labels: before, among };
        }
        let new = self.all.iter().zip(1..).skip(known);
        let new = new.filter(|((topic, kind), _)| interest.wants(topic, kind));
        let labels: Arc<[i32]> =
            before.iter().copied().chain(new.map(|(_, number)| number)).collect();
        if INTERESTS_MAX <= self.wanted.len() {
            self.wanted.clear();
        }
        self.wanted.insert(interest.clone(), (self.all.len(), Arc::clone(&labels)));
        Wanted { labels, among }
    }
}

impl Wanted {
    fn none() -> Self {
        Self { labels: Arc::default(), among: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_grows_with_the_labels() {
        let mut own = Own::default();
        let interest = Interest::new(["a.*"], ["x"]).unwrap();
        assert_eq!(own.wanted(&interest).among, 0);
        for (topic, kind) in [("a.b", "x"), ("a.b", "y"), ("b", "x")] {
            own.all.push((topic.into(), kind.into()));
        }
        let wanted = own.wanted(&interest);
        assert_eq!((&*wanted.labels, wanted.among), (&[1][..], 3));
        own.all.push(("a.c".into(), "x".into()));
        for _ in 0..2 {
            let wanted = own.wanted(&interest);
            assert_eq!((&*wanted.labels, wanted.among), (&[1, 4][..], 4));
        }
    }
}
