//! Between the rules' types and the wire's. The only place that knows both.

pub(crate) mod base64;
pub(crate) mod bus;
#[cfg(test)]
pub(crate) mod examples;
pub(crate) mod frame;
pub(crate) mod json;
pub(crate) mod signal;
pub(crate) mod vault;

/// From the wire: parse, and refuse what can't be right.
pub(crate) mod from {
    use switchboard_core::{
        ClientId, Code, Error, Millis, Result,
        ingest::Entry,
        presence::{GatewayId, Report, Sighting, Status, TenantReport},
    };
    use switchboard_proto::v1;

    use crate::caller::Caller;

    /// One request of a stream.
    #[inline]
    pub(crate) fn entry(caller: Caller, request: &v1::IngestRequest) -> Result<Entry> {
        Ok(Entry { tenant: caller.tenant(&request.tenant)?, key: request.key.parse()? })
    }

    /// The report of a gateway.
    pub(crate) fn report(report: v1::ReportRequest) -> Result<Report> {
        let sighting = |sighting: v1::Sighting| {
            let many = |_| Error::new(Code::InvalidRequest, "a client has 65,535 sessions at most");
            Ok(Sighting {
                client: ClientId::new(&sighting.client)?,
                seen: sighting.seen.map(Millis),
                status: match sighting.status() {
                    v1::Status::Unknown => Status::Unknown,
                    v1::Status::Even => Status::Even,
                    v1::Status::Odd => Status::Odd,
                },
                sessions: sighting.sessions.try_into().map_err(many)?,
            })
        };
        let tenant = |part: v1::TenantReport| {
            Ok(TenantReport {
                tenant: part.tenant.parse()?,
                connected: part.connected,
                sightings: part.sightings.into_iter().map(sighting).collect::<Result<_>>()?,
            })
        };
        Ok(Report {
            gateway: GatewayId(report.gateway),
            at: Millis(report.at),
            tenants: report.tenants.into_iter().map(tenant).collect::<Result<_>>()?,
        })
    }
}

/// To the wire: can't fail.
pub(crate) mod to {
    use switchboard_core::{
        ClientId, Millis,
        chat::{
            Chat, Entry, Happening, Listed, Marks, Message, MessageStatus, PhoneNumber, Registered,
            Sent, Steps, Written,
        },
        ingest::Receipt,
        presence::{Point, Report, Seen, Sighting, Status, TenantReport},
    };
    use switchboard_proto::v1;

    use crate::{
        node::Ingested,
        presence::{Online, WINDOW_SECONDS},
    };

    /// The report of a gateway.
    pub(crate) fn report(report: Report) -> v1::ReportRequest {
        let sighting = |Sighting { client, seen, status, sessions }| v1::Sighting {
            client: ClientId::as_str(&client).to_owned(),
            seen: seen.map(|at: Millis| at.0),
            status: to_status(status).into(),
            sessions: u16::into(sessions),
        };
        let tenant = |TenantReport { tenant, connected, sightings }| v1::TenantReport {
            tenant: switchboard_core::Tenant::as_str(&tenant).to_owned(),
            connected,
            sightings: Vec::into_iter(sightings).map(sighting).collect(),
        };
        v1::ReportRequest {
            gateway: report.gateway.0,
            at: report.at.0,
            tenants: report.tenants.into_iter().map(tenant).collect(),
        }
    }

    fn to_status(status: Status) -> v1::Status {
        match status {
            Status::Unknown => v1::Status::Unknown,
            Status::Even => v1::Status::Even,
            Status::Odd => v1::Status::Odd,
        }
    }

    /// How many are online.
    pub(crate) fn count_response(online: &Online) -> v1::CountOnlineResponse {
        v1::CountOnlineResponse {
            online: online.count.online,
            connected: online.count.connected,
            window_seconds: WINDOW_SECONDS,
            as_of: online.as_of.0,
        }
    }

    /// What is known of one client.
    pub(crate) fn client_response(client: &ClientId, seen: &Seen) -> v1::GetClientResponse {
        v1::GetClientResponse {
            client: client.as_str().to_owned(),
            online: seen.online,
            status: to_status(seen.status).into(),
            last_seen: seen.last_seen.map(|at| at.0),
            sessions: seen.sessions,
        }
    }

    /// The past.
    pub(crate) fn history_response(points: &[Point]) -> v1::HistoryResponse {
        let point = |point: &Point| v1::HistoryPoint { at: point.at.0, online: point.online };
        v1::HistoryResponse { points: points.iter().map(point).collect() }
    }

