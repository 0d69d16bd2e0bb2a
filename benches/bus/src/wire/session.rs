//! Switchboard's sessions over plain TCP.

use prost::Message as _;
use switchboard_peers::Error;
use switchboard_proto::{
    field::put_varint,
    frame,
    v1::{
        ClientFrame, ErrorMessage, Hello, Pong, SessionConsumeRequest, SessionPublishRequest,
        SessionSettleResponse, SessionSubscribeRequest, Status, client_frame,
    },
};

use super::{Acks, Found, Kind, PREFETCH, QUEUE, Role, TOPIC, Wire};
use crate::link::Link;

/// A page of the node's that is longer would not be one of this benchmark.
const FRAME_BYTES_MAX: usize = 2 << 20;

/// The numbers of frames of a node.
const ERROR: u32 = 3;
const WELCOME: u32 = 4;
const PING: u32 = 5;
const PUBLISHED: u32 = 40;
const SUBSCRIBED: u32 = 41;
const CONSUMING: u32 = 43;
const SETTLED: u32 = 45;
const EVENT: u32 = 46;
const DELIVERY: u32 = 47;

/// The tags of a client's `settle`, and of its `consumer`, `ack` and `request_id`.
const SETTLE_TAG: u64 = 45 << 3 | 2;
const CONSUMER_TAG: u8 = 1 << 3;
const ACK_TAG: u8 = 2 << 3 | 2;
const REQUEST_TAG: u8 = 6 << 3;

#[derive(Debug)]
pub(crate) struct Session;

fn put(frame: client_frame::Frame, out: &mut Vec<u8>) {
    // Appends: the stream is one endless message.
    let _ = ClientFrame { frame: Some(frame) }.encode(out);
}

fn bytes_of(frame: client_frame::Frame) -> Vec<u8> {
    ClientFrame { frame: Some(frame) }.encode_to_vec()
}

/// Adds a subscription of a session, with a number of its own.
pub(crate) fn subscribe(number: u32, filter: String, out: &mut Vec<u8>) {
    let subscribe = SessionSubscribeRequest {
        subscription: number,
        topics: vec![filter],
        types: Vec::new(),
        after: "now".to_owned(),
        request_id: number.into(),
    };
    put(client_frame::Frame::Subscribe(subscribe), out);
}

/// Publishes to a topic what is not kept.
pub(crate) fn publish_to(topic: String, data: &[u8], out: &mut Vec<u8>) {
    let publish = SessionPublishRequest {
        topic,
        r#type: "t".to_owned(),
        data: data.to_vec(),
        ephemeral: true,
        ..SessionPublishRequest::default()
    };
    put(client_frame::Frame::Publish(publish), out);
}

impl Wire for Session {
    #[inline]
    fn scan(&self, came: &[u8]) -> Result<Option<Found>, Error> {
        let Some(frame) = frame::next(came, FRAME_BYTES_MAX)? else { return Ok(None) };
        let kind = match frame.number {
            EVENT | DELIVERY => Kind::Event,
            PUBLISHED | SETTLED => Kind::Answer,
            PING => Kind::Ping,
            WELCOME | SUBSCRIBED | CONSUMING => Kind::Ready,
            ERROR => {
                let ErrorMessage { code, content, .. } = ErrorMessage::decode(frame.payload)?;
                return Err(format!("refused: {code}: {content}").into());
            }
            _ => Kind::Other,
        };
        Ok(Some(Found { len: frame.whole.len(), kind }))
    }

    fn greet(&self, link: &mut Link, number: usize, role: Role) -> Result<(), Error> {
        let client = format!("bench-{number}");
        let hello = Hello { tenant: "default".to_owned(), client, ..Hello::default() };
        link.ask(self, &bytes_of(client_frame::Frame::Hello(hello)))?;
        let subscribe = |after: &str| {
            bytes_of(client_frame::Frame::Subscribe(SessionSubscribeRequest {
                subscription: 1,
                topics: vec![TOPIC.to_owned()],
                types: Vec::new(),
                after: after.to_owned(),
                request_id: 1,
            }))
        };
        match role {
            Role::Publish | Role::PublishKept => Ok(()),
            Role::Subscribe => link.ask(self, &subscribe("now")),
            Role::Replay => link.ask(self, &subscribe("start")),
            Role::Consume => {
                let consume = client_frame::Frame::Consume(SessionConsumeRequest {
                    consumer: 1,
                    queue: QUEUE.to_owned(),
                    prefetch: PREFETCH.into(),
                    request_id: 1,
                });
                link.ask(self, &bytes_of(consume))
            }
        }
    }

