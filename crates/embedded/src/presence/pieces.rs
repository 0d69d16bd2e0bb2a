//! Reports that are longer than a record of the log may be.
//!
//! ```text
//! payload    record, record, …                                                      (`codec.rs`)
//!          | 0xffff_ffff u32 | at i64 | begin u64 | length of the report u64 | its bytes
//! ```
//!
//! The pieces of a report stand one after the other, each in a payload of its own. One that begins
//! and does not end was never answered: the power went, or the disk was full. One that ends and did
//! not begin has lost its beginning with an older segment. Neither is read back.

use switchboard_core::{Millis, presence::Report};

use super::codec::{self, Reader};

/// What no record can have for a length.
const MARK: u32 = u32::MAX;

/// What stands before the bytes of a piece.
const HEADER: usize = 4 + 8 + 8 + 8;

/// The payloads that a report is kept in, each at most `payload_max` long, which is more than a
/// header.
pub(super) fn split(
    report: &[u8],
    at: Millis,
    payload_max: usize,
) -> impl Iterator<Item = Vec<u8>> {
    let len = payload_max.saturating_sub(HEADER).max(1);
    report.chunks(len).enumerate().map(move |(place, bytes)| {
        let mut payload = Vec::with_capacity(HEADER + bytes.len());
        payload.extend(MARK.to_le_bytes());
        payload.extend(at.0.to_le_bytes());
        payload.extend(((place * len) as u64).to_le_bytes());
        payload.extend((report.len() as u64).to_le_bytes());
        payload.extend_from_slice(bytes);
        payload
    })
}

struct Piece<'a> {
    at: Millis,
    begin: u64,
    len: u64,
    bytes: &'a [u8],
}

impl<'a> Piece<'a> {
    /// Reads a piece; none if the payload holds records.
    fn read(payload: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(payload);
        if reader.u32()? != MARK {
            return None;
        }
        let at = Millis(i64::from_le_bytes(reader.array()?));
        let begin = u64::from_le_bytes(reader.array()?);
        let len = u64::from_le_bytes(reader.array()?);
        Some(Self { at, begin, len, bytes: reader.0 })
    }
}

/// Reads payloads one after the other, and puts pieces together.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    /// What is there of the report that has begun.
    report: Vec<u8>,
    /// The length that it will have.
    len: u64,
}

impl Pieces {
    /// Whether a report has begun and not ended.
    pub(super) fn has_begun(&self) -> bool {
        !self.report.is_empty()
    }

    /// Whether a payload goes on with the report that has begun.
    pub(super) fn goes_on(&self, payload: &[u8]) -> bool {
        let follows =
            |piece: Piece<'_>| piece.begin == self.report.len() as u64 && piece.len == self.len;
        self.has_begun() && Piece::read(payload).is_some_and(follows)
    }

    /// Forgets the report that has begun: what was to follow does not.
    pub(super) fn give_up(&mut self) {
        *self = Self::default();
    }

    /// Reads a payload and hands over the reports that end in it. Returns the time of the newest
    /// that has a part there; none if it holds something else.
    pub(super) fn read(&mut self, payload: &[u8], mut found: impl FnMut(Report)) -> Option<Millis> {
        let goes_on = self.goes_on(payload);
        if !goes_on {
            self.give_up();
        }
        let Some(piece) = Piece::read(payload) else {
            let mut newest = Millis(i64::MIN);
            for record in codec::records(payload) {
                let report = Report::from_bytes(record)?;
                newest = newest.max(report.at);
                found(report);
            }
            return Some(newest);
        };
        if goes_on || piece.begin == 0 {
            self.len = piece.len;
            self.report.extend_from_slice(piece.bytes);
        }
        if self.has_begun() && self.len <= self.report.len() as u64 {
            let report = Report::from_bytes(&self.report)?;
            self.give_up();
            found(report);
        }
        Some(piece.at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use switchboard_core::presence::GatewayId;

    use super::*;

    const PAYLOAD_MAX: usize = HEADER + 5;

    fn report(at: i64) -> Report {
        Report { gateway: GatewayId(1), at: Millis(at), tenants: Vec::new() }
    }

    fn bytes(at: i64) -> Vec<u8> {
        report(at).to_bytes()
    }

    fn pieces(at: i64) -> Vec<Vec<u8>> {
        let pieces: Vec<_> = split(&bytes(at), Millis(at), PAYLOAD_MAX).collect();
        assert!(pieces.iter().all(|piece| piece.len() <= PAYLOAD_MAX));
        assert_eq!(pieces.len(), 5);
        pieces
    }

    fn records(at: i64) -> Vec<u8> {
        let mut payload = Vec::new();
        codec::put_record(&bytes(at), &mut payload);
        payload
    }

    /// Reads payloads: the times of the reports that come out.
    #[track_caller]
    fn check(payloads: &[&[Vec<u8>]], expected: &[i64]) {
        let (mut pieces, mut times) = (Pieces::default(), Vec::new());
        for payload in payloads.iter().copied().flatten() {
            pieces.read(payload, |report| times.push(report.at.0)).unwrap();
        }
        assert_eq!(times, expected);
    }

    #[test]
    fn what_is_whole_comes_back_and_nothing_else() {
        let (one, two, short) = (pieces(1), pieces(2), [records(3)]);
        check(&[&one, &short, &two], &[1, 3, 2]);
        // The beginning went with an older segment.
        check(&[&one[1..], &two], &[2]);
        check(&[&one[4..], &short], &[3]);
        // The end was never written.
        check(&[&one[..4], &short, &two], &[3, 2]);
        check(&[&one[..1], &one], &[1]);
        check(&[&one[..2], &two[..3]], &[]);
        check(&[&one[..2], &one[3..], &two], &[2]);
    }

    #[test]
    fn a_piece_tells_the_time_of_its_report() {
        let mut reader = Pieces::default();
        for piece in pieces(9) {
            assert_eq!(reader.read(&piece, drop), Some(Millis(9)));
        }
        assert_eq!(reader.read(&records(8), drop), Some(Millis(8)));
    }

    #[test]
    fn pieces_of_what_is_no_report_are_damage() {
        let mut damaged = bytes(1);
        damaged[0] ^= 0xff;
        let mut reader = Pieces::default();
        let read: Vec<_> = split(&damaged, Millis(1), PAYLOAD_MAX)
            .map(|piece| reader.read(&piece, drop))
            .collect();
        assert!(read[..4].iter().all(Option::is_some) && read[4].is_none(), "{read:?}");
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_read(
            payloads in vec((any::<bool>(), vec(any::<u8>(), 0..60), 0..40_u64, 0..40_u64), 0..8),
        ) {
            let mut reader = Pieces::default();
            for (marked, bytes, begin, len) in payloads {
                let mut payload = Vec::new();
                if marked {
                    payload.extend(MARK.to_le_bytes());
                    payload.extend(7_i64.to_le_bytes());
                    payload.extend(begin.to_le_bytes());
                    payload.extend(len.to_le_bytes());
                }
                payload.extend(bytes);
                let _ = reader.goes_on(&payload);
                let _ = reader.read(&payload, drop);
            }
        }
    }
}
