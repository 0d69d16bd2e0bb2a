//! The frames of the bus.

use switchboard_core::{
    Code,
    bus::{Content, Cursor, DeadLetter, Delivery, Event, Published, QueueId, Settled},
    session::{BusRequest, Reply, Request, Settle},
};
use switchboard_proto::field::{Fields, Malformed, Value, put_varint, varint_len};

use super::{begin, integer, integer_len, put_integer, put_text, text, text_len};

/// The field numbers of `ClientFrame` and `ServerFrame`.
pub(super) const PUBLISH: u32 = 40;
pub(super) const SUBSCRIBE: u32 = 41;
pub(super) const UNSUBSCRIBE: u32 = 42;
pub(super) const CONSUME: u32 = 43;
pub(super) const CANCEL: u32 = 44;
pub(super) const SETTLE: u32 = 45;
const EVENT: u32 = 46;
const DELIVERY: u32 = 47;

#[inline]
pub(super) fn read_publish(payload: &[u8]) -> Result<Request<'_>, Malformed> {
    let mut content =
        Content { topic: "", kind: "", content_type: "", data: &[], key: None, reply_to: "" };
    let (mut key, mut ephemeral, mut request_id) = ("", false, 0);
    let mut fields = Fields::of(payload);
    while let Some((number, value)) = fields.next_field()? {
        match number {
            1 => content.topic = text(value)?,
            2 => content.kind = text(value)?,
            3 => content.data = bytes(value)?,
            4 => content.content_type = text(value)?,
            5 => key = text(value)?,
            6 => ephemeral = integer(value)? != 0,
            7 => content.reply_to = text(value)?,
            8 => request_id = integer(value)?,
            _ => {}
        }
    }
    Ok(Request::Bus { request_id, request: BusRequest::Publish { content, key, ephemeral } })
}

pub(super) fn read_subscribe(payload: &[u8]) -> Result<Request<'_>, Malformed> {
    let (mut topics, mut types, mut after) = (Vec::new(), Vec::new(), "");
    let (mut subscription, mut request_id) = (0, 0);
    let mut fields = Fields::of(payload);
    while let Some((number, value)) = fields.next_field()? {
        match number {
            1 => subscription = uint32(value)?,
            2 => topics.push(text(value)?),
            3 => types.push(text(value)?),
            4 => after = text(value)?,
            5 => request_id = integer(value)?,
            _ => {}
        }
    }
    let request = BusRequest::Subscribe { subscription, topics, types, after };
    Ok(Request::Bus { request_id, request })
}

/// The two numbers of an `unsubscribe` or `cancel`.
pub(super) fn read_end(
    payload: &[u8],
    request: impl Fn(u32) -> BusRequest<'static>,
) -> Result<Request<'_>, Malformed> {
    let (mut whose, mut request_id) = (0, 0);
    let mut fields = Fields::of(payload);
    while let Some((number, value)) = fields.next_field()? {
        match number {
            1 => whose = uint32(value)?,
            2 => request_id = integer(value)?,
            _ => {}
        }
    }
    Ok(Request::Bus { request_id, request: request(whose) })
}

pub(super) fn read_consume(payload: &[u8]) -> Result<Request<'_>, Malformed> {
    let (mut consumer, mut queue, mut prefetch, mut request_id) = (0, "", 0, 0);
    let mut fields = Fields::of(payload);
    while let Some((number, value)) = fields.next_field()? {
        match number {
            1 => consumer = uint32(value)?,
            2 => queue = text(value)?,
            3 => prefetch = uint32(value)?,
            4 => request_id = integer(value)?,
            _ => {}
        }
    }
    Ok(Request::Bus { request_id, request: BusRequest::Consume { consumer, queue, prefetch } })
}

pub(super) fn read_settle(payload: &[u8]) -> Result<Request<'_>, Malformed> {
    let (mut consumer, mut settle, mut request_id) = (0, Settle::default(), 0);
    let mut fields = Fields::of(payload);
    while let Some((number, value)) = fields.next_field()? {
        match number {
            1 => consumer = uint32(value)?,
            2 => settle.ack.push(text(value)?),
            3 => settle.nack.push(text(value)?),
            4 => settle.delay_ms = uint32(value)?,
            5 => settle.reason = text(value)?,
            6 => request_id = integer(value)?,
            _ => {}
        }
    }
    Ok(Request::Bus { request_id, request: BusRequest::Settle { consumer, settle } })
}

#[inline]
fn bytes(value: Value<'_>) -> Result<&[u8], Malformed> {
    match value {
        Value::Bytes(bytes) => Ok(bytes),
        _ => Err(Malformed),
    }
}

/// What is beyond 32 bits is cut off, as protobuf says.
#[expect(clippy::cast_possible_truncation, reason = "protobuf's rule for what is too wide")]
fn uint32(value: Value<'_>) -> Result<u32, Malformed> {
    integer(value).map(|value| value as u32)
}

/// Appends a frame of the bus; nothing for any other.
pub(super) fn write(reply: &Reply<'_>, out: &mut Vec<u8>) {
    match *reply {
        Reply::Published { request_id, published } => write_published(request_id, published, out),
        Reply::Subscribed { request_id, subscription, cursor } => {
            write_subscribed(request_id, subscription, cursor, out);
        }
        Reply::Unsubscribed { request_id, subscription } => {
            write_about(UNSUBSCRIBE, subscription, request_id, out);
        }
        Reply::Event { subscription, event } => write_event(subscription, event, out),
        Reply::Consuming { request_id, consumer } => {
            write_about(CONSUME, consumer, request_id, out);
        }
        Reply::Cancelled { request_id, consumer } => {
            write_about(CANCEL, consumer, request_id, out);
        }
        Reply::Delivery { consumer, queue, delivery } => {
            write_delivery(consumer, queue, delivery, out);
        }
        Reply::Settled { request_id, done, refused } => {
            write_settled(request_id, (done, refused), out);
        }
        _ => {}
    }
}

