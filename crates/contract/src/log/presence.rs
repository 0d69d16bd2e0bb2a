//! Who comes and goes.

use std::sync::Arc;

use switchboard_core::{
    ClientId, Millis,
    bus::{Attendance, Body, Event, Gone, JSON, Log, Since, Turn},
    presence::GatewayId,
};

use super::{events_of, publish_at, read, tenant};

/// A client of the tenant `a` has a session at a gateway, or not any more.
pub(super) fn attendance(name: &str, gateway: u64, present: bool, session: u64) -> Attendance {
    let client = ClientId::new(name).unwrap();
    let at = Millis(i64::try_from(session).unwrap());
    Attendance { tenant: tenant("a"), client, gateway: GatewayId(gateway), present, session, at }
}

fn online(name: &str, session: u64) -> Body {
    Turn::Online.told(&ClientId::new(name).unwrap(), session)
}

fn offline(name: &str, session: u64) -> Body {
    Turn::Offline.told(&ClientId::new(name).unwrap(), session)
}

/// What was announced to a tenant since it was asked last.
async fn announced(log: &Arc<dyn Log>, of: &str, seen: &mut u64) -> Vec<Event> {
    let since = Since::After(*seen);
    let read = super::Read { tenant: tenant(of), ..read(&["sys.presence.*"], since) };
    let page = log.read(read).await.unwrap();
    assert_eq!(page.position, page.newest);
    *seen = page.newest;
    page.events
}

/// Notes these, one by one, and holds what is announced after each to what should be.
async fn check(log: &Arc<dyn Log>, steps: impl IntoIterator<Item = (Attendance, Option<Body>)>) {
    let mut seen = 0;
    for (number, (attendance, expected)) in steps.into_iter().enumerate() {
        let step = format!("step {number}: {attendance:?}");
        log.attend(vec![attendance]).await.unwrap();
        let told = announced(log, "a", &mut seen).await;
        let told: Vec<&Body> = told.iter().map(|event| &event.body).collect();
        assert_eq!(told, expected.iter().collect::<Vec<_>>(), "{step}");
    }
}

/// A client is online from its first gateway to its last, wherever it goes between; that it has
/// gone is told by its newest session.
pub async fn the_first_gateway_and_the_last_are_news(log: &Arc<dyn Log>) {
    publish_at(log, "t", [0]).await;
    let (zoe, max) = ("Zoë \"\\\" 🦀", "max");
    let steps = [
        (attendance(zoe, 1, true, 10), Some(online(zoe, 10))),
        (attendance(zoe, 1, true, 11), None),
        (attendance(zoe, 2, true, 12), None),
        (attendance(max, 2, true, 13), Some(online(max, 13))),
        (attendance(zoe, 1, false, 11), None),
        (attendance(zoe, 3, true, 14), None),
        (attendance(zoe, 3, false, 14), None),
        (attendance(max, 2, false, 13), Some(offline(max, 13))),
        // The newest of this stay was at another gateway.
        (attendance(zoe, 2, false, 12), Some(offline(zoe, 14))),
        (attendance(zoe, 2, true, 20), Some(online(zoe, 20))),
        // One that was never told to have come.
        (attendance(zoe, 2, false, 21), Some(offline(zoe, 21))),
        // Who isn't there can't leave.
        (attendance(zoe, 2, false, 22), None),
        (attendance("nobody", 2, false, 22), None),
        // Nor from where he never was.
        (attendance(zoe, 1, true, 23), Some(online(zoe, 23))),
        (attendance(zoe, 2, false, 24), None),
        (attendance(zoe, 1, false, 23), Some(offline(zoe, 23))),
    ];
    check(log, steps).await;
    let events = events_of(log, "a").await;
    let first = &events[1];
    assert_eq!((first.sequence, first.at), (2, Millis(10)));
    assert_eq!((first.body.content_type(), first.body.kind()), (JSON, "presence.online"));
}

/// Whatever is told late by a gateway: it doesn't hide what it told before.
pub async fn a_late_offline_never_hides_a_newer_online(log: &Arc<dyn Log>) {
    let steps = [
        (attendance("c", 1, true, 10), Some(online("c", 10))),
        (attendance("c", 1, true, 12), None),
        (attendance("c", 1, false, 10), None),
        (attendance("c", 1, false, 11), None),
        // One that came late is no reason to think of it as the newest.
        (attendance("c", 1, true, 11), None),
        (attendance("c", 1, false, 11), None),
        // At another gateway it is as new as it is there.
        (attendance("c", 2, true, 5), None),
        (attendance("c", 2, false, 4), None),
        (attendance("c", 1, false, 12), None),
        (attendance("c", 2, false, 4), None),
        (attendance("c", 2, false, 5), Some(offline("c", 12))),
        (attendance("c", 2, true, 13), Some(online("c", 13))),
        (attendance("c", 1, false, 12), None),
        (attendance("c", 2, false, 12), None),
        (attendance("c", 2, false, 13), Some(offline("c", 13))),
        // But who is there is there, however late that is told: it may be the last there is.
        (attendance("c", 1, true, 9), Some(online("c", 9))),
        (attendance("c", 1, false, 9), Some(offline("c", 9))),
    ];
    check(log, steps).await;
}