    fn publish(&self, _from: usize, kept: bool, data: &[u8], out: &mut Vec<u8>) {
        let publish = SessionPublishRequest {
            topic: TOPIC.to_owned(),
            r#type: "t".to_owned(),
            data: data.to_vec(),
            ephemeral: !kept,
            request_id: kept.into(),
            ..SessionPublishRequest::default()
        };
        put(client_frame::Frame::Publish(publish), out);
    }

    fn pong(&self, out: &mut Vec<u8>) {
        let pong = Pong { status: Status::Even.into(), sequence: 0 };
        put(client_frame::Frame::Pong(pong), out);
    }

    fn note(&self, message: &[u8], acks: &mut Acks) {
        let Some(name) = name_of(message) else { return };
        acks.bytes.push(ACK_TAG);
        put_varint(&mut acks.bytes, name.len() as u64);
        acks.bytes.extend_from_slice(name);
        acks.count += 1;
    }

    fn settle(&self, acks: &mut Acks, out: &mut Vec<u8>) -> u64 {
        if 0 < acks.count {
            put_varint(out, SETTLE_TAG);
            put_varint(out, acks.bytes.len() as u64 + 4);
            out.extend_from_slice(&[CONSUMER_TAG, 1]);
            out.append(&mut acks.bytes);
            out.extend_from_slice(&[REQUEST_TAG, 1]);
            acks.count = 0;
        }
        0
    }

    fn settled(&self, answer: &[u8]) -> Result<u64, Error> {
        let Some(frame) = frame::next(answer, FRAME_BYTES_MAX)? else { return Ok(0) };
        let SessionSettleResponse { done, refused, .. } =
            SessionSettleResponse::decode(frame.payload)?;
        if refused.is_empty() {
            Ok(done.into())
        } else {
            Err(format!("not settled: {refused:?}").into())
        }
    }
}

/// What a delivery is settled by: the first field of what is the second of its frame.
fn name_of(message: &[u8]) -> Option<&[u8]> {
    let frame = frame::next(message, FRAME_BYTES_MAX).ok()??;
    // The number of the consumer, which is 1.
    let payload = frame.payload.strip_prefix(&[CONSUMER_TAG, 1])?;
    if frame.number != DELIVERY {
        return None;
    }
    let delivery = frame::next(payload, FRAME_BYTES_MAX).ok()??;
    let name = frame::next(delivery.payload, FRAME_BYTES_MAX).ok()??;
    (delivery.number == 2 && name.number == 1).then_some(name.payload)
}

#[cfg(test)]
mod tests {
    use switchboard_proto::v1::{
        Delivery, Event, ServerFrame, SessionDelivery, SessionSettleRequest, server_frame,
    };

    use super::*;

    #[test]
    fn deliveries_are_acknowledged_by_their_names() {
        let mut acks = Acks::default();
        for name in ["d-1", "d-22"] {
            let event = Some(Event { data: vec![7; 128], ..Event::default() });
            let delivery = Delivery { delivery: name.to_owned(), event, ..Delivery::default() };
            let delivery = SessionDelivery { consumer: 1, delivery: Some(delivery) };
            let frame = Some(server_frame::Frame::Delivery(delivery));
            let came = ServerFrame { frame }.encode_to_vec();
            let found = Session.scan(&came).unwrap().unwrap();
            assert_eq!(found, Found { len: came.len(), kind: Kind::Event });
            Session.note(&came, &mut acks);
        }
        let mut out = Vec::new();
        Session.settle(&mut acks, &mut out);
        let expected = SessionSettleRequest {
            consumer: 1,
            ack: vec!["d-1".to_owned(), "d-22".to_owned()],
            request_id: 1,
            ..SessionSettleRequest::default()
        };
        assert_eq!(out, bytes_of(client_frame::Frame::Settle(expected)));
        assert_eq!((acks.count, acks.bytes.len()), (0, 0));
    }
}
