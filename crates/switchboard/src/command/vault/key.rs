//! Where an encryption key comes from: a file, a variable, or whoever sits at the terminal. Never
//! an argument, which everybody on the machine can read.

use std::{
    env,
    ffi::OsString,
    fs::File,
    io::{self, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use clap::Args;
use switchboard_client::vault;
use switchboard_core::vault::{EncryptionKey, Secret};

use super::terminal;
use crate::{Failure, output};

#[derive(Clone, Debug, Args)]
pub(super) struct Given {
    /// A file with the encryption key; without it, the variable `SWITCHBOARD_ENCRYPTION_KEY`, or
    /// else the terminal is asked.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

impl Given {
    /// The key. Asked for twice at the terminal where nothing else would tell that it is mistyped.
    pub(super) fn read(&self, twice: bool) -> Result<vault::EncryptionKey, Failure> {
        Source {
            file: self.key_file.as_deref(),
            flag: "--key-file",
            variable: "SWITCHBOARD_ENCRYPTION_KEY",
            prompt: "Encryption key: ",
            twice,
        }
        .key()
    }
}

/// The key that is to be the one from now on.
pub(super) fn new(file: Option<&Path>) -> Result<vault::EncryptionKey, Failure> {
    Source {
        file,
        flag: "--new-key-file",
        variable: "SWITCHBOARD_NEW_ENCRYPTION_KEY",
        prompt: "New encryption key: ",
        twice: true,
    }
    .key()
}

/// Where one key comes from.
struct Source<'a> {
    file: Option<&'a Path>,
    /// The flag that names the file.
    flag: &'static str,
    variable: &'static str,
    prompt: &'static str,
    twice: bool,
}

impl Source<'_> {
    fn key(&self) -> Result<vault::EncryptionKey, Failure> {
        let key = self.found(|variable| env::var_os(variable), terminal::ask)?;
        Ok(vault::EncryptionKey::new(str::from_utf8(key.expose()).unwrap_or_default()))
    }

    /// The first that is there of the file, the variable, and what is typed.
    fn found(
        &self,
        variable: impl Fn(&str) -> Option<OsString>,
        ask: impl Fn(&str) -> Result<Option<Secret>, Failure>,
    ) -> Result<EncryptionKey, Failure> {
        if let Some(path) = self.file {
            let place = path.display().to_string();
            let (text, open) = read(path)
                .map_err(|error| Failure::failed(format!("can't read {place}: {error}")))?;
            if open {
                output::note(format_args!("others can read {place}: chmod 600 {place}"));
            }
            return taken(without_newline(text.expose()), &place);
        }
        if let Some(text) = variable(self.variable) {
            return taken(Secret::new(text.into_encoded_bytes()).expose(), self.variable);
        }
        let Some(typed) = ask(self.prompt)? else {
            let Self { flag, variable, .. } = self;
            return Err(Failure::usage(format!(
                "there is no encryption key, and no terminal to ask at: give {flag} or {variable}"
            )));
        };
        let key = taken(typed.expose(), "what was typed")?;
        if self.twice && ask("Once more: ")?.is_none_or(|again| again != typed) {
            return Err(Failure::usage("these are two different keys: nothing was done"));
        }
        Ok(key)
    }
}

/// What a file has, up to what is too long for a key; and whether others can read it too.
fn read(path: &Path) -> io::Result<(Secret, bool)> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    let open = metadata.is_file() && metadata.permissions().mode() & 0o044 != 0;
    // At once as long as it may get, with a newline and a byte too many: no copy is left behind.
    let mut room = Secret::new(vec![0; EncryptionKey::BYTES_MAX + 3]);
    let mut end = 0;
    loop {
        match file.read(room.expose_mut().get_mut(end..).unwrap_or_default()) {
            Ok(0) => break,
            Ok(read) => end += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok((Secret::new(room.expose().get(..end).unwrap_or_default().to_vec()), open))
}

/// Editors end a file with a newline, which nobody means as part of a key. One, no more.
fn without_newline(text: &[u8]) -> &[u8] {
    let line = text.strip_suffix(b"\n");
    line.map_or(text, |line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// A key as it is written.
fn taken(text: &[u8], place: &str) -> Result<EncryptionKey, Failure> {
    let text = str::from_utf8(text)
        .map_err(|_| Failure::usage(format!("{place}: an encryption key is a text in UTF-8")))?;
    let key = EncryptionKey::new(text.to_owned())
        .map_err(|error| Failure::usage(format!("{place}: {error}")))?;
    // The node would take it as a passphrase, and nobody could open the value with the right one.
    if key.is_mistyped() {
        return Err(Failure::usage(format!(
            "{place}: this looks like a key of `switchboard vault keygen`, but its checksum is \
             wrong: it was mistyped or cut"
        )));
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, fs};

    use super::*;

    /// The key that is found, or what is said.
    fn found(
        file: Option<&Path>,
        variable: Option<&str>,
        typed: &[&str],
        twice: bool,
    ) -> Result<String, String> {
        let (flag, prompt) = ("--key-file", "Encryption key: ");
        let source = Source { file, flag, variable: "THE_KEY", prompt, twice };
        let typed = RefCell::new(typed.iter());
        let ask = |_: &str| {
            let next = typed.borrow_mut().next();
            Ok(next.map(|text| Secret::text((*text).to_owned())))
        };
        let variable = |name: &str| {
            assert_eq!(name, "THE_KEY");
            variable.map(OsString::from)
        };
        let key = source.found(variable, ask).map_err(|failure| {
            assert_eq!(failure.code, 2);
            failure.to_string()
        })?;
        assert!(typed.borrow().as_slice().is_empty() || file.is_some(), "all was asked for");
        Ok(String::from_utf8(key.expose().to_vec()).unwrap())
    }

    #[test]
    fn a_file_beats_the_variable_and_the_variable_the_terminal() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        fs::write(&file, "of the file\n").unwrap();
        let ok = |key: &str| Ok(key.to_owned());
        assert_eq!(found(Some(&file), Some("v"), &["typed"], true), ok("of the file"));
        assert_eq!(found(None, Some(" v\n"), &[], true), ok(" v\n"));
        assert_eq!(found(None, None, &["typed"], false), ok("typed"));
        assert_eq!(found(None, None, &["typed", "typed"], true), ok("typed"));
        let none = found(None, None, &[], false).unwrap_err();
        assert!(none.contains("give --key-file or THE_KEY"), "{none}");
        assert!(!none.contains('\n'));
    }

    #[test]
    fn what_is_typed_twice_is_the_same() {
        for typed in [&["one", "other"][..], &["one", ""], &["one"]] {
            let error = found(None, None, typed, true).unwrap_err();
            assert!(error.contains("two different keys"), "{error}");
        }
    }

    #[test]
    fn one_newline_at_the_end_is_not_of_the_key() {
        for (text, expected) in [
            ("key", "key"),
            ("key\n", "key"),
            ("key\r\n", "key"),
            ("key\n\n", "key\n"),
            ("key\r", "key\r"),
            (" key \n", " key "),
            ("\n", ""),
        ] {
            assert_eq!(without_newline(text.as_bytes()), expected.as_bytes(), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused_where_it_stands() {
        let generated = EncryptionKey::generated(&[7; 32]);
        let generated = str::from_utf8(generated.expose()).unwrap().to_owned();
        assert_eq!(found(None, Some(&generated), &[], false), Ok(generated.clone()));
        let mistyped = generated.replace("BwcH", "BwcX");
        let cut = generated[..50].to_owned();
        for (key, says) in [
            (mistyped.as_str(), "THE_KEY: this looks like a key of `switchboard vault keygen`"),
            (cut.as_str(), "mistyped or cut"),
            ("", "THE_KEY: an encryption key is any text of 1 to 1,024 bytes"),
            ("x".repeat(1_025).as_str(), "1 to 1,024 bytes"),
        ] {
            let error = found(None, Some(key), &[], false).unwrap_err();
            assert!(error.contains(says), "{error}");
            assert!(key.is_empty() || !error.contains(key), "{error}");
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        let code = |text: &[u8]| {
            fs::write(&file, text).unwrap();
            found(Some(&file), None, &[], false).map(|key| key.len())
        };
        assert_eq!(code(&[b'x'; EncryptionKey::BYTES_MAX]), Ok(EncryptionKey::BYTES_MAX));
        assert_eq!(
            code(&[&[b'x'; EncryptionKey::BYTES_MAX][..], b"\r\n"].concat()),
            Ok(EncryptionKey::BYTES_MAX)
        );
        assert!(
            code(&[b'x'; EncryptionKey::BYTES_MAX + 1]).unwrap_err().contains("1 to 1,024 bytes")
        );
        assert!(
            code(&[b'x'; EncryptionKey::BYTES_MAX * 9]).unwrap_err().contains("1 to 1,024 bytes")
        );
        assert!(code(b"\xff").unwrap_err().contains("UTF-8"));
        assert!(code(b"\n").unwrap_err().contains("1 to 1,024 bytes"));
    }

    #[test]
    fn a_file_that_others_can_read_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        fs::write(&file, "key").unwrap();
        for (mode, expected) in [(0o600, false), (0o400, false), (0o640, true), (0o604, true)] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            let (text, open) = read(&file).unwrap();
            assert_eq!((text.expose(), open), (&b"key"[..], expected), "{mode:o}");
        }
        assert!(read(&folder.path().join("none")).is_err());
    }
}
