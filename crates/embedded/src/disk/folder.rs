//! A folder as a disk of its own.

use std::{fmt, io, sync::Arc};

use super::{Disk, File};

/// Everything below one folder of a disk.
pub(crate) struct Folder {
    disk: Arc<dyn Disk>,
    name: &'static str,
}

impl Folder {
    /// The folder of this name, made if it is not there.
    pub(crate) fn open(disk: Arc<dyn Disk>, name: &'static str) -> io::Result<Self> {
        disk.create_folder(name)?;
        disk.sync_folder("")?;
        Ok(Self { disk, name })
    }

    /// The folder of this name, there or not.
    pub(crate) fn of(disk: Arc<dyn Disk>, name: &'static str) -> Self {
        Self { disk, name }
    }

    fn path(&self, below: &str) -> String {
        if below.is_empty() { self.name.to_owned() } else { format!("{}/{below}", self.name) }
    }
}

impl Disk for Folder {
    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.disk.list(&self.path(folder))
    }

    fn create_folder(&self, folder: &str) -> io::Result<()> {
        self.disk.create_folder(&self.path(folder))
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn File>> {
        self.disk.open(&self.path(path))
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn File>> {
        self.disk.create(&self.path(path))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(&self.path(from), &self.path(to))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.disk.remove(&self.path(path))
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        self.disk.sync_folder(&self.path(folder))
    }

    fn describe(&self, path: &str) -> String {
        self.disk.describe(&self.path(path))
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.disk.free_bytes()
    }
}

impl fmt::Debug for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Folder").field(&self.name).finish()
    }
}
