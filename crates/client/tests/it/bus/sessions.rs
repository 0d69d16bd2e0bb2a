//! The bus over sessions: what goes on over connections, and what is asked again.

use std::time::Duration;

use switchboard_client::{
    bus::{Draft, Interest, Settlement},
    session::{Event, FRAME_BYTES_MAX},
};
use switchboard_proto::v1::{
    RefusedDelivery, SessionCancelRequest, SessionConsumeRequest, SessionConsumeResponse,
    SessionDelivery, SessionEvent, SessionPublishRequest, SessionPublishResponse,
    SessionSettleRequest, SessionSettleResponse, SessionSubscribeRequest, SessionSubscribeResponse,
    SessionUnsubscribeRequest, client_frame, server_frame,
};

use super::node::{delivery, event};
use crate::{
    gateway::{Gateway, Line, Over},
    heard::{Heard, heard},
};

async fn hear_publish(line: &mut Line) -> SessionPublishRequest {
    match line.hear().await {
        Some(client_frame::Frame::Publish(publish)) => publish,
        other => panic!("{other:?} instead of an event"),
    }
}

async fn hear_subscribe(line: &mut Line) -> SessionSubscribeRequest {
    match line.hear().await {
        Some(client_frame::Frame::Subscribe(subscribe)) => subscribe,
        other => panic!("{other:?} instead of a subscription"),
    }
}

async fn hear_consume(line: &mut Line) -> SessionConsumeRequest {
    match line.hear().await {
        Some(client_frame::Frame::Consume(consume)) => consume,
        other => panic!("{other:?} instead of a consumer"),
    }
}

async fn begin(line: &mut Line, asked: &SessionSubscribeRequest) {
    let (subscription, request_id) = (asked.subscription, asked.request_id);
    let cursor = asked.after.clone();
    let answer = SessionSubscribeResponse { subscription, cursor, request_id };
    line.say(server_frame::Frame::Subscribe(answer)).await;
}

async fn say_events(line: &mut Line, subscription: u32, sequences: &[u64]) {
    for sequence in sequences {
        let event = SessionEvent { subscription, event: Some(event(*sequence)) };
        line.say(server_frame::Frame::Event(event)).await;
    }
}

/// The sequences of the next events, which are for this subscription.
async fn published(events: &mut Heard, of: u32, count: usize) -> Vec<u64> {
    let mut sequences = Vec::new();
    for _ in 0..count {
        match events.next().await {
            Event::Published { subscription, event, .. } if subscription == of => {
                sequences.push(event.sequence);
            }
            other => panic!("{other:?} instead of an event"),
        }
    }
    sequences
}

async fn subscribed(events: &mut Heard) -> u32 {
    match events.next().await {
        Event::Subscribed { subscription, .. } => subscription,
        other => panic!("{other:?} instead of subscribed"),
    }
}

#[tokio::test]
async fn a_durable_event_is_published_over_the_next_connection_an_ephemeral_one_is_not() {
    for over in Over::ALL {
        let mut gateway = Gateway::listen(over).await;
        let session = gateway.client().connect("ann").start().unwrap();
        let mut line = gateway.welcome(1).await;
        let durable = session.publish(Draft::json("a.b", "c", "1"));
        let ephemeral = session.publish(Draft::new("a.b", "c", "2").ephemeral());
        let first = hear_publish(&mut line).await;
        let fleeting = hear_publish(&mut line).await;
        assert_eq!((first.key.len(), fleeting.key.len()), (32, 0), "{over:?}");
        assert_eq!((&first.data[..], &*first.content_type), (&b"1"[..], "application/json"));
        assert!(fleeting.ephemeral && fleeting.request_id != 0);
        drop(line);
        assert_eq!(ephemeral.await.unwrap_err().code(), "unavailable", "{over:?}");
        let mut line = gateway.welcome(2).await;
        assert_eq!(hear_publish(&mut line).await, first, "with the same key");
        let request_id = first.request_id;
        let answer = SessionPublishResponse { sequence: 7, new: false, request_id };
        line.say(server_frame::Frame::Publish(answer)).await;
        let told = durable.await.unwrap();
        assert_eq!((told.sequence, told.new), (7, false), "{over:?}");
    }
}

