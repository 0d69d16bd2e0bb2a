//! The status service of another node.

use std::{pin::Pin, time::Duration};

use switchboard_core::{Code, Error, Result, presence::Report};
use switchboard_proto::v1::report_service_client::ReportServiceClient;
use tonic::{
    Request,
    transport::{Channel, Endpoint},
};

use super::Reports;
use crate::{telemetry, wire};

/// How long a report may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Sends reports to another node by gRPC.
#[derive(Clone, Debug)]
pub(crate) struct Remote(ReportServiceClient<Channel>);

impl Remote {
    /// The node at a URL; connects when it is first needed, and again by itself.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidRequest`] when it is no URL.
    pub(crate) fn new(url: &str) -> Result<Self> {
        let endpoint = Endpoint::from_shared(url.to_owned()).map_err(|error| {
            let what = format!("{url:?} is no URL of a node");
            Error::new(Code::InvalidRequest, what).caused_by(error)
        })?;
        let channel = endpoint
            .tcp_nodelay(true)
            .connect_timeout(TIMEOUT)
            .timeout(TIMEOUT)
            .http2_keep_alive_interval(Duration::from_secs(20))
            .connect_lazy();
        Ok(Self(ReportServiceClient::new(channel)))
    }
}

impl Reports for Remote {
    fn report(&self, report: Report) -> Pin<Box<dyn Future<Output = Result<()>> + Send>> {
        let mut client = self.0.clone();
        let mut request = Request::new(wire::to::report(report));
        telemetry::inject_parent(request.metadata_mut());
        Box::pin(async move {
            let taken = client.report(request).await;
            taken.map(|_| ()).map_err(|status| {
                let what = format!("the status node did not take a report: {}", status.message());
                Error::new(Code::Unavailable, what)
            })
        })
    }
}
