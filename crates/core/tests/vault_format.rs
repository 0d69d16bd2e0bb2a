//! Opens sealed values with what `docs/vault.md` says alone, and with other libraries: another
//! program can. The vectors and the table of sizes are read from there.
#![expect(clippy::unwrap_used, reason = "a test; clippy only knows the bodies of #[test]")]

use aes_gcm::{
    Aes256Gcm, KeyInit as _, Nonce,
    aead::{Aead as _, Payload},
};
use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::digest::{SHA256, digest};
use base64ct::{Base64UrlUnpadded, Encoding as _};
use hkdf::Hkdf;
use sha2::Sha256;

const DOCUMENT: &str = include_str!("../../../docs/vault.md");

/// What a line of the vectors says, by its name.
fn vector(name: &str) -> &'static str {
    let named = |line: &&str| line.get(..18).is_some_and(|begin| begin.trim_end() == name);
    DOCUMENT.lines().find(named).unwrap_or_else(|| panic!("{name} is not there"))[18..].trim()
}

fn bytes(name: &str) -> Vec<u8> {
    let hex = vector(name);
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn number<T: std::str::FromStr>(name: &str) -> T {
    vector(name).parse().ok().unwrap()
}

/// HKDF-SHA-256.
fn hkdf(secret: &[u8], info: &str) -> [u8; 32] {
    let hkdf = Hkdf::<Sha256>::new(Some(&bytes("tenant's salt")), secret);
    let mut key = [0; 32];
    hkdf.expand(info.as_bytes(), &mut key).unwrap();
    key
}

/// K of a generated key; none if it is not of that form.
fn of_generated(key: &str) -> Option<[u8; 32]> {
    let (body, end) = key.split_at_checked(49)?;
    let random = Base64UrlUnpadded::decode_vec(body.strip_prefix("swvk1_")?).ok()?;
    let first = u32::from_be_bytes(*digest(&SHA256, body.as_bytes()).as_ref().first_chunk()?);
    let five_bits = |at: usize| (first >> (27 - 5 * at) & 31) as usize;
    let char_of = |at| char::from(b"0123456789abcdefghjkmnpqrstvwxyz"[five_bits(at)]);
    let checksum: String = (0..6).map(char_of).collect();
    (end == format!("_{checksum}")).then(|| hkdf(&random, "switchboard/vault/v1/generated"))
}

/// K of a passphrase.
fn of_passphrase(key: &str) -> [u8; 32] {
    let params = Params::new(19_456, 2, 1, Some(32)).unwrap();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut stretched = [0; 32];
    let salt = bytes("tenant's salt");
    argon2.hash_password_into(key.as_bytes(), &salt, &mut stretched).unwrap();
    hkdf(&stretched, "switchboard/vault/v1/passphrase")
}

/// The keys of the two records, and what they are called.
fn keys() -> [(&'static str, [u8; 32]); 2] {
    let generated = of_generated(vector("generated key")).unwrap();
    [("generated", generated), ("passphrase", of_passphrase(vector("passphrase")))]
}

/// What stands beside a sealed value.
#[derive(Clone)]
struct Beside {
    tenant: String,
    id: String,
    version: u64,
    updated_at: i64,
    expires_at: Option<i64>,
}

impl Beside {
    fn vector() -> Self {
        assert_eq!(vector("expires at"), "none");
        Self {
            tenant: vector("tenant").to_owned(),
            id: vector("id").to_owned(),
            version: number("version"),
            updated_at: number("updated at"),
            expires_at: None,
        }
    }

    fn nonce(&self) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&self.updated_at.to_be_bytes());
        nonce[8..].copy_from_slice(&self.version.to_be_bytes()[4..]);
        nonce
    }

    fn aad(&self, header: &[u8]) -> Vec<u8> {
        let mut aad = b"switchboard/vault/record/v1".to_vec();
        for text in [&self.tenant, &self.id] {
            aad.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
            aad.extend(text.as_bytes());
        }
        aad.extend(self.version.to_be_bytes());
        aad.extend(self.updated_at.to_be_bytes());
        aad.extend(self.expires_at.unwrap_or(i64::MAX).to_be_bytes());
        aad.extend(header);
        aad.resize(aad.len().next_multiple_of(16), 0);
        aad
    }
}

#[derive(Debug, PartialEq)]
enum Opened {
    Json(String),
    Bytes(String, Vec<u8>),
    WrongKey,
    Damaged,
}

/// The key of a record, and its commitment.
fn derived(key: &[u8; 32], salt: &[u8]) -> [u8; 64] {
    let block = |counter: u32| digest(&SHA256, &[&counter.to_be_bytes(), &key[..], salt].concat());
    let blocks = [block(1), block(2)];
    let [first, second] = blocks.each_ref().map(AsRef::as_ref);
    [first, second].concat().try_into().unwrap()
}

/// The plaintext with its padding, or why there is none.
fn decrypted(key: &[u8; 32], beside: &Beside, sealed: &[u8]) -> Result<Vec<u8>, Opened> {
    if sealed.len() < 50 || sealed[0] != 1 {
        return Err(Opened::Damaged);
    }
    let derived = derived(key, &sealed[2..18]);
    if derived[32..] != sealed[18..50] {
        return Err(Opened::WrongKey);
    }
    let cipher = Aes256Gcm::new_from_slice(&derived[..32]).unwrap();
    let payload = Payload { msg: &sealed[50..], aad: &beside.aad(&sealed[..2]) };
    cipher.decrypt(&Nonce::from(beside.nonce()), payload).map_err(|_| Opened::Damaged)
}