#[tokio::test]
async fn several_subscriptions_go_on_where_they_were() {
    for over in Over::ALL {
        let mut gateway = Gateway::listen(over).await;
        let (builder, mut events) = heard(gateway.client().connect("ann"));
        let session = builder.start().unwrap();
        let all = session.subscribe(Interest::new([">"]).with_types(["c"]), "start").unwrap();
        let some = session.subscribe(Interest::new(["a.*"]), "now").unwrap();
        let mut line = gateway.welcome(1).await;
        events.connected().await;
        let asked = [hear_subscribe(&mut line).await, hear_subscribe(&mut line).await];
        assert_eq!((asked[0].subscription, asked[1].subscription), (all, some), "{over:?}");
        assert_eq!((&*asked[0].after, &*asked[1].after), ("start", "now"));
        assert_eq!(asked[0].types, ["c"]);
        for asked in &asked {
            begin(&mut line, asked).await;
        }
        assert_eq!([subscribed(&mut events).await, subscribed(&mut events).await], [all, some]);
        say_events(&mut line, all, &[1, 0, 2]).await;
        assert_eq!(published(&mut events, all, 3).await, [1, 0, 2]);
        say_events(&mut line, some, &[5]).await;
        assert_eq!(published(&mut events, some, 1).await, [5]);

        drop(line);
        events.disconnected().await;
        // One is ended, another begun, while there is no connection.
        session.unsubscribe(some);
        let late = session.subscribe(Interest::new(["b"]), "@5").unwrap();
        let mut line = gateway.welcome(2).await;
        events.connected().await;
        let asked = [hear_subscribe(&mut line).await, hear_subscribe(&mut line).await];
        assert_eq!((asked[0].subscription, &*asked[0].after), (all, "start/2"), "{over:?}");
        assert_eq!((asked[1].subscription, &*asked[1].after), (late, "@5"));
        begin(&mut line, &asked[0]).await;
        assert_eq!(subscribed(&mut events).await, all);
        say_events(&mut line, all, &[2, 3]).await;
        assert_eq!(published(&mut events, all, 1).await, [3], "{over:?}: none twice");

        session.unsubscribe(all);
        match line.hear().await {
            Some(client_frame::Frame::Unsubscribe(SessionUnsubscribeRequest {
                subscription,
                ..
            })) => assert_eq!(subscription, all),
            other => panic!("{other:?}"),
        }
        // Too late for the one, not for the other.
        say_events(&mut line, all, &[4]).await;
        say_events(&mut line, late, &[9]).await;
        assert_eq!(published(&mut events, late, 1).await, [9], "{over:?}");
    }
}

#[tokio::test]
async fn what_is_refused_for_now_is_asked_for_again_and_what_is_for_good_is_told() {
    for over in Over::ALL {
        let mut gateway = Gateway::listen(over).await;
        let (builder, mut events) = heard(gateway.client().connect("ann"));
        let session = builder.start().unwrap();
        let mut line = gateway.welcome(1).await;
        events.connected().await;
        let number = session.subscribe(Interest::new([">"]), "start").unwrap();
        let mut asked = hear_subscribe(&mut line).await;
        line.refuse(asked.request_id, "unavailable").await;
        asked = hear_subscribe(&mut line).await;
        begin(&mut line, &asked).await;
        assert_eq!(subscribed(&mut events).await, number);
        say_events(&mut line, number, &[1]).await;
        assert_eq!(published(&mut events, number, 1).await, [1]);
        line.refuse(asked.request_id, "slow_consumer").await;
        asked = hear_subscribe(&mut line).await;
        assert_eq!(asked.after, "start/1", "{over:?}");
        line.refuse(asked.request_id, "cursor_expired").await;
        match events.next().await {
            Event::SubscriptionEnded { subscription, error, .. } => {
                assert_eq!((subscription, error.code()), (number, "cursor_expired"));
            }
            other => panic!("{other:?}"),
        }
        // The session goes on.
        assert_eq!(session.subscribe(Interest::new(["a"]), "now"), Ok(number + 1));
        assert_eq!(hear_subscribe(&mut line).await.subscription, number + 1, "{over:?}");
    }
}