    /// A message, as one of its two users sees it.
    pub(crate) fn message(
        user: PhoneNumber,
        message: &Message,
        status: MessageStatus,
    ) -> v1::Message {
        let status = match status {
            MessageStatus::Sent => v1::MessageStatus::Sent,
            MessageStatus::Delivered => v1::MessageStatus::Delivered,
            MessageStatus::Read => v1::MessageStatus::Read,
        };
        let own = message.from == user;
        v1::Message {
            id: message.id,
            chat: message.peer_of(user).to_string(),
            from: message.from.to_string(),
            to: message.to.to_string(),
            text: message.text.as_str().to_owned(),
            sent_at: message.sent_at.0,
            status: status.into(),
            client_message_id: if own { message.client_message_id.as_str() } else { "" }.to_owned(),
        }
    }

    /// Messages of a list.
    pub(crate) fn messages(user: PhoneNumber, listed: &[Listed]) -> Vec<v1::Message> {
        listed.iter().map(|it| message(user, &it.message, it.status)).collect()
    }

    /// A message was sent.
    pub(crate) fn sent_response(sent: &Sent) -> v1::SendMessageResponse {
        let Sent { message: it, status, new } = sent;
        v1::SendMessageResponse { message: Some(message(it.from, it, *status)), new: *new }
    }

    /// One of a user's chats. What is known of the peer's presence is added by who knows.
    pub(crate) fn chat(user: PhoneNumber, chat: &Chat) -> v1::Chat {
        let Chat { peer, peer_name, last, unread } = chat;
        v1::Chat {
            peer: peer.to_string(),
            peer_name: peer_name.as_ref().map(|name| name.as_str().to_owned()),
            last_message: Some(message(user, &last.message, last.status)),
            unread: *unread,
            updated_at: last.message.sent_at.0,
            online: None,
            last_seen: None,
        }
    }

    /// A user was made known.
    pub(crate) fn registered_response(registered: &Registered) -> v1::RegisterUserResponse {
        let Registered { profile, new } = registered;
        v1::RegisterUserResponse {
            phone: profile.phone.to_string(),
            name: profile.name.as_ref().map(|name| name.as_str().to_owned()),
            created_at: profile.created_at.0,
            new: *new,
        }
    }

    /// Marks are where they are.
    pub(crate) fn marks_response(marks: Marks) -> v1::AcknowledgeResponse {
        let Marks { delivered_up_to, read_up_to } = marks;
        v1::AcknowledgeResponse { delivered_up_to, read_up_to }
    }

    /// Something happened to a user.
    pub(crate) fn inbox_entry(
        user: PhoneNumber,
        entry: &Entry,
        cursor: &Written,
    ) -> v1::InboxEntry {
        let receipt = |chat: &PhoneNumber, up_to, at: Millis| v1::InboxReceipt {
            chat: chat.to_string(),
            up_to,
            at: at.0,
        };
        let what = match &entry.what {
            Happening::Message(it) => {
                v1::inbox_entry::What::Message(message(user, it, MessageStatus::Sent))
            }
            Happening::Delivered { peer, up_to, at } => {
                v1::inbox_entry::What::Delivered(receipt(peer, *up_to, *at))
            }
            Happening::Read { peer, up_to, at } => {
                v1::inbox_entry::What::Read(receipt(peer, *up_to, *at))
            }
        };
        v1::InboxEntry { sequence: entry.sequence, cursor: cursor.to_string(), what: Some(what) }
    }

    /// Where a message is, told to its sender.
    pub(crate) fn steps_response(steps: &Steps) -> v1::TraceMessageResponse {
        let it = &steps.message;
        let made = crate::chat::steps(steps).into_iter();
        v1::TraceMessageResponse {
            message: Some(message(it.from, it, steps.status())),
            steps: made
                .map(|(step, at)| v1::MessageStep { step: step.to_owned(), at: at.0 })
                .collect(),
        }
    }

    /// One answer.
    #[inline]
    pub(crate) fn ingest_response(receipt: Receipt, at: Millis) -> v1::IngestResponse {
        v1::IngestResponse { timestamp: at.0, id: receipt.id, new: receipt.new }
    }

    /// The answers to a batch.
    pub(crate) fn batch_response(ingested: Ingested) -> v1::IngestBatchResponse {
        let Ingested { receipts, at } = ingested;
        let results = receipts.into_iter().map(|receipt| ingest_response(receipt, at));
        v1::IngestBatchResponse { results: results.collect() }
    }
}
