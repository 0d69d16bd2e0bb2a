//! Files that were damaged by something other than a power cut.

use super::{
    disk::SimDisk,
    model::Image,
    rig::{Rig, Story, entry, record, try_open},
};
use crate::Error;

/// How many keys there are.
const KEYS: u32 = 1600;

/// A store of these keys: 480 in sorted files, the rest in the log, over several segments.
fn image() -> Image {
    let mut rig = Rig::fresh();
    let entries: Vec<_> = (0..KEYS).map(|key| entry(0, key)).collect();
    for (round, batch) in entries.chunks(40).enumerate() {
        rig.commit(&[batch]);
        if round == 5 || round == 11 {
            rig.checkpoint();
        }
    }
    assert!(rig.parts.spare.prepare());
    let disk = rig.disk.clone();
    rig.end();
    disk.image(false)
}

/// The segments, in order; the last was only prepared.
fn segments(image: &Image) -> Vec<String> {
    image.files.keys().filter(|path| path.starts_with("log/")).cloned().collect()
}

fn runs(image: &Image) -> Vec<String> {
    image.files.keys().filter(|path| path.starts_with("ingest/")).cloned().collect()
}

/// Refuses to open, says what is wrong with which file, and leaves everything as it is.
#[track_caller]
fn check_refused(image: &Image, named: &str) {
    let disk = SimDisk::new(image.clone());
    let error = try_open(&disk).unwrap_err();
    assert!(matches!(error, Error::Corrupt(_)), "{}", error.chain());
    assert!(error.to_string().contains(named), "{error} names {named}");
    let mut after = disk.image(true);
    // The engine notes in its own file that it was opened.
    if let Some(engine) = image.files.get("engine.redb") {
        after.files.insert("engine.redb".to_owned(), engine.clone());
    }
    assert!(after == *image, "something was changed");
}

/// Where the record begins that the byte at `at` belongs to, and the one after it.
fn records(bytes: &[u8]) -> Vec<usize> {
    let mut starts = vec![64];
    loop {
        let at = starts[starts.len() - 1];
        let length = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        if length == 0 {
            return starts;
        }
        starts.push((at + 16 + length).next_multiple_of(8));
    }
}

#[test]
fn a_damaged_record_before_good_ones_is_refused() {
    let image = image();
    for path in segments(&image).iter().rev().skip(1) {
        let bytes = &image.files[path];
        let starts = records(bytes);
        let last_of_all = path == &segments(&image)[segments(&image).len() - 2];
        let damaged = if last_of_all { starts.len() - 2 } else { starts.len() - 1 };
        for record in starts.windows(2).take(damaged) {
            // Not only in the payload: in the length, the checksum and the sequence too.
            for at in [0, 1, 4, 8, 13, 16, 40].map(|at| record[0] + at) {
                let mut image = image.clone();
                image.files.get_mut(path).unwrap()[at] ^= 0x10;
                check_refused(&image, path);
            }
            let mut image = image.clone();
            let bytes = image.files.get_mut(path).unwrap();
            bytes[record[0]..record[1]].fill(0);
            // If it was the segment's last, the next segment's first tells.
            check_refused(&image, "log/");
        }
    }
}

/// It can't be told from one that a power cut tore.
#[test]
fn a_damaged_last_record_is_cleared() {
    let image = image();
    let path = segments(&image).iter().rev().nth(1).unwrap().clone();
    let last = records(&image.files[&path]).into_iter().rev().nth(1).unwrap();
    for at in [0, 5, 9, 16, 200].map(|at| last + at) {
        let mut image = image.clone();
        image.files.get_mut(&path).unwrap()[at] ^= 1;
        let disk = SimDisk::new(image);
        let mut rig = Rig::open(disk.clone(), Story::default()).unwrap();
        assert_eq!(rig.parts.writer.ledger.keys(), u64::from(KEYS) - 40);
        assert_eq!(disk.image(false).files[&path][last..], [0; 4096][last..]);
        let answer = record(&mut rig.parts, &[&[entry(0, KEYS - 1), entry(7, 1)]]).1.remove(0);
        let ids: Vec<_> = answer.unwrap().unwrap().iter().map(|receipt| receipt.id).collect();
        assert_eq!(ids, [u64::from(KEYS) - 39, u64::from(KEYS) - 38]);
    }
}

#[test]
fn a_missing_file_is_refused() {
    let image = image();
    let segments = segments(&image);
    assert!(3 < segments.len(), "{segments:?}");
    for path in &segments[..segments.len() - 1] {
        let mut image = image.clone();
        image.files.remove(path);
        check_refused(&image, path);
    }
    for path in runs(&image) {
        let mut image = image.clone();
        image.files.remove(&path);
        check_refused(&image, &path);
    }
    let mut without = image.clone();
    without.files.remove("engine.redb");
    check_refused(&without, "engine.redb");
    // Nor is it made anew where the log has nothing to say.
    without.files.retain(|path, _| !path.starts_with("log/"));
    check_refused(&without, "engine.redb");
    let mut log_alone = image;
    log_alone.files.retain(|path, _| *path == segments[segments.len() - 1]);
    check_refused(&log_alone, "engine.redb");
}

#[test]
fn a_file_that_is_cut_off_or_damaged_is_refused() {
    let image = image();
    for path in segments(&image).into_iter().chain(runs(&image)) {
        let len = image.files[&path].len();
        for len in [0, 10, 64, 65, len / 2, len - 8, len - 1, len + 8] {
            let mut image = image.clone();
            image.files.get_mut(&path).unwrap().resize(len, 0);
            check_refused(&image, &path);
        }
        for at in [0, 10, 18, 26, 50] {
            // The header of a segment, the first block of a sorted file.
            let mut image = image.clone();
            image.files.get_mut(&path).unwrap()[at] ^= 4;
            check_refused(&image, &path);
        }
    }
    for path in runs(&image) {
        let len = image.files[&path].len();
        for at in (4096..len).step_by(7) {
            let mut image = image.clone();
            image.files.get_mut(&path).unwrap()[at] ^= 4;
            check_refused(&image, &path);
        }
    }
}

/// Any byte of the engine's file may be anything: the store opens, or it says why not.
#[test]
fn a_damaged_engine_is_an_error_and_never_a_panic() {
    let image = image();
    let engine = &image.files["engine.redb"];
    let sectors: Vec<_> = (0..engine.len()).step_by(512).collect();
    let held: Vec<_> = sectors.into_iter().filter(|&at| engine[at..at + 512] != [0; 512]).collect();
    for at in held {
        for damage in 0..3 {
            let mut image = image.clone();
            let sector = &mut image.files.get_mut("engine.redb").unwrap()[at..at + 512];
            match damage {
                0 => sector.fill(0),
                1 => sector[at % 511] ^= 1,
                _ => sector.fill(0xff),
            }
            match super::rig::open(&SimDisk::new(image)) {
                Ok(parts) => assert_eq!(parts.writer.ledger.keys(), u64::from(KEYS)),
                Err(why) => assert!(why != "opening panicked", "byte {at}, {damage}"),
            }
        }
    }
}
