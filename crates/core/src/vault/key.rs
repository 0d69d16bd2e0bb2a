//! What a record is sealed under: the caller's key, and what is derived from it.

use std::fmt;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::hkdf;
use base64ct::{Base64UrlUnpadded, Encoding as _};
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize as _, ZeroizeOnDrop};

use super::secret::Secret;
use crate::{Code, Error, Result, Tenant};

/// The salt of a tenant's keys, in bytes.
pub const SALT_BYTES: usize = 16;

/// What a generated key begins with: Switchboard's vault key, version 1.
const PREFIX: &str = "swvk1_";

/// 32 bytes in base64url without padding.
const RANDOM_CHARS: usize = 43;

/// The checksum of a generated key: 30 bits.
const CHECKSUM_CHARS: usize = 6;

/// Crockford's alphabet, in lower case: no letter is taken for another.
const CHECKSUM_ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// A caller's key: any text of 1 to 1,024 bytes, taken byte for byte. Wiped when it is dropped.
#[derive(Debug)]
pub struct EncryptionKey(Secret);

/// How a key is made into one to seal under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 256 random bits in their own form: fast, since nobody can guess them.
    Generated,
    /// Anything else: slow, so that guessing is slow.
    Passphrase,
}

/// How the keys of a tenant are derived. A record says under which of its tenant's profiles it was
/// sealed, so that the work can be raised later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Its number with this tenant, from 1.
    pub number: u8,
    /// Random; so that equal keys of two tenants have nothing in common.
    pub salt: [u8; SALT_BYTES],
    /// What a passphrase costs.
    pub work: Work,
}

/// What it costs to derive a key from a passphrase with Argon2id (RFC 9106).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// Memory, in KiB: from 8 for each lane.
    pub memory_kib: u32,
    /// How often it is gone through.
    pub passes: u32,
    /// How many lanes it has; they are filled one after another.
    pub lanes: u32,
}

impl Default for Work {
    /// OWASP's second choice (Password Storage Cheat Sheet, 2026), of equal strength to its first
    /// and the quickest of them here.
    fn default() -> Self {
        Self { memory_kib: 19 * 1024, passes: 2, lanes: 1 }
    }
}

impl Work {
    /// Checks that keys can be derived so.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidRequest`].
    pub fn check(self) -> Result<()> {
        self.params().map(|_| ())
    }

    fn params(self) -> Result<Params> {
        let Self { memory_kib, passes, lanes } = self;
        Params::new(memory_kib, passes, lanes, Some(32)).map_err(|error| {
            let what = "Argon2id can't work with this memory, passes and lanes";
            Error::new(Code::InvalidRequest, what).caused_by(error.to_string())
        })
    }
}

/// The memory of a derivation, kept from one to the next; wiped after each.
#[derive(Default)]
pub struct Workspace(Vec<Block>);

impl fmt::Debug for Workspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workspace").field("kib", &self.0.len()).finish()
    }
}

/// What a caller's key has become for one profile of one tenant: 32 bytes as good as random. Wiped
/// when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientKey([u8; 32]);

impl ZeroizeOnDrop for ClientKey {}

impl Drop for ClientKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientKey([redacted])")
    }
}

impl ClientKey {
    pub(super) fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Gives keys addresses, by which what they have become is found again without the keys themselves.
/// They are keyed hashes: who has not the random bytes learns nothing from one.
#[derive(Clone, Debug)]
pub struct Addressing(blake3::Hasher);

impl Addressing {
    /// With random bytes that nobody else has.
    pub fn new(random: &[u8; 32]) -> Self {
        Self(blake3::Hasher::new_keyed(random))
    }

    /// The address of a key of a tenant under one of its profiles.
    pub fn address(&self, tenant: &Tenant, profile: &Profile, key: &EncryptionKey) -> [u8; 32] {
        let mut address = [0; 32];
        let parts = [&[profile.number], tenant.as_bytes(), &[0], key.expose()];
        hashed(self.0.clone(), &parts, &mut address);
        address
    }
}

impl EncryptionKey {
    /// The longest key, in bytes.
    pub const BYTES_MAX: usize = 1024;

    /// Takes a key as the caller wrote it.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidEncryptionKey`] for none, or more than 1,024 bytes.
    pub fn new(text: String) -> Result<Self> {
        let text = Secret::text(text);
        if text.expose().is_empty() || Self::BYTES_MAX < text.expose().len() {
            let what = "an encryption key is any text of 1 to 1,024 bytes";
            return Err(Error::new(Code::InvalidEncryptionKey, what));
        }
        Ok(Self(text))
    }

