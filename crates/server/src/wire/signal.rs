//! What nodes tell each other: written by hand, since every byte of it is copied to many.
//!
//! ```text
//! kind u8 | what it is about
//! chat:      tenant | { user u64 | what u8 | … }
//! appended:  tenant | { sequence u64 | at i64 | length u32 | body }
//! ephemeral: the same
//! ready:     tenant | queue
//! report:    number u64 | a `ReportRequest`
//! ```
//!
//! Numbers are little-endian; a text of up to 255 bytes has its length before it. What comes from
//! other nodes is read as if anybody had written it. What a node does not know it passes over, and
//! finds in the store: so nodes of different versions may stand side by side.

use std::sync::Arc;

use prost::Message as _;
use switchboard_core::{
    Millis, Tenant,
    bus::{Body, Event, QueueId, QueueName},
    chat::{
        ClientMessageId, Entry, Happening, Message, PhoneNumber, Signal, Text, TraceContext, User,
    },
    presence::{Place, Report},
};
use switchboard_proto::v1;

use super::{from, to};

const CHAT: u8 = 1;
const APPENDED: u8 = 2;
const EPHEMERAL: u8 = 3;
const READY: u8 = 4;
const REPORT: u8 = 5;

const MESSAGE: u8 = 1;
const DELIVERED: u8 = 2;
const READ: u8 = 3;
const TYPING: u8 = 4;

/// How long what is told at once gets before more is told by itself, in bytes.
pub(crate) const ENOUGH: usize = 128 * 1024;

/// What another node told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Chat(Vec<Signal>),
    Appended(Tenant, Vec<Event>),
    Ephemeral(Tenant, Vec<Event>),
    Ready(QueueId),
    Report(Place, Report),
}

/// Begins to tell what happens in chats of a tenant.
pub(crate) fn chat(tenant: &Tenant) -> Vec<u8> {
    begin(CHAT, tenant, 1_024)
}

/// Adds one thing to it. It is of that tenant.
pub(crate) fn add_chat(signal: &Signal, to: &mut Vec<u8>) {
    match signal {
        Signal::Happened { user, entry } => {
            put(to, user.phone.digits());
            let receipt = |kind, peer: PhoneNumber, up_to, at: Millis, to: &mut Vec<u8>| {
                to.push(kind);
                for number in [entry.sequence, peer.digits(), up_to, at.0.cast_unsigned()] {
                    put(to, number);
                }
            };
            match &entry.what {
                Happening::Message(message) => add_message(entry.sequence, message, to),
                &Happening::Delivered { peer, up_to, at } => {
                    receipt(DELIVERED, peer, up_to, at, to);
                }
                &Happening::Read { peer, up_to, at } => receipt(READ, peer, up_to, at, to),
            }
        }
        Signal::Typing { user, from, typing } => {
            put(to, user.phone.digits());
            to.push(TYPING);
            put(to, from.digits());
            to.push(u8::from(*typing));
        }
    }
}

fn add_message(sequence: u64, message: &Message, to: &mut Vec<u8>) {
    to.push(MESSAGE);
    let Message { id, from, to: recipient, text, client_message_id, sent_at, trace } = message;
    let sent_at = sent_at.0.cast_unsigned();
    for number in [sequence, *id, from.digits(), recipient.digits(), sent_at] {
        put(to, number);
    }
    put_short(to, client_message_id.as_str());
    let text = text.as_str().as_bytes();
    to.extend_from_slice(&length(text).to_le_bytes());
    to.extend_from_slice(text);
    match trace {
        None => to.push(0),
        Some(TraceContext { trace_id, span_id, flags }) => {
            to.extend_from_slice(&[1, *flags]);
            to.extend_from_slice(&trace_id.to_le_bytes());
            put(to, *span_id);
        }
    }
}

