//! A folder of the machine's own file system.

use std::{
    fs::{self, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Disk, File};

/// The file whose lock says that a process uses the folder.
const LOCK: &str = "LOCK";

/// A folder, held for this process alone.
#[derive(Debug)]
pub struct LocalDisk {
    root: PathBuf,
    /// Holds the lock as long as it is open; the kernel lets go of it when the process dies.
    _lock: fs::File,
}

impl LocalDisk {
    /// Makes the folder if need be, and takes it for this process.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when another process has it; the message names it. Otherwise
    /// what the file system says, with the path.
    pub fn open(root: &Path) -> io::Result<Self> {
        let told = |error| with_path(&error, "can't use", root);
        fs::create_dir_all(root).map_err(told)?;
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(root.join(LOCK))
            .map_err(told)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(root, &mut lock)),
            Err(TryLockError::Error(error)) => return Err(told(error)),
        }
        // Only to be read by people: the lock itself is what counts.
        lock.set_len(0)?;
        lock.rewind()?;
        writeln!(lock, "{}", std::process::id())?;
        let disk = Self { root: root.to_owned(), _lock: lock };
        // The folder's own name must survive too.
        if let Some(parent) = root.canonicalize()?.parent() {
            fs::File::open(parent)?.sync_all()?;
        }
        Ok(disk)
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }
}

fn in_use(root: &Path, lock: &mut fs::File) -> io::Error {
    let mut holder = String::new();
    let _ = lock.read_to_string(&mut holder);
    let holder = match holder.trim() {
        "" => "another process".to_owned(),
        pid => format!("process {pid}"),
    };
    io::Error::new(
        io::ErrorKind::WouldBlock,
        format!(
            "the data directory {} is in use by {holder}: stop it, or choose another directory",
            root.display()
        ),
    )
}

fn with_path(error: &io::Error, what: &str, path: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("{what} {}: {error}", path.display()))
}

impl Disk for LocalDisk {
    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.at(folder))? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        Ok(names)
    }

    fn create_folder(&self, folder: &str) -> io::Result<()> {
        fs::create_dir_all(self.at(folder))
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn File>> {
        let path = self.at(path);
        let opened = OpenOptions::new().read(true).write(true).open(&path);
        Ok(Arc::new(LocalFile(opened.map_err(|error| with_path(&error, "can't open", &path))?)))
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn File>> {
        let path = self.at(path);
        let created =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path);
        Ok(Arc::new(LocalFile(created.map_err(|error| with_path(&error, "can't create", &path))?)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.at(from), self.at(to))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.at(path))
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        fs::File::open(self.at(folder))?.sync_all()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(&self.root)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

#[derive(Debug)]
struct LocalFile(fs::File);

impl File for LocalFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, bytes: &mut [u8], position: u64) -> io::Result<()> {
        self.0.read_exact_at(bytes, position)
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, position)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_opener_is_refused_and_told_who_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let first = LocalDisk::open(folder.path()).unwrap();
        let refused = LocalDisk::open(folder.path()).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
        assert!(refused.to_string().contains(&std::process::id().to_string()), "{refused}");
        drop(first);
        LocalDisk::open(folder.path()).unwrap();
    }
}
