//! A ciphertext that AES-GCM opens under two keys, really made, and what a record makes of it.
//!
//! The tag of AES-GCM is linear in the blocks of the ciphertext, over a field of 2^128 elements.
//! Who knows two keys can solve one equation for one free block, and gets one ciphertext and one
//! tag that are right under both: an "invisible salamander" (Dodis, Grubbs, Ristenpart and Woodage,
//! 2018). Here both plaintexts are even values that are read.

use aes::{
    Aes256,
    cipher::{Array, BlockCipherEncrypt as _},
};
use aes_gcm::{AeadInOut as _, Aes256Gcm, KeyInit as _, Tag};

use super::{
    super::{
        key::{EncryptionKey, Profile, Work, Workspace},
        value::{Content, ContentType},
    },
    *,
};

const BLOCK: usize = 16;

/// How long the ciphertext is.
const LEN: usize = 512;

/// Where its last block begins, which is free: it stands behind both values.
const FREE: usize = LEN - BLOCK;

/// What the second key shows.
const MESSAGE: &[u8] = b"something else altogether";

const PROFILE: Profile = Profile {
    number: 1,
    salt: *b"salt of a tenant",
    work: Work { memory_kib: 8, passes: 1, lanes: 1 },
};

fn key(random: u8) -> ClientKey {
    let key = EncryptionKey::generated(&[random; 32]);
    key.derive(&PROFILE, &mut Workspace::default()).unwrap()
}

