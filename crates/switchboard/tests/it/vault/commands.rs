//! `switchboard vault`, from the key to the record and back.

use std::{
    fs,
    io::Write as _,
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};

use super::key;
use crate::{
    commands,
    node::{Node, run, until},
};

#[track_caller]
fn check(output: &Output, code: i32, out: &str, err: &str) {
    commands::check(output, code, out, err);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(!err.is_empty() || complained.is_empty(), "{complained:?}");
}

/// A node, and files with keys.
struct Vault {
    node: Node,
}

impl Vault {
    fn start() -> Self {
        let vault = Self { node: Node::start() };
        for (name, number) in [("one", 1), ("other", 2)] {
            let path = vault.file(name);
            let made = run(&mut vault.node.command(&["vault", "keygen", "--out", &path]));
            check(&made, 0, "", "");
            // Known ones: what was made is only looked at.
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.starts_with("swvk1_") && text.len() == 57 && text.ends_with('\n'));
            fs::write(&path, key(number) + "\n").unwrap();
        }
        vault
    }

    fn file(&self, name: &str) -> String {
        self.node.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// A command under the key in this file.
    fn command(&self, key: &str, arguments: &[&str]) -> Command {
        let mut command = self.node.command(&["vault"]);
        command.args(arguments).args(["--key-file", &self.file(key)]);
        command
    }

    fn run(&self, key: &str, arguments: &[&str]) -> Output {
        run(self.command(key, arguments).stdin(Stdio::null()))
    }

    fn feed(&self, key: &str, arguments: &[&str], input: &[u8]) -> Output {
        let mut command = self.command(key, arguments);
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        child.wait_with_output().unwrap()
    }
}

#[test]
fn values_come_from_an_argument_a_file_or_standard_input() {
    let vault = Vault::start();
    let stored = vault.run("one", &["store", "a", "{\"pi\": 3.10}"]);
    check(&stored, 0, "a version 1 (new)\n", "");
    let found = vault.run("one", &["retrieve", "a", "--value-only"]);
    check(&found, 0, "{\"pi\": 3.10}\n", "");

    let file = vault.file("value");
    fs::write(&file, "[\n1e400 ]\n").unwrap();
    check(&vault.run("one", &["store", "a", "--file", &file]), 0, "a version 2 (replaced)\n", "");
    check(&vault.run("one", &["retrieve", "a", "--value-only"]), 0, "[\n1e400 ]\n", "");
    check(&vault.run("one", &["retrieve", "a"]), 0, "a\t[ 1e400 ]\n", "");

    // As long as it may be.
    let longest = format!("\"{}\"", "x".repeat(1024 * 1024 - 2));
    fs::write(&file, &longest).unwrap();
    check(&vault.run("one", &["store", "z", "--file", &file]), 0, "z version 1 (new)\n", "");
    let found = vault.run("one", &["retrieve", "z", "--value-only"]);
    assert!(found.stdout.strip_suffix(b"\n") == Some(longest.as_bytes()));

    for arguments in [&["store", "b"][..], &["store", "b", "-"]] {
        assert_eq!(vault.feed("one", arguments, b"-0\n").status.code(), Some(0));
        check(&vault.run("one", &["retrieve", "b"]), 0, "b\t-0\n", "");
    }
    let bytes: Vec<u8> = (0..=255).chain(*b"\n").collect();
    let png = ["store", "c", "--bytes", "--content-type", "image/png"];
    check(&vault.feed("one", &png, &bytes), 0, "c version 1 (new)\n", "");
    let found = vault.run("one", &["retrieve", "c", "--value-only"]);
    assert_eq!(found.stdout, bytes);
    let found = vault.run("one", &["retrieve", "c"]);
    assert!(found.stdout.starts_with(b"c\tdata:image/png;base64,AAECAwQF"), "{found:?}");
    let found = vault.run("one", &["retrieve", "c", "--json"]);
    let told: Value = serde_json::from_slice(&found.stdout).unwrap();
    assert_eq!((&told["content_type"], &told["version"]), (&json!("image/png"), &json!(1)));

    let all = vault.run("one", &["retrieve", "*", "--limit", "2"]);
    check(&all, 0, "a\t[ 1e400 ]\nb\t-0\n", "");
    let told = vault.run("one", &["store", "d", "null", "--expires-in", "1h", "--json"]);
    let told: Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!((&told["new"], &told["replaced_key"]), (&json!(true), &json!(false)));
    let found = vault.run("one", &["retrieve", "d", "--json"]);
    let told: Value = serde_json::from_slice(&found.stdout).unwrap();
    let left = told["expires_at"].as_i64().unwrap() - told["updated_at"].as_i64().unwrap();
    assert!((3_500_000..=3_600_000).contains(&left), "{left}");
}