    /// A key of these random bytes: `swvk1_`, 43 characters of base64url, `_`, and a checksum of 6
    /// characters over all before.
    pub fn generated(random: &[u8; 32]) -> Self {
        let mut text = String::with_capacity(PREFIX.len() + RANDOM_CHARS + 1 + CHECKSUM_CHARS);
        text.push_str(PREFIX);
        let mut encoded = [0; RANDOM_CHARS];
        // 32 bytes always fit in.
        text.push_str(Base64UrlUnpadded::encode(random, &mut encoded).unwrap_or_default());
        encoded.zeroize();
        let checksum = checksum(text.as_bytes());
        text.push('_');
        text.extend(checksum.map(char::from));
        Self(Secret::text(text))
    }

    /// The key as written.
    pub fn expose(&self) -> &[u8] {
        self.0.expose()
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        if self.random().is_some() { Kind::Generated } else { Kind::Passphrase }
    }

    /// Whether it looks like a generated one and is none: somebody mistyped it.
    pub fn is_mistyped(&self) -> bool {
        self.expose().starts_with(PREFIX.as_bytes()) && self.kind() == Kind::Passphrase
    }

    /// The random bytes of a generated key.
    fn random(&self) -> Option<Secret> {
        let text = self.0.expose();
        let (body, checked) = text.split_at_checked(PREFIX.len() + RANDOM_CHARS)?;
        let encoded = body.strip_prefix(PREFIX.as_bytes())?;
        if checked.strip_prefix(b"_")? != checksum(body) {
            return None;
        }
        let mut random = Secret::new(vec![0; 32]);
        let decoded = Base64UrlUnpadded::decode(encoded, random.expose_mut());
        (decoded.ok()?.len() == 32).then_some(random)
    }

    /// Derives the key of a generated one; none for a passphrase.
    ///
    /// # Errors
    ///
    /// [`Code::Internal`] when the library can't.
    pub fn derive_generated(&self, profile: &Profile) -> Result<Option<ClientKey>> {
        let Some(random) = self.random() else { return Ok(None) };
        extracted(profile, random.expose(), b"switchboard/vault/v1/generated").map(Some)
    }

    /// Derives the key of any; takes a while for a passphrase.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidRequest`] for work that can't be done; [`Code::Internal`].
    pub fn derive(&self, profile: &Profile, workspace: &mut Workspace) -> Result<ClientKey> {
        if let Some(derived) = self.derive_generated(profile)? {
            return Ok(derived);
        }
        let params = profile.work.params()?;
        workspace.0.resize(params.block_count(), Block::new());
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut stretched = Secret::new(vec![0; 32]);
        let done = argon2.hash_password_into_with_memory(
            self.expose(),
            &profile.salt,
            stretched.expose_mut(),
            &mut workspace.0,
        );
        // Whoever saw it could guess keys without the work.
        workspace.0.fill(Block::new());
        zeroize::optimization_barrier(workspace.0.as_slice());
        done.map_err(|error| internal("Argon2id can't derive this key", &error))?;
        extracted(profile, stretched.expose(), b"switchboard/vault/v1/passphrase")
    }
}

/// Ends a hash with these parts, and leaves nothing behind of what went in.
fn hashed(mut hasher: blake3::Hasher, parts: &[&[u8]], to: &mut [u8]) {
    for part in parts {
        hasher.update(part);
    }
    let mut output = hasher.finalize_xof();
    output.fill(to);
    // Both hold the key, and the last of what was hashed. A new hasher in its place wipes what the
    // old one used, and is many times as fast as wiping the room for what it did not.
    output.zeroize();
    hasher = blake3::Hasher::new();
    zeroize::optimization_barrier(&hasher);
}

/// HKDF-SHA-256 (RFC 5869) with the tenant's salt.
fn extracted(profile: &Profile, secret: &[u8], info: &[u8]) -> Result<ClientKey> {
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, &profile.salt).extract(secret);
    let mut key = ClientKey([0; 32]);
    let filled = prk.expand(&[info], hkdf::HKDF_SHA256).and_then(|okm| okm.fill(&mut key.0));
    filled.map_err(|error| internal("HKDF can't derive this key", &error))?;
    Ok(key)
}

fn internal(what: &'static str, error: &impl fmt::Display) -> Error {
    Error::new(Code::Internal, what).caused_by(error.to_string())
}