/// Tells of events that were appended to a tenant's log, or are ephemeral: in as many pieces as
/// they need.
pub(crate) fn events(
    tenant: &Tenant,
    events: &[Event],
    ephemeral: bool,
    mut tell: impl FnMut(Vec<u8>),
) {
    let kind = if ephemeral { EPHEMERAL } else { APPENDED };
    let mut told: Option<Vec<u8>> = None;
    for event in events {
        let body = event.body.as_bytes();
        let size = 20 + body.len();
        if told.as_ref().is_some_and(|told| ENOUGH < told.len() + size)
            && let Some(full) = told.take()
        {
            tell(full);
        }
        let told = told.get_or_insert_with(|| begin(kind, tenant, 66 + size));
        put(told, event.sequence);
        put(told, event.at.0.cast_unsigned());
        told.extend_from_slice(&length(body).to_le_bytes());
        told.extend_from_slice(body);
    }
    if let Some(told) = told {
        tell(told);
    }
}

/// Tells that a queue has something.
pub(crate) fn ready(queue: &QueueId) -> Vec<u8> {
    let mut told = begin(READY, &queue.tenant, 66 + queue.name.as_str().len());
    put_short(&mut told, queue.name.as_str());
    told
}

/// Tells of a report that is in the journal.
pub(crate) fn report(place: Place, report: &Report) -> Vec<u8> {
    let report = to::report(report.clone());
    let mut told = Vec::with_capacity(9 + report.encoded_len());
    told.push(REPORT);
    put(&mut told, place.number);
    // There is room in a vector.
    let _ = report.encode(&mut told);
    told
}

fn begin(kind: u8, tenant: &Tenant, capacity: usize) -> Vec<u8> {
    let mut told = Vec::with_capacity(capacity);
    told.push(kind);
    put_short(&mut told, tenant.as_str());
    told
}

fn put(to: &mut Vec<u8>, number: u64) {
    to.extend_from_slice(&number.to_le_bytes());
}

/// Texts that are short by their type.
fn put_short(to: &mut Vec<u8>, text: &str) {
    let text = text.as_bytes();
    let len = u8::try_from(text.len()).unwrap_or(u8::MAX);
    to.push(len);
    to.extend_from_slice(&text[..usize::from(len)]);
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

/// Reads what another node told, if it can be.
pub(crate) fn read(payload: &[u8]) -> Option<Heard> {
    let mut rest = Rest { all: payload, at: 0 };
    let kind = rest.byte()?;
    if kind == REPORT {
        let number = rest.number()?;
        let report = v1::ReportRequest::decode(rest.rest()).ok()?;
        let report = from::report(report).ok()?;
        return Some(Heard::Report(Place { gateway: report.gateway, number }, report));
    }
    let tenant: Tenant = rest.short()?.parse().ok()?;
    match kind {
        CHAT => {
            let mut signals = Vec::new();
            while !rest.is_over() {
                signals.push(read_chat(tenant, &mut rest)?);
            }
            Some(Heard::Chat(signals))
        }
        APPENDED | EPHEMERAL => {
            let events = read_events(&mut rest)?;
            let in_order = events
                .windows(2)
                .all(|pair| pair[0].sequence.checked_add(1) == Some(pair[1].sequence));
            match kind {
                EPHEMERAL if events.iter().all(|event| event.sequence == 0) => {
                    Some(Heard::Ephemeral(tenant, events))
                }
                APPENDED if in_order && events.first()?.sequence != 0 => {
                    Some(Heard::Appended(tenant, events))
                }
                _ => None,
            }
        }
        READY => {
            let name = QueueName::new(rest.short()?).ok()?;
            Some(Heard::Ready(QueueId { tenant, name }))
        }
        _ => None,
    }
}

fn read_chat(tenant: Tenant, rest: &mut Rest<'_>) -> Option<Signal> {
    let user = User { tenant, phone: rest.phone()? };
    let kind = rest.byte()?;
    if kind == TYPING {
        let (from, typing) = (rest.phone()?, rest.byte()? != 0);
        return Some(Signal::Typing { user, from, typing });
    }
    let sequence = rest.number()?;
    let what = match kind {
        MESSAGE => Happening::Message(Arc::new(read_message(rest)?)),
        DELIVERED | READ => {
            let (peer, up_to, at) = (rest.phone()?, rest.number()?, rest.time()?);
            match kind {
                READ => Happening::Read { peer, up_to, at },
                _ => Happening::Delivered { peer, up_to, at },
            }
        }
        _ => return None,
    };
    Some(Signal::Happened { user, entry: Entry { sequence, what } })
}

fn read_message(rest: &mut Rest<'_>) -> Option<Message> {
    let id = rest.number()?;
    let (from, to, sent_at) = (rest.phone()?, rest.phone()?, rest.time()?);
    let client_message_id = ClientMessageId::new(rest.short()?).ok()?;
    let length = rest.length()?;
    let text = Text::new(str::from_utf8(rest.take(length)?).ok()?).ok()?;
    let trace = if rest.byte()? == 0 {
        None
    } else {
        let flags = rest.byte()?;
        let trace_id = u128::from_le_bytes(*rest.take(16)?.first_chunk()?);
        Some(TraceContext { trace_id, span_id: rest.number()?, flags })
    };
    Some(Message { id, from, to, text, client_message_id, sent_at, trace })
}

/// The events share one copy of what came.
fn read_events(rest: &mut Rest<'_>) -> Option<Vec<Event>> {
    let all: Arc<[u8]> = rest.all.into();
    let mut events = Vec::new();
    while !rest.is_over() {
        let (sequence, at) = (rest.number()?, rest.time()?);
        let length = rest.length()?;
        let start = rest.at;
        rest.take(length)?;
        events.push(Event { sequence, at, body: Body::from_bytes(&all, start, length)? });
    }
    Some(events)
}

/// What is not read yet.
struct Rest<'a> {
    all: &'a [u8],
    at: usize,
}

