//! Numbers and texts, as they stand in bytes: little-endian, a text behind its length.

use switchboard_core::Tenant;

/// Bytes that are read from the front.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn chunk<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (&taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.chunk().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.chunk().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.chunk().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.chunk().map(u64::from_le_bytes)
    }

    pub(super) fn i64(&mut self) -> Option<i64> {
        self.chunk().map(i64::from_le_bytes)
    }

    /// A text behind its length.
    pub(super) fn text(&mut self) -> Option<&'a str> {
        let len = self.u16()?;
        str::from_utf8(self.take(len.into())?).ok()
    }

    pub(super) fn tenant(&mut self) -> Option<Tenant> {
        self.text()?.parse().ok()
    }

    /// As many as are said to follow: no more are made room for than can be there.
    pub(super) fn list<T>(
        &mut self,
        mut one: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        let count = self.u32()?;
        let mut list = Vec::with_capacity((count as usize).min(self.0.len()));
        for _ in 0..count {
            list.push(one(self)?);
        }
        Some(list)
    }
}

/// Appends a text behind its length. None is longer than 64 KiB.
pub(super) fn put_text(text: &str, to: &mut Vec<u8>) {
    to.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
    to.extend_from_slice(text.as_bytes());
}

/// Appends things behind how many there are. There are fewer than 2^32 of anything.
pub(super) fn put_list<T>(list: &[T], to: &mut Vec<u8>, mut one: impl FnMut(&T, &mut Vec<u8>)) {
    to.extend_from_slice(&u32::try_from(list.len()).unwrap_or(u32::MAX).to_le_bytes());
    for thing in list {
        one(thing, to);
    }
}
