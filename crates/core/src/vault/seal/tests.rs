//! What sealing promises.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::{
    super::{
        key::{EncryptionKey, Profile, Work, Workspace},
        value::{Content, ContentType},
    },
    *,
};

const PROFILE: Profile = Profile {
    number: 3,
    salt: *b"salt of a tenant",
    work: Work { memory_kib: 8, passes: 1, lanes: 1 },
};

fn key(text: &str) -> ClientKey {
    let key = EncryptionKey::new(text.to_owned()).unwrap();
    key.derive(&PROFILE, &mut Workspace::default()).unwrap()
}

/// Where a record stands, to be varied.
#[expect(clippy::struct_field_names, reason = "they are those of a context")]
struct At {
    tenant: Tenant,
    id: RecordId,
    version: u64,
    updated_at: Millis,
    expires_at: Option<Millis>,
}

impl At {
    fn here() -> Self {
        Self {
            tenant: "acme".parse().unwrap(),
            id: RecordId::new("engineering-jobs-1").unwrap(),
            version: 7,
            updated_at: Millis(1_790_000_000_000),
            expires_at: None,
        }
    }

    fn context(&self) -> Context<'_> {
        let Self { tenant, id, version, updated_at, expires_at } = self;
        Context { tenant, id, version: *version, updated_at: *updated_at, expires_at: *expires_at }
    }
}

/// Opens a copy.
fn open(key: &ClientKey, context: &Context<'_>, sealed: &Sealed) -> Opening {
    super::open(key, context, sealed.clone())
}

fn sealed(key: &ClientKey, value: &Value) -> Sealed {
    seal(key, PROFILE.number, &At::here().context(), value, &[9; SALT_BYTES]).unwrap()
}

fn json(text: &str) -> Value {
    Value::json(text.to_owned()).unwrap()
}

#[test]
fn a_value_comes_back_under_its_key() {
    let (key, here) = (key("a"), At::here());
    let image = ContentType::new("image/png").unwrap();
    for value in [json("{\"a\": 1.0}"), json("5"), Value::bytes(image, vec![0, 255]).unwrap()] {
        let sealed = sealed(&key, &value);
        assert_eq!(sealed.profile(), Some(3));
        assert_eq!(sealed.as_bytes().len(), OVERHEAD + padded(value.plain_len()));
        assert!(opens(&key, &sealed));
        assert_eq!(open(&key, &here.context(), &sealed), Opening::Opened(value));
    }
}

#[test]
fn a_thousand_wrong_keys_open_no_tiny_value() {
    let (right, here) = (key("right"), At::here());
    let all = ["5", "0", "\"\"", "null"].map(|text| sealed(&right, &json(text)));
    for number in 0..1_000 {
        let wrong = key(&format!("right{number}"));
        for sealed in &all {
            assert!(!opens(&wrong, sealed));
            assert_eq!(open(&wrong, &here.context(), sealed), Opening::WrongKey);
        }
    }
}

#[test]
fn a_record_opens_nowhere_else() {
    let key = key("a");
    let sealed = sealed(&key, &json("1"));
    let elsewhere = [
        At { tenant: "acm".parse().unwrap(), ..At::here() },
        At { id: RecordId::new("engineering-jobs-2").unwrap(), ..At::here() },
        At { version: 8, ..At::here() },
        At { updated_at: Millis(0), ..At::here() },
        At { expires_at: Some(Millis(0)), ..At::here() },
    ];
    for at in elsewhere {
        assert_eq!(open(&key, &at.context(), &sealed), Opening::Damaged);
    }
    // The border between tenant and id is part of it.
    let (one, other) = (At::here(), At::here());
    let one = At { tenant: "ab".parse().unwrap(), id: RecordId::new("c").unwrap(), ..one };
    let other = At { tenant: "a".parse().unwrap(), id: RecordId::new("bc").unwrap(), ..other };
    let sealed = seal(&key, 3, &one.context(), &json("1"), &[9; SALT_BYTES]).unwrap();
    assert_eq!(open(&key, &other.context(), &sealed), Opening::Damaged);
}

#[test]
fn every_flipped_bit_is_noticed() {
    let (key, here) = (key("a"), At::here());
    let whole = sealed(&key, &json("\"some value\""));
    for at in 0..whole.as_bytes().len() {
        for bit in 0..8 {
            let mut bytes = whole.as_bytes().to_vec();
            bytes[at] ^= 1 << bit;
            let flipped = Sealed::new(bytes);
            let expected = match at {
                // A salt or a commitment that does not fit can't be told from another key here;
                // the checksum that a store keeps tells it.
                2..HEADER => Opening::WrongKey,
                _ => Opening::Damaged,
            };
            assert_eq!(open(&key, &here.context(), &flipped), expected, "byte {at}");
        }
    }
}

#[test]
fn what_was_cut_or_lengthened_is_noticed() {
    let (key, here) = (key("a"), At::here());
    let whole = sealed(&key, &json("\"some value\""));
    for cut in 0..whole.as_bytes().len() {
        let cut = Sealed::new(whole.as_bytes()[..cut].to_vec());
        assert_eq!(open(&key, &here.context(), &cut), Opening::Damaged);
        let _ = opens(&key, &cut);
    }
    let longer = Sealed::new([whole.as_bytes(), &[0]].concat());
    assert_eq!(open(&key, &here.context(), &longer), Opening::Damaged);
}

