//! The reports of the last three minutes, on disk only.
//!
//! They are not put through the ledger's log: they live for minutes and are many, so its segments
//! would have to be kept back for them, or they be copied, each time it is cut. Instead a second
//! log of the same kind stands in `presence/`, with a thread of its own, so that neither waits for
//! the other. Old reports go with whole segments. Nothing of them is kept in memory: a client is in
//! three dozen of them.

mod codec;
mod pieces;

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, TrySendError},
    },
};

use switchboard_core::{Code, Millis, presence::Page};
use tokio::sync::oneshot;

use self::pieces::Pieces;
use crate::{
    Error,
    disk::Disk,
    health::Health,
    log::{self, Layout, Log, Position},
};

/// The length of a segment, in bytes.
pub(crate) const SEGMENT_BYTES: usize = 4 * 1024 * 1024;

/// Requests that may wait for the thread.
const WAITING_MAX: usize = 1_024;

type Answer<T> = oneshot::Sender<switchboard_core::Result<T>>;

/// What the thread is asked for.
#[derive(Debug)]
pub(crate) enum Request {
    Append { bytes: Vec<u8>, at: Millis, answer: Answer<()> },
    Read { from: u64, answer: Answer<Page> },
    Prune { before: Millis, answer: Answer<()> },
}

/// The way to the thread.
#[derive(Debug)]
pub(crate) struct Door(Mutex<Option<SyncSender<Request>>>);

/// The thread's own.
#[derive(Debug)]
pub(crate) struct Keeper {
    disk: Arc<dyn Disk>,
    log: Log,
    payload_max: usize,
    /// The segments that hold reports, the oldest first.
    segments: VecDeque<Segment>,
    health: Arc<Health>,
}

/// What is known of a segment without reading it.
#[derive(Clone, Copy, Debug)]
struct Segment {
    number: u64,
    /// The sequence of its first record.
    first: u64,
    newest: Millis,
}

impl Door {
    /// A way, and its other end.
    pub(crate) fn new() -> (Self, Receiver<Request>) {
        let (requests, taken) = std::sync::mpsc::sync_channel(WAITING_MAX);
        (Self(Mutex::new(Some(requests))), taken)
    }

    /// Asks the thread for something, or answers at once why not.
    pub(crate) fn ask(&self, request: Request) {
        let requests = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let refused = match requests.map(|requests| requests.try_send(request)) {
            Some(Ok(())) | None => return,
            Some(Err(TrySendError::Full(request))) => (request, Code::TooManyRequests),
            Some(Err(TrySendError::Disconnected(request))) => (request, Code::Unavailable),
        };
        let (request, code) = refused;
        let error = switchboard_core::Error::new(code, "the journal takes no more now");
        request.refuse(error);
    }

