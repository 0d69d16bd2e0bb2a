//! Frames of the bus and what they mean: both encodings are held against these.

use switchboard_core::{
    Millis,
    bus::{
        Body, Content, Cursor, DATA_BYTES_MAX, DeadLetter, Delivery, DeliveryId, Event, Published,
        QueueId, QueueName, Settled, Topic,
    },
    session::{BusRequest, Reply, Request, Settle},
};
use switchboard_proto::v1::{self, client_frame, server_frame};

fn text(text: &str) -> String {
    text.to_owned()
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().copied().map(text).collect()
}

/// What clients send, and how it is read: with every field, and with none.
pub(crate) fn requests() -> Vec<(client_frame::Frame, Request<'static>)> {
    use client_frame::Frame;
    let bus = |request_id, request| Request::Bus { request_id, request };
    let (topics, types) = (&["a.*", "b.>"], &["x", "y"]);
    let subscribe = v1::SessionSubscribeRequest {
        subscription: u32::MAX,
        topics: texts(topics),
        types: texts(types),
        after: text("start"),
        request_id: 300,
    };
    let subscribed = BusRequest::Subscribe {
        subscription: u32::MAX,
        topics: topics.into(),
        types: types.into(),
        after: "start",
    };
    let nothing =
        BusRequest::Subscribe { subscription: 0, topics: vec![], types: vec![], after: "" };
    let unsubscribe = v1::SessionUnsubscribeRequest { subscription: 7, request_id: 1 };
    let consume = v1::SessionConsumeRequest {
        consumer: 2,
        queue: text("work"),
        prefetch: 10_000,
        request_id: 8,
    };
    let consumed = BusRequest::Consume { consumer: 2, queue: "work", prefetch: 10_000 };
    let cancel = v1::SessionCancelRequest { consumer: 3, request_id: u64::MAX };
    let none = BusRequest::Consume { consumer: 0, queue: "", prefetch: 0 };
    let mut all = published();
    all.extend([
        (Frame::Subscribe(subscribe), bus(300, subscribed)),
        (Frame::Subscribe(v1::SessionSubscribeRequest::default()), bus(0, nothing)),
        (Frame::Unsubscribe(unsubscribe), bus(1, BusRequest::Unsubscribe { subscription: 7 })),
        (
            Frame::Unsubscribe(v1::SessionUnsubscribeRequest::default()),
            bus(0, BusRequest::Unsubscribe { subscription: 0 }),
        ),
        (Frame::Consume(consume), bus(8, consumed)),
        (Frame::Consume(v1::SessionConsumeRequest::default()), bus(0, none)),
        (Frame::Cancel(cancel), bus(u64::MAX, BusRequest::Cancel { consumer: 3 })),
        (
            Frame::Cancel(v1::SessionCancelRequest::default()),
            bus(0, BusRequest::Cancel { consumer: 0 }),
        ),
    ]);
    all.extend(settled());
    all
}

fn published() -> Vec<(client_frame::Frame, Request<'static>)> {
    let one = |sent: v1::SessionPublishRequest, content, key, ephemeral| {
        let request = BusRequest::Publish { content, key, ephemeral };
        let request = Request::Bus { request_id: sent.request_id, request };
        (client_frame::Frame::Publish(sent), request)
    };
    let content = |data| Content {
        topic: "orders.eu",
        kind: "created",
        content_type: "a/b",
        data,
        key: None,
        reply_to: "answers.1",
    };
    let none =
        Content { topic: "", kind: "", content_type: "", data: b"", key: None, reply_to: "" };
    let mut all = vec![one(v1::SessionPublishRequest::default(), none, "", false)];
    for data in [b"".to_vec(), b"\0\xff\n\"Zo\xc3\xab".to_vec(), vec![0xfb; DATA_BYTES_MAX]] {
        let data: &'static [u8] = data.leak();
        let sent = v1::SessionPublishRequest {
            topic: text("orders.eu"),
            r#type: text("created"),
            data: data.to_vec(),
            content_type: text("a/b"),
            key: text("7f 🦀"),
            ephemeral: true,
            reply_to: text("answers.1"),
            request_id: 4,
        };
        all.push(one(sent, content(data), "7f 🦀", true));
    }
    all
}

fn settled() -> Vec<(client_frame::Frame, Request<'static>)> {
    let one = |sent: v1::SessionSettleRequest, settle| {
        let request = BusRequest::Settle { consumer: sent.consumer, settle };
        let request = Request::Bus { request_id: sent.request_id, request };
        (client_frame::Frame::Settle(sent), request)
    };
    let (ack, nack) = (&["1-1-00000000", "", "3"], &["2-7-00000000"]);
    let sent = v1::SessionSettleRequest {
        consumer: 5,
        ack: texts(ack),
        nack: texts(nack),
        delay_ms: 43_200_000,
        reason: text("no \"stock\""),
        request_id: 6,
    };
    let said =
        Settle { ack: ack.into(), nack: nack.into(), delay_ms: 43_200_000, reason: "no \"stock\"" };
    vec![one(sent, said), one(v1::SessionSettleRequest::default(), Settle::default())]
}

