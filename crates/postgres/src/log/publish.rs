//! Publishes, decided.

use std::collections::{BTreeSet, HashMap};

use switchboard_core::{
    Code, Error, Result as Answer, Tenant,
    bus::{Body, Draft, Published},
};

use super::{append::Appending, count, mistaken, search};
use crate::{lane::Fault, link::Link};

const KEYS: &str = "SELECT d.place, e.sequence, e.body \
     FROM unnest($1::text[], $2::bytea[]) WITH ORDINALITY d (tenant, key, place) \
     CROSS JOIN LATERAL (SELECT sequence, body FROM bus_event e \
     WHERE e.tenant = d.tenant AND e.key = d.key LIMIT 1) e";

/// The events that are known by their keys.
#[derive(Debug, Default)]
pub(super) struct Keys(HashMap<(Tenant, String), (u64, Body)>);

impl Keys {
    /// Looks for the keys of some drafts.
    pub(super) async fn find<'a>(
        &mut self,
        link: &Link,
        drafts: impl Iterator<Item = &'a Draft>,
    ) -> Result<(), Fault> {
        let keyed = drafts.filter(|draft| !draft.body.key().is_empty());
        let wanted: BTreeSet<(Tenant, &str)> =
            keyed.map(|draft| (draft.tenant, draft.body.key())).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let wanted: Vec<(Tenant, &str)> = wanted.into_iter().collect();
        let tenants: Vec<&str> = wanted.iter().map(|(tenant, _)| tenant.as_str()).collect();
        let keys: Vec<&[u8]> = wanted.iter().map(|(_, key)| key.as_bytes()).collect();
        let statement = link.statement(KEYS).await?;
        for row in link.client.query(&statement, &[&tenants, &keys]).await? {
            if let Some(&(tenant, key)) = wanted.get(super::place(&row, 0)) {
                let event = (count(row.get(1)), search::body(row.get(2))?);
                self.0.insert((tenant, key.to_owned()), event);
            }
        }
        Ok(())
    }

    /// Publishes an event, unless its key is known.
    pub(super) fn publish(
        &mut self,
        appending: &mut Appending,
        draft: &Draft,
    ) -> Answer<Published> {
        let Draft { tenant, body, at } = draft;
        let key = (*tenant, body.key().to_owned());
        match self.0.get(&key) {
            Some((sequence, there)) if there == body => {
                Ok(Published { sequence: *sequence, new: false })
            }
            Some((sequence, _)) => {
                let what = format!("the event {sequence} has the same key and says something else");
                Err(Error::new(Code::Conflict, what))
            }
            None => {
                let appended = appending.append(*tenant, body.clone(), *at);
                let sequence = appended.ok_or_else(mistaken)?;
                if !key.1.is_empty() {
                    self.0.insert(key, (sequence, body.clone()));
                }
                Ok(Published { sequence, new: true })
            }
        }
    }
}
