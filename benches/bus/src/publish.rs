//! Durable publishing: every event is answered once it is kept.

use std::time::{Duration, Instant};

use switchboard_peers::Error;

use crate::{
    Options,
    link::{Link, Links, READ_BYTES},
    producer::Producer,
    rows::Rows,
    server::{Server, System, jetstream_syncs},
    wire::{Kind, Nats, Role, Wire, make_stream},
};

const CONNECTIONS: usize = 16;

/// Connections that prepare something have numbers from here on.
const PREPARING: usize = 1_000_000;

/// How long nothing is measured.
const WARM_UP: Duration = Duration::from_secs(1);

pub(crate) async fn run(options: &Options) -> Result<(), Error> {
    let mut rows = Rows::new(&["events/s", "server CPU, us each"]);
    let extra = [System::JetStreamUnsynced, System::RedisSynced];
    let mut systems = options.systems(&[System::Switchboard, System::JetStream], &extra);
    if !jetstream_syncs(options).await? {
        eprintln!("{} can't sync: give a newer one with --nats", options.nats.display());
        systems.retain(|system| *system != System::JetStream);
    }
    for round in 1..=options.rounds {
        for &system in &systems {
            let server = start(system, options).await?;
            let figures =
                measure(&server, options).map_err(|error| format!("{}: {error}", system.name()))?;
            rows.add(round, system, &figures);
        }
    }
    rows.print(&format!("durable, {CONNECTIONS} connections x {}", options.in_flight));
    Ok(())
}

/// Starts a system that keeps events of the topic.
pub(crate) async fn start(system: System, options: &Options) -> Result<Server, Error> {
    let server = Server::start(system, options).await?;
    if matches!(system, System::JetStream | System::JetStreamUnsynced) {
        let mut link = Link::open(&Nats, &server.address, PREPARING, Role::PublishKept)?;
        make_stream(&mut link, PREPARING)?;
    }
    Ok(server)
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn measure(server: &Server, options: &Options) -> Result<Vec<f64>, Error> {
    let mut publishers = Publishers::open(&*server.wire, &server.address, options.in_flight)?;
    let warm = Instant::now() + WARM_UP;
    publishers.drive(u64::MAX, |_| warm <= Instant::now())?;
    let read = |publishers: &Publishers<'_>| (publishers.answered(), server.cpu(), Instant::now());
    let before = read(&publishers);
    let end = Instant::now() + options.length;
    publishers.drive(u64::MAX, |_| end <= Instant::now())?;
    let after = read(&publishers);
    let answered = (after.0 - before.0) as f64;
    let took = (after.2 - before.2).as_secs_f64();
    Ok(vec![answered / took, (after.1 - before.1) * 1e6 / answered])
}

/// All connections that publish.
pub(crate) struct Publishers<'a> {
    wire: &'a dyn Wire,
    links: Links,
    producers: Vec<Producer>,
    in_flight: usize,
    published: u64,
    room: Vec<u8>,
}

impl<'a> Publishers<'a> {
    pub(crate) fn open(wire: &'a dyn Wire, address: &str, in_flight: usize) -> Result<Self, Error> {
        let numbers = 0..CONNECTIONS;
        let open = |number| Link::open(wire, address, number, Role::PublishKept);
        let all = numbers.clone().map(open).collect::<Result<Vec<_>, _>>()?;
        let links = Links::new(all, CONNECTIONS)?;
        let producers = numbers.map(|number| Producer::new(wire, number)).collect();
        Ok(Self { wire, links, producers, in_flight, published: 0, room: vec![0; READ_BYTES] })
    }

    /// Publishes, so many at the most ever, until enough is answered.
    pub(crate) fn drive(&mut self, most: u64, enough: impl Fn(u64) -> bool) -> Result<(), Error> {
        let mut places: Vec<_> = (0..CONNECTIONS).collect();
        loop {
            for &place in &places {
                let left = most - self.published;
                let link = &mut self.links.all[place];
                self.published += self.producers[place].fill(link, self.in_flight, left)?;
            }
            let before = self.answered();
            if enough(before) {
                return Ok(());
            }
            self.links.wait(&mut places)?;
            for &place in &places {
                let (wire, producer) = (self.wire, &mut self.producers[place]);
                let mut wrong = Ok(());
                self.links.all[place].each(wire, &mut self.room, &mut |kind, message| {
                    if kind == Kind::Answer && wrong.is_ok() {
                        wrong = producer.answer(wire.answers(message));
                    }
                })?;
                wrong?;
            }
            self.links.stalled(before < self.answered())?;
        }
    }

    /// How many were answered.
    pub(crate) fn answered(&self) -> u64 {
        self.producers.iter().map(Producer::answered).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_answered() {
        let server = Server::fake();
        let mut publishers = Publishers::open(&*server.wire, &server.address, 64).unwrap();
        publishers.drive(5_000, |answered| answered == 5_000).unwrap();
        assert_eq!(publishers.published, 5_000);
        // And all of them are read.
        for reader in 1..3 {
            assert!(crate::replay::read(&server, 100 + reader, 5_000).is_ok());
        }
    }
}
