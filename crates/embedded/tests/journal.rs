//! The journal over starts: what was answered is there again, a torn tail is not missed, damage is.
#![expect(clippy::unwrap_used, reason = "a suite of tests")]

use std::{fs, path::PathBuf, sync::Arc};

use switchboard_core::{
    ClientId, Millis,
    presence::{GatewayId, Journal, Report, Sighting, Status, TenantReport},
    store::Unobserved,
};
use switchboard_embedded::{Embedded, Error, Options, disk::LocalDisk};
use tempfile::TempDir;

fn open(folder: &TempDir) -> Result<Embedded, Error> {
    let disk = Arc::new(LocalDisk::open(folder.path()).unwrap());
    let options = Options {
        segment_bytes: 64 * 1024,
        reports_segment_bytes: 16 * 1024,
        ..Options::default()
    };
    Embedded::open(disk, &options, Arc::new(Unobserved))
}

fn report(at: i64) -> Report {
    let sighting = Sighting {
        client: ClientId::new(&format!("client {at}")).unwrap(),
        seen: Some(Millis(at)),
        status: Status::Odd,
        sessions: 1,
    };
    let sightings = vec![sighting];
    let part = TenantReport { tenant: "a".parse().unwrap(), connected: 1, sightings };
    Report { gateway: GatewayId(7), at: Millis(at), tenants: vec![part] }
}

async fn times(store: &Embedded) -> Vec<i64> {
    let (mut times, mut from) = (Vec::new(), Some(0));
    while let Some(place) = from {
        let page = store.read(place).await.unwrap();
        times.extend(page.reports.iter().map(|report| report.at.0));
        from = page.next;
    }
    times
}

/// The files of the journal, the oldest first.
fn segments(folder: &TempDir) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.path().join("presence/log")).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "log"));
    paths.sort();
    paths
}

/// Turns a byte of a file into another.
fn damage(path: &PathBuf, place: impl Fn(&[u8]) -> usize) {
    let mut bytes = fs::read(path).unwrap();
    let place = place(&bytes);
    bytes[place] ^= 0x55;
    fs::write(path, bytes).unwrap();
}

fn last_byte(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|&byte| byte != 0).unwrap()
}

#[tokio::test]
async fn reports_are_there_again_after_each_start() {
    let folder = TempDir::new().unwrap();
    for start in 0..5 {
        let store = open(&folder).unwrap();
        let expected: Vec<i64> = (0..start * 100).collect();
        assert_eq!(times(&store).await, expected, "start {start}");
        for at in start * 100..(start + 1) * 100 {
            store.append(&report(at)).await.unwrap();
        }
    }
    // Several segments, of which the old ones go for good.
    let store = open(&folder).unwrap();
    assert!(2 < segments(&folder).len());
    store.prune(Millis(450)).await.unwrap();
    let left = times(&store).await;
    drop(store);
    let store = open(&folder).unwrap();
    assert_eq!(times(&store).await, left);
    assert!(left.len() < 500 && left.ends_with(&(450..500).collect::<Vec<_>>()), "{left:?}");
}

#[tokio::test]
async fn a_torn_tail_costs_what_was_not_answered_and_nothing_else() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).unwrap();
    for at in 0..10 {
        store.append(&report(at)).await.unwrap();
    }
    drop(store);
    // As if the last record had been on its way when the power went.
    damage(&segments(&folder)[0], last_byte);
    let store = open(&folder).unwrap();
    assert_eq!(times(&store).await, (0..9).collect::<Vec<_>>());
    store.append(&report(10)).await.unwrap();
    drop(store);
    let store = open(&folder).unwrap();
    assert_eq!(times(&store).await, (0..9).chain([10]).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_damaged_record_before_good_ones_is_refused() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).unwrap();
    for at in 0..10 {
        store.append(&report(at)).await.unwrap();
    }
    drop(store);
    let path = &segments(&folder)[0];
    let whole = fs::read(path).unwrap();
    // Within the first record, behind the header of the segment.
    damage(path, |_| 100);
    let refused = open(&folder).unwrap_err();
    assert!(matches!(refused, Error::Corrupt(_)), "{refused:?}");
    assert!(refused.to_string().contains("restore it from a backup"), "{refused}");
    fs::write(path, whole).unwrap();
    assert_eq!(times(&open(&folder).unwrap()).await.len(), 10, "nothing was changed");
}
