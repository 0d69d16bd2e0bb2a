//! A node whose bus a test plays: calls are noted and answered as told, streams are the test's.

use std::{
    collections::VecDeque,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use switchboard_client::Client;
use switchboard_proto::v1::{
    ConsumeRequest, ConsumeResponse, ConsumeStart, Consuming, CreateQueueRequest,
    CreateQueueResponse, DeleteQueueRequest, DeleteQueueResponse, Delivery, Event, GetQueueRequest,
    ListQueuesRequest, ListQueuesResponse, PublishRequest, PublishResponse, PullRequest,
    PullResponse, Queue, QueueSettings, ReadEventsRequest, ReadEventsResponse, RefusedDelivery,
    SettleRequest, SettleResponse, SubscribeRequest, SubscribeResponse, Subscribed,
    bus_service_server::{BusService, BusServiceServer},
    consume_request, consume_response, subscribe_response,
};
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
    sync::mpsc,
    time,
};
use tokio_stream::{
    Stream, StreamExt as _,
    wrappers::{ReceiverStream, TcpListenerStream},
};
use tonic::{Code, Request, Response, Status, Streaming, transport::Server};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::gateway::DEADLINE;

/// After how long without progress a connection takes no more.
const FLOODED: Duration = Duration::from_millis(200);

/// A running node, which ends when this is dropped.
pub(super) struct Node {
    pub(super) address: SocketAddr,
    pub(super) asked: Arc<Asked>,
    readers: mpsc::Receiver<Reader>,
    workers: mpsc::Receiver<Worker>,
    /// Where it runs: its connections end with it.
    runtime: Option<Runtime>,
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// What was asked, and what the next calls are answered.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) publishes: Mutex<Vec<PublishRequest>>,
    pub(super) reads: Mutex<Vec<ReadEventsRequest>>,
    pub(super) creates: Mutex<Vec<CreateQueueRequest>>,
    pub(super) pulls: Mutex<Vec<PullRequest>>,
    pub(super) settles: Mutex<Vec<SettleRequest>>,
    pub(super) troubles: Mutex<VecDeque<Status>>,
    /// After how many answers a stream of publishes ends.
    ends_after: Mutex<Option<usize>>,
}

impl Asked {
    pub(super) fn ends_after(&self, answers: usize) {
        *self.ends_after.lock().unwrap() = Some(answers);
    }
}

/// The node's end of a subscription.
pub(super) struct Reader {
    pub(super) request: SubscribeRequest,
    replies: mpsc::Sender<Result<SubscribeResponse, Status>>,
}

/// The node's end of a consumer.
pub(super) struct Worker {
    requests: Streaming<ConsumeRequest>,
    replies: mpsc::Sender<Result<ConsumeResponse, Status>>,
}

impl Node {
    pub(super) async fn start() -> Self {
        Self::at((Ipv4Addr::LOCALHOST, 0).into()).await
    }

    /// Listens where another did.
    pub(super) async fn at(address: SocketAddr) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listening = runtime.spawn(TcpListener::bind(address));
        let listener = listening.await.unwrap().unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Asked::default());
        let (subscribed, readers) = mpsc::channel(64);
        let (consumed, workers) = mpsc::channel(64);
        let service = Service { asked: Arc::clone(&asked), subscribed, consumed };
        let serving = Server::builder()
            .add_service(BusServiceServer::new(service))
            .serve_with_incoming(TcpListenerStream::new(listener));
        runtime.spawn(async { serving.await.unwrap() });
        Self { address, asked, readers, workers, runtime: Some(runtime) }
    }

    pub(super) fn client(&self) -> Client {
        client(self.address)
    }

    /// The next calls are answered with these.
    pub(super) fn trouble(&self, troubles: impl IntoIterator<Item = Status>) {
        self.asked.troubles.lock().unwrap().extend(troubles);
    }

    /// The next subscription.
    pub(super) async fn reader(&mut self) -> Reader {
        let reader = time::timeout(DEADLINE, self.readers.recv()).await;
        reader.expect("nobody subscribes").unwrap()
    }

    /// The next subscription, which begins behind what it asks for.
    pub(super) async fn begun(&mut self) -> Reader {
        let reader = self.reader().await;
        reader.begin(&reader.request.after).await;
        reader
    }

    /// The next subscription, which begins at this place.
    pub(super) async fn begun_at(&mut self, cursor: &str) -> Reader {
        let reader = self.reader().await;
        reader.begin(cursor).await;
        reader
    }

    /// The next consumer.
    pub(super) async fn worker(&mut self) -> Worker {
        let worker = time::timeout(DEADLINE, self.workers.recv()).await;
        worker.expect("nobody consumes").unwrap()
    }

    /// The next consumer, whose queue is there, and how it begins.
    pub(super) async fn consuming(&mut self) -> (Worker, ConsumeStart) {
        let mut worker = self.worker().await;
        let start = match worker.hear().await {
            Some(consume_request::What::Start(start)) => start,
            other => panic!("{other:?} instead of a start"),
        };
        worker.say(consume_response::What::Consuming(Consuming {})).await;
        (worker, start)
    }
}

