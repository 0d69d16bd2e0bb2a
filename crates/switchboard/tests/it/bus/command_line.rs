//! Publishing, subscribing and queues on the command line: what is printed, and the exit code.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;

use crate::{
    commands::check,
    node::{Node, run, until},
};

/// A line that shows an event, without its time.
fn without_time(line: &str) -> String {
    let is_time = |word: &&str| word.ends_with('Z') && word.contains('-') && word.contains(':');
    line.split(' ').filter(|word| !is_time(word)).collect::<Vec<_>>().join(" ")
}

fn lines(output: &Output) -> Vec<String> {
    assert!(output.status.success(), "{output:?}");
    str::from_utf8(&output.stdout).unwrap().lines().map(without_time).collect()
}

/// A command that goes on, whose standard output is read line by line.
struct Running(Child, std::io::Lines<BufReader<std::process::ChildStdout>>);

impl Running {
    /// Starts it, and waits until it says that it has begun.
    fn start(command: &mut Command, begun: &str) -> Self {
        let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        let mut complaints = BufReader::new(child.stderr.take().unwrap()).lines();
        let said = complaints.by_ref().map(Result::unwrap).find(|line| line.contains(begun));
        assert!(said.is_some(), "it never said {begun:?}");
        // What else it says is read, so that it is never held up.
        std::thread::spawn(move || complaints.for_each(drop));
        let out = BufReader::new(child.stdout.take().unwrap()).lines();
        Self(child, out)
    }