/// What a node sends, and what it means: with every field, and with as few as there can be.
pub(crate) fn replies(mut check: impl FnMut(&Reply<'_>, server_frame::Frame)) {
    use server_frame::Frame;
    for (sequence, new, request_id) in [(0, false, 0), (u64::MAX, true, 300), (128, false, 1)] {
        let published = Published { sequence, new };
        let expected = v1::SessionPublishResponse { sequence, new, request_id };
        check(&Reply::Published { request_id, published }, Frame::Publish(expected));
    }
    for (whose, request_id) in [(1, 0), (u32::MAX, u64::MAX), (0, 5)] {
        let (subscription, consumer) = (whose, whose);
        let cursor = Cursor::new(&"a".parse().unwrap(), request_id, 3);
        let began =
            v1::SessionSubscribeResponse { subscription, cursor: cursor.to_string(), request_id };
        check(&Reply::Subscribed { request_id, subscription, cursor }, Frame::Subscribe(began));
        let ended = v1::SessionUnsubscribeResponse { subscription, request_id };
        check(&Reply::Unsubscribed { request_id, subscription }, Frame::Unsubscribe(ended));
        let consuming = v1::SessionConsumeResponse { consumer, request_id };
        check(&Reply::Consuming { request_id, consumer }, Frame::Consume(consuming));
        let cancelled = v1::SessionCancelResponse { consumer, request_id };
        check(&Reply::Cancelled { request_id, consumer }, Frame::Cancel(cancelled));
    }
    let queue = QueueId { tenant: "a".parse().unwrap(), name: QueueName::new("work").unwrap() };
    for (event, expected) in events() {
        for number in [1, 15, 16, u32::MAX] {
            let told = v1::SessionEvent { subscription: number, event: Some(expected.clone()) };
            check(&Reply::Event { subscription: number, event: &event }, Frame::Event(told));
        }
        let id = DeliveryId { sequence: event.sequence, attempt: 300 };
        let delivery = Delivery { id, event, until: Millis(1_790_000_030_000) };
        let expected = v1::Delivery {
            delivery: id.written(&queue).to_string(),
            attempt: 300,
            event: Some(expected),
            until: 1_790_000_030_000,
        };
        let given = v1::SessionDelivery { consumer: 3, delivery: Some(expected) };
        let reply = Reply::Delivery { consumer: 3, queue: &queue, delivery: &delivery };
        check(&reply, Frame::Delivery(given));
    }
    let refused = [("1-1-00000000", Settled::Late), ("", Settled::Unknown)];
    let refused = refused.map(|(name, settled)| (text(name), settled));
    let told = |delivery: &str, code: &str| v1::RefusedDelivery {
        delivery: text(delivery),
        code: text(code),
    };
    let all = [told("1-1-00000000", "conflict"), told("", "not_found")];
    for (done, count, request_id) in [(0, 0, 0), (1_000, 0, 2), (0, 1, 3), (998, 2, 0)] {
        let reply = Reply::Settled { request_id, done, refused: &refused[..count] };
        let refused = all[..count].to_vec();
        check(&reply, Frame::Settle(v1::SessionSettleResponse { done, refused, request_id }));
    }
}

/// Events, and how they are told.
fn events() -> Vec<(Event, v1::Event)> {
    let one = |sequence, at, body: Body| {
        let told = v1::Event {
            sequence,
            topic: text(body.topic()),
            r#type: text(body.kind()),
            data: body.data().to_vec(),
            content_type: text(body.content_type()),
            at,
            reply_to: text(body.reply_to()),
            dead_letter: None,
        };
        (Event { sequence, at: Millis(at), body }, told)
    };
    let least =
        Content { topic: "a", kind: "x", content_type: "", data: b"", key: None, reply_to: "" };
    let long = "x".repeat(256);
    let most = Content {
        topic: &long,
        kind: &long[..128],
        content_type: "application/json",
        data: b"{\"a\": \"Zo\xc3\xab\"}\n",
        key: None,
        reply_to: &long,
    };
    let big = Content { data: &vec![0xfb; DATA_BYTES_MAX], ..least };
    let body = |content: &Content<'_>| Body::new(content).unwrap();
    let mut all = vec![
        one(0, 0, body(&least)),
        one(u64::MAX, 1_790_000_000_000, body(&most)),
        one(70_000, 1, body(&big)),
    ];
    for (queue, reason, attempts, topic, sequence) in
        [("work", "no \"stock\"", 300, &*long, u64::MAX), ("w", "", 1, "a", 1)]
    {
        let letter = DeadLetter {
            queue: queue.into(),
            reason: reason.into(),
            attempts,
            topic: topic.into(),
            sequence,
        };
        let topic = Topic::new("sys.dead_letters.work").unwrap();
        let (event, mut told) = one(9, 1, body(&most).given_up(&topic, &letter));
        told.dead_letter = Some(v1::DeadLetter {
            queue: text(&letter.queue),
            reason: text(&letter.reason),
            attempts: letter.attempts,
            topic: text(&letter.topic),
            sequence: letter.sequence,
        });
        all.push((event, told));
    }
    all
}
