//! How long a value seems to be.

/// Below this length steps are [`STEP`] bytes.
const SHORT: usize = 256;

/// The step of short values, in bytes: `true` and `false`, or two short names, are of one length.
const STEP: usize = 32;

/// The length to which so many bytes are padded: steps of 32 bytes up to 256, and Padmé beyond
/// (Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and Communication with PURBs",
/// `PoPETs` 2019): of a length only as many leading bits are kept as its own length has, so that at
/// most 12 % are added.
pub const fn padded(len: usize) -> usize {
    if len <= SHORT {
        let steps = len.div_ceil(STEP);
        return if steps == 0 { STEP } else { steps * STEP };
    }
    // Nothing near the end of the numbers is ever sealed.
    let exponent = len.ilog2();
    let kept = exponent.ilog2() + 1;
    let mask = (1 << (exponent - kept)) - 1;
    (len + mask) & !mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(len: usize, expected: usize) {
        assert_eq!(padded(len), expected, "{len}");
    }

    #[test]
    fn lengths() {
        check(0, 32);
        check(1, 32);
        check(32, 32);
        check(33, 64);
        check(256, 256);
        check(257, 272);
        check(1_024, 1_024);
        check(1_030, 1_088);
        check(1 << 20, 1 << 20);
        check((1 << 20) + 1, (1 << 20) + (1 << 15));
    }

    #[test]
    fn little_is_added_and_never_taken_away() {
        let mut before = 0;
        for len in 1..100_000 {
            let now = padded(len);
            assert!(len <= now && before <= now);
            assert!(len < SHORT || (now - len) * 100 <= len * 12, "{len} becomes {now}");
            assert_eq!(padded(now), now);
            before = now;
        }
    }
}
