//! `switchboard vault keygen`: a key that nobody can guess.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use clap::Args;
use switchboard_core::vault::{EncryptionKey, Secret};

use crate::{Failure, output};

/// Make a new encryption key of 32 random bytes. Who loses it has lost what is sealed under it.
#[derive(Clone, Debug, Args)]
pub(super) struct Options {
    /// Write it to a new file that only its owner may read, instead of printing it.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn run(options: &Options, json: bool) -> Result<(), Failure> {
    let key = generated()?;
    let Some(path) = &options.out else {
        return output::printed(
            |mut out| {
                if json { told(&mut out, &key) } else { line(&mut out, &key) }
            },
        );
    };
    keep(path, &key).map_err(|error| {
        let again = error.kind() == io::ErrorKind::AlreadyExists;
        let why = if again { ": a key is never written over".to_owned() } else { String::new() };
        Failure::failed(format!("can't write {}: {error}{why}", path.display()))
    })
}

fn generated() -> Result<EncryptionKey, Failure> {
    let mut random = Secret::new(vec![0; 32]);
    let failed = |what: String| Failure::failed(format!("can't make a key: {what}"));
    getrandom::fill(random.expose_mut()).map_err(|error| failed(error.to_string()))?;
    let random = random.expose().try_into().map_err(|_| failed("a defect".to_owned()))?;
    Ok(EncryptionKey::generated(random))
}

fn line(out: &mut impl Write, key: &EncryptionKey) -> io::Result<()> {
    out.write_all(key.expose())?;
    out.write_all(b"\n")
}

fn told(out: &mut impl Write, key: &EncryptionKey) -> io::Result<()> {
    // Of letters, digits, - and _: nothing that JSON would write otherwise.
    out.write_all(b"{\"encryption_key\":\"")?;
    out.write_all(key.expose())?;
    out.write_all(b"\"}\n")
}

/// Writes a key to a file that is not there yet.
fn keep(path: &Path, key: &EncryptionKey) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let written = line(&mut file, key).and_then(|()| file.sync_all());
    if written.is_err() {
        // Half a key is none.
        let _ = fs::remove_file(path);
    }
    written
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use switchboard_core::vault::Kind;

    use super::*;

    fn is_generated(text: &str) -> bool {
        EncryptionKey::new(text.to_owned()).unwrap().kind() == Kind::Generated
    }

    #[test]
    fn a_key_is_one_that_was_generated_and_no_other() {
        let (mut one, mut other) = (Vec::new(), Vec::new());
        line(&mut one, &generated().unwrap()).unwrap();
        line(&mut other, &generated().unwrap()).unwrap();
        assert_ne!(one, other);
        assert!(is_generated(str::from_utf8(&one).unwrap().strip_suffix('\n').unwrap()));
        let mut json = Vec::new();
        told(&mut json, &generated().unwrap()).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert!(is_generated(json["encryption_key"].as_str().unwrap()));
    }

    #[test]
    fn a_file_is_its_owners_and_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let options = Options { out: Some(path.clone()) };
        run(&options, false).unwrap();
        let kept = fs::read_to_string(&path).unwrap();
        assert!(is_generated(kept.trim_end()));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let failure = run(&options, false).unwrap_err();
        assert!(failure.to_string().contains("never written over"), "{failure}");
        assert_eq!(fs::read_to_string(&path).unwrap(), kept);
    }
}
