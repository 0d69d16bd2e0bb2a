//! What another store tells, taken as it is there.

use switchboard_core::{Error as Refusal, transfer::Row, vault::Found};

use super::{
    super::entry::{self, Entry},
    Refused, Writer,
};
use crate::{
    Error,
    transfer::{conflict, no_room},
};

impl Writer {
    /// Takes rows, durably.
    pub(in super::super) fn load(&mut self, rows: Vec<Row>) -> Result<Result<(), Refusal>, Error> {
        for row in rows {
            let taken = match row {
                Row::Profile { tenant, profile } => {
                    let mut card = self.card(&tenant);
                    if !card.add(profile) && !card.profiles.contains(&profile) {
                        return Ok(Err(conflict("a profile of the vault")));
                    }
                    self.add_profile(tenant, profile)?.map(drop)
                }
                Row::Version { tenant, first } => {
                    let mut card = self.card(&tenant);
                    if card.removed == first - 1 {
                        continue;
                    }
                    if card.removed != 0 {
                        return Ok(Err(conflict("the versions of a tenant")));
                    }
                    card.removed = first - 1;
                    let written = self.write(&Entry::Removed { tenant, version: first - 1 })?;
                    if written.is_ok() {
                        self.set_card(tenant, card);
                    }
                    written
                }
                Row::Record { tenant, id, record } => {
                    let key = entry::key(&tenant, &id);
                    let look = |bytes: &[u8]| entry::read(&key, bytes);
                    match self.shared.look(&key, look)? {
                        Some(Found::Whole(there)) if there == record => Ok(()),
                        Some(_) => return Ok(Err(conflict(&format!("the record {id}")))),
                        None => self.put(key, &record)?,
                    }
                }
                _ => Ok(()),
            };
            if let Err(Refused(why)) = taken {
                return Ok(Err(no_room(&why)));
            }
        }
        self.end_group()?;
        Ok(Ok(()))
    }
}
