//! The README's tour, run as a reader runs it: every block of shell, in order, in one shell.
#![expect(clippy::unwrap_used, reason = "a suite of tests")]

use std::{
    env,
    fs::{self, Permissions},
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command,
};

#[test]
fn the_tour_does_what_it_says() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let [main, tcp, admin] = free_ports();
    // A balancer on two, and ten more for each node.
    let cluster = switchboard_servers::free_port().unwrap();
    let blocks = blocks(&readme);
    let shell: Vec<&str> =
        blocks.iter().filter(|(kind, _)| kind == "sh").map(|(_, text)| text.as_str()).collect();
    assert!(5 < shell.len(), "the tour has blocks of shell");
    // Whatever happens, no node is left behind, which would hold on to what is read below.
    let script = format!(
        "set -euo pipefail\ntrap 'kill -9 $(jobs -p) 2>/dev/null || true' EXIT\n{}",
        shell.join("\n")
    );
    let script = script.replace("7400", &main.to_string()).replace("7402", &admin.to_string());
    let script = script.replace("7500", &cluster.to_string());

    let folder = tempfile::tempdir().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_switchboard"));
    let path = format!(
        "{}:{}:{}",
        folder.path().display(),
        program.parent().unwrap().display(),
        env::var("PATH").unwrap()
    );
    // As in a clone of the repository, wherever this is run.
    let cargo = "#!/bin/sh\ncd \"$REPOSITORY\" && exec \"$CARGO\" \"$@\"\n";
    fs::write(folder.path().join("cargo"), cargo).unwrap();
    fs::set_permissions(folder.path().join("cargo"), Permissions::from_mode(0o755)).unwrap();
    let output = Command::new("bash")
        .arg("-c")
        .arg(&script)
        .current_dir(folder.path())
        .env("PATH", path)
        .env("CARGO", env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()))
        .env("REPOSITORY", concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .env("SWITCHBOARD_CLUSTER_PORT", cluster.to_string())
        .env("SWITCHBOARD_CLUSTER_PROGRAM", program)
        .env("SWITCHBOARD_URL", format!("http://127.0.0.1:{main}"))
        .env("SWITCHBOARD_LISTEN", format!("127.0.0.1:{main}"))
        .env("SWITCHBOARD_TCP_LISTEN", format!("127.0.0.1:{tcp}"))
        .env("SWITCHBOARD_ADMIN_LISTEN", format!("127.0.0.1:{admin}"))
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    let told = format!("--- out\n{out}\n--- err\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the tour ended with {}\n{told}", output.status);

    let mut rest = &*out;
    for (_, text) in blocks.iter().filter(|(kind, _)| kind == "text") {
        for line in text.lines() {
            // `…` stands for anything; the lines come in this order.
            for part in line.split('…') {
                let found = rest.find(part);
                let at = found.unwrap_or_else(|| panic!("{part:?} of {line:?} is missing\n{told}"));
                rest = &rest[at + part.len()..];
            }
        }
    }
}

/// The fenced blocks of a document: what is said behind the fence, and the text.
fn blocks(document: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in document.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(kind), None) => open = Some((kind.to_owned(), String::new())),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some((_, text))) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => {}
        }
    }
    blocks
}

/// Three ports that are free now. Somebody could take one before the node does, but the kernel
/// hands them out in turn.
fn free_ports() -> [u16; 3] {
    let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}
