//! The contract of [`Log`].
//!
//! What takes a fault is not here, nor a queue with [`IN_FLIGHT_MAX`] deliveries: a store shows by
//! tests of its own what it makes of those.
//!
//! [`IN_FLIGHT_MAX`]: switchboard_core::bus::IN_FLIGHT_MAX
#![expect(clippy::unwrap_used, reason = "a suite of tests")]

mod dead_letters;
mod deliveries;
mod interleavings;
mod presence;
mod publishing;
mod queues;
mod reading;
mod retention;
mod signals;

use std::sync::Arc;

use switchboard_core::{
    Millis, Tenant,
    bus::{
        Body, Content, Draft, Event, IdempotencyKey, Interest, Log, Page, Published, Read, Since,
    },
};

pub(crate) use self::interleavings::Interleaving;
pub use self::{
    dead_letters::{
        each_queue_has_its_own_dead_letters, what_is_given_back_often_enough_is_given_up,
        what_times_out_often_enough_is_given_up,
    },
    deliveries::{
        a_pull_tells_whether_there_is_more, each_event_goes_to_one_of_many_consumers,
        first_deliveries_are_in_the_order_of_the_log, settling_late_changes_nothing,
        what_is_acknowledged_is_not_delivered_again, what_is_given_back_for_later_waits,
        what_is_given_back_is_delivered_again_first, what_nobody_settles_comes_back,
        what_was_never_delivered_is_unknown,
    },
    interleavings::{any_interleaving_is_that_of_the_model, interleavings_over_restarts},
    presence::{
        a_late_offline_never_hides_a_newer_online, comings_and_goings_are_announced_in_order,
        gateways_that_are_no_more_are_left, the_first_gateway_and_the_last_are_news,
    },
    publishing::{
        a_batch_takes_its_places_when_it_is_handed_over, a_dropped_answer_takes_nothing_back,
        a_repeated_key_answers_the_first_event, another_event_under_a_known_key_is_a_conflict,
        events_of_every_kind_come_back, of_equal_publishes_at_once_one_is_new,
        sequences_count_the_events_of_a_tenant, tenants_see_only_themselves,
        the_newest_of_many_tenants_are_told, times_never_go_back,
    },
    queues::{
        a_deleted_queue_is_gone, a_queue_begins_at_its_place, a_queue_is_made_once,
        a_queue_lets_go_of_what_has_expired, a_queue_that_is_made_again_begins_anew,
        queues_are_listed_by_name, the_state_of_a_queue_adds_up,
    },
    reading::{
        a_place_that_has_not_come_is_refused, a_rare_type_is_found_among_many,
        events_are_read_by_topic_and_type, pages_keep_to_their_limits, pages_lead_on_to_the_newest,
        pages_lose_nothing_while_others_publish, reading_begins_where_it_is_said,
    },
    retention::{
        a_reader_is_told_that_it_missed_something, an_expired_key_can_be_used_again,
        each_tenant_has_its_own_bytes, events_expire_by_age, events_expire_by_bytes,
        new_readers_begin_at_the_oldest_left, sequences_go_on_when_all_has_expired,
        the_first_rule_that_matches_counts, who_knows_what_has_expired_reads_on,
    },
    signals::{
        a_queue_with_something_to_deliver_is_ready, dead_letters_are_told, signals_are_the_log,
    },
};

/// Declares one test for each clause of the contract, for the log that `$open` opens.
///
/// `$open` is an async function that gives something which can be borrowed as an `Arc<dyn Log>`:
/// the store itself, or a guard that also owns its directory.
#[macro_export]
macro_rules! log {
    ($open:expr) => {
        $crate::log!(
            $open;
            sequences_count_the_events_of_a_tenant,
            tenants_see_only_themselves,
            the_newest_of_many_tenants_are_told,
            a_batch_takes_its_places_when_it_is_handed_over,
            a_dropped_answer_takes_nothing_back,
            a_repeated_key_answers_the_first_event,
            of_equal_publishes_at_once_one_is_new,
            another_event_under_a_known_key_is_a_conflict,
            times_never_go_back,
            events_of_every_kind_come_back,
            events_are_read_by_topic_and_type,
            a_rare_type_is_found_among_many,
            reading_begins_where_it_is_said,
            a_place_that_has_not_come_is_refused,
            pages_lead_on_to_the_newest,
            pages_keep_to_their_limits,
            pages_lose_nothing_while_others_publish,
            events_expire_by_age,
            events_expire_by_bytes,
            each_tenant_has_its_own_bytes,
            the_first_rule_that_matches_counts,
            a_reader_is_told_that_it_missed_something,
            who_knows_what_has_expired_reads_on,
            new_readers_begin_at_the_oldest_left,
            sequences_go_on_when_all_has_expired,
            an_expired_key_can_be_used_again,
            a_queue_is_made_once,
            a_queue_begins_at_its_place,
            queues_are_listed_by_name,
            a_deleted_queue_is_gone,
            a_queue_that_is_made_again_begins_anew,
            the_state_of_a_queue_adds_up,
            a_queue_lets_go_of_what_has_expired,
            first_deliveries_are_in_the_order_of_the_log,
            each_event_goes_to_one_of_many_consumers,
            what_is_acknowledged_is_not_delivered_again,
            what_was_never_delivered_is_unknown,
            what_is_given_back_is_delivered_again_first,
            what_is_given_back_for_later_waits,
            what_nobody_settles_comes_back,
            settling_late_changes_nothing,
            a_pull_tells_whether_there_is_more,
            what_is_given_back_often_enough_is_given_up,
            what_times_out_often_enough_is_given_up,
            each_queue_has_its_own_dead_letters,
            signals_are_the_log,
            dead_letters_are_told,
            a_queue_with_something_to_deliver_is_ready,
            the_first_gateway_and_the_last_are_news,
            a_late_offline_never_hides_a_newer_online,
            comings_and_goings_are_announced_in_order,
            gateways_that_are_no_more_are_left,
            any_interleaving_is_that_of_the_model,
        );
    };
    ($open:expr; $($clause:ident,)+) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $clause() {
            let opened = $open().await;
            $crate::log::$clause(opened.as_ref()).await;
        })+
    };
}

