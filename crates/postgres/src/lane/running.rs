//! The task of a lane: connects, takes what waits, writes it, answers.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use switchboard_core::{self as core, store::Commit};
use tokio_postgres::error::SqlState;

use super::{Fault, Shared, Work, Writer, Written, away, unknown};
use crate::{
    Ground,
    error::unavailable,
    health::Health,
    link::{Connector, Link},
};

/// How often a group is tried again that another transaction was in the way of.
const TRIES: usize = 10;

/// How long after a failure it is connected again.
const RETRY: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// Writes the lane's own row of the fence, whether it is there or not.
const BEAT: &str = "INSERT INTO fence (lane, beat) VALUES ($1, 1) \
     ON CONFLICT (lane) DO UPDATE SET beat = fence.beat + 1, at = now()";

/// The lane's own.
pub(super) struct Running<T: Writer> {
    shared: Arc<Shared<T::Work>>,
    writer: T,
    connector: Connector,
    observer: Arc<dyn core::store::Observer>,
    /// The row of the fence that is this lane's own.
    fence: i64,
    /// How long a group may take before others are turned away.
    stall: Duration,
}

/// How a try to write a group ended.
enum Try<D> {
    Committed(Written<D>),
    /// Nothing was written.
    Refused(core::Error),
    /// Another transaction was in the way: nothing was written.
    Again,
    /// The database can write nothing now, whatever it is asked: nothing was written.
    Unable(core::Error),
    /// Whether it was written is not known.
    Unknown(core::Error),
}

impl<T: Writer> Running<T> {
    pub(super) fn new(shared: Arc<Shared<T::Work>>, writer: T, ground: &Ground) -> Self {
        Self {
            shared,
            writer,
            connector: ground.connector.clone(),
            observer: Arc::clone(&ground.observer),
            fence: fence(),
            stall: ground.options.answer,
        }
    }

    pub(super) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let closing = shared.health.closing().clone();
        let mut link = None;
        let mut pause = RETRY;
        loop {
            let there = match link.take().filter(|link: &Link| !link.is_closed()) {
                Some(there) => there,
                None => match self.connector.connect().await {
                    Ok(there) => {
                        shared.take_again();
                        pause = RETRY;
                        there
                    }
                    Err(error) => {
                        shared.turn_away(&error.to_string());
                        tokio::select! {
                            () = closing.cancelled() => return,
                            () = tokio::time::sleep(pause) => {}
                        }
                        pause = (2 * pause).min(RETRY_MAX);
                        continue;
                    }
                },
            };
            let (group, since) = shared.take();
            if group.is_empty() {
                tokio::select! {
                    () = shared.news.notified() => {}
                    () = closing.cancelled() => {
                        if shared.is_empty() {
                            return;
                        }
                    }
                }
                link = Some(there);
                continue;
            }
            link = self.commit(there, group, since).await;
        }
    }

    /// Writes a group and answers it. Returns the connection if it can still be used.
    async fn commit(&mut self, link: Link, group: Vec<T::Work>, since: Instant) -> Option<Link> {
        let begun = Instant::now();
        match self.patiently(&link, &group).await {
            Try::Committed(Written { done, signal, .. }) => {
                let commit = Commit {
                    batches: group.len() as u64,
                    waited: begun.saturating_duration_since(since),
                    synced: begun.elapsed(),
                    ..self.writer.measure(&done)
                };
                // What is answered has been told: whoever acts on the answer finds it so.
                if let Some(signal) = signal {
                    signal();
                }
                for (work, done) in group.into_iter().zip(done) {
                    work.answer(Ok(done));
                }
                self.observer.committed(&commit);
                Some(link)
            }
            // One that the database refuses, or that others are in the way of again and again, is
            // no reason to refuse the rest.
            Try::Refused(_) | Try::Again if 1 < group.len() && !link.is_closed() => {
                let mut link = Some(link);
                for work in group {
                    match link.take().filter(|link| !link.is_closed()) {
                        Some(there) => link = Box::pin(self.commit(there, vec![work], since)).await,
                        None => work.answer(Err(away())),
                    }
                }
                link
            }
            Try::Refused(error) | Try::Unable(error) => {
                let lane = self.shared.name;
                tracing::warn!(lane, error = %error.chain(), "nothing was written");
                // Only one can be told the cause: it can't be copied.
                let causes = std::iter::once(error).chain(std::iter::repeat_with(away));
                refuse(group, causes);
                Some(link)
            }
            Try::Again => {
                refuse(group, std::iter::repeat_with(away));
                Some(link)
            }
            Try::Unknown(error) => {
                let lane = self.shared.name;
                let what = "it is not known whether a group was written";
                tracing::warn!(lane, error = %error.chain(), what);
                refuse(group, std::iter::repeat_with(unknown));
                None
            }
        }
    }

    /// Writes a group, however long that takes; nothing more is taken while it takes too long.
    async fn patiently(&mut self, link: &Link, group: &[T::Work]) -> Try<<T::Work as Work>::Done> {
        let (shared, stall) = (Arc::clone(&self.shared), self.stall);
        let trying = self.try_again(link, group);
        tokio::pin!(trying);
        tokio::select! {
            tried = &mut trying => return tried,
            () = tokio::time::sleep(stall) => shared.turn_away("it does not answer"),
        }
        // A statement that may be in its commit is never cancelled.
        let tried = trying.await;
        if !link.is_closed() {
            shared.take_again();
        }
        tried
    }

    async fn try_again(&mut self, link: &Link, group: &[T::Work]) -> Try<<T::Work as Work>::Done> {
        for tries in 1..=TRIES {
            match self.try_once(link, group).await {
                Try::Again if tries < TRIES => {
                    tokio::time::sleep(Duration::from_millis(tries as u64 - 1)).await;
                }
                other => return other,
            }
        }
        Try::Again
    }

    async fn try_once(&mut self, link: &Link, group: &[T::Work]) -> Try<<T::Work as Work>::Done> {
        link.has_warned();
        let beginning = link.client.batch_execute("BEGIN");
        let writing = self.writer.write(link, group);
        // Both are sent before either is answered.
        let both = tokio::join!(biased; beginning, writing);
        let written = match both {
            (Ok(()), Ok(written)) => written,
            (Ok(()), Err(Fault::Refused(error))) => {
                return match link.client.batch_execute("ROLLBACK").await {
                    Ok(()) => Try::Refused(error),
                    Err(error) => Try::Unknown(unavailable(error)),
                };
            }
            (Err(error), _) | (Ok(()), Err(Fault::Database(error))) => {
                return gone(link, error).await;
            }
        };
        if !written.wrote {
            let beaten = async {
                let statement = link.statement(BEAT).await?;
                link.client.execute(&statement, &[&self.fence]).await
            };
            if let Err(error) = beaten.await {
                return gone(link, error).await;
            }
        }
        match link.client.batch_execute("COMMIT").await {
            Ok(()) if !link.has_warned() => Try::Committed(written),
            Ok(()) => {
                let what = "the database warned when it committed";
                Try::Unknown(core::Error::new(core::Code::Unavailable, what))
            }
            Err(error) => Try::Unknown(unavailable(error)),
        }
    }
}

