//! What chat writes to its log.
//!
//! ```text
//! entry     kind u8 | length u16 | crc u32 | body                  the crc is of all but itself
//! times     1 | synced at i64 | signalled at i64                   of the record before this one
//! tenant    2 | name                                               gives it the next number
//! message   3 | place | from u64 | to u64 | id u64 | sequence in the inbox of the sender u64
//!           | in that of the recipient u64 | at i64 | trace length u8 (0 or 25) | trace
//!           | length of the client message id u8 | that | text
//! receipt   4 | place | by u64 | peer u64 | read u8 | up to u64 | sequence in the inbox of the
//!           peer u64 | at i64
//! user      5 | place | phone u64 | created at i64 | name
//! place     tenant u32 | where the payload begins, in bytes before the entry u32
//! ```
//!
//! An entry that was carried from another store says [`CARRIED`] in place of where the payload
//! begins: its times stand before it, and are its own.
//!
//! Numbers are little-endian, phone numbers are their digits. An entry says all that follows from
//! it, so that replaying it decides nothing, and can be read by itself.

use switchboard_core::{Tenant, chat::TraceContext};

const TIMES: u8 = 1;
const TENANT: u8 = 2;
const MESSAGE: u8 = 3;
const RECEIPT: u8 = 4;
const USER: u8 = 5;

/// Stands for the place of an entry whose times stand before it. A payload is far shorter.
pub(super) const CARRIED: u32 = u32::MAX;

/// How long the times are, in bytes.
pub(super) const TIMES_LEN: u64 = HEADER as u64 + 16;

/// What stands before a body, in bytes.
pub(super) const HEADER: usize = 7;

/// The most bytes of a message besides its client message id and its text.
pub(super) const MESSAGE_MAX: usize = HEADER + 8 + 6 * 8 + 1 + 25 + 1;

/// The most bytes of any other entry, with those that may come before it.
pub(super) const OTHERS_MAX: usize = 2 * HEADER + 16 + Tenant::LEN_MAX + 1024;

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry<'a> {
    Times(Times),
    Tenant(Tenant),
    Message(MessageEntry<'a>),
    Receipt(ReceiptEntry),
    User(UserEntry<'a>),
}

/// When a record was durable, and its signals given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) stored: i64,
    pub(super) signalled: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MessageEntry<'a> {
    pub(super) tenant: u32,
    /// Where the payload begins, in bytes before the entry.
    pub(super) behind: u32,
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) id: u64,
    /// In the inboxes of the sender and of the recipient.
    pub(super) sequences: [u64; 2],
    pub(super) at: i64,
    pub(super) trace: Option<TraceContext>,
    pub(super) client_message_id: &'a str,
    pub(super) text: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ReceiptEntry {
    pub(super) tenant: u32,
    pub(super) behind: u32,
    pub(super) by: u64,
    pub(super) peer: u64,
    /// Whether it was read, rather than delivered.
    pub(super) read: bool,
    pub(super) up_to: u64,
    pub(super) sequence: u64,
    pub(super) at: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UserEntry<'a> {
    pub(super) tenant: u32,
    pub(super) behind: u32,
    pub(super) phone: u64,
    pub(super) created_at: i64,
    /// Empty for none.
    pub(super) name: &'a str,
}

impl Entry<'_> {
    /// Appends the entry.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let begin = out.len();
        out.resize(begin + HEADER, 0);
        let kind = match self {
            Self::Times(Times { stored, signalled }) => {
                out.extend(stored.to_le_bytes());
                out.extend(signalled.to_le_bytes());
                TIMES
            }
            Self::Tenant(tenant) => {
                out.extend(tenant.as_bytes());
                TENANT
            }
            Self::Message(message) => {
                message.write(out);
                MESSAGE
            }
            Self::Receipt(receipt) => {
                receipt.write(out);
                RECEIPT
            }
            Self::User(UserEntry { tenant, behind, phone, created_at, name }) => {
                out.extend(tenant.to_le_bytes());
                out.extend(behind.to_le_bytes());
                out.extend(phone.to_le_bytes());
                out.extend(created_at.to_le_bytes());
                out.extend(name.as_bytes());
                USER
            }
        };
        // The longest is a text of 4,096 characters, with 16,384 bytes.
        let length = u16::try_from(out.len() - begin - HEADER).unwrap_or(u16::MAX);
        out[begin] = kind;
        out[begin + 1..begin + 3].copy_from_slice(&length.to_le_bytes());
        let crc = crc(&out[begin..begin + 3], &out[begin + HEADER..]);
        out[begin + 3..begin + HEADER].copy_from_slice(&crc.to_le_bytes());
    }
}

impl MessageEntry<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.tenant.to_le_bytes());
        out.extend(self.behind.to_le_bytes());
        for number in [self.from, self.to, self.id, self.sequences[0], self.sequences[1]] {
            out.extend(number.to_le_bytes());
        }
        out.extend(self.at.to_le_bytes());
        match self.trace {
            None => out.push(0),
            Some(TraceContext { trace_id, span_id, flags }) => {
                out.push(25);
                out.extend(trace_id.to_be_bytes());
                out.extend(span_id.to_be_bytes());
                out.push(flags);
            }
        }
        // At most 128 bytes.
        out.push(u8::try_from(self.client_message_id.len()).unwrap_or(u8::MAX));
        out.extend(self.client_message_id.as_bytes());
        out.extend(self.text.as_bytes());
    }
}