/// A client of the node at an address, for the tenant `t`.
pub(super) fn client(address: SocketAddr) -> Client {
    Client::new(&format!("http://{address}")).unwrap().with_tenant("t")
}

impl Reader {
    pub(super) async fn begin(&self, cursor: &str) {
        let subscribed = Subscribed { cursor: cursor.to_owned() };
        self.say(subscribe_response::What::Subscribed(subscribed)).await;
    }

    pub(super) async fn events(&self, sequences: impl IntoIterator<Item = u64>) {
        for sequence in sequences {
            self.say(subscribe_response::What::Event(event(sequence))).await;
        }
    }

    pub(super) async fn say(&self, what: subscribe_response::What) {
        self.replies.send(Ok(SubscribeResponse { what: Some(what) })).await.unwrap();
    }

    /// As many large events as the connection takes.
    pub(super) async fn flood(&self) {
        let data = vec![0; 1024 * 1024];
        for sequence in 1.. {
            let event = Event { data: data.clone(), ..event(sequence) };
            let answer = SubscribeResponse { what: Some(subscribe_response::What::Event(event)) };
            let sent = time::timeout(FLOODED, self.replies.send(Ok(answer))).await;
            if sent.is_err() {
                return;
            }
        }
    }

    pub(super) async fn fail(self, status: Status) {
        self.replies.send(Err(status)).await.unwrap();
    }

    /// Waits until the client has gone.
    pub(super) async fn left(self) {
        time::timeout(DEADLINE, self.replies.closed()).await.expect("the client stays");
    }
}

impl Worker {
    /// What comes next; none at the end, in good order or not.
    pub(super) async fn hear(&mut self) -> Option<consume_request::What> {
        let message = time::timeout(DEADLINE, self.requests.message()).await;
        message.expect("nothing comes").unwrap_or(None)?.what
    }

    pub(super) async fn settle(&mut self) -> SettleRequest {
        match self.hear().await {
            Some(consume_request::What::Settle(settle)) => settle,
            other => panic!("{other:?} instead of a settlement"),
        }
    }

    pub(super) async fn say(&self, what: consume_response::What) {
        self.replies.send(Ok(ConsumeResponse { what: Some(what) })).await.unwrap();
    }

    pub(super) async fn deliver(&self, sequences: impl IntoIterator<Item = u64>) {
        for sequence in sequences {
            self.say(consume_response::What::Delivery(delivery(sequence))).await;
        }
    }

    pub(super) async fn settled(&self, done: u32, refused: &[(&str, &str)]) {
        let refused = refused.iter().map(|(delivery, code)| RefusedDelivery {
            delivery: (*delivery).to_owned(),
            code: (*code).to_owned(),
        });
        let settled = SettleResponse { done, refused: refused.collect() };
        self.say(consume_response::What::Settled(settled)).await;
    }

    pub(super) async fn fail(self, status: Status) {
        self.replies.send(Err(status)).await.unwrap();
    }
}

/// What a node of ours says when it refuses.
pub(super) fn refusal(reason: &str) -> Status {
    let code = match reason {
        "unavailable" => Code::Unavailable,
        "too_many_requests" | "slow_consumer" => Code::ResourceExhausted,
        "cursor_expired" | "not_found" => Code::NotFound,
        "conflict" => Code::Aborted,
        _ => Code::InvalidArgument,
    };
    let details = ErrorDetails::with_error_info(reason, "switchboard", []);
    Status::with_error_details(code, "as the test says", details)
}

/// An event of the topic `a.b`.
pub(super) fn event(sequence: u64) -> Event {
    Event {
        sequence,
        topic: "a.b".to_owned(),
        r#type: "c".to_owned(),
        data: format!("data of {sequence}").into_bytes(),
        at: 5,
        ..Event::default()
    }
}

/// The first delivery of an event.
pub(super) fn delivery(sequence: u64) -> Delivery {
    let delivery = format!("d{sequence}");
    Delivery { delivery, attempt: 1, event: Some(event(sequence)), until: 9 }
}

/// A queue with what the node filled in.
pub(super) fn queue(name: &str, settings: Option<QueueSettings>) -> Queue {
    let settings = settings.unwrap_or_default();
    Queue {
        queue: name.to_owned(),
        settings: Some(QueueSettings { ack_timeout_ms: 30_000, max_deliveries: 10, ..settings }),
        depth: 3,
        in_flight: 2,
        oldest_at: Some(7),
        dead_lettered: 1,
        acknowledged: 4,
        redelivered: 6,
        oldest_age_ms: Some(8),
    }
}

struct Service {
    asked: Arc<Asked>,
    subscribed: mpsc::Sender<Reader>,
    consumed: mpsc::Sender<Worker>,
}

impl Service {
    fn trouble(&self) -> Result<(), Status> {
        self.asked.troubles.lock().unwrap().pop_front().map_or(Ok(()), Err)
    }