impl<'a> Rest<'a> {
    fn is_over(&self) -> bool {
        self.at == self.all.len()
    }

    fn rest(&self) -> &'a [u8] {
        self.all.get(self.at..).unwrap_or_default()
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let taken = self.rest().get(..len)?;
        self.at += len;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn number(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(*self.take(8)?.first_chunk()?))
    }

    fn time(&mut self) -> Option<Millis> {
        Some(Millis(self.number()?.cast_signed()))
    }

    fn phone(&mut self) -> Option<PhoneNumber> {
        PhoneNumber::from_digits(self.number()?)
    }

    fn length(&mut self) -> Option<usize> {
        let length = u32::from_le_bytes(*self.take(4)?.first_chunk()?);
        usize::try_from(length).ok()
    }

    fn short(&mut self) -> Option<&'a str> {
        let len = self.byte()?;
        str::from_utf8(self.take(len.into())?).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use switchboard_core::{
        ClientId,
        bus::Content,
        presence::{GatewayId, Sighting, Status, TenantReport},
        signals::PAYLOAD_BYTES_MAX,
    };

    use super::*;

    fn tenant() -> Tenant {
        "a.b".parse().unwrap()
    }

    fn phone(last: u64) -> PhoneNumber {
        PhoneNumber::from_digits(41_791_234_560 + last).unwrap()
    }

    fn event(sequence: u64, data: &[u8]) -> Event {
        let (topic, kind) = ("orders.eu", "created");
        let content = Content { topic, kind, content_type: "", data, key: None, reply_to: "" };
        Event { sequence, at: Millis(-7), body: Body::new(&content).unwrap() }
    }

    fn told(tenant: &Tenant, all: &[Event], ephemeral: bool) -> Vec<Vec<u8>> {
        let mut told = Vec::new();
        events(tenant, all, ephemeral, |payload| told.push(payload));
        told
    }

    /// One of each kind.
    fn all() -> Vec<(Vec<u8>, Heard)> {
        let user = User { tenant: tenant(), phone: phone(1) };
        let message = |trace| {
            Happening::Message(Arc::new(Message {
                id: 3,
                from: phone(2),
                to: phone(1),
                text: Text::new("Grüezi 🦀").unwrap(),
                client_message_id: ClientMessageId::new("mine").unwrap(),
                sent_at: Millis(1_790_000_000_000),
                trace,
            }))
        };
        let trace = TraceContext { trace_id: u128::MAX - 5, span_id: 9, flags: 1 };
        let what = [
            message(None),
            message(Some(trace)),
            Happening::Delivered { peer: phone(2), up_to: 7, at: Millis(1) },
            Happening::Read { peer: phone(2), up_to: u64::MAX, at: Millis(i64::MIN) },
        ];
        let mut signals: Vec<_> = (1..)
            .zip(what)
            .map(|(sequence, what)| Signal::Happened { user, entry: Entry { sequence, what } })
            .collect();
        signals.push(Signal::Typing { user, from: phone(2), typing: true });
        let mut chats = chat(&tenant());
        for signal in &signals {
            add_chat(signal, &mut chats);
        }
        let appended = vec![event(8, b""), event(9, b"data")];
        let ephemeral = vec![event(0, b"x"), event(0, b"y")];
        let queue = QueueId { tenant: tenant(), name: QueueName::new("work").unwrap() };
        let sighting = Sighting {
            client: ClientId::new("é").unwrap(),
            seen: Some(Millis(5)),
            status: Status::Odd,
            sessions: 2,
        };
        let part = TenantReport { tenant: tenant(), connected: 2, sightings: vec![sighting] };
        let stated = Report { gateway: GatewayId(6), at: Millis(9), tenants: vec![part] };
        let place = Place { gateway: GatewayId(6), number: 4 };
        vec![
            (chats, Heard::Chat(signals)),
            (told(&tenant(), &appended, false).remove(0), Heard::Appended(tenant(), appended)),
            (told(&tenant(), &ephemeral, true).remove(0), Heard::Ephemeral(tenant(), ephemeral)),
            (ready(&queue), Heard::Ready(queue)),
            (report(place, &stated), Heard::Report(place, stated)),
        ]
    }

    #[test]
    fn what_is_told_is_heard() {
        for (payload, heard) in all() {
            assert_eq!(read(&payload), Some(heard));
        }
    }

    #[test]
    fn what_is_broken_is_passed_over() {
        for (payload, _) in all() {
            for end in 0..payload.len() {
                let _ = read(&payload[..end]);
            }
            for at in 0..payload.len() {
                let mut changed = payload.clone();
                changed[at] ^= 0x80;
                let _ = read(&changed);
            }
        }
        assert_eq!(read(b""), None);
        assert_eq!(read(&[99, 1, b'a']), None);
        let gap = told(&tenant(), &[event(1, b""), event(3, b"")], false);
        assert_eq!(read(&gap[0]), None, "there is never a gap between those of one signal");
    }

    #[test]
    fn many_events_are_told_in_pieces_and_the_largest_has_room() {
        let large = vec![0; switchboard_core::bus::DATA_BYTES_MAX];
        let all: Vec<_> =
            (1..=400).map(|n| event(n, if n == 200 { &large } else { &large[..1_000] })).collect();
        let payloads = told(&tenant(), &all, false);
        assert!(3 < payloads.len() && payloads.len() < 10, "{}", payloads.len());
        assert!(payloads.iter().all(|it| it.len() < PAYLOAD_BYTES_MAX));
        let heard = payloads.iter().flat_map(|payload| match read(payload) {
            Some(Heard::Appended(_, events)) => events,
            other => panic!("{other:?}"),
        });
        assert!(heard.eq(all));
        assert!(told(&tenant(), &[], false).is_empty());
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_read(
            kind in 0_u8..7,
            known: bool,
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let head = if known { &b"\x01a"[..] } else { b"" };
            let _ = read(&[&[kind], head, &bytes].concat());
        }
    }
}
