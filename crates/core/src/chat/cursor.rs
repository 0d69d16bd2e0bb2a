//! Places in lists, as callers carry them about.
//!
//! A cursor is opaque to its holder: numbers, and a tag of what they count and for whom. The tag is
//! no secret and protects nothing; it tells a cursor that was cut off, or came from another list,
//! so that it is refused instead of being read as a place that it does not mean.

use std::{fmt, hash::Hasher as _};

use siphasher::sip::SipHasher13;

use super::{PhoneNumber, User};
use crate::{Code, Error, Result};

/// A place in a user's chats: those that are left of the order as it once was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChatsPlace {
    /// The order is that of this moment: the activity of the latest chat then.
    pub as_of: u64,
    /// Chats with an activity before this one are left.
    pub before: u64,
}

/// What a cursor is a place in, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    tag: u32,
}

enum List {
    Chats,
    Messages,
    Inbox,
}

impl Cursor {
    /// Places in a user's chats.
    pub fn of_chats(user: &User) -> Self {
        Self::of(&List::Chats, user, None)
    }

    /// Places in one of a user's chats.
    pub fn of_messages(user: &User, peer: PhoneNumber) -> Self {
        Self::of(&List::Messages, user, Some(peer))
    }

    /// Places in a user's inbox.
    pub fn of_inbox(user: &User) -> Self {
        Self::of(&List::Inbox, user, None)
    }

    fn of(list: &List, user: &User, peer: Option<PhoneNumber>) -> Self {
        // The same in every node and for ever.
        let mut hasher = SipHasher13::new_with_keys(0, 0);
        hasher.write_u8(match list {
            List::Chats => 1,
            List::Messages => 2,
            List::Inbox => 3,
        });
        hasher.write(user.tenant.as_bytes());
        hasher.write_u8(0);
        hasher.write_u64(user.phone.digits());
        hasher.write_u64(peer.map_or(0, PhoneNumber::digits));
        let hash = hasher.finish();
        Self { tag: u32::try_from(hash >> 32).unwrap_or_default() }
    }

    /// Writes a place in an inbox, which is one sequence.
    pub fn write(self, sequence: u64) -> Written {
        Written { letter: None, numbers: [sequence, 0], count: 1, tag: self.tag }
    }

    /// Writes the place before or behind a message.
    pub fn write_reach(self, reach: super::Reach) -> Option<Written> {
        let (letter, id) = match reach {
            super::Reach::Newest => return None,
            super::Reach::Before(id) => ('b', id),
            super::Reach::After(id) => ('a', id),
        };
        Some(Written { letter: Some(letter), numbers: [id, 0], count: 1, tag: self.tag })
    }

    /// Writes a place in a user's chats.
    pub fn write_place(self, place: ChatsPlace) -> Written {
        let numbers = [place.as_of, place.before];
        Written { letter: None, numbers, count: 2, tag: self.tag }
    }

    /// Reads a place in an inbox.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidCursor`].
    pub fn read(self, text: &str) -> Result<u64> {
        self.numbers(text).map(|[sequence]| sequence).ok_or_else(invalid)
    }

    /// Reads the place before or behind a message.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidCursor`].
    pub fn read_reach(self, text: &str) -> Result<super::Reach> {
        let mut rest = text.chars();
        let letter = rest.next();
        let [id] = self.numbers(rest.as_str()).ok_or_else(invalid)?;
        match letter {
            Some('b') => Ok(super::Reach::Before(id)),
            Some('a') => Ok(super::Reach::After(id)),
            _ => Err(invalid()),
        }
    }

    /// Reads a place in a user's chats.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidCursor`].
    pub fn read_place(self, text: &str) -> Result<ChatsPlace> {
        let [as_of, before] = self.numbers(text).ok_or_else(invalid)?;
        if as_of < before {
            return Err(invalid());
        }
        Ok(ChatsPlace { as_of, before })
    }

    fn numbers<const N: usize>(self, text: &str) -> Option<[u64; N]> {
        let (numbers, tag) = text.split_once('-')?;
        let eight = tag.len() == 8 && tag.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !eight || u32::from_str_radix(tag, 16) != Ok(self.tag) {
            return None;
        }
        let mut read = [0; N];
        let mut parts = numbers.split('.');
        for number in &mut read {
            let part = parts.next()?;
            if !part.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            *number = part.parse().ok()?;
        }
        parts.next().is_none().then_some(read)
    }
}

fn invalid() -> Error {
    let what = "this is no cursor of this list: pass one on as it was given, or none";
    Error::new(Code::InvalidCursor, what)
}

/// A cursor as it is given out: at most 52 characters of ASCII.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    letter: Option<char>,
    numbers: [u64; 2],
    count: usize,
    tag: u32,
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        if let Some(letter) = self.letter {
            f.write_char(letter)?;
        }
        for (place, number) in self.numbers[..self.count].iter().enumerate() {
            if 0 < place {
                f.write_char('.')?;
            }
            write!(f, "{number}")?;
        }
        write!(f, "-{:08x}", self.tag)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::Reach, *};

    fn user(tenant: &str, phone: &str) -> User {
        User { tenant: tenant.parse().unwrap(), phone: phone.parse().unwrap() }
    }

    #[test]
    fn a_cursor_is_read_by_its_own_list_alone() {
        let a = user("a", "+41791234567");
        let b = user("a", "+41791234568");
        let c = user("b", "+41791234567");
        let written = Cursor::of_inbox(&a).write(7).to_string();
        assert_eq!(Cursor::of_inbox(&a).read(&written).unwrap(), 7);
        for other in [
            Cursor::of_inbox(&b),
            Cursor::of_inbox(&c),
            Cursor::of_chats(&a),
            Cursor::of_messages(&a, b.phone),
        ] {
            assert_eq!(other.read(&written).unwrap_err().code(), Code::InvalidCursor);
        }
    }

    #[test]
    fn what_is_broken_is_refused() {
        let cursor = Cursor::of_inbox(&user("a", "+41791234567"));
        let written = cursor.write(12).to_string();
        for cut in 0..written.len() {
            assert!(cursor.read(&written[..cut]).is_err());
        }
        for broken in ["", "-", "12", "0x1", "nonsense", "🦀", "18446744073709551616"] {
            assert!(cursor.read(broken).is_err(), "{broken}");
            assert!(cursor.read(&format!("{broken}{}", &written[2..])).is_err() || broken == "12");
        }
        assert!(cursor.read(&format!("+{written}")).is_err());
        assert!(cursor.read(&format!("{written}0")).is_err());
    }

    proptest! {
        #[test]
        fn places_come_back(one: u64, other: u64) {
            let user = user("a", "+41791234567");
            let place = ChatsPlace { as_of: one.max(other), before: one.min(other) };
            let chats = Cursor::of_chats(&user);
            let written = chats.write_place(place).to_string();
            prop_assert_eq!(chats.read_place(&written).unwrap(), place);
            let messages = Cursor::of_messages(&user, "+41791234568".parse().unwrap());
            for reach in [Reach::Before(one), Reach::After(other)] {
                let written = messages.write_reach(reach).unwrap().to_string();
                prop_assert!(written.len() <= 52);
                prop_assert_eq!(messages.read_reach(&written).unwrap(), reach);
            }
        }

        #[test]
        fn any_text_can_be_read(text in "\\PC{0,60}") {
            let user = user("a", "+41791234567");
            let _ = Cursor::of_inbox(&user).read(&text);
            let _ = Cursor::of_chats(&user).read_place(&text);
            let _ = Cursor::of_chats(&user).read_reach(&text);
        }
    }
}
