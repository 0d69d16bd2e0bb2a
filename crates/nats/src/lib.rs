//! Signals between nodes, over core NATS.
//!
//! One connection a node, one subscription a subject. What can't be sent is lost, and counted;
//! nothing waits for the server, and nothing piles up while it is away. What is lost in silence is
//! found by whoever reads the store.

mod ears;
mod message;
mod news;
mod outbox;
mod wire;

use std::{fmt, future, sync::Arc, time::Duration};

use async_nats::{
    Client, ConnectErrorKind, ConnectOptions, Event, RequestErrorKind, ServerAddr,
    connection::State,
};
use bytes::Bytes;
use rand::RngExt as _;
use switchboard_core::{
    Code, Error, Result,
    signals::{Counts, Listener, Signals, Subject},
};
use tokio::time::{self, Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{ears::Ears, news::News, outbox::Outbox, wire::Wire};

/// What all our subjects begin with. The number is that of the format of what is told.
pub(crate) const PREFIX: &str = "switchboard.1.";

/// What is asked of nobody: that nobody is there is answered by the server itself, which has then
/// seen all that was sent before.
const CHECK: &str = "switchboard.1.check";

/// How long a server may take to be reached when a node starts.
const START: Duration = Duration::from_secs(5);

/// How long one attempt to connect may take, and one answer.
const ATTEMPT: Duration = Duration::from_secs(2);

/// The longest time between two attempts, in milliseconds.
const BACKOFF_MS_MAX: u64 = 2_000;

/// How often the server is asked whether it is there: one that does not answer three times is given
/// up.
const PING: Duration = Duration::from_secs(1);

/// What is on its way to the connection at the most, in messages.
const COMMANDS_MAX: usize = 256;

/// The messages of one subject that are not taken yet, at the most.
const MESSAGES_MAX: usize = 8_192;

/// The version of the server from which on it says that nobody is there.
const OLDEST: (i64, i64, i64) = (2, 2, 0);

/// A node's connection to NATS. It ends with this.
pub struct Nats {
    client: Client,
    news: Arc<News>,
    ears: Arc<Ears>,
    outbox: Outbox,
    stop: CancellationToken,
}

impl Nats {
    /// Whether these are addresses of servers.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidRequest`].
    pub fn check(urls: &str) -> Result<()> {
        servers(urls).map(|_| ())
    }

    /// Connects to one of the servers at `urls`, which are separated by commas. From then on it
    /// connects again by itself, for ever. Nodes hear each other that name the same `cluster`: 1 to
    /// 64 of `[A-Za-z0-9_-]`.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidRequest`] for what is no address, or no name of a cluster;
    /// [`Code::Unavailable`] when no server is reached within 5 seconds, one is too old, or it
    /// refuses rights.
    pub async fn connect(urls: &str, cluster: &str) -> Result<Self> {
        let (servers, prefix) = (servers(urls)?, wire::prefix(cluster)?);
        let news = Arc::new(News::default());
        let client = connect(servers, &news).await?;
        check_server(&client, &news).await?;
        let (ears, stop) = (Arc::new(Ears::default()), CancellationToken::new());
        let (outbox, outgoing) = outbox::outbox();
        let wire = Wire::new(client.clone(), rand::rng().random(), prefix);
        let tasks = TaskTracker::new();
        tasks.spawn(outgoing.send(wire.clone(), Arc::clone(&news), stop.clone()));
        let hearing = (Arc::clone(&ears), Arc::clone(&news));
        let held = (tasks.clone(), stop.clone());
        tasks.spawn(async move { hearing.0.hear(wire, hearing.1, held).await });
        tasks.spawn(settle_doubts(client.clone(), Arc::clone(&news), stop.clone()));
        Ok(Self { client, news, ears, outbox, stop })
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl fmt::Debug for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nats").field("connected", &self.is_connected()).finish_non_exhaustive()
    }
}

impl Signals for Nats {
    fn tell(&self, subject: &Subject, payload: Vec<u8>) {
        if !self.is_connected() || !self.outbox.put(subject, payload) {
            self.news.sent(false);
        }
    }

    fn hear(&self, subject: &Subject) {
        self.ears.want(subject, true);
    }

    fn ignore(&self, subject: &Subject) {
        self.ears.want(subject, false);
    }

    fn listen(&self, listener: Arc<dyn Listener>) {
        self.news.listen(listener);
    }

    fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    fn counts(&self) -> Counts {
        self.news.counts()
    }
}

fn servers(urls: &str) -> Result<Vec<ServerAddr>> {
    let server = |url: &str| {
        let url = url.trim();
        let known = ["nats://", "tls://"].iter().any(|scheme| url.starts_with(scheme));
        let server = url.parse::<ServerAddr>().ok().filter(|it| known && !it.host().is_empty());
        server.ok_or_else(|| {
            // It may have a password.
            let what = "this is no address of a NATS server, such as nats://127.0.0.1:4222 (or \
                        several of them, with commas between them)";
            Error::new(Code::InvalidRequest, what)
        })
    };
    urls.split(',').map(server).collect()
}

/// Tries until there is a connection, or it has taken too long.
async fn connect(servers: Vec<ServerAddr>, news: &Arc<News>) -> Result<Client> {
    let names: Vec<_> =
        servers.iter().map(|server| format!("{}:{}", server.host(), server.port())).collect();
    let names = names.join(", ");
    let began = Instant::now();
    loop {
        let error = match options(news, &servers).connect(servers.clone()).await {
            Ok(client) => return Ok(client),
            Err(error) => error,
        };
        let what = match error.kind() {
            ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                format!(
                    "NATS at {names} does not let this node in: its address needs the right \
                         user and password, or token"
                )
            }
            _ if began.elapsed() < START => {
                time::sleep(Duration::from_millis(200)).await;
                continue;
            }
            _ => format!("NATS at {names} is not reached"),
        };
        return Err(Error::new(Code::Unavailable, what).caused_by(error));
    }
}

