//! `switchboard healthcheck`: what it ends with, and what it says.

use std::{
    net::TcpListener,
    process::Output,
    time::{Duration, Instant},
};

use crate::node::{Node, run, switchboard};

fn ask(admin: &str, args: &[&str]) -> Output {
    let mut command = switchboard();
    run(command.arg("healthcheck").args(["--admin-url", admin]).args(args))
}

#[track_caller]
fn check(output: &Output, code: i32, says: &str) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{told}");
    assert!(output.stdout.is_empty());
    assert!(told.contains(says), "{says:?} is not in {told:?}");
    assert!(told.lines().count() <= 1, "one line: {told:?}");
    assert!(code != 0 || told.is_empty(), "{told:?}");
}

#[test]
fn a_node_that_is_ready_is_well() {
    let node = Node::start();
    let admin = format!("http://{}", node.admin);
    for args in [&[][..], &["--live"], &["--timeout", "10s"]] {
        check(&ask(&admin, args), 0, "");
    }
    check(&ask(&format!("{admin}/"), &[]), 0, "");
    let mut command = switchboard();
    check(&run(command.arg("healthcheck").env("SWITCHBOARD_ADMIN_URL", &admin)), 0, "");
    // The main listener has no such page, and says so.
    check(&ask(&node.url(), &[]), 1, "404");
}

#[test]
fn who_does_not_answer_is_not_well() {
    check(&ask("http://127.0.0.1:1", &[]), 1, "http://127.0.0.1:1/readyz: can't be reached");
    check(&ask("http://no.such.host.invalid", &[]), 1, "can't be reached");
    // Taken by the system, and never answered.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_url = format!("http://{}", silent.local_addr().unwrap());
    let begun = Instant::now();
    check(&ask(&silent_url, &["--timeout", "200ms"]), 1, "no answer in 200ms");
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[test]
fn what_is_no_address_is_refused() {
    for url in
        ["127.0.0.1:7402", "https://127.0.0.1:7402", "", "http://", "tcp://a:1", "http://a b"]
    {
        check(&ask(url, &[]), 2, "is no address of a node");
    }
}
