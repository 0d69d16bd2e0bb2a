//! The file that keeps the id of a client that was given none.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process,
};

use crate::Failure;

/// The id that is kept, or a new one, which is kept from now on.
pub(super) fn id(file: Option<&Path>) -> Result<String, Failure> {
    let file = match file {
        Some(file) => file.to_owned(),
        None => place().ok_or_else(|| {
            Failure::usage("there is no home directory to keep an id in: give --client ID")
        })?,
    };
    kept(&file).map_err(|error| {
        let file = file.display();
        Failure::failed(format!("can't keep an id in {file}: {error}: give --client ID"))
    })
}

/// In the user's data directory (freedesktop.org, "XDG Base Directory Specification").
fn place() -> Option<PathBuf> {
    let given = env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let data = given.or_else(|| Some(env::home_dir()?.join(".local/share")))?;
    Some(data.join("switchboard/client"))
}

fn kept(file: &Path) -> io::Result<String> {
    match read(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        found => return found,
    }
    let mut random = [0; 8];
    getrandom::fill(&mut random)?;
    let id = format!("client-{:016x}", u64::from_le_bytes(random));
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    // Whole at once, and never over that of another process which came first.
    let draft = file.with_extension(process::id().to_string());
    fs::write(&draft, format!("{id}\n"))?;
    let linked = fs::hard_link(&draft, file);
    fs::remove_file(&draft)?;
    match linked {
        Ok(()) => Ok(id),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => read(file),
        Err(error) => Err(error),
    }
}

fn read(file: &Path) -> io::Result<String> {
    let id = fs::read_to_string(file)?.trim().to_owned();
    if id.is_empty() {
        return Err(io::Error::other("the file is empty"));
    }
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_generated_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a/b/client");
        let generated = id(Some(&file)).unwrap();
        assert!(generated.starts_with("client-") && generated.len() == 23, "{generated}");
        assert_eq!(id(Some(&file)).unwrap(), generated);
        let other = id(Some(&folder.path().join("other"))).unwrap();
        assert_ne!(other, generated);
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "no drafts are left");
        fs::write(&file, " ann \n").unwrap();
        assert_eq!(id(Some(&file)).unwrap(), "ann");
        fs::write(&file, "\n").unwrap();
        assert!(id(Some(&file)).unwrap_err().to_string().contains("--client ID"));
    }
}
