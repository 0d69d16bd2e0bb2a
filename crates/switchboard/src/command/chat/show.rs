//! How chats are shown.

use serde_json::{Value, json};
use switchboard_client::chat::{Chat, Entry, Happening, Message, Receipt};

use crate::{
    Failure,
    output::{self, clean},
};

pub(super) fn message_json(message: &Message) -> Value {
    let Message { id, chat, from, to, text, sent_at, status, client_message_id } = message;
    let mut told = json!({
        "id": id, "chat": chat, "from": from, "to": to, "text": text, "sent_at": sent_at,
        "status": status.as_str(),
    });
    if !client_message_id.is_empty() {
        told["client_message_id"] = json!(client_message_id);
    }
    told
}

pub(super) fn message(message: &Message, as_json: bool) -> Result<(), Failure> {
    if as_json {
        return output::line(format_args!("{}", message_json(message)));
    }
    output::line(format_args!("{}", message_line(message)))
}

fn message_line(message: &Message) -> String {
    let (id, text) = (message.id, clean(&message.text));
    let own = message.from != message.chat;
    let status = if own { format!(" ({})", message.status.as_str()) } else { String::new() };
    format!("{id} {}: {text}{status}", message.from)
}

pub(super) fn chat(chat: &Chat, as_json: bool) -> Result<(), Failure> {
    let Chat { peer, peer_name, last_message, unread, updated_at, online, last_seen } = chat;
    if as_json {
        let last = last_message.as_ref().map(message_json);
        return output::line(format_args!(
            "{}",
            json!({
                "peer": peer, "peer_name": peer_name, "last_message": last, "unread": unread,
                "updated_at": updated_at, "online": online, "last_seen": last_seen,
            })
        ));
    }
    let name = peer_name.as_deref().map(|name| format!(" {}", clean(name))).unwrap_or_default();
    let here = if *online == Some(true) { " online" } else { "" };
    let unread = if *unread == 0 { String::new() } else { format!(" [{unread} unread]") };
    let last = last_message.as_ref().map(message_line).unwrap_or_default();
    output::line(format_args!("{peer}{name}{here}{unread} | {last}"))
}

pub(super) fn trace(
    message: &Message,
    steps: &[(String, i64)],
    as_json: bool,
) -> Result<(), Failure> {
    if as_json {
        let steps: Vec<_> =
            steps.iter().map(|(step, at)| json!({"step": step, "at": at})).collect();
        let told = json!({"message": message_json(message), "steps": steps});
        return output::line(format_args!("{told}"));
    }
    output::line(format_args!("{}", message_line(message)))?;
    let begun = steps.first().map_or(0, |(_, at)| *at);
    for (step, at) in steps {
        output::line(format_args!("  {step:10} {at} (+{} ms)", at - begun))?;
    }
    Ok(())
}

/// One thing that happened, on one line.
pub(super) fn entry(entry: &Entry, as_json: bool) -> String {
    let Entry { sequence, cursor, what } = entry;
    if !as_json {
        return match what {
            Happening::Message(message) => message_line(message),
            Happening::Delivered(Receipt { chat, up_to, .. }) => {
                format!("  {chat} has got all up to {up_to}")
            }
            Happening::Read(Receipt { chat, up_to, .. }) => {
                format!("  {chat} has read all up to {up_to}")
            }
            _ => "  something that this version does not know".to_owned(),
        };
    }
    let receipt = |kind, it: &Receipt| {
        json!({
            "sequence": sequence, "cursor": cursor, "type": kind, "chat": it.chat,
            "up_to": it.up_to, "at": it.at,
        })
    };
    let told = match what {
        Happening::Message(message) => {
            let message = message_json(message);
            json!({"sequence": sequence, "cursor": cursor, "type": "message", "message": message})
        }
        Happening::Delivered(it) => receipt("delivered", it),
        Happening::Read(it) => receipt("read", it),
        _ => json!({"sequence": sequence, "cursor": cursor, "type": "unknown"}),
    };
    told.to_string()
}
