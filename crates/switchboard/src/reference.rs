//! The reference pages, printed from the command line itself. `REGENERATE=1` writes them; without
//! it the test fails when they differ.

use std::{env, fmt::Write as _, fs, path::Path};

use clap::{Arg, Command, CommandFactory as _};

use crate::Cli;

#[test]
fn the_references_are_what_the_command_line_says() {
    let mut command = Cli::command();
    command.build();
    check("command-line.md", &command_line(&command));
    let serve = command.find_subcommand("serve").unwrap();
    check("configuration.md", &configuration(serve));
}

#[track_caller]
fn check(name: &str, now: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference").join(name);
    if env::var_os("REGENERATE").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, now).unwrap();
    }
    let was = fs::read_to_string(&path).unwrap_or_default();
    assert!(was == now, "{name} is out of date: REGENERATE=1 cargo test -p switchboard reference");
}

/// Every command with its arguments.
fn command_line(command: &Command) -> String {
    let mut page = "# The command line\n\nPrinted from the program itself.\n\n".to_owned();
    page += "Exit codes: 0 done, 1 it failed, 2 wrong usage. Errors go to standard error as one\n";
    page +=
        "line. An option is a flag, an environment variable and a line of the file given with\n";
    page += "`--config`; the first of these that is there counts.\n";
    page += "\n## Every command\n\n";
    list(&mut page, command, Arg::is_global_set);
    for subcommand in command.get_subcommands() {
        section(&mut page, "switchboard", subcommand);
    }
    page
}

fn section(page: &mut String, parent: &str, command: &Command) {
    if command.get_name() == "help" {
        return;
    }
    let name = format!("{parent} {}", command.get_name());
    let about = command.get_long_about().or_else(|| command.get_about());
    let about = about.map(ToString::to_string).unwrap_or_default();
    writeln!(page, "\n## `{name}`\n\n{about}\n").unwrap();
    // What a command and all its parts take is said once, with the command.
    let whole = parent == "switchboard";
    list(page, command, |arg| arg.get_id() != "config" && (whole || !arg.is_global_set()));
    for subcommand in command.get_subcommands() {
        section(page, &name, subcommand);
    }
}

fn list(page: &mut String, command: &Command, wanted: impl Fn(&Arg) -> bool) {
    let hidden = |arg: &&Arg| !["help", "version"].contains(&arg.get_id().as_str());
    for arg in command.get_arguments().filter(hidden).filter(|arg| wanted(arg)) {
        let spelled = match arg.get_long() {
            Some(long) => format!("--{long}{}", value(arg)),
            None => format!("[{}]", value(arg).trim()),
        };
        write!(page, "- `{spelled}`: {}", help(arg)).unwrap();
        if let Some(default) = default(arg) {
            write!(page, " Default: `{default}`.").unwrap();
        }
        if let Some(variable) = arg.get_env() {
            write!(page, " Variable: `{}`.", variable.to_string_lossy()).unwrap();
        }
        page.push('\n');
    }
}

/// Every option of a node, by all its names.
fn configuration(serve: &Command) -> String {
    let mut page =
        "# The configuration of a node\n\nPrinted from the program itself.\n\n".to_owned();
    page += "A flag beats its variable, the variable the file (`--config FILE`, TOML), and\n";
    page += "the file the default. A key of the file that the command has not is an error.\n\n";
    page += "| flag | variable | key in the file | default | what it does |\n";
    page += "|---|---|---|---|---|\n";
    for arg in serve.get_arguments().filter(|arg| is_option(arg) && !arg.is_global_set()) {
        let flag = arg.get_long().unwrap_or_default();
        let variable = arg.get_env().unwrap_or_default().to_string_lossy();
        let default = default(arg).map(|default| format!("`{default}`")).unwrap_or_default();
        let (key, help) = (arg.get_id(), help(arg).replace('|', "\\|"));
        writeln!(page, "| `--{flag}` | `{variable}` | `{key}` | {default} | {help} |").unwrap();
    }
    page
}

/// Whether an argument has a variable and a line in the file, besides its flag.
fn is_option(arg: &Arg) -> bool {
    arg.get_env().is_some() && arg.get_id() != "config"
}

fn help(arg: &Arg) -> String {
    let help = arg.get_long_help().or_else(|| arg.get_help());
    let help = help.map(ToString::to_string).unwrap_or_default().replace('\n', " ");
    if help.ends_with(['.', '!']) { help } else { help + "." }
}

fn value(arg: &Arg) -> String {
    if !arg.get_action().takes_values() {
        return String::new();
    }
    let possible = arg.get_possible_values();
    if !possible.is_empty() {
        let names: Vec<&str> =
            possible.iter().map(clap::builder::PossibleValue::get_name).collect();
        return format!(" {}", names.join("|"));
    }
    let names = arg.get_value_names().unwrap_or_default();
    format!(" {}", names.iter().map(clap::builder::Str::as_str).collect::<Vec<_>>().join(" "))
}

/// What counts when nothing is said. A switch is off then, which needs no words.
fn default(arg: &Arg) -> Option<String> {
    let takes = arg.get_action().takes_values();
    let values = arg.get_default_values();
    let shown = values.iter().map(|value| value.to_string_lossy()).collect::<Vec<_>>().join(" ");
    (takes && !values.is_empty()).then_some(shown)
}
