//! The port: where events and queues are kept.

use std::{fmt, pin::Pin, sync::Arc};

use super::{
    Attendance, Draft, Event, Gone, Interest, Published, Pull, Pulled, QueueId, QueueSettings,
    QueueState, Retention, Settled, Settlement, Signals, Since,
};
use crate::{Code, Error, Millis, Result, Tenant, presence::GatewayId};

/// The most events of one page.
pub const PAGE_MAX: u32 = 1_000;

/// How many events a page has where the caller doesn't say.
pub const PAGE_DEFAULT: u32 = 100;

/// An answer on its way.
pub type Answer<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

/// Asks for events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Whose.
    pub tenant: Tenant,
    /// Which.
    pub interest: Interest,
    /// From where on.
    pub since: Since,
    /// So many at most. 0: only the places are asked for.
    pub events_max: u32,
    /// No more once their data is so many bytes; at least one.
    pub bytes_max: usize,
}

/// Part of the events that somebody wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Events, in the order of their sequences.
    pub events: Vec<Event>,
    /// The place behind these: every event that is wanted, is kept, and is not behind it, was read.
    /// Nothing more is there where it is `newest`; else who reads on from it comes further, also
    /// where a store looked at many events and stopped before one was wanted.
    pub position: u64,
    /// The sequence of the tenant's newest event, wanted or not; 0 where there is none.
    pub newest: u64,
    /// How often events of the tenant have expired: who reads on from the position says so, with
    /// [`Since::Known`].
    pub expired: u64,
}

/// What became of a queue that was to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// How it is.
    pub queue: QueueState,
    /// Whether it was made now.
    pub new: bool,
}

/// All events and queues.
///
/// # What an implementation promises
///
/// - What was answered is durable; what is not durable is not read, and in no queue.
/// - Sequences count the events of a tenant from 1 without gaps, also those that were published by
///   queues and presence. Of two publishes of one caller the earlier has the lower one. Times never
///   go back from one sequence to the next.
/// - Of publishes of a tenant with the same key, in one batch or over all time, exactly one is
///   `new`, for as long as its event is kept; all answer the same sequence. With anything else in
///   its body it is [`Code::Conflict`].
/// - A page has every event that is wanted and not behind its position once, in order. Pages that
///   are read on from each other's positions have all, whatever happens between.
/// - What has expired is not read. A sequence behind which an event has expired that the reader may
///   have wanted, since one of his filters overlaps that of the rule by which it did, is
///   [`Code::CursorExpired`]; there is never a gap that is not told. From the start, and from a
///   time on, one reads what is kept and is told of none.
/// - A queue has each event that it takes and that came behind its beginning. First deliveries are
///   in order. An event that was acknowledged is not delivered again; one that was not is, until it
///   was often enough, and then is on the dead-letter topic, once. Of one event there is one
///   delivery at a time: settling an earlier one changes nothing. What has expired is not delivered
///   and not given up; who has it may still acknowledge it.
/// - A client is announced as online when it comes to its first gateway, and as offline when it has
///   left the last: in order. It leaves a gateway with the newest session that is noted there, or a
///   newer one, and all of them with the newest of its stay: an end that is told late never hides a
///   newer beginning.
/// - Once listened to, everything is signalled after it is durable, in the order of the log;
///   signals may be lost, events not.
///
/// The suite in `switchboard-contract` holds an implementation to each of these.
pub trait Log: fmt::Debug + Send + Sync {
    /// Publishes events, in order. Each is answered by itself: a refused one is no reason to refuse
    /// another. They take their places when this is called.
    ///
    /// # Errors
    ///
    /// [`Code::Unavailable`] when the store can't write; of one draft [`Code::Conflict`].
    fn publish(&self, drafts: Vec<Draft>) -> Answer<Vec<Result<Published>>>;

    /// Events that somebody wants, from a place on.
    ///
    /// # Errors
    ///
    /// [`Code::CursorExpired`] when some of what is asked for was and is not kept any more: its
    /// detail names the oldest sequence that is left, or is to come; [`Code::InvalidCursor`] for a
    /// sequence that has not come yet; [`Code::Unavailable`] when the store can't be read.
    fn read(&self, read: Read) -> Answer<Page>;

