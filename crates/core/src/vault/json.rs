//! Whether a text is JSON that every common parser takes.
//!
//! A value is kept as its caller wrote it, so it is only looked at: the grammar of RFC 8259, and
//! two things that parsers differ in. Nesting beyond [`DEPTH_MAX`] is refused by most, and half of
//! a pair of surrogates (`"\ud800"`) stands for no character.

use std::fmt;

/// How deep arrays and objects may be nested.
const DEPTH_MAX: u32 = 127;

/// What is wrong with a text, and at which byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    at: usize,
    what: &'static str,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never what stands there: it may be a secret.
        write!(f, "{} at byte {}", self.what, self.at)
    }
}

/// What comes next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Value,
    /// In an array that has just begun.
    ValueOrEnd,
    Name,
    /// In an object that has just begun.
    NameOrEnd,
    Colon,
    CommaOrEnd,
    Nothing,
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The arrays (0) and objects (1) around this place, the innermost in the lowest bit.
    around: u128,
    depth: u32,
}

/// Checks a text.
pub(super) fn check(text: &str) -> Result<(), Fault> {
    let mut scanner = Scanner { bytes: text.as_bytes(), at: 0, around: 0, depth: 0 };
    let mut next = Next::Value;
    loop {
        scanner.skip_space();
        let Some(byte) = scanner.peek() else {
            return if next == Next::Nothing { Ok(()) } else { scanner.fault("it ends too early") };
        };
        next = scanner.token(byte, next)?;
    }
}

