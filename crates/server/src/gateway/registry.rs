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
    clients: HashMap<ClientId, u16>,
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

    /// Takes one more session in.
    ///
    /// # Errors
    ///
    /// [`Code::TooManyRequests`] when the tenant or the client has as many as it may.
    pub(crate) fn join(&self, tenant: Tenant, client: ClientId) -> Result<Place> {
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
            Some((_, &sessions)) if self.per_client_max <= sessions => {
                return full("client", self.per_client_max.into());
            }
            Some((known, _)) => known.clone(),
            None => client,
        };
        members.sessions += 1;
        *members.clients.entry(client.clone()).or_default() += 1;
        Ok(Place { tenant: name, client })
    }

    /// Lets a session go.
    pub(crate) fn leave(&self, place: &Place) {
        let mut tenants = self.lock();
        let Some(members) = tenants.get_mut(&*place.tenant) else { return };
        members.sessions = members.sessions.saturating_sub(1);
        if let Some(sessions) = members.clients.get_mut(&place.client) {
            *sessions = sessions.saturating_sub(1);
            if *sessions == 0 {
                members.clients.remove(&place.client);
            }
        }
        if members.sessions == 0 {
            tenants.remove(&*place.tenant);
        } else if members.clients.len() * 8 < members.clients.capacity() {
            members.clients.shrink_to_fit();
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
            *sessions = known.copied().unwrap_or_default();
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
        let join = |tenant: &str, client: &str| {
            registry.join(tenant.parse().unwrap(), ClientId::new(client).unwrap())
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
            registry.leave(&place);
        }
        assert_eq!(connected(), [1]);
        join("a", "z").unwrap();
        assert_eq!(connected(), [1, 1]);
    }
}
