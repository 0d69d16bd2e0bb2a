//! The frames of the bus.

use switchboard_core::session::BusRequest;

use super::{
    super::bus::{CANCEL, CONSUME, PUBLISH, SETTLE, SUBSCRIBE, UNSUBSCRIBE},
    *,
};
use crate::wire::examples;

#[test]
fn requests() {
    for (sent, expected) in examples::requests() {
        check_read(sent, expected);
    }
}

#[test]
fn replies() {
    examples::replies(check_write);
}

#[test]
fn what_is_no_request() {
    let refused = |number, payload: &[u8]| {
        let read = read(number, payload);
        let code = read.as_ref().map_err(Error::code);
        assert_eq!(code, Err(Code::InvalidRequest), "{number} {payload:?}");
    };
    for number in [PUBLISH, SUBSCRIBE, UNSUBSCRIBE, CONSUME, CANCEL, SETTLE] {
        // Half a tag, a tag alone, a length beyond the end, a field with the number 0, a group.
        for payload in [b"\xff".as_slice(), b"\x0a", b"\x08", b"\x0a\x05a", b"\x02\x00", b"\x0b"] {
            refused(number, payload);
        }
        // A number of more than 64 bits.
        refused(number, b"\x78\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
    }
    // Text that is not UTF-8; a number where text belongs, and the other way round.
    for (frame, texts, numbers) in [
        (PUBLISH, &[1, 2, 4, 5, 7][..], &[6, 8][..]),
        (SUBSCRIBE, &[2, 3, 4], &[1, 5]),
        (UNSUBSCRIBE, &[], &[1, 2]),
        (CONSUME, &[2], &[1, 3, 4]),
        (CANCEL, &[], &[1, 2]),
        (SETTLE, &[2, 3, 5], &[1, 4, 6]),
    ] {
        for &field in texts {
            refused(frame, &[field << 3 | 2, 1, 0xff]);
            refused(frame, &[field << 3, 1]);
        }
        for &field in numbers {
            refused(frame, &[field << 3 | 2, 1, 0]);
            refused(frame, &[field << 3 | 5, 0, 0, 0, 0]);
        }
    }
    refused(PUBLISH, &[3 << 3, 1]);
    // Frames of the node are none of a client.
    assert_eq!(read(46, b"\xff").unwrap(), Request::Unknown { number: 46 });
    assert_eq!(read(47, b"\xff").unwrap(), Request::Unknown { number: 47 });
}

#[test]
fn what_stands_twice_or_is_of_a_later_version() {
    // The last one counts, fields of a later version are passed over.
    let read = |number, payload| match read(number, payload).unwrap() {
        Request::Bus { request_id, request } => (request_id, request),
        other => panic!("{other:?}"),
    };
    let twice = b"\x08\x05\x08\x07\x10\x01\x10\x02\x7a\x01x";
    assert_eq!(read(UNSUBSCRIBE, twice), (2, BusRequest::Unsubscribe { subscription: 7 }));
    assert_eq!(read(CANCEL, twice), (2, BusRequest::Cancel { consumer: 7 }));
    let (request_id, request) =
        read(PUBLISH, b"\x0a\x01a\x0a\x01b\x30\x02\x30\x00\x30\x05\x7d\0\0\0\0");
    let BusRequest::Publish { content, ephemeral, .. } = request else { panic!("{request:?}") };
    assert_eq!((request_id, content.topic, ephemeral), (0, "b", true));
    // A number of 32 bits is cut off, as protobuf says.
    let wide = b"\x08\x81\x80\x80\x80\x10";
    assert_eq!(read(CANCEL, wide), (0, BusRequest::Cancel { consumer: 1 }));
}
