//! Presence: who is online.

use switchboard_proto::v1::{
    CountOnlineRequest, CountOnlineResponse, GetClientRequest, HistoryRequest,
    status_reader_client::StatusReaderClient,
};
use tokio_stream::{Stream, StreamExt as _};

use crate::{Client, Error, retry, session::Status};

/// How many clients are online.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Online {
    /// Unique clients seen `EVEN` or `ODD` in the window.
    pub online: u64,
    /// Sessions open, as the gateways last reported.
    pub connected: u64,
    /// The length of the window, in seconds.
    pub window_seconds: u32,
    /// When this was true, in milliseconds since the Unix epoch.
    pub as_of: i64,
}

/// What is known of one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Whether it was seen in the window.
    pub online: bool,
    /// What it reported last.
    pub status: Status,
    /// When it last reported `EVEN` or `ODD`, in milliseconds since the Unix epoch, if that is
    /// known; to within the interval of the reports.
    pub last_seen: Option<i64>,
    /// Its sessions, as the gateways last reported.
    pub sessions: u32,
}

/// One minute of the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// Its beginning, in milliseconds since the Unix epoch.
    pub at: i64,
    /// How many were online then.
    pub online: u64,
}

impl From<CountOnlineResponse> for Online {
    fn from(it: CountOnlineResponse) -> Self {
        let CountOnlineResponse { online, connected, window_seconds, as_of } = it;
        Self { online, connected, window_seconds, as_of }
    }
}

impl Client {
    /// How many clients of the tenant are online now.
    ///
    /// # Errors
    ///
    /// `invalid_tenant`; `unavailable` when the node does not know.
    pub async fn online(&self) -> Result<Online, Error> {
        self.count(CountOnlineRequest { tenant: self.tenant.to_string(), all_tenants: false }).await
    }

    /// How many clients of all tenants are online now.
    ///
    /// # Errors
    ///
    /// `unavailable` when the node does not know.
    pub async fn online_of_all(&self) -> Result<Online, Error> {
        self.count(CountOnlineRequest { tenant: String::new(), all_tenants: true }).await
    }

    async fn count(&self, request: CountOnlineRequest) -> Result<Online, Error> {
        let service = StatusReaderClient::new(self.channel()?);
        let answer = retry::until(self.timeout, || {
            let (mut service, request) = (service.clone(), request.clone());
            async move { service.count_online(request).await }
        });
        Ok(answer.await?.into_inner().into())
    }

    /// The count now, and each time it has changed, until the node or the connection ends. Of all
    /// tenants if `all` is set.
    ///
    /// # Errors
    ///
    /// Those of [`Client::online`], also from the stream.
    pub async fn watch_online(
        &self,
        all: bool,
    ) -> Result<impl Stream<Item = Result<Online, Error>> + Unpin + use<>, Error> {
        let tenant = if all { String::new() } else { self.tenant.to_string() };
        let request = CountOnlineRequest { tenant, all_tenants: all };
        let watched = StatusReaderClient::new(self.channel()?).watch_online(request).await?;
        Ok(watched.into_inner().map(|online| Ok(online?.into())))
    }

    /// What is known of one client of the tenant.
    ///
    /// # Errors
    ///
    /// `invalid_tenant`, `invalid_request` for what is no client's id; `unavailable`.
    pub async fn presence_of(&self, client: &str) -> Result<Seen, Error> {
        let (tenant, client) = (self.tenant.to_string(), client.to_owned());
        let request = GetClientRequest { tenant, client };
        let service = StatusReaderClient::new(self.channel()?);
        let answer = retry::until(self.timeout, || {
            let (mut service, request) = (service.clone(), request.clone());
            async move { service.get_client(request).await }
        });
        let found = answer.await?.into_inner();
        Ok(Seen {
            online: found.online,
            status: found.status().into(),
            last_seen: found.last_seen,
            sessions: found.sessions,
        })
    }

    /// How many were online in the last `minutes` (1 to 1,440), the oldest first; minutes in which
    /// the node did not run are left out.
    ///
    /// # Errors
    ///
    /// Those of [`Client::online`]; `invalid_request` for another number of minutes.
    pub async fn online_history(&self, minutes: u32) -> Result<Vec<Point>, Error> {
        let request = HistoryRequest { tenant: self.tenant.to_string(), minutes };
        let service = StatusReaderClient::new(self.channel()?);
        let answer = retry::until(self.timeout, || {
            let (mut service, request) = (service.clone(), request.clone());
            async move { service.history(request).await }
        });
        let points = answer.await?.into_inner().points;
        Ok(points.into_iter().map(|point| Point { at: point.at, online: point.online }).collect())
    }
}