/// AES-GCM lets somebody who knows two keys make one ciphertext that both open: its tag is linear
/// in the blocks. So the ciphertext is let stand for one here whose tag fits both: even then the
/// commitment lets one key in only.
#[test]
fn one_ciphertext_opens_under_one_key_only() {
    let (one, other) = (key("one"), key("other"));
    let here = At::here();
    let salt = [9; SALT_BYTES];
    let crafted = sealed(&one, &json("1"));
    let commitments = [derive(&one, &salt), derive(&other, &salt)].map(|derived| {
        let mut commitment = [0; 32];
        commitment.copy_from_slice(derived.commitment());
        commitment
    });
    assert_ne!(commitments[0], commitments[1]);
    for (commitment, key) in [(commitments[0], &other), (commitments[1], &one)] {
        let mut bytes = crafted.as_bytes().to_vec();
        bytes[2 + SALT_BYTES..HEADER].copy_from_slice(&commitment);
        assert!(!opens(key, &Sealed::new(bytes.clone())));
        assert_eq!(open(key, &here.context(), &Sealed::new(bytes)), Opening::WrongKey);
    }
    // With the commitment of the other key, the other key is let in, and finds what is not its own.
    let mut bytes = crafted.as_bytes().to_vec();
    bytes[2 + SALT_BYTES..HEADER].copy_from_slice(&commitments[1]);
    assert_eq!(open(&other, &here.context(), &Sealed::new(bytes)), Opening::Damaged);
}

#[test]
fn an_unknown_version_is_not_guessed_at() {
    let key = key("a");
    let mut bytes = sealed(&key, &json("1")).as_bytes().to_vec();
    bytes[0] = 2;
    let later = Sealed::new(bytes);
    assert_eq!(later.profile(), None);
    assert!(!opens(&key, &later));
    assert_eq!(open(&key, &At::here().context(), &later), Opening::Damaged);
}

#[test]
fn lengths_tell_little() {
    let key = key("a");
    let len = |text: &str| sealed(&key, &json(text)).as_bytes().len();
    assert_eq!(len("true"), len("false"));
    assert_eq!(len("1"), len("\"a name of some length\""));
}

#[test]
fn equal_values_under_equal_keys_have_nothing_in_common() {
    let (key, here) = (key("a"), At::here());
    let [one, other] =
        [1, 2].map(|salt| seal(&key, 3, &here.context(), &json("1"), &[salt; SALT_BYTES]).unwrap());
    let common = one.as_bytes()[2..].iter().zip(&other.as_bytes()[2..]).filter(|(a, b)| a == b);
    assert!(common.count() < 16);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// The vectors of docs/vault.md, so that another program can be held to them.
#[test]
fn known_answers() {
    let document = include_str!("../../../../../docs/vault.md");
    let vector = |name: &str, bytes: &[u8]| {
        let line = format!("{name:<18}{}", hex(bytes));
        assert!(document.lines().any(|it| it.trim() == line), "docs/vault.md needs\n{line}");
    };
    let profile = Profile { number: 1, salt: *b"0123456789abcdef", work: Work::default() };
    let mut workspace = Workspace::default();
    let random: [u8; 32] = std::array::from_fn(|at| u8::try_from(at).unwrap());
    let generated = EncryptionKey::generated(&random);
    let line = format!("generated key     {}", str::from_utf8(generated.expose()).unwrap());
    assert!(document.contains(&line), "docs/vault.md needs\n{line}");
    let passphrase = EncryptionKey::new("correct horse battery staple".to_owned()).unwrap();
    let at = At {
        tenant: "default".parse().unwrap(),
        id: RecordId::new("config").unwrap(),
        version: 1,
        updated_at: Millis(1_790_000_000_000),
        expires_at: None,
    };
    let salt: [u8; SALT_BYTES] = std::array::from_fn(|at| 0xa0 + u8::try_from(at).unwrap());
    for (name, key) in [("generated", generated), ("passphrase", passphrase)] {
        let derived = key.derive(&profile, &mut workspace).unwrap();
        vector(&format!("{name} K"), derived.expose());
        let sealed = seal(&derived, 1, &at.context(), &json("{\"pi\": 3.10}"), &salt).unwrap();
        vector(&format!("{name} sealed"), sealed.as_bytes());
    }
}

proptest! {
    #[test]
    fn whatever_goes_in_comes_out(
        text in any::<String>(),
        bytes: Vec<u8>,
        number in "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,30})?(e-?[0-9]{1,3})?",
    ) {
        let (key, here) = (key("a"), At::here());
        let plain = ContentType::new("").unwrap();
        let values = [
            json(&serde_json::to_string(&text).unwrap()),
            json(&number),
            json(&format!("[{number}, null,\t{{\"\":\"\"}}]")),
            Value::bytes(plain, bytes).unwrap(),
        ];
        for value in values {
            let sealed = sealed(&key, &value);
            let Opening::Opened(opened) = open(&key, &here.context(), &sealed) else {
                panic!("not opened");
            };
            prop_assert!(opened.content() == value.content());
        }
    }

    #[test]
    fn any_bytes_can_be_opened(bytes: Vec<u8>) {
        let (key, here) = (key("a"), At::here());
        let mut sealed = sealed(&key, &json("1")).as_bytes().to_vec();
        sealed.truncate(HEADER);
        for bytes in [bytes.clone(), [sealed, bytes].concat()] {
            let opened = open(&key, &here.context(), &Sealed::new(bytes));
            prop_assert!(!matches!(opened, Opening::Opened(_)));
        }
    }
}

/// Only to let the tests print what differs.
#[test]
fn contents_print_nothing() {
    assert_eq!(format!("{:?}", Content::Json("1")), "Content([redacted])");
}
