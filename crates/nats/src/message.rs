//! A signal on the wire: in as many messages as it needs.
//!
//! ```text
//! version u8 | CRC32C u32 of what follows | node u64 | signal u32 | part u16 | parts u16 | data
//! ```
//!
//! Numbers are little-endian. The server takes messages up to a length only, and shares a
//! connection better where they are short: longer signals come in parts, one behind the other.

use std::collections::HashMap;

use bytes::Bytes;
use switchboard_core::signals::PAYLOAD_BYTES_MAX;

const VERSION: u8 = 1;

/// Version and checksum.
const CHECKED: usize = 5;

/// All but the data.
pub(crate) const HEADER: usize = CHECKED + 16;

/// The most data of one message, in bytes.
const PART_BYTES_MAX: usize = 256 * 1024;

/// The least: however little a server takes, a signal has not more parts than can be counted.
const PART_BYTES_MIN: usize = 1024;

/// Nodes of which parts are kept at once, for each subject.
const NODES_MAX: usize = 64;

/// Puts a signal into messages, for a server that takes so much in one.
pub(crate) fn write(node: u64, signal: u32, payload: &[u8], payload_max: usize) -> Vec<Bytes> {
    let room = payload_max.saturating_sub(HEADER).clamp(PART_BYTES_MIN, PART_BYTES_MAX);
    // At the most PAYLOAD_BYTES_MAX / PART_BYTES_MIN, which is 2,048.
    let parts = u16::try_from(payload.len().div_ceil(room).max(1)).unwrap_or(u16::MAX);
    let part = |part: u16| {
        let start = usize::from(part) * room;
        let data = &payload[start.min(payload.len())..(start + room).min(payload.len())];
        let mut message = Vec::with_capacity(HEADER + data.len());
        message.extend_from_slice(&[VERSION, 0, 0, 0, 0]);
        message.extend_from_slice(&node.to_le_bytes());
        message.extend_from_slice(&signal.to_le_bytes());
        message.extend_from_slice(&part.to_le_bytes());
        message.extend_from_slice(&parts.to_le_bytes());
        message.extend_from_slice(data);
        let checksum = crc32c::crc32c(&message[CHECKED..]).to_le_bytes();
        message[1..CHECKED].copy_from_slice(&checksum);
        Bytes::from(message)
    };
    (0..parts).map(part).collect()
}

/// A message as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Message<'a> {
    node: u64,
    signal: u32,
    part: u16,
    parts: u16,
    data: &'a [u8],
}

fn read(message: &[u8]) -> Option<Message<'_>> {
    let (&[version, c0, c1, c2, c3], rest) = message.split_first_chunk()?;
    if version != VERSION || crc32c::crc32c(rest) != u32::from_le_bytes([c0, c1, c2, c3]) {
        return None;
    }
    let (node, rest) = rest.split_first_chunk()?;
    let (signal, rest) = rest.split_first_chunk()?;
    let (part, rest) = rest.split_first_chunk()?;
    let (parts, data) = rest.split_first_chunk()?;
    let (part, parts) = (u16::from_le_bytes(*part), u16::from_le_bytes(*parts));
    let (node, signal) = (u64::from_le_bytes(*node), u32::from_le_bytes(*signal));
    (part < parts).then_some(Message { node, signal, part, parts, data })
}

/// What became of a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// It was the last of a signal. This is all of it.
    Whole(Vec<u8>),
    /// There is more to come; or it is the node's own.
    Nothing,
    /// Some of a signal is missing.
    Lost,
    /// It is none of ours, or was changed on the way.
    Foreign,
}

/// Puts the signals of one subject together.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    /// What came of the last signal of each node, and which part is next.
    nodes: HashMap<u64, (u32, u16, Vec<u8>)>,
}