fn refuse<W: Work>(group: Vec<W>, errors: impl Iterator<Item = core::Error>) {
    for (work, error) in group.into_iter().zip(errors) {
        work.answer(Err(error));
    }
}

/// What an error before the commit means.
async fn gone<D>(link: &Link, error: tokio_postgres::Error) -> Try<D> {
    if link.client.batch_execute("ROLLBACK").await.is_err() || link.is_closed() {
        return Try::Unknown(unavailable(error));
    }
    let Some(code) = error.code() else { return Try::Unknown(unavailable(error)) };
    match *code {
        // The last: who writes the same has been quicker, and is seen by the next try.
        SqlState::T_R_SERIALIZATION_FAILURE
        | SqlState::T_R_DEADLOCK_DETECTED
        | SqlState::UNIQUE_VIOLATION => Try::Again,
        // It has become a standby: the primary is another one now.
        SqlState::READ_ONLY_SQL_TRANSACTION => Try::Unknown(unavailable(error)),
        // No room, no right to work, a broken disk: of no use to try the works one by one.
        _ if matches!(code.code().get(..2), Some("53" | "57" | "58" | "XX")) => {
            Try::Unable(unavailable(error))
        }
        _ => Try::Refused(unavailable(error)),
    }
}

/// Forgets the rows of lanes that are long gone. One that is not gone makes its row anew.
pub(crate) async fn forget_fences(link: Link, health: Arc<Health>) {
    let old = "DELETE FROM fence WHERE at < now() - interval '1 day'";
    tokio::select! {
        () = health.closing().cancelled() => {}
        deleted = link.client.execute(old, &[]) => {
            if let Err(error) = deleted {
                tracing::debug!(%error, "old rows of the fence were left");
            }
        }
    }
}

/// A number that no other lane has.
fn fence() -> i64 {
    use std::hash::{BuildHasher as _, RandomState};
    i64::from_ne_bytes(RandomState::new().hash_one(0).to_ne_bytes())
}
