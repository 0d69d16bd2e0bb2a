//! How events, deliveries and queues are shown.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Value, json, value::RawValue};
use switchboard_client::bus::{Delivery, Event, Queue};

use crate::output::{self, base64, clean};

const JSON: &str = "application/json";

/// An event in JSON, as REST tells it.
#[derive(Serialize)]
struct Told<'a> {
    sequence: u64,
    topic: &'a str,
    r#type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'a str>,
    at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dead_letter: Option<Value>,
}

/// A delivery in JSON, as REST tells it.
#[derive(Serialize)]
struct Delivered<'a> {
    delivery: &'a str,
    attempt: u32,
    event: Told<'a>,
    until: i64,
}

impl<'a> Told<'a> {
    fn of(event: &'a Event) -> Self {
        let is_json = event.content_type == JSON;
        let data: Option<&RawValue> =
            is_json.then(|| serde_json::from_slice(&event.data).ok()).flatten();
        let as_base64 = || {
            let mut text = Vec::new();
            // Memory takes all that is written.
            let _ = base64(&mut text, &event.data);
            String::from_utf8(text).unwrap_or_default()
        };
        let dead_letter = event.dead_letter.as_ref().map(|it| {
            json!({
                "queue": it.queue, "reason": it.reason, "attempts": it.attempts,
                "topic": it.topic, "sequence": it.sequence,
            })
        });
        Self {
            sequence: event.sequence,
            topic: &event.topic,
            r#type: &event.kind,
            data,
            data_base64: data.is_none().then(as_base64),
            content_type: data.is_none().then_some(event.content_type.as_str()),
            at: event.at,
            reply_to: event.reply_to.as_deref(),
            dead_letter,
        }
    }
}

/// An event on one line, in words: its sequence (`-` for an ephemeral one), when it was published,
/// topic, type and data.
pub(super) fn event(out: &mut dyn Write, event: &Event, as_json: bool) -> io::Result<()> {
    if as_json {
        return line(out, &Told::of(event));
    }
    write_event(out, event)?;
    writeln!(out)
}

/// A delivery on one line: what it is settled by, which attempt it is, and the event.
pub(super) fn delivery(out: &mut dyn Write, it: &Delivery, as_json: bool) -> io::Result<()> {
    let Delivery { id, attempt, until, event } = it;
    if as_json {
        let (attempt, until) = (*attempt, *until);
        return line(out, &Delivered { delivery: id, attempt, event: Told::of(event), until });
    }
    write!(out, "{} {attempt} ", clean(id))?;
    write_event(out, event)?;
    writeln!(out)
}

/// An event that a queue gave up, on one line: how it was, and why it was given up.
pub(super) fn dead_letter(out: &mut dyn Write, event: &Event, as_json: bool) -> io::Result<()> {
    let Some(letter) = event.dead_letter.as_ref().filter(|_| !as_json) else {
        return self::event(out, event, as_json);
    };
    let (sequence, at, attempts) = (event.sequence, utc(event.at), letter.attempts);
    let (topic, of, kind) = (clean(&letter.topic), letter.sequence, clean(&event.kind));
    let reason = clean(&letter.reason);
    write!(out, "{sequence} {at} {topic} {of} {kind} after {attempts} attempts: {reason}: ")?;
    write_data(out, event)?;
    writeln!(out)
}

/// A queue in JSON, as REST tells it.
pub(super) fn queue_json(queue: &Queue) -> Value {
    let settings = &queue.settings;
    json!({
        "queue": queue.name,
        "topics": settings.interest.topics,
        "types": settings.interest.types,
        "ack_timeout_ms": settings.ack_timeout_ms,
        "max_deliveries": settings.max_deliveries,
        "dead_letter_topic": settings.dead_letter_topic,
        "depth": queue.depth,
        "in_flight": queue.in_flight,
        "oldest_at": queue.oldest_at,
        "oldest_age_ms": queue.oldest_age_ms,
        "dead_lettered": queue.dead_lettered,
        "acknowledged": queue.acknowledged,
        "redelivered": queue.redelivered,
    })
}

/// A queue on one line.
pub(super) fn queue(queue: &Queue) -> String {
    let Queue { depth, in_flight, dead_lettered, .. } = queue;
    let (name, topics) = (clean(&queue.name), clean(&queue.settings.interest.topics.join(" ")));
    let oldest = match queue.oldest_age_ms {
        Some(age) => format!(", the oldest for {} s", age / 1_000),
        None => String::new(),
    };
    format!(
        "{name} ({topics}): {depth} wait, {in_flight} in flight{oldest}, {dead_lettered} given up"
    )
}

