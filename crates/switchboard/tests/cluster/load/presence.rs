//! Clients that are online, and what each status node says of how many there are.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use switchboard_client::{
    Client, Session,
    session::{Event, Status},
};
use tokio::{task::JoinSet, time};

use super::{Ground, locked};

const TENANT: &str = "presence";

/// How many clients stay, and how many leave.
const STAY: u64 = 150;
const LEAVE: u64 = 50;

/// How long a client counts after it was seen last.
const WINDOW: Duration = Duration::from_mins(3);

/// How much earlier or later than it left a client may have been seen last: the interval of the
/// reports, the difference of the clocks, and what a busy machine adds.
const GRACE: Duration = Duration::from_secs(15);

/// One answer of a status node.
#[derive(Clone, Copy, Debug)]
struct Told {
    at: Instant,
    node: usize,
    online: u64,
}

/// What was told, and when some left.
#[derive(Debug, Default)]
pub(crate) struct History {
    told: Mutex<Vec<Told>>,
    broken: Mutex<Vec<Instant>>,
    left: Mutex<Option<Instant>>,
    leaving: Mutex<Vec<Session>>,
    staying: Mutex<Vec<Session>>,
}

pub(crate) fn start(
    ground: &Ground,
    readers: Vec<String>,
    tasks: &mut JoinSet<()>,
) -> Arc<History> {
    let history = Arc::new(History::default());
    for number in 0..STAY + LEAVE {
        let breaks = Arc::clone(&history);
        let told = move |event| {
            if let Event::Disconnected { .. } = event {
                locked(&breaks.broken).push(Instant::now());
            }
        };
        let client = ground.tcp_client(TENANT).connect(format!("client-{number}"));
        let session = client.with_status(|| Status::Even).with_events(told).start().unwrap();
        let sessions = if number < STAY { &history.staying } else { &history.leaving };
        locked(sessions).push(session);
    }
    for (number, url) in readers.into_iter().enumerate() {
        tasks.spawn(read(ground.clone(), Arc::clone(&history), number, url));
    }
    history
}

/// Asks a status node several times a second.
async fn read(ground: Ground, history: Arc<History>, node: usize, url: String) {
    let client = Client::new(&url).unwrap().with_tenant(TENANT);
    let client = client.with_timeout(Duration::from_millis(500));
    while !ground.stopped() {
        // One that is gone or not ready says nothing.
        if let Ok(told) = client.online().await {
            let online = told.online;
            locked(&history.told).push(Told { at: Instant::now(), node, online });
        }
        time::sleep(Duration::from_millis(250)).await;
    }
}

impl History {
    /// Whether each of so many nodes says that all are online, or were.
    pub(crate) fn settled(&self, nodes: usize) -> bool {
        let told = locked(&self.told);
        (0..nodes).all(|node| {
            let last = told.iter().rev().find(|it| it.node == node);
            last.is_some_and(|it| it.online == STAY + LEAVE)
        })
    }

    /// Some leave. What was told before the first was counted is forgotten.
    pub(crate) fn leave(&self) {
        locked(&self.told).clear();
        *locked(&self.left) = Some(Instant::now());
        locked(&self.leaving).clear();
    }

    /// How many answers came since, and how many sessions broke.
    pub(crate) fn since(&self, then: Instant) -> (usize, usize) {
        let told = locked(&self.told).iter().filter(|it| then <= it.at).count();
        (told, locked(&self.broken).iter().filter(|it| then <= **it).count())
    }
}

/// How many may be online so long after some have left.
fn allowed(since: Duration) -> (u64, u64) {
    let least = if since + GRACE < WINDOW { STAY + LEAVE } else { STAY };
    let most = if since < WINDOW + GRACE { STAY + LEAVE } else { STAY };
    (least, most)
}

/// Looks at each answer.
pub(crate) fn check(ground: &Ground, history: &History) {
    let Some(left) = *locked(&history.left) else { return };
    for told in locked(&history.told).iter() {
        let (least, most) = allowed(told.at - left);
        if told.online < least || most < told.online {
            let Told { node, online, at } = told;
            let after = at.duration_since(left);
            ground.wrong(format!(
                "status node {node} counted {online} after {after:.1?}, not {least} to {most}"
            ));
        }
    }
    locked(&history.staying).clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_left_counts_for_three_minutes() {
        let allowed = |seconds| allowed(Duration::from_secs(seconds));
        assert_eq!(allowed(0), (200, 200));
        assert_eq!(allowed(164), (200, 200));
        assert_eq!(allowed(180), (150, 200));
        assert_eq!(allowed(196), (150, 150));
    }
}
