//! How far one has come, in a file of the directory.
//!
//! ```text
//! switchboard transfer 1
//! origin <what the other store is known by>
//! <section> at <place, in hexadecimal digits>
//! <section> end
//! finished
//! ```

use std::{collections::BTreeMap, fmt::Write as _, io};

use switchboard_core::transfer::{Place, Reached, Section};

use crate::{Error, disk::Disk};

const FILE: &str = "TRANSFER";
const PREPARING: &str = "TRANSFER.tmp";
const FIRST: &str = "switchboard transfer 1";

/// What is noted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Notes {
    pub(super) origin: String,
    pub(super) reached: BTreeMap<Section, Reached>,
    pub(super) finished: bool,
}

impl Notes {
    /// Whether a name in the directory is of these notes.
    pub(super) fn is_own(name: &str) -> bool {
        name == FILE || name == PREPARING
    }

    /// What was noted, if anything was.
    pub(super) fn read(disk: &dyn Disk) -> Result<Option<Self>, Error> {
        if !disk.list("")?.iter().any(|name| name == FILE) {
            return Ok(None);
        }
        let file = disk.open(FILE)?;
        let mut bytes = vec![0; usize::try_from(file.len()?).unwrap_or_default()];
        file.read_at(&mut bytes, 0)?;
        let text = String::from_utf8_lossy(&bytes);
        let damaged = || Error::Corrupt(format!("{FILE} is not what it was"));
        Self::of(&text).map(Some).ok_or_else(damaged)
    }

    fn of(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next() != Some(FIRST) {
            return None;
        }
        let mut notes = Self::default();
        for line in lines {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "origin" => rest.clone_into(&mut notes.origin),
                "finished" => notes.finished = true,
                _ => {
                    let section = Section::ALL.into_iter().find(|it| it.as_str() == word)?;
                    notes.reached.insert(section, reached(rest)?);
                }
            }
        }
        (!notes.origin.is_empty()).then_some(notes)
    }

    fn text(&self) -> String {
        let mut text = format!("{FIRST}\norigin {}\n", self.origin);
        for (section, reached) in &self.reached {
            match reached {
                Reached::Nothing => {}
                Reached::End => {
                    let _ = writeln!(text, "{section} end");
                }
                Reached::Place(Place(bytes)) => {
                    let _ = write!(text, "{section} at ");
                    for byte in bytes {
                        let _ = write!(text, "{byte:02x}");
                    }
                    text.push('\n');
                }
            }
        }
        if self.finished {
            text.push_str("finished\n");
        }
        text
    }

    /// Notes it, durably, in place of what was noted before.
    pub(super) fn write(&self, disk: &dyn Disk) -> io::Result<()> {
        let file = disk.create(PREPARING)?;
        file.write_at(self.text().as_bytes(), 0)?;
        file.sync()?;
        disk.rename(PREPARING, FILE)?;
        disk.sync_folder("")
    }
}

fn reached(text: &str) -> Option<Reached> {
    if text == "end" {
        return Some(Reached::End);
    }
    let digits = text.strip_prefix("at ")?;
    let byte = |at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    let bytes: Option<Vec<u8>> = (0..digits.len()).step_by(2).map(byte).collect();
    Some(Reached::Place(Place(bytes?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_read() {
        let mut notes = Notes { origin: "a b".to_owned(), ..Notes::default() };
        notes.reached.insert(Section::Keys, Reached::End);
        notes.reached.insert(Section::Messages, Reached::Place(Place(vec![0, 9, 255])));
        assert_eq!(Notes::of(&notes.text()), Some(notes.clone()));
        notes.finished = true;
        assert_eq!(Notes::of(&notes.text()), Some(notes));
        for bad in ["", "x", "switchboard transfer 1\n", "switchboard transfer 1\norigin a\nx end"]
        {
            assert_eq!(Notes::of(bad), None, "{bad}");
        }
    }
}
