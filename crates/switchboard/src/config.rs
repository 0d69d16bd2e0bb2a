//! The configuration: every option declared once.
//!
//! An option is a flag, an environment variable and a line of the file, in this order of strength,
//! under one name with one description, because all three are one [`clap`] argument: the values of
//! the file become the defaults of the command that was called.

use std::{ffi::OsString, fs, path::PathBuf};

use clap::{ArgMatches, Command, CommandFactory, FromArgMatches, error::ErrorKind};

/// Reads flags, environment and file.
///
/// # Errors
///
/// Wrong usage, in clap's words; a file that can't be read, or has an option that the command does
/// not have, which is named.
pub(crate) fn load<T: CommandFactory + FromArgMatches>(
    args: impl IntoIterator<Item = OsString>,
) -> Result<T, clap::Error> {
    let args: Vec<OsString> = args.into_iter().collect();
    let mut command = T::command();
    let mut matches = command.try_get_matches_from_mut(&args)?;
    if let Some(path) = file(&matches) {
        let text = fs::read_to_string(&path).map_err(|error| {
            command.error(ErrorKind::Io, format!("can't read {}: {error}", path.display()))
        })?;
        let called = called(&matches);
        // Anew: a command that has parsed has its arguments indexed, and changes would confuse it.
        matches = with_defaults(T::command(), &called, &text)?.try_get_matches_from_mut(&args)?;
    }
    T::from_arg_matches_mut(&mut matches)
}

fn file(matches: &ArgMatches) -> Option<PathBuf> {
    let here = matches.try_get_one::<PathBuf>("config").ok().flatten();
    here.cloned().or_else(|| file(matches.subcommand()?.1))
}

/// The names of the subcommands that were called, outermost first.
fn called(matches: &ArgMatches) -> Vec<String> {
    let mut called = Vec::new();
    let mut rest = matches;
    while let Some((name, matches)) = rest.subcommand() {
        called.push(name.to_owned());
        rest = matches;
    }
    called
}

/// The command, with the file's values as defaults of the subcommand that was called.
fn with_defaults(
    mut command: Command,
    called: &[String],
    text: &str,
) -> Result<Command, clap::Error> {
    let table: toml::Table =
        text.parse().map_err(|error| command.error(ErrorKind::InvalidValue, error))?;
    for (name, value) in table {
        let mut target = &command;
        for name in called {
            target = target.find_subcommand(name).unwrap_or(target);
        }
        if name == "config" || !target.get_arguments().any(|arg| arg.get_id() == name.as_str()) {
            let message = format!("the configuration file has an option {name:?}: there is none");
            return Err(command.error(ErrorKind::UnknownArgument, message));
        }
        let value = match value {
            toml::Value::String(text) => text,
            other => other.to_string(),
        };
        command = defaulted(command, called, &name, value);
    }
    Ok(command)
}

fn defaulted(command: Command, called: &[String], name: &str, value: String) -> Command {
    match called.split_first() {
        Some((first, rest)) => {
            command.mut_subcommand(first, |command| defaulted(command, rest, name, value))
        }
        None => command.mut_arg(name, |arg| arg.default_value(value)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[arg(long, global = true)]
        config: Option<PathBuf>,
        #[command(subcommand)]
        command: Sub,
    }

    #[derive(Debug, clap::Subcommand)]
    enum Sub {
        Serve {
            #[arg(long, env = "SWITCHBOARD_TEST_UNSET", default_value = "default")]
            log_filter: String,
            #[arg(long, default_value_t = 1)]
            seconds: u32,
            #[arg(long)]
            insecure: bool,
        },
    }

    /// What comes of a file and flags: the filter, the seconds, and whether it is insecure.
    #[track_caller]
    fn check(file: &str, flags: &[&str], expected: Result<(&str, u32, bool), &str>) {
        let mut path = tempfile::NamedTempFile::new().unwrap();
        path.write_all(file.as_bytes()).unwrap();
        let mut args: Vec<OsString> = ["x", "serve", "--config"].map(OsString::from).to_vec();
        args.push(path.path().into());
        args.extend(flags.iter().map(OsString::from));
        match (load::<Cli>(args), expected) {
            (Ok(cli), Ok(expected)) => {
                let Sub::Serve { log_filter, seconds, insecure } = cli.command;
                assert_eq!((log_filter.as_str(), seconds, insecure), expected);
            }
            (Err(error), Err(says)) => assert!(error.to_string().contains(says), "{error}"),
            (got, expected) => panic!("{got:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn a_flag_beats_the_file_and_the_file_beats_the_default() {
        check("", &[], Ok(("default", 1, false)));
        check("log_filter = 'file'\nseconds = 5", &[], Ok(("file", 5, false)));
        check("log_filter = 'file'\nseconds = 5", &["--seconds", "7"], Ok(("file", 7, false)));
        check("insecure = true", &[], Ok(("default", 1, true)));
    }

    #[test]
    fn what_can_not_be_is_refused_by_name() {
        check("log_filtr = 'x'", &[], Err("\"log_filtr\""));
        check("config = 'x'", &[], Err("\"config\""));
        check("seconds = 'many'", &[], Err("many"));
        check("seconds =", &[], Err("TOML"));
    }
}
