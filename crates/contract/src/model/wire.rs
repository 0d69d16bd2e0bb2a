//! Signals between nodes of one process, and what can happen to them.

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use switchboard_core::signals::{Counts, Listener, PAYLOAD_BYTES_MAX, Signals, Subject};
use tokio::{runtime::Handle, time::sleep};

/// What becomes of one signal on its way to one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrives at once.
    Arrives,
    /// It is lost, and nobody is told.
    Lost,
    /// It arrives twice.
    Twice,
    /// It arrives later, behind others.
    Late(Duration),
}

/// Says what becomes of a signal with this payload.
type Decide = Arc<dyn Fn(&[u8]) -> Fate + Send + Sync>;

/// What nodes of one process are connected by. Cheap to clone.
#[derive(Clone, Default)]
pub struct Wire(Arc<Mutex<Shared>>);

#[derive(Default)]
struct Shared {
    nodes: Vec<Weak<End>>,
    decide: Option<Decide>,
    is_cut: bool,
}

/// One node's end of a [`Wire`].
pub struct End {
    wire: Wire,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    heard: HashSet<Subject>,
    listener: Option<Arc<dyn Listener>>,
    counts: Counts,
}

impl Wire {
    /// One more node.
    pub fn end(&self) -> Arc<End> {
        let end = Arc::new(End { wire: self.clone(), state: Mutex::default() });
        lock(&self.0).nodes.push(Arc::downgrade(&end));
        end
    }

    /// From now on this decides what becomes of signals.
    pub fn decide(&self, decide: impl Fn(&[u8]) -> Fate + Send + Sync + 'static) {
        lock(&self.0).decide = Some(Arc::new(decide));
    }

    /// Cuts the wire, so that all know, or mends it.
    pub fn cut(&self, is_cut: bool) {
        lock(&self.0).is_cut = is_cut;
        if !is_cut {
            self.ends().iter().for_each(|end| end.missed());
        }
    }

    fn ends(&self) -> Vec<Arc<End>> {
        lock(&self.0).nodes.iter().filter_map(Weak::upgrade).collect()
    }
}

impl End {
    fn heard(&self, subject: &Subject, payload: &[u8]) {
        let mut state = lock(&self.state);
        if !state.heard.contains(subject) {
            return;
        }
        state.counts.received += 1;
        let listener = state.listener.clone();
        drop(state);
        if let Some(listener) = listener {
            listener.heard(payload);
        }
    }

    fn missed(&self) {
        let listener = lock(&self.state).listener.clone();
        if let Some(listener) = listener {
            listener.missed();
        }
    }
}

impl Signals for End {
    fn tell(&self, subject: &Subject, payload: Vec<u8>) {
        let shared = lock(&self.wire.0);
        let (is_cut, decide) = (shared.is_cut, shared.decide.clone());
        drop(shared);
        let sent = !is_cut && payload.len() <= PAYLOAD_BYTES_MAX;
        let mut state = lock(&self.state);
        let counter = if sent { &mut state.counts.sent } else { &mut state.counts.unsent };
        *counter += 1;
        drop(state);
        if !sent {
            return;
        }
        let others =
            self.wire.ends().into_iter().filter(|end| !std::ptr::eq(&raw const **end, self));
        for end in others {
            match decide.as_ref().map_or(Fate::Arrives, |decide| decide(&payload)) {
                Fate::Arrives => end.heard(subject, &payload),
                Fate::Lost => {}
                Fate::Twice => {
                    end.heard(subject, &payload);
                    end.heard(subject, &payload);
                }
                Fate::Late(by) => {
                    let (subject, payload) = (subject.clone(), payload.clone());
                    let late = async move {
                        sleep(by).await;
                        end.heard(&subject, &payload);
                    };
                    if let Ok(runtime) = Handle::try_current() {
                        runtime.spawn(late);
                    }
                }
            }
        }
    }

    fn hear(&self, subject: &Subject) {
        if lock(&self.state).heard.insert(subject.clone()) {
            self.missed();
        }
    }

    fn ignore(&self, subject: &Subject) {
        lock(&self.state).heard.remove(subject);
    }

    fn listen(&self, listener: Arc<dyn Listener>) {
        lock(&self.state).listener = Some(listener);
        self.missed();
    }

    fn is_connected(&self) -> bool {
        !lock(&self.wire.0).is_cut
    }

    fn counts(&self) -> Counts {
        lock(&self.state).counts
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").finish_non_exhaustive()
    }
}

impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("End").finish_non_exhaustive()
    }
}
