//! The frames of a session, between the rules' words and bytes.
//!
//! Written by hand, because echo and pong come in floods: read where they lie, written into a
//! buffer that is there. A test holds both against the generated types.

mod bus;
mod chat;

use switchboard_core::{
    Code, Error, Result,
    bus::Event,
    presence::Status,
    session::{BusRequest, Reply, Request},
};
use switchboard_proto::{
    field::{Fields, Malformed, Value, put_varint, varint_len},
    frame::Frame,
};

/// The field numbers of `ClientFrame` and `ServerFrame`.
const ECHO: u32 = 1;
const ADD: u32 = 2;
const HELLO: u32 = 3;
const PONG: u32 = 4;
const INGEST: u32 = 5;
const ERROR: u32 = 3;
const WELCOME: u32 = 4;
const PING: u32 = 5;
const INGESTED: u32 = 6;
const DRAIN: u32 = 7;

/// Reads the frame with this field number.
///
/// # Errors
///
/// [`Code::InvalidRequest`] when the payload is not the message of this number.
#[inline]
pub(crate) fn read(number: u32, payload: &[u8]) -> Result<Request<'_>> {
    let request = match number {
        ECHO => echo(payload),
        ADD => add(payload),
        HELLO => hello(payload),
        PONG => pong(payload),
        INGEST => ingest(payload),
        chat::SEND => chat::read_send(payload),
        chat::ACKNOWLEDGE => chat::read_acknowledge(payload),
        chat::FOLLOW => chat::read_follow(payload),
        chat::TYPING => chat::read_typing(payload),
        bus::PUBLISH => bus::read_publish(payload),
        bus::SUBSCRIBE => bus::read_subscribe(payload),
        bus::UNSUBSCRIBE => {
            bus::read_end(payload, |subscription| BusRequest::Unsubscribe { subscription })
        }
        bus::CONSUME => bus::read_consume(payload),
        bus::CANCEL => bus::read_end(payload, |consumer| BusRequest::Cancel { consumer }),
        bus::SETTLE => bus::read_settle(payload),
        number => Ok(Request::Unknown { number }),
    };
    request.map_err(|Malformed| {
        let what = format!("frame {number} is not the protobuf message of this number");
        Error::new(Code::InvalidRequest, what)
    })
}

/// Whether a frame is an echo, written as everybody writes it: so its answer is the same bytes.
#[inline]
pub(crate) fn is_echo(frame: &Frame<'_>) -> bool {
    // Tag and length of a text of up to 127 bytes; all others take the general way.
    match *frame.payload {
        [0x0a, len, ref text @ ..] if frame.number == ECHO && 0 < len && len < 0x80 => {
            text.len() == usize::from(len) && str::from_utf8(text).is_ok()
        }
        _ => false,
    }
}

#[inline]
fn echo(payload: &[u8]) -> Result<Request<'_>, Malformed> {
    let (mut content, mut request_id) = ("", 0);
    let mut fields = Fields::of(payload);
    while let Some((number, value)) = fields.next_field()? {
        match number {
            1 => content = text(value)?,
            2 => request_id = integer(value)?,
            _ => {}
        }
    }
    Ok(Request::Echo { request_id, content })
}

fn add(payload: &[u8]) -> Result<Request<'_>, Malformed> {
    let (mut a, mut b, mut request_id) = (0, 0, 0);
    let mut fields = Fields::of(payload);
    while let Some((number, value)) = fields.next_field()? {
        match number {
            1 => a = int32(value)?,
            2 => b = int32(value)?,
            3 => request_id = integer(value)?,
            _ => {}
        }
    }
    Ok(Request::Add { request_id, a, b })
}

fn hello(payload: &[u8]) -> Result<Request<'_>, Malformed> {
    let (mut tenant, mut client, mut cursor, mut traceparent) = ("", "", None, "");
    let mut fields = Fields::of(payload);
    while let Some((number, value)) = fields.next_field()? {
        match number {
            1 => tenant = text(value)?,
            2 => client = text(value)?,
            3 => cursor = Some(text(value)?),
            4 => traceparent = text(value)?,
            _ => {}
        }
    }
    Ok(Request::Hello { tenant, client, cursor, traceparent })
}

#[inline]
fn pong(payload: &[u8]) -> Result<Request<'_>, Malformed> {
    let mut status = Status::Unknown;
    let mut fields = Fields::of(payload);
    while let Some((number, value)) = fields.next_field()? {
        if number == 1 {
            status = match integer(value)? {
                1 => Status::Even,
                2 => Status::Odd,
                // One of a later version is not known here either.
                _ => Status::Unknown,
            };
        }
    }
    Ok(Request::Pong { status })
}

