//! Who comes and goes.

use std::collections::{BTreeMap, BTreeSet};

use switchboard_core::{
    ClientId, Millis, Tenant,
    bus::{Attendance, Turn},
    presence::GatewayId,
};

use super::{
    append::{Appending, Label, label},
    tenant, unreadable,
};
use crate::{lane::Fault, link::Link};

/// So many clients leave in one transaction.
pub(super) const LEAVE_MAX: usize = 1_000;

const STAYS: &str = "SELECT d.place, s.gateway, s.session, s.newest \
     FROM unnest($1::text[], $2::bytea[]) WITH ORDINALITY d (tenant, client, place) \
     CROSS JOIN LATERAL (SELECT gateway, session, newest FROM bus_stay s \
     WHERE s.tenant = d.tenant AND s.client = d.client OFFSET 0) s";

const LEAVING: &str = "SELECT DISTINCT s.client FROM unnest($2::bigint[]) AS g (gateway) \
     CROSS JOIN LATERAL (SELECT client FROM bus_stay s WHERE s.tenant = $1 \
     AND s.gateway = g.gateway AND s.client > $3 ORDER BY s.client LIMIT $4) s \
     ORDER BY s.client LIMIT $4";

/// From each tenant and gateway to the next, however many clients there are.
const GATEWAYS: &str = "WITH RECURSIVE there (tenant, gateway) AS (\
     (SELECT tenant, gateway FROM bus_stay ORDER BY tenant, gateway LIMIT 1) UNION ALL \
     SELECT n.tenant, n.gateway FROM there t CROSS JOIN LATERAL (SELECT tenant, gateway \
     FROM bus_stay s WHERE (s.tenant, s.gateway) > (t.tenant, t.gateway) \
     ORDER BY s.tenant, s.gateway LIMIT 1) n) SELECT tenant, gateway FROM there";

const NOTE: &str = "INSERT INTO bus_stay (tenant, client, gateway, session, newest) \
     SELECT * FROM unnest($1::text[], $2::bytea[], $3::bigint[], $4::bigint[], $5::bigint[]) \
     ON CONFLICT (tenant, client, gateway) \
     DO UPDATE SET session = excluded.session, newest = excluded.newest";

const LEAVE: &str = "DELETE FROM bus_stay s \
     USING unnest($1::text[], $2::bytea[], $3::bigint[]) d (tenant, client, gateway) \
     WHERE s.tenant = d.tenant AND s.client = d.client AND s.gateway = d.gateway";

/// One client of one tenant.
pub(super) type Who = (Tenant, ClientId);

/// From when a client came to its first gateway until it leaves the last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Stay {
    /// The newest session at each gateway.
    gateways: BTreeMap<GatewayId, u64>,
    /// The newest of all, those included that have ended.
    newest: u64,
}

/// Those who come and go in one transaction.
#[derive(Debug, Default)]
pub(super) struct Stays {
    now: BTreeMap<Who, Stay>,
    /// As they are kept.
    kept: BTreeMap<Who, Stay>,
}

impl Stays {
    /// Reads where these are.
    pub(super) async fn find(&mut self, link: &Link, who: BTreeSet<Who>) -> Result<(), Fault> {
        let who: Vec<Who> = who.into_iter().filter(|who| !self.kept.contains_key(who)).collect();
        if who.is_empty() {
            return Ok(());
        }
        let tenants: Vec<&str> = who.iter().map(|(tenant, _)| tenant.as_str()).collect();
        let clients: Vec<&[u8]> = who.iter().map(|(_, it)| it.as_str().as_bytes()).collect();
        let statement = link.statement(STAYS).await?;
        let rows = link.client.query(&statement, &[&tenants, &clients]).await?;
        for who in &who {
            self.kept.insert(who.clone(), Stay::default());
        }
        for row in rows {
            let stay = who.get(super::place(&row, 0)).and_then(|who| self.kept.get_mut(who));
            if let Some(stay) = stay {
                let gateway = GatewayId(row.get::<_, i64>(1).cast_unsigned());
                stay.gateways.insert(gateway, row.get::<_, i64>(2).cast_unsigned());
                stay.newest = stay.newest.max(row.get::<_, i64>(3).cast_unsigned());
            }
        }
        for who in who {
            self.now.insert(who.clone(), self.kept.get(&who).cloned().unwrap_or_default());
        }
        Ok(())
    }

    /// Somebody comes or goes.
    pub(super) fn attend(&mut self, appending: &mut Appending, attendance: &Attendance) {
        let &Attendance { tenant, ref client, gateway, present, session, at } = attendance;
        let who = (tenant, client.clone());
        let stay = self.now.entry(who.clone()).or_default();
        if present {
            let first = stay.gateways.is_empty();
            stay.newest = session.max(stay.newest);
            let noted = stay.gateways.entry(gateway).or_default();
            *noted = session.max(*noted);
            if first {
                appending.append(tenant, Turn::Online.told(client, session), at);
            }
        } else if stay.gateways.get(&gateway).is_some_and(|noted| *noted <= session) {
            stay.newest = session.max(stay.newest);
            stay.gateways.remove(&gateway);
            self.end(appending, &who, at);
        }
    }

