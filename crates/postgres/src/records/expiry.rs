//! Removes what is due.

use futures_util::future::try_join_all;

use super::{
    decide::Before,
    row,
    work::{Due, Gone},
    writer::DELETE,
};
use crate::{lane::Fault, link::Link};

/// How much is removed at once: others wait so long.
pub(super) const PART_MAX: usize = 256;

/// What another node is removing, or somebody changes, is left to it.
const DUE: &str = "SELECT id, version, updated_at, expires_at, checks FROM vault_record \
     WHERE tenant = $1 AND expires_at <= $2 AND (expires_at, id) > ($3, $4) \
     ORDER BY expires_at, id LIMIT $5 FOR UPDATE SKIP LOCKED";

/// Removes some of what is due. Says what was removed, and the greatest version of it.
pub(super) async fn remove(link: &Link, due: &Due) -> Result<(Gone, u64), Fault> {
    let Due { tenant, now, behind } = due;
    let (select, delete) = (link.statement(DUE).await?, link.statement(DELETE).await?);
    let max = i64::try_from(PART_MAX).unwrap_or(i64::MAX);
    let rows = link.client.query(&select, &[tenant, &now.0, &behind.0, &behind.1, &max]).await?;
    let (mut ids, mut greatest) = (Vec::with_capacity(rows.len()), 0);
    let mut last = None;
    for found in &rows {
        let id: &[u8] = found.try_get(0)?;
        let (head, checks) = row::head(found, 1)?;
        last = head.expires_at.map(|at| (at, id.to_vec()));
        if head.is_sound(tenant, id, checks) {
            greatest = greatest.max(Before::of(&head, true).removed());
            ids.push(id);
        }
    }
    let damaged = rows.len() - ids.len();
    if 0 < damaged {
        // When their time is up nobody knows: they are told as damaged until somebody acts.
        tracing::warn!(tenant, damaged, "damaged records of the vault are not removed");
    }
    let deleting = ids.iter().map(|id| async {
        let id: &[u8] = id;
        link.client.execute(&delete, &[tenant, &id]).await
    });
    try_join_all(deleting).await?;
    let rest = last.filter(|_| rows.len() == PART_MAX).map(|behind| Due { behind, ..due.clone() });
    Ok((Gone { removed: ids.len() as u64, rest }, greatest))
}
