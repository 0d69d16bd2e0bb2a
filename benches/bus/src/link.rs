//! A connection to any of the systems, and many of them in one thread.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use rustix::{
    buffer::spare_capacity,
    event::{
        Timespec,
        epoll::{self, CreateFlags, Event, EventData, EventFlags},
    },
    fd::{AsFd, OwnedFd},
};
use switchboard_peers::Error;

use crate::wire::{Counted, Kind, Role, Wire};

/// How long a server may take for what is due now, and to set up one of many connections.
const PATIENCE: Duration = Duration::from_secs(10);
const SETUP_PATIENCE: Duration = Duration::from_mins(1);

/// What is read at once while a connection is set up, and later.
const SETUP_BYTES: usize = 16 * 1024;
pub(crate) const READ_BYTES: usize = 256 * 1024;

/// Sockets that are told to be readable at once.
const READY_MAX: usize = 1_024;

/// One connection. It waits while it is set up, and no more afterwards.
#[derive(Debug)]
pub(crate) struct Link {
    stream: TcpStream,
    /// The beginning of a message whose rest has not come.
    left: Vec<u8>,
    /// What is to be sent, and how much of it was.
    pub(crate) out: Vec<u8>,
    sent: usize,
}

impl Link {
    /// Connects, the so-manieth of a benchmark, and sets up what the connection is for.
    pub(crate) fn open(
        wire: &dyn Wire,
        address: &str,
        number: usize,
        role: Role,
    ) -> Result<Self, Error> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SETUP_PATIENCE))?;
        let mut link = Self { stream, left: Vec::new(), out: Vec::new(), sent: 0 };
        wire.greet(&mut link, number, role)?;
        Ok(link)
    }

    /// Sends, while the connection is set up.
    pub(crate) fn say(&mut self, bytes: &[u8]) -> Result<(), Error> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// Waits for a message of a kind, while the connection is set up; passes over others.
    pub(crate) fn until(&mut self, wire: &dyn Wire, kind: Kind) -> Result<(), Error> {
        loop {
            while let Some(found) = wire.scan(&self.left)? {
                self.left.drain(..found.len);
                if found.kind == kind {
                    return Ok(());
                }
            }
            let before = self.left.len();
            self.left.resize(before + SETUP_BYTES, 0);
            let came = loop {
                match self.stream.read(&mut self.left[before..]) {
                    // A peer of an earlier round has ended.
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    came => break came?,
                }
            };
            self.left.truncate(before + came);
            if came == 0 {
                return Err("a connection was closed while it was set up".into());
            }
        }
    }

    /// Asks for something, and waits until it is there.
    pub(crate) fn ask(&mut self, wire: &dyn Wire, bytes: &[u8]) -> Result<(), Error> {
        self.say(bytes)?;
        self.until(wire, Kind::Ready)
    }

    /// Counts what has come, once: what comes later makes the socket readable again.
    pub(crate) fn count(&mut self, wire: &dyn Wire, room: &mut [u8]) -> Result<Counted, Error> {
        let came = self.read(room)?;
        let counted = wire.count(&room[..came])?;
        self.left.extend_from_slice(&room[counted.used..came]);
        self.answer(wire, counted.pings)?;
        Ok(counted)
    }

    /// Hands over each message that has come.
    pub(crate) fn each(
        &mut self,
        wire: &dyn Wire,
        room: &mut [u8],
        see: &mut dyn FnMut(Kind, &[u8]),
    ) -> Result<(), Error> {
        let came = self.read(room)?;
        let mut pings = 0;
        let used = wire.each(&room[..came], &mut |kind, message| {
            pings += u64::from(kind == Kind::Ping);
            see(kind, message);
        })?;
        self.left.extend_from_slice(&room[used..came]);
        self.answer(wire, pings)
    }

    /// What was left, and what has come, at the beginning of some room.
    fn read(&mut self, room: &mut [u8]) -> Result<usize, Error> {
        let left = self.left.len();
        room[..left].copy_from_slice(&self.left);
        self.left.clear();
        match self.stream.read(&mut room[left..]) {
            Ok(0) => Err("the server closed a connection".into()),
            Ok(came) => Ok(left + came),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(left),
            Err(error) => Err(error.into()),
        }
    }

    fn answer(&mut self, wire: &dyn Wire, pings: u64) -> Result<(), Error> {
        for _ in 0..pings {
            wire.pong(&mut self.out);
        }
        if 0 < pings { self.flush() } else { Ok(()) }
    }

    /// Sends as much as goes; [`Links`] sees to the rest.
    pub(crate) fn flush(&mut self) -> Result<(), Error> {
        while self.sent < self.out.len() {
            match self.stream.write(&self.out[self.sent..]) {
                Ok(written) => self.sent += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        self.out.clear();
        self.sent = 0;
        Ok(())
    }
}

/// Connections of which one thread waits for all.
pub(crate) struct Links {
    pub(crate) all: Vec<Link>,
    epoll: OwnedFd,
    ready: Vec<Event>,
    /// Of those that write, whether room to do so is waited for.
    full: Vec<bool>,
    /// Since when nothing has come.
    quiet: Option<Instant>,
}

impl Links {
    /// From now on none of them waits. So many, from the first, send more than answers to pings.
    pub(crate) fn new(all: Vec<Link>, writers: usize) -> Result<Self, Error> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        for (place, link) in all.iter().enumerate() {
            link.stream.set_nonblocking(true)?;
            epoll::add(&epoll, &link.stream, EventData::new_u64(place as u64), EventFlags::IN)?;
        }
        let full = vec![false; writers];
        let ready = Vec::with_capacity(READY_MAX);
        Ok(Self { all, epoll, ready, full, quiet: None })
    }

    /// Waits for something else, too: it is told as the place behind the last connection.
    pub(crate) fn watch(&self, other: impl AsFd) -> Result<(), Error> {
        let place = EventData::new_u64(self.all.len() as u64);
        Ok(epoll::add(&self.epoll, other, place, EventFlags::IN)?)
    }

    /// Waits until some can be read, and says which. Sends what is still to be sent meanwhile.
    pub(crate) fn wait(&mut self, places: &mut Vec<usize>) -> Result<(), Error> {
        self.watch_those_that_are_full()?;
        self.ready.clear();
        let second = Timespec { tv_sec: 1, tv_nsec: 0 };
        match epoll::wait(&self.epoll, spare_capacity(&mut self.ready), Some(&second)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        places.clear();
        places.extend(self.ready.iter().filter_map(|event| {
            let data = event.data;
            usize::try_from(data.u64()).ok()
        }));
        Ok(())
    }

    /// Fails when nothing of what is waited for has come for long: `moved` says whether some has.
    pub(crate) fn stalled(&mut self, moved: bool) -> Result<(), Error> {
        if moved {
            self.quiet = None;
            return Ok(());
        }
        if PATIENCE < self.quiet.get_or_insert_with(Instant::now).elapsed() {
            return Err("nothing came any more: something was lost".into());
        }
        Ok(())
    }

    fn watch_those_that_are_full(&mut self) -> Result<(), Error> {
        for (place, (link, full)) in self.all.iter_mut().zip(&mut self.full).enumerate() {
            if *full {
                link.flush()?;
            }
            let still = link.sent < link.out.len();
            if still != *full {
                *full = still;
                let place = EventData::new_u64(place as u64);
                let wanted = if still { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
                epoll::modify(&self.epoll, &link.stream, place, wanted)?;
            }
        }
        Ok(())
    }
}