/// All that is known of a queue, on several lines.
pub(super) fn queue_at_length(queue: &Queue) -> String {
    let settings = &queue.settings;
    let types = match &settings.interest.types[..] {
        [] => "any".to_owned(),
        types => clean(&types.join(" ")),
    };
    let oldest = match (queue.oldest_at, queue.oldest_age_ms) {
        (Some(at), Some(age)) => format!("{} ({} s ago)", utc(at), age / 1_000),
        (Some(at), None) => utc(at),
        (None, _) => "-".to_owned(),
    };
    let rows: [(&str, &dyn std::fmt::Display); 12] = [
        ("queue", &clean(&queue.name)),
        ("topics", &clean(&settings.interest.topics.join(" "))),
        ("types", &types),
        ("time to settle", &format!("{} ms", settings.ack_timeout_ms)),
        ("attempts at most", &settings.max_deliveries),
        ("dead letters go to", &clean(&settings.dead_letter_topic)),
        ("waiting", &queue.depth),
        ("in flight", &queue.in_flight),
        ("oldest not settled", &oldest),
        ("acknowledged", &queue.acknowledged),
        ("delivered again", &queue.redelivered),
        ("given up", &queue.dead_lettered),
    ];
    rows.map(|(name, value)| format!("{name:20}{value}")).join("\n")
}

fn write_event(out: &mut dyn Write, event: &Event) -> io::Result<()> {
    match event.sequence {
        0 => write!(out, "-")?,
        sequence => write!(out, "{sequence}")?,
    }
    write!(out, " {} {} {} ", utc(event.at), clean(&event.topic), clean(&event.kind))?;
    write_data(out, event)
}

/// Text with its control characters escaped; other bytes as a `data:` URL.
fn write_data(mut out: &mut dyn Write, event: &Event) -> io::Result<()> {
    if let Ok(text) = str::from_utf8(&event.data) {
        return write!(out, "{}", clean(text));
    }
    write!(out, "data:{};base64,", clean(&event.content_type))?;
    base64(&mut out, &event.data)
}

/// JSON on one line, which does not steer a terminal.
fn line(mut out: &mut dyn Write, told: &impl Serialize) -> io::Result<()> {
    output::one_line(&mut out, &serde_json::to_string(told)?)?;
    writeln!(out)
}

/// A time in milliseconds since the Unix epoch, as RFC 3339 writes it.
fn utc(at: i64) -> String {
    let (days, rest) = (at.div_euclid(86_400_000), at.rem_euclid(86_400_000));
    let (year, month, day) = civil(days);
    let (hours, minutes) = (rest / 3_600_000, rest / 60_000 % 60);
    let (seconds, millis) = (rest / 1_000 % 60, rest % 1_000);
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z")
}