impl ReceiptEntry {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.tenant.to_le_bytes());
        out.extend(self.behind.to_le_bytes());
        out.extend(self.by.to_le_bytes());
        out.extend(self.peer.to_le_bytes());
        out.push(self.read.into());
        out.extend(self.up_to.to_le_bytes());
        out.extend(self.sequence.to_le_bytes());
        out.extend(self.at.to_le_bytes());
    }
}

fn crc(header: &[u8], body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(header), body)
}

/// How long the entry is that begins so, header included; none where the header is not whole.
pub(super) fn length(bytes: &[u8]) -> Option<usize> {
    let length = u16::from_le_bytes(*bytes.get(1..)?.first_chunk()?);
    Some(HEADER + usize::from(length))
}

/// The entry that stands at the beginning of `bytes`, and what stands behind it; none for what is
/// none.
pub(super) fn read(bytes: &[u8]) -> Option<(Entry<'_>, &[u8])> {
    let (whole, rest) = bytes.split_at_checked(length(bytes)?)?;
    let (header, body) = whole.split_at_checked(HEADER)?;
    let stated = u32::from_le_bytes(*header[3..].first_chunk()?);
    if crc(&header[..3], body) != stated {
        return None;
    }
    let mut body = Body(body);
    let entry = match header[0] {
        TIMES => Entry::Times(Times { stored: body.i64()?, signalled: body.i64()? }),
        TENANT => Entry::Tenant(body.text()?.parse().ok()?),
        MESSAGE => Entry::Message(body.message()?),
        RECEIPT => Entry::Receipt(ReceiptEntry {
            tenant: body.u32()?,
            behind: body.u32()?,
            by: body.u64()?,
            peer: body.u64()?,
            read: body.take::<1>()? == [1],
            up_to: body.u64()?,
            sequence: body.u64()?,
            at: body.i64()?,
        }),
        USER => Entry::User(UserEntry {
            tenant: body.u32()?,
            behind: body.u32()?,
            phone: body.u64()?,
            created_at: body.i64()?,
            name: body.text()?,
        }),
        _ => return None,
    };
    Some((entry, rest))
}

struct Body<'a>(&'a [u8]);

impl<'a> Body<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn i64(&mut self) -> Option<i64> {
        self.take().map(i64::from_le_bytes)
    }

    /// The rest, as text.
    fn text(&mut self) -> Option<&'a str> {
        str::from_utf8(std::mem::take(&mut self.0)).ok()
    }

    fn message(&mut self) -> Option<MessageEntry<'a>> {
        let (tenant, behind) = (self.u32()?, self.u32()?);
        let [from, to, id] = [self.u64()?, self.u64()?, self.u64()?];
        let (sequences, at) = ([self.u64()?, self.u64()?], self.i64()?);
        let trace = match self.take::<1>()? {
            [0] => None,
            _ => Some(TraceContext {
                trace_id: u128::from_be_bytes(self.take()?),
                span_id: u64::from_be_bytes(self.take()?),
                flags: self.take::<1>()?[0],
            }),
        };
        let [length] = self.take()?;
        let (client_message_id, text) = self.0.split_at_checked(length.into())?;
        self.0 = text;
        let client_message_id = str::from_utf8(client_message_id).ok()?;
        let text = self.text()?;
        Some(MessageEntry {
            tenant,
            behind,
            from,
            to,
            id,
            sequences,
            at,
            trace,
            client_message_id,
            text,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entries<'a>(id: &'a str, text: &'a str, number: u64) -> Vec<Entry<'a>> {
        let at = number.cast_signed();
        let trace = TraceContext { trace_id: 1 << 100, span_id: number, flags: 1 };
        let message = MessageEntry {
            tenant: 7,
            behind: 9,
            from: number,
            to: !number,
            id: number,
            sequences: [number, 3],
            at,
            trace: Some(trace),
            client_message_id: id,
            text,
        };
        let receipt = ReceiptEntry {
            tenant: 7,
            behind: 0,
            by: number,
            peer: 2,
            read: number.is_multiple_of(2),
            up_to: number,
            sequence: 4,
            at,
        };
        let user = UserEntry { tenant: 7, behind: 1, phone: number, created_at: at, name: text };
        vec![
            Entry::Times(Times { stored: at, signalled: 1 }),
            Entry::Tenant("a.b-c_D".parse().unwrap()),
            Entry::Message(message),
            Entry::Message(MessageEntry { trace: None, ..message }),
            Entry::Receipt(receipt),
            Entry::User(user),
        ]
    }

    proptest! {
        #[test]
        fn entries_come_back(id in "\\PC{1,32}", text in "\\PC{1,300}", number: u64) {
            let entries = entries(&id, &text, number);
            let mut bytes = Vec::new();
            for entry in &entries {
                entry.write(&mut bytes);
            }
            let mut rest = &bytes[..];
            for entry in &entries {
                let (found, behind) = read(rest).unwrap();
                prop_assert_eq!(&found, entry);
                prop_assert!(rest.len() - behind.len() <= MESSAGE_MAX + id.len() + text.len());
                rest = behind;
            }
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn a_flipped_bit_is_seen(bit: usize) {
            let mut bytes = Vec::new();
            entries("id", "text", 5)[2].write(&mut bytes);
            let bit = bit % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(read(&bytes), None);
        }

        #[test]
        fn any_bytes_can_be_read(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = read(&bytes);
        }
    }
}
