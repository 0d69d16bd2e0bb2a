//! A session's part in the bus.

mod settling;

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    task::{Context, Poll},
    time::Duration,
};

use switchboard_core::{
    Code, Error, Result, Tenant,
    bus::{Draft, Event, Interest, Published, Since},
    session::{BusRequest, Reply},
};

use self::settling::Settlings;
use super::{Outgoing, Transport, batches::Batches, defect};
use crate::{
    bus::{
        CatchUp, Consumer, Given, Place, Publication, Publish, Stay, Taken, Told, judge_publish,
        prefetch, queue,
    },
    door::Entrance,
    gateway::Gateway,
    node::Node,
};

/// A session's part in the bus, once it takes one.
pub(super) struct Bus {
    tenant: Tenant,
    publish: Batches<Draft, Published>,
    /// Events for those who are there right now, handed out with the next batch.
    ephemeral: Vec<Event>,
    subscribe: Entrance,
    consume: Entrance,
    /// Where what comes live is told; absent until the first subscription.
    stay: Option<Stay>,
    /// The subscriptions that are live, by number. There may be very many.
    live: HashMap<u32, Place>,
    /// Those that still read the log, and the requests that made them.
    reading: Vec<(u32, Box<CatchUp>, Asked)>,
    consumers: BTreeMap<u32, (Consumer, Asked)>,
    settlings: Settlings,
    /// Requests that were answered since the last look.
    answered: usize,
}

/// A request that asked for something which goes on.
#[derive(Clone, Copy, Debug)]
struct Asked {
    request_id: u64,
    /// Whether the session waits for its answer.
    waits: bool,
}

/// Whether there was anything to hand out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivered {
    Nothing,
    Something,
    /// More waited for the session than is kept for one.
    TooSlow,
}

impl Bus {
    /// The part of one of a tenant's clients.
    pub(super) fn new(gateway: &Gateway, tenant: Tenant, transport: Transport) -> Self {
        let entrances = &gateway.entrances[transport as usize];
        Self {
            tenant,
            publish: Batches::new(entrances.publish.clone()),
            ephemeral: Vec::new(),
            subscribe: entrances.subscribe.clone(),
            consume: entrances.consume.clone(),
            stay: None,
            live: HashMap::new(),
            reading: Vec::new(),
            consumers: BTreeMap::new(),
            settlings: Settlings::new(entrances.settle.clone()),
            answered: 0,
        }
    }

    /// Takes a request.
    ///
    /// # Errors
    ///
    /// Why it is refused.
    pub(super) fn take(
        &mut self,
        node: &Node,
        request_id: u64,
        request: BusRequest<'_>,
        out: &mut impl Outgoing,
    ) -> Result<()> {
        match request {
            BusRequest::Publish { content, key, ephemeral } => {
                let given = Publication { content, key, ephemeral };
                match judge_publish(node, self.tenant, &given)? {
                    Publish::Durable(draft) => self.publish.push(request_id, draft),
                    Publish::Ephemeral(event) => {
                        self.ephemeral.push(event);
                        if request_id != 0 {
                            let published = Published { sequence: 0, new: true };
                            out.push(&Reply::Published { request_id, published });
                            self.answered += 1;
                        }
                    }
                }
            }
            BusRequest::Subscribe { subscription, topics, types, after } => {
                let interest = Interest::new(topics, types)?;
                let since = Since::read(&self.tenant, after, Since::Now)?;
                self.subscribe(node, request_id, subscription, (interest, since))?;
            }
            BusRequest::Unsubscribe { subscription } => {
                self.unsubscribe(subscription, out)?;
                out.push(&Reply::Unsubscribed { request_id, subscription });
                self.answered += 1;
            }
            BusRequest::Consume { consumer, queue, prefetch } => {
                self.consume(node, request_id, consumer, (queue, prefetch), out)?;
            }
            BusRequest::Cancel { consumer } => {
                let Some((_, asked)) = self.consumers.remove(&consumer) else {
                    return Err(unknown("consumer", consumer));
                };
                self.give_up(asked, out);
                out.push(&Reply::Cancelled { request_id, consumer });
                self.answered += 1;
            }
            BusRequest::Settle { consumer, settle } => {
                let Some((known, _)) = self.consumers.get_mut(&consumer) else {
                    return Err(unknown("consumer", consumer));
                };
                self.settlings.take(node, request_id, known, &settle)?;
            }
        }
        Ok(())
    }

    fn subscribe(
        &mut self,
        node: &Node,
        request_id: u64,
        number: u32,
        (interest, since): (Interest, Since),
    ) -> Result<()> {
        let max = node.limits.session_subscriptions_max;
        check_number("subscription", number, self.live.len() + self.reading.len(), max)?;
        if self.live.contains_key(&number) || self.reading.iter().any(|(it, ..)| *it == number) {
            return Err(taken("subscription", number));
        }
        // What is told is noted from before the log is read: so there is no gap between them.
        self.stay.get_or_insert_with(|| node.bus.hub.enter(self.tenant));
        self.subscribe.began(1);
        let catch_up = Box::new(CatchUp::new(node, number, interest, since));
        self.reading.push((number, catch_up, Asked { request_id, waits: true }));
        Ok(())
    }

