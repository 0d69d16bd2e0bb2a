//! What a hub does with the events of a log to which several nodes append.

use std::{sync::Arc, task::Waker};

use switchboard_core::{Tenant, bus::Event};

use super::{Hub, Members, read, write};

impl Hub {
    /// Counts what this node added to a log.
    pub(crate) fn count_appended(&self, events: &[Event]) {
        let given_up = events.iter().filter(|event| event.body.is_dead_letter()).count();
        self.metrics.bus.appended(events.len() as u64, given_up as u64);
    }

    /// Hands on what stands next in a tenant's log, but for what was told already. Gives back what
    /// comes too early.
    pub(crate) fn append(&self, tenant: &Tenant, events: Vec<Event>) -> Option<Vec<Event>> {
        let (first, last) = (events.first()?.sequence, events.last()?.sequence);
        let members = self.members(tenant)?;
        let mut members = write(&members);
        if !members.is_heard() {
            // Whoever is about to join reads up to here, or further.
            members.told = Some(last.max(members.told.unwrap_or(0)));
            return None;
        }
        if members.told.unwrap_or(0) + 1 < first {
            return Some(events);
        }
        self.tell_on(&mut members, events, last).into_iter().for_each(Waker::wake);
        None
    }

    /// Hands on what was read from a tenant's log, all of it up to a sequence, but for what was
    /// told already.
    pub(crate) fn read_on(&self, tenant: &Tenant, events: Vec<Event>, position: u64) {
        let Some(members) = self.members(tenant) else { return };
        let mut members = write(&members);
        let ahead = self.tell_on(&mut members, events, position);
        drop(members);
        ahead.into_iter().for_each(Waker::wake);
    }

    /// Returns those who waited for it.
    fn tell_on(&self, members: &mut Members, mut events: Vec<Event>, up_to: u64) -> Vec<Waker> {
        let told = members.told.unwrap_or(0);
        events.retain(|event| told < event.sequence);
        members.told = Some(up_to.max(told));
        self.hand_out(members, events);
        std::mem::take(&mut members.ahead)
    }

    /// What is missing up to a sequence is not to be had: whoever is subscribed reads on from where
    /// he is.
    pub(crate) fn lost(&self, tenant: &Tenant, up_to: u64) {
        let Some(members) = self.members(tenant) else { return };
        let mut members = write(&members);
        members.told = Some(up_to.max(members.told.unwrap_or(0)));
        members.subscriptions.iter().flatten().for_each(|it| it.mailbox.spill());
        let ahead = std::mem::take(&mut members.ahead);
        drop(members);
        ahead.into_iter().for_each(Waker::wake);
    }

    /// Up to where a tenant's log was told; none where nobody gets it.
    pub(crate) fn told(&self, tenant: &Tenant) -> Option<u64> {
        let members = self.members(tenant)?;
        let members = read(&members);
        members.told.filter(|_| members.is_heard())
    }

    /// The tenants of which somebody gets events, and up to where they were told.
    pub(crate) fn all_told(&self) -> Vec<(Tenant, u64)> {
        let tenants: Vec<_> = {
            let tenants = self.tenants.read().unwrap_or_else(std::sync::PoisonError::into_inner);
            tenants.iter().map(|(tenant, members)| (*tenant, Arc::clone(members))).collect()
        };
        let told = |(tenant, members): (Tenant, Arc<_>)| {
            let members = read(&members);
            Some((tenant, members.told.filter(|_| members.is_heard())?))
        };
        tenants.into_iter().filter_map(told).collect()
    }
}
