//! The framing of plain TCP, which both ends use.
//!
//! The stream in either direction is one endless protobuf message whose fields are the frames: each
//! is exactly one length-delimited field, so the tag and the length that protobuf writes anyway are
//! the framing, and an encoded `ClientFrame` or `ServerFrame` is its own frame.

use std::{error, fmt};

/// The longest tag and the longest length, in bytes: those of 32 bits.
const VARINT_MAX: usize = 5;

/// One frame, where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The field number.
    pub number: u32,
    /// The message in the field.
    pub payload: &'a [u8],
    /// All of it: tag, length and payload.
    pub whole: &'a [u8],
}

/// Why a stream can't be understood from here on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// A field that is not length-delimited, or none at all.
    Tag,
    /// A tag or a length of more than 32 bits.
    Varint,
    /// A payload of so many bytes, which is more than allowed.
    TooLong(u32),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag => f.write_str("a frame is a length-delimited field of protobuf"),
            Self::Varint => f.write_str("the tag or the length of a frame is over 32 bits"),
            Self::TooLong(bytes) => write!(f, "a frame of {bytes} bytes is too long"),
        }
    }
}

impl error::Error for Malformed {}

/// The frame at the beginning of a buffer; none while a part of it is missing.
///
/// # Errors
///
/// [`Malformed`] as soon as what is there can't become a frame of at most `payload_max` bytes of
/// payload.
#[inline]
pub fn next(buffer: &[u8], payload_max: usize) -> Result<Option<Frame<'_>>, Malformed> {
    let Some((tag, rest)) = varint(buffer)? else { return Ok(None) };
    // 2 is the wire type of what has a length.
    if tag & 7 != 2 || tag >> 3 == 0 {
        return Err(Malformed::Tag);
    }
    let Some((length, rest)) = varint(rest)? else { return Ok(None) };
    let len = usize::try_from(length).map_err(|_| Malformed::TooLong(length))?;
    if payload_max < len {
        return Err(Malformed::TooLong(length));
    }
    let Some(payload) = rest.get(..len) else { return Ok(None) };
    let whole = &buffer[..buffer.len() - rest.len() + len];
    Ok(Some(Frame { number: tag >> 3, payload, whole }))
}

#[inline]
fn varint(buffer: &[u8]) -> Result<Option<(u32, &[u8])>, Malformed> {
    if let Some((&byte, rest)) = buffer.split_first()
        && byte < 0x80
    {
        return Ok(Some((byte.into(), rest)));
    }
    let mut value = 0_u64;
    for (place, &byte) in buffer.iter().take(VARINT_MAX).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte < 0x80 {
            let value = u32::try_from(value).map_err(|_| Malformed::Varint)?;
            return Ok(Some((value, &buffer[place + 1..])));
        }
    }
    if buffer.len() < VARINT_MAX { Ok(None) } else { Err(Malformed::Varint) }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::field::put_varint;

    #[test]
    fn frames() {
        let hello = b"\x0a\x0f\x0a\x0dHello, World!";
        let frame = next(hello, 64).unwrap().unwrap();
        assert_eq!((frame.number, frame.payload, frame.whole), (1, &hello[2..], &hello[..]));
        for end in 0..hello.len() {
            assert_eq!(next(&hello[..end], 64), Ok(None));
        }
        assert_eq!(next(b"\x0a\x00", 0).unwrap().unwrap().payload, b"");
        assert_eq!(next(b"\x0a\x05", 4), Err(Malformed::TooLong(5)));
        assert_eq!(next(b"\x08\x00", 64), Err(Malformed::Tag));
        assert_eq!(next(b"\x02\x00", 64), Err(Malformed::Tag));
        assert_eq!(next(b"\xff\xff\xff\xff\x7f", 64), Err(Malformed::Varint));
        assert_eq!(next(b"\x82\x80\x80\x80\x80\x00", 64), Err(Malformed::Varint));
        assert_eq!(next(b"GET / HTTP/1.1\r\n", 64), Err(Malformed::Tag));
    }

    proptest! {
        #[test]
        fn frames_come_back_however_the_stream_is_cut(
            frames in vec((1_u32..5_000, vec(any::<u8>(), 0..300)), 0..20),
            cuts in vec(1_usize..200, 1..50),
        ) {
            let mut stream = Vec::new();
            for (number, payload) in &frames {
                put_varint(&mut stream, u64::from(number << 3 | 2));
                put_varint(&mut stream, payload.len() as u64);
                stream.extend(payload);
            }
            let (mut buffer, mut found) = (Vec::new(), Vec::new());
            let mut cuts = cuts.iter().cycle();
            while !stream.is_empty() {
                let cut = stream.len().min(*cuts.next().unwrap());
                buffer.extend(stream.drain(..cut));
                while let Some(frame) = next(&buffer, 300).unwrap() {
                    found.push((frame.number, frame.payload.to_vec()));
                    let len = frame.whole.len();
                    buffer.drain(..len);
                }
            }
            prop_assert_eq!(found, frames);
            prop_assert!(buffer.is_empty());
        }

        #[test]
        fn no_bytes_break_it(bytes in vec(any::<u8>(), 0..100)) {
            if let Ok(Some(frame)) = next(&bytes, 50) {
                prop_assert!(frame.payload.len() <= 50);
                prop_assert!(frame.whole.ends_with(frame.payload));
            }
        }
    }
}
