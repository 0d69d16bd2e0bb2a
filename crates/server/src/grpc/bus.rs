//! `switchboard.v1.BusService`.

mod consume;

use std::{future, pin::Pin, sync::Arc};

use futures_core::Stream;
use futures_util::{StreamExt as _, stream};
use switchboard_core::{Result, bus::Since};
use switchboard_proto::v1::{
    ConsumeRequest, ConsumeResponse, CreateQueueRequest, CreateQueueResponse, DeleteQueueRequest,
    DeleteQueueResponse, GetQueueRequest, ListQueuesRequest, ListQueuesResponse, PublishRequest,
    PublishResponse, PullRequest, PullResponse, Queue, ReadEventsRequest, ReadEventsResponse,
    SettleRequest, SettleResponse, SubscribeRequest, SubscribeResponse, Subscribed,
    bus_service_server::BusService, subscribe_response::What,
};
use tonic::{Request, Response, Status, Streaming};

use super::pass;
use crate::{
    bus::{Entrances, Fed, Feed, age_ms, interest, queue},
    caller::Caller,
    node::Node,
    status,
    wire::bus as wire,
};

/// How many publishes of one stream are under way at once; more are not read yet.
const STREAM_MAX: usize = 1_024;

/// The bus over gRPC.
#[derive(Clone, Debug)]
pub(crate) struct Bus(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    node: Node,
    entrances: Entrances,
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Bus {
    pub(crate) fn new(node: &Node) -> Self {
        let entrances = Entrances::new(node, "grpc");
        Self(Arc::new(Inner { node: node.clone(), entrances }))
    }

    fn node(&self) -> &Node {
        &self.0.node
    }
}

#[tonic::async_trait]
impl BusService for Bus {
    type PublishStreamStream = Answers<PublishResponse>;
    type SubscribeStream = Answers<SubscribeResponse>;
    type ConsumeStream = Answers<ConsumeResponse>;

    async fn publish(
        &self,
        request: Request<PublishRequest>,
    ) -> Result<Response<PublishResponse>, Status> {
        pass(&self.0.entrances.publish, request, |caller, sent| async move {
            let tenant = caller.tenant(&sent.tenant)?;
            let published = self.node().publish(tenant, &wire::publication(&sent)).await?;
            Ok(wire::published(published))
        })
        .await
    }

    async fn publish_stream(
        &self,
        request: Request<Streaming<PublishRequest>>,
    ) -> Result<Response<Self::PublishStreamStream>, Status> {
        let (metadata, _, sent) = request.into_parts();
        let caller = Caller::of(metadata.as_ref());
        let draining = self.node().draining.clone().cancelled_owned();
        let inner = Arc::clone(&self.0);
        let answers = sent
            .take_until(draining)
            .map(move |sent| publish_one(Arc::clone(&inner), caller, sent))
            .buffered(STREAM_MAX);
        Ok(Response::new(Box::pin(until_refused(answers))))
    }

    async fn read_events(
        &self,
        request: Request<ReadEventsRequest>,
    ) -> Result<Response<ReadEventsResponse>, Status> {
        pass(&self.0.entrances.read, request, |caller, asked| async move {
            let tenant = caller.tenant(&asked.tenant)?;
            let interest = interest(&asked.topics, &asked.types)?;
            let place = (&*asked.after, asked.limit);
            Ok(wire::page(&self.node().read_events(tenant, interest, place).await?))
        })
        .await
    }

    async fn subscribe(
        &self,
        request: Request<SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        pass(&self.0.entrances.subscribe, request, |caller, asked| async move {
            let tenant = caller.tenant(&asked.tenant)?;
            let interest = interest(&asked.topics, &asked.types)?;
            let since = Since::read(&tenant, &asked.after, Since::Now)?;
            let mut feed = Feed::new(self.node(), tenant, interest, since);
            // That there is such a place is told before the stream begins.
            let began = future::poll_fn(|context| feed.poll_next(context)).await?;
            let draining = self.node().draining.clone().cancelled_owned();
            let events = stream::iter([Ok(frame(&began))]).chain(events(feed));
            Ok(Box::pin(events.take_until(draining)) as Self::SubscribeStream)
        })
        .await
    }

    async fn create_queue(
        &self,
        request: Request<CreateQueueRequest>,
    ) -> Result<Response<CreateQueueResponse>, Status> {
        pass(&self.0.entrances.create_queue, request, |caller, asked| async move {
            let id = queue(caller.tenant(&asked.tenant)?, &asked.queue)?;
            let created = self.node().create_queue(id, &wire::wanted(&asked)?).await?;
            let age = age_ms(self.node(), &created.queue);
            Ok(wire::created(&created, age))
        })
        .await
    }

    async fn get_queue(
        &self,
        request: Request<GetQueueRequest>,
    ) -> Result<Response<Queue>, Status> {
        pass(&self.0.entrances.queue, request, |caller, asked| async move {
            let id = queue(caller.tenant(&asked.tenant)?, &asked.queue)?;
            let state = self.node().ports.log.queue(id).await?;
            Ok(wire::queue(&state, age_ms(self.node(), &state)))
        })
        .await
    }

    async fn list_queues(
        &self,
        request: Request<ListQueuesRequest>,
    ) -> Result<Response<ListQueuesResponse>, Status> {
        pass(&self.0.entrances.queues, request, |caller, asked| async move {
            let states = self.node().ports.log.queues(caller.tenant(&asked.tenant)?).await?;
            let queues = states.iter().map(|state| wire::queue(state, age_ms(self.node(), state)));
            Ok(ListQueuesResponse { queues: queues.collect() })
        })
        .await
    }

    async fn delete_queue(
        &self,
        request: Request<DeleteQueueRequest>,
    ) -> Result<Response<DeleteQueueResponse>, Status> {
        pass(&self.0.entrances.delete_queue, request, |caller, asked| async move {
            let id = queue(caller.tenant(&asked.tenant)?, &asked.queue)?;
            let deleted = self.node().ports.log.delete_queue(id).await?;
            Ok(DeleteQueueResponse { deleted })
        })
        .await
    }

    async fn pull(&self, request: Request<PullRequest>) -> Result<Response<PullResponse>, Status> {
        pass(&self.0.entrances.pull, request, |caller, asked| async move {
            let id = queue(caller.tenant(&asked.tenant)?, &asked.queue)?;
            let pulled = self.node().pull(id.clone(), asked.max, asked.wait_ms).await?;
            let deliveries = pulled.iter().map(|delivery| wire::delivery(&id, delivery)).collect();
            Ok(PullResponse { deliveries })
        })
        .await
    }

    async fn settle(
        &self,
        request: Request<SettleRequest>,
    ) -> Result<Response<SettleResponse>, Status> {
        pass(&self.0.entrances.settle, request, |caller, asked| async move {
            let id = queue(caller.tenant(&asked.tenant)?, &asked.queue)?;
            Ok(wire::settled(self.node().settle(id, &wire::settle(&asked)).await?))
        })
        .await
    }

    async fn consume(
        &self,
        request: Request<Streaming<ConsumeRequest>>,
    ) -> Result<Response<Self::ConsumeStream>, Status> {
        let (metadata, extensions, mut sent) = request.into_parts();
        let first = sent.message().await?;
        let request = Request::from_parts(metadata, extensions, first);
        pass(&self.0.entrances.consume, request, |caller, first| async move {
            let consuming = consume::begin(self.node(), caller, first, sent).await?;
            let draining = self.node().draining.clone().cancelled_owned();
            Ok(Box::pin(consuming.take_until(draining)) as Self::ConsumeStream)
        })
        .await
    }
}

/// Publishes one event of a stream.
async fn publish_one(
    inner: Arc<Inner>,
    caller: Caller,
    sent: Result<PublishRequest, Status>,
) -> Result<PublishResponse, Status> {
    let sent = sent?;
    let passing = inner.entrances.publish_stream.begin(1);
    let published = async {
        let tenant = caller.tenant(&sent.tenant)?;
        inner.node.publish(tenant, &wire::publication(&sent)).await
    };
    let published = passing.end(published.await);
    published.map(wire::published).map_err(|error| status::grpc(&error))
}

/// Answers up to the first that is refused.
fn until_refused<T: Send>(
    answers: impl Stream<Item = Result<T, Status>> + Send,
) -> impl Stream<Item = Result<T, Status>> + Send {
    answers.scan(false, |refused, answer| {
        let over = std::mem::replace(refused, answer.is_err());
        future::ready((!over).then_some(answer))
    })
}

/// What a feed hands out, from now on.
fn events(feed: Feed) -> impl Stream<Item = Result<SubscribeResponse, Status>> + Send {
    stream::try_unfold(feed, async |mut feed| {
        let next = future::poll_fn(|context| feed.poll_next(context)).await;
        let next = next.map_err(|error| status::grpc(&error))?;
        Ok(Some((frame(&next), feed)))
    })
}

fn frame(fed: &Fed) -> SubscribeResponse {
    let what = match fed {
        Fed::Began(cursor) => What::Subscribed(Subscribed { cursor: cursor.to_string() }),
        Fed::Event(event) => What::Event(wire::event(event)),
    };
    SubscribeResponse { what: Some(what) }
}