fn write_published(request_id: u64, published: Published, out: &mut Vec<u8>) {
    let Published { sequence, new } = published;
    put_numbers(PUBLISH, &[(1, sequence), (2, new.into()), (3, request_id)], out);
}

fn write_subscribed(request_id: u64, subscription: u32, cursor: Cursor, out: &mut Vec<u8>) {
    let (subscription, cursor) = (subscription.into(), cursor.to_string());
    let len = integer_len(subscription) + text_len(&cursor) + integer_len(request_id);
    begin(out, SUBSCRIBE, len);
    put_integer(out, 1, subscription);
    put_text(out, 2, &cursor);
    put_integer(out, 3, request_id);
}

/// An answer that has but the number of whom it is about.
fn write_about(number: u32, whose: u32, request_id: u64, out: &mut Vec<u8>) {
    put_numbers(number, &[(1, whose.into()), (2, request_id)], out);
}

fn put_numbers(number: u32, fields: &[(u8, u64)], out: &mut Vec<u8>) {
    begin(out, number, fields.iter().map(|&(_, value)| integer_len(value)).sum());
    for &(field, value) in fields {
        put_integer(out, field, value);
    }
}

#[inline]
pub(super) fn write_event(subscription: u32, event: &Event, out: &mut Vec<u8>) {
    let (subscription, shape) = (subscription.into(), Shape::of(event));
    begin(out, EVENT, integer_len(subscription) + inner_len(shape.len));
    put_integer(out, 1, subscription);
    put_event(2, event, &shape, out);
}

fn write_delivery(consumer: u32, queue: &QueueId, delivery: &Delivery, out: &mut Vec<u8>) {
    let Delivery { id, event, until } = delivery;
    let (consumer, name) = (consumer.into(), id.written(queue).to_string());
    let (attempt, until) = (id.attempt.into(), until.0.cast_unsigned());
    let shape = Shape::of(event);
    let inner = text_len(&name) + integer_len(attempt) + inner_len(shape.len) + integer_len(until);
    begin(out, DELIVERY, integer_len(consumer) + inner_len(inner));
    put_integer(out, 1, consumer);
    begin_inner(2, inner, out);
    put_text(out, 1, &name);
    put_integer(out, 2, attempt);
    put_event(3, event, &shape, out);
    put_integer(out, 4, until);
}

fn write_settled(request_id: u64, (done, refused): (u32, &[(String, Settled)]), out: &mut Vec<u8>) {
    let code = |settled: Settled| settled.refusal().map_or("", Code::as_str);
    let one_len = |(name, settled): &(String, Settled)| text_len(name) + text_len(code(*settled));
    let len = refused.iter().map(|one| inner_len(one_len(one))).sum::<usize>();
    begin(out, SETTLE, integer_len(done.into()) + len + integer_len(request_id));
    put_integer(out, 1, done.into());
    for one in refused {
        begin_inner(2, one_len(one), out);
        put_text(out, 1, &one.0);
        put_text(out, 2, code(one.1));
    }
    put_integer(out, 3, request_id);
}

/// How long an event is, and what must be known for that.
struct Shape {
    len: usize,
    dead_letter: Option<DeadLetter>,
}

impl Shape {
    #[inline]
    fn of(event: &Event) -> Self {
        let Event { sequence, at, body } = event;
        let dead_letter = body.dead_letter();
        let len = integer_len(*sequence)
            + text_len(body.topic())
            + text_len(body.kind())
            + bytes_len(body.data())
            + text_len(body.content_type())
            + integer_len(at.0.cast_unsigned())
            + text_len(body.reply_to())
            + dead_letter.as_ref().map_or(0, |letter| inner_len(letter_len(letter)));
        Self { len, dead_letter }
    }
}

#[inline]
fn put_event(number: u8, event: &Event, shape: &Shape, out: &mut Vec<u8>) {
    let Event { sequence, at, body } = event;
    begin_inner(number, shape.len, out);
    put_integer(out, 1, *sequence);
    put_text(out, 2, body.topic());
    put_text(out, 3, body.kind());
    put_bytes(out, 4, body.data());
    put_text(out, 5, body.content_type());
    put_integer(out, 6, at.0.cast_unsigned());
    put_text(out, 7, body.reply_to());
    if let Some(letter) = &shape.dead_letter {
        begin_inner(8, letter_len(letter), out);
        put_text(out, 1, &letter.queue);
        put_text(out, 2, &letter.reason);
        put_integer(out, 3, letter.attempts.into());
        put_text(out, 4, &letter.topic);
        put_integer(out, 5, letter.sequence);
    }
}

fn letter_len(letter: &DeadLetter) -> usize {
    text_len(&letter.queue)
        + text_len(&letter.reason)
        + integer_len(letter.attempts.into())
        + text_len(&letter.topic)
        + integer_len(letter.sequence)
}

fn begin_inner(number: u8, len: usize, out: &mut Vec<u8>) {
    out.push(number << 3 | 2);
    put_varint(out, len as u64);
}

fn inner_len(len: usize) -> usize {
    1 + varint_len(len as u64) + len
}

fn bytes_len(bytes: &[u8]) -> usize {
    if bytes.is_empty() { 0 } else { inner_len(bytes.len()) }
}

fn put_bytes(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    if !bytes.is_empty() {
        begin_inner(number, bytes.len(), out);
        out.extend_from_slice(bytes);
    }
}
