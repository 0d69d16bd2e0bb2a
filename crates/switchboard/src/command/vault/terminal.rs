//! Asking for a key at the terminal, without showing what is typed.

use std::{
    fs::File,
    io::{self, IsTerminal as _, Read as _, Write as _},
};

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use switchboard_core::vault::{EncryptionKey, Secret};

use crate::Failure;

const CTRL_C: u8 = 0x03;
const CTRL_D: u8 = 0x04;
const CTRL_U: u8 = 0x15;
const ESCAPE: u8 = 0x1b;
const BACKSPACE: u8 = 0x08;
const DELETE: u8 = 0x7f;

/// What somebody types behind the prompt; none where nobody sits.
pub(super) fn ask(prompt: &str) -> Result<Option<Secret>, Failure> {
    if !io::stdin().is_terminal() && !io::stderr().is_terminal() {
        return Ok(None);
    }
    // Not the standard streams: values go through them.
    let Ok(terminal) = File::options().read(true).write(true).open("/dev/tty") else {
        return Ok(None);
    };
    asked(&terminal, prompt).map(Some).map_err(|error| {
        let aborted = error.kind() == io::ErrorKind::ConnectionAborted;
        let what = if aborted { "nothing was done" } else { "this terminal can't be used" };
        Failure::failed(format!("{what}: {error}"))
    })
}

#[expect(clippy::unbuffered_bytes, reason = "what is typed behind the line is not of the key")]
fn asked(mut terminal: &File, prompt: &str) -> io::Result<Secret> {
    let hidden = Hidden::begin(terminal)?;
    terminal.write_all(prompt.as_bytes())?;
    let typed = typed(terminal.bytes());
    drop(hidden);
    terminal.write_all(b"\n")?;
    typed
}

/// While this lives, the terminal shows nothing of what is typed, and Ctrl-C comes as a byte: as a
/// signal it would end the program with the terminal as it is now.
struct Hidden<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Hidden<'a> {
    fn begin(terminal: &'a File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut hidden = before.clone();
        let modes = LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG;
        hidden.local_modes.remove(modes);
        hidden.special_codes[SpecialCodeIndex::VMIN] = 1;
        hidden.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(terminal, OptionalActions::Now, &hidden)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        // Best effort: there is nothing else to be done.
        let _ = tcsetattr(self.terminal, OptionalActions::Now, &self.before);
    }
}

/// A line, with the keys that change it. What else has no character, as an arrow, is left out:
/// nobody would see that it is in there.
fn typed(mut bytes: impl Iterator<Item = io::Result<u8>>) -> io::Result<Secret> {
    // At once as long as it may get, with a byte too many: no copy is left behind.
    let mut room = Secret::new(vec![0; EncryptionKey::BYTES_MAX + 1]);
    let mut end = 0;
    while let Some(byte) = bytes.next().transpose()? {
        match byte {
            b'\r' | b'\n' | CTRL_D => break,
            CTRL_C => return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "Ctrl-C")),
            CTRL_U => end = 0,
            BACKSPACE | DELETE => end = last_character(&room.expose()[..end]),
            ESCAPE => skip_sequence(&mut bytes)?,
            _ if byte.is_ascii_control() => {}
            _ => {
                if let Some(place) = room.expose_mut().get_mut(end) {
                    *place = byte;
                    end += 1;
                }
            }
        }
    }
    Ok(Secret::new(room.expose()[..end].to_vec()))
}

/// Where the last character of UTF-8 begins.
fn last_character(text: &[u8]) -> usize {
    let begins = |byte: &u8| byte & 0b1100_0000 != 0b1000_0000;
    text.iter().rposition(begins).unwrap_or_default()
}

/// Reads over what a key without a character sends (ECMA-48: CSI and SS3).
fn skip_sequence(bytes: &mut impl Iterator<Item = io::Result<u8>>) -> io::Result<()> {
    if let Some(b'[' | b'O') = bytes.next().transpose()? {
        while bytes.next().transpose()?.is_some_and(|byte| !(b'@'..=b'~').contains(&byte)) {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_as_it_is_typed() {
        let long = "x".repeat(EncryptionKey::BYTES_MAX + 9);
        for (keys, expected) in [
            ("key\rrest", "key"),
            ("key\nrest", "key"),
            ("key\u{4}", "key"),
            ("key", "key"),
            ("\r", ""),
            ("kex\u{7f}y\r", "key"),
            ("\u{7f}\u{8}k\r", "k"),
            ("Zoë🦀\u{7f}\u{7f}\r", "Zo"),
            ("wrong\u{15}key\r", "key"),
            ("ke\u{1b}[A\u{1b}OP\u{1b}[1;5Dy\u{1}\t\r", "key"),
            ("a b \r", "a b "),
            // Too long for a key, which is told then.
            (&long, &long[..=EncryptionKey::BYTES_MAX]),
        ] {
            let line = typed(keys.bytes().map(Ok)).unwrap();
            assert_eq!(str::from_utf8(line.expose()).unwrap(), expected, "{keys:?}");
        }
    }

    #[test]
    fn ctrl_c_ends_it() {
        let error = typed("key\u{3}\r".bytes().map(Ok)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    }
}
