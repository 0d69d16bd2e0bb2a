//! What the store needs of a file system, and nothing more.
//!
//! All access to files goes through here, that of the engine included, so that a simulation can
//! cut the power at any point. The rules that the store relies on are those of a POSIX file system
//! on a disk that writes a sector (512 bytes) whole or not at all:
//!
//! - What was written to a file survives a power cut once [`File::sync`] has returned, and may
//!   survive before, in part and in any order of sectors.
//! - A created, renamed or removed name survives once [`Disk::sync_folder`] has returned, and may
//!   survive before. A rename takes effect whole or not at all.
//! - After a failed sync nothing is known of what was written before it. The store never tries a
//!   sync again: a kernel may have dropped the very pages that it failed to write.

mod folder;
mod local;

use std::{fmt, io, sync::Arc};

pub(crate) use self::folder::Folder;
pub use self::local::LocalDisk;

/// A place with folders of files. Paths are relative, with `/`.
pub trait Disk: fmt::Debug + Send + Sync {
    /// The names of the files in a folder, in no particular order.
    fn list(&self, folder: &str) -> io::Result<Vec<String>>;

    /// Makes a folder, unless it is there.
    fn create_folder(&self, folder: &str) -> io::Result<()>;

    /// Opens a file that exists, to read and write.
    fn open(&self, path: &str) -> io::Result<Arc<dyn File>>;

    /// Creates an empty file, in place of one that may have the name.
    fn create(&self, path: &str) -> io::Result<Arc<dyn File>>;

    /// Gives a file another name, in place of one that may have it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// Makes what was done to the names in a folder durable. The folder `""` is the top.
    fn sync_folder(&self, folder: &str) -> io::Result<()>;

    /// What a file is called to whoever is to look for it.
    fn describe(&self, path: &str) -> String {
        path.to_owned()
    }

    /// How many bytes can still be written.
    fn free_bytes(&self) -> io::Result<u64>;
}

/// An open file. Positions are in bytes from its start.
pub trait File: fmt::Debug + Send + Sync {
    /// How long the file is, in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file holds nothing.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `bytes` from a position. Reading past the end is an error.
    fn read_at(&self, bytes: &mut [u8], position: u64) -> io::Result<()>;

    /// Writes all of `bytes` at a position; the file grows as needed.
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()>;

    /// Cuts the file, or extends it with zeros.
    fn set_len(&self, bytes: u64) -> io::Result<()>;

    /// Makes the contents durable, and the length with them.
    fn sync(&self) -> io::Result<()>;
}
