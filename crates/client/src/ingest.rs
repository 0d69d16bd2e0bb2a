//! Ingest: record a (tenant, key) once.

use switchboard_proto::v1::{
    IngestBatchRequest, IngestRequest, IngestResponse, SessionIngestResponse,
    ingest_service_client::IngestServiceClient,
};
use tokio_stream::{Stream, StreamExt as _};

use crate::{Client, Error, retry};

/// The most keys in one batch.
pub const BATCH_KEYS_MAX: usize = 10_000;

/// What the node says of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// When this request was processed, in milliseconds since the Unix epoch.
    pub timestamp: i64,
    /// The number of the key, from 1, over all tenants.
    pub id: u64,
    /// Whether this request recorded it, rather than an earlier one. After a retry that is the
    /// first try's doing, and the answer is `false`.
    pub new: bool,
}

impl From<IngestResponse> for Receipt {
    fn from(it: IngestResponse) -> Self {
        Self { timestamp: it.timestamp, id: it.id, new: it.new }
    }
}

impl From<SessionIngestResponse> for Receipt {
    fn from(it: SessionIngestResponse) -> Self {
        Self { timestamp: it.timestamp, id: it.id, new: it.new }
    }
}

impl Client {
    /// Records one key: `K-`, five of `0-9a-z`, `-`, one of `A-Z`. Durable when this returns.
    ///
    /// # Errors
    ///
    /// `invalid_key`, `invalid_tenant`; `unavailable` when the node took nothing until the timeout.
    pub async fn ingest(&self, key: &str) -> Result<Receipt, Error> {
        let request = IngestRequest { tenant: self.tenant.to_string(), key: key.to_owned() };
        let service = IngestServiceClient::new(self.channel()?);
        let answer = retry::until(self.timeout, || {
            let (mut service, request) = (service.clone(), request.clone());
            async move { service.ingest(request).await }
        });
        Ok(answer.await?.into_inner().into())
    }

    /// Records 1 to 10,000 keys: all, or none. One receipt for each, in order.
    ///
    /// # Errors
    ///
    /// Those of [`Client::ingest`], with the index of a malformed key; `invalid_request` for no
    /// keys, `too_large` for too many.
    pub async fn ingest_batch<K: AsRef<str>>(&self, keys: &[K]) -> Result<Vec<Receipt>, Error> {
        let keys = keys.iter().map(|key| key.as_ref().to_owned()).collect();
        let request = IngestBatchRequest { tenant: self.tenant.to_string(), keys };
        let service = IngestServiceClient::new(self.channel()?);
        let answer = retry::until(self.timeout, || {
            let (mut service, request) = (service.clone(), request.clone());
            async move { service.ingest_batch(request).await }
        });
        Ok(answer.await?.into_inner().results.into_iter().map(Receipt::from).collect())
    }

    /// Records keys as they come, and gives the receipts in the order of the keys. Keys are sent
    /// ahead of their receipts; the node bounds how many. The fastest way to record many.
    ///
    /// A malformed key ends the stream with its error, after the receipts before it. A stream that
    /// broke is not taken up again by itself: repeat the keys that have no receipt.
    ///
    /// # Errors
    ///
    /// `unavailable` when the node can't be reached; those of [`Client::ingest`] from the stream.
    pub async fn ingest_stream<S: Stream<Item = String> + Send + 'static>(
        &self,
        keys: S,
    ) -> Result<impl Stream<Item = Result<Receipt, Error>> + Unpin + use<S>, Error> {
        let tenant = self.tenant.to_string();
        let requests = keys.map(move |key| IngestRequest { tenant: tenant.clone(), key });
        let answers = IngestServiceClient::new(self.channel()?).ingest_stream(requests).await?;
        Ok(answers.into_inner().map(|answer| match answer {
            Ok(answer) => Ok(answer.into()),
            Err(status) => Err(status.into()),
        }))
    }
}
