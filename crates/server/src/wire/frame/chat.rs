//! The frames of chats.

use switchboard_core::{
    chat::{Entry, Happening, Marks, Message, MessageStatus, PhoneNumber, Sent, Written},
    session::{ChatRequest, Request},
};
use switchboard_proto::field::{Fields, Malformed, put_varint, varint_len};

use super::{begin, integer, integer_len, put_integer, put_text, text, text_len};

/// The field numbers of `ClientFrame` and `ServerFrame`.
pub(super) const SEND: u32 = 20;
pub(super) const ACKNOWLEDGE: u32 = 21;
pub(super) const FOLLOW: u32 = 22;
pub(super) const TYPING: u32 = 23;
const INBOX: u32 = 22;
const FOLLOWING: u32 = 24;

/// The longest cursor of an inbox: a number and a tag.
const CURSOR_MAX: usize = 32;

pub(super) fn read_send(payload: &[u8]) -> Result<Request<'_>, Malformed> {
    let (mut to, mut written, mut client_message_id, mut traceparent) = ("", "", "", "");
    let mut request_id = 0;
    let mut fields = Fields::of(payload);
    while let Some((number, value)) = fields.next_field()? {
        match number {
            1 => to = text(value)?,
            2 => written = text(value)?,
            3 => client_message_id = text(value)?,
            4 => request_id = integer(value)?,
            5 => traceparent = text(value)?,
            _ => {}
        }
    }
    let request = ChatRequest::Send { to, text: written, client_message_id, traceparent };
    Ok(Request::Chat { request_id, request })
}

pub(super) fn read_acknowledge(payload: &[u8]) -> Result<Request<'_>, Malformed> {
    let (mut peer, mut delivered_up_to, mut read_up_to, mut request_id) = ("", None, None, 0);
    let mut fields = Fields::of(payload);
    while let Some((number, value)) = fields.next_field()? {
        match number {
            1 => peer = text(value)?,
            2 => delivered_up_to = Some(integer(value)?),
            3 => read_up_to = Some(integer(value)?),
            4 => request_id = integer(value)?,
            _ => {}
        }
    }
    let request = ChatRequest::Acknowledge { peer, delivered_up_to, read_up_to };
    Ok(Request::Chat { request_id, request })
}

pub(super) fn read_follow(payload: &[u8]) -> Result<Request<'_>, Malformed> {
    let (mut after, mut request_id) = ("", 0);
    let mut fields = Fields::of(payload);
    while let Some((number, value)) = fields.next_field()? {
        match number {
            1 => after = text(value)?,
            2 => request_id = integer(value)?,
            _ => {}
        }
    }
    Ok(Request::Chat { request_id, request: ChatRequest::Follow { after } })
}

pub(super) fn read_typing(payload: &[u8]) -> Result<Request<'_>, Malformed> {
    let (mut peer, mut typing) = ("", false);
    let mut fields = Fields::of(payload);
    while let Some((number, value)) = fields.next_field()? {
        match number {
            1 => peer = text(value)?,
            2 => typing = integer(value)? != 0,
            _ => {}
        }
    }
    Ok(Request::Chat { request_id: 0, request: ChatRequest::Typing { peer, typing } })
}

pub(super) fn write_sent(request_id: u64, sent: &Sent, out: &mut Vec<u8>) {
    let Sent { message, status, new } = sent;
    let (at, status, new) = (message.sent_at.0.cast_unsigned(), number_of(*status), (*new).into());
    let numbers = [(1, message.id), (2, at), (3, status), (4, new), (5, request_id)];
    write_numbers(SEND, &numbers, out);
}

pub(super) fn write_marked(request_id: u64, marks: Marks, out: &mut Vec<u8>) {
    let Marks { delivered_up_to, read_up_to } = marks;
    write_numbers(ACKNOWLEDGE, &[(1, delivered_up_to), (2, read_up_to), (3, request_id)], out);
}

fn write_numbers(number: u32, fields: &[(u8, u64)], out: &mut Vec<u8>) {
    begin(out, number, fields.iter().map(|&(_, value)| integer_len(value)).sum());
    for &(field, value) in fields {
        put_integer(out, field, value);
    }
}

