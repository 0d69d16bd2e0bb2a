//! What users write.

use std::{fmt, sync::Arc};

use super::{PhoneNumber, TraceContext, User};
use crate::{Code, Error, Millis, Result};

/// The most characters (Unicode scalar values) of a text.
pub const TEXT_CHARS_MAX: usize = 4_096;

/// The text of a message: 1 to 4,096 characters, no control characters but line breaks and tabs.
/// Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Text(Arc<str>);

impl Text {
    /// Takes a text as it is written.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidText`] for none and for control characters, [`Code::TooLarge`] for one that
    /// is too long.
    pub fn new(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Err(Error::new(Code::InvalidText, "a message has at least one character"));
        }
        // A character takes one to four bytes: nearly always the bytes alone tell.
        if TEXT_CHARS_MAX < text.len() {
            let chars = text.chars().count();
            if TEXT_CHARS_MAX < chars {
                let what =
                    format!("a message has at most {TEXT_CHARS_MAX} characters, not {chars}");
                return Err(Error::new(Code::TooLarge, what));
            }
        }
        let allowed = |symbol: char| !symbol.is_control() || matches!(symbol, '\n' | '\r' | '\t');
        if !text.bytes().all(|byte| (b' '..0x7f).contains(&byte)) && !text.chars().all(allowed) {
            let what = "a message has no control characters but line breaks and tabs";
            return Err(Error::new(Code::InvalidText, what));
        }
        Ok(Self(text.into()))
    }

    /// The text as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Text {
    /// What users write is theirs: only its length is told.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({} bytes)", self.0.len())
    }
}

/// The sender's own name for a message, by which a repeated send is known: 1 to 128 bytes of UTF-8
/// without control characters. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientMessageId(Arc<str>);

impl ClientMessageId {
    /// The longest, in bytes.
    pub const LEN_MAX: usize = 128;

    /// Takes an id as it is written.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidRequest`] for none, one that is too long, or control characters.
    pub fn new(id: &str) -> Result<Self> {
        if id.is_empty() || Self::LEN_MAX < id.len() || id.chars().any(char::is_control) {
            let what = "a client_message_id is 1 to 128 bytes of UTF-8 without control characters";
            return Err(Error::new(Code::InvalidRequest, what));
        }
        Ok(Self(id.into()))
    }

    /// The id as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ClientMessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientMessageId({:?})", &*self.0)
    }
}

/// A message that is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Who sends it.
    pub from: User,
    /// To whom: another user of the same tenant.
    pub to: PhoneNumber,
    /// What is written.
    pub text: Text,
    /// The sender's own name for it.
    pub client_message_id: ClientMessageId,
    /// When it was accepted.
    pub at: Millis,
    /// The trace that it belongs to, if it is traced.
    pub trace: Option<TraceContext>,
}

impl Draft {
    /// Checks that a message goes to somebody else.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidRecipient`] for a message to oneself.
    pub fn check_recipient(from: PhoneNumber, to: PhoneNumber) -> Result<()> {
        if from == to {
            return Err(Error::new(Code::InvalidRecipient, "nobody writes to himself"));
        }
        Ok(())
    }
}

/// A message that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its number within the chat, from 1.
    pub id: u64,
    /// Who sent it.
    pub from: PhoneNumber,
    /// To whom.
    pub to: PhoneNumber,
    /// What is written.
    pub text: Text,
    /// The sender's own name for it.
    pub client_message_id: ClientMessageId,
    /// When it was accepted.
    pub sent_at: Millis,
    /// The trace that it belongs to, if it is traced.
    pub trace: Option<TraceContext>,
}

impl Message {
    /// Whom the message is shared with: the chat as this user names it.
    pub fn peer_of(&self, user: PhoneNumber) -> PhoneNumber {
        if self.from == user { self.to } else { self.from }
    }
}

/// How far a message has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MessageStatus {
    /// It is durable.
    #[default]
    Sent,
    /// A session of the recipient has it.
    Delivered,
    /// The recipient has read it.
    Read,
}

impl MessageStatus {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
        }
    }
}

/// A message was sent, now or before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The message, as it was sent first.
    pub message: Arc<Message>,
    /// How far it has come.
    pub status: MessageStatus,
    /// Whether this request sent it, rather than an earlier one.
    pub new: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<(), Code>) {
        let taken = Text::new(text);
        assert_eq!(
            taken.as_ref().map(|_| ()).map_err(Error::code),
            expected.as_ref().copied().map_err(|code| *code)
        );
        if let Ok(taken) = taken {
            assert_eq!(taken.as_str(), text);
        }
    }

    #[test]
    fn texts() {
        check("hello", Ok(()));
        check("a\nb\r\n\tc", Ok(()));
        check("grüezi 🦀", Ok(()));
        check(&"🦀".repeat(4_096), Ok(()));
        check(&"x".repeat(4_096), Ok(()));
        check("", Err(Code::InvalidText));
        check("a\0b", Err(Code::InvalidText));
        check("a\u{7f}", Err(Code::InvalidText));
        check("a\u{85}b", Err(Code::InvalidText));
        check("\u{1b}[31m", Err(Code::InvalidText));
        check(&"🦀".repeat(4_097), Err(Code::TooLarge));
        check(&"x".repeat(4_097), Err(Code::TooLarge));
    }

    #[test]
    fn client_message_ids() {
        assert!(ClientMessageId::new("7f1").is_ok());
        assert!(ClientMessageId::new(&"x".repeat(128)).is_ok());
        for id in ["", "a\nb", &"x".repeat(129), &"é".repeat(65)] {
            assert_eq!(ClientMessageId::new(id).unwrap_err().code(), Code::InvalidRequest);
        }
    }

    #[test]
    fn what_is_written_is_not_printed() {
        let text = Text::new("a secret").unwrap();
        assert_eq!(format!("{text:?}"), "Text(8 bytes)");
    }
}
