//! Redis: publish and subscribe, and streams.

use switchboard_peers::Error;

use super::{Found, Kind, Role, TOPIC, Wire, decimal, line};
use crate::link::Link;

#[derive(Debug)]
pub(crate) struct Resp;

/// The stream in which Redis keeps what is published.
const KEPT: &str = "bench.kept";

/// A string of so many bytes at the beginning, and its length with its head.
fn bulk(came: &[u8]) -> Result<Option<(&[u8], usize)>, Error> {
    let Some((head, len)) = line(came) else { return Ok(None) };
    let bytes = decimal(&head[1..])?;
    Ok(came.get(len..len + bytes + 2).map(|text| (&text[..bytes], len + bytes + 2)))
}

impl Wire for Resp {
    #[inline]
    fn scan(&self, came: &[u8]) -> Result<Option<Found>, Error> {
        let Some((head, mut len)) = line(came) else { return Ok(None) };
        match head.first() {
            Some(b'*') => {}
            Some(b'$') => {
                let found = bulk(came)?;
                return Ok(found.map(|(_, len)| Found { len, kind: Kind::Answer }));
            }
            Some(b'-') => return Err(String::from_utf8_lossy(head).into()),
            _ => return Ok(Some(Found { len, kind: Kind::Answer })),
        }
        let mut kind = Kind::Ready;
        for place in 0..decimal(&head[1..])? {
            let rest = &came[len..];
            if rest.first() == Some(&b':') {
                let Some((_, more)) = line(rest) else { return Ok(None) };
                len += more;
            } else {
                let Some((text, more)) = bulk(rest)? else { return Ok(None) };
                len += more;
                if place == 0 && text == b"message" {
                    kind = Kind::Event;
                }
            }
        }
        Ok(Some(Found { len, kind }))
    }

    fn greet(&self, link: &mut Link, _number: usize, role: Role) -> Result<(), Error> {
        if role == Role::Subscribe {
            link.ask(self, format!("SUBSCRIBE {TOPIC}\r\n").as_bytes())?;
        }
        Ok(())
    }

    fn publish(&self, _from: usize, kept: bool, data: &[u8], out: &mut Vec<u8>) {
        let (len, topic) = (data.len(), TOPIC.len());
        let head = if kept {
            let key = KEPT.len();
            format!("*5\r\n$4\r\nXADD\r\n${key}\r\n{KEPT}\r\n$1\r\n*\r\n$1\r\nd\r\n${len}\r\n")
        } else {
            format!("*3\r\n$7\r\nPUBLISH\r\n${topic}\r\n{TOPIC}\r\n${len}\r\n")
        };
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(data);
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_however_the_stream_is_cut() {
        let event = b"*3\r\n$7\r\nmessage\r\n$3\r\na.b\r\n$4\r\n\r\n*3\r\n".as_slice();
        let begun = b"*3\r\n$9\r\nsubscribe\r\n$3\r\na.b\r\n:1\r\n".as_slice();
        let came = [begun, event, b":17\r\n", b"$2\r\n-1\r\n"].concat();
        let counted = Resp.count(&came).unwrap();
        assert_eq!((counted.events, counted.answers, counted.used), (1, 2, came.len()));
        for end in 0..event.len() {
            assert_eq!(Resp.scan(&event[..end]).unwrap(), None, "{end}");
        }
        assert!(Resp.count(b"-ERR unknown command\r\n").is_err());
    }
}
