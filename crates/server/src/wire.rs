//! Between the rules' types and the wire's. The only place that knows both.

pub(crate) mod frame;
pub(crate) mod json;

/// From the wire: parse, and refuse what can't be right.
pub(crate) mod from {
    use switchboard_core::{Result, ingest::Entry};
    use switchboard_proto::v1;

    use crate::caller::Caller;

    /// One request of a stream.
    #[inline]
    pub(crate) fn entry(caller: Caller, request: &v1::IngestRequest) -> Result<Entry> {
        Ok(Entry { tenant: caller.tenant(&request.tenant)?, key: request.key.parse()? })
    }
}

/// To the wire: can't fail.
pub(crate) mod to {
    use switchboard_core::{Millis, ingest::Receipt};
    use switchboard_proto::v1;

    use crate::node::Ingested;

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
