//! What stands in `deploy/` is what the program takes.

use std::{collections::BTreeMap, fs, path::Path};

use crate::node::{run, switchboard};

/// A service of `compose.yaml`: its lines, without what they are indented by.
type Services = BTreeMap<String, Vec<String>>;

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(name);
    fs::read_to_string(path).unwrap()
}

/// The blocks of a document: those below `services:`, and those that others are made of.
fn services(compose: &str) -> Services {
    let mut services = Services::new();
    let (mut section, mut name) = (String::new(), String::new());
    for line in compose.lines().filter(|line| !line.trim_start().starts_with('#')) {
        let depth = line.len() - line.trim_start().len();
        match (depth, line.split_once(':')) {
            (0, Some((key, _))) => (section, name) = (key.to_owned(), key.to_owned()),
            (2, Some((key, _))) if section == "services" => key.trim().clone_into(&mut name),
            _ => services.entry(name.clone()).or_default().push(line.trim().to_owned()),
        }
    }
    services
}

/// The words of a `key: [...]`.
fn words(lines: &[String], key: &str) -> Option<Vec<String>> {
    let value = lines.iter().find_map(|line| line.strip_prefix(key))?;
    Some(serde_json::from_str(value.trim()).unwrap_or_else(|_| panic!("{key} {value}")))
}

/// The variables of a block that are the program's.
fn variables(lines: &[String]) -> Vec<(String, String)> {
    let own = lines.iter().filter(|line| line.starts_with("SWITCHBOARD_"));
    let pair = |line: &String| {
        let (name, value) = line.split_once(':').unwrap();
        (name.to_owned(), value.trim().trim_matches('"').to_owned())
    };
    own.map(pair).collect()
}

/// What the program says of a command, on one line.
fn help(command: &str) -> String {
    let output = run(switchboard().args([command, "--help"]));
    let words = String::from_utf8(output.stdout).unwrap();
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Has the program read these arguments and variables, and do nothing. A variable is read as the
/// flag that it stands for, which is what `--help` still looks at.
#[track_caller]
fn is_taken(args: &[String], variables: &[(String, String)]) {
    let help = help(&args[0]);
    let mut command = switchboard();
    command.args(args);
    for (name, value) in variables {
        let flag = name.trim_start_matches("SWITCHBOARD_").to_lowercase().replace('_', "-");
        let is_its = |end| help.contains(&format!("[env: {name}{end}"));
        assert!(is_its("=") || is_its("]"), "{name} is no variable of {args:?}");
        command.arg(format!("--{flag}")).arg(value);
    }
    let output = run(command.arg("--help"));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?} {variables:?}: {told}");
}

