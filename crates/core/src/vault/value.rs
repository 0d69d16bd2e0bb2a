//! What is kept in the vault.

use std::{fmt, ops::Range};

use super::{json, secret::Secret};
use crate::{Code, Error, Result};

/// The longest value, in bytes: of its JSON text, or of the bytes.
pub const VALUE_BYTES_MAX: usize = 1024 * 1024;

const JSON: u8 = 0;
const BYTES: u8 = 1;

/// The bytes before a value, beside its content type: what it is, the length of the content type,
/// and its own.
const HEADER: usize = 1 + 1 + 4;

/// A value: a JSON text just as its caller wrote it, or bytes with a content type. Wiped when it is
/// dropped.
pub struct Value {
    bytes: Secret,
    /// Where in the bytes it begins and ends.
    begin: usize,
    end: usize,
    /// None: JSON.
    content_type: Option<ContentType>,
}

/// What a value is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Content<'a> {
    /// A JSON text.
    Json(&'a str),
    /// Bytes, and what they are.
    Bytes(&'a ContentType, &'a [u8]),
}

/// What bytes are, as in the header of this name: 1 to 127 characters of visible ASCII and spaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentType(Box<str>);

impl ContentType {
    /// What bytes are of which nothing is said.
    pub const DEFAULT: &str = "application/octet-stream";

    /// Takes a content type as it is written; an empty one is [`ContentType::DEFAULT`].
    ///
    /// # Errors
    ///
    /// [`Code::InvalidValue`].
    pub fn new(text: &str) -> Result<Self> {
        if 127 < text.len() || !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            let what = "a content type is 1 to 127 characters of visible ASCII";
            return Err(Error::new(Code::InvalidValue, what));
        }
        Ok(Self(if text.is_empty() { Self::DEFAULT } else { text }.into()))
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value {
    /// Takes a JSON text. It is given back byte for byte.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidValue`] for what is no JSON, nested deeper than 127, or has half of a pair of
    /// surrogates; [`Code::TooLarge`].
    pub fn json(text: String) -> Result<Self> {
        let text = Secret::text(text);
        let read = str::from_utf8(text.expose()).unwrap_or_default();
        json::check(read).map_err(|fault| {
            Error::new(Code::InvalidValue, format!("the value is no JSON that is kept: {fault}"))
        })?;
        Self::of(text, None)
    }

    /// Takes bytes.
    ///
    /// # Errors
    ///
    /// [`Code::TooLarge`].
    pub fn bytes(content_type: ContentType, bytes: Vec<u8>) -> Result<Self> {
        Self::of(Secret::new(bytes), Some(content_type))
    }

    fn of(bytes: Secret, content_type: Option<ContentType>) -> Result<Self> {
        let end = bytes.expose().len();
        if VALUE_BYTES_MAX < end {
            let what = format!("a value has at most {VALUE_BYTES_MAX} bytes, this one has {end}");
            return Err(Error::new(Code::TooLarge, what));
        }
        Ok(Self { bytes, begin: 0, end, content_type })
    }

    /// What it is.
    pub fn content(&self) -> Content<'_> {
        let bytes = self.bytes.expose().get(self.begin..self.end).unwrap_or_default();
        match &self.content_type {
            // Checked before it was sealed; who sealed anything else gets `null`.
            None => Content::Json(str::from_utf8(bytes).unwrap_or("null")),
            Some(content_type) => Content::Bytes(content_type, bytes),
        }
    }

    /// How long it is, in bytes.
    pub fn len(&self) -> usize {
        self.end - self.begin
    }

    /// Whether it has no bytes. A JSON text has some.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How long it is with what stands before it.
    pub(super) fn plain_len(&self) -> usize {
        HEADER + self.content_type.as_ref().map_or(0, |it| it.0.len()) + self.len()
    }

