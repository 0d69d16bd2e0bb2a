//! AMQP 0.9.1, as RabbitMQ speaks it.

use switchboard_peers::Error;

use super::{Acks, Answers, Found, Kind, PREFETCH, QUEUE, Role, TOPIC, Wire};
use crate::link::Link;

/// RabbitMQ, whose consumers acknowledge each delivery by itself, or all up to one.
#[derive(Debug)]
pub(crate) struct Amqp {
    pub(crate) multiple: bool,
}

/// The kinds of frames.
const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const HEARTBEAT: u8 = 8;

/// What every frame ends with.
const END: u8 = 0xce;

/// A frame without its payload: kind, channel and length before, one byte behind.
const AROUND: usize = 8;

/// Classes and methods.
type Method = (u16, u16);
const START_OK: Method = (10, 11);
const TUNE_OK: Method = (10, 31);
const OPEN: Method = (10, 40);
const CONNECTION_CLOSE: Method = (10, 50);
const CHANNEL_OPEN: Method = (20, 10);
const CHANNEL_CLOSE: Method = (20, 40);
const EXCHANGE_DECLARE: Method = (40, 10);
const QUEUE_DECLARE: Method = (50, 10);
const QUEUE_DELETE: Method = (50, 40);
const QUEUE_BIND: Method = (50, 20);
const QOS: Method = (60, 10);
const CONSUME: Method = (60, 20);
const PUBLISH: Method = (60, 40);
const DELIVER: Method = (60, 60);
const ACK: Method = (60, 80);
const NACK: Method = (60, 120);
const CONFIRM: Method = (85, 10);

/// Settings of queues and exchanges, of consumers, and of messages.
const DURABLE: u8 = 0x02;
const EXCLUSIVE: u8 = 0x04;
const AUTO_DELETE_EXCHANGE: u8 = 0x04;
const NO_ACK: u8 = 0x02;
const HAS_DELIVERY_MODE: u16 = 0x1000;
const TRANSIENT: u8 = 1;
const PERSISTENT: u8 = 2;

fn frame(kind: u8, channel: u16, payload: &[u8], out: &mut Vec<u8>) {
    out.push(kind);
    out.extend_from_slice(&channel.to_be_bytes());
    // Of a message of this benchmark, or a name.
    out.extend_from_slice(&u32::try_from(payload.len()).unwrap_or_default().to_be_bytes());
    out.extend_from_slice(payload);
    out.push(END);
}

fn method((class, method): Method, arguments: &[u8]) -> Vec<u8> {
    [&class.to_be_bytes(), &method.to_be_bytes(), arguments].concat()
}

/// A method on the one channel that each connection has.
fn call(name: Method, arguments: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    let channel = u16::from(name.0 != OPEN.0);
    frame(METHOD, channel, &method(name, &arguments.concat()), &mut out);
    out
}

/// A text of less than 256 bytes.
fn short(text: &str) -> Vec<u8> {
    let len = u8::try_from(text.len()).unwrap_or_default();
    [&[len], text.as_bytes()].concat()
}

/// No settings beyond those that every method has.
const NO_TABLE: &[u8] = &[0; 4];

/// What stands where the protocol keeps room.
const RESERVED: &[u8] = &[0; 2];

/// The number of a delivery, behind its consumer's name.
fn tag_of(payload: &[u8]) -> Option<u64> {
    let name = usize::from(*payload.get(4)?);
    Some(u64::from_be_bytes(payload.get(5 + name..13 + name)?.try_into().ok()?))
}

fn method_of(payload: &[u8]) -> Method {
    let two = |at: usize| payload.get(at..at + 2).and_then(|two| two.try_into().ok());
    (two(0).map_or(0, u16::from_be_bytes), two(2).map_or(0, u16::from_be_bytes))
}

/// Removes the queue, if it is there, over a connection that is set up.
pub(crate) fn delete_queue(link: &mut Link) -> Result<(), Error> {
    let wire = Amqp { multiple: false };
    link.ask(&wire, &call(QUEUE_DELETE, &[RESERVED, &short(QUEUE), &[0]]))
}

impl Wire for Amqp {
    /// A delivery is three frames, of which the last is the event.
    #[inline]
    fn scan(&self, came: &[u8]) -> Result<Option<Found>, Error> {
        let Some(&[a, b, c, d]) = came.get(3..7) else { return Ok(None) };
        let len = AROUND + u32::from_be_bytes([a, b, c, d]) as usize;
        let Some(whole) = came.get(..len) else { return Ok(None) };
        let payload = &whole[7..len - 1];
        if whole[len - 1] != END {
            return Err("a frame that does not end as it should".into());
        }
        let kind = match whole[0] {
            METHOD => match method_of(payload) {
                DELIVER => Kind::Other,
                ACK => Kind::Answer,
                NACK | CONNECTION_CLOSE | CHANNEL_CLOSE => {
                    return Err(String::from_utf8_lossy(payload).into());
                }
                _ => Kind::Ready,
            },
            HEARTBEAT => Kind::Ping,
            BODY => Kind::Event,
            _ => Kind::Other,
        };
        Ok(Some(Found { len, kind }))
    }

