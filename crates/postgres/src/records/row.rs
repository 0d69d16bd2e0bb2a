//! A row, and whether it is as it was written.
//!
//! The checksums are CRC-32C, of the length of the tenant (u8), the tenant, the length of the id
//! (u16), the id, the version, the time of the change, whether it expires (u8), and when; and of
//! all that with what is sealed. Numbers are big-endian. A row that came to another place is
//! damaged too.

use switchboard_core::{
    Millis, Tenant,
    vault::{Found, Profile, Record, Sealed, Work},
};
use tokio_postgres::Row;

/// All of a row but what is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) version: u64,
    pub(crate) updated_at: i64,
    pub(crate) expires_at: Option<i64>,
}

impl Head {
    pub(crate) fn of(record: &Record) -> Self {
        Self {
            version: record.version,
            updated_at: record.updated_at.0,
            expires_at: record.expires_at.map(|at| at.0),
        }
    }

    /// Whether it is as it was put at this place.
    pub(crate) fn is_sound(&self, tenant: &str, id: &[u8], checks: i64) -> bool {
        u64::from(self.checksum(tenant, id)) == checks.cast_unsigned() >> 32
    }

    /// The checksums of a row.
    pub(crate) fn checks(&self, tenant: &str, id: &[u8], sealed: &[u8]) -> i64 {
        let head = self.checksum(tenant, id);
        let whole = crc32c::crc32c_append(head, sealed);
        (u64::from(head) << 32 | u64::from(whole)).cast_signed()
    }

    fn checksum(&self, tenant: &str, id: &[u8]) -> u32 {
        // A tenant has at most 64 bytes, and an id 256.
        let tenant_len = u8::try_from(tenant.len()).unwrap_or(u8::MAX);
        let id_len = u16::try_from(id.len()).unwrap_or(u16::MAX);
        let mut sum = crc32c::crc32c(&[tenant_len]);
        for part in [tenant.as_bytes(), &id_len.to_be_bytes(), id] {
            sum = crc32c::crc32c_append(sum, part);
        }
        let mut numbers = [0; 8 + 8 + 1 + 8];
        numbers[..8].copy_from_slice(&self.version.to_be_bytes());
        numbers[8..16].copy_from_slice(&self.updated_at.to_be_bytes());
        if let Some(at) = self.expires_at {
            numbers[16] = 1;
            numbers[17..].copy_from_slice(&at.to_be_bytes());
        }
        crc32c::crc32c_append(sum, &numbers)
    }
}

/// The head and the checksums of a row whose columns from this one on are `version`, `updated_at`,
/// `expires_at` and `checks`.
pub(crate) fn head(row: &Row, first: usize) -> Result<(Head, i64), tokio_postgres::Error> {
    let head = Head {
        version: row.try_get::<_, i64>(first)?.cast_unsigned(),
        updated_at: row.try_get(first + 1)?,
        expires_at: row.try_get(first + 2)?,
    };
    Ok((head, row.try_get(first + 3)?))
}

/// The record at a place; what is sealed is none where it can't be read any more.
pub(crate) fn found(
    (tenant, id): (&str, &[u8]),
    (head, checks): (Head, i64),
    sealed: Option<Vec<u8>>,
) -> Found {
    let is_whole = sealed.as_ref().is_some_and(|it| head.checks(tenant, id, it) == checks);
    let record = Record {
        version: head.version,
        updated_at: Millis(head.updated_at),
        expires_at: head.expires_at.map(Millis),
        sealed: Sealed::new(sealed.unwrap_or_default()),
    };
    if is_whole { Found::Whole(record) } else { Found::Damaged(record) }
}

/// The checksum of a profile.
pub(crate) fn profile_checks(tenant: &Tenant, profile: &Profile) -> i64 {
    let Profile { number, salt, work: Work { memory_kib, passes, lanes } } = profile;
    let mut sum = crc32c::crc32c(tenant.as_bytes());
    for part in [&[*number][..], salt] {
        sum = crc32c::crc32c_append(sum, part);
    }
    for word in [memory_kib, passes, lanes] {
        sum = crc32c::crc32c_append(sum, &word.to_be_bytes());
    }
    i64::from(sum)
}

/// The profile of a row: `number`, `memory_kib`, `passes`, `lanes`, `salt`, `checks`. None if it is
/// damaged.
pub(crate) fn profile(row: &Row, tenant: &Tenant) -> Option<Profile> {
    let number = |index| row.try_get::<_, i64>(index).ok().and_then(|it| u32::try_from(it).ok());
    let work = Work { memory_kib: number(1)?, passes: number(2)?, lanes: number(3)? };
    let number = row.try_get::<_, i16>(0).ok()?.try_into().ok()?;
    let salt = row.try_get::<_, &[u8]>(4).ok()?.try_into().ok()?;
    let profile = Profile { number, salt, work };
    let checks: i64 = row.try_get(5).ok()?;
    (profile_checks(tenant, &profile) == checks).then_some(profile)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: Head = Head { version: 7, updated_at: -1, expires_at: None };

    #[test]
    fn a_head_is_sound_at_its_place_alone() {
        let checks = HEAD.checks("a", b"bc", b"sealed");
        assert!(HEAD.is_sound("a", b"bc", checks));
        assert_ne!(checks, HEAD.checks("a", b"bc", b"Sealed"));
        assert!(HEAD.is_sound("a", b"bc", HEAD.checks("a", b"bc", b"Sealed")));
        for (tenant, id) in [("ab", "c"), ("b", "bc"), ("a", "bd"), ("", "abc"), ("a", "b")] {
            assert!(!HEAD.is_sound(tenant, id.as_bytes(), checks), "{tenant} {id}");
        }
        for head in [
            Head { version: 6, ..HEAD },
            Head { version: 7 | 1 << 63, ..HEAD },
            Head { updated_at: 1, ..HEAD },
            Head { expires_at: Some(0), ..HEAD },
            Head { expires_at: Some(i64::MAX), ..HEAD },
        ] {
            assert!(!head.is_sound("a", b"bc", checks), "{head:?}");
        }
        for bit in 32..64 {
            assert!(!HEAD.is_sound("a", b"bc", checks ^ 1 << bit), "bit {bit}");
        }
    }
}