/// The first 30 bits of SHA-256, five a character.
fn checksum(text: &[u8]) -> [u8; CHECKSUM_CHARS] {
    // Wiped when it is dropped, and never moved.
    let mut hash = Sha256::new();
    let mut digest = [0; 32];
    hash.update(text);
    hash.finalize_into_reset((&mut digest).into());
    let [a, b, c, d, ..] = digest;
    let mut bits = u32::from_be_bytes([a, b, c, d]) >> 2;
    let mut chars = [0; CHECKSUM_CHARS];
    for place in chars.iter_mut().rev() {
        *place = CHECKSUM_ALPHABET[(bits & 31) as usize];
        bits >>= 5;
    }
    chars
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(salt: u8) -> Profile {
        let work = Work { memory_kib: 8, passes: 1, lanes: 1 };
        Profile { number: 1, salt: [salt; SALT_BYTES], work }
    }

    fn key(text: &str) -> EncryptionKey {
        EncryptionKey::new(text.to_owned()).unwrap()
    }

    fn derived(text: &str) -> ClientKey {
        key(text).derive(&profile(1), &mut Workspace::default()).unwrap()
    }

    #[test]
    fn any_text_of_1_to_1024_bytes_is_a_key() {
        for (text, valid) in [("", false), ("5", true), (" ", true), ("ä\0\n", true)] {
            assert_eq!(EncryptionKey::new(text.to_owned()).is_ok(), valid, "{text:?}");
        }
        assert!(EncryptionKey::new("x".repeat(1024)).is_ok());
        let error = EncryptionKey::new("x".repeat(1025)).unwrap_err();
        assert_eq!(error.code(), Code::InvalidEncryptionKey);
    }

    #[test]
    fn a_generated_key_is_known_by_its_form() {
        let generated = EncryptionKey::generated(&[0xa5; 32]);
        let text = str::from_utf8(generated.expose()).unwrap().to_owned();
        assert_eq!(text.len(), 56);
        assert!(text.starts_with("swvk1_paWlpaWl"), "{text}");
        assert_eq!(key(&text).kind(), Kind::Generated);
        assert!(!key(&text).is_mistyped());
        for at in 0..text.len() {
            let mut wrong = text.clone().into_bytes();
            wrong[at] = if wrong[at] == b'b' { b'c' } else { b'b' };
            let wrong = key(&String::from_utf8(wrong).unwrap());
            assert_eq!(wrong.kind(), Kind::Passphrase, "{at}");
            assert_eq!(wrong.is_mistyped(), PREFIX.len() <= at);
        }
        for other in [text.to_uppercase(), text.clone() + "x", text[..55].to_owned()] {
            assert_eq!(key(&other).kind(), Kind::Passphrase);
        }
    }

    #[test]
    fn keys_that_differ_anywhere_are_different() {
        let long = "x".repeat(72);
        assert!(derived(&format!("{long}a")) != derived(&format!("{long}b")));
        assert!(derived(&long) != derived(&format!("{long}\0")));
        assert!(derived("a") != derived("A"));
        assert!(derived("é") != derived("e\u{301}"), "not normalized");
        assert!(derived("a") == derived("a"));
    }

    #[test]
    fn an_address_is_of_one_key_of_one_tenant() {
        let (one, other) = (Addressing::new(&[1; 32]), Addressing::new(&[2; 32]));
        let [a, b] = ["a", "b"].map(|name| name.parse().unwrap());
        let address = one.address(&a, &profile(1), &key("k"));
        assert_eq!(address, one.address(&a, &profile(1), &key("k")));
        let second = Profile { number: 2, ..profile(1) };
        for different in [
            other.address(&a, &profile(1), &key("k")),
            one.address(&b, &profile(1), &key("k")),
            one.address(&a, &second, &key("k")),
            one.address(&a, &profile(1), &key("l")),
        ] {
            assert_ne!(address, different);
        }
    }

    #[test]
    fn a_tenants_salt_makes_a_key_another() {
        let mut workspace = Workspace::default();
        let generated = EncryptionKey::generated(&[7; 32]);
        for key in [key("a"), generated] {
            let [one, other] = [1, 2].map(|salt| key.derive(&profile(salt), &mut workspace));
            assert!(one.unwrap() != other.unwrap());
        }
    }

    #[test]
    fn the_memory_of_a_derivation_is_wiped() {
        let mut workspace = Workspace::default();
        key("a").derive(&profile(1), &mut workspace).unwrap();
        assert_eq!(workspace.0.len(), 8);
        assert!(workspace.0.iter().all(|block| block.as_ref().iter().all(|&word| word == 0)));
    }

    #[test]
    fn a_key_prints_nothing_of_itself() {
        let printed = format!("{:?} {:?}", key("canary"), derived("canary"));
        assert_eq!(printed, "EncryptionKey([redacted]) ClientKey([redacted])");
    }

    #[test]
    fn work_that_is_none() {
        let none = Work { memory_kib: 1, ..Work::default() };
        assert_eq!(none.check().unwrap_err().code(), Code::InvalidRequest);
        assert!(Work::default().check().is_ok());
    }
}