impl Scanner<'_> {
    fn token(&mut self, byte: u8, next: Next) -> Result<Next, Fault> {
        match (next, byte) {
            (Next::Value | Next::ValueOrEnd, b'[') => self.begin(false),
            (Next::Value | Next::ValueOrEnd, b'{') => self.begin(true),
            (Next::ValueOrEnd | Next::CommaOrEnd, b']') if self.around & 1 == 0 => self.end(),
            (Next::NameOrEnd | Next::CommaOrEnd, b'}') if self.around & 1 == 1 => self.end(),
            (Next::Value | Next::ValueOrEnd, _) => {
                match byte {
                    b'"' => self.string()?,
                    b'-' | b'0'..=b'9' => self.number()?,
                    b't' => self.word("true")?,
                    b'f' => self.word("false")?,
                    b'n' => self.word("null")?,
                    _ => return self.fault("there is no value"),
                }
                Ok(self.behind_value())
            }
            (Next::Name | Next::NameOrEnd, b'"') => {
                self.string()?;
                Ok(Next::Colon)
            }
            (Next::Colon, b':') => {
                self.at += 1;
                Ok(Next::Value)
            }
            (Next::CommaOrEnd, b',') => {
                self.at += 1;
                Ok(if self.around & 1 == 1 { Next::Name } else { Next::Value })
            }
            (Next::Name | Next::NameOrEnd, _) => self.fault("there is no name"),
            (Next::Colon, _) => self.fault("there is no colon"),
            (Next::CommaOrEnd, _) => self.fault("there is neither a comma nor the end"),
            (Next::Nothing, _) => self.fault("something stands behind the value"),
        }
    }

    fn begin(&mut self, object: bool) -> Result<Next, Fault> {
        if self.depth == DEPTH_MAX {
            return self.fault("it is nested deeper than 127");
        }
        self.at += 1;
        self.depth += 1;
        self.around = self.around << 1 | u128::from(object);
        Ok(if object { Next::NameOrEnd } else { Next::ValueOrEnd })
    }

    #[expect(clippy::unnecessary_wraps, reason = "what begins can fail, and this stands beside it")]
    fn end(&mut self) -> Result<Next, Fault> {
        self.at += 1;
        self.depth -= 1;
        self.around >>= 1;
        Ok(self.behind_value())
    }

    fn behind_value(&self) -> Next {
        if self.depth == 0 { Next::Nothing } else { Next::CommaOrEnd }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn fault<T>(&self, what: &'static str) -> Result<T, Fault> {
        Err(Fault { at: self.at, what })
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn word(&mut self, word: &str) -> Result<(), Fault> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return self.fault("there is no value");
        }
        self.at += word.len();
        Ok(())
    }

    fn number(&mut self) -> Result<(), Fault> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let begin = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == begin { self.fault("a digit is missing") } else { Ok(()) }
    }

    /// A string, from its first quote on.
    fn string(&mut self) -> Result<(), Fault> {
        self.at += 1;
        loop {
            let rest = &self.bytes[self.at..];
            let special = |&byte: &u8| byte < 0x20 || byte == b'"' || byte == b'\\';
            let Some(plain) = rest.iter().position(special) else {
                self.at = self.bytes.len();
                return self.fault("a string has no end");
            };
            self.at += plain;
            match rest[plain] {
                b'"' => {
                    self.at += 1;
                    return Ok(());
                }
                b'\\' => self.escape()?,
                _ => return self.fault("a control character must be escaped"),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Fault> {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => match self.unit(self.at) {
                Some(0xd800..=0xdbff) => match self.unit(self.at + 6) {
                    Some(0xdc00..=0xdfff) => self.at += 12,
                    _ => return self.fault("half of a pair of surrogates is missing"),
                },
                Some(0xdc00..=0xdfff) => {
                    return self.fault("half of a pair of surrogates is missing");
                }
                Some(_) => self.at += 6,
                None => return self.fault("there are no four digits"),
            },
            _ => return self.fault("there is no such escape"),
        }
        Ok(())
    }

    /// The number of an escape `\uXXXX` at a place.
    fn unit(&self, at: usize) -> Option<u32> {
        let digits = self.bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
        digits.iter().try_fold(0, |unit, &digit| Some(unit << 4 | char::from(digit).to_digit(16)?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;

    #[track_caller]
    fn taken(text: &str) {
        assert_eq!(check(text), Ok(()), "{text}");
    }

    #[track_caller]
    fn refused(text: &str, fault: &str) {
        assert_eq!(check(text).unwrap_err().to_string(), fault, "{text}");
    }

    #[test]
    fn what_is_json() {
        let all = [
            "0",
            "-0",
            "1.0",
            "1e400",
            "-1.10E+5",
            "18446744073709551616",
            "\"\"",
            "null",
            "true",
            "false",
            "[]",
            "{}",
            " [ 1 , {\"a\" : null} ] ",
            "{\"a\":1,\"a\":2}",
            "[[],[{}]]",
            r#""\"\\\/\b\f\n\r\té\ud83e\udd80""#,
            "\"\u{7f}🦀\"",
            "3.141592653589793238462643383279",
        ];
        all.into_iter().for_each(taken);
        taken(&("[".repeat(127) + &"]".repeat(127)));
        taken(&("{\"a\":".repeat(127) + "1" + &"}".repeat(127)));
    }

    #[test]
    fn what_is_not() {
        refused("", "it ends too early at byte 0");
        refused("[1,]", "there is no value at byte 3");
        refused("{\"a\":1,}", "there is no name at byte 7");
        refused("{\"a\" 1}", "there is no colon at byte 5");
        refused("[1 2]", "there is neither a comma nor the end at byte 3");
        refused("[1}", "there is neither a comma nor the end at byte 2");
        refused("{]", "there is no name at byte 1");
        refused("1 2", "something stands behind the value at byte 2");
        refused("01", "something stands behind the value at byte 1");
        refused("-", "a digit is missing at byte 1");
        refused("1.", "a digit is missing at byte 2");
        refused("1e", "a digit is missing at byte 2");
        refused("tru", "there is no value at byte 0");
        refused("NaN", "there is no value at byte 0");
        refused("'a'", "there is no value at byte 0");
        refused("\"a", "a string has no end at byte 2");
        refused("\"a\nb\"", "a control character must be escaped at byte 2");
        refused(r#""\x""#, "there is no such escape at byte 1");
        refused(r#""\u12g4""#, "there are no four digits at byte 1");
        refused(r#""\u+123""#, "there are no four digits at byte 1");
        refused(r#""\ud800""#, "half of a pair of surrogates is missing at byte 1");
        refused(r#""\ud800\u0041""#, "half of a pair of surrogates is missing at byte 1");
        refused(r#""\udc00""#, "half of a pair of surrogates is missing at byte 1");
        refused(&"[".repeat(200_000), "it is nested deeper than 127 at byte 127");
        refused("\u{feff}1", "there is no value at byte 0");
    }

    /// What another reader of JSON says, which looks neither at depth nor at surrogates.
    fn elsewhere(text: &str) -> bool {
        serde_json::from_str::<&RawValue>(text).is_ok()
    }

    proptest! {
        #[test]
        fn others_say_the_same(text in r#"[\[\]{}",:01.eE+\-a tnul\\]{0,12}"#) {
            prop_assert_eq!(check(&text).is_ok(), elsewhere(&text), "{}", text);
        }

        #[test]
        fn strings_too(text in r#"[\\u"/bd08Cé]{0,10}"#) {
            let text = format!("\"{text}\"");
            let surrogates = check(&text).is_err_and(|fault| fault.what.starts_with("half"));
            prop_assert!(surrogates || check(&text).is_ok() == elsewhere(&text), "{}", text);
        }

        #[test]
        fn any_text_can_be_checked(text in "\\PC{0,60}") {
            let _ = check(&text);
        }
    }
}
