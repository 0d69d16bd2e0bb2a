//! One publisher, many subscribers, nothing kept: as many deliveries as go.
//!
//! The publisher keeps so many messages on the way to the slowest subscriber, so that nothing is
//! dropped. One thread does the publisher's and all subscribers' part. Once half of the window is
//! free, as much as it allows is sent at once: one by one, everybody would be measured waking up.

use std::time::{Duration, Instant};

use switchboard_peers::{Error, process::cpu_of};

use crate::{
    Options,
    link::{Link, Links, READ_BYTES},
    rows::Rows,
    server::{Server, System},
    wire::{Role, Wire},
};

/// The bytes of an event's data.
pub(crate) const DATA_BYTES: usize = 128;

/// How long nothing is measured.
const WARM_UP: Duration = Duration::from_millis(500);

/// RabbitMQ takes about 800 connections with the 1,024 descriptors that it may have by default.
const RABBITMQ_CONNECTIONS_MAX: usize = 500;

/// Where the publisher stands among the connections, and how many do so before the subscribers.
const PUBLISHER: usize = 0;
const WRITERS: usize = 1;

pub(crate) async fn run(options: &Options) -> Result<(), Error> {
    let columns = ["deliveries/s", "server CPU, us a delivery", "client CPU, us a delivery"];
    let mut rows = Rows::new(&columns);
    let extra = [System::Mosquitto, System::RabbitMq];
    let mut systems = options.systems(&[System::Switchboard, System::Redis, System::Nats], &extra);
    if RABBITMQ_CONNECTIONS_MAX < options.subscribers {
        systems.retain(|system| *system != System::RabbitMq);
    }
    for round in 1..=options.rounds {
        for &system in &systems {
            let server = Server::start(system, options).await?;
            let figures =
                measure(&server, options).map_err(|error| format!("{}: {error}", system.name()))?;
            rows.add(round, system, &figures);
        }
    }
    rows.print(&format!("1 publisher, {} subscribers", options.subscribers));
    Ok(())
}

/// Messages on the way at once, for so many subscribers.
fn window(subscribers: usize) -> u64 {
    match subscribers {
        ..10 => 1_024,
        10..500 => 128,
        _ => 32,
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn measure(server: &Server, options: &Options) -> Result<Vec<f64>, Error> {
    let mut fan = Fan::open(&*server.wire, &server.address, options.subscribers)?;
    fan.window = options.window.unwrap_or(fan.window);
    fan.drive(Instant::now() + WARM_UP)?;
    let read =
        |fan: &Fan<'_>| (fan.delivered(), server.cpu(), cpu_of(std::process::id()), Instant::now());
    let before = read(&fan);
    fan.drive(Instant::now() + options.length)?;
    let after = read(&fan);
    let delivered = (after.0 - before.0) as f64;
    let us = |seconds: f64| seconds * 1e6 / delivered;
    let took = (after.3 - before.3).as_secs_f64();
    Ok(vec![delivered / took, us(after.1 - before.1), us(after.2 - before.2)])
}

struct Fan<'a> {
    wire: &'a dyn Wire,
    links: Links,
    /// One publish, as it is sent.
    message: Vec<u8>,
    window: u64,
    published: u64,
    /// By subscriber.
    received: Vec<u64>,
    /// What the slowest of them have, and how many those are.
    least: u64,
    slowest: usize,
    room: Vec<u8>,
}

impl<'a> Fan<'a> {
    fn open(wire: &'a dyn Wire, address: &str, subscribers: usize) -> Result<Self, Error> {
        let open = |number: usize, role| Link::open(wire, address, number, role);
        let mut all = vec![open(PUBLISHER, Role::Publish)?];
        for number in 0..subscribers {
            all.push(open(WRITERS + number, Role::Subscribe)?);
        }
        let mut message = Vec::new();
        wire.publish(PUBLISHER, false, &[b'x'; DATA_BYTES], &mut message);
        Ok(Self {
            wire,
            links: Links::new(all, WRITERS)?,
            message,
            window: window(subscribers),
            published: 0,
            received: vec![0; subscribers],
            least: 0,
            slowest: subscribers,
            room: vec![0; READ_BYTES],
        })
    }

    fn drive(&mut self, end: Instant) -> Result<(), Error> {
        let mut places = Vec::new();
        while Instant::now() < end {
            self.publish()?;
            self.links.wait(&mut places)?;
            let before = self.least;
            for &place in &places {
                let counted = self.links.all[place].count(self.wire, &mut self.room)?;
                if WRITERS <= place && 0 < counted.events {
                    self.receive(place - WRITERS, counted.events);
                }
            }
            self.links.stalled(before < self.least)?;
        }
        Ok(())
    }

    fn receive(&mut self, subscriber: usize, events: u64) {
        let received = &mut self.received[subscriber];
        self.slowest -= usize::from(*received == self.least);
        *received += events;
        if self.slowest == 0 {
            self.least = self.received.iter().copied().min().unwrap_or_default();
            let behind = self.received.iter().filter(|&&received| received == self.least);
            self.slowest = behind.count();
        }
    }

    /// Sends what the window allows, once that is half of it.
    fn publish(&mut self) -> Result<(), Error> {
        if self.least + self.window / 2 < self.published {
            return Ok(());
        }
        let publisher = &mut self.links.all[PUBLISHER];
        while self.published < self.least + self.window {
            publisher.out.extend_from_slice(&self.message);
            self.published += 1;
        }
        publisher.flush()
    }

    fn delivered(&self) -> u64 {
        self.received.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_delivered_to_everybody() {
        let server = Server::fake();
        let mut fan = Fan::open(&*server.wire, &server.address, 3).unwrap();
        fan.drive(Instant::now() + Duration::from_millis(200)).unwrap();
        assert!(fan.window < fan.least && fan.least <= fan.published);
        assert!(fan.published <= fan.least + fan.window);
        assert!(fan.received.iter().all(|&received| received <= fan.published));
    }
}