fn ingest(payload: &[u8]) -> Result<Request<'_>, Malformed> {
    let (mut key, mut request_id) = ("", 0);
    let mut fields = Fields::of(payload);
    while let Some((number, value)) = fields.next_field()? {
        match number {
            1 => key = text(value)?,
            2 => request_id = integer(value)?,
            _ => {}
        }
    }
    Ok(Request::Ingest { request_id, key })
}

#[inline]
fn text(value: Value<'_>) -> Result<&str, Malformed> {
    match value {
        Value::Bytes(bytes) => str::from_utf8(bytes).map_err(|_| Malformed),
        _ => Err(Malformed),
    }
}

#[inline]
fn integer(value: Value<'_>) -> Result<u64, Malformed> {
    match value {
        Value::Varint(value) => Ok(value),
        _ => Err(Malformed),
    }
}

/// An `int32` is written as 64 bits; what is beyond 32 is cut off, as protobuf says.
#[expect(clippy::cast_possible_truncation, reason = "protobuf's rule for what is too wide")]
fn int32(value: Value<'_>) -> Result<i32, Malformed> {
    integer(value).map(|value| value as i32)
}

/// Appends a frame.
#[inline]
pub(crate) fn write(reply: &Reply<'_>, out: &mut Vec<u8>) {
    match reply {
        Reply::Echo { request_id, content } => {
            begin(out, ECHO, text_len(content) + integer_len(*request_id));
            put_text(out, 1, content);
            put_integer(out, 2, *request_id);
        }
        Reply::Sum { request_id, result } => {
            let result = i64::from(*result).cast_unsigned();
            begin(out, ADD, integer_len(result) + integer_len(*request_id));
            put_integer(out, 1, result);
            put_integer(out, 2, *request_id);
        }
        Reply::Error { request_id, error } => {
            let (content, code) = (error.to_string(), error.code().as_str());
            let len = text_len(&content) + text_len(code) + integer_len(*request_id);
            begin(out, ERROR, len);
            put_text(out, 1, &content);
            put_text(out, 2, code);
            put_integer(out, 3, *request_id);
        }
        Reply::Welcome { session_id, ping_interval_ms } => {
            let interval = (*ping_interval_ms).into();
            begin(out, WELCOME, integer_len(*session_id) + integer_len(interval));
            put_integer(out, 1, *session_id);
            put_integer(out, 2, interval);
        }
        Reply::Ping { sequence } => {
            begin(out, PING, integer_len(*sequence));
            put_integer(out, 1, *sequence);
        }
        Reply::Recorded { request_id, receipt, at } => {
            let at = at.0.cast_unsigned();
            let len = integer_len(at)
                + integer_len(receipt.id)
                + integer_len(receipt.new.into())
                + integer_len(*request_id);
            begin(out, INGESTED, len);
            put_integer(out, 1, at);
            put_integer(out, 2, receipt.id);
            put_integer(out, 3, receipt.new.into());
            put_integer(out, 4, *request_id);
        }
        Reply::Sent { request_id, sent } => chat::write_sent(*request_id, sent, out),
        Reply::Marked { request_id, marks } => chat::write_marked(*request_id, *marks, out),
        Reply::Following { request_id, cursor } => {
            chat::write_following(*request_id, cursor, out);
        }
        Reply::Happened { user, entry, cursor } => chat::write_entry(*user, entry, cursor, out),
        Reply::Typing { peer, typing } => chat::write_typing(*peer, *typing, out),
        Reply::Drain { delay_ms } => {
            let delay = (*delay_ms).into();
            begin(out, DRAIN, integer_len(delay));
            put_integer(out, 1, delay);
        }
        reply => bus::write(reply, out),
    }
}

/// Appends the frame of an event for a subscription.
#[inline]
pub(crate) fn write_event(subscription: u32, event: &Event, out: &mut Vec<u8>) {
    bus::write_event(subscription, event, out);
}

#[inline]
fn begin(out: &mut Vec<u8>, number: u32, len: usize) {
    put_varint(out, u64::from(number << 3 | 2));
    put_varint(out, len as u64);
}

// Field numbers within frames are below 16: their tags are one byte. What is the default is left
// out, as protobuf does.

#[inline]
fn text_len(text: &str) -> usize {
    if text.is_empty() { 0 } else { 1 + varint_len(text.len() as u64) + text.len() }
}

#[inline]
fn put_text(out: &mut Vec<u8>, number: u8, text: &str) {
    if !text.is_empty() {
        out.push(number << 3 | 2);
        put_varint(out, text.len() as u64);
        out.extend_from_slice(text.as_bytes());
    }
}

#[inline]
fn integer_len(value: u64) -> usize {
    if value == 0 { 0 } else { 1 + varint_len(value) }
}

#[inline]
fn put_integer(out: &mut Vec<u8>, number: u8, value: u64) {
    if value != 0 {
        out.push(number << 3);
        put_varint(out, value);
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use self::tests::chat_examples;