    fn greet(&self, link: &mut Link, number: usize, role: Role) -> Result<(), Error> {
        link.ask(self, b"AMQP\x00\x00\x09\x01")?;
        let answer = b"\0guest\0guest";
        let length = u32::try_from(answer.len())?.to_be_bytes();
        let start = [NO_TABLE, &short("PLAIN"), &length, answer, &short("en_US")];
        link.ask(self, &call(START_OK, &start))?;
        // As many channels as there may be, frames of 128 KiB, no heartbeats.
        let tune = call(TUNE_OK, &[&2_047_u16.to_be_bytes(), &131_072_u32.to_be_bytes(), &[0; 2]]);
        link.ask(self, &[tune, call(OPEN, &[&short("/"), &[0; 2]])].concat())?;
        link.ask(self, &call(CHANNEL_OPEN, &[&[0]]))?;
        let fan = short(TOPIC);
        match role {
            Role::Replay => return Err("RabbitMQ does not replay".into()),
            Role::Publish => {
                let kind = short("fanout");
                let exchange: [&[u8]; 5] =
                    [RESERVED, &fan, &kind, &[AUTO_DELETE_EXCHANGE], NO_TABLE];
                link.ask(self, &call(EXCHANGE_DECLARE, &exchange))?;
            }
            Role::PublishKept => {
                let queue: [&[u8]; 4] = [RESERVED, &short(QUEUE), &[DURABLE], NO_TABLE];
                link.ask(self, &call(QUEUE_DECLARE, &queue))?;
                link.ask(self, &call(CONFIRM, &[&[0]]))?;
            }
            Role::Subscribe => {
                let queue = short(&format!("bench-fan-{}-{number}", std::process::id()));
                let declared: [&[u8]; 4] = [RESERVED, &queue, &[EXCLUSIVE], NO_TABLE];
                link.ask(self, &call(QUEUE_DECLARE, &declared))?;
                let bound = [RESERVED, &queue, &fan, &short(""), &[0], NO_TABLE];
                link.ask(self, &call(QUEUE_BIND, &bound))?;
                let consumed = [RESERVED, &queue, &short(""), &[NO_ACK], NO_TABLE];
                link.ask(self, &call(CONSUME, &consumed))?;
            }
            Role::Consume => {
                let qos: [&[u8]; 3] = [&[0; 4], &PREFETCH.to_be_bytes(), &[0]];
                link.ask(self, &call(QOS, &qos))?;
                let queue = [RESERVED, &short(QUEUE), &short(""), &[0], NO_TABLE];
                link.ask(self, &call(CONSUME, &queue))?;
            }
        }
        Ok(())
    }

    fn publish(&self, _from: usize, kept: bool, data: &[u8], out: &mut Vec<u8>) {
        let (exchange, key) = if kept { ("", QUEUE) } else { (TOPIC, "") };
        out.extend(call(PUBLISH, &[RESERVED, &short(exchange), &short(key), &[0]]));
        let mut header = method((PUBLISH.0, 0), &(data.len() as u64).to_be_bytes());
        header.extend_from_slice(&HAS_DELIVERY_MODE.to_be_bytes());
        header.push(if kept { PERSISTENT } else { TRANSIENT });
        frame(HEADER, 1, &header, out);
        frame(BODY, 1, data, out);
    }

    fn pong(&self, out: &mut Vec<u8>) {
        frame(HEARTBEAT, 0, &[], out);
    }

    fn answers(&self, answer: &[u8]) -> Answers {
        let number = |number: &[u8]| number.try_into().ok().map(u64::from_be_bytes);
        match (answer.get(11..19).and_then(number), answer.get(19)) {
            (Some(number), Some(1)) => Answers::UpTo(number),
            (Some(number), _) => Answers::One(number),
            _ => Answers::Next,
        }
    }

    fn note(&self, message: &[u8], acks: &mut Acks) {
        let payload = message.get(7..).filter(|payload| method_of(payload) == DELIVER);
        let payload = payload.filter(|_| message[0] == METHOD);
        let Some(tag) = payload.and_then(tag_of) else { return };
        acks.last = tag;
        acks.count += 1;
        if !self.multiple {
            acks.bytes.extend(call(ACK, &[&tag.to_be_bytes(), &[0]]));
        }
    }

    fn settle(&self, acks: &mut Acks, out: &mut Vec<u8>) -> u64 {
        if self.multiple && 0 < acks.count {
            out.extend(call(ACK, &[&acks.last.to_be_bytes(), &[1]]));
        }
        out.append(&mut acks.bytes);
        std::mem::take(&mut acks.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deliveries_are_acknowledged_by_their_numbers() {
        let (mut came, deliver) = (Vec::new(), |tag: u64, came: &mut Vec<u8>| {
            let tag = tag.to_be_bytes();
            came.extend(call(DELIVER, &[&short("consumer"), &tag, &[0, 0, 0]]));
            frame(HEADER, 1, &[0; 14], came);
            frame(BODY, 1, &[7; 128], came);
        });
        deliver(41, &mut came);
        deliver(42, &mut came);
        for (multiple, expected) in [
            (
                false,
                [
                    call(ACK, &[&41_u64.to_be_bytes(), &[0]]),
                    call(ACK, &[&42_u64.to_be_bytes(), &[0]]),
                ]
                .concat(),
            ),
            (true, call(ACK, &[&42_u64.to_be_bytes(), &[1]])),
        ] {
            let (wire, mut acks, mut out) = (Amqp { multiple }, Acks::default(), Vec::new());
            assert_eq!(wire.count(&came).unwrap().events, 2);
            let mut note = |_, message: &[u8]| wire.note(message, &mut acks);
            assert_eq!(wire.each(&came, &mut note).unwrap(), came.len());
            assert_eq!(wire.settle(&mut acks, &mut out), 2);
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn confirmations_are_of_one_or_of_all_before() {
        let wire = Amqp { multiple: false };
        let ack = |multiple| call(ACK, &[&7_u64.to_be_bytes(), &[multiple]]);
        assert_eq!(wire.answers(&ack(0)), Answers::One(7));
        assert_eq!(wire.answers(&ack(1)), Answers::UpTo(7));
    }
}