fn open(key: &[u8; 32], beside: &Beside, sealed: &[u8]) -> Opened {
    let plain = match decrypted(key, beside, sealed) {
        Ok(plain) => plain,
        Err(why) => return why,
    };
    let type_end = 2 + usize::from(plain[1]);
    let content_type = String::from_utf8(plain[2..type_end].to_vec()).unwrap();
    let begin = type_end + 4;
    let len = u32::from_be_bytes(plain[type_end..begin].try_into().unwrap());
    let end = begin + usize::try_from(len).unwrap();
    assert_eq!(plain.len(), padded(end));
    assert!(plain[end..].iter().all(|&byte| byte == 0));
    let value = plain[begin..end].to_vec();
    match plain[0] {
        0 => Opened::Json(String::from_utf8(value).unwrap()),
        1 => Opened::Bytes(content_type, value),
        _ => Opened::Damaged,
    }
}

fn padded(len: usize) -> usize {
    if len <= 256 {
        return len.next_multiple_of(32);
    }
    let e = len.ilog2();
    let s = e.ilog2() + 1;
    len.next_multiple_of(1 << (e - s))
}

#[test]
fn both_records_open_to_the_value() {
    let beside = Beside::vector();
    for (name, key) in keys() {
        assert_eq!(key[..], bytes(&format!("{name} K")), "{name}");
        let sealed = bytes(&format!("{name} sealed"));
        assert_eq!(sealed[1], number::<u8>("profile"));
        assert_eq!(sealed[2..18], bytes("record's salt"));
        let opened = open(&key, &beside, &sealed);
        assert_eq!(opened, Opened::Json(vector("value").to_owned()), "{name}");
    }
}

#[test]
fn the_steps_between_are_as_written() {
    let (beside, [(_, key), _]) = (Beside::vector(), keys());
    let sealed = bytes("generated sealed");
    assert_eq!(beside.nonce()[..], bytes("nonce"));
    assert_eq!(beside.aad(&sealed[..2]), bytes("AAD"));
    assert_eq!(decrypted(&key, &beside, &sealed).unwrap(), bytes("plaintext"));
    let derived = derived(&key, &sealed[2..18]);
    assert_eq!(derived[..32], bytes("record key"));
    assert_eq!(derived[32..], bytes("commitment"));
}

#[test]
fn a_wrong_key_is_told_by_the_commitment() {
    let (beside, [(_, generated), (_, passphrase)]) = (Beside::vector(), keys());
    assert_eq!(open(&passphrase, &beside, &bytes("generated sealed")), Opened::WrongKey);
    assert_eq!(open(&generated, &beside, &bytes("passphrase sealed")), Opened::WrongKey);
}

#[test]
fn a_mistyped_generated_key_is_none() {
    let key = vector("generated key");
    for (at, byte) in key.bytes().enumerate() {
        let other = if byte == b'b' { "c" } else { "b" };
        let mistyped = format!("{}{other}{}", &key[..at], &key[at + 1..]);
        assert_eq!(of_generated(&mistyped), None, "{mistyped}");
    }
}

#[test]
fn a_flipped_bit_or_another_place_is_told_by_the_tag() {
    let here = Beside::vector();
    for (name, key) in keys() {
        let sealed = bytes(&format!("{name} sealed"));
        for at in (0..2).chain(50..sealed.len()) {
            for bit in 0..8 {
                let mut flipped = sealed.clone();
                flipped[at] ^= 1 << bit;
                assert_eq!(open(&key, &here, &flipped), Opened::Damaged, "byte {at}");
            }
        }
        let elsewhere = [
            Beside { tenant: "defaul".to_owned(), ..here.clone() },
            Beside { id: "tconfig".to_owned(), ..here.clone() },
            Beside { version: 2, ..here.clone() },
            Beside { updated_at: here.updated_at + 1, ..here.clone() },
            Beside { expires_at: Some(here.updated_at), ..here.clone() },
        ];
        for beside in elsewhere {
            assert_eq!(open(&key, &beside, &sealed), Opened::Damaged);
        }
    }
}

/// A line of the table: bytes of JSON, padded, sealed, and what was added in percent.
#[test]
fn the_table_of_sizes_is_as_computed() {
    let number = |text: &str| text.trim().replace(',', "").parse::<usize>().ok();
    let rows = DOCUMENT.lines().filter_map(|line| {
        let cells: Vec<_> = line.strip_prefix('|')?.split('|').collect();
        let [len, plain, sealed] = [0, 1, 2].map(|at| number(cells.get(at)?));
        Some((len?, plain?, sealed?, cells.get(3)?.replace(',', "")))
    });
    let mut count = 0;
    for (len, plain, sealed, percent) in rows {
        assert_eq!((plain, sealed), (padded(6 + len), 66 + padded(6 + len)), "{len}");
        let tenths = ((sealed - len) * 1_000 + len / 2) / len;
        assert_eq!(percent.trim(), format!("{}.{} %", tenths / 10, tenths % 10), "{len}");
        count += 1;
    }
    assert_eq!(count, 8);
}