#[test]
fn a_key_opens_its_own_and_a_wrong_one_is_said_so() {
    let vault = Vault::start();
    for id in ["a1", "a2", "b"] {
        vault.run("one", &["store", id, "1"]);
    }
    let nothing = "nothing under a* opens with this key";
    check(&vault.run("other", &["retrieve", "a*"]), 0, "", nothing);
    check(&vault.run("other", &["delete", "a*"]), 0, "0 deleted\n", "");
    let other = vault.file("other");
    let rekey = ["rekey", "a*", "--new-key-file", &other];
    check(&vault.run("one", &rekey), 0, "2 rekeyed\n", "");
    check(&vault.run("one", &rekey), 0, "0 rekeyed\n", "");
    check(&vault.run("one", &["retrieve", "a*"]), 0, "", nothing);
    check(&vault.run("other", &["retrieve", "*"]), 0, "a1\t1\na2\t1\n", "");
    check(&vault.run("other", &["delete", "a1", "--json"]), 0, "{\"deleted\":1}\n", "");
    let over = vault.run("one", &["store", "a2", "2"]);
    assert!(String::from_utf8_lossy(&over.stdout).ends_with("(replaced one of another key)\n"));

    let conflict = vault.run("one", &["store", "b", "2", "--if-version", "0"]);
    check(&conflict, 1, "", "conflict from http://");
    check(&vault.run("one", &["retrieve", "b"]), 0, "b\t1\n", "");
    check(&vault.run("one", &["store", "a*", "1"]), 1, "", "invalid_id");
    check(&vault.run("one", &["store", "a", "nonsense"]), 2, "", "no JSON");

    // Of a mistyped key nothing is sent, and nothing is said of it.
    let mistyped = key(7).replace("_Bw", "_Cw");
    fs::write(vault.file("mistyped"), &mistyped).unwrap();
    let refused = vault.run("mistyped", &["store", "a", "1"]);
    check(&refused, 2, "", "its checksum is wrong");
    assert!(!String::from_utf8_lossy(&refused.stderr).contains(&mistyped[6..20]));
    // The variable does as well as the file.
    let mut command = vault.node.command(&["vault", "retrieve", "b"]);
    check(&run(command.env("SWITCHBOARD_ENCRYPTION_KEY", key(1))), 0, "b\t1\n", "");
}

#[test]
fn no_key_is_in_the_arguments_of_a_program() {
    let vault = Vault::start();
    for arguments in [["vault", "--key", "store"], ["vault", "store", "--encryption-key"]] {
        let refused = run(vault.node.command(&arguments).arg(key(1)));
        assert_eq!(refused.status.code(), Some(2), "no option takes one");
    }
    let mut command = vault.command("one", &["store", "a"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let path = format!("/proc/{}/cmdline", child.id());
    let mut told = Vec::new();
    until("the program runs", || {
        told = fs::read(&path).unwrap();
        told.windows(8).any(|at| at == b"key-file")
    });
    assert!(!told.windows(20).any(|at| at == &key(1).as_bytes()[..20]));
    child.stdin.take().unwrap().write_all(b"1").unwrap();
    assert!(child.wait().unwrap().success());
    check(&vault.run("one", &["retrieve", "a"]), 0, "a\t1\n", "");
}
