//! One who reads everything that was kept, from the first event on.

use std::time::Instant;

use switchboard_peers::Error;

use crate::{
    Options,
    link::{Link, Links, READ_BYTES},
    publish::{self, Publishers},
    rows::Rows,
    server::{Server, System},
    wire::Role,
};

/// Under way on each connection while the log is filled: as many as a session may have by default.
const IN_FLIGHT: usize = 256;

/// The numbers of readers begin behind those of publishers.
const READER: usize = 100_000;

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
pub(crate) async fn run(options: &Options) -> Result<(), Error> {
    let systems = options.systems(&[System::Switchboard, System::JetStreamUnsynced], &[]);
    let mut servers = Vec::new();
    for system in systems {
        let server = publish::start(system, options).await?;
        let began = Instant::now();
        let mut publishers = Publishers::open(&*server.wire, &server.address, IN_FLIGHT)?;
        publishers.drive(options.events, |answered| options.events <= answered)?;
        let rate = options.events as f64 / began.elapsed().as_secs_f64();
        eprintln!("{}: published at {rate:.0}/s", system.name());
        servers.push((system, server));
    }
    let mut rows = Rows::new(&["events/s", "server CPU, us each"]);
    for round in 1..=options.rounds {
        for (system, server) in &servers {
            let figures = read(server, READER + round, options.events)
                .map_err(|error| format!("{}: {error}", system.name()))?;
            rows.add(round, *system, &figures);
        }
    }
    rows.print(&format!("{} events from the first, one reader", options.events));
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
pub(crate) fn read(server: &Server, number: usize, events: u64) -> Result<Vec<f64>, Error> {
    let wire = &*server.wire;
    let (cpu, began) = (server.cpu(), Instant::now());
    let link = Link::open(wire, &server.address, number, Role::Replay)?;
    let mut links = Links::new(vec![link], 0)?;
    let (mut places, mut room, mut came) = (Vec::new(), vec![0; READ_BYTES], 0);
    while came < events {
        links.wait(&mut places)?;
        let before = came;
        for &place in &places {
            came += links.all[place].count(wire, &mut room)?.events;
        }
        links.stalled(before < came)?;
    }
    let (took, cpu) = (began.elapsed().as_secs_f64(), server.cpu() - cpu);
    if came == events {
        Ok(vec![events as f64 / took, cpu * 1e6 / events as f64])
    } else {
        Err(format!("{came} events of {events} came").into())
    }
}
