//! Why the store can't be opened, or can't go on.

use std::io;

/// What went wrong beneath the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What the file system said.
    #[error("the disk failed")]
    Disk(#[from] io::Error),
    /// What was durable is damaged. Nothing was changed; restore a backup, or ask for help with the
    /// directory as it is.
    #[error("the data directory is damaged: {0}; nothing was changed, restore it from a backup")]
    Corrupt(String),
    /// The directory was written by another version of the store.
    #[error("the data directory has format {found}, this program reads format {expected}")]
    Format {
        /// What the directory says.
        found: u64,
        /// What this program knows.
        expected: u64,
    },
    /// It was being carried from another store, and that has not ended.
    #[error(
        "the data directory does not hold everything yet that is carried there from another \
         store: run switchboard import again, which goes on with it"
    )]
    Unfinished,
    /// There is no store in the directory.
    #[error("there is no store in the data directory")]
    Missing,
    /// What the engine behind the log said.
    #[error("the engine failed")]
    Engine(#[source] Box<redb::Error>),
}

impl Error {
    /// Whether more room on the disk would have prevented it.
    pub(crate) fn is_full(&self) -> bool {
        match self {
            Self::Disk(error) => error.kind() == io::ErrorKind::StorageFull,
            Self::Engine(error) => {
                matches!(&**error, redb::Error::Io(io) if io.kind() == io::ErrorKind::StorageFull)
            }
            Self::Corrupt(_) | Self::Format { .. } | Self::Unfinished | Self::Missing => false,
        }
    }

    /// The error and all its causes in one line.
    pub fn chain(&self) -> String {
        let mut line = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            line = format!("{line}: {cause}");
            source = cause.source();
        }
        line
    }
}

impl<E: Into<redb::Error>> From<EngineError<E>> for Error {
    fn from(EngineError(error): EngineError<E>) -> Self {
        Self::Engine(Box::new(error.into()))
    }
}

/// Any of the engine's errors, on its way to becoming one of ours.
#[derive(Debug)]
pub(crate) struct EngineError<E>(pub(crate) E);