    fn line(&mut self) -> String {
        without_time(&self.1.next().expect("another line").unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn events_are_published_and_printed() {
    let node = Node::start();
    let publish = |args: &[&str]| run(&mut node.command(&[&["publish"], args].concat()));
    check(&publish(&["a.b", "--type", "t", "{\"x\":1}", "--key", "k"]), 0, "published 1\n", "");
    let again = publish(&["a.b", "--type", "t", "{\"x\":1}", "--key", "k", "--json"]);
    let again: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!((&again["sequence"], &again["new"]), (&1.into(), &false.into()));
    check(&publish(&["a.b", "--type", "t", "2", "--key", "k"]), 1, "", "conflict");
    check(&publish(&["a.c", "--type", "u", "hello"]), 0, "published 2\n", "");
    let args = ["a.*", "--type", "t", "1"];
    check(&publish(&args), 1, "", "only a filter has * and >");
    check(&publish(&["sys.x", "--type", "t", "1"]), 1, "", "sys.");
    check(&publish(&["a", "--type", "t t", "1"]), 1, "", "a type is");

    let subscribe = |args: &[&str]| run(&mut node.command(&[&["subscribe"], args].concat()));
    let all = subscribe(&["a.>", "--after", "start", "--count", "2"]);
    assert_eq!(lines(&all), ["1 a.b t {\"x\":1}", "2 a.c u hello"]);
    let some = subscribe(&["a.*", "--type", "u", "--after", "start", "--count", "1", "--json"]);
    let event: Value = serde_json::from_slice(&some.stdout).unwrap();
    assert_eq!((&event["sequence"], &event["topic"]), (&2.into(), &"a.c".into()));
    check(&subscribe(&["a.>.b"]), 1, "", "a whole word may be *, and the last >");
    check(&subscribe(&["a", "--after", "99"]), 1, "", "invalid_cursor");
}

#[test]
fn a_subscription_goes_on_after_the_node_was_away() {
    let mut node = Node::start();
    let mut command = node.command(&["subscribe", "a.>", "--count", "3"]);
    let mut events = Running::start(&mut command, "subscribed");
    let publish = |node: &Node, data: &str| {
        let output = run(&mut node.command(&["publish", "a.b", "--type", "t", data]));
        assert!(output.status.success(), "{output:?}");
    };
    publish(&node, "1");
    assert_eq!(events.line(), "1 a.b t 1");
    node.kill();
    node.start_again_in_place();
    publish(&node, "2");
    publish(&node, "3");
    assert_eq!([events.line(), events.line()], ["2 a.b t 2", "3 a.b t 3"]);
    assert_eq!(events.0.wait().unwrap().code(), Some(0));
}

#[test]
fn a_queue_is_worked_through() {
    let node = Node::start();
    let queue = |args: &[&str]| run(&mut node.command(&[&["queue"], args].concat()));
    let make = ["create", "work", "jobs.>", "--max-deliveries", "2"];
    assert!(queue(&make).status.success());
    assert!(queue(&make).status.success(), "again, as it is");
    check(&queue(&["create", "work", "jobs.>", "--max-deliveries", "3"]), 1, "", "conflict");
    check(&queue(&["create", "a.b", "jobs.>"]), 1, "", "a queue is 1 to 64");
    check(&queue(&["pull", "other"]), 1, "", "not_found");
    for number in ["1", "2", "3"] {
        let publish = ["publish", "jobs.a", "--type", "t", number];
        assert!(run(&mut node.command(&publish)).status.success());
    }
    let pulled = lines(&queue(&["pull", "work", "--max", "2"]));
    let parts: Vec<_> = pulled.iter().map(|line| line.split_once(' ').unwrap()).collect();
    assert_eq!([parts[0].1, parts[1].1], ["1 1 jobs.a t 1", "1 2 jobs.a t 2"]);
    assert!(queue(&["ack", "work", parts[0].0]).status.success());
    let twice = queue(&["ack", "work", parts[0].0]);
    assert_eq!(twice.status.code(), Some(1), "{twice:?}");
    assert!(String::from_utf8_lossy(&twice.stderr).contains("not_found"), "{twice:?}");
    assert!(queue(&["nack", "work", parts[1].0, "--reason", "broken"]).status.success());
    let again = lines(&queue(&["pull", "work"]));
    let (delivery, rest) = again[0].split_once(' ').unwrap();
    assert_eq!(rest, "2 2 jobs.a t 2");
    assert!(queue(&["nack", "work", delivery, "--reason", "broken"]).status.success());
    let letters = lines(&queue(&["dead-letters", "work"]));
    assert_eq!(letters.len(), 1);
    assert!(letters[0].contains("jobs.a 2 t after 2 attempts: broken: 2"), "{letters:?}");
    let stats = queue(&["stats", "work", "--json"]);
    let stats: Value = serde_json::from_slice(&stats.stdout).unwrap();
    let number = |name: &str| stats[name].as_u64().unwrap();
    let told = ["depth", "in_flight", "acknowledged", "redelivered", "dead_lettered"].map(number);
    assert_eq!(told, [1, 0, 1, 1, 1]);
}

#[test]
fn a_consumer_takes_and_acknowledges_what_comes() {
    let node = Node::start();
    assert!(run(&mut node.command(&["queue", "create", "work", "jobs.>"])).status.success());
    let mut consumer =
        Running::start(&mut node.command(&["queue", "consume", "work"]), "consuming");
    for number in 1..=5 {
        let publish = ["publish", "jobs.a", "--type", "t", &number.to_string()];
        assert!(run(&mut node.command(&publish)).status.success());
        assert!(consumer.line().ends_with(&format!(" 1 {number} jobs.a t {number}")));
    }
    until("all is acknowledged", || {
        let stats = run(&mut node.command(&["queue", "stats", "work", "--json"]));
        let stats: Value = serde_json::from_slice(&stats.stdout).unwrap();
        stats["acknowledged"] == 5
    });
}

#[test]
fn a_request_is_answered_or_its_time_is_up() {
    let node = Node::start();
    let mut command = node.command(&["respond", "prices.*", "--exec", "cat"]);
    let responder = Running::start(&mut command, "responding");
    let request = |args: &[&str]| {
        run(&mut node.command(&[&["request", "prices.get", "--type", "ask"], args].concat()))
    };
    check(&request(&["{\"item\":7}"]), 0, "{\"item\":7}\n", "");
    drop(responder);
    until("nobody responds any more", || {
        let output = request(&["1", "--timeout", "100ms"]);
        output.status.code() == Some(1)
            && String::from_utf8_lossy(&output.stderr).contains("deadline_exceeded")
    });
}
