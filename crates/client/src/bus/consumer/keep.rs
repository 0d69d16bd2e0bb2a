//! The task of a consumer: holds its call, and makes another when it breaks.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use switchboard_proto::v1::{
    ConsumeRequest, ConsumeResponse, ConsumeStart, SettleRequest, SettleResponse,
    bus_service_client::BusServiceClient, consume_request, consume_response,
};
use tokio::{sync::mpsc, time};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming, transport::Channel};

use super::{
    super::{Delivery, resume::Resume},
    shared::{Shared, Verdict, Waiting},
};
use crate::Error;

/// Settlements on their way to the connection; HTTP/2 has its own limit behind them.
const SENT_MAX: usize = 16;

/// Settlements that wait for their answers.
const ANSWERS_MAX: usize = 256;

/// What the task of a consumer knows.
pub(super) struct Keeper {
    pub(super) shared: Arc<Shared>,
    pub(super) service: BusServiceClient<Channel>,
    pub(super) tenant: String,
    pub(super) queue: String,
    pub(super) prefetch: u32,
    /// How long opening may take.
    pub(super) timeout: Duration,
}

/// A call that has begun.
pub(super) struct Opened {
    answers: Streaming<ConsumeResponse>,
    requests: mpsc::Sender<ConsumeRequest>,
}

/// Settlements that were sent, in order.
type Sent = VecDeque<Vec<Waiting>>;

impl Keeper {
    /// Makes the call, and waits until the node says that the queue is there.
    pub(super) fn open(&self) -> impl Future<Output = Result<Opened, Status>> + Send + use<> {
        let mut service = self.service.clone();
        let (tenant, queue) = (self.tenant.clone(), self.queue.clone());
        let start = ConsumeStart { tenant, queue, prefetch: self.prefetch };
        async move {
            let (requests, sent) = mpsc::channel(SENT_MAX);
            let start = ConsumeRequest { what: Some(consume_request::What::Start(start)) };
            // There is room for one.
            let _ = requests.try_send(start);
            let mut answers = service.consume(ReceiverStream::new(sent)).await?.into_inner();
            match answers.message().await? {
                Some(ConsumeResponse { what: Some(consume_response::What::Consuming(_)) }) => {
                    Ok(Opened { answers, requests })
                }
                Some(_) => Err(Status::internal("something came before the queue was there")),
                None => Err(Status::unavailable("the node ended the call before it began")),
            }
        }
    }

    /// Holds calls until the consumer is closed, or refused.
    pub(super) async fn keep(self, opened: Opened) {
        // Whatever the end, a defect of a callback included: nobody waits in vain.
        let _ended = Ended(Arc::clone(&self.shared));
        let told = Arc::clone(&self.shared);
        let mut resume = Resume::new();
        resume.tell(Arc::new(move |it| told.broke(it)));
        let mut opened = Some(opened);
        loop {
            let status = match opened.take() {
                Some(opened) => {
                    resume.opened();
                    let mut sent = Sent::new();
                    let held = self.hold(opened, &mut sent, &mut resume).await;
                    self.shared.broken(sent.into_iter().flatten());
                    match held {
                        Ok(()) => return self.shared.end(None),
                        Err(status) => status,
                    }
                }
                None => match time::timeout(self.timeout, self.open()).await {
                    Ok(Ok(again)) => {
                        opened = Some(again);
                        continue;
                    }
                    Ok(Err(status)) => status,
                    Err(_) => {
                        Status::unavailable(format!("there was no answer in {:?}", self.timeout))
                    }
                },
            };
            match resume.broke(status) {
                Ok(pause) => tokio::select! {
                    () = time::sleep(pause) => {}
                    () = self.closing() => return self.shared.end(None),
                },
                Err(error) => return self.shared.end(Some(error)),
            }
        }
    }

    /// Waits until the consumer is asked to end.
    async fn closing(&self) {
        while !self.shared.is_closing() {
            self.shared.woken().await;
        }
    }

    /// One call, from its beginning until it breaks or, in good order, until all is settled.
    async fn hold(
        &self,
        Opened { mut answers, requests }: Opened,
        sent: &mut Sent,
        resume: &mut Resume,
    ) -> Result<(), Status> {
        loop {
            let any_to_settle = self.shared.any_to_settle();
            if self.shared.is_closing() && !any_to_settle && sent.is_empty() {
                return Ok(());
            }
            tokio::select! {
                answer = answers.message() => {
                    let answer = answer?.and_then(|answer| answer.what);
                    match answer {
                        Some(consume_response::What::Delivery(it)) => {
                            let internal = |error: Error| Status::internal(error.to_string());
                            let delivery = Delivery::try_from(it).map_err(internal)?;
                            resume.came();
                            self.shared.arrived(delivery);
                        }
                        Some(consume_response::What::Settled(settled)) => {
                            let batch = sent.pop_front();
                            let batch = batch.ok_or_else(|| Status::internal("what was settled?"))?;
                            tell(batch, settled);
                        }
                        Some(consume_response::What::Consuming(_)) => {}
                        None => return Err(Status::unavailable("the node ended the call")),
                    }
                }
                place = requests.reserve(), if any_to_settle && sent.len() < ANSWERS_MAX => {
                    let gone = |_| Status::unavailable("the node does not listen any more");
                    let place = place.map_err(gone)?;
                    if let Some((verdict, batch)) = self.shared.batch() {
                        place.send(settle(verdict, &batch));
                        sent.push_back(batch);
                    }
                }
                () = self.shared.woken() => {}
            }
        }
    }
}

/// The request that settles these.
fn settle(verdict: Verdict, batch: &[Waiting]) -> ConsumeRequest {
    let ids = batch.iter().map(|waiting| waiting.id.clone()).collect();
    let settle = match verdict {
        Verdict::Ack => SettleRequest { ack: ids, ..SettleRequest::default() },
        Verdict::Nack { delay_ms, reason } => {
            SettleRequest { nack: ids, delay_ms, reason, ..SettleRequest::default() }
        }
    };
    ConsumeRequest { what: Some(consume_request::What::Settle(settle)) }
}

/// Tells whoever waits what became of his delivery.
fn tell(batch: Vec<Waiting>, settled: SettleResponse) {
    let refused: BTreeMap<String, String> =
        settled.refused.into_iter().map(|it| (it.delivery, it.code)).collect();
    for Waiting { id, answer, .. } in batch {
        let outcome = match refused.get(&id) {
            None => Ok(()),
            Some(code) if code == "conflict" => {
                Err(Error::new(code, "the time of this delivery was up: the event comes again"))
            }
            Some(code) => Err(Error::new(code, "this delivery was settled before, or never was")),
        };
        // Whoever gave up does not care.
        let _ = answer.send(outcome);
    }
}

/// Ends the consumer when its task does.
struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.end(Some(Error::new("unavailable", "the consumer has ended")));
        self.0.broken([]);
    }
}