    /// Appends it, with what stands before it.
    pub(super) fn write(&self, to: &mut Vec<u8>) {
        let content_type = self.content_type.as_ref().map_or("", ContentType::as_str);
        to.push(if self.content_type.is_none() { JSON } else { BYTES });
        // Both lengths are bounded far below.
        to.push(u8::try_from(content_type.len()).unwrap_or(u8::MAX));
        to.extend_from_slice(content_type.as_bytes());
        to.extend_from_slice(&u32::try_from(self.len()).unwrap_or(u32::MAX).to_be_bytes());
        to.extend_from_slice(self.bytes.expose().get(self.begin..self.end).unwrap_or_default());
    }

    /// Reads what [`Value::write`] wrote, with anything behind it, where it stands.
    pub(super) fn read(bytes: Secret, at: Range<usize>) -> Option<Self> {
        let (behind, all) = (at.end, bytes.expose().get(at)?);
        let (&[kind, type_len], rest) = all.split_first_chunk()?;
        let (content_type, rest) = rest.split_at_checked(type_len.into())?;
        let (&len, rest) = rest.split_first_chunk()?;
        let begin = behind - rest.len();
        let value = rest.get(..usize::try_from(u32::from_be_bytes(len)).ok()?)?;
        let end = begin + value.len();
        let content_type = match kind {
            JSON if content_type.is_empty() => None,
            BYTES => Some(ContentType::new(str::from_utf8(content_type).ok()?).ok()?),
            _ => return None,
        };
        Some(Self { bytes, begin, end, content_type })
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.content() == other.content()
    }
}

impl Eq for Value {}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Value([redacted])")
    }
}

impl fmt::Debug for Content<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Content([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: Vec<u8>) -> Option<Value> {
        let all = 0..bytes.len();
        Value::read(Secret::new(bytes), all)
    }

    #[test]
    fn what_comes_out_is_what_went_in() {
        let json = Value::json(" {\"a\": 1.0} ".to_owned()).unwrap();
        let bytes = Value::bytes(ContentType::new("image/png").unwrap(), vec![0, 255]).unwrap();
        let empty = Value::bytes(ContentType::new("").unwrap(), Vec::new()).unwrap();
        for value in [json, bytes, empty] {
            let mut plain = Vec::new();
            value.write(&mut plain);
            assert_eq!(plain.len(), value.plain_len());
            for padding in [0, 7] {
                let mut padded = plain.clone();
                padded.resize(plain.len() + padding, 0);
                assert!(read(padded).unwrap() == value);
            }
            assert!(read(plain.clone()).unwrap() == value);
            for cut in 0..plain.len() {
                assert!(read(plain[..cut].to_vec()).is_none());
            }
        }
    }

    #[test]
    fn what_is_not_taken() {
        let code = |taken: Result<Value>| taken.unwrap_err().code();
        assert_eq!(code(Value::json("nope".to_owned())), Code::InvalidValue);
        assert_eq!(code(Value::json("1".repeat(VALUE_BYTES_MAX + 1))), Code::TooLarge);
        assert!(Value::json("1".repeat(VALUE_BYTES_MAX)).is_ok());
        let plain = ContentType::new("").unwrap();
        assert_eq!(plain.as_str(), ContentType::DEFAULT);
        assert_eq!(code(Value::bytes(plain, vec![0; VALUE_BYTES_MAX + 1])), Code::TooLarge);
        assert_eq!(ContentType::new(&"a".repeat(128)).unwrap_err().code(), Code::InvalidValue);
        assert_eq!(ContentType::new("a\nb").unwrap_err().code(), Code::InvalidValue);
    }

    #[test]
    fn a_value_prints_nothing_of_itself() {
        let value = Value::json("\"canary\"".to_owned()).unwrap();
        assert!(!format!("{value:?} {:?}", value.content()).contains("canary"));
        let error = Value::json("\"canary".to_owned()).unwrap_err();
        assert!(!error.chain().to_string().contains("canary"));
    }
}
