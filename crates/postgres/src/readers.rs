//! The connections that all who read share.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use switchboard_core as core;
use tokio::sync::{Mutex, Semaphore};
use tokio_util::task::TaskTracker;

use crate::{
    Options,
    error::unavailable,
    health::Health,
    link::{Connector, Link},
};

/// Reads that are under way at once on one connection; more wait for as long as an answer may take.
const READS_MAX: usize = 64;

/// How long after a failure it is connected again.
const RETRY: Duration = Duration::from_millis(250);

/// The part that reads, in the store's health.
const PART: &str = "readers";

/// Connections in turn.
#[derive(Debug)]
pub(crate) struct Readers {
    /// Whoever finds none there makes it, while others wait.
    links: Vec<Mutex<Option<Arc<Link>>>>,
    next: AtomicUsize,
    places: Semaphore,
    answer: Duration,
    connector: Connector,
    health: Arc<Health>,
    tasks: TaskTracker,
    /// Whether somebody is looking whether the database is back.
    looking: AtomicBool,
}

impl Readers {
    /// Connections that are made when they are first needed.
    pub(crate) fn open(
        connector: &Connector,
        options: &Options,
        health: &Arc<Health>,
        tasks: &TaskTracker,
    ) -> Self {
        let count = options.readers.max(1);
        Self {
            links: (0..count).map(|_| Mutex::default()).collect(),
            next: AtomicUsize::new(0),
            places: Semaphore::new(READS_MAX * count),
            answer: options.answer,
            connector: connector.clone(),
            health: Arc::clone(health),
            tasks: tasks.clone(),
            looking: AtomicBool::new(false),
        }
    }

    /// Reads something; at once [`core::Code::Unavailable`] while the database is known to be away.
    pub(crate) async fn read<T, F>(
        self: &Arc<Self>,
        read: impl FnOnce(Arc<Link>) -> F,
    ) -> core::Result<T>
    where
        F: Future<Output = Result<T, tokio_postgres::Error>>,
    {
        if self.looking.load(Ordering::Acquire) {
            return Err(away());
        }
        let reading = async {
            let _place = self.places.acquire().await.map_err(|_| away())?;
            // Of those who waited for a place some may find that it is away by now.
            if self.looking.load(Ordering::Acquire) {
                return Err(away());
            }
            let link = self.link().await?;
            read(link).await.map_err(unavailable)
        };
        match tokio::time::timeout(self.answer, reading).await {
            Ok(Ok(read)) => Ok(read),
            Ok(Err(error)) => Err(error),
            Err(_) => {
                self.look("it does not answer");
                Err(away())
            }
        }
    }

    /// The next connection, made anew where it has ended.
    async fn link(self: &Arc<Self>) -> core::Result<Arc<Link>> {
        let place = self.next.fetch_add(1, Ordering::Relaxed) % self.links.len();
        let mut there = self.links[place].lock().await;
        if let Some(link) = there.as_ref().filter(|link| !link.is_closed()) {
            return Ok(Arc::clone(link));
        }
        // What waited here meanwhile is not to try again one after the other.
        *there = None;
        let connected = self.connector.connect().await;
        let link = Arc::new(connected.map_err(|error| {
            self.look(&error.to_string());
            unavailable(error)
        })?);
        *there = Some(Arc::clone(&link));
        Ok(link)
    }

    /// Nothing is asked until the database answers again: what is asked of it waits there.
    fn look(self: &Arc<Self>, why: &str) {
        if self.looking.swap(true, Ordering::AcqRel) {
            return;
        }
        self.health.refuse(PART, why.to_owned());
        let readers = Arc::clone(self);
        self.tasks.spawn(async move {
            let closing = readers.health.closing().clone();
            loop {
                let looked = async {
                    let link = readers.link().await.ok()?;
                    link.client.simple_query("").await.ok()
                };
                let answered = tokio::select! {
                    () = closing.cancelled() => return,
                    answered = looked => answered.is_some(),
                };
                if answered {
                    break;
                }
                tokio::time::sleep(RETRY).await;
            }
            readers.health.work(PART);
            readers.looking.store(false, Ordering::Release);
        });
    }
}

fn away() -> core::Error {
    core::Error::new(core::Code::Unavailable, "the store does not answer now")
}
