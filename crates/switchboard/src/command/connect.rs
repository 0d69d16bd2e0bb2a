//! `switchboard connect`: holds sessions, and prints what arrives.

mod client_file;

use std::{path::PathBuf, sync::Arc, time::Duration};

use clap::{Args, ValueEnum};
use futures_util::future;
use serde_json::json;
use switchboard_client::{
    Client, Session,
    session::{Event, Status},
};
use switchboard_core::time::Clock as _;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time,
};

use super::Target;
use crate::{Failure, clock::SystemClock, output};

/// How long after one session the next is opened: many at once would wait on each other anyway.
const PACE: Duration = Duration::from_millis(1);

/// What may wait to be printed: a few events for each session.
const EVENTS_PER_SESSION: usize = 16;

/// Hold a session: answer pings with a status, and print what arrives, until Ctrl-C.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,

    /// Where the node holds sessions over plain TCP.
    #[arg(long, env = "SWITCHBOARD_TCP_URL", default_value = "tcp://127.0.0.1:7401")]
    tcp_url: String,

    /// What carries the session: gRPC to --url, or plain TCP to --tcp-url.
    #[arg(long, env = "SWITCHBOARD_TRANSPORT", default_value = "grpc")]
    transport: Transport,

    /// Whose client it is.
    #[arg(long, env = "SWITCHBOARD_TENANT", default_value = "default")]
    tenant: String,

    /// The client's own id, 1 to 128 bytes; by default one that is generated once and kept.
    #[arg(long, env = "SWITCHBOARD_CLIENT", value_name = "ID")]
    client: Option<String>,

    /// Where a generated id is kept; by default `switchboard/client` in the user's data directory.
    #[arg(long, env = "SWITCHBOARD_CLIENT_FILE", value_name = "FILE")]
    client_file: Option<PathBuf>,

    /// What is reported; `clock` is `even` or `odd` as the Unix time in milliseconds is at each
    /// ping.
    #[arg(long, env = "SWITCHBOARD_STATUS", default_value = "clock")]
    status: Reported,

    /// How many sessions, for trying things out: more than one are of the clients ID-1, ID-2, …
    #[arg(
        long,
        env = "SWITCHBOARD_COUNT",
        value_name = "N",
        default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..=100_000)
    )]
    count: u32,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Transport {
    Tcp,
    Grpc,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Reported {
    Clock,
    Even,
    Odd,
    Unknown,
}

impl Reported {
    fn now(self) -> Status {
        match self {
            Self::Clock => Status::clock(SystemClock.now().0),
            Self::Even => Status::Even,
            Self::Odd => Status::Odd,
            Self::Unknown => Status::Unknown,
        }
    }
}

/// What happened to the session of a client.
type Told = (Arc<str>, Event);

/// Holds the sessions until a signal comes, or none is left.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let id = match &options.client {
        Some(id) => id.clone(),
        None => client_file::id(options.client_file.as_deref())?,
    };
    super::block_on(hold(options, &id))
}

async fn hold(options: &Options, id: &str) -> Result<(), Failure> {
    let failed = |error| Failure::failed(format!("can't listen for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let url = match options.transport {
        Transport::Tcp => &options.tcp_url,
        Transport::Grpc => &options.target.url,
    };
    let client = Client::new(url)
        .map_err(|error| Failure::usage(error.to_string()))?
        .with_tenant(options.tenant.as_str());
    let count = usize::try_from(options.count).unwrap_or(usize::MAX);
    let (sender, mut events) = mpsc::channel(count.saturating_mul(EVENTS_PER_SESSION));
    let mut sessions = Vec::with_capacity(count);
    let mut over = 0;
    let mut pace = time::interval(PACE);
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = pace.tick(), if sessions.len() < count => {
                let id = match count {
                    1 => id.to_owned(),
                    _ => format!("{id}-{}", sessions.len() + 1),
                };
                sessions.push(start(&client, id, options.status, &sender)?);
            }
            Some((client, event)) = events.recv() => {
                tell(options.target.json, &client, &event)?;
                if let Event::Disconnected { error, retry_in: None, .. } = event {
                    over += 1;
                    if over == count {
                        let code = error.code();
                        return Err(Failure::failed(format!("{code} from {url}: {error}")));
                    }
                }
            }
        }
    }
    future::join_all(sessions.into_iter().map(Session::close)).await;
    Ok(())
}

fn start(
    client: &Client,
    id: String,
    status: Reported,
    events: &mpsc::Sender<Told>,
) -> Result<Session, Failure> {
    let (name, events) = (Arc::from(id.as_str()), events.clone());
    client
        .connect(id)
        .with_status(move || status.now())
        // A terminal that is not read must not keep pings from being answered.
        .with_events(move |event| drop(events.try_send((Arc::clone(&name), event))))
        .start()
        .map_err(|error| Failure::usage(error.to_string()))
}

/// Prints what happened, in a line.
fn tell(as_json: bool, client: &str, event: &Event) -> Result<(), Failure> {
    if as_json {
        return output::line(format_args!("{}", as_object(client, event)));
    }
    match event {
        Event::Connected { session_id, .. } => {
            output::line(format_args!("{client}: connected, session {session_id}"))
        }
        Event::Draining { delay, .. } => {
            output::line(format_args!("{client}: the node is about to stop, wait {delay:?}"))
        }
        Event::Disconnected { error, retry_in: Some(pause), .. } => output::line(format_args!(
            "{client}: disconnected, again in {:.1} s: {}: {error}",
            pause.as_secs_f64(),
            error.code(),
        )),
        Event::Disconnected { error, .. } => {
            output::line(format_args!("{client}: refused for good: {}: {error}", error.code()))
        }
        Event::Refused(error) => {
            output::line(format_args!("{client}: error {}: {error}", error.code()))
        }
        other => output::line(format_args!("{client}: {other:?}")),
    }
}

fn as_object(client: &str, event: &Event) -> serde_json::Value {
    let ms = |duration: &Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    match event {
        Event::Connected { session_id, .. } => {
            json!({"client": client, "event": "connected", "session_id": session_id})
        }
        Event::Draining { delay, .. } => {
            json!({"client": client, "event": "draining", "delay_ms": ms(delay)})
        }
        Event::Disconnected { error, retry_in, .. } => json!({
            "client": client,
            "event": "disconnected",
            "code": error.code(),
            "detail": error.to_string(),
            "retry_in_ms": retry_in.as_ref().map(ms),
        }),
        Event::Refused(error) => json!({
            "client": client,
            "event": "refused",
            "code": error.code(),
            "detail": error.to_string(),
        }),
        other => json!({"client": client, "event": format!("{other:?}")}),
    }
}