/// In one batch as one by one; what is of one tenant or client has no part in what is of another.
pub async fn comings_and_goings_are_announced_in_order(log: &Arc<dyn Log>) {
    log.attend(Vec::new()).await.unwrap();
    let other = |attendance| Attendance { tenant: tenant("b"), ..attendance };
    let batch = vec![
        attendance("x", 1, true, 1),
        other(attendance("x", 1, true, 2)),
        attendance("X", 1, true, 3),
        attendance("x", 1, false, 1),
        attendance("x", 1, true, 4),
        attendance("x", 2, true, 5),
        attendance("x", 1, false, 4),
        other(attendance("x", 1, false, 2)),
        attendance("x", 2, false, 5),
        other(attendance("x", 1, true, 7)),
        attendance("X", 1, false, 3),
    ];
    let answers: Vec<_> = batch.chunks(4).map(|part| log.attend(part.to_vec())).collect();
    for answer in answers {
        answer.await.unwrap();
    }
    let told: Vec<Body> = events_of(log, "a").await.into_iter().map(|event| event.body).collect();
    let expected = [
        online("x", 1),
        online("X", 3),
        offline("x", 1),
        online("x", 4),
        offline("x", 5),
        offline("X", 3),
    ];
    assert_eq!(told, expected);
    let told: Vec<Body> = events_of(log, "b").await.into_iter().map(|event| event.body).collect();
    assert_eq!(told, [online("x", 2), offline("x", 2), online("x", 7)]);
}

/// Those who were there alone have left, by the order of their names; those who are somewhere else
/// too have not. The count is of the clients at each such gateway.
pub async fn gateways_that_are_no_more_are_left(log: &Arc<dyn Log>) {
    let mut batch: Vec<Attendance> = ["c", "a", "b", "é", "Z"]
        .into_iter()
        .zip(10..)
        .map(|(name, session)| attendance(name, 1, true, session))
        .collect();
    batch.push(attendance("a", 2, true, 20));
    batch.push(attendance("b", 3, true, 21));
    batch.push(attendance("d", 2, true, 22));
    batch.push(Attendance { tenant: tenant("b"), ..attendance("a", 1, true, 23) });
    log.attend(batch).await.unwrap();
    let (mut seen, mut seen_other) = (0, 0);
    assert_eq!(announced(log, "a", &mut seen).await.len(), 6);
    assert_eq!(announced(log, "b", &mut seen_other).await.len(), 1);
    let all = [3, 2, 1, 99].map(GatewayId);
    assert_eq!(log.gateways().await.unwrap(), [1, 2, 3].map(GatewayId));
    assert_eq!(log.abandon(Gone::These(vec![all[3]]), Millis(100)).await.unwrap(), 0);
    assert_eq!(log.abandon(Gone::AllBut(all.to_vec()), Millis(100)).await.unwrap(), 0);
    assert!(announced(log, "a", &mut seen).await.is_empty());
    assert_eq!(log.abandon(Gone::These(all[2..].to_vec()), Millis(200)).await.unwrap(), 6);
    let told = announced(log, "a", &mut seen).await;
    assert!(told.iter().all(|event| event.at == Millis(200)), "{told:?}");
    let told: Vec<Body> = told.into_iter().map(|event| event.body).collect();
    assert_eq!(told, [offline("Z", 14), offline("c", 10), offline("é", 13)]);
    let told = announced(log, "b", &mut seen_other).await;
    assert_eq!(told[0].body, offline("a", 23));
    // Once; and they may come back.
    assert_eq!(log.abandon(Gone::AllBut(all[..2].to_vec()), Millis(300)).await.unwrap(), 0);
    log.attend(vec![attendance("c", 1, false, 10), attendance("c", 4, true, 301)]).await.unwrap();
    let told = announced(log, "a", &mut seen).await;
    assert_eq!((told.len(), &told[0].body), (1, &online("c", 301)));
    assert_eq!(log.abandon(Gone::AllBut(Vec::new()), Millis(400)).await.unwrap(), 4);
    let told = announced(log, "a", &mut seen).await.into_iter().map(|event| event.body);
    let expected = [offline("a", 20), offline("b", 21), offline("c", 301), offline("d", 22)];
    assert_eq!(told.collect::<Vec<_>>(), expected);
    assert!(announced(log, "b", &mut seen_other).await.is_empty());
}
