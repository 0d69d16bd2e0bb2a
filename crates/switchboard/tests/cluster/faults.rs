//! One cluster, and one fault after the other, under load: nothing acknowledged is missing, nothing
//! is there twice, no answer is wrong.

use std::{
    fs,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use crate::{
    cluster::{Cluster, DEADLINE, post, until},
    load::{Load, runs},
};

const ALL: &str = "gateway,status,api";

/// For how long something is away.
const AWAY: Duration = Duration::from_secs(3);

/// How late a signal may be noticed to be lost: positions are compared every few seconds, and each
/// second while nothing comes through.
const LATE: Duration = Duration::from_secs(8);

/// How long a delivery takes while signals come through. Far more than it takes on a machine that
/// has nothing else to do.
const LIVE: Duration = Duration::from_millis(400);

/// Lets a fault happen, and what comes of it.
type Happen = fn(&mut Cluster, &Load);

#[test]
fn no_fault_loses_or_doubles_anything() {
    let mut cluster = Cluster::start(&[ALL; 3]);
    let load = Load::start(&cluster, &[0, 1, 2]);
    until("all are counted by each node", || load.presence.settled(3));
    load.presence.leave();
    let faults: [(&str, Happen); 8] = [
        ("a node is killed", a_node_is_killed),
        ("all nodes are restarted, one after the other", all_are_restarted),
        ("NATS is killed", nats_is_killed),
        ("PostgreSQL is killed", postgres_is_killed),
        ("signals are lost in silence", signals_are_lost),
        ("a clock is ahead", a_clock_is_ahead),
        ("PostgreSQL is frozen", postgres_is_frozen),
        ("NATS is cut off", nats_is_cut_off),
    ];
    for (fault, happen) in faults {
        let begun = Instant::now();
        happen(&mut cluster, &load);
        load.moves();
        println!("{fault}: {:.1?}", begun.elapsed());
    }
    load.finish();
}

fn a_node_is_killed(cluster: &mut Cluster, load: &Load) {
    for node in 0..cluster.nodes.len() {
        cluster.nodes[node].kill();
        runs(AWAY);
        cluster.nodes[node].start_again().unwrap();
        cluster.nodes[node].ready().unwrap();
        load.moves();
    }
}

/// Whoever repeats what he asks for notices nothing.
fn all_are_restarted(cluster: &mut Cluster, load: &Load) {
    load.errors();
    for node in 0..cluster.nodes.len() {
        cluster.restart(node);
        load.moves();
    }
    assert_eq!(load.errors(), Vec::<String>::new(), "no caller sees an error");
}

/// Everything works without signals, and is live again by itself.
fn nats_is_killed(cluster: &mut Cluster, load: &Load) {
    cluster.nats().kill();
    let begun = Instant::now();
    runs(AWAY);
    load.moves();
    cluster.nats().start_again().unwrap();
    is_live_again(load);
    let slowest = load.chat.delays(begun, Instant::now()).pop().unwrap();
    assert!(slowest < LATE, "a message came after {slowest:?}");
}

fn is_live_again(load: &Load) {
    until("messages come at once again", || {
        let begun = Instant::now();
        thread::sleep(Duration::from_secs(2));
        let delays = load.chat.delays(begun, begun + Duration::from_secs(1));
        delays.get(delays.len() / 2).is_some_and(|middle| *middle < LIVE)
    });
}

fn postgres_is_killed(cluster: &mut Cluster, _load: &Load) {
    cluster.postgres[0].kill();
    thread::sleep(Duration::from_secs(1));
    writes_fail_fast(cluster);
    runs(AWAY);
    cluster.postgres[0].start_again().unwrap();
}

#[track_caller]
fn writes_fail_fast(cluster: &Cluster) {
    for node in &cluster.nodes {
        let path = "/v1/tenants/probe/ingest";
        let (status, took) = post(&node.main(), path, r#"{"key":"K-00000-A"}"#);
        assert_eq!(status, Some(503), "after {took:?}");
        assert!(took < Duration::from_secs(6), "it took {took:?}");
    }
}

/// The last signals are lost, and no later one shows it: those who wait look by themselves.
fn signals_are_lost(cluster: &mut Cluster, load: &Load) {
    let begun = Instant::now();
    cluster.gates.iter().for_each(|gate| gate.lose(true));
    runs(Duration::from_secs(6));
    let end = Instant::now();
    let lost: u64 = cluster.gates.iter().map(switchboard_servers::Gate::lost).sum();
    assert!(0 < lost, "signals passed by the gates");
    thread::sleep(LATE);
    let slowest = load.chat.delays(begun, end).pop().unwrap();
    assert!(slowest < LATE, "a message came after {slowest:?}");
    cluster.gates.iter().for_each(|gate| gate.lose(false));
    is_live_again(load);
}

/// Once for all that follows: one of three clocks is ahead. All nodes go by that of the database.
fn a_clock_is_ahead(cluster: &mut Cluster, _load: &Load) {
    let preload = format!("LD_PRELOAD={}", faketime().display());
    let node = cluster.nodes.last_mut().unwrap();
    node.set_environment(&[&preload, "FAKETIME=+5s", "FAKETIME_DONT_FAKE_MONOTONIC=1"]);
    assert_eq!(node.stop(), Some(0), "{}", node.log());
    node.start_again().unwrap();
    node.ready().unwrap();
    let log = node.log();
    assert!(log.contains("clock is not the database's"), "it has noticed:\n{log}");
    let node = cluster.nodes.last().unwrap();
    let ahead = as_of(node) - as_of(&cluster.nodes[0]);
    assert!((-2_000..2_000).contains(&ahead), "it is {ahead} ms ahead");
    runs(AWAY);
}

/// The library of faketime, wherever this machine's kind has it.
fn faketime() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").unwrap().flatten();
    let library = |folder: fs::DirEntry| folder.path().join("faketime/libfaketimeMT.so.1");
    let found = folders.map(library).find(|library| library.exists());
    found.expect("faketime is installed; on Debian: apt-get install faketime")
}

/// What time it is at a node, in milliseconds.
fn as_of(node: &switchboard_servers::Node) -> i64 {
    let mut told = None;
    until("the node counts", || {
        told = node.get("/v1/tenants/presence/presence").filter(|it| it.0 == 200);
        told.is_some()
    });
    let told: serde_json::Value = serde_json::from_str(&told.unwrap().1).unwrap();
    told["as_of"].as_i64().unwrap()
}

/// Writes fail fast; sessions stay, and who is online is known on.
fn postgres_is_frozen(cluster: &mut Cluster, load: &Load) {
    let begun = Instant::now();
    cluster.postgres[0].freeze();
    thread::sleep(Duration::from_secs(3));
    writes_fail_fast(cluster);
    thread::sleep(Duration::from_secs(10).saturating_sub(begun.elapsed()));
    let (told, broken) = load.presence.since(begun + Duration::from_secs(1));
    cluster.postgres[0].thaw();
    assert!(15 < told, "{told} answers of who is online");
    assert_eq!(broken, 0, "sessions stay");
}

fn nats_is_cut_off(cluster: &mut Cluster, load: &Load) {
    let begun = Instant::now();
    cluster.gates.iter().for_each(switchboard_servers::Gate::freeze);
    runs(Duration::from_secs(30));
    let end = Instant::now();
    cluster.gates.iter().for_each(switchboard_servers::Gate::thaw);
    is_live_again(load);
    let slowest = load.chat.delays(begun, end).pop().unwrap();
    assert!(slowest < LATE, "a message came after {slowest:?}");
    assert!(begun.elapsed() < Duration::from_secs(30) + DEADLINE);
}
