//! What the tests need beside a Rust toolchain.

use std::process::{Command, Stdio};

/// A program, and the package of Debian that has it.
struct Need {
    program: &'static str,
    package: &'static str,
    why: &'static str,
}

const NEEDS: &[Need] = &[
    Need { program: "cc", package: "gcc", why: "links, and builds the allocator" },
    Need { program: "curl", package: "curl", why: "the README's tour" },
    Need { program: "git", package: "git", why: "the rules of the repository" },
];

/// Installs what is missing where that can be done without asking.
///
/// # Errors
///
/// A sentence for each thing that is missing.
pub(crate) fn meet() -> Result<(), String> {
    let missing: Vec<&Need> = NEEDS.iter().filter(|need| !has(need.program)).collect();
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
