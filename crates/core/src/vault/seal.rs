//! Sealing a value, and opening it again.
//!
//! Each record has a key of its own, derived from the caller's and a random salt, and used once.
//! The same derivation gives a *commitment*: whoever opens a record first compares it, so that a
//! wrong key is told before anything is decrypted, and no record opens under two keys (AES-GCM
//! alone would let one be crafted that does). Whose record it is, under which id, and all else that
//! stands beside it is authenticated, so that it opens nowhere else.

use std::fmt;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    constant_time,
};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroize as _;

use super::{RecordId, key::ClientKey, padding::padded, secret::Secret, value::Value};
use crate::{Code, Error, Millis, Result, Tenant};

/// The random part of a record, in bytes.
pub const SALT_BYTES: usize = 16;

/// What a sealed value has beside the padded value, in bytes.
pub const OVERHEAD: usize = HEADER + TAG;

const VERSION: u8 = 1;
const TAG: usize = 16;

/// The version, the profile, the salt and the commitment.
const HEADER: usize = 2 + SALT_BYTES + 32;

const LABEL: &[u8] = b"switchboard/vault/record/v1";

/// The longest data that is authenticated beside the value.
const AAD_MAX: usize =
    (LABEL.len() + 4 + Tenant::LEN_MAX + 4 + RecordId::BYTES_MAX + 3 * 8 + 2).next_multiple_of(16);

/// A sealed value:
///
/// ```text
/// version u8 = 1 | profile u8 | salt [16] | commitment [32] | ciphertext | tag [16]
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(Vec<u8>);

impl Sealed {
    /// Takes bytes that may be a sealed value; [`open`] tells whether they are.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Under which of its tenant's profiles it was sealed, if it is of a version that is known.
    pub fn profile(&self) -> Option<u8> {
        self.0.strip_prefix(&[VERSION])?.first().copied()
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

/// Where a record stands: it opens nowhere else.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Whose it is.
    pub tenant: &'a Tenant,
    /// Under which id.
    pub id: &'a RecordId,
    /// Its version.
    pub version: u64,
    /// When it was stored.
    pub updated_at: Millis,
    /// From when on it is gone.
    pub expires_at: Option<Millis>,
}

/// What came of opening.
#[derive(Debug, PartialEq, Eq)]
pub enum Opening {
    /// The value.
    Opened(Value),
    /// It was sealed under another key.
    WrongKey,
    /// It was sealed under this key, and is not what it was, or not where it was.
    Damaged,
}

/// Seals a value with a random salt that is used once.
///
/// # Errors
///
/// [`Code::Internal`] when the library can't.
pub fn seal(
    key: &ClientKey,
    profile: u8,
    context: &Context<'_>,
    value: &Value,
    salt: &[u8; SALT_BYTES],
) -> Result<Sealed> {
    let len = padded(value.plain_len());
    let mut bytes = Vec::with_capacity(HEADER + len + TAG);
    bytes.extend_from_slice(&[VERSION, profile]);
    bytes.extend_from_slice(salt);
    let derived = derive(key, salt);
    bytes.extend_from_slice(derived.commitment());
    value.write(&mut bytes);
    bytes.resize(HEADER + len, 0);
    let (header, plain) = bytes.split_at_mut(HEADER);
    let aad = AssociatedData::new(context, [header[0], header[1]]);
    let sealed = cipher(derived.key()).and_then(|cipher| {
        cipher.seal_in_place_separate_tag(nonce(context), Aad::from(aad.as_bytes()), plain).ok()
    });
    let Some(tag) = sealed else {
        bytes.zeroize();
        return Err(Error::new(Code::Internal, "a value could not be sealed"));
    };
    bytes.extend_from_slice(tag.as_ref());
    Ok(Sealed(bytes))
}

/// Opens a value, where it is.
pub fn open(key: &ClientKey, context: &Context<'_>, sealed: Sealed) -> Opening {
    let mut bytes = Secret::new(sealed.0);
    let Some((header, body)) = bytes.expose_mut().split_at_mut_checked(HEADER) else {
        return Opening::Damaged;
    };
    let &mut [VERSION, profile, ..] = header else { return Opening::Damaged };
    let Some((salt, commitment)) = header[2..].split_first_chunk() else { return Opening::Damaged };
    let derived = derive(key, salt);
    if constant_time::verify_slices_are_equal(derived.commitment(), commitment).is_err() {
        return Opening::WrongKey;
    }
    let aad = AssociatedData::new(context, [VERSION, profile]);
    let opened = cipher(derived.key()).and_then(|cipher| {
        let (nonce, aad) = (nonce(context), Aad::from(aad.as_bytes()));
        cipher.open_in_place(nonce, aad, body).ok().map(|plain| plain.len())
    });
    match opened.and_then(|len| Value::read(bytes, HEADER..HEADER + len)) {
        Some(value) => Opening::Opened(value),
        None => Opening::Damaged,
    }
}

/// Whether a value was sealed under this key: the commitment alone is looked at.
pub fn opens(key: &ClientKey, sealed: &Sealed) -> bool {
    let Some(header) = sealed.0.get(..HEADER) else { return false };
    let Some((salt, commitment)) = header[2..].split_first_chunk() else { return false };
    let derived = derive(key, salt);
    header[0] == VERSION
        && constant_time::verify_slices_are_equal(derived.commitment(), commitment).is_ok()
}

/// The key of a record, and its commitment: the one-step derivation of NIST SP 800-56C with
/// SHA-256, two blocks long. Each is one step of the hash, pseudorandom to whoever lacks the key,
/// and as hard to find two keys of the same commitment for as two texts of the same hash.
fn derive(key: &ClientKey, salt: &[u8; SALT_BYTES]) -> Derived {
    let mut derived = Derived([0; 64]);
    // Wiped when it is dropped, and never moved.
    let mut hash = Sha256::new();
    for (block, counter) in derived.0.as_chunks_mut::<32>().0.iter_mut().zip(1_u32..) {
        hash.update(counter.to_be_bytes());
        hash.update(key.expose());
        hash.update(salt);
        hash.finalize_into_reset(block.into());
    }
    derived
}

/// A record's key and its commitment; wiped when it is dropped.
struct Derived([u8; 64]);

impl Derived {
    fn key(&self) -> &[u8] {
        &self.0[..32]
    }

