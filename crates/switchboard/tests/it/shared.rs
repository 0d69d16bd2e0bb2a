//! A store that nodes share, and the signals between them: what can't be used, and with which
//! words.

use std::path::Path;

use switchboard_servers::Postgres;

use crate::node::{run, switchboard};

/// Runs a command to its end, with an authority to trust; tells what it says.
#[track_caller]
fn told(args: &[&str], authority: &Path, code: i32) -> String {
    let mut command = switchboard();
    let output = run(command.args(args).env("SSL_CERT_FILE", authority).env("SSL_CERT_DIR", ""));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{told}");
    told
}

#[test]
fn a_store_and_signals_that_are_not_to_be_had_are_told_when_a_node_starts() {
    let free = "127.0.0.1:0";
    let listen = ["--listen", free, "--tcp-listen", free, "--admin-listen", free];
    let nowhere = "postgres://u:secret@127.0.0.1:1/x";
    let nobody = ["--signals", "nats://u:secret@127.0.0.1:1"];
    let here = Postgres::start().unwrap();
    for (store, says) in [
        (nowhere, "the database is not reached"),
        (&here.url("postgres"), "NATS at 127.0.0.1:1 is not reached"),
    ] {
        let args = [&["serve", "--store", store], &nobody[..], &listen].concat();
        let told = told(&args, Path::new(""), 1);
        assert!(told.contains(says), "{told}");
        assert!(!told.contains("secret"), "{told}");
    }
}

#[test]
fn who_certified_the_database_is_checked() {
    let (server, authority) = Postgres::encrypted().unwrap();
    let named = server.url("postgres").replace("127.0.0.1", "localhost");
    let encrypted = format!("{named}?sslmode=require");
    let migrate =
        |store: &str, authority: &Path, code| told(&["migrate", "--store", store], authority, code);
    // It takes nothing else.
    migrate(&named, &authority, 1);
    migrate(&encrypted, &authority, 0);
    let (other, another_authority) = Postgres::encrypted().unwrap();
    let told = migrate(&encrypted, &another_authority, 1);
    assert!(told.contains("TLS handshake") && told.contains("certificate"), "{told}");
    let numbered = encrypted.replace("localhost", "127.0.0.1");
    let told = migrate(&numbered, &authority, 1);
    assert!(told.contains("TLS handshake") && told.contains("not valid for name"), "{told}");
    let told = migrate(&encrypted, &another_authority.with_file_name("nothing"), 1);
    assert!(told.contains("this machine trusts no authority"), "{told}");
    drop(other);

    let plain = Postgres::start().unwrap();
    let told = migrate(&format!("{}?sslmode=require", plain.url("postgres")), &authority, 1);
    assert!(told.contains("does not support TLS"), "{told}");
}
