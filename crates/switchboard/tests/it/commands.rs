//! The command line: what it prints, and what it ends with.

use std::{
    fs,
    io::Write as _,
    process::{Command, Output, Stdio},
};

use crate::node::{Node, run, switchboard};

/// Holds a command to its exit code, to what it prints, and to what it says of it.
#[track_caller]
pub(crate) fn check(output: &Output, code: i32, out: &str, err: &str) {
    let (told, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{told}{complained}");
    assert_eq!(told, out, "{complained}");
    assert!(complained.contains(err), "{err:?} is not in {complained:?}");
}

fn feed(command: &mut Command, input: &str) -> Output {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn keys_come_from_arguments_a_file_or_standard_input() {
    let node = Node::start();
    let arguments = run(&mut node.command(&["ingest", "K-00000-A", "K-00001-A", "K-00000-A"]));
    let lines = "1 new K-00000-A\n2 new K-00001-A\n1 known K-00000-A\n";
    check(&arguments, 0, lines, "3 keys: 2 new, 1 repeated");

    let file = node.folder.path().join("keys");
    fs::write(&file, "K-00001-A\r\n\n  K-00002-A\n").unwrap();
    let output = run(&mut node.command(&["ingest", "--file", file.to_str().unwrap()]));
    check(&output, 0, "2 known K-00001-A\n3 new K-00002-A\n", "2 keys: 1 new, 1 repeated");

    let output = feed(&mut node.command(&["ingest"]), "K-00003-A\nK-00000-A\n");
    check(&output, 0, "4 new K-00003-A\n1 known K-00000-A\n", "2 keys");

    let output = run(&mut node.command(&["ingest", "--quiet", "K-00004-A"]));
    check(&output, 0, "", "1 keys: 1 new");
    let output = run(&mut node.command(&["ingest", "--json", "K-00004-A"]));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&told["id"], &told["new"]), (&5.into(), &false.into()));
}

#[test]
fn a_malformed_key_is_named_and_what_was_seen_whole_records_nothing() {
    let node = Node::start();
    let output = run(&mut node.command(&["ingest", "K-00000-A", "K-00001-a"]));
    check(&output, 2, "", "argument 2: \"K-00001-a\": a key is K-");
    let file = node.folder.path().join("keys");
    fs::write(&file, "K-00000-A\nK-00001-A\nnonsense\n").unwrap();
    let output = run(&mut node.command(&["ingest", "--file", file.to_str().unwrap()]));
    check(&output, 1, "", "line 3: \"nonsense\"");
    let output = feed(&mut node.command(&["ingest"]), "K-00007-A\nnonsense\nK-00008-A\n");
    check(&output, 1, "1 new K-00007-A\n", "line 2: \"nonsense\"");
}

#[test]
fn a_node_that_is_not_there_is_said_so() {
    let mut command = switchboard();
    let output = run(command.args(["ingest", "--url", "http://127.0.0.1:1", "K-00000-A"]));
    check(&output, 1, "", "unavailable from http://127.0.0.1:1");
}

#[test]
fn calls_are_listed_and_errors_carry_their_code() {
    let node = Node::start();
    let output = run(switchboard().arg("call"));
    let listed = String::from_utf8(output.stdout).unwrap();
    assert!(listed.contains("switchboard.v1.IngestService/IngestStream (stream IngestRequest)"));
    let method = "switchboard.v1.IngestService/Ingest";
    let bad = run(&mut node.command(&["call", method, r#"{"tenant":"a","key":"x"}"#]));
    check(&bad, 1, "", "invalid_key (InvalidArgument): a key is K-");
    let unknown = run(&mut node.command(&["call", method, r#"{"tenant":"a","keys":"x"}"#]));
    check(&unknown, 2, "", "keys");
    check(
        &run(&mut node.command(&["call", "no.Such/Call"])),
        2,
        "",
        "there is no call no.Such/Call",
    );
}

#[test]
fn bench_holds_the_node_to_its_promises_over_every_transport() {
    let node = Node::start();
    for transport in ["grpc-stream", "grpc", "grpc-batch", "rest"] {
        let output = run(&mut node.command(&[
            "bench",
            "ingest",
            "--transport",
            transport,
            "--connections",
            "2",
            "--in-flight",
            "8",
            "--duration",
            "300ms",
            "--warmup",
            "100ms",
            "--json",
        ]));
        assert!(output.status.success(), "{transport}: {output:?}");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["errors"], 0);
        assert!(0 < report["new"].as_u64().unwrap() && 0 < report["repeated"].as_u64().unwrap());
    }
}
