//! How long an event is on its way at a steady rate, nothing kept: from before it is sent until it
//! has come, told by the time that it carries.

use std::time::{Duration, Instant};

use rustix::{
    fd::OwnedFd,
    time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    },
};
use switchboard_peers::{Error, figures::percentile};

use crate::{
    Options,
    fan_out::DATA_BYTES,
    link::{Link, Links, READ_BYTES},
    rows::Rows,
    server::{Server, System},
    wire::Role,
};

/// How long nothing is measured.
const WARM_UP: Duration = Duration::from_secs(3);

/// How long events may take that are on their way at the end.
const TAIL: Duration = Duration::from_secs(1);

/// What stands before the time in the data: in nothing else that a server sends.
const MARK: &[u8; 8] = b"\x01\x02 at: \x03";

const PUBLISHER: usize = 0;

pub(crate) async fn run(options: &Options) -> Result<(), Error> {
    let mut rows = Rows::new(&["p50, ms", "p99, ms", "p99.9, ms"]);
    let extra = [System::Mosquitto, System::RabbitMq];
    let systems = options.systems(&[System::Switchboard, System::Redis, System::Nats], &extra);
    for round in 1..=options.rounds {
        for &system in &systems {
            let server = Server::start(system, options).await?;
            let mut took = measure(&server, options.subscribers, options.rate, options.length)
                .map_err(|error| format!("{}: {error}", system.name()))?;
            took.sort_unstable();
            let of = |share: f64| percentile(&took, share).as_secs_f64() * 1e3;
            rows.add(round, system, &[of(50.0), of(99.0), of(99.9)]);
        }
    }
    let Options { rate, subscribers, .. } = *options;
    rows.print(&format!("{rate} events/s, {subscribers} subscribers"));
    Ok(())
}

fn measure(
    server: &Server,
    subscribers: usize,
    rate: u32,
    length: Duration,
) -> Result<Vec<Duration>, Error> {
    let wire = &*server.wire;
    let open = |number: usize, role| Link::open(wire, &server.address, number, role);
    let mut all = vec![open(PUBLISHER, Role::Publish)?];
    for number in 0..subscribers {
        all.push(open(1 + number, Role::Subscribe)?);
    }
    let mut links = Links::new(all, 1)?;
    let timer = timer(rate)?;
    links.watch(&timer)?;
    let timer_place = links.all.len();

    let begun = Instant::now();
    let (from, to) = (begun + WARM_UP, begun + WARM_UP + length);
    let (mut places, mut room, mut took) = (Vec::new(), vec![0; READ_BYTES], Vec::new());
    let (mut published, mut data) = (0, [b'x'; DATA_BYTES]);
    data[..MARK.len()].copy_from_slice(MARK);
    while Instant::now() < to + TAIL {
        links.wait(&mut places)?;
        for &place in &places {
            if place != timer_place {
                links.all[place].each(wire, &mut room, &mut |_, message| {
                    let now = Instant::now();
                    let sent = time_in(message).map(|nanos| begun + Duration::from_nanos(nanos));
                    took.extend(sent.filter(|sent| from <= *sent).map(|sent| now - sent));
                })?;
                continue;
            }
            let mut due = [0; 8];
            rustix::io::read(&timer, &mut due)?;
            for _ in 0..u64::from_ne_bytes(due) {
                let now = Instant::now();
                let nanos = u64::try_from((now - begun).as_nanos())?.to_le_bytes();
                data[MARK.len()..][..nanos.len()].copy_from_slice(&nanos);
                let link = &mut links.all[PUBLISHER];
                if now < to {
                    wire.publish(PUBLISHER, false, &data, &mut link.out);
                    link.flush()?;
                    published += usize::from(from <= now);
                }
            }
        }
    }
    if took.len() == published * subscribers {
        Ok(took)
    } else {
        Err(format!("{published} events were published, {} came", took.len()).into())
    }
}

/// Goes off so many times a second.
fn timer(rate: u32) -> Result<OwnedFd, Error> {
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK)?;
    let each = Timespec { tv_sec: 0, tv_nsec: (1_000_000_000 / i64::from(rate.max(2))) };
    let spec = Itimerspec { it_interval: each, it_value: each };
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &spec)?;
    Ok(timer)
}

/// The time behind the mark in a message, if there is one.
fn time_in(message: &[u8]) -> Option<u64> {
    let at = message.windows(MARK.len()).position(|bytes| bytes == MARK)? + MARK.len();
    Some(u64::from_le_bytes(message.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_timed() {
        let server = Server::fake();
        let took = measure(&server, 2, 1_000, Duration::from_millis(100)).unwrap();
        assert!(!took.is_empty() && took.len().is_multiple_of(2));
    }
}