    /// Asks for nothing more: the thread ends when it has done what it was asked for.
    pub(crate) fn close(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl Request {
    fn refuse(self, error: switchboard_core::Error) {
        // Nobody may be waiting any more.
        match self {
            Self::Append { answer, .. } | Self::Prune { answer, .. } => {
                let _ = answer.send(Err(error));
            }
            Self::Read { answer, .. } => {
                let _ = answer.send(Err(error));
            }
        }
    }
}

impl Keeper {
    /// Opens what is there, or makes it.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        segment_bytes: usize,
        entropy: u64,
        health: Arc<Health>,
    ) -> Result<Self, Error> {
        let layout = Layout { segment_bytes: segment_bytes / 8 * 8, entropy };
        if !log::exists(&*disk) {
            log::create(&*disk, layout)?;
        }
        let from = log::oldest(&*disk)?;
        let mut segments: VecDeque<Segment> = VecDeque::new();
        let mut pieces = Pieces::default();
        let (log, torn_bytes) = Log::open(Arc::clone(&disk), layout, from, |place, _, payload| {
            let newest = pieces.read(payload, drop).ok_or_else(|| corrupt(place.sequence))?;
            note(&mut segments, place, newest);
            Ok(())
        })?;
        if 0 < torn_bytes {
            tracing::info!(torn_bytes, "the journal ended within a record");
        }
        Ok(Self { disk, log, payload_max: layout.payload_max(), segments, health })
    }

    /// What prepares the next segment.
    pub(crate) fn spare(&self) -> log::Spare {
        self.log.spare()
    }

    /// Serves until nobody can ask any more, or a write fails.
    pub(crate) fn run(mut self, requests: &Receiver<Request>) {
        while let Ok(first) = requests.recv() {
            // What waits together is made durable together.
            let mut group = Group::default();
            for request in std::iter::once(first).chain(requests.try_iter().take(WAITING_MAX)) {
                if let Err(error) = self.serve(request, &mut group) {
                    self.fail(&error, group, requests);
                    return;
                }
            }
            if let Err(error) = self.end(&mut group) {
                self.fail(&error, group, requests);
                return;
            }
        }
    }

    /// Does what was asked for, or puts it into the group.
    pub(crate) fn serve(&mut self, request: Request, group: &mut Group) -> Result<(), Error> {
        match request {
            Request::Append { bytes, at, answer } => {
                let needed = codec::record_len(bytes.len());
                if self.payload_max < group.payload.len() + needed {
                    self.end(group)?;
                }
                if self.payload_max < needed {
                    let room = self.append_long(&bytes, at)?;
                    let _ = answer.send(room.map_err(|why| refusal(&why)));
                    return Ok(());
                }
                match self.log.reserve(group.payload.len() + needed) {
                    Ok(()) => {
                        codec::put_record(&bytes, &mut group.payload);
                        group.newest = group.newest.max(at);
                        group.answers.push(answer);
                    }
                    Err(why) => {
                        let _ = answer.send(Err(refusal(&why)));
                    }
                }
            }
            // Answers to what was asked before come before.
            Request::Read { from, answer } => {
                self.end(group)?;
                let page = self.read(from).map_err(|error| {
                    let what = "the journal can't be read";
                    switchboard_core::Error::new(Code::Unavailable, what).caused_by(error)
                });
                let _ = answer.send(page);
            }
            Request::Prune { before, answer } => {
                self.end(group)?;
                self.prune(before)?;
                let _ = answer.send(Ok(()));
            }
        }
        Ok(())
    }

    /// Makes a group durable, and answers it.
    pub(crate) fn end(&mut self, group: &mut Group) -> Result<(), Error> {
        if !group.payload.is_empty() {
            self.log.append(&group.payload)?;
            note(&mut self.segments, self.log.position(), group.newest);
        }
        for answer in group.answers.drain(..) {
            let _ = answer.send(Ok(()));
        }
        group.payload.clear();
        group.newest = Millis(i64::MIN);
        Ok(())
    }

    /// Makes a report durable that is too long for one record. Nothing may be in the group.
    ///
    /// When room ends on the way, which is told, what was written of it is never read back.
    fn append_long(&mut self, bytes: &[u8], at: Millis) -> Result<Result<(), String>, Error> {
        for piece in pieces::split(bytes, at, self.payload_max) {
            if let Err(why) = self.log.reserve(piece.len()) {
                return Ok(Err(why));
            }
            self.log.append(&piece)?;
            note(&mut self.segments, self.log.position(), at);
        }
        Ok(Ok(()))
    }

    /// The reports that begin in a segment, from a record on.
    fn read(&self, from: u64) -> Result<Page, Error> {
        let behind = self.segments.partition_point(|segment| segment.first <= from).max(1);
        let Some(segment) = self.segments.get(behind - 1) else {
            return Ok(Page::default());
        };
        let (mut pieces, mut reports) = (Pieces::default(), Vec::new());
        log::read_segment(&*self.disk, segment.number, |sequence, payload| {
            if sequence < from {
                return Ok(());
            }
            let read = pieces.read(payload, |report| reports.push(report));
            read.map(drop).ok_or_else(|| corrupt(sequence))
        })?;
        let mut later = self.segments.range(behind..);
        let next = later.clone().next().map(|segment| segment.first);
        // The last one may end in another segment.
        while pieces.has_begun()
            && let Some(segment) = later.next()
        {
            log::read_segment(&*self.disk, segment.number, |sequence, payload| {
                if !pieces.goes_on(payload) {
                    pieces.give_up();
                    return Ok(());
                }
                let read = pieces.read(payload, |report| reports.push(report));
                read.map(drop).ok_or_else(|| corrupt(sequence))
            })?;
        }
        Ok(Page { reports, places: Vec::new(), next })
    }

    /// Removes the segments whose reports are all older, the oldest first: so that a power cut
    /// never leaves a gap.
    fn prune(&mut self, before: Millis) -> Result<(), Error> {
        let current = self.log.position().segment;
        while let Some(oldest) = self.segments.front()
            && oldest.number < current
            && oldest.newest < before
        {
            log::remove(&*self.disk, oldest.number)?;
            self.segments.pop_front();
        }
        Ok(())
    }

    /// Tells everybody who waits that the store has failed.
    fn fail(&self, error: &Error, group: Group, requests: &Receiver<Request>) {
        self.health.fail(&format!("the journal failed: {}", error.chain()));
        let unavailable = || {
            let what = "the store has failed: the node is stopping";
            switchboard_core::Error::new(Code::Unavailable, what)
        };
        for answer in group.answers {
            let _ = answer.send(Err(unavailable()));
        }
        for request in requests.try_iter() {
            request.refuse(unavailable());
        }
    }
}

/// Why a report is not taken.
fn refusal(why: &str) -> switchboard_core::Error {
    let what = format!("the journal takes no reports now: {why}");
    switchboard_core::Error::new(Code::Unavailable, what)
}

fn corrupt(sequence: u64) -> Error {
    Error::Corrupt(format!("record {sequence} of the reports is none"))
}

/// A record stands in a segment.
fn note(segments: &mut VecDeque<Segment>, place: Position, newest: Millis) {
    match segments.back_mut() {
        Some(last) if last.number == place.segment => last.newest = last.newest.max(newest),
        _ => {
            segments.push_back(Segment { number: place.segment, first: place.sequence, newest });
        }
    }
}

/// The reports that are made durable next.
pub(crate) struct Group {
    payload: Vec<u8>,
    newest: Millis,
    answers: Vec<Answer<()>>,
}

impl Default for Group {
    fn default() -> Self {
        Self { payload: Vec::new(), newest: Millis(i64::MIN), answers: Vec::new() }
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("answers", &self.answers.len()).finish_non_exhaustive()
    }
}
