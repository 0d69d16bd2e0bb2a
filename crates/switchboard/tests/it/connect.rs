//! Sessions of the command line, with a node that comes and goes.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, ChildStdout, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    thread,
};

use serde_json::Value;

use crate::node::{DEADLINE, Node, run, switchboard, until};

const TRANSPORTS: [&str; 2] = ["tcp", "grpc"];

/// A running `switchboard connect --json`, killed when this is dropped.
struct Connect {
    child: Child,
    told: Receiver<Value>,
}

impl Connect {
    fn start(command: &mut Command) -> Self {
        let piped = command.arg("--json").stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        let told = read(child.stdout.take().unwrap());
        Self { child, told }
    }

    /// The next event of a kind; others before it are passed over.
    #[track_caller]
    fn hear(&self, event: &str) -> Value {
        loop {
            let told = self.told.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("no {event}"));
            if told["event"] == event {
                return told;
            }
        }
    }

    /// The exit code after a signal, and what was complained of.
    fn signal(&mut self, name: &str) -> (Option<i32>, String) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
        self.ended()
    }

    fn ended(&mut self) -> (Option<i32>, String) {
        let mut status = None;
        until("the sessions end", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        let mut complained = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut complained).unwrap();
        (status.unwrap().code(), complained)
    }
}

impl Drop for Connect {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads lines on a thread of its own, so that waiting for one has a deadline.
fn read(out: ChildStdout) -> Receiver<Value> {
    let (sender, told) = sync_channel(10_000);
    thread::spawn(move || {
        for line in BufReader::new(out).lines() {
            let line = serde_json::from_str(&line.unwrap()).unwrap();
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    told
}

/// How many sessions the node holds.
fn held(node: &Node, transport: &str) -> String {
    let (_, metrics) = node.get_admin("/metrics");
    let name = "switchboard_sessions{";
    let line = metrics.lines().find(|line| {
        line.starts_with(name) && line.contains(&format!("transport=\"{transport}\""))
    });
    line.map_or("0", |line| line.rsplit(' ').next().unwrap()).to_owned()
}

#[test]
fn a_session_is_held_until_ctrl_c() {
    let node = Node::start();
    for transport in TRANSPORTS {
        let args = ["connect", "--client", "ann", "--transport", transport];
        let mut connect = Connect::start(&mut node.command(&args));
        let connected = connect.hear("connected");
        assert_eq!(connected["client"], "ann");
        assert!(connected["session_id"].as_u64().is_some(), "{connected}");
        until("the node holds it", || held(&node, transport) == "1");
        assert_eq!(connect.signal("INT"), (Some(0), String::new()), "{transport}");
        until("the node lets go of it", || held(&node, transport) == "0");
        let rest = connect.told.recv_timeout(DEADLINE);
        assert_eq!(rest, Err(RecvTimeoutError::Disconnected), "{transport}: nothing else was said");
    }
}

#[test]
fn sessions_come_back_after_the_node_stopped_and_after_it_crashed() {
    for transport in TRANSPORTS {
        let mut node = Node::start();
        let args = ["connect", "--client", "ann", "--transport", transport];
        let mut connect = Connect::start(&mut node.command(&args));
        let first = connect.hear("connected");
        assert_eq!(node.stop(), 0);
        assert!(connect.hear("draining")["delay_ms"].as_u64().is_some());
        let disconnected = connect.hear("disconnected");
        assert_eq!(disconnected["code"], "unavailable", "{transport}");
        assert!(disconnected["retry_in_ms"].as_u64().is_some(), "{transport}");
        node.start_again_in_place();
        let second = connect.hear("connected");
        node.kill();
        connect.hear("disconnected");
        node.start_again_in_place();
        let third = connect.hear("connected");
        let ids = [first, second, third].map(|told| told["session_id"].as_u64().unwrap());
        assert!(ids.is_sorted_by(|a, b| a < b), "{transport}: later ones are greater: {ids:?}");
        assert_eq!(connect.signal("TERM"), (Some(0), String::new()), "{transport}");
    }
}

#[test]
fn many_sessions_are_of_as_many_clients() {
    let node = Node::start();
    for transport in TRANSPORTS {
        let args = ["connect", "--client", "c", "--count", "20", "--transport", transport];
        let mut connect = Connect::start(&mut node.command(&args));
        let mut clients: Vec<String> = (0..20)
            .map(|_| connect.hear("connected")["client"].as_str().unwrap().to_owned())
            .collect();
        clients.sort_by_key(|client| client[2..].parse::<u32>().unwrap());
        let expected: Vec<String> = (1..=20).map(|n| format!("c-{n}")).collect();
        assert_eq!(clients, expected);
        assert_eq!(held(&node, transport), "20");
        assert_eq!(connect.signal("INT"), (Some(0), String::new()), "{transport}");
        until("the node lets go of all", || held(&node, transport) == "0");
    }
}

#[test]
fn an_id_is_generated_once_and_kept() {
    let node = Node::start();
    let file = node.folder.path().join("here/client");
    let client = || {
        let args = ["connect", "--client-file", file.to_str().unwrap()];
        let mut connect = Connect::start(&mut node.command(&args));
        let client = connect.hear("connected")["client"].clone();
        assert_eq!(connect.signal("INT").0, Some(0));
        client
    };
    let generated = client();
    assert!(generated.as_str().unwrap().starts_with("client-"), "{generated}");
    assert_eq!(client(), generated);
}

#[test]
fn who_is_refused_for_good_or_used_wrongly_is_told_so() {
    let node = Node::start();
    for transport in TRANSPORTS {
        let args = ["connect", "--client", "ann", "--tenant", "a b", "--transport", transport];
        let mut connect = Connect::start(&mut node.command(&args));
        assert_eq!(connect.hear("refused")["code"], "invalid_tenant");
        assert_eq!(connect.hear("disconnected")["retry_in_ms"], Value::Null);
        let (code, complained) = connect.ended();
        assert_eq!(code, Some(1), "{transport}: {complained}");
        assert!(complained.starts_with("invalid_tenant from "), "{complained}");
    }
    for (args, says) in [
        (&["--client", ""][..], "1 to 128 bytes"),
        (&["--client", "a", "--url", "nonsense"], "no URL of a node"),
        (&["--client", "a", "--count", "0"], "--count"),
        (&["--client", "a", "--status", "away"], "--status"),
    ] {
        let output = run(switchboard().arg("connect").args(args));
        let complained = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {complained}");
        assert!(complained.contains(says), "{complained}");
    }
}
