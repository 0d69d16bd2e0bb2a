//! Starting and stopping: what is refused, and with which words.

use std::fs;

use crate::node::{Node, run, switchboard};

/// Runs `serve` with arguments that it must refuse.
#[track_caller]
fn refused(args: &[&str], code: i32, says: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = switchboard();
    command.current_dir(folder.path()).arg("serve").args(args);
    let output = run(&mut command);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{told}");
    assert!(told.contains(says), "{says:?} is not in {told}");
    assert!(!folder.path().join("switchboard-data").exists(), "nothing was made");
}

#[test]
fn what_can_not_be_served_is_refused() {
    refused(&["--listen", "0.0.0.0:0"], 2, "insist with --insecure");
    refused(&["--tcp-listen", "0.0.0.0:0"], 2, "insist with --insecure");
    refused(&["--admin-listen", "[::]:0"], 2, "insist with --insecure");
    refused(&["--listen", "nowhere"], 2, "nowhere");
    refused(&["--log-filter", "a=b=c"], 2, "the filter");
    refused(&["--config", "/no/such/file"], 2, "/no/such/file");
    let node = Node::start();
    let free = "127.0.0.1:0";
    for (main, tcp) in [(node.main.as_str(), free), (free, &node.tcp)] {
        let listen = ["--listen", main, "--tcp-listen", tcp, "--admin-listen", free];
        refused(&listen, 1, "can't listen on 127.0.0.1");
    }
    let listen = ["--listen", free, "--tcp-listen", free, "--admin-listen", free];
    refused(&[&listen[..], &["--store", "redis://x"]].concat(), 2, "no store");
}

#[test]
fn a_store_that_nodes_share_and_signals_between_them_go_together() {
    let (store, signals) = ("postgres://u:secret@127.0.0.1:1/x", "nats://127.0.0.1:1");
    refused(&["--store", store], 2, "say where with --signals");
    refused(&["--signals", signals], 2, "name the database with --store");
    refused(&["--store", store, "--signals", "redis://x"], 2, "no address of a NATS server");
    let shared = ["--store", store, "--signals", signals];
    let with_url = ["--roles", "gateway", "--status-url", "http://127.0.0.1:7400"];
    refused(&[&shared[..], &with_url].concat(), 2, "need no status URL");
    let mut command = switchboard();
    let output = run(command.args(["migrate", "--store", "embedded"]));
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("postgres://"), "{told}");
}

#[test]
fn an_unknown_option_in_the_file_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("node.toml");
    fs::write(&file, "lisen = \"127.0.0.1:0\"\n").unwrap();
    refused(&["--config", file.to_str().unwrap()], 2, "\"lisen\"");
}

#[test]
fn a_second_process_on_the_same_directory_is_refused() {
    let node = Node::start();
    let mut command = switchboard();
    let free = "127.0.0.1:0";
    command.args(["serve", "--listen", free, "--tcp-listen", free, "--admin-listen", free]);
    let output = run(command.arg("--data-dir").arg(node.data()));
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains(&format!("in use by process {}", node.id())), "{told}");
}

#[test]
fn a_node_stops_in_good_order_and_goes_on_where_it_was() {
    let mut node = Node::start();
    assert_eq!(node.ingest("a", "K-00000-A"), "\"id\":1,\"new\":true");
    assert_eq!(node.get_admin("/readyz").0, 200);
    let (_, metrics) = node.get_admin("/metrics");
    assert!(metrics.contains("switchboard_ingest_keys_total{result=\"new\"} 1"), "{metrics}");
    assert_eq!(node.stop(), 0);
    node.start_again();
    assert_eq!(node.ingest("a", "K-00000-A"), "\"id\":1,\"new\":false");
    assert_eq!(node.ingest("a", "K-00001-A"), "\"id\":2,\"new\":true");
    node.signal("INT");
    assert_eq!(node.ended(), 0);
}

#[test]
fn a_damaged_directory_is_not_opened() {
    let mut node = Node::start();
    for n in 0..10 {
        node.ingest("a", &format!("K-0000{n}-A"));
    }
    node.kill();
    let log = fs::read_dir(node.data().join("log")).unwrap().map(|entry| entry.unwrap().path());
    let segment = log.min().unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    // In the first record, behind the segment's header of 64 bytes.
    bytes[90] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let mut command = switchboard();
    let free = "127.0.0.1:0";
    command.args(["serve", "--listen", free, "--tcp-listen", free, "--admin-listen", free]);
    let output = run(command.arg("--data-dir").arg(node.data()));
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("is damaged at byte 64"), "{told}");
}