    fn commitment(&self) -> &[u8] {
        &self.0[32..]
    }
}

impl Drop for Derived {
    fn drop(&mut self) {
        self.0.fill(0);
        zeroize::optimization_barrier(&self.0);
    }
}

fn cipher(key: &[u8]) -> Option<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, key).ok().map(LessSafeKey::new)
}

/// A key is used once, so that any nonce would do. Should a salt ever come twice, as it may in two
/// copies of one machine, this one still differs in nearly all cases.
fn nonce(context: &Context<'_>) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce[..8].copy_from_slice(&context.updated_at.0.to_be_bytes());
    nonce[8..].copy_from_slice(&context.version.to_be_bytes()[4..]);
    Nonce::assume_unique_for_key(nonce)
}

/// What is authenticated beside the value. Texts have their length before them, so that no two
/// contexts are written alike.
struct AssociatedData {
    bytes: [u8; AAD_MAX],
    len: usize,
}

impl AssociatedData {
    fn new(context: &Context<'_>, header: [u8; 2]) -> Self {
        let mut data = Self { bytes: [0; AAD_MAX], len: 0 };
        data.push(LABEL);
        for text in [context.tenant.as_str(), context.id.as_str()] {
            // Both are bounded far below.
            data.push(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
            data.push(text.as_bytes());
        }
        data.push(&context.version.to_be_bytes());
        data.push(&context.updated_at.0.to_be_bytes());
        data.push(&context.expires_at.map_or(i64::MAX, |at| at.0).to_be_bytes());
        data.push(&header);
        // The cipher takes whole blocks quicker.
        data.len = data.len.next_multiple_of(16);
        data
    }

    fn push(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        // It has room for the longest tenant and id.
        if let Some(place) = self.bytes.get_mut(self.len..end) {
            place.copy_from_slice(bytes);
            self.len = end;
        }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

#[cfg(test)]
mod crafted;
#[cfg(test)]
mod tests;
