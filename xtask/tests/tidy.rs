//! The rules of the repository that the compiler can't check. CONTRIBUTING.md says why each is
//! there.
#![expect(clippy::unwrap_used, reason = "a test; clippy only knows the bodies of #[test]")]

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path, process::Command};

/// Which of our crates each crate may use. Arrows point down or inwards only.
const MAY_USE: &[(&str, &[&str])] = &[
    ("switchboard-core", &[]),
    ("switchboard-proto", &[]),
    ("switchboard-contract", &["switchboard-core"]),
    ("switchboard-embedded", &["switchboard-core"]),
    ("switchboard-nats", &["switchboard-core"]),
    ("switchboard-postgres", &["switchboard-core"]),
    ("switchboard-server", &["switchboard-core", "switchboard-proto"]),
    ("switchboard-servers", &[]),
    ("switchboard-client", &["switchboard-proto"]),
    (
        "switchboard",
        &[
            "switchboard-client",
            "switchboard-core",
            "switchboard-embedded",
            "switchboard-nats",
            "switchboard-postgres",
            "switchboard-proto",
            "switchboard-server",
        ],
    ),
    ("switchboard-fold", &["switchboard-core"]),
    (
        "switchboard-chat-bench",
        &["switchboard-core", "switchboard-embedded", "switchboard-peers", "switchboard-proto"],
    ),
    (
        "switchboard-cluster-bench",
        &["switchboard-client", "switchboard-peers", "switchboard-proto", "switchboard-servers"],
    ),
    ("switchboard-bus-bench", &["switchboard-core", "switchboard-peers", "switchboard-proto"]),
    ("switchboard-peers", &["switchboard-client", "switchboard-proto"]),
    (
        "switchboard-vault-bench",
        &["switchboard-core", "switchboard-embedded", "switchboard-peers", "switchboard-proto"],
    ),
    (
        "switchboard-sessions",
        &["switchboard-contract", "switchboard-core", "switchboard-proto", "switchboard-server"],
    ),
    ("xtask", &["switchboard-servers"]),
];

/// What the core knows of others: hashes, ciphers and the rules of phone numbers, which are no part
/// of the world.
const CORE_MAY_USE: &[&str] = &[
    "argon2",
    "aws-lc-rs",
    "base64ct",
    "blake3",
    "hashbrown",
    "rlibphonenumber",
    "sha2",
    "siphasher",
    "zeroize",
];

/// The most lines of a file before its tests, the longest line, and the longest function.
const LINES_MAX: usize = 500;
const COLUMNS_MAX: usize = 100;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["utils", "util", "common", "helpers", "manager", "types", "misc"];

#[test]
fn crates_use_only_what_they_may() {
    let allowed: BTreeMap<_, _> = MAY_USE.iter().copied().collect();
    let mut wrong = String::new();
    for package in metadata() {
        let name = package["name"].as_str().unwrap();
        let may_use = allowed.get(name).unwrap_or_else(|| panic!("{name} is not in MAY_USE"));
        for dependency in package["dependencies"].as_array().unwrap() {
            let used = dependency["name"].as_str().unwrap();
            let test_only = dependency["kind"] == "dev";
            if used.starts_with("switchboard") && !test_only && !may_use.contains(&used) {
                writeln!(wrong, "{name} must not use {used}").unwrap();
            }
            if name == "switchboard-core" && !test_only && !CORE_MAY_USE.contains(&used) {
                writeln!(wrong, "the core must not know {used}").unwrap();
            }
        }
        if package["features"].as_object().is_some_and(|features| !features.is_empty()) {
            writeln!(wrong, "{name} has cargo features; there is one build").unwrap();
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    let mut wrong = String::new();
    for path in files("*Cargo.toml") {
        let text = fs::read_to_string(root().join(&path)).unwrap();
        // Generated code answers to its generator.
        let exempt = path == "Cargo.toml" || path == "crates/proto/Cargo.toml";
        if !exempt && !text.contains("[lints]\nworkspace = true") {
            writeln!(wrong, "{path}: [lints] workspace = true").unwrap();
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn files_are_tidy() {
    let mut wrong = String::new();
    for path in files("*.rs") {
        if path.contains("/generated/") {
            continue;
        }
        let text = fs::read_to_string(root().join(&path)).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        let stem = Path::new(&path).file_stem().unwrap().to_str().unwrap();
        if !text.starts_with("//!") {
            writeln!(wrong, "{path}: starts with what it is for, in a line of //!").unwrap();
        }
        if path.ends_with("/mod.rs") {
            writeln!(wrong, "{path}: a module foo is foo.rs beside foo/").unwrap();
        }
        if EMPTY_NAMES.contains(&stem) {
            writeln!(wrong, "{path}: a name that says what is inside").unwrap();
        }
        if LINES_MAX < code.lines().count() {
            writeln!(wrong, "{path}: more than {LINES_MAX} lines before its tests").unwrap();
        }
        for (index, line) in text.lines().enumerate() {
            if COLUMNS_MAX < line.chars().count() {
                writeln!(wrong, "{path}:{}: over {COLUMNS_MAX} columns", index + 1).unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn only_one_place_knows_both_the_core_and_the_wire() {
    let mut wrong = String::new();
    for path in files("crates/server/src/*.rs") {
        let text = fs::read_to_string(root().join(&path)).unwrap();
        let both = text.contains("switchboard_core::ingest") && text.contains("switchboard_proto");
        if both && !path.starts_with("crates/server/src/wire") {
            writeln!(wrong, "{path}: core and wire types meet in server::wire only").unwrap();
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut wrong = String::new();
    for path in files("*.md") {
        let text = fs::read_to_string(root().join(&path)).unwrap();
        let folder = Path::new(&path).parent().unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            let outside = target.is_empty() || target.contains("://");
            if !outside && !root().join(folder).join(target).exists() {
                writeln!(wrong, "{path}: a link to {target}, which is not there").unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn dashboards_alerts_and_documents_name_metrics_that_exist() {
    let exported = fs::read_to_string(root().join("docs/reference/metrics.md")).unwrap();
    let mut wrong = String::new();
    for path in files("deploy/*").into_iter().chain(["docs/operations.md".to_owned()]) {
        let text = fs::read_to_string(root().join(&path)).unwrap();
        let word =
            |c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == ':');
        for name in text.split(word).filter(|name| {
            // A rule of ours has colons in its name, crates have no unit.
            let ours = name.starts_with("switchboard_") || name.starts_with("process_");
            ours && !name.contains(':') && !name.ends_with('_') && *name != "switchboard_server"
        }) {
            let base = ["_bucket", "_count", "_sum"].iter().find_map(|end| name.strip_suffix(end));
            let known = |name: &str| exported.contains(&format!("`{name}`"));
            if !known(name) && !base.is_some_and(known) {
                writeln!(wrong, "{path}: {name} is not in docs/reference/metrics.md").unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The files of the repository that match, those not yet added included.
fn files(pattern: &str) -> Vec<String> {
    let args = ["ls-files", "--cached", "--others", "--exclude-standard", "--", pattern];
    let output = Command::new("git").current_dir(root()).args(args).output().unwrap();
    assert!(output.status.success(), "git lists the files of the repository");
    let listed = String::from_utf8(output.stdout).unwrap();
    listed.lines().filter(|path| root().join(path).exists()).map(str::to_owned).collect()
}

fn metadata() -> Vec<serde_json::Value> {
    let output = Command::new(env!("CARGO"))
        .current_dir(root())
        .args(["metadata", "--format-version=1", "--no-deps", "--locked"])
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}