    /// These leave these gateways. Says how many were noted.
    pub(super) fn leave(
        &mut self,
        appending: &mut Appending,
        (leaving, gateways): (&BTreeSet<Who>, &[GatewayId]),
        at: Millis,
    ) -> u64 {
        let mut notes = 0;
        for who in leaving {
            let stay = self.now.entry(who.clone()).or_default();
            let before = stay.gateways.len();
            stay.gateways.retain(|gateway, _| !gateways.contains(gateway));
            let left = before - stay.gateways.len();
            notes += left as u64;
            if 0 < left {
                self.end(appending, who, at);
            }
        }
        notes
    }

    /// Announces that somebody has gone, if he has.
    fn end(&mut self, appending: &mut Appending, who: &Who, at: Millis) {
        let Some(stay) = self.now.get_mut(who).filter(|stay| stay.gateways.is_empty()) else {
            return;
        };
        let told = Turn::Offline.told(&who.1, stay.newest);
        *stay = Stay::default();
        appending.append(who.0, told, at);
    }

    /// Writes where they are now. Says whether anything was to be written.
    pub(super) async fn write(&mut self, link: &Link) -> Result<bool, Fault> {
        let (mut here, mut gone) = (Vec::new(), Vec::new());
        for (who, now) in &self.now {
            let kept = self.kept.get(who);
            let newest_is_kept = kept.is_some_and(|kept| kept.newest == now.newest);
            for (gateway, session) in &now.gateways {
                let is_kept = kept.and_then(|kept| kept.gateways.get(gateway)) == Some(session);
                if !(is_kept && newest_is_kept) {
                    here.push((who, gateway, *session, now.newest));
                }
            }
            let kept = kept.into_iter().flat_map(|kept| kept.gateways.keys());
            gone.extend(kept.filter(|it| !now.gateways.contains_key(it)).map(|it| (who, it)));
        }
        if here.is_empty() && gone.is_empty() {
            return Ok(false);
        }
        let number = |gateway: &GatewayId| gateway.0.cast_signed();
        let noting = async {
            let tenants: Vec<&str> = here.iter().map(|(who, ..)| who.0.as_str()).collect();
            let clients: Vec<&[u8]> = here.iter().map(|it| it.0.1.as_str().as_bytes()).collect();
            let gateways: Vec<i64> = here.iter().map(|it| number(it.1)).collect();
            let sessions: Vec<i64> = here.iter().map(|it| it.2.cast_signed()).collect();
            let newest: Vec<i64> = here.iter().map(|it| it.3.cast_signed()).collect();
            let note = link.statement(NOTE).await?;
            link.client.execute(&note, &[&tenants, &clients, &gateways, &sessions, &newest]).await
        };
        let leaving = async {
            let tenants: Vec<&str> = gone.iter().map(|(who, _)| who.0.as_str()).collect();
            let clients: Vec<&[u8]> =
                gone.iter().map(|(who, _)| who.1.as_str().as_bytes()).collect();
            let gateways: Vec<i64> = gone.iter().map(|(_, gateway)| number(gateway)).collect();
            let leave = link.statement(LEAVE).await?;
            link.client.execute(&leave, &[&tenants, &clients, &gateways]).await
        };
        let (noted, left) = tokio::join!(biased; noting, leaving);
        noted?;
        left?;
        self.kept.clone_from(&self.now);
        Ok(true)
    }
}

/// The labels of what is announced to a tenant.
pub(super) fn labels(tenant: Tenant, client: &ClientId) -> [Label; 2] {
    [Turn::Online, Turn::Offline].map(|turn| label(tenant, &turn.told(client, 0)))
}

/// The next of those who are at some gateways, by their ids.
pub(super) async fn leaving(
    link: &Link,
    tenant: Tenant,
    gateways: &[GatewayId],
    behind: Option<&ClientId>,
) -> Result<Vec<ClientId>, Fault> {
    let gateways: Vec<i64> = gateways.iter().map(|gateway| gateway.0.cast_signed()).collect();
    let behind = behind.map_or(&b""[..], |client| client.as_str().as_bytes());
    let max = i64::try_from(LEAVE_MAX).unwrap_or(i64::MAX);
    let statement = link.statement(LEAVING).await?;
    let rows = link.client.query(&statement, &[&tenant.as_str(), &gateways, &behind, &max]).await?;
    let client = |bytes: &[u8]| ClientId::new(str::from_utf8(bytes).ok()?).ok();
    let clients = rows.iter().map(|row| client(row.get(0)));
    clients.map(|client| client.ok_or_else(|| unreadable("a client"))).collect()
}

/// At which gateways somebody is, of which tenants.
pub(super) async fn gateways(link: &Link) -> Result<Vec<(Tenant, GatewayId)>, Fault> {
    let statement = link.statement(GATEWAYS).await?;
    let rows = link.client.query(&statement, &[]).await?;
    let gateway = |row: &_| {
        Ok((tenant(row, 0)?, GatewayId(tokio_postgres::Row::get::<_, i64>(row, 1).cast_unsigned())))
    };
    rows.iter().map(gateway).collect()
}
