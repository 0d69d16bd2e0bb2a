//! Who comes and goes, as events.

use std::fmt::Write as _;

use super::{Body, EventType, Topic};
use crate::{ClientId, Millis, Tenant, presence::GatewayId};

/// A client has its first session at a gateway, or no more there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attendance {
    /// Whose client.
    pub tenant: Tenant,
    /// Which client.
    pub client: ClientId,
    /// At which gateway.
    pub gateway: GatewayId,
    /// Whether it is there now.
    pub present: bool,
    /// The number of its newest session there: later sessions have greater ones.
    pub session: u64,
    /// When.
    pub at: Millis,
}

/// Gateways that are no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gone {
    /// These are all that there are.
    AllBut(Vec<GatewayId>),
    /// These have ended, or are cut off.
    These(Vec<GatewayId>),
}

impl Gone {
    /// Whether a gateway is one of them.
    pub fn includes(&self, gateway: GatewayId) -> bool {
        match self {
            Self::AllBut(there) => !there.contains(&gateway),
            Self::These(gone) => gone.contains(&gateway),
        }
    }
}

/// Whether a client has come or gone, over all gateways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Its first session was opened.
    Online,
    /// Its last session has ended.
    Offline,
}

impl Turn {
    /// The event that tells it: its data is `{"client":…,"session":…}`. The session is that by
    /// which a consumer tells whether he knows of a newer one.
    pub fn told(self, client: &ClientId, session: u64) -> Body {
        let word = match self {
            Self::Online => "online",
            Self::Offline => "offline",
        };
        let topic = Topic::own(&format!("sys.presence.{word}"));
        let kind = EventType::own(&format!("presence.{word}"));
        let mut json = String::from(r#"{"client":""#);
        for symbol in client.as_str().chars() {
            if matches!(symbol, '"' | '\\') {
                json.push('\\');
            }
            // A client's id has no control characters.
            json.push(symbol);
        }
        // Beyond 2^53 many readers of JSON lose digits: so it is a string.
        let _ = write!(json, r#"","session":"{session}"}}"#);
        Body::own(&topic, &kind, &json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told() {
        let client = ClientId::new("Zoë \"\\\" 🦀").unwrap();
        let body = Turn::Offline.told(&client, 7);
        assert_eq!((body.topic(), body.kind()), ("sys.presence.offline", "presence.offline"));
        let json: serde_json::Value = serde_json::from_slice(body.data()).unwrap();
        assert_eq!(json, serde_json::json!({"client": client.as_str(), "session": "7"}));
        assert_eq!(Turn::Online.told(&client, 7).topic(), "sys.presence.online");
    }
}