    /// Makes a queue that begins at a place, or finds it as it is, wherever it began.
    ///
    /// # Errors
    ///
    /// [`Code::Conflict`] when there is one with other settings; those of [`Log::read`] for the
    /// place; [`Code::Unavailable`] when the store can't write.
    fn create_queue(
        &self,
        queue: QueueId,
        settings: QueueSettings,
        since: Since,
    ) -> Answer<Created>;

    /// Removes a queue, and says whether there was one.
    ///
    /// # Errors
    ///
    /// [`Code::Unavailable`] when the store can't write.
    fn delete_queue(&self, queue: QueueId) -> Answer<bool>;

    /// How a queue is.
    ///
    /// # Errors
    ///
    /// [`Code::NotFound`]; [`Code::Unavailable`] when the store can't be read.
    fn queue(&self, queue: QueueId) -> Answer<QueueState>;

    /// All queues of a tenant, by name.
    ///
    /// # Errors
    ///
    /// [`Code::Unavailable`] when the store can't be read.
    fn queues(&self, tenant: Tenant) -> Answer<Vec<QueueState>>;

    /// Takes deliveries of a queue: those that are given back and whose time has come, by that
    /// time and then by sequence; then others. First it looks after what is due, as a sweep does.
    ///
    /// # Errors
    ///
    /// [`Code::NotFound`] when there is no such queue; [`Code::Unavailable`] when the store can't
    /// write.
    fn pull(&self, pull: Pull) -> Answer<Pulled>;

    /// Settles deliveries, in order, each by itself. One whose time is up is late, also if nobody
    /// has looked after it yet.
    ///
    /// # Errors
    ///
    /// [`Code::NotFound`] when there is no such queue; [`Code::Unavailable`] when the store can't
    /// write.
    fn settle(&self, settlement: Settlement) -> Answer<Vec<Settled>>;

    /// Looks after what is due at a time: deliveries that nobody settled come back to their queues
    /// when their time was up, or are given up: of a tenant's, in the order of those times, then of
    /// queues, then of sequences. Queues are told to be ready that have something to deliver again.
    /// To be called every second or so.
    ///
    /// # Errors
    ///
    /// [`Code::Unavailable`] when the store can't write.
    fn sweep(&self, now: Millis) -> Answer<()>;

    /// Notes who has come and gone, in order, and announces those for whom that is news.
    ///
    /// # Errors
    ///
    /// [`Code::Unavailable`] when the store can't write.
    fn attend(&self, attendances: Vec<Attendance>) -> Answer<()>;

    /// Announces that those have left who were at gateways that are no more. A tenant's are
    /// announced in the order of their ids. Says how many were noted: a client counts at each such
    /// gateway.
    ///
    /// # Errors
    ///
    /// [`Code::Unavailable`] when the store can't write.
    fn abandon(&self, gone: Gone, now: Millis) -> Answer<u64>;

    /// The gateways at which somebody is, as far as was noted, by number.
    ///
    /// # Errors
    ///
    /// [`Code::Unavailable`] when the store can't be read.
    fn gateways(&self) -> Answer<Vec<GatewayId>>;

    /// The sequence of each tenant's newest event, in the order in which they are asked for; 0
    /// where there is none. Whoever listens to signals asks now and then whether the last of them
    /// was lost: a store that can answers all at once.
    ///
    /// # Errors
    ///
    /// [`Code::Unavailable`] when the store can't be read.
    fn newest(&self, tenants: Vec<Tenant>) -> Answer<Vec<u64>>;

    /// Lets go of what the rules do not keep at a time, and of nothing else, and says how many
    /// events that is. Bytes are those of whole bodies.
    ///
    /// # Errors
    ///
    /// [`Code::Unavailable`] when the store can't write.
    fn expire(&self, rules: Arc<[Retention]>, now: Millis) -> Answer<u64>;

    /// From now on tells these what happens. The last to be named is the one that is told.
    fn listen(&self, signals: Arc<dyn Signals>);
}

/// Checks how many events are asked for: 0 stands for [`PAGE_DEFAULT`].
///
/// # Errors
///
/// [`Code::TooLarge`] for more than [`PAGE_MAX`].
pub fn page_limit(asked: u32) -> Result<u32> {
    match asked {
        0 => Ok(PAGE_DEFAULT),
        1..=PAGE_MAX => Ok(asked),
        _ => Err(Error::new(
            Code::TooLarge,
            format!("a page has at most {PAGE_MAX} events, {asked} were asked for"),
        )),
    }
}
