//! Who is here.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use switchboard_core::{ClientId, Code, Error, Result, Tenant, presence::TenantReport};

/// The clients that have sessions at this node.
#[derive(Debug)]
pub(crate) struct Registry {
    tenants: Mutex<HashMap<Tenant, Members>>,
    per_tenant_max: u32,
    per_client_max: u16,
}

#[derive(Debug)]
struct Members {
    /// Shared by all places: a name in each would take more than the rest of a session.
    name: Arc<Tenant>,
    sessions: u32,
    clients: HashMap<ClientId, Held>,
}

/// What one client has here.
#[derive(Clone, Copy, Debug)]
struct Held {
    /// The greatest number of its sessions since the first of these.
    newest: u64,
    sessions: u16,
}

/// A client has its first session here, or no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turned {
    pub(crate) present: bool,
    /// The greatest number of its sessions since the first of these.
    pub(crate) session: u64,
}

/// A session's place: whose it is.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) tenant: Arc<Tenant>,
    pub(crate) client: ClientId,
}

impl Registry {
    /// Nobody is here; a tenant, and each of its clients, may have so many sessions.
    pub(crate) fn new(per_tenant_max: u32, per_client_max: u16) -> Self {
        Self { tenants: Mutex::default(), per_tenant_max, per_client_max }
    }

    /// Takes one more session in, with its number. `turned` is told if it is the client's first, in
    /// the order of all that is told.
    ///
    /// # Errors
    ///
    /// [`Code::TooManyRequests`] when the tenant or the client has as many as it may.
    pub(crate) fn join(
        &self,
        tenant: Tenant,
        client: ClientId,
        session: u64,
        turned: impl FnOnce(&Place, Turned),
    ) -> Result<Place> {
        let mut tenants = self.lock();
        let full = |what: &str, max: u32| {
            let what = format!("the {what} has {max} sessions at this node, which is the most");
            Err(Error::new(Code::TooManyRequests, what))
        };
        let members = tenants.entry(tenant).or_insert_with(|| Members {
            name: Arc::new(tenant),
            sessions: 0,
            clients: HashMap::new(),
        });
        if self.per_tenant_max <= members.sessions {
            return full("tenant", self.per_tenant_max);
        }
        let name = Arc::clone(&members.name);
        // The client's name is kept once, however many sessions it has.
        let client = match members.clients.get_key_value(&client) {
            Some((_, held)) if self.per_client_max <= held.sessions => {
                return full("client", self.per_client_max.into());
            }
            Some((known, _)) => known.clone(),
            None => client,
        };
        members.sessions += 1;
        let held = members.clients.entry(client.clone());
        let held = held.or_insert(Held { newest: session, sessions: 0 });
        held.sessions += 1;
        held.newest = held.newest.max(session);
        let first = held.sessions == 1;
        let place = Place { tenant: name, client };
        if first {
            turned(&place, Turned { present: true, session });
        }
        Ok(place)
    }

    /// Lets a session go. `turned` is told if it was the client's last.
    pub(crate) fn leave(&self, place: &Place, turned: impl FnOnce(&Place, Turned)) {
        let mut tenants = self.lock();
        let Some(members) = tenants.get_mut(&*place.tenant) else { return };
        members.sessions = members.sessions.saturating_sub(1);
        if let Some(held) = members.clients.get_mut(&place.client) {
            held.sessions = held.sessions.saturating_sub(1);
            if held.sessions == 0 {
                let session = held.newest;
                members.clients.remove(&place.client);
                turned(place, Turned { present: false, session });
            }
        }
        if members.sessions == 0 {
            tenants.remove(&*place.tenant);
        } else if members.clients.len() * 8 < members.clients.capacity() {
            members.clients.shrink_to_fit();
        }
    }

    /// Tells of every client that has sessions here, in the order of all that is told.
    pub(crate) fn present(&self, turned: impl Fn(&Place, Turned)) {
        let tenants = self.lock();
        for members in tenants.values() {
            for (client, held) in &members.clients {
                let place = Place { tenant: Arc::clone(&members.name), client: client.clone() };
                turned(&place, Turned { present: true, session: held.newest });
            }
        }
    }

    /// All tenants that have sessions here, and how many, without sightings.
    pub(crate) fn connected(&self) -> Vec<TenantReport> {
        let report = |(tenant, members): (&Tenant, &Members)| TenantReport {
            tenant: *tenant,
            connected: members.sessions,
            sightings: Vec::new(),
        };
        self.lock().iter().map(report).collect()
    }

    /// How many sessions clients have here: those of one tenant together.
    pub(crate) fn sessions<'a>(
        &self,
        tenant: &Tenant,
        clients: impl Iterator<Item = (&'a ClientId, &'a mut u16)>,
    ) {
        let tenants = self.lock();
        let members = tenants.get(tenant);
        for (client, sessions) in clients {
            let known = members.and_then(|members| members.clients.get(client));
            *sessions = known.map_or(0, |held| held.sessions);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Tenant, Members>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_counted_and_bounded() {
        let registry = Registry::new(3, 2);
        let numbers = std::cell::Cell::new(0);
        let told = std::cell::RefCell::new(Vec::new());
        let turned = |place: &Place, turned: Turned| {
            let client = place.client.as_str().to_owned();
            told.borrow_mut().push((client, turned.present, turned.session));
        };
        let join = |tenant: &str, client: &str| {
            numbers.set(numbers.get() + 1);
            let (tenant, client) = (tenant.parse().unwrap(), ClientId::new(client).unwrap());
            registry.join(tenant, client, numbers.get(), turned)
        };
        let connected = || {
            let connected = registry.connected();
            connected.iter().map(|part| part.connected).collect::<Vec<_>>()
        };
        let first = join("a", "x").unwrap();
        let second = join("a", "x").unwrap();
        assert_eq!(join("a", "x").unwrap_err().code(), Code::TooManyRequests);
        let third = join("a", "y").unwrap();
        assert_eq!(join("a", "z").unwrap_err().code(), Code::TooManyRequests);
        assert_eq!(connected(), [3]);
        join("b", "x").unwrap();
        for place in [first, second, third] {
            registry.leave(&place, turned);
        }
        let expected = [("x", true, 1), ("y", true, 4), ("x", true, 6), ("x", false, 2)]
            .map(|(client, present, session)| (client.to_owned(), present, session));
        assert_eq!(told.borrow()[..4], expected);
        assert_eq!(connected(), [1]);
        join("a", "z").unwrap();
        assert_eq!(connected(), [1, 1]);
    }
}
