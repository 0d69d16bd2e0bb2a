//! A disk that is really full: a small file system of its own, in a namespace of its own.

use std::{fs, io::Write as _, process::Command};

use crate::node::{Node, until};

/// Whether this machine lets a test mount a file system for itself.
fn may_mount() -> bool {
    let script = "mount -t tmpfs -o size=1m tmpfs /mnt";
    let tried = Command::new("unshare").args(["--mount", "sh", "-c", script]).output();
    tried.is_ok_and(|output| output.status.success())
}

#[test]
fn a_full_disk_refuses_new_keys_answers_repeats_and_goes_on_when_there_is_room() {
    if !may_mount() {
        // The store's own suite fills a simulated disk wherever it runs.
        // Past the runner's capture, so that it is seen wherever the tests run.
        let said = b"left out: a really full disk; this machine lets no test mount a file system\n";
        std::io::stderr().write_all(said).unwrap();
        return;
    }
    let node = Node::on_small_disk(36);
    assert_eq!(node.ingest("a", "K-00000-A"), "\"id\":1,\"new\":true");
    let ballast = node.seen_by_it("ballast");
    let fill = |bytes: usize| {
        let mut size = bytes;
        while 4_096 <= size && fs::write(&ballast, vec![1; size]).is_err() {
            size -= 512 * 1024;
        }
    };
    fill(20 * 1024 * 1024);
    let key = |n: u64| {
        let letter = char::from(b'B' + u8::try_from(n / 100_000).unwrap());
        format!("\"K-{:05}-{letter}\"", n % 100_000)
    };
    // What was prepared is used up first; then the store says no.
    let mut refused = String::new();
    let mut recorded = 1_u64;
    until("the disk is full", || {
        let keys: Vec<String> = (recorded..recorded + 5_000).map(key).collect();
        let body = format!("{{\"keys\":[{}]}}", keys.join(","));
        let (status, answer) = node.post("/v1/tenants/a/ingest/batch", &body);
        if status == 200 {
            recorded += 5_000;
        }
        refused = answer;
        status == 503
    });
    assert!(refused.contains("\"code\":\"unavailable\""), "{refused}");
    assert_eq!(node.ingest("a", "K-00000-A"), "\"id\":1,\"new\":false", "repeats are answered");
    let (status, ready) = node.get_admin("/readyz");
    assert_eq!((status, ready.contains("full: ")), (503, true), "{ready}");

    fs::remove_file(&ballast).unwrap();
    until("the node is ready by itself", || node.get_admin("/readyz").0 == 200);
    let next = node.ingest("a", "K-zzzzz-Z");
    assert_eq!(next, format!("\"id\":{},\"new\":true", recorded + 1), "no gap, nothing half done");
}
