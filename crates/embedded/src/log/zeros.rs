//! What of a segment was ever written: all behind it is zeros.

/// Compared at once. Byte by byte, looking at segments took most of the time in which a store was
/// opened.
const BLOCK: [u8; 4_096] = [0; 4_096];

/// Whether there are only zeros.
pub(super) fn only(bytes: &[u8]) -> bool {
    let (blocks, rest) = bytes.as_chunks();
    blocks.iter().all(|block| *block == BLOCK) && rest.iter().all(|&byte| byte == 0)
}

/// How many bytes there are up to the last that is not zero.
pub(super) fn without(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let Some((before, block)) = rest.split_last_chunk()
        && *block == BLOCK
    {
        rest = before;
    }
    rest.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn zeros_are_told_from_what_was_written(
            len in 0..20_000_usize,
            written in vec(0..20_000_usize, 0..3),
        ) {
            let mut bytes = vec![0; len];
            for at in written {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = 1;
                }
            }
            prop_assert_eq!(only(&bytes), bytes.iter().all(|&byte| byte == 0));
            let used = without(&bytes);
            prop_assert!(bytes[used..].iter().all(|&byte| byte == 0));
            prop_assert!(used == 0 || bytes[used - 1] != 0);
        }
    }
}
