//! Between the rules' types and the wire's. The only place that knows both.

pub(crate) mod frame;
pub(crate) mod json;

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