#[tokio::test]
async fn a_queue_is_consumed_again_and_what_was_not_settled_comes_again() {
    for over in Over::ALL {
        let mut gateway = Gateway::listen(over).await;
        let (builder, mut events) = heard(gateway.client().connect("ann"));
        let session = builder.start().unwrap();
        let consumer = session.consume("mail", 5).unwrap();
        for session_id in [1, 2] {
            let mut line = gateway.welcome(session_id).await;
            events.connected().await;
            let asked = hear_consume(&mut line).await;
            assert_eq!((asked.consumer, &*asked.queue, asked.prefetch), (consumer, "mail", 5));
            let request_id = asked.request_id;
            let answer = SessionConsumeResponse { consumer, request_id };
            line.say(server_frame::Frame::Consume(answer)).await;
            assert_eq!(
                format!("{:?}", events.next().await),
                format!("Consuming {{ consumer: {consumer} }}")
            );
            let one = SessionDelivery { consumer, delivery: Some(delivery(1)) };
            line.say(server_frame::Frame::Delivery(one)).await;
            let id = match events.next().await {
                Event::Delivered { delivery, .. } => delivery.id,
                other => panic!("{other:?} instead of a delivery"),
            };
            let settlement =
                Settlement { ack: vec![id], ..Settlement::nack(["d2"]) }.with_reason("no");
            let settled = session.settle(consumer, settlement.with_delay(Duration::from_secs(1)));
            let request_id = match line.hear().await {
                Some(client_frame::Frame::Settle(it)) => {
                    let SessionSettleRequest { ack, nack, delay_ms, reason, request_id, .. } = it;
                    assert_eq!((ack, nack), (vec!["d1".into()], vec!["d2".into()]));
                    assert_eq!((delay_ms, &*reason), (1_000, "no"));
                    request_id
                }
                other => panic!("{other:?} instead of a settlement"),
            };
            if session_id == 1 {
                drop(line);
                assert_eq!(settled.await.unwrap_err().code(), "unavailable", "{over:?}");
                events.disconnected().await;
                continue;
            }
            let refused =
                RefusedDelivery { delivery: "d2".to_owned(), code: "conflict".to_owned() };
            let answer = SessionSettleResponse { done: 1, refused: vec![refused], request_id };
            line.say(server_frame::Frame::Settle(answer)).await;
            let settled = settled.await.unwrap();
            assert_eq!((settled.done, &*settled.refused[0].code), (1, "conflict"), "{over:?}");

            // The queue is deleted.
            line.refuse(asked.request_id, "not_found").await;
            assert!(matches!(events.next().await, Event::ConsumerEnded { error, .. }
                if error.code() == "not_found"));
            let other = session.consume("push", 0).unwrap();
            hear_consume(&mut line).await;
            session.cancel(other);
            match line.hear().await {
                Some(client_frame::Frame::Cancel(SessionCancelRequest { consumer, .. })) => {
                    assert_eq!(consumer, other, "{over:?}");
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn an_event_of_any_length_passes_both_ways() {
    for over in Over::ALL {
        let mut gateway = Gateway::listen(over).await;
        let (builder, mut events) = heard(gateway.client().connect("ann"));
        let session = builder.start().unwrap();
        let mut line = gateway.welcome(1).await;
        events.connected().await;
        let data = vec![7; switchboard_client::bus::DATA_BYTES_MAX];
        let several: Vec<_> =
            (0..3).map(|_| session.publish(Draft::new("a", "c", data.clone()))).collect();
        for _ in &several {
            assert_eq!(hear_publish(&mut line).await.data.len(), data.len(), "{over:?}");
        }
        let number = session.subscribe(Interest::new([">"]), "now").unwrap();
        let asked = hear_subscribe(&mut line).await;
        begin(&mut line, &asked).await;
        assert_eq!(subscribed(&mut events).await, number);
        let long = switchboard_proto::v1::Event { data: data.clone(), ..event(1) };
        let long = SessionEvent { subscription: number, event: Some(long) };
        line.say(server_frame::Frame::Event(long)).await;
        assert_eq!(published(&mut events, number, 1).await, [1]);
        let too_long = Draft::new("a", "c", vec![7; FRAME_BYTES_MAX]);
        assert_eq!(session.publish(too_long).await.unwrap_err().code(), "too_large");
    }
}

#[tokio::test]
async fn a_session_that_is_over_takes_no_more() {
    let mut gateway = Gateway::listen(Over::Tcp).await;
    let (builder, mut events) = heard(gateway.client().connect("ann"));
    let session = builder.start().unwrap();
    let mut line = gateway.accept().await;
    line.hello().await;
    line.refuse(0, "forbidden").await;
    drop(line);
    events.next().await;
    events.disconnected().await;
    events.gone().await;
    let refused = session.subscribe(Interest::new([">"]), "now").unwrap_err();
    assert_eq!(refused.code(), "forbidden");
    assert_eq!(session.consume("mail", 0).unwrap_err().code(), "forbidden");
    assert_eq!(session.publish(Draft::new("a", "b", "c")).await.unwrap_err().code(), "forbidden");
}