pub(super) fn write_following(request_id: u64, cursor: &Written, out: &mut Vec<u8>) {
    let mut short = Short::default();
    let cursor = short.write(cursor);
    begin(out, FOLLOWING, text_len(cursor) + integer_len(request_id));
    put_text(out, 1, cursor);
    put_integer(out, 2, request_id);
}

pub(super) fn write_typing(peer: PhoneNumber, typing: bool, out: &mut Vec<u8>) {
    begin(out, TYPING, phone_len(peer) + integer_len(typing.into()));
    put_phone(out, 1, peer);
    put_integer(out, 2, typing.into());
}

pub(super) fn write_entry(user: PhoneNumber, entry: &Entry, cursor: &Written, out: &mut Vec<u8>) {
    let mut short = Short::default();
    let cursor = short.write(cursor);
    let Entry { sequence, what } = entry;
    let (field, inner) = match what {
        Happening::Message(message) => (3, message_len(user, message)),
        Happening::Delivered { peer, up_to, at } => (4, receipt_len(*peer, *up_to, at.0)),
        Happening::Read { peer, up_to, at } => (5, receipt_len(*peer, *up_to, at.0)),
    };
    let head = integer_len(*sequence) + text_len(cursor);
    begin(out, INBOX, head + 1 + varint_len(inner as u64) + inner);
    put_integer(out, 1, *sequence);
    put_text(out, 2, cursor);
    out.push(field << 3 | 2);
    put_varint(out, inner as u64);
    match what {
        Happening::Message(message) => put_message(user, message, out),
        Happening::Delivered { peer, up_to, at } | Happening::Read { peer, up_to, at } => {
            put_phone(out, 1, *peer);
            put_integer(out, 2, *up_to);
            put_integer(out, 3, at.0.cast_unsigned());
        }
    }
}

fn receipt_len(peer: PhoneNumber, up_to: u64, at: i64) -> usize {
    phone_len(peer) + integer_len(up_to) + integer_len(at.cast_unsigned())
}

/// What the sender called a message is told to him alone.
fn own_id(user: PhoneNumber, message: &Message) -> &str {
    if message.from == user { message.client_message_id.as_str() } else { "" }
}

fn message_len(user: PhoneNumber, message: &Message) -> usize {
    integer_len(message.id)
        + phone_len(message.peer_of(user))
        + phone_len(message.from)
        + phone_len(message.to)
        + text_len(message.text.as_str())
        + integer_len(message.sent_at.0.cast_unsigned())
        + integer_len(number_of(MessageStatus::Sent))
        + text_len(own_id(user, message))
}

fn put_message(user: PhoneNumber, message: &Message, out: &mut Vec<u8>) {
    put_integer(out, 1, message.id);
    put_phone(out, 2, message.peer_of(user));
    put_phone(out, 3, message.from);
    put_phone(out, 4, message.to);
    put_text(out, 5, message.text.as_str());
    put_integer(out, 6, message.sent_at.0.cast_unsigned());
    put_integer(out, 7, number_of(MessageStatus::Sent));
    put_text(out, 8, own_id(user, message));
}

/// `MessageStatus` as the wire numbers it.
fn number_of(status: MessageStatus) -> u64 {
    match status {
        MessageStatus::Sent => 1,
        MessageStatus::Delivered => 2,
        MessageStatus::Read => 3,
    }
}

/// A phone number is a plus and at most fifteen digits.
fn phone_len(phone: PhoneNumber) -> usize {
    3 + phone.digits().checked_ilog10().unwrap_or_default() as usize + 1
}

fn put_phone(out: &mut Vec<u8>, number: u8, phone: PhoneNumber) {
    let mut digits = [0; 20];
    let (mut rest, mut first) = (phone.digits(), digits.len());
    while 0 < rest {
        first -= 1;
        digits[first] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let digits = &digits[first..];
    out.push(number << 3 | 2);
    put_varint(out, digits.len() as u64 + 1);
    out.push(b'+');
    out.extend_from_slice(digits);
}

/// A cursor, written without an allocation.
#[derive(Default)]
struct Short {
    bytes: [u8; CURSOR_MAX],
    len: usize,
}

impl Short {
    fn write(&mut self, cursor: &Written) -> &str {
        use std::fmt::Write as _;
        // A number of at most 20 digits and a tag always fit.
        let _ = write!(self, "{cursor}");
        str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

impl std::fmt::Write for Short {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.len + text.len();
        let room = self.bytes.get_mut(self.len..end).ok_or(std::fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}
