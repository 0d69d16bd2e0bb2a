//! NATS, and its JetStream.

use switchboard_peers::Error;

use super::{Found, Kind, Role, TOPIC, Wire, decimal, line};
use crate::link::Link;

/// The stream in which JetStream keeps what is published.
pub(crate) const STREAM: &str = "BENCH";

/// The numbers of subscriptions: of events, and of answers.
const EVENTS: &str = "1";
const ANSWERS: &str = "2";

#[derive(Debug)]
pub(crate) struct Nats;

impl Wire for Nats {
    #[inline]
    fn scan(&self, came: &[u8]) -> Result<Option<Found>, Error> {
        let Some((line, len)) = line(came) else { return Ok(None) };
        let Some(rest) = line.strip_prefix(b"MSG ") else {
            let kind = match line {
                b"PING" => Kind::Ping,
                b"PONG" => Kind::Ready,
                refused if refused.starts_with(b"-ERR") => {
                    return Err(String::from_utf8_lossy(refused).into());
                }
                _ => Kind::Other,
            };
            return Ok(Some(Found { len, kind }));
        };
        // The subject, the number of the subscription, perhaps where to answer, the length.
        let mut words = rest.split(|&byte| byte == b' ');
        let subscription = words.nth(1).unwrap_or_default();
        let payload = decimal(words.next_back().unwrap_or_default())?;
        let Some(payload) = came.get(len..len + payload + 2) else { return Ok(None) };
        let kind = if subscription == EVENTS.as_bytes() { Kind::Event } else { Kind::Answer };
        // As `{"error":…` and as `{"type":…,"error":…`.
        if kind == Kind::Answer && !payload.starts_with(b"{\"stream\":") {
            let text = String::from_utf8_lossy(payload);
            if text.contains("\"error\"") {
                return Err(text.into());
            }
        }
        Ok(Some(Found { len: len + payload.len(), kind }))
    }

    fn greet(&self, link: &mut Link, number: usize, role: Role) -> Result<(), Error> {
        link.ask(self, b"CONNECT {\"verbose\":false,\"pedantic\":false}\r\nPING\r\n")?;
        let (events, answers) = (EVENTS, ANSWERS);
        match role {
            Role::Publish | Role::Consume => Ok(()),
            Role::PublishKept => {
                let subscribe = format!("SUB answers.{number} {answers}\r\nPING\r\n");
                link.ask(self, subscribe.as_bytes())
            }
            Role::Subscribe => {
                link.ask(self, format!("SUB {TOPIC} {events}\r\nPING\r\n").as_bytes())
            }
            Role::Replay => {
                let subscribe =
                    format!("SUB replay {events}\r\nSUB answers.{number} {answers}\r\n");
                let consumer = format!(
                    "{{\"stream_name\":\"{STREAM}\",\"config\":{{\"deliver_subject\":\"replay\",\
                     \"deliver_policy\":\"all\",\"ack_policy\":\"none\"}}}}"
                );
                let make = request(&format!("CONSUMER.CREATE.{STREAM}"), number, &consumer);
                link.say(format!("{subscribe}{make}").as_bytes())
            }
        }
    }

    fn publish(&self, from: usize, kept: bool, data: &[u8], out: &mut Vec<u8>) {
        let head = if kept {
            format!("PUB {TOPIC} answers.{from} {}\r\n", data.len())
        } else {
            format!("PUB {TOPIC} {}\r\n", data.len())
        };
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(data);
        out.extend_from_slice(b"\r\n");
    }

    fn pong(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"PONG\r\n");
    }
}

/// A request to JetStream, answered to a connection.
fn request(what: &str, number: usize, body: &str) -> String {
    format!("PUB $JS.API.{what} answers.{number} {}\r\n{body}\r\n", body.len())
}

/// Makes the stream that keeps the topic, over a connection that is set up for publishing to it.
pub(crate) fn make_stream(link: &mut Link, number: usize) -> Result<(), Error> {
    let stream = format!(
        "{{\"name\":\"{STREAM}\",\"subjects\":[\"{TOPIC}\"],\"storage\":\"file\",\
         \"retention\":\"limits\",\"discard\":\"old\",\"num_replicas\":1}}"
    );
    link.say(request(&format!("STREAM.CREATE.{STREAM}"), number, &stream).as_bytes())?;
    link.until(&Nats, Kind::Answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_however_the_stream_is_cut() {
        let came = b"MSG bench.topic 1 5\r\na\r\nb\n\r\nPING\r\nMSG answers.0 2 r 2\r\nok\r\n";
        let counted = Nats.count(came).unwrap();
        assert_eq!((counted.events, counted.pings, counted.answers), (1, 1, 1));
        assert_eq!(counted.used, came.len());
        let used = |end: usize| Nats.count(&came[..end]).unwrap().used;
        let mut whole: Vec<_> = (0..=came.len()).map(used).collect();
        whole.dedup();
        assert_eq!(whole, [0, 28, 34, came.len()]);
        assert!(Nats.count(b"-ERR 'Slow Consumer'\r\n").is_err());
        assert!(Nats.count(b"MSG answers.0 2 13\r\n{\"error\":{}}}\r\n").is_err());
    }
}