    fn unsubscribe(&mut self, number: u32, out: &mut impl Outgoing) -> Result<()> {
        if let Some(at) = self.reading.iter().position(|(it, ..)| *it == number) {
            let (.., asked) = self.reading.swap_remove(at);
            if asked.waits {
                self.refuse(asked, ended_before(), out);
            }
            return Ok(());
        }
        let place = self.live.remove(&number).ok_or_else(|| unknown("subscription", number))?;
        if let Some(stay) = &self.stay {
            stay.leave([place]);
            stay.mailbox().forget(number);
        }
        Ok(())
    }

    fn consume(
        &mut self,
        node: &Node,
        request_id: u64,
        number: u32,
        (name, asked): (&str, u32),
        out: &mut impl Outgoing,
    ) -> Result<()> {
        let (queue, prefetch) = (queue(self.tenant, name)?, prefetch(asked)?);
        if let Some((known, _)) = self.consumers.get_mut(&number) {
            if *known.queue() != queue {
                return Err(taken("consumer", number));
            }
            known.set_prefetch(prefetch);
            out.push(&Reply::Consuming { request_id, consumer: number });
            self.answered += 1;
            return Ok(());
        }
        let max = node.limits.session_subscriptions_max;
        check_number("consumer", number, self.consumers.len(), max)?;
        let consumer = Consumer::new(node, queue, prefetch);
        self.consume.began(1);
        self.consumers.insert(number, (consumer, Asked { request_id, waits: true }));
        Ok(())
    }

    /// Whether requests wait for their answers.
    pub(super) fn waiting(&self) -> bool {
        self.publish.waiting()
            || self.settlings.waiting()
            || 0 < self.answered
            || self.reading.iter().any(|(.., asked)| asked.waits)
            || self.consumers.values().any(|(_, asked)| asked.waits)
    }

    /// Hands on what came.
    pub(super) fn submit(&mut self, node: &Node) {
        self.publish.submit(node, |drafts| node.ports.log.publish(drafts));
        if !self.ephemeral.is_empty() {
            node.relay.publish(&self.tenant, std::mem::take(&mut self.ephemeral));
        }
    }

    /// Gives out the answers that are there, and says to how many requests.
    pub(super) fn poll(
        &mut self,
        node: &Node,
        context: &mut Context<'_>,
        out: &mut impl Outgoing,
    ) -> usize {
        let published = self.publish.poll(node, context, |request_id, published| {
            node.count_published(&published);
            match published {
                Ok(published) => out.push(&Reply::Published { request_id, published }),
                Err(error) => out.push(&Reply::Error { request_id, error }),
            }
        });
        let settled = self.settlings.poll(node, context, out);
        published + settled + std::mem::take(&mut self.answered)
    }

    /// Hands out events and deliveries, as long as there is room, a little of each in turn. Says to
    /// how many requests that was the answer, too.
    pub(super) fn deliver(
        &mut self,
        node: &Node,
        context: &mut Context<'_>,
        out: &mut impl Outgoing,
    ) -> (Delivered, usize) {
        let mut delivered = Delivered::Nothing;
        while !out.is_full() {
            // What comes live waits in memory, all else where it is kept: so it goes first.
            let taken = self.stay.as_ref().map(|stay| stay.mailbox().take(context.waker()));
            match taken.unwrap_or(Taken::Nothing) {
                Taken::Run(number, run) => {
                    delivered = Delivered::Something;
                    out.push_run(number, &run);
                    node.metrics.bus.written(run.events().len() as u64, run.told_at().elapsed());
                    continue;
                }
                Taken::Spilt => {
                    delivered = Delivered::TooSlow;
                    break;
                }
                Taken::Nothing => {}
            }
            let read = self.read_on(node, context, out);
            let consumed = self.take_deliveries(node, context, out);
            if !read && !consumed {
                break;
            }
            delivered = Delivered::Something;
        }
        (delivered, std::mem::take(&mut self.answered))
    }

