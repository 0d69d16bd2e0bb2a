//! Who comes and who goes, decided.

use std::borrow::Cow;

use switchboard_core::{
    Millis, Result as Answer,
    bus::{Attendance, Gone, Turn},
    presence::GatewayId,
};

use super::{
    super::{
        entry::{DELIVERY_MAX, Entry, Stay, TENANT_MAX},
        work::{Abandoned, Place},
    },
    Writer,
    publish::{event_len, refused},
};
use crate::Error;

/// How many clients leave at once because their gateway is no more: others wait so long.
const ABANDON_MAX: usize = 1_000;

impl Writer {
    pub(super) fn attend(&mut self, attendances: &[Attendance]) -> Result<Answer<()>, Error> {
        for attendance in attendances {
            let Attendance { tenant, client, gateway, present, session, at } = attendance;
            let known = self.tenants.number(tenant);
            let before = match known {
                Some(tenant) => self.stay(&(tenant, client.clone())),
                None => Stay::default(),
            };
            let Some((stay, turn)) = attended(&before, *gateway, *present, *session) else {
                continue;
            };
            let told = turn.map(|(turn, session)| turn.told(client, session));
            // A client has 128 bytes at most.
            let needed = TENANT_MAX + 4 * DELIVERY_MAX + 16 * stay.gateways.len();
            if let Err(why) = self.reserve(needed + told.as_ref().map_or(0, event_len))? {
                return Ok(Err(refused(&why)));
            }
            let tenant = self.tenant(tenant);
            self.note((tenant, client.clone()), stay);
            if let Some(body) = told {
                self.append(tenant, &body, at.0);
            }
        }
        Ok(Ok(()))
    }

    /// Lets some of those leave who were at gateways that are no more.
    pub(super) fn abandon(
        &mut self,
        gone: &Gone,
        behind: Option<&Place>,
        now: Millis,
    ) -> Result<Answer<Abandoned>, Error> {
        // Who is there is one of those who are known.
        self.end_group()?;
        let places = self.shared.abandoned(gone, behind, ABANDON_MAX);
        let next = places.get(ABANDON_MAX - 1).cloned();
        let mut notes = 0;
        for place in places {
            let mut stay = self.stay(&place);
            let before = stay.gateways.len();
            stay.gateways.retain(|(gateway, _)| !gone.includes(*gateway));
            let (tenant, client) = &place;
            let told = stay.gateways.is_empty().then(|| Turn::Offline.told(client, stay.newest));
            let needed = 4 * DELIVERY_MAX + 16 * stay.gateways.len();
            if let Err(why) = self.reserve(needed + told.as_ref().map_or(0, event_len))? {
                return Ok(Err(refused(&why)));
            }
            notes += (before - stay.gateways.len()) as u64;
            if let Some(body) = told {
                self.append(*tenant, &body, now.0);
            }
            self.note(place, stay);
        }
        Ok(Ok((notes, next)))
    }

    /// Where a client is, the group under way included.
    fn stay(&self, place: &Place) -> Stay {
        self.group.stay(place).cloned().unwrap_or_else(|| self.shared.stay(place))
    }

    /// Notes where a client is now, for which there must be room.
    fn note(&mut self, place: Place, stay: Stay) {
        let (tenant, client) = place.clone();
        self.group.write(&Entry::Stay { tenant, client, stay: Cow::Borrowed(&stay) });
        self.group.note(place, stay);
    }
}

/// What an attendance changes, and whether it is news, of which session.
fn attended(
    before: &Stay,
    gateway: GatewayId,
    present: bool,
    session: u64,
) -> Option<(Stay, Option<(Turn, u64)>)> {
    let mut stay = before.clone();
    let noted = stay.gateways.iter().position(|(it, _)| *it == gateway);
    stay.newest = stay.newest.max(session);
    if present {
        match noted {
            Some(at) => stay.gateways[at].1 = stay.gateways[at].1.max(session),
            None => stay.gateways.push((gateway, session)),
        }
    } else {
        let at = noted.filter(|&at| stay.gateways[at].1 <= session)?;
        stay.gateways.remove(at);
    }
    let turn = match (before.gateways.is_empty(), stay.gateways.is_empty()) {
        (true, false) => Some((Turn::Online, session)),
        (false, true) => Some((Turn::Offline, stay.newest)),
        _ => None,
    };
    if stay.gateways.is_empty() {
        stay = Stay::default();
    }
    (stay != *before).then_some((stay, turn))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stay(gateways: &[(u64, u64)], newest: u64) -> Stay {
        let gateways = gateways.iter().map(|&(it, session)| (GatewayId(it), session));
        Stay { gateways: gateways.collect(), newest }
    }

    #[test]
    fn who_comes_first_and_leaves_last_is_news() {
        let none = Stay::default();
        let here = |stay: &Stay, it, session| attended(stay, GatewayId(it), true, session);
        let gone = |stay: &Stay, it, session| attended(stay, GatewayId(it), false, session);
        let one = stay(&[(1, 5)], 5);
        assert_eq!(here(&none, 1, 5), Some((one.clone(), Some((Turn::Online, 5)))));
        assert_eq!(gone(&none, 1, 5), None);
        assert_eq!(here(&one, 1, 4), None, "an older one");
        assert_eq!(here(&one, 1, 6), Some((stay(&[(1, 6)], 6), None)));
        assert_eq!(gone(&one, 1, 4), None, "a newer one is there");
        assert_eq!(gone(&one, 2, 9), None);
        assert_eq!(gone(&one, 1, 7), Some((none.clone(), Some((Turn::Offline, 7)))));
        let two = stay(&[(1, 5), (2, 3)], 5);
        assert_eq!(here(&one, 2, 3), Some((two.clone(), None)));
        let second = stay(&[(2, 3)], 5);
        assert_eq!(gone(&two, 1, 5), Some((second.clone(), None)));
        assert_eq!(gone(&second, 2, 3), Some((none, Some((Turn::Offline, 5)))));
    }
}