fn tenant(name: &str) -> Tenant {
    name.parse().unwrap()
}

fn content<'a>(topic: &'a str, data: &'a [u8]) -> Content<'a> {
    Content { topic, kind: "made", content_type: "", data, key: None, reply_to: "" }
}

/// What a publisher says with a key of its own.
fn keyed(key: &str, topic: &str, data: &str) -> Draft {
    let key = IdempotencyKey::new(key).unwrap();
    let content = Content { key: Some(&key), ..content(topic, data.as_bytes()) };
    Draft { tenant: tenant("a"), body: Body::new(&content).unwrap(), at: Millis(1_000) }
}

/// An event of the tenant `a` whose data is its time.
fn draft(topic: &str, at: i64) -> Draft {
    let data = at.to_string();
    let body = Body::new(&content(topic, data.as_bytes())).unwrap();
    Draft { tenant: tenant("a"), body, at: Millis(at) }
}

fn of(name: &str, draft: Draft) -> Draft {
    Draft { tenant: tenant(name), ..draft }
}

/// Publishes events of which none is refused, or was published before.
async fn publish(log: &Arc<dyn Log>, drafts: Vec<Draft>) -> Vec<u64> {
    let new = |published: Published| {
        assert!(published.new, "{published:?}");
        published.sequence
    };
    let published = log.publish(drafts).await.unwrap();
    published.into_iter().map(|published| new(published.unwrap())).collect()
}

/// Publishes events of the tenant `a`, one at each of these times.
async fn publish_at(log: &Arc<dyn Log>, topic: &str, times: impl IntoIterator<Item = i64>) {
    publish(log, times.into_iter().map(|at| draft(topic, at)).collect()).await;
}

fn interest(filters: &[&str]) -> Interest {
    Interest::new(filters.iter().copied(), []).unwrap()
}

/// Asks for as many events of the tenant `a` as can be had.
fn read(filters: &[&str], since: Since) -> Read {
    let (interest, bytes_max) = (interest(filters), usize::MAX);
    Read { tenant: tenant("a"), interest, since, events_max: 1_000, bytes_max }
}

/// What is read on from a place, whether one page has it all or not.
async fn read_on(log: &Arc<dyn Log>, read: Read) -> Vec<Event> {
    let (mut read, mut all) = (read, Vec::new());
    loop {
        let page = log.read(read.clone()).await.unwrap();
        let Page { events, position, newest, expired } = page;
        assert!(position <= newest, "{read:?}: {position} of {newest}");
        if let Since::After(before) = read.since {
            assert!(before < position || before == newest, "{read:?}: a page leads on");
        }
        all.extend(events);
        if position == newest {
            return all;
        }
        read.since = Since::at(position, expired);
    }
}

/// All that a tenant can read.
async fn events_of(log: &Arc<dyn Log>, name: &str) -> Vec<Event> {
    read_on(log, Read { tenant: tenant(name), ..read(&[">"], Since::Start) }).await
}

fn sequences(events: &[Event]) -> Vec<u64> {
    events.iter().map(|event| event.sequence).collect()
}

/// The sequences of those events of the tenant `a` that are read in one page.
async fn sequences_read(log: &Arc<dyn Log>, filters: &[&str], since: Since) -> Vec<u64> {
    sequences(&log.read(read(filters, since)).await.unwrap().events)
}

#[cfg(test)]
mod tests {
    use std::future;

    use super::*;
    use crate::Model;

    fn open() -> future::Ready<Box<Arc<dyn Log>>> {
        future::ready(Box::new(Arc::new(Model::default())))
    }

    crate::log!(open);

    #[tokio::test]
    async fn any_interleaving_survives_what_is_no_restart() {
        for seed in 1..=5 {
            let again = |before: Option<Box<Arc<dyn Log>>>| async {
                match before {
                    Some(before) => before,
                    None => open().await,
                }
            };
            interleavings_over_restarts(seed, again).await;
        }
    }
}
