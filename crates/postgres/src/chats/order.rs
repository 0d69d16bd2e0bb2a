//! A user's chats in the order of their last messages, as it is or once was.
//!
//! The order is that of his own inbox: a chat's activity is the sequence of its last message there.
//! So it only ever grows, costs no row that others write to, and whatever happens later stands
//! above all that was there before.

use std::sync::Arc;

use switchboard_core::{
    Result,
    chat::{Chat, ChatsPage, ChatsPlace, User},
};

use super::{
    keys::{Side, bigint, digits},
    reader::query,
    rows::{HEAD_COLUMNS, get, head, head_columns, listed, message, message_columns, name, number},
};
use crate::readers::Readers;

/// The chats with an activity up to `$4`, in order, and those that have moved beyond `$3` since.
///
/// - `still`: the first of those that have not moved, from both indexes, in steps of 64: as many as
///   one step may have more than what is asked for, so that what is left out is on a lower step.
/// - `moved`, `search`: of each of the others, by halves, the last message that was there then.
/// - At the end the first of both, as they are now.
const CHATS: &str = concat!(
    "WITH RECURSIVE still AS (\
         (SELECT low, high, low_activity AS place FROM chat \
          WHERE tenant = $1::text AND -low = -$2::bigint \
          AND low_step <= $4::bigint >> 6 AND low_activity <= $4 \
          ORDER BY low_step DESC LIMIT $5::bigint + 64) \
         UNION ALL \
         (SELECT low, high, high_activity FROM chat \
          WHERE tenant = $1 AND -high = -$2 AND high_step <= $4 >> 6 AND high_activity <= $4 \
          ORDER BY high_step DESC LIMIT $5 + 64)\
     ), moved AS (\
         SELECT low, high, last_id FROM chat WHERE tenant = $1 AND -low = -$2 \
         AND $3::bigint >> 6 <= low_step AND $3 < low_activity \
         UNION ALL \
         SELECT low, high, last_id FROM chat WHERE tenant = $1 AND -high = -$2 \
         AND $3 >> 6 <= high_step AND $3 < high_activity\
     ), search(low, high, first, last, place) AS (\
         SELECT low, high, 0::bigint, last_id, 0::bigint FROM moved \
         UNION ALL \
         SELECT it.low, it.high, \
             CASE WHEN half.place <= $3 THEN half.id ELSE it.first END, \
             CASE WHEN half.place <= $3 THEN it.last ELSE half.id - 1 END, \
             CASE WHEN half.place <= $3 THEN half.place ELSE it.place END \
         FROM search AS it CROSS JOIN LATERAL (\
             SELECT of.id, CASE WHEN of.low = $2 THEN of.low_sequence ELSE of.high_sequence END \
                 AS place \
             FROM chat_message AS of WHERE of.tenant = $1 AND of.low = it.low \
             AND of.high = it.high AND of.id = (it.first + it.last + 1) / 2 LIMIT 1) AS half \
         WHERE it.first < it.last\
     ), listed AS (\
         SELECT low, high, place FROM still \
         UNION ALL \
         SELECT low, high, place FROM search WHERE first = last AND 0 < first AND place <= $4 \
         ORDER BY place DESC LIMIT $5\
     ) SELECT own.newest, listed.place, peer.name, ",
    head_columns!("chat"),
    ", ",
    message_columns!("it"),
    " FROM chat_user AS own LEFT JOIN listed ON true \
     LEFT JOIN LATERAL (SELECT * FROM chat AS of WHERE of.tenant = $1 AND of.low = listed.low \
         AND of.high = listed.high LIMIT 1) AS chat ON true \
     LEFT JOIN LATERAL (SELECT * FROM chat_message AS of WHERE of.tenant = $1 \
         AND of.low = chat.low AND of.high = chat.high AND of.id = chat.last_id LIMIT 1) \
         AS it ON true \
     LEFT JOIN LATERAL (SELECT of.name FROM chat_user AS of WHERE of.tenant = $1 \
         AND of.phone = listed.low + listed.high - $2 LIMIT 1) AS peer ON true \
     WHERE own.tenant = $1 AND own.phone = $2 ORDER BY listed.place DESC"
);

/// One more than a page has tells whether there is another.
pub(super) async fn chats(
    readers: Arc<Readers>,
    user: User,
    on: Option<ChatsPlace>,
    limit: u32,
) -> Result<ChatsPage> {
    let (tenant, own) = (user.tenant.as_str(), digits(user.phone));
    let (as_of, up_to) = match on {
        // Nothing has moved beyond all that there is.
        None => (i64::MAX, i64::MAX),
        Some(ChatsPlace { as_of, before }) => {
            (bigint(as_of), bigint(as_of.min(before.saturating_sub(1))))
        }
    };
    let more = i64::from(limit) + 1;
    let rows = query(&readers, CHATS, &[&tenant, &own, &as_of, &up_to, &more]).await?;
    let Some(first) = rows.first() else { return Ok(ChatsPage::default()) };
    let as_of = on.map_or(number(first, 0), |place| Ok(place.as_of))?;
    let limit = limit as usize;
    let mut page = ChatsPage { chats: Vec::with_capacity(limit.min(rows.len())), next: None };
    for row in rows.iter().take(limit) {
        let Some(place) = get::<Option<i64>>(row, 1)? else { break };
        let head = head(row, 3)?;
        let last = message(row, 3 + HEAD_COLUMNS)?;
        let peer = last.peer_of(user.phone);
        let side: Side = usize::from(peer < user.phone);
        page.chats.push(Chat {
            peer,
            peer_name: name(row, 2)?,
            last: listed(last, &head),
            unread: head.unread[side],
        });
        let before = u64::try_from(place).unwrap_or_default();
        page.next = (limit < rows.len()).then_some(ChatsPlace { as_of, before });
    }
    Ok(page)
}
