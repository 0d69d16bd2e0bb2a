//! What a session tells the application.

use switchboard_client::session::{Builder, Event};
use tokio::{sync::mpsc, time};

use crate::gateway::DEADLINE;

/// The events of a session, in order.
pub(crate) struct Heard(mpsc::Receiver<Event>);

/// A session whose events are heard.
pub(crate) fn heard(builder: Builder) -> (Builder, Heard) {
    let (sender, receiver) = mpsc::channel(1_024);
    let builder = builder.with_events(move |event| sender.try_send(event).unwrap());
    (builder, Heard(receiver))
}

impl Heard {
    pub(crate) async fn next(&mut self) -> Event {
        let next = time::timeout(DEADLINE, self.0.recv()).await.expect("no event comes");
        next.expect("the session goes on")
    }

    /// The number of the session, which must be connected next.
    pub(crate) async fn connected(&mut self) -> u64 {
        match self.next().await {
            Event::Connected { session_id, .. } => session_id,
            other => panic!("{other:?} instead of connected"),
        }
    }

    /// The code of why, and whether there will be another try.
    pub(crate) async fn disconnected(&mut self) -> (String, bool) {
        match self.next().await {
            Event::Disconnected { error, retry_in, .. } => {
                (error.code().to_owned(), retry_in.is_some())
            }
            other => panic!("{other:?} instead of disconnected"),
        }
    }

    /// Waits until the session and its callbacks are gone.
    pub(crate) async fn gone(&mut self) {
        let next = time::timeout(DEADLINE, self.0.recv()).await.expect("the session goes on");
        assert_eq!(next, None);
    }
}
