//! Subscriptions: events from a place on, then live, over any number of connections.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use switchboard_proto::v1::{
    SubscribeRequest, SubscribeResponse, bus_service_client::BusServiceClient, subscribe_response,
};
use tokio::time::{self, Sleep};
use tokio_stream::Stream;
use tonic::{Status, Streaming, transport::Channel};

use super::{Break, Event, Interest, Place, resume::Resume};
use crate::{Client, Error, retry};

/// Events that somebody wants, from a place on, then live, without a seam: each durable one once,
/// in the order of the sequences, however often the connection breaks.
///
/// When the connection breaks, the node stops, or it has let go of a subscription that was not read
/// fast enough (`slow_consumer`), this opens it again by itself, after growing random pauses up to
/// 2 s, behind the last event that it gave: for as long as it is polled. Ephemeral events of the
/// time between are missed.
///
/// What trying again does not mend comes as an error, which is the last item: `cursor_expired` when
/// what was missed is not kept any more, `forbidden`, and so on.
///
/// It is a stream, has a connection of its own, and can be dropped at any time.
#[must_use = "a subscription gives events while it is polled"]
pub struct Subscription {
    client: Client,
    service: BusServiceClient<Channel>,
    interest: Interest,
    place: Place,
    resume: Resume,
    state: State,
}

enum State {
    Open(Box<Streaming<SubscribeResponse>>),
    Pausing(Pin<Box<Sleep>>),
    Opening(Pin<Box<dyn Future<Output = Result<Opened, Status>> + Send>>),
    /// It ended with an error.
    Over,
}

/// An open stream, and the place behind which it begins.
type Opened = (Box<Streaming<SubscribeResponse>>, String);

impl Client {
    /// Subscribes to events from a place on, as the module says; empty is `now`. When this returns,
    /// the subscription has begun: with `now`, whatever is published from here on will come.
    ///
    /// # Errors
    ///
    /// `invalid_topic`, `invalid_type`, `invalid_cursor`, `invalid_request` for no filter,
    /// `too_large` for too many, `invalid_tenant`; `cursor_expired`; `unavailable` until the
    /// client's timeout.
    pub async fn subscribe(&self, interest: Interest, after: &str) -> Result<Subscription, Error> {
        let service = BusServiceClient::new(self.channel_of_its_own()?);
        Subscription::open(self.clone(), service, interest, after).await
    }
}

impl Subscription {
    pub(super) async fn open(
        client: Client,
        service: BusServiceClient<Channel>,
        interest: Interest,
        after: &str,
    ) -> Result<Self, Error> {
        let request = request(&client, &interest, after);
        let (events, cursor) =
            retry::until(client.timeout, || open(service.clone(), request.clone())).await?;
        let (resume, state) = (Resume::new(), State::Open(events));
        Ok(Self { client, service, interest, place: Place::new(&cursor), resume, state })
    }

    /// Told whenever the connection is gone, while it comes back by itself; must not block.
    pub fn with_breaks(mut self, told: impl Fn(Break) + Send + Sync + 'static) -> Self {
        self.resume.tell(Arc::new(told));
        self
    }

    /// Where another subscription would go on: behind the last durable event that this one gave,
    /// or where it began.
    pub fn cursor(&self) -> String {
        self.place.after()
    }

    /// The client that subscribed.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// What came, if it is an event that was not given before.
    fn took(&mut self, answer: SubscribeResponse) -> Option<Event> {
        let Some(subscribe_response::What::Event(event)) = answer.what else { return None };
        let event = Event::from(event);
        self.resume.came();
        self.place.came(&event).then_some(event)
    }

    /// The connection broke: waits for the next, or ends.
    fn broke(&mut self, status: Status) -> Result<(), Error> {
        match self.resume.broke(status) {
            Ok(pause) => {
                self.state = State::Pausing(Box::pin(time::sleep(pause)));
                Ok(())
            }
            Err(error) => {
                self.state = State::Over;
                Err(error)
            }
        }
    }

    /// Opens it again behind what was given.
    fn reopen(&mut self) {
        let (service, timeout) = (self.service.clone(), self.client.timeout);
        let request = request(&self.client, &self.interest, &self.place.after());
        self.state = State::Opening(Box::pin(async move {
            let silent = |_| Status::unavailable(format!("there was no answer in {timeout:?}"));
            time::timeout(timeout, open(service, request)).await.map_err(silent)?
        }));
    }
}

impl Stream for Subscription {
    type Item = Result<Event, Error>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Event, Error>>> {
        let this = &mut *self;
        loop {
            let broke = match &mut this.state {
                State::Open(events) => match ready!(Pin::new(&mut **events).poll_next(cx)) {
                    Some(Ok(answer)) => {
                        if let Some(event) = this.took(answer) {
                            return Poll::Ready(Some(Ok(event)));
                        }
                        continue;
                    }
                    Some(Err(status)) => status,
                    None => Status::unavailable("the node ended the subscription"),
                },
                State::Pausing(pause) => {
                    ready!(pause.as_mut().poll(cx));
                    this.reopen();
                    continue;
                }
                State::Opening(opening) => match ready!(opening.as_mut().poll(cx)) {
                    Ok((events, cursor)) => {
                        this.place.begun(cursor);
                        this.state = State::Open(events);
                        this.resume.opened();
                        continue;
                    }
                    Err(status) => status,
                },
                State::Over => return Poll::Ready(None),
            };
            if let Err(error) = this.broke(broke) {
                return Poll::Ready(Some(Err(error)));
            }
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("client", &self.client)
            .field("interest", &self.interest)
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

fn request(client: &Client, interest: &Interest, after: &str) -> SubscribeRequest {
    let Interest { topics, types } = interest.clone();
    let (tenant, after) = (client.tenant.to_string(), after.to_owned());
    SubscribeRequest { tenant, topics, types, after }
}

/// Opens a stream, and waits until it has begun.
async fn open(
    mut service: BusServiceClient<Channel>,
    request: SubscribeRequest,
) -> Result<Opened, Status> {
    let mut events = Box::new(service.subscribe(request).await?.into_inner());
    let Some(first) = events.message().await? else {
        return Err(Status::unavailable("the node ended the subscription before it began"));
    };
    match first.what {
        Some(subscribe_response::What::Subscribed(subscribed)) => Ok((events, subscribed.cursor)),
        _ => Err(Status::internal("an event came before the subscription had begun")),
    }
}
