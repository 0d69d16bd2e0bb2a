//! A message as it is written into a row.

use switchboard_core::{
    Millis,
    chat::{Message, TraceContext},
};

use super::{
    keys::{ChatKey, bigint, digits},
    rows::{Value, chat_columns},
};

/// Inserts [`MessageColumns`]. What is behind it says what becomes of those that are there.
macro_rules! insert_messages {
    ($behind:literal) => {
        concat!(
            "INSERT INTO chat_message (tenant, low, high, id, sender, by_low, low_sequence, \
             high_sequence, sent_at, stored_at, client_message_id, trace, body) \
             SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], \
             $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], \
             $10::bigint[], $11::bytea[], $12::bytea[], $13::bytea[])",
            $behind
        )
    };
}

pub(crate) use insert_messages;

/// A message, and what a row says of it beside.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MessageRow<'a> {
    pub(crate) chat: ChatKey,
    pub(crate) message: &'a Message,
    /// How many messages of the chat are by the lower number, up to this one.
    pub(crate) by_low: u64,
    /// Where it is in the inbox of each, the lower number's first.
    pub(crate) sequences: [u64; 2],
    pub(crate) stored_at: Millis,
}

/// Messages, column by column.
#[derive(Debug)]
pub(crate) struct MessageColumns<'a> {
    chats: (Vec<&'a str>, Vec<i64>, Vec<i64>),
    numbers: [Vec<i64>; 7],
    names: Vec<&'a [u8]>,
    traces: Vec<Option<Vec<u8>>>,
    bodies: Vec<&'a [u8]>,
}

impl<'a> MessageColumns<'a> {
    pub(crate) fn of(rows: &'a [MessageRow<'a>]) -> Self {
        let numbers: [fn(&MessageRow<'_>) -> i64; 7] = [
            |it| bigint(it.message.id),
            |it| digits(it.message.from),
            |it| bigint(it.by_low),
            |it| bigint(it.sequences[0]),
            |it| bigint(it.sequences[1]),
            |it| it.message.sent_at.0,
            |it| it.stored_at.0,
        ];
        let messages = || rows.iter().map(|it| it.message);
        Self {
            chats: chat_columns(rows.iter().map(|it| &it.chat)),
            numbers: numbers.map(|number| rows.iter().map(number).collect()),
            names: messages().map(|it| it.client_message_id.as_str().as_bytes()).collect(),
            traces: messages().map(|it| it.trace.as_ref().map(write_trace)).collect(),
            bodies: messages().map(|it| it.text.as_str().as_bytes()).collect(),
        }
    }

    /// What `insert_messages` takes.
    pub(crate) fn values(&self) -> Vec<Value<'_>> {
        let (tenants, lows, highs) = &self.chats;
        let mut values: Vec<Value<'_>> = vec![tenants, lows, highs];
        values.extend(self.numbers.iter().map(|column| column as Value<'_>));
        values.extend([&self.names as Value<'_>, &self.traces, &self.bodies]);
        values
    }
}

/// Trace id, span id and flags, big-endian.
fn write_trace(trace: &TraceContext) -> Vec<u8> {
    let TraceContext { trace_id, span_id, flags } = *trace;
    [&trace_id.to_be_bytes()[..], &span_id.to_be_bytes(), &[flags]].concat()
}

/// The reverse; none where it is no trace.
pub(crate) fn read_trace(bytes: &[u8]) -> Option<TraceContext> {
    let (trace_id, rest) = bytes.split_first_chunk()?;
    let (span_id, rest) = rest.split_first_chunk()?;
    let &[flags] = rest else { return None };
    let (trace_id, span_id) = (u128::from_be_bytes(*trace_id), u64::from_be_bytes(*span_id));
    Some(TraceContext { trace_id, span_id, flags })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_comes_back() {
        let trace = TraceContext { trace_id: u128::MAX - 5, span_id: 7, flags: 1 };
        let written = write_trace(&trace);
        assert_eq!(read_trace(&written), Some(trace));
        for cut in 0..written.len() {
            assert_eq!(read_trace(&written[..cut]), None);
        }
        assert_eq!(read_trace(&[&written[..], &[0]].concat()), None);
    }
}
