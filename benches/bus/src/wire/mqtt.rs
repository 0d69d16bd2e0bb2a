//! MQTT 3.1.1, without acknowledgements.

use switchboard_peers::Error;

use super::{Found, Kind, Role, TOPIC, Wire};
use crate::link::Link;

#[derive(Debug)]
pub(crate) struct Mqtt;

/// The first bytes of packets.
const CONNECT: u8 = 0x10;
const CONNECTED: u8 = 0x20;
const PUBLISH: u8 = 0x30;
const SUBSCRIBE: u8 = 0x82;
const SUBSCRIBED: u8 = 0x90;

/// Asks for a clean session.
const CLEAN: u8 = 0x02;

/// Adds what is sent with its length before it.
fn text(text: &str, out: &mut Vec<u8>) {
    // Topics and names of this benchmark.
    out.extend_from_slice(&u16::try_from(text.len()).unwrap_or_default().to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn packet(kind: u8, body: &[&[u8]], out: &mut Vec<u8>) {
    out.push(kind);
    let len = body.iter().map(|part| part.len() as u64).sum();
    switchboard_proto::field::put_varint(out, len);
    for part in body {
        out.extend_from_slice(part);
    }
}

impl Wire for Mqtt {
    #[inline]
    fn scan(&self, came: &[u8]) -> Result<Option<Found>, Error> {
        let (mut rest, mut place) = (0_usize, 1);
        loop {
            let Some(&byte) = came.get(place) else { return Ok(None) };
            rest |= usize::from(byte & 0x7f) << (7 * (place - 1));
            place += 1;
            if byte < 0x80 {
                break;
            }
            if 5 <= place {
                return Err("a length of more than four bytes".into());
            }
        }
        if came.len() < place + rest {
            return Ok(None);
        }
        let kind = match came[0] & 0xf0 {
            PUBLISH => Kind::Event,
            CONNECTED if came[place..][..rest] != [0, 0] => return Err("refused".into()),
            CONNECTED | SUBSCRIBED => Kind::Ready,
            _ => Kind::Other,
        };
        Ok(Some(Found { len: place + rest, kind }))
    }

    fn greet(&self, link: &mut Link, number: usize, role: Role) -> Result<(), Error> {
        let (mut body, mut out) = (Vec::new(), Vec::new());
        text("MQTT", &mut body);
        // Version 3.1.1; no keep-alive.
        body.extend_from_slice(&[4, CLEAN, 0, 0]);
        text(&format!("bench-{number}"), &mut body);
        packet(CONNECT, &[&body], &mut out);
        link.ask(self, &out)?;
        if role == Role::Subscribe {
            // Its number; at most once.
            let mut body = vec![0, 1];
            text(TOPIC, &mut body);
            body.push(0);
            out.clear();
            packet(SUBSCRIBE, &[&body], &mut out);
            link.ask(self, &out)?;
        }
        Ok(())
    }

    fn publish(&self, _from: usize, _kept: bool, data: &[u8], out: &mut Vec<u8>) {
        let mut topic = Vec::new();
        text(TOPIC, &mut topic);
        packet(PUBLISH, &[&topic, data], out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_however_the_stream_is_cut() {
        let mut came = Vec::new();
        Mqtt.publish(0, false, &[7; 128], &mut came);
        for end in 0..came.len() {
            assert_eq!(Mqtt.scan(&came[..end]).unwrap(), None);
        }
        let found = Found { len: came.len(), kind: Kind::Event };
        assert_eq!(Mqtt.scan(&came).unwrap(), Some(found));
        assert!(Mqtt.scan(&[CONNECTED, 2, 0, 5]).is_err());
    }
}
