//! What is heard: one subscription and one task for each subject.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_nats::Subscriber;
use futures_util::StreamExt as _;
use switchboard_core::signals::Subject;
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    message::{Came, Parts},
    news::News,
    wire::Wire,
};

/// What is to be heard.
#[derive(Debug, Default)]
pub(crate) struct Ears {
    wanted: Mutex<HashSet<Subject>>,
    changed: Notify,
}

impl Ears {
    /// A subject is to be heard from now on, or not.
    pub(crate) fn want(&self, subject: &Subject, wanted: bool) {
        let mut all = self.lock();
        let changed = if wanted { all.insert(subject.clone()) } else { all.remove(subject) };
        drop(all);
        if changed {
            self.changed.notify_one();
        }
    }

    /// Hears what is wanted, until stopped.
    pub(crate) async fn hear(
        &self,
        wire: Wire,
        news: Arc<News>,
        (tasks, stop): (TaskTracker, CancellationToken),
    ) {
        let mut heard: HashMap<Subject, CancellationToken> = HashMap::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.changed.notified() => {}
            }
            let wanted = self.lock().clone();
            heard.retain(|subject, hearing| {
                let keep = wanted.contains(subject);
                if !keep {
                    hearing.cancel();
                }
                keep
            });
            let new: Vec<_> =
                wanted.into_iter().filter(|subject| !heard.contains_key(subject)).collect();
            for subject in &new {
                // Taken by the client at once, unless the server is away for long.
                let subscribing = wire.subscribe(subject);
                let answer = tokio::select! {
                    () = stop.cancelled() => return,
                    answer = subscribing => answer,
                };
                match answer {
                    Ok(subscriber) => {
                        let hearing = stop.child_token();
                        tasks.spawn(listen(
                            subscriber,
                            wire.node,
                            Arc::clone(&news),
                            hearing.clone(),
                        ));
                        heard.insert(subject.clone(), hearing);
                    }
                    Err(error) => tracing::warn!(%error, %subject, "a subject can't be heard"),
                }
            }
            if !new.is_empty() {
                news.doubt.notify_one();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<Subject>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands on what comes, until it is no longer wanted.
async fn listen(mut from: Subscriber, node: u64, news: Arc<News>, until: CancellationToken) {
    let mut parts = Parts::default();
    loop {
        let message = tokio::select! {
            () = until.cancelled() => return,
            message = from.next() => message,
        };
        let Some(message) = message else { return };
        match parts.take(node, &message.payload) {
            Came::Whole(payload) => news.received(&payload),
            Came::Nothing => {}
            Came::Lost => news.spilt(),
            Came::Foreign => news.foreign(),
        }
    }
}