fn options(news: &Arc<News>, servers: &[ServerAddr]) -> ConnectOptions {
    let news = Arc::clone(news);
    let named = servers.iter().find_map(|server| Some((server.username()?, server.password())));
    let options = match named {
        None => ConnectOptions::new(),
        Some((token, None)) => ConnectOptions::with_token(plain(token)),
        Some((user, Some(password))) => {
            ConnectOptions::with_user_and_password(plain(user), plain(password))
        }
    };
    options
        .name("switchboard")
        .no_echo()
        .connection_timeout(ATTEMPT)
        .request_timeout(Some(ATTEMPT))
        .ping_interval(PING)
        .client_capacity(COMMANDS_MAX)
        .subscription_capacity(MESSAGES_MAX)
        .custom_inbox_prefix(format!("{PREFIX}inbox"))
        .reconnect_delay_callback(|attempts| {
            // Nodes that lost the same server do not all come back at the same moment.
            let ms = (25 << attempts.min(7)).min(BACKOFF_MS_MAX);
            Duration::from_millis(rand::rng().random_range(ms / 2..=ms))
        })
        .event_callback(move |event: Event| {
            news.happened(&event);
            future::ready(())
        })
}

/// A part of an address as it is meant: `%2F` is a slash.
fn plain(part: &str) -> String {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        let code = behind.get(..2).filter(|_| first == b'%');
        let code = code.and_then(|digits| str::from_utf8(digits).ok());
        let byte = code.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(first));
        rest = if byte.is_some() { &behind[2..] } else { behind };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether the server is one that does what is needed, and lets us.
async fn check_server(client: &Client, news: &News) -> Result<()> {
    let version = client.server_info().version;
    if !client.is_server_compatible(OLDEST.0, OLDEST.1, OLDEST.2) {
        let (major, minor, patch) = OLDEST;
        let what = format!(
            "the NATS server has the version {version}: at least {major}.{minor}.{patch} is needed"
        );
        return Err(Error::new(Code::Unavailable, what));
    }
    let asked = client.request(CHECK, Bytes::new()).await;
    match asked.map_err(|error| (error.kind(), error)) {
        Ok(_) | Err((RequestErrorKind::NoResponders, _)) => Ok(()),
        Err((_, error)) => {
            let what = match news.take_refused() {
                Some(refused) => format!(
                    "NATS lets this node in, and refuses rights: it must publish and subscribe to \
                     {PREFIX}> ({refused})"
                ),
                None => "NATS took the connection, and does not answer".to_owned(),
            };
            Err(Error::new(Code::Unavailable, what).caused_by(error))
        }
    }
}

/// Whenever something may have been missed: tells so once all subjects are heard again.
async fn settle_doubts(client: Client, news: Arc<News>, stop: CancellationToken) {
    let settle = async {
        loop {
            news.doubt.notified().await;
            // Not connected: there will be a doubt when it is.
            while client.connection_state() == State::Connected {
                // Answered once the server has taken in all subscriptions that were made before.
                let asked = client.request(CHECK, Bytes::new()).await;
                let there = asked
                    .map_or_else(|error| error.kind() == RequestErrorKind::NoResponders, |_| true);
                if there {
                    if let Some(listener) = news.listener() {
                        listener.missed();
                    }
                    break;
                }
                time::sleep(Duration::from_millis(100)).await;
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = settle => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_addresses_are_meant_plainly() {
        for (part, expected) in [
            ("a", "a"),
            ("a%2Fb%40", "a/b@"),
            ("%C3%A9", "é"),
            ("%", "%"),
            ("%4", "%4"),
            ("%zz", "%zz"),
        ] {
            assert_eq!(plain(part), expected);
        }
    }
}
