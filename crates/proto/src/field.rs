//! Reads the fields of a protobuf message where they lie, without an allocation.
//!
//! For the few messages that come in floods; all others are decoded into generated types.

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// An integer, a boolean or an enum.
    Varint(u64),
    /// Eight bytes.
    Fixed64([u8; 8]),
    /// A string, bytes, a message or packed numbers.
    Bytes(&'a [u8]),
    /// Four bytes.
    Fixed32([u8; 4]),
}

/// The fields of a message, in the order in which they stand; none once the rest is no message.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

/// What is no protobuf message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl<'a> Fields<'a> {
    /// The fields of the message that these bytes are.
    pub fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The next field: its number and its value; none at the end.
    ///
    /// # Errors
    ///
    /// [`Malformed`] for what is no field. Groups, which nobody has used for ten years, are none.
    #[inline]
    pub fn next_field(&mut self) -> Result<Option<(u32, Value<'a>)>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = u32::try_from(self.varint()?).map_err(|_| Malformed)?;
        let number = tag >> 3;
        if number == 0 {
            return Err(Malformed);
        }
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(self.fixed()?),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
                let (bytes, rest) = self.rest.split_at_checked(length).ok_or(Malformed)?;
                self.rest = rest;
                Value::Bytes(bytes)
            }
            5 => Value::Fixed32(self.fixed()?),
            _ => return Err(Malformed),
        };
        Ok(Some((number, value)))
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for (place, &byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                // The tenth byte has room for one bit.
                if place == 9 && 1 < byte {
                    return Err(Malformed);
                }
                self.rest = &self.rest[place + 1..];
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    fn fixed<const LEN: usize>(&mut self) -> Result<[u8; LEN], Malformed> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(Malformed)?;
        self.rest = rest;
        Ok(*bytes)
    }
}

/// Appends a varint.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while 0x80 <= value {
        // The lowest seven bits.
        out.push(0x80 | (value & 0x7f) as u8);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The length of a varint, in bytes.
#[inline]
pub const fn varint_len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(message: &[u8], expected: &[(u32, Value<'_>)], ends_well: bool) {
        let mut fields = Fields::of(message);
        let mut found = Vec::new();
        let end = loop {
            match fields.next_field() {
                Ok(Some(field)) => found.push(field),
                end => break end,
            }
        };
        assert_eq!(found, expected);
        assert_eq!(end.is_ok(), ends_well);
    }

    #[test]
    fn fields() {
        check(b"", &[], true);
        check(b"\x08\x96\x01", &[(1, Value::Varint(150))], true);
        check(b"\x12\x02hi\x18\x00", &[(2, Value::Bytes(b"hi")), (3, Value::Varint(0))], true);
        check(b"\x09\x01\0\0\0\0\0\0\0", &[(1, Value::Fixed64([1, 0, 0, 0, 0, 0, 0, 0]))], true);
        check(b"\x0d\x01\0\0\0", &[(1, Value::Fixed32([1, 0, 0, 0]))], true);
        let most = [0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        check(&most, &[(1, Value::Varint(u64::MAX))], true);
    }

    #[test]
    fn what_is_no_field() {
        check(b"\x08", &[], false);
        check(b"\x08\x96", &[], false);
        check(b"\x12\x03hi", &[], false);
        check(b"\x00\x01", &[], false);
        check(b"\x0b", &[], false);
        check(b"\x09\x01", &[], false);
        check(b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", &[], false);
        check(&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02], &[], false);
        check(&[0xff; 11], &[], false);
    }

    #[test]
    fn a_varint_has_the_length_that_is_said() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
            let mut out = vec![0x08];
            put_varint(&mut out, value);
            assert_eq!(out.len() - 1, varint_len(value), "{value}");
            assert_eq!(Fields::of(&out).next_field(), Ok(Some((1, Value::Varint(value)))));
        }
    }
}
