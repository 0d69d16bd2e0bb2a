//! Work that is shared: published, taken and acknowledged, everything durable.
//!
//! Producers and consumers are driven by one thread. An event counts once its acknowledgement is
//! answered; RabbitMQ does not answer acknowledgements, there it counts when that is sent.

use std::time::{Duration, Instant};

use switchboard_peers::Error;
use switchboard_proto::v1::{
    CreateQueueRequest, QueueSettings, bus_service_client::BusServiceClient,
};
use tonic::transport::Endpoint;

use crate::{
    Options,
    link::{Link, Links, READ_BYTES},
    producer::Producer,
    rows::Rows,
    server::{Server, System},
    wire::{Acks, Kind, QUEUE, Role, TOPIC, Wire, delete_queue},
};

const PRODUCERS: usize = 8;
const CONSUMERS: usize = 8;

/// Events that are published and not yet done with: whoever takes publishes before deliveries does
/// not fill the queue.
const BACKLOG_MAX: u64 = 4_096;

/// The number of a connection that prepares something.
const PREPARING: usize = 1_000_000;

/// How long nothing is measured.
const WARM_UP: Duration = Duration::from_secs(1);

pub(crate) async fn run(options: &Options) -> Result<(), Error> {
    let mut rows = Rows::new(&["events/s", "server CPU, us each"]);
    let always = [System::Switchboard, System::RabbitMq, System::RabbitMqMultiple];
    let systems = options.systems(&always, &[]);
    for round in 1..=options.rounds {
        for &system in &systems {
            let figures = round_of(system, options)
                .await
                .map_err(|error| format!("{}: {error}", system.name()))?;
            rows.add(round, system, &figures);
        }
    }
    let in_flight = options.in_flight;
    rows.print(&format!("{PRODUCERS} producers x {in_flight}, {CONSUMERS} consumers"));
    Ok(())
}

async fn round_of(system: System, options: &Options) -> Result<Vec<f64>, Error> {
    let server = Server::start(system, options).await?;
    let Some(node) = server.node() else {
        // It runs before and afterwards: nothing of this is to be left in it.
        let mut link = Link::open(&*server.wire, &server.address, PREPARING, Role::Publish)?;
        delete_queue(&mut link)?;
        let figures = measure(&server, options);
        delete_queue(&mut link)?;
        return figures;
    };
    let endpoint = Endpoint::from_shared(format!("http://{}", node.main))?;
    let mut client = BusServiceClient::new(endpoint.connect().await?);
    let topics = vec![TOPIC.to_owned()];
    let request = CreateQueueRequest {
        tenant: "default".to_owned(),
        queue: QUEUE.to_owned(),
        settings: Some(QueueSettings { topics, ..QueueSettings::default() }),
        after: "start".to_owned(),
    };
    client.create_queue(request).await?;
    measure(&server, options)
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn measure(server: &Server, options: &Options) -> Result<Vec<f64>, Error> {
    let mut work = Work::open(&*server.wire, &server.address, options.in_flight)?;
    work.drive(Instant::now() + WARM_UP)?;
    let read = |work: &Work<'_>| (work.done, server.cpu(), Instant::now());
    let before = read(&work);
    work.drive(Instant::now() + options.length)?;
    let after = read(&work);
    let done = (after.0 - before.0) as f64;
    let took = (after.2 - before.2).as_secs_f64();
    Ok(vec![done / took, (after.1 - before.1) * 1e6 / done])
}

/// Producers, and behind them consumers.
struct Work<'a> {
    wire: &'a dyn Wire,
    links: Links,
    producers: Vec<Producer>,
    acks: Vec<Acks>,
    in_flight: usize,
    published: u64,
    done: u64,
    room: Vec<u8>,
}

impl<'a> Work<'a> {
    fn open(wire: &'a dyn Wire, address: &str, in_flight: usize) -> Result<Self, Error> {
        let mut all = Vec::new();
        for number in 0..PRODUCERS + CONSUMERS {
            let role = if number < PRODUCERS { Role::PublishKept } else { Role::Consume };
            all.push(Link::open(wire, address, number, role)?);
        }
        let mut acks = Vec::new();
        acks.resize_with(CONSUMERS, Acks::default);
        Ok(Self {
            wire,
            links: Links::new(all, PRODUCERS + CONSUMERS)?,
            producers: (0..PRODUCERS).map(|number| Producer::new(wire, number)).collect(),
            acks,
            in_flight,
            published: 0,
            done: 0,
            room: vec![0; READ_BYTES],
        })
    }

    fn drive(&mut self, end: Instant) -> Result<(), Error> {
        let mut places = Vec::new();
        while Instant::now() < end {
            for (producer, link) in self.producers.iter_mut().zip(&mut self.links.all) {
                let most = (self.done + BACKLOG_MAX).saturating_sub(self.published);
                self.published += producer.fill(link, self.in_flight, most)?;
            }
            let before = self.done;
            self.links.wait(&mut places)?;
            for &place in &places {
                if place < PRODUCERS {
                    self.confirm(place)?;
                } else {
                    self.consume(place)?;
                }
            }
            self.links.stalled(before < self.done)?;
        }
        Ok(())
    }

    fn confirm(&mut self, place: usize) -> Result<(), Error> {
        let (wire, producer) = (self.wire, &mut self.producers[place]);
        let mut wrong = Ok(());
        self.links.all[place].each(wire, &mut self.room, &mut |kind, message| {
            if kind == Kind::Answer && wrong.is_ok() {
                wrong = producer.answer(wire.answers(message));
            }
        })?;
        wrong
    }

    /// Acknowledges all that has come at once.
    fn consume(&mut self, place: usize) -> Result<(), Error> {
        let (wire, acks) = (self.wire, &mut self.acks[place - PRODUCERS]);
        let (mut done, mut wrong) = (0, Ok(()));
        let link = &mut self.links.all[place];
        link.each(wire, &mut self.room, &mut |kind, message| {
            if kind != Kind::Answer {
                wire.note(message, acks);
            } else if wrong.is_ok() {
                wrong = wire.settled(message).map(|settled| done += settled);
            }
        })?;
        wrong?;
        self.done += done + wire.settle(acks, &mut link.out);
        link.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_is_done_with() {
        let server = Server::fake();
        let mut work = Work::open(&*server.wire, &server.address, 64).unwrap();
        work.drive(Instant::now() + Duration::from_millis(300)).unwrap();
        assert!(BACKLOG_MAX < work.done && work.done <= work.published);
        assert!(work.published <= work.done + BACKLOG_MAX);
    }
}