    /// Goes on with the subscriptions that read the log. Says whether that gave anything.
    fn read_on(&mut self, node: &Node, context: &mut Context<'_>, out: &mut impl Outgoing) -> bool {
        let Some(stay) = &self.stay else { return false };
        let (mut any, mut at, mut refused) = (false, 0, Vec::new());
        while at < self.reading.len() {
            let (number, catch_up, asked) = &mut self.reading[at];
            let subscription = *number;
            let going_on = loop {
                if out.is_full() {
                    break true;
                }
                let polled = guarded(node, || catch_up.poll_next(stay, context));
                any |= polled.is_ready();
                match polled {
                    Poll::Pending => break true,
                    Poll::Ready(Ok(Told::Event(event))) => {
                        out.push(&Reply::Event { subscription, event: &event });
                    }
                    Poll::Ready(Ok(Told::Began(cursor))) => {
                        let Asked { request_id, .. } = *asked;
                        out.push(&Reply::Subscribed { request_id, subscription, cursor });
                        self.subscribe.ended(Ok(()), 1, Duration::ZERO);
                        self.answered += usize::from(std::mem::take(&mut asked.waits));
                    }
                    Poll::Ready(Ok(Told::Live(place))) => {
                        self.live.insert(subscription, place);
                        break false;
                    }
                    Poll::Ready(Err(error)) => {
                        refused.push((*asked, error));
                        break false;
                    }
                }
            };
            if going_on {
                at += 1;
            } else {
                self.reading.swap_remove(at);
            }
        }
        for (asked, error) in refused {
            self.refuse(asked, error, out);
        }
        any
    }

    /// Takes what consumers have. Says whether that was anything.
    fn take_deliveries(
        &mut self,
        node: &Node,
        context: &mut Context<'_>,
        out: &mut impl Outgoing,
    ) -> bool {
        let mut any = false;
        let mut gone = Vec::new();
        for (&number, (consumer, asked)) in &mut self.consumers {
            while !out.is_full() {
                match guarded(node, || consumer.poll_next(context)) {
                    Poll::Pending => break,
                    Poll::Ready(Ok(Given::Began)) => {
                        let Asked { request_id, .. } = *asked;
                        out.push(&Reply::Consuming { request_id, consumer: number });
                        self.consume.ended(Ok(()), 1, Duration::ZERO);
                        self.answered += usize::from(std::mem::take(&mut asked.waits));
                    }
                    Poll::Ready(Ok(Given::Delivery(delivery))) => {
                        let queue = consumer.queue();
                        let delivery = &*delivery;
                        out.push(&Reply::Delivery { consumer: number, queue, delivery });
                    }
                    Poll::Ready(Err(error)) => {
                        gone.push((number, error));
                        break;
                    }
                }
                any = true;
            }
        }
        for (number, error) in gone {
            any = true;
            if let Some((_, asked)) = self.consumers.remove(&number) {
                if asked.waits {
                    self.consume.ended(Err(&error), 1, Duration::ZERO);
                }
                self.answered += usize::from(asked.waits);
                out.push(&Reply::Error { request_id: asked.request_id, error });
            }
        }
        any
    }

    /// A subscription has come to its end by an error.
    fn refuse(&mut self, asked: Asked, error: Error, out: &mut impl Outgoing) {
        if asked.waits {
            self.subscribe.ended(Err(&error), 1, Duration::ZERO);
        }
        self.answered += usize::from(asked.waits);
        out.push(&Reply::Error { request_id: asked.request_id, error });
    }

    /// A consumer ends.
    fn give_up(&mut self, asked: Asked, out: &mut impl Outgoing) {
        if asked.waits {
            let error = ended_before();
            self.consume.ended(Err(&error), 1, Duration::ZERO);
            self.answered += 1;
            out.push(&Reply::Error { request_id: asked.request_id, error });
        }
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        if let Some(stay) = &self.stay {
            stay.leave(self.live.drain().map(|(_, place)| place));
        }
        let left = Error::new(Code::Unavailable, "the client left before the answer");
        let subscribing = self.reading.iter().filter(|(.., asked)| asked.waits).count();
        let consuming = self.consumers.values().filter(|(_, asked)| asked.waits).count();
        for (entrance, count) in [(&self.subscribe, subscribing), (&self.consume, consuming)] {
            if 0 < count {
                entrance.ended(Err(&left), count as u64, Duration::ZERO);
            }
        }
    }
}

/// A panic is the end of this one thing.
fn guarded<T>(node: &Node, poll: impl FnOnce() -> Poll<Result<T>>) -> Poll<Result<T>> {
    catch_unwind(AssertUnwindSafe(poll)).unwrap_or_else(|_panic| {
        node.metrics.panicked();
        Poll::Ready(Err(defect()))
    })
}

fn check_number(what: &str, number: u32, there: usize, max: usize) -> Result<()> {
    if number == 0 {
        return Err(Error::new(Code::InvalidRequest, format!("a {what} is numbered from 1")));
    }
    if max <= there {
        let what = format!("a session has at most {max} of {what}s");
        return Err(Error::new(Code::TooManyRequests, what));
    }
    Ok(())
}

fn taken(what: &str, number: u32) -> Error {
    Error::new(Code::Conflict, format!("this session has a {what} {number} already"))
}

fn unknown(what: &str, number: u32) -> Error {
    Error::new(Code::NotFound, format!("this session has no {what} {number}"))
}

fn ended_before() -> Error {
    Error::new(Code::Unavailable, "it was ended before it began")
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus")
            .field("subscriptions", &self.live.len())
            .field("consumers", &self.consumers.len())
            .finish_non_exhaustive()
    }
}