    fn publish(&self, request: PublishRequest) -> Result<PublishResponse, Status> {
        let ephemeral = request.ephemeral;
        let sequence = {
            let mut publishes = self.asked.publishes.lock().unwrap();
            publishes.push(request);
            publishes.len() as u64
        };
        self.trouble()?;
        Ok(PublishResponse { sequence: if ephemeral { 0 } else { sequence }, new: true })
    }
}

#[tonic::async_trait]
impl BusService for Service {
    type PublishStreamStream = Pin<Box<dyn Stream<Item = Result<PublishResponse, Status>> + Send>>;
    type SubscribeStream = ReceiverStream<Result<SubscribeResponse, Status>>;
    type ConsumeStream = ReceiverStream<Result<ConsumeResponse, Status>>;

    async fn publish(
        &self,
        request: Request<PublishRequest>,
    ) -> Result<Response<PublishResponse>, Status> {
        Service::publish(self, request.into_inner()).map(Response::new)
    }

    async fn publish_stream(
        &self,
        request: Request<Streaming<PublishRequest>>,
    ) -> Result<Response<Self::PublishStreamStream>, Status> {
        self.trouble()?;
        let (asked, subscribed) = (Arc::clone(&self.asked), self.subscribed.clone());
        let service = Service { asked, subscribed, consumed: self.consumed.clone() };
        let ends_after = self.asked.ends_after.lock().unwrap().unwrap_or(usize::MAX);
        let answers = request.into_inner().map(move |request| service.publish(request?));
        let answers = answers.take(ends_after);
        Ok(Response::new(Box::pin(answers)))
    }

    async fn read_events(
        &self,
        request: Request<ReadEventsRequest>,
    ) -> Result<Response<ReadEventsResponse>, Status> {
        self.asked.reads.lock().unwrap().push(request.into_inner());
        self.trouble()?;
        let (events, next_cursor) = (vec![event(1), event(4)], "behind 9".to_owned());
        Ok(Response::new(ReadEventsResponse { events, next_cursor }))
    }

    async fn subscribe(
        &self,
        request: Request<SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        self.trouble()?;
        let (replies, answers) = mpsc::channel(16);
        let reader = Reader { request: request.into_inner(), replies };
        self.subscribed.send(reader).await.map_err(|_| Status::unavailable("over"))?;
        Ok(Response::new(ReceiverStream::new(answers)))
    }

    async fn create_queue(
        &self,
        request: Request<CreateQueueRequest>,
    ) -> Result<Response<CreateQueueResponse>, Status> {
        let request = request.into_inner();
        let queue = queue(&request.queue, request.settings.clone());
        self.asked.creates.lock().unwrap().push(request);
        self.trouble()?;
        Ok(Response::new(CreateQueueResponse { queue: Some(queue), new: true }))
    }

    async fn get_queue(
        &self,
        request: Request<GetQueueRequest>,
    ) -> Result<Response<Queue>, Status> {
        self.trouble()?;
        Ok(Response::new(queue(&request.into_inner().queue, None)))
    }

    async fn list_queues(
        &self,
        _: Request<ListQueuesRequest>,
    ) -> Result<Response<ListQueuesResponse>, Status> {
        self.trouble()?;
        let queues = ["mail", "push"].map(|name| queue(name, None)).into();
        Ok(Response::new(ListQueuesResponse { queues }))
    }

    async fn delete_queue(
        &self,
        _: Request<DeleteQueueRequest>,
    ) -> Result<Response<DeleteQueueResponse>, Status> {
        self.trouble()?;
        Ok(Response::new(DeleteQueueResponse { deleted: true }))
    }

    async fn pull(&self, request: Request<PullRequest>) -> Result<Response<PullResponse>, Status> {
        self.asked.pulls.lock().unwrap().push(request.into_inner());
        self.trouble()?;
        Ok(Response::new(PullResponse { deliveries: vec![delivery(1), delivery(2)] }))
    }

    async fn settle(
        &self,
        request: Request<SettleRequest>,
    ) -> Result<Response<SettleResponse>, Status> {
        let request = request.into_inner();
        let known = |id: &String| id.starts_with('d');
        let (done, refused): (Vec<_>, Vec<_>) =
            request.ack.iter().chain(&request.nack).cloned().partition(known);
        self.asked.settles.lock().unwrap().push(request);
        self.trouble()?;
        let code = "not_found".to_owned();
        let refused = refused.into_iter();
        let refused = refused.map(|delivery| RefusedDelivery { delivery, code: code.clone() });
        let done = u32::try_from(done.len()).unwrap();
        Ok(Response::new(SettleResponse { done, refused: refused.collect() }))
    }

    async fn consume(
        &self,
        request: Request<Streaming<ConsumeRequest>>,
    ) -> Result<Response<Self::ConsumeStream>, Status> {
        self.trouble()?;
        let (replies, answers) = mpsc::channel(16);
        let worker = Worker { requests: request.into_inner(), replies };
        self.consumed.send(worker).await.map_err(|_| Status::unavailable("over"))?;
        Ok(Response::new(ReceiverStream::new(answers)))
    }
}