/// Refuses what is not right, or the test above would say nothing.
#[test]
fn a_wrong_argument_is_noticed_before_help() {
    for args in [&["serve", "--rolls", "api"][..], &["connect", "--count", "many"], &["server"]] {
        let output = run(switchboard().args(args).arg("--help"));
        assert_eq!(output.status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn every_container_starts_the_program_as_it_takes_it() {
    let compose = read("compose.yaml");
    let services = services(&compose);
    let variables = variables(&services["x-node"]);
    assert!(3 < variables.len(), "{variables:?}");
    let health = words(&services["x-node"], "test:").unwrap();
    assert_eq!(health[..2], ["CMD", "switchboard"]);
    is_taken(&health[2..], &[]);
    let mut roles = BTreeMap::<String, usize>::new();
    for (name, lines) in &services {
        let command = words(lines, "command:");
        if lines.iter().any(|line| line == "<<: *node") {
            let command = command.unwrap();
            is_taken(&command, &variables);
            let at = command.iter().position(|word| word == "--roles").unwrap();
            *roles.entry(command[at + 1].clone()).or_default() += 1;
            assert!(command.contains(&"--insecure".to_owned()), "{name} listens on 0.0.0.0");
        } else if lines.iter().any(|line| line == "image: switchboard") && name != "x-node" {
            is_taken(&command.unwrap(), &[]);
        }
    }
    let expected = [("api", 1), ("gateway", 2), ("status", 2)];
    assert_eq!(roles, expected.map(|(role, count)| (role.to_owned(), count)).into());
}

#[test]
fn only_the_balancer_is_reached_and_only_from_this_machine() {
    let compose = read("compose.yaml");
    let services = services(&compose);
    let published: Vec<&String> =
        services.values().flatten().filter(|line| line.starts_with("- \"127.0.0.1:")).collect();
    assert_eq!(published, ["- \"127.0.0.1:7400:7400\"", "- \"127.0.0.1:7401:7401\""]);
    for (name, lines) in &services {
        let locked = ["<<: *locked", "<<: *node"];
        let locked = lines.iter().any(|line| locked.contains(&line.as_str()));
        let is_container = lines.iter().any(|line| line.starts_with("image:")) || locked;
        assert_eq!(is_container, locked, "{name} is not locked");
        let has_ports = lines.iter().any(|line| line == "ports:");
        assert_eq!(has_ports, name == "balancer", "{name}");
        let outside = lines.iter().any(|line| line.contains("outside"));
        assert!(!outside || name == "balancer" || name == "networks", "{name}");
    }
    for locked in ["read_only: true", "cap_drop: [ALL]", "no-new-privileges:true"] {
        assert!(services["x-locked"].iter().any(|line| line.contains(locked)), "{locked}");
    }
}

#[test]
fn the_balancer_knows_every_node_by_its_name() {
    let (compose, haproxy) = (read("compose.yaml"), read("haproxy.cfg"));
    let services = services(&compose);
    let nodes = services.iter().filter(|(_, lines)| lines.iter().any(|line| line == "<<: *node"));
    let mut backends = BTreeMap::<String, Vec<String>>::new();
    let mut backend = String::new();
    for line in haproxy.lines().map(str::trim) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["backend" | "frontend", name] => name.clone_into(&mut backend),
            ["server", name, address, ..] => {
                let port = if backend.ends_with("_tcp") { 7401 } else { 7400 };
                assert_eq!(address, format!("{name}:{port}"), "{backend}");
                let proto = backend.ends_with("_grpc");
                assert_eq!(line.contains(" proto h2 "), proto, "{backend} {name}");
                backends.entry(backend.clone()).or_default().push(name.to_owned());
            }
            _ => {}
        }
    }
    for (name, lines) in nodes {
        let command = words(lines, "command:").unwrap();
        let at = command.iter().position(|word| word == "--roles").unwrap();
        let of_role: &[&str] = match command[at + 1].as_str() {
            "gateway" => &["gateways", "gateways_grpc", "gateways_tcp"],
            "status" => &["status", "status_grpc"],
            _ => &["api", "api_grpc"],
        };
        for (backend, servers) in &backends {
            let expected = of_role.contains(&backend.as_str());
            assert_eq!(servers.contains(name), expected, "{name} in {backend}");
        }
    }
}

#[test]
fn the_image_starts_the_program_as_it_takes_it() {
    let dockerfile = read("Dockerfile");
    let lines: Vec<String> = dockerfile.lines().map(|line| line.trim().to_owned()).collect();
    assert_eq!(words(&lines, "ENTRYPOINT").unwrap(), ["switchboard"]);
    let mut commands = lines.iter().filter_map(|line| line.strip_prefix("CMD "));
    let health: Vec<String> = serde_json::from_str(commands.next().unwrap()).unwrap();
    assert_eq!(health[0], "switchboard");
    is_taken(&health[1..], &[]);
    let data = ("SWITCHBOARD_DATA_DIR".to_owned(), "/data".to_owned());
    assert!(lines.contains(&format!("ENV {}={}", data.0, data.1)));
    let serve: Vec<String> = serde_json::from_str(commands.next().unwrap()).unwrap();
    is_taken(&serve, &[data]);
    // The ports of the defaults.
    let help = help("serve");
    let exposed = lines.iter().find_map(|line| line.strip_prefix("EXPOSE ")).unwrap();
    for port in exposed.split(' ') {
        assert!(help.contains(&format!("[default: 127.0.0.1:{port}]")), "{port}");
    }
    // Whoever builds it has at least the toolchain that the sources need.
    let manifest = read("../Cargo.toml");
    let needs = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap();
    let image = format!("rust:{}-bookworm", needs.trim_matches('"'));
    assert!(dockerfile.contains(&image), "the toolchain is that of the oldest that builds it");
}
