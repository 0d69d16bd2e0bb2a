//! How far a user has come with what was written to him.

use super::{MessageStatus, PhoneNumber, User};
use crate::{Code, Error, Millis, Result};

/// A user's statement about a chat: he has got, and read, the messages up to these ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    /// Who states it.
    pub user: User,
    /// Whose messages he has.
    pub peer: PhoneNumber,
    /// Those up to this id have arrived at a session of his.
    pub delivered_up_to: Option<u64>,
    /// Those up to this id he has read.
    pub read_up_to: Option<u64>,
    /// When he stated it.
    pub at: Millis,
}

/// How far a user has come in a chat: the ids of messages, 0 for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Up to here they have arrived. Never less than `read_up_to`.
    pub delivered_up_to: u64,
    /// Up to here they were read.
    pub read_up_to: u64,
}

impl Marks {
    /// The marks after an acknowledgement in a chat whose last message has this id; equal to these
    /// when it says nothing new.
    ///
    /// # Errors
    ///
    /// [`Code::NotFound`] for a message that is not there, [`Code::InvalidRequest`] for none.
    pub fn advanced(self, stated: &Acknowledgement, last_id: u64) -> Result<Self> {
        let Acknowledgement { delivered_up_to, read_up_to, .. } = *stated;
        if delivered_up_to.is_none() && read_up_to.is_none() {
            let what = "a receipt says delivered_up_to, read_up_to, or both";
            return Err(Error::new(Code::InvalidRequest, what));
        }
        for id in [delivered_up_to, read_up_to].into_iter().flatten() {
            if id == 0 || last_id < id {
                let what = match last_id {
                    0 => "there is no message in this chat".to_owned(),
                    _ => format!("there is no message {id} in this chat: the last is {last_id}"),
                };
                return Err(Error::new(Code::NotFound, what));
            }
        }
        let read = read_up_to.unwrap_or_default().max(self.read_up_to);
        let delivered = delivered_up_to.unwrap_or_default().max(self.delivered_up_to).max(read);
        Ok(Self { delivered_up_to: delivered, read_up_to: read })
    }

    /// How far a message with this id has come, by the marks of its recipient.
    pub fn status(self, id: u64) -> MessageStatus {
        if id <= self.read_up_to {
            MessageStatus::Read
        } else if id <= self.delivered_up_to {
            MessageStatus::Delivered
        } else {
            MessageStatus::Sent
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        MessageStatus::{Delivered, Read, Sent},
        *,
    };

    #[track_caller]
    fn check(
        before: (u64, u64),
        stated: (Option<u64>, Option<u64>),
        last_id: u64,
        expected: Result<(u64, u64), Code>,
    ) {
        let number = |text: &str| text.parse().unwrap();
        let stated = Acknowledgement {
            user: User { tenant: "a".parse().unwrap(), phone: number("+41791234567") },
            peer: number("+41791234568"),
            delivered_up_to: stated.0,
            read_up_to: stated.1,
            at: Millis(1),
        };
        let before = Marks { delivered_up_to: before.0, read_up_to: before.1 };
        let after = before.advanced(&stated, last_id);
        let after = after.map(|marks| (marks.delivered_up_to, marks.read_up_to));
        match (after, expected) {
            (Ok(after), Ok(expected)) => assert_eq!(after, expected),
            (Err(error), Err(expected)) => assert_eq!(error.code(), expected),
            (after, expected) => panic!("{after:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn marks_move_forward_and_imply_each_other() {
        check((0, 0), (Some(3), None), 5, Ok((3, 0)));
        check((0, 0), (None, Some(3)), 5, Ok((3, 3)));
        check((4, 2), (Some(3), None), 5, Ok((4, 2)));
        check((4, 2), (None, Some(1)), 5, Ok((4, 2)));
        check((4, 2), (Some(5), Some(3)), 5, Ok((5, 3)));
        check((4, 2), (Some(1), Some(5)), 5, Ok((5, 5)));
    }

    #[test]
    fn what_is_not_there_can_not_be_read() {
        check((0, 0), (Some(6), None), 5, Err(Code::NotFound));
        check((0, 0), (None, Some(6)), 5, Err(Code::NotFound));
        check((0, 0), (Some(5), Some(6)), 5, Err(Code::NotFound));
        check((0, 0), (Some(0), None), 5, Err(Code::NotFound));
        check((0, 0), (Some(1), None), 0, Err(Code::NotFound));
        check((0, 0), (None, None), 5, Err(Code::InvalidRequest));
    }

    #[test]
    fn statuses() {
        let marks = Marks { delivered_up_to: 4, read_up_to: 2 };
        let statuses = [1, 2, 3, 4, 5].map(|id| marks.status(id));
        assert_eq!(statuses, [Read, Read, Delivered, Delivered, Sent]);
    }
}
