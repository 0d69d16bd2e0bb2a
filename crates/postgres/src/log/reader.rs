//! Pages of events, and the places that they begin at.

use switchboard_core::{
    Code, Error, Millis, Result as Answer, Tenant,
    bus::{Interest, Page, Read, Since},
};

use super::{
    count,
    labels::Labels,
    search::{self, Found, Search},
};
use crate::{lane::Fault, link::Link};

/// The newest sequence, and the oldest that is kept.
const ENDS: &str = "SELECT h.newest, (SELECT e.sequence FROM bus_event e \
     WHERE e.tenant = h.tenant AND e.sequence >= h.oldest ORDER BY e.sequence LIMIT 1) \
     FROM bus_head h WHERE h.tenant = $1";

/// The newest sequence, and the first that is kept of a time or later. Times never go back: so a
/// stretch in which it must be is halved until nothing is left of it.
const AT: &str = "WITH RECURSIVE stretch (low, high) AS (\
     SELECT oldest, newest + 1 FROM bus_head WHERE tenant = $1 UNION ALL \
     SELECT CASE WHEN e.at < $2 THEN e.sequence + 1 ELSE s.low END, \
     CASE WHEN e.at < $2 THEN s.high ELSE (s.low + s.high) / 2 END \
     FROM stretch s LEFT JOIN LATERAL (SELECT sequence, at FROM bus_event \
     WHERE tenant = $1 AND sequence >= (s.low + s.high) / 2 ORDER BY sequence LIMIT 1) e ON true \
     WHERE s.low < s.high) \
     SELECT h.newest, (SELECT e.sequence FROM bus_event e WHERE e.tenant = h.tenant \
     AND e.sequence >= (SELECT max(low) FROM stretch) ORDER BY e.sequence LIMIT 1) \
     FROM bus_head h WHERE h.tenant = $1";

/// A place among the events.
struct Place {
    after: u64,
    /// So often events had expired, as whoever begins here knows; none if he need not be told.
    known: Option<u64>,
}

/// Reads a page.
pub(super) async fn page(link: &Link, labels: &Labels, read: &Read) -> Result<Answer<Page>, Fault> {
    let &Read { tenant, ref interest, since, events_max, bytes_max } = read;
    let Place { after, known } = place(link, tenant, since).await?;
    let search = Search { tenant, interest, after, max: events_max as usize, bytes_max };
    let now = since == Since::Now;
    let search = if now { Search { max: 0, ..search } } else { search };
    let Found { events, position, head } = search::find(link, labels, search).await?;
    if let Some(known) = known
        && let Err(refused) = check(link, tenant, interest, &head, (after, known)).await?
    {
        return Ok(Err(refused));
    }
    let position = if now { head.newest } else { position };
    Ok(Ok(Page { events, position, newest: head.newest, expired: head.expiries }))
}

/// The place that a queue begins at.
pub(super) async fn beginning(
    link: &Link,
    labels: &Labels,
    (tenant, interest): (Tenant, &Interest),
    since: Since,
) -> Result<Answer<u64>, Fault> {
    let read = Read { tenant, interest: interest.clone(), since, events_max: 0, bytes_max: 0 };
    Ok(page(link, labels, &read).await?.map(|page| page.position))
}

async fn place(link: &Link, tenant: Tenant, since: Since) -> Result<Place, Fault> {
    match since {
        Since::Now => Ok(Place { after: 0, known: None }),
        Since::After(after) => Ok(Place { after, known: Some(0) }),
        Since::Known { after, expired } => Ok(Place { after, known: Some(expired) }),
        Since::Start => Ok(Place { after: before(link, tenant, None).await?, known: None }),
        Since::Time(at) => Ok(Place { after: before(link, tenant, Some(at)).await?, known: None }),
    }
}

/// The place before the oldest event that is kept, or the first of a time on.
async fn before(link: &Link, tenant: Tenant, at: Option<Millis>) -> Result<u64, Fault> {
    let (newest, first) = ends(link, tenant, at).await?;
    Ok(first.map_or(newest, |first| first - 1))
}

async fn ends(
    link: &Link,
    tenant: Tenant,
    at: Option<Millis>,
) -> Result<(u64, Option<u64>), Fault> {
    let tenant = tenant.as_str();
    let row = match at {
        None => {
            let statement = link.statement(ENDS).await?;
            link.client.query_opt(&statement, &[&tenant]).await?
        }
        Some(at) => {
            let statement = link.statement(AT).await?;
            link.client.query_opt(&statement, &[&tenant, &at.0]).await?
        }
    };
    Ok(row.map_or((0, None), |row| (count(row.get(0)), row.get::<_, Option<i64>>(1).map(count))))
}

/// Whether one can read on from a place.
async fn check(
    link: &Link,
    tenant: Tenant,
    interest: &Interest,
    head: &search::Seen,
    (after, known): (u64, u64),
) -> Result<Answer<()>, Fault> {
    if head.newest < after {
        let what = format!("no event has come yet with the sequence {after}");
        return Ok(Err(Error::new(Code::InvalidCursor, what)));
    }
    if !head.marks.missed(interest, after, known) {
        return Ok(Ok(()));
    }
    let (newest, first) = ends(link, tenant, None).await?;
    let oldest = first.unwrap_or(newest + 1);
    let what = format!("events behind it have expired: {oldest} is the oldest left");
    Ok(Err(Error::new(Code::CursorExpired, what)))
}

/// The newest sequence of each of some tenants.
pub(super) async fn newest(
    link: &Link,
    tenants: &[Tenant],
) -> Result<Vec<u64>, tokio_postgres::Error> {
    const NEWEST: &str = "SELECT t.place, h.newest FROM unnest($1::text[]) WITH ORDINALITY \
         t (tenant, place) CROSS JOIN LATERAL (SELECT newest FROM bus_head \
         WHERE tenant = t.tenant LIMIT 1) h";
    let statement = link.statement(NEWEST).await?;
    let names: Vec<&str> = tenants.iter().map(Tenant::as_str).collect();
    let mut all = vec![0; tenants.len()];
    for row in link.client.query(&statement, &[&names]).await? {
        if let Some(newest) = all.get_mut(super::place(&row, 0)) {
            *newest = count(row.get(1));
        }
    }
    Ok(all)
}
