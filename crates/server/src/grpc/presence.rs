//! `switchboard.v1.StatusReader`, `switchboard.v1.ReportService` and the fixed contract
//! `tenten.interview.StatusReader`.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures_core::Stream;
use futures_util::stream;
use switchboard_core::{ClientId, Code, Error, Result, Tenant, presence::Count};
use switchboard_proto::{
    tenten::interview::{
        FetchOnlineUsersInLast3MinsRequest, FetchOnlineUsersInLast3MinsResponse,
        status_reader_server::StatusReader as FixedReader,
    },
    v1::{
        CountOnlineRequest, CountOnlineResponse, GetClientRequest, GetClientResponse,
        HistoryRequest, HistoryResponse, ReportRequest, ReportResponse,
        report_service_server::ReportService, status_reader_server::StatusReader,
    },
};
use tokio::time;
use tonic::{Request, Response, Status};

use crate::{
    caller::Caller,
    door::Entrance,
    node::Node,
    presence::{Online, Tally},
    status, wire,
};

/// How often a watched count is looked at.
const WATCH: Duration = Duration::from_millis(250);

/// Presence over gRPC.
#[derive(Clone, Debug)]
pub(crate) struct Presence(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// None on a node without the role.
    tally: Option<Arc<Tally>>,
    count: Entrance,
    watch: Entrance,
    client: Entrance,
    history: Entrance,
    report: Entrance,
}

impl Presence {
    pub(crate) fn new(node: &Node, tally: Option<Arc<Tally>>) -> Self {
        let entrance = |operation| Entrance::new(node, "presence", operation, "grpc");
        Self(Arc::new(Inner {
            tally,
            count: entrance("count"),
            watch: entrance("watch"),
            client: entrance("client"),
            history: entrance("history"),
            report: entrance("report"),
        }))
    }

    fn tally(&self) -> Result<&Arc<Tally>> {
        tally(self.0.tally.as_ref())
    }
}

/// The status service, if this node has the role.
pub(crate) fn tally(tally: Option<&Arc<Tally>>) -> Result<&Arc<Tally>> {
    tally.ok_or_else(|| {
        let what = "this node does not know who is online: ask one with the role status";
        Error::new(Code::Unavailable, what)
    })
}

/// Whose clients are counted; none for all.
fn counted(caller: Caller, request: &CountOnlineRequest) -> Result<Option<Tenant>> {
    match (request.all_tenants, request.tenant.as_str()) {
        (true, "") => caller.all_tenants().map(|()| None),
        (true, _) => {
            let what = "all_tenants and a tenant: ask for one or the other";
            Err(Error::new(Code::InvalidRequest, what))
        }
        (false, tenant) => caller.tenant(tenant).map(Some),
    }
}

fn refused(error: &Error) -> Status {
    status::grpc(error)
}

#[tonic::async_trait]
impl StatusReader for Presence {
    type WatchOnlineStream =
        Pin<Box<dyn Stream<Item = Result<CountOnlineResponse, Status>> + Send>>;

    async fn count_online(
        &self,
        request: Request<CountOnlineRequest>,
    ) -> Result<Response<CountOnlineResponse>, Status> {
        let asked = request.get_ref();
        let work = |caller: Caller| async move {
            let tenant = counted(caller, asked)?;
            self.tally()?.count(tenant.as_ref())
        };
        let online = self.0.count.pass(request.metadata().as_ref(), work).await;
        let online = online.map_err(|error| refused(&error))?;
        Ok(Response::new(wire::to::count_response(&online)))
    }

    async fn watch_online(
        &self,
        request: Request<CountOnlineRequest>,
    ) -> Result<Response<Self::WatchOnlineStream>, Status> {
        let asked = request.get_ref();
        let work = |caller: Caller| async move {
            let tenant = counted(caller, asked)?;
            let tally = Arc::clone(self.tally()?);
            tally.count(tenant.as_ref())?;
            Ok(watch(tally, tenant))
        };
        let watched = self.0.watch.pass(request.metadata().as_ref(), work).await;
        watched.map(Response::new).map_err(|error| refused(&error))
    }

    async fn get_client(
        &self,
        request: Request<GetClientRequest>,
    ) -> Result<Response<GetClientResponse>, Status> {
        let (metadata, _, GetClientRequest { tenant, client }) = request.into_parts();
        let work = |caller: Caller| async move {
            let (tenant, client) = (caller.tenant(&tenant)?, ClientId::new(&client)?);
            let seen = self.tally()?.client(&tenant, &client)?;
            Ok(wire::to::client_response(&client, &seen))
        };
        let found = self.0.client.pass(metadata.as_ref(), work).await;
        found.map(Response::new).map_err(|error| refused(&error))
    }

    async fn history(
        &self,
        request: Request<HistoryRequest>,
    ) -> Result<Response<HistoryResponse>, Status> {
        let (metadata, _, HistoryRequest { tenant, minutes }) = request.into_parts();
        let work = |caller: Caller| async move {
            self.tally()?.history(&caller.tenant(&tenant)?, minutes)
        };
        let points = self.0.history.pass(metadata.as_ref(), work).await;
        let points = points.map_err(|error| refused(&error))?;
        Ok(Response::new(wire::to::history_response(&points)))
    }
}

/// The count now, and each time it has changed.
fn watch(
    tally: Arc<Tally>,
    tenant: Option<Tenant>,
) -> Pin<Box<dyn Stream<Item = Result<CountOnlineResponse, Status>> + Send>> {
    let looks = time::interval(WATCH);
    let told: Option<Count> = None;
    Box::pin(stream::try_unfold((tally, tenant, looks, told), async |watch| {
        let (tally, tenant, mut looks, told) = watch;
        loop {
            looks.tick().await;
            let online = tally.count(tenant.as_ref()).map_err(|error| refused(&error))?;
            if told != Some(online.count) {
                let answer = wire::to::count_response(&online);
                return Ok(Some((answer, (tally, tenant, looks, Some(online.count)))));
            }
        }
    }))
}

#[tonic::async_trait]
impl ReportService for Presence {
    async fn report(
        &self,
        request: Request<ReportRequest>,
    ) -> Result<Response<ReportResponse>, Status> {
        let (metadata, _, report) = request.into_parts();
        let work = |caller: Caller| async move {
            caller.all_tenants()?;
            let report = wire::from::report(report)?;
            self.tally()?.take(report).await
        };
        let taken = self.0.report.pass(metadata.as_ref(), work).await;
        taken.map_err(|error| refused(&error))?;
        Ok(Response::new(ReportResponse {}))
    }
}

#[tonic::async_trait]
impl FixedReader for Presence {
    async fn fetch_online_users_in_last3_mins(
        &self,
        request: Request<FetchOnlineUsersInLast3MinsRequest>,
    ) -> Result<Response<FetchOnlineUsersInLast3MinsResponse>, Status> {
        let metadata = request.metadata();
        let work = |caller: Caller| async move {
            let tenant = match metadata.get("switchboard-tenant").map(|named| named.to_str()) {
                Some(Ok(named)) => caller.tenant(named)?,
                Some(Err(_)) => caller.tenant("")?,
                None => caller.tenant("default")?,
            };
            self.tally()?.count(Some(&tenant))
        };
        let Online { count, .. } =
            self.0.count.pass(metadata.as_ref(), work).await.map_err(|error| refused(&error))?;
        Ok(Response::new(FetchOnlineUsersInLast3MinsResponse { online_users: count.online }))
    }
}