impl Parts {
    /// Takes what came next, at the node `own`.
    pub(crate) fn take(&mut self, own: u64, message: &[u8]) -> Came {
        let Some(Message { node, signal, part, parts, data }) = read(message) else {
            return Came::Foreign;
        };
        if node == own {
            return Came::Nothing;
        }
        // What a node did not bring to its end never comes to one.
        let begun = self.nodes.remove(&node);
        let lost = part == 0 && begun.is_some();
        let mut whole = match begun {
            _ if part == 0 => Vec::new(),
            Some((known, next, whole)) if known == signal && next == part => whole,
            _ => return Came::Lost,
        };
        if PAYLOAD_BYTES_MAX < whole.len() + data.len() || NODES_MAX <= self.nodes.len() {
            return Came::Lost;
        }
        whole.extend_from_slice(data);
        if part + 1 == parts {
            // That one before it was lost is told by who counts; it is not worth losing this one.
            return Came::Whole(whole);
        }
        self.nodes.insert(node, (signal, part + 1, whole));
        if lost { Came::Lost } else { Came::Nothing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn came(parts: &mut Parts, messages: &[Bytes]) -> Vec<Came> {
        messages.iter().map(|message| parts.take(0, message)).collect()
    }

    #[test]
    fn signals_of_any_length_come_whole() {
        let payload: Vec<u8> =
            (0..PAYLOAD_BYTES_MAX).map(|at| u8::try_from(at % 251).unwrap()).collect();
        for length in [0, 1, 1_003, 1_004, 300_000, PAYLOAD_BYTES_MAX] {
            for payload_max in [0, 1_025, 100_000, usize::MAX] {
                let messages = write(1, 7, &payload[..length], payload_max);
                let longest = messages.iter().map(Bytes::len).max().unwrap();
                assert!(longest <= payload_max.max(HEADER + PART_BYTES_MIN));
                let came = came(&mut Parts::default(), &messages);
                let (last, others) = came.split_last().unwrap();
                assert!(others.iter().all(|came| *came == Came::Nothing));
                assert_eq!(*last, Came::Whole(payload[..length].to_vec()), "{length}");
            }
        }
    }

    #[test]
    fn what_is_none_of_ours_is_passed_over() {
        let mut parts = Parts::default();
        let [message] = <[Bytes; 1]>::try_from(write(1, 7, b"hello", 9_000)).unwrap();
        for end in 0..message.len() {
            assert_eq!(parts.take(0, &message[..end]), Came::Foreign);
        }
        for at in 0..message.len() {
            let mut changed = message.to_vec();
            changed[at] ^= 4;
            assert_eq!(parts.take(0, &changed), Came::Foreign, "{at}");
        }
        assert_eq!(parts.take(0, b"hello, is this somebody?"), Came::Foreign);
        assert_eq!(parts.take(1, &message), Came::Nothing, "its own");
        assert_eq!(parts.take(0, &message), Came::Whole(b"hello".to_vec()));
    }

    #[test]
    fn a_signal_of_which_a_part_is_missing_is_lost_and_no_other_is() {
        let [one, two] =
            [1, 2].map(|signal| write(1, signal, &[u8::try_from(signal).unwrap(); 5_000], 2_000));
        let other = write(2, 1, &[3; 3_000], 2_000);
        let mut parts = Parts::default();
        assert_eq!(came(&mut parts, &one[..2]), [Came::Nothing, Came::Nothing]);
        assert_eq!(parts.take(0, &other[0]), Came::Nothing);
        assert_eq!(parts.take(0, &two[1]), Came::Lost);
        assert_eq!(parts.take(0, &two[2]), Came::Lost);
        assert_eq!(parts.take(0, &other[1]), Came::Whole(vec![3; 3_000]));
        assert_eq!(came(&mut parts, &one[..1]), [Came::Nothing]);
        assert_eq!(came(&mut parts, &two)[..2], [Came::Lost, Came::Nothing]);
        assert!(parts.nodes.is_empty());
    }
}
