//! Sealing and opening on one core, beside the bare cipher; and how long what is sealed is.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use rand::Rng as _;
use switchboard_core::vault::{ClientKey, OVERHEAD, Opening, RecordId, open, opens, padded, seal};
use switchboard_peers::{Error, figures::Rounds};

use crate::{
    Options,
    values::{self, VALUE_BYTES},
};

/// How much is done between two looks at the clock.
const AT_ONCE: u32 = 1_000;

/// What stands before a value under the seal: what it is, and two lengths.
const VALUE_HEADER: usize = 6;

/// The records that a wrong key is tried on.
const RECORDS: usize = 10_000;

/// A salt as the server draws it.
fn salt() -> [u8; 16] {
    let mut salt = [0; 16];
    rand::rng().fill_bytes(&mut salt);
    salt
}

/// How often something is done in a second, and how long each takes in nanoseconds.
fn rate(
    length: Duration,
    mut each: impl FnMut(usize) -> Result<(), Error>,
) -> Result<[f64; 2], Error> {
    let (began, mut done) = (Instant::now(), 0_u32);
    while began.elapsed() < length {
        for _ in 0..AT_ONCE {
            each(done as usize)?;
            done += 1;
        }
    }
    let took = began.elapsed().as_secs_f64();
    Ok([f64::from(done) / took, took * 1e9 / f64::from(done)])
}

pub(crate) fn seal_and_open(options: &Options) -> Result<(), Error> {
    let (key, value) = (values::client_key(1)?, values::value(VALUE_BYTES)?);
    let (tenant, id) = (values::tenant()?, RecordId::new("engineering-jobs-1")?);
    let context = values::context(&tenant, &id);
    let ours = |_| {
        let sealed = seal(&key, 1, &context, black_box(&value), &salt())?;
        match open(&key, &context, black_box(sealed)) {
            Opening::Opened(value) => {
                black_box(value);
                Ok(())
            }
            other => Err(format!("{other:?}").into()),
        }
    };
    // The label, the tenant and the id with their lengths, the version, two times, two bytes.
    let aad = vec![7; 27 + 4 + tenant.as_str().len() + 4 + id.as_str().len() + 3 * 8 + 2];
    let text = values::text(VALUE_BYTES);
    let mut bare = Bare { bytes: text.into_bytes(), aad };
    let kept = cipher(&[7; 32])?;
    let turn = |length: Duration, bare: &mut Bare| -> Result<[[f64; 2]; 3], Error> {
        let ours = rate(length, ours)?;
        let scheduled = rate(length, |_| {
            let sealing = cipher(black_box(&[7; 32]))?;
            bare.seal(&sealing).and_then(|tag| bare.open(&cipher(black_box(&[7; 32]))?, tag))
        })?;
        let one = rate(length, |_| bare.seal(&kept).and_then(|tag| bare.open(&kept, tag)))?;
        Ok([ours, scheduled, one])
    };
    turn(Duration::from_millis(300), &mut bare)?;
    let mut rounds: [Rounds; 3] = Default::default();
    for round in 1..=options.rounds {
        let figures = turn(options.length, &mut bare)?;
        let [ours, scheduled, one] = figures.map(|[_, took]| took);
        eprintln!(
            "round {round}: {ours:.0} ns; the cipher {scheduled:.0} ns, with one key {one:.0} ns"
        );
        rounds.iter_mut().zip(figures).for_each(|(it, [rate, _])| it.add(rate));
    }
    let [ours, scheduled, one] = rounds;
    println!("1 KiB sealed and opened, a second: {ours:.0}");
    println!("the bare cipher, a key for each record: {scheduled:.0}");
    println!("the bare cipher, one key for all: {one:.0}");
    println!("to the bare cipher, a key for each record: {:.2}", ours.to(&scheduled));
    println!("to the bare cipher, one key for all: {:.2}", ours.to(&one));
    Ok(())
}

/// The same bytes, sealed where they are and opened again.
#[derive(Debug)]
struct Bare {
    bytes: Vec<u8>,
    aad: Vec<u8>,
}

impl Bare {
    fn seal(&mut self, cipher: &LessSafeKey) -> Result<[u8; 16], Error> {
        let nonce = Nonce::assume_unique_for_key([7; NONCE_LEN]);
        let bytes = black_box(&mut self.bytes);
        let tag = cipher
            .seal_in_place_separate_tag(nonce, Aad::from(&self.aad), bytes)
            .map_err(|_| "not sealed")?;
        Ok(tag.as_ref().try_into()?)
    }

    fn open(&mut self, cipher: &LessSafeKey, tag: [u8; 16]) -> Result<(), Error> {
        let nonce = Nonce::assume_unique_for_key([7; NONCE_LEN]);
        self.bytes.extend_from_slice(&tag);
        let bytes = black_box(&mut self.bytes);
        cipher.open_in_place(nonce, Aad::from(&self.aad), bytes).map_err(|_| "not opened")?;
        self.bytes.truncate(VALUE_BYTES);
        Ok(())
    }
}

fn cipher(key: &[u8; 32]) -> Result<LessSafeKey, Error> {
    Ok(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).map_err(|_| "no key")?))
}

pub(crate) fn wrong_key(options: &Options) -> Result<(), Error> {
    let records = values::records(RECORDS, &values::client_key(1)?, &values::value(VALUE_BYTES)?)?;
    let (tenant, wrong): (_, ClientKey) = (values::tenant()?, values::client_key(2)?);
    let turn = |length| -> Result<[[f64; 2]; 2], Error> {
        let looked = rate(length, |number| {
            let (_, record) = &records[number % RECORDS];
            if opens(&wrong, &record.sealed) { Err("it opens".into()) } else { Ok(()) }
        })?;
        let tried = rate(length, |number| {
            let (id, record) = &records[number % RECORDS];
            match open(&wrong, &values::context(&tenant, id), record.sealed.clone()) {
                Opening::WrongKey => Ok(()),
                other => Err(format!("{other:?}").into()),
            }
        })?;
        Ok([looked, tried])
    };
    turn(Duration::from_millis(300))?;
    let (mut looked, mut tried) = (Rounds::default(), Rounds::default());
    for round in 1..=options.rounds {
        let [[one, one_ns], [other, other_ns]] = turn(options.length)?;
        eprintln!("round {round}: opens {one_ns:.0} ns a record, open {other_ns:.0} ns");
        looked.add(one);
        tried.add(other);
    }
    println!("records a second that a wrong key was looked at for (opens): {looked:.0}");
    println!("records a second that a wrong key was tried on (open): {tried:.0}");
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
pub(crate) fn overhead() -> Result<(), Error> {
    let (key, tenant) = (values::client_key(1)?, values::tenant()?);
    let id = RecordId::new("engineering-jobs-1")?;
    println!("| value, bytes | padded | sealed | added |\n|---|---|---|---|");
    for bytes in [5, 32, 100, 250, 1 << 10, 10 << 10, 100 << 10, 1 << 20] {
        let padded = padded(VALUE_HEADER + bytes);
        let value = values::value(bytes)?;
        let sealed = seal(&key, 1, &values::context(&tenant, &id), &value, &[7; 16])?;
        let sealed = sealed.as_bytes().len();
        if sealed != padded + OVERHEAD {
            return Err("what is sealed has another length than it should".into());
        }
        let added = (sealed - bytes) as f64 * 100.0 / bytes as f64;
        println!("| {bytes} | {padded} | {sealed} | {added:.1} % |");
    }
    Ok(())
}