/// The date of a day, counted from the Unix epoch (Howard Hinnant, "chrono-Compatible Low-Level
/// Date Algorithms", `civil_from_days`).
fn civil(days: i64) -> (i64, i64, i64) {
    // Counted from March 1st of the year 0, so that the day that leaps is the last of a year.
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use switchboard_client::bus::{DeadLetter, Interest, QueueSettings};

    use super::*;

    fn an_event(data: &[u8], content_type: &str) -> Event {
        Event {
            sequence: 17,
            topic: "orders.eu".to_owned(),
            kind: "order.created".to_owned(),
            data: data.to_vec(),
            content_type: content_type.to_owned(),
            at: 1_763_719_200_123,
            reply_to: None,
            dead_letter: None,
        }
    }

    fn shown(print: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        print(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[track_caller]
    fn check(told: &Event, words: &str, as_json: &str) {
        assert_eq!(shown(|out| event(out, told, false)), format!("{words}\n"));
        assert_eq!(shown(|out| event(out, told, true)), format!("{as_json}\n"));
    }

    #[test]
    fn an_event_is_one_line_and_does_not_steer_the_terminal() {
        check(
            &an_event(b"{\n\"pi\": 3.10}", JSON),
            "17 2025-11-21T10:00:00.123Z orders.eu order.created {\\n\"pi\": 3.10}",
            "{\"sequence\":17,\"topic\":\"orders.eu\",\"type\":\"order.created\",\
             \"data\":{ \"pi\": 3.10},\"at\":1763719200123}",
        );
        check(
            &an_event(b"a\x1b[31m\n", "text/plain"),
            "17 2025-11-21T10:00:00.123Z orders.eu order.created a\\u{1b}[31m\\n",
            "{\"sequence\":17,\"topic\":\"orders.eu\",\"type\":\"order.created\",\
             \"data_base64\":\"YRtbMzFtCg==\",\"content_type\":\"text/plain\",\
             \"at\":1763719200123}",
        );
        let ephemeral = Event {
            sequence: 0,
            reply_to: Some("reply.x".to_owned()),
            ..an_event(&[0, 255], "image/png")
        };
        check(
            &ephemeral,
            "- 2025-11-21T10:00:00.123Z orders.eu order.created data:image/png;base64,AP8=",
            "{\"sequence\":0,\"topic\":\"orders.eu\",\"type\":\"order.created\",\
             \"data_base64\":\"AP8=\",\"content_type\":\"image/png\",\"at\":1763719200123,\
             \"reply_to\":\"reply.x\"}",
        );
        let odd = "{\"a\": \"\u{9b}31m\"}";
        let told = shown(|out| event(out, &an_event(odd.as_bytes(), JSON), true));
        assert!(told.contains("\\u009b31m"), "{told}");
        let no_json = shown(|out| event(out, &an_event(b"{", JSON), true));
        assert!(no_json.contains("\"data_base64\":\"ew==\""), "{no_json}");
    }

    #[test]
    fn a_delivery_says_what_it_is_settled_by() {
        let event = an_event(b"1", JSON);
        let it = Delivery { id: "17-1-ab".to_owned(), attempt: 2, until: 9, event };
        assert_eq!(
            shown(|out| delivery(out, &it, false)),
            "17-1-ab 2 17 2025-11-21T10:00:00.123Z orders.eu order.created 1\n"
        );
        assert_eq!(
            shown(|out| delivery(out, &it, true)),
            "{\"delivery\":\"17-1-ab\",\"attempt\":2,\"event\":{\"sequence\":17,\
             \"topic\":\"orders.eu\",\"type\":\"order.created\",\"data\":1,\"at\":1763719200123},\
             \"until\":9}\n"
        );
    }

    #[test]
    fn a_dead_letter_says_what_it_was() {
        let letter = DeadLetter {
            queue: "mail".to_owned(),
            reason: "no\nway".to_owned(),
            attempts: 10,
            topic: "orders.eu".to_owned(),
            sequence: 5,
        };
        let topic = "sys.dead_letters.mail".to_owned();
        let event = Event { topic, dead_letter: Some(letter), ..an_event(b"1", JSON) };
        assert_eq!(
            shown(|out| dead_letter(out, &event, false)),
            "17 2025-11-21T10:00:00.123Z orders.eu 5 order.created after 10 attempts: \
             no\\nway: 1\n"
        );
        let told: Value =
            serde_json::from_str(&shown(|out| dead_letter(out, &event, true))).unwrap();
        assert_eq!(told["dead_letter"]["reason"], "no\nway");
        assert_eq!(told["dead_letter"]["sequence"], 5);
    }

    #[test]
    fn a_queue_in_short_and_at_length() {
        let settings = QueueSettings {
            interest: Interest::new(["orders.>"]),
            ack_timeout_ms: 30_000,
            max_deliveries: 10,
            dead_letter_topic: "sys.dead_letters.mail".to_owned(),
        };
        let it = Queue {
            name: "mail".to_owned(),
            settings,
            depth: 3,
            in_flight: 2,
            oldest_at: Some(1_763_719_200_123),
            oldest_age_ms: Some(8_500),
            dead_lettered: 1,
            acknowledged: 4,
            redelivered: 6,
        };
        let short = "mail (orders.>): 3 wait, 2 in flight, the oldest for 8 s, 1 given up";
        assert_eq!(queue(&it), short);
        let long = queue_at_length(&it);
        assert!(
            long.contains("oldest not settled  2025-11-21T10:00:00.123Z (8 s ago)\n"),
            "{long}"
        );
        assert_eq!(long.lines().count(), 12);
        assert_eq!(queue_json(&it)["dead_letter_topic"], "sys.dead_letters.mail");
        let empty = Queue { oldest_at: None, oldest_age_ms: None, ..it };
        assert_eq!(queue(&empty), "mail (orders.>): 3 wait, 2 in flight, 1 given up");
    }

    #[test]
    fn times() {
        for (at, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (1_767_225_599_000, "2025-12-31T23:59:59.000Z"),
        ] {
            assert_eq!(utc(at), expected, "{at}");
        }
    }
}
