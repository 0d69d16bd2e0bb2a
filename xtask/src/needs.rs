//! What the tests need beside a Rust toolchain.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

/// A program, and the package of Debian that has it.
#[derive(Clone, Copy)]
struct Need {
    program: &'static str,
    package: &'static str,
    why: &'static str,
}

/// What everything needs.
const NEEDS: &[Need] = &[
    Need { program: "cc", package: "gcc", why: "links, and builds the allocator" },
    Need { program: "curl", package: "curl", why: "the README's tour" },
    Need { program: "faketime", package: "faketime", why: "a node whose clock is wrong" },
    Need { program: "git", package: "git", why: "the rules of the repository" },
];

/// What many nodes need.
const CLUSTER: &[Need] = &[
    Need { program: "nats-server", package: "nats-server", why: "carries signals between nodes" },
    Need { program: "pkill", package: "procps", why: "freezes and ends servers" },
    Need { program: "postgres", package: "postgresql", why: "the store of many nodes" },
];

/// Where Debian has what is not on everybody's path.
const BESIDE: &[&str] = &["/usr/sbin", "/usr/local/sbin", "/usr/local/bin"];

/// Where Debian has PostgreSQL, by version.
const POSTGRES: &str = "/usr/lib/postgresql";

/// Installs what is missing for the tests, where that can be done without asking.
///
/// # Errors
///
/// A sentence for each thing that is missing.
pub(crate) fn meet() -> Result<(), String> {
    meet_all([NEEDS, CLUSTER].concat())
}

/// Installs what is missing for many nodes, where that can be done without asking.
///
/// # Errors
///
/// A sentence for each thing that is missing.
pub(crate) fn meet_cluster() -> Result<(), String> {
    meet_all(CLUSTER.to_vec())
}

fn meet_all(needs: Vec<Need>) -> Result<(), String> {
    let missing: Vec<Need> = needs.into_iter().filter(|need| !has(need.program)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if has("apt-get") {
        eprintln!("installing what the tests need");
        let packages = missing.iter().map(|need| need.package);
        apt(["update"].into_iter());
        apt(["install", "--yes", "--no-install-recommends"].into_iter().chain(packages));
    }
    let still = missing.into_iter().filter(|need| !has(need.program));
    let told: Vec<String> = still
        .map(|Need { program, package, why }| {
            format!("missing: {program} ({why}); install it, on Debian: apt-get install {package}")
        })
        .collect();
    if told.is_empty() { Ok(()) } else { Err(told.join("\n")) }
}

fn has(program: &str) -> bool {
    if program == "postgres" {
        // Only there: it is started from there.
        let versions = fs::read_dir(POSTGRES).into_iter().flatten().flatten();
        return versions.into_iter().any(|it| it.path().join("bin/postgres").exists());
    }
    if BESIDE.iter().any(|folder| Path::new(folder).join(program).exists()) {
        return true;
    }
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).status();
    found.is_ok()
}

fn apt<'a>(arguments: impl Iterator<Item = &'a str>) {
    let sudo = Command::new("sudo").args(["-n", "true"]).status();
    let sudo = sudo.is_ok_and(|status| status.success());
    let mut command = Command::new(if sudo { "sudo" } else { "apt-get" });
    if sudo {
        command.args(["-n", "apt-get"]);
    }
    // Whether it helped is looked at afterwards.
    let _ = command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").status();
}
