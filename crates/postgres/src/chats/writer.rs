//! Writes groups: reads what they are about under locks, decides as if one came after the other,
//! writes what has changed.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use switchboard_core::{Millis, chat::Signals};

use super::{
    state::State,
    wanted::Wanted,
    work::{Done, Work},
};
use crate::{
    lane::{self, Fault, Writing, Written},
    link::Link,
};

/// Who is told what happens.
#[derive(Default)]
pub(super) struct Listener(Mutex<Option<Arc<dyn Signals>>>);

/// Of a lane.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) listener: Arc<Listener>,
}

impl Listener {
    pub(super) fn set(&self, signals: Arc<dyn Signals>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(signals);
    }

    fn get(&self) -> Option<Arc<dyn Signals>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").finish_non_exhaustive()
    }
}

impl lane::Writer for Writer {
    type Work = Work;

    fn write<'a>(&'a mut self, link: &'a Link, works: &'a [Work]) -> Writing<'a, Done> {
        Box::pin(async move {
            let mut state = Wanted::by(works).read(link).await?;
            let done = works.iter().map(|work| decide(&mut state, work));
            let done = done.collect::<Result<_, _>>().map_err(Fault::Refused)?;
            let wrote = state.has_changed();
            if wrote {
                state.put(link).await?;
            }
            let (listener, signals) = (Arc::clone(&self.listener), state.changes.signals);
            let signal = move || {
                if let Some(listener) = listener.get() {
                    listener.tell(signals);
                }
            };
            Ok(Written { done, wrote, signal: wrote.then(|| Box::new(signal) as _) })
        })
    }
}

fn decide(state: &mut State, work: &Work) -> switchboard_core::Result<Done> {
    Ok(match work {
        Work::Send { drafts, arrived, .. } => {
            let waited = i64::try_from(arrived.elapsed().as_millis()).unwrap_or(i64::MAX);
            let now = |at: Millis| at.plus(waited);
            Done::Sent(drafts.iter().map(|draft| state.send(draft, now(draft.at))).collect())
        }
        Work::Acknowledge { receipts, .. } => {
            Done::Marks(receipts.iter().map(|stated| state.acknowledge(stated)).collect())
        }
        Work::Register { user, name, at, .. } => {
            Done::Registered(state.register(*user, name.as_ref(), *at)?)
        }
    })
}
