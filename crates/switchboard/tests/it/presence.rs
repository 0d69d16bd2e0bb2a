//! Who is online, over programs that come and go: clients, gateways and the status service.

use std::process::{Child, Stdio};

use serde_json::Value;

use crate::node::{Node, run, switchboard, until};

/// Sessions of the command line, killed when this is dropped.
struct Clients(Child);

impl Clients {
    /// `count` clients over TCP, which report that they are online.
    fn connect(gateway: &Node, id: &str, count: u32) -> Self {
        let count = count.to_string();
        let args = ["connect", "--transport", "tcp", "--client", id, "--count", &count];
        let mut command = gateway.command(&args);
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn status() -> Node {
    Node::with(&["--log-segment-mib", "1", "--roles", "status,api"])
}

fn gateway(status: &Node) -> Node {
    let url = status.url();
    Node::with(&["--log-segment-mib", "1", "--roles", "gateway", "--status-url", &url])
}

/// What the status service says of a tenant: online and connected.
fn count(status: &Node, tenant: &str) -> (u64, u64) {
    let (code, told) = status.get(&format!("/v1/tenants/{tenant}/presence"));
    if code != 200 {
        return (u64::MAX, u64::MAX);
    }
    let told: Value = serde_json::from_str(&told).unwrap();
    (told["online"].as_u64().unwrap(), told["connected"].as_u64().unwrap())
}

#[track_caller]
fn counts(status: &Node, expected: (u64, u64)) {
    until(&format!("{expected:?} are online and connected"), || {
        count(status, "default") == expected
    });
}

#[track_caller]
fn ready(node: &Node) {
    until("the node is ready", || node.get_admin("/readyz").0 == 200);
}

#[test]
fn clients_gateways_and_the_status_service_are_programs_of_their_own() {
    let status = status();
    let (one, two) = (gateway(&status), gateway(&status));
    let _ann = Clients::connect(&one, "ann", 1);
    let _ann_again = Clients::connect(&one, "ann", 1);
    let _ann_elsewhere = Clients::connect(&two, "ann", 1);
    let _others = Clients::connect(&two, "other", 3);
    counts(&status, (4, 6));
    assert_eq!(count(&status, "another"), (0, 0), "a tenant sees only itself");
    let (_, ann) = status.get("/v1/tenants/default/presence/ann");
    let ann: Value = serde_json::from_str(&ann).unwrap();
    assert_eq!((&ann["online"], &ann["sessions"]), (&true.into(), &3.into()), "{ann}");

    // A gateway is no status service, and says where to ask.
    let (code, refused) = one.get("/v1/tenants/default/presence");
    assert_eq!(code, 503);
    assert!(refused.contains("role status"), "{refused}");
    let told = run(&mut status.command(&["status", "--json"]));
    let told: Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!((&told["online"], &told["connected"]), (&4.into(), &6.into()));
    let call = ["call", "tenten.interview.StatusReader/FetchOnlineUsersInLast3Mins"];
    let told = String::from_utf8(run(&mut status.command(&call)).stdout).unwrap();
    assert!(told.contains("\"onlineUsers\": \"4\""), "{told}");
}

/// Which programs end, and whether by a crash.
fn restart(ends: &[(&str, bool)]) {
    let mut status = status();
    let mut gateway = gateway(&status);
    let _clients = Clients::connect(&gateway, "c", 5);
    counts(&status, (5, 5));
    for &(program, crash) in ends {
        let node = if program == "status" { &mut status } else { &mut gateway };
        if crash {
            node.kill();
        } else {
            assert_eq!(node.stop(), 0, "{program}");
        }
    }
    if ends.iter().all(|&(program, _)| program == "gateway") {
        // Who was seen counts, whether there is a gateway or not.
        counts(&status, (5, 0));
    }
    for &(program, _) in ends {
        let node = if program == "status" { &mut status } else { &mut gateway };
        node.start_again_in_place();
    }
    ready(&status);
    assert_eq!(count(&status, "default").0, 5, "right as soon as it answers");
    counts(&status, (5, 5));
}

#[test]
fn the_gateway_stops_and_comes_back() {
    restart(&[("gateway", false)]);
}

#[test]
fn the_gateway_crashes_and_comes_back() {
    restart(&[("gateway", true)]);
}

#[test]
fn the_status_service_stops_and_comes_back() {
    restart(&[("status", false)]);
}

#[test]
fn the_status_service_crashes_and_comes_back() {
    restart(&[("status", true)]);
}

#[test]
fn both_stop_and_come_back_the_gateway_first() {
    restart(&[("gateway", false), ("status", false)]);
}

#[test]
fn both_crash_and_come_back_the_status_service_first() {
    restart(&[("status", true), ("gateway", true)]);
}

#[test]
fn one_node_with_all_roles_knows_who_was_there_after_a_crash() {
    let mut node = Node::start();
    let clients = Clients::connect(&node, "c", 7);
    counts(&node, (7, 7));
    drop(clients);
    node.kill();
    node.start_again();
    ready(&node);
    assert_eq!(count(&node, "default").0, 7, "nobody has come back, all were seen");
    // Their gateway is known to be gone once it has been silent for ten seconds.
    counts(&node, (7, 0));
}

#[test]
fn roles_that_do_not_fit_are_refused_before_anything_is_made() {
    let folder = tempfile::TempDir::new().unwrap();
    let data = folder.path().join("data");
    for (args, says) in [
        (&["--roles", "gateway"][..], "needs to know the node"),
        (&["--roles", "gateways"], "there is no role \"gateways\""),
        (&["--roles", ""], "there is no role \"\""),
        (&["--status-url", "http://127.0.0.1:1"], "only a gateway without the role status"),
        (&["--roles", "gateway", "--status-url", "no url"], "no URL of a node"),
    ] {
        let free = "127.0.0.1:0";
        let listen = ["--listen", free, "--tcp-listen", free, "--admin-listen", free];
        let output =
            run(switchboard().arg("serve").args(listen).arg("--data-dir").arg(&data).args(args));
        let complained = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {complained}");
        assert!(complained.contains(says), "{args:?}: {complained}");
        assert!(!data.exists(), "{args:?}: nothing was made");
    }
}
