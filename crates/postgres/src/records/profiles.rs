//! Adds profiles: each stays as it was first added.

use std::{collections::BTreeMap, sync::Arc};

use switchboard_core::{
    Tenant,
    vault::{Profile, Work as Cost},
};

use super::{
    reader::{self, PROFILES},
    row,
    work::Work,
};
use crate::{lane::Fault, link::Link};

const ADD: &str = "INSERT INTO vault_profile \
         (tenant, number, memory_kib, passes, lanes, salt, checks) \
     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (tenant, number) DO NOTHING";

/// What became of profiles.
#[derive(Debug, Default)]
pub(super) struct Added {
    /// How many there were not before.
    pub(super) count: u64,
    all: BTreeMap<Tenant, Arc<[Profile]>>,
}

impl Added {
    /// All profiles of a tenant to which one was to be added.
    pub(super) fn of(&self, tenant: &Tenant) -> Arc<[Profile]> {
        self.all.get(tenant).cloned().unwrap_or_default()
    }
}

/// Adds the profiles of a group. It is done once in the life of a tenant: one after another will
/// do.
pub(super) async fn add(link: &Link, works: &[Work]) -> Result<Added, Fault> {
    let mut adding: Vec<(&Tenant, &Profile)> = works
        .iter()
        .filter_map(|work| match work {
            Work::AddProfile { tenant, profile, .. } => Some((tenant, profile)),
            _ => None,
        })
        .collect();
    // In an order in which nobody waits for somebody who waits; the first of a number is the first.
    adding.sort_by_key(|(tenant, profile)| (**tenant, profile.number));
    let mut added = Added::default();
    for &(tenant, profile) in &adding {
        let statement = link.statement(ADD).await?;
        let Profile { number, salt, work: Cost { memory_kib, passes, lanes } } = profile;
        let [memory_kib, passes, lanes] = [memory_kib, passes, lanes].map(|&it| i64::from(it));
        let (number, checks) = (i16::from(*number), row::profile_checks(tenant, profile));
        let (tenant, salt) = (tenant.as_str(), &salt[..]);
        added.count += link
            .client
            .execute(&statement, &[&tenant, &number, &memory_kib, &passes, &lanes, &salt, &checks])
            .await?;
    }
    for (tenant, _) in adding {
        if !added.all.contains_key(tenant) {
            let statement = link.statement(PROFILES).await?;
            let rows = link.client.query(&statement, &[&tenant.as_str()]).await?;
            let profiles = reader::as_profiles(&rows, tenant).map_err(Fault::Refused)?;
            added.all.insert(*tenant, profiles);
        }
    }
    Ok(added)
}