fn with_context<T>(act: impl FnOnce(&Context<'_>) -> T) -> T {
    let (tenant, id) = ("acme".parse().unwrap(), RecordId::new("salamander").unwrap());
    let updated_at = Millis(1_790_000_000_000);
    act(&Context { tenant: &tenant, id: &id, version: 1, updated_at, expires_at: None })
}

/// x · y in the field of GCM (NIST SP 800-38D, 6.3): the first bit of a block is the highest here.
fn times(x: u128, mut y: u128) -> u128 {
    (0..128).rev().fold(0, |product, bit| {
        let with = if x >> bit & 1 == 1 { product ^ y } else { product };
        let carried = y & 1 == 1;
        y >>= 1;
        if carried {
            y ^= 0xe1 << 120;
        }
        with
    })
}

/// 1 / x, which is x^(2^128 − 2).
fn inverse(x: u128) -> u128 {
    let (mut power, mut inverse) = (x, 1 << 127);
    for _ in 1..128 {
        power = times(power, power);
        inverse = times(inverse, power);
    }
    inverse
}

/// What one of the two keys makes of a salt.
struct Side {
    record_key: [u8; 32],
    commitment: [u8; 32],
    aes: Aes256,
}

impl Side {
    fn new(key: &ClientKey, salt: &[u8; SALT_BYTES]) -> Self {
        let derived = derive(key, salt);
        let (record_key, commitment) = (derived.key(), derived.commitment());
        Self {
            record_key: record_key.try_into().unwrap(),
            commitment: commitment.try_into().unwrap(),
            aes: Aes256::new_from_slice(record_key).unwrap(),
        }
    }

    /// `E_K` of a block.
    fn encrypted(&self, block: u128) -> u128 {
        let mut block = Array(block.to_be_bytes());
        self.aes.encrypt_block(&mut block);
        u128::from_be_bytes(block.0)
    }

    /// `E_K` of the counter block of this number: 1 masks the tag, 2 the first block of the text.
    fn counted(&self, nonce: [u8; NONCE_LEN], number: u32) -> u128 {
        let mut block = [0; BLOCK];
        block[..NONCE_LEN].copy_from_slice(&nonce);
        block[NONCE_LEN..].copy_from_slice(&number.to_be_bytes());
        self.encrypted(u128::from_be_bytes(block))
    }

    fn hash_key(&self) -> u128 {
        self.encrypted(0)
    }

    fn tag(&self, nonce: [u8; NONCE_LEN], aad: &[u8], ciphertext: &[u8]) -> u128 {
        let hash_key = self.hash_key();
        let blocks = aad.chunks(BLOCK).chain(ciphertext.chunks(BLOCK)).map(|chunk| {
            let mut block = [0; BLOCK];
            block[..chunk.len()].copy_from_slice(chunk);
            u128::from_be_bytes(block)
        });
        let bits = |bytes: &[u8]| bytes.len() as u128 * 8;
        let lengths = bits(aad) << 64 | bits(ciphertext);
        let hash = blocks.chain([lengths]).fold(0, |hash, block| times(hash ^ block, hash_key));
        hash ^ self.counted(nonce, 1)
    }

    /// Opens it with two libraries, and without any commitment.
    fn opened_bare(&self, crafted: &Crafted) -> Vec<u8> {
        let mut plain = crafted.ciphertext.clone();
        let tag = Tag::try_from(&crafted.tag[..]).unwrap();
        let bare = Aes256Gcm::new_from_slice(&self.record_key).unwrap();
        let nonce = Array(crafted.nonce);
        bare.decrypt_inout_detached(&nonce, &crafted.aad, plain.as_mut_slice().into(), &tag)
            .unwrap();
        let mut again = vec![0; LEN];
        cipher(&self.record_key)
            .unwrap()
            .open_separate_gather(
                Nonce::assume_unique_for_key(crafted.nonce),
                Aad::from(&crafted.aad),
                &crafted.ciphertext,
                &crafted.tag,
                &mut again,
            )
            .unwrap();
        assert_eq!(plain, again);
        plain
    }
}

struct Crafted {
    salt: [u8; SALT_BYTES],
    sides: [Side; 2],
    nonce: [u8; NONCE_LEN],
    aad: Vec<u8>,
    ciphertext: Vec<u8>,
    tag: [u8; TAG],
}

impl Crafted {
    /// Looks for a salt under which both plaintexts can be values, writes them, and solves for the
    /// free block.
    fn new(context: &Context<'_>, keys: [&ClientKey; 2]) -> Self {
        let nonce = *nonce(context).as_ref();
        let aad = AssociatedData::new(context, [VERSION, PROFILE.number]).as_bytes().to_vec();
        let (salt, sides) = (0_u64..)
            .find_map(|number| {
                let mut salt = [0; SALT_BYTES];
                salt[..8].copy_from_slice(&number.to_be_bytes());
                let sides = keys.map(|key| Side::new(key, &salt));
                let [one, other] = sides.each_ref().map(|side| side.counted(nonce, 2));
                let difference = (one ^ other).to_be_bytes();
                let fits = difference[0] == 0
                    && (4..=127).contains(&difference[1])
                    && difference[2..5].iter().all(|byte| matches!(byte, b' '..=b'~'));
                fits.then_some((salt, sides))
            })
            .unwrap();
        let mut ciphertext = Self::two_values(&sides, nonce);
        let [one, other] = sides.each_ref().map(|side| side.tag(nonce, &aad, &ciphertext));
        // Behind the free block are itself and the lengths: it counts times the square.
        let [square, other_square] = sides.each_ref().map(|side| {
            let hash_key = side.hash_key();
            times(hash_key, hash_key)
        });
        let free = times(one ^ other, inverse(square ^ other_square));
        ciphertext[FREE..].copy_from_slice(&free.to_be_bytes());
        let tag = sides[0].tag(nonce, &aad, &ciphertext).to_be_bytes();
        Self { salt, sides, nonce, aad, ciphertext, tag }
    }

    /// A ciphertext that is bytes of no said type under one key, and [`MESSAGE`] under the other.
    fn two_values(sides: &[Side; 2], nonce: [u8; NONCE_LEN]) -> Vec<u8> {
        let [mut ciphertext, mut difference] = [Vec::new(), Vec::new()];
        for number in 0..u32::try_from(LEN / BLOCK).unwrap() {
            let [one, other] = sides.each_ref().map(|side| side.counted(nonce, 2 + number));
            ciphertext.extend(one.to_be_bytes());
            difference.extend((one ^ other).to_be_bytes());
        }
        // What the other key shows from the sixth byte on: the end of a long content type, the
        // length, and the message. What the first one shows there is whatever comes of it.
        let visible = (b' '..=b'~').find(|byte| 64 <= difference[5] ^ byte).unwrap();
        let mut plain = vec![1, 0, 0, 0, 0, difference[5] ^ visible];
        let type_end = 2 + usize::from(difference[1]);
        let len = u8::try_from(MESSAGE.len()).unwrap();
        let shown = [&vec![b'x'; type_end - 6][..], &[0, 0, 0, len], MESSAGE].concat();
        plain.extend(shown.iter().zip(&difference[6..]).map(|(byte, mask)| byte ^ mask));
        plain.resize(FREE, 0);
        ciphertext.iter_mut().zip(plain).for_each(|(byte, plain)| *byte ^= plain);
        ciphertext[FREE..].fill(0);
        ciphertext
    }

    fn sealed(&self, commitment: &[u8; 32]) -> Sealed {
        let header = [VERSION, PROFILE.number];
        Sealed::new([&header, &self.salt[..], commitment, &self.ciphertext, &self.tag].concat())
    }
}

/// Whose commitment it is, or nobody's: each key may open it, or tell that it is another's.
fn check(crafted: &Crafted, commitment: [u8; 32], openers: [bool; 2]) {
    let sealed = crafted.sealed(&commitment);
    for (key, expected) in [key(1), key(2)].iter().zip(openers) {
        assert_eq!(opens(key, &sealed), expected);
        match with_context(|context| open(key, context, sealed.clone())) {
            Opening::Opened(_) => assert!(expected),
            Opening::WrongKey => assert!(!expected),
            Opening::Damaged => panic!("both are values"),
        }
    }
}

#[test]
fn what_two_keys_open_as_a_ciphertext_one_opens_as_a_record() {
    let crafted = with_context(|context| Crafted::new(context, [&key(1), &key(2)]));
    // The attack works: without a commitment both keys get a value, and not the same.
    let [one, other] = crafted.sides.each_ref().map(|side| side.opened_bare(&crafted));
    assert_ne!(one, other);
    let [one, other] = [one, other].map(|plain| {
        let all = 0..plain.len();
        Value::read(Secret::new(plain), all).unwrap()
    });
    assert!(matches!(one.content(), Content::Bytes(of, _) if of.as_str() == ContentType::DEFAULT));
    assert!(64 <= one.len());
    assert!(matches!(other.content(), Content::Bytes(_, bytes) if bytes == MESSAGE));
    // A record has one commitment, and so one key at the most.
    let [first, second] = crafted.sides.each_ref().map(|side| side.commitment);
    check(&crafted, first, [true, false]);
    check(&crafted, second, [false, true]);
    let between: [u8; 32] = std::array::from_fn(|at| if at < 16 { first[at] } else { second[at] });
    let both: [u8; 32] = std::array::from_fn(|at| first[at] ^ second[at]);
    for nobodys in [between, both, [0; 32], [255; 32], crafted.sides[0].record_key] {
        check(&crafted, nobodys, [false, false]);
    }
}

#[test]
fn the_field_is_that_of_gcm() {
    let one = 1 << 127;
    let [x, y] =
        [0x0388_dace_60b6_a392_f328_c2b9_71b2_fe78, 0x66e9_4bd4_ef8a_2c3b_884c_fa59_ca34_2b2e];
    // Test case 2 of the paper that GCM comes from.
    assert_eq!(times(x, y), 0x5e2e_c746_9170_6288_2c85_b068_5353_deb7);
    assert_eq!(times(x, one), x);
    assert_eq!(times(x, inverse(x)), one);
}
