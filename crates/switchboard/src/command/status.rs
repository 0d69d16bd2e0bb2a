//! `switchboard status`: who is online.

use std::io::{self, IsTerminal as _};

use clap::Args;
use serde_json::json;
use switchboard_client::{
    Client,
    presence::{Online, Point, Seen},
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_stream::StreamExt as _;

use super::Target;
use crate::{Failure, output};

/// Show how many clients are online: seen in the last three minutes.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,

    /// Whose clients are counted.
    #[arg(long, env = "SWITCHBOARD_TENANT", default_value = "default")]
    tenant: String,

    /// Count the clients of all tenants.
    #[arg(long, env = "SWITCHBOARD_ALL_TENANTS", conflicts_with_all = ["client", "history"])]
    all_tenants: bool,

    /// Keep the number live, until Ctrl-C.
    #[arg(long, env = "SWITCHBOARD_WATCH", conflicts_with_all = ["client", "history"])]
    watch: bool,

    /// Show one client instead: whether it is online, and when it was last seen.
    #[arg(long, value_name = "ID", conflicts_with = "history")]
    client: Option<String>,

    /// Show the past instead: how many were online in each of the last minutes, up to 1440.
    #[arg(long, value_name = "MINUTES", value_parser = clap::value_parser!(u32).range(1..=1_440))]
    history: Option<u32>,
}

/// Asks the node, and prints what it says.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    super::block_on(ask(options))
}

async fn ask(options: &Options) -> Result<(), Failure> {
    let Options { target, client: of, .. } = options;
    let client = Client::new(&target.url)
        .map_err(|error| Failure::usage(error.to_string()))?
        .with_tenant(options.tenant.as_str());
    let failed = |error: switchboard_client::Error| {
        Failure::failed(format!("{} from {}: {error}", error.code(), target.url))
    };
    if options.watch {
        return watch(options, &client).await;
    }
    if let Some(id) = of {
        let seen = client.presence_of(id).await.map_err(failed)?;
        return output::line(format_args!("{}", one(target.json, id, &seen)));
    }
    if let Some(minutes) = options.history {
        let points = client.online_history(minutes).await.map_err(failed)?;
        return past(target.json, &points);
    }
    let online =
        if options.all_tenants { client.online_of_all().await } else { client.online().await };
    output::line(format_args!("{}", count(target.json, &online.map_err(failed)?)))
}

/// Prints each count: on a terminal one over the other.
async fn watch(options: &Options, client: &Client) -> Result<(), Failure> {
    let failed = |error: switchboard_client::Error| {
        Failure::failed(format!("{} from {}: {error}", error.code(), options.target.url))
    };
    let signals = |error| Failure::failed(format!("can't listen for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(signals)?;
    let mut counts = client.watch_online(options.all_tenants).await.map_err(failed)?;
    let over = io::stdout().is_terminal() && !options.target.json;
    loop {
        let online = tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            online = counts.next() => online,
        };
        match online {
            Some(online) => {
                let told = count(options.target.json, &online.map_err(failed)?);
                if over {
                    output::over(format_args!("{told}"))?;
                } else {
                    output::line(format_args!("{told}"))?;
                }
            }
            None => return Err(Failure::failed("the node ended the answer; ask again")),
        }
    }
}

fn count(as_json: bool, online: &Online) -> String {
    let Online { online, connected, window_seconds, as_of } = *online;
    if as_json {
        let told = json!({
            "online": online,
            "connected": connected,
            "window_seconds": window_seconds,
            "as_of": as_of,
        });
        return told.to_string();
    }
    format!("{online} online in the last {window_seconds} s, {connected} sessions open")
}

fn one(as_json: bool, id: &str, seen: &Seen) -> String {
    let Seen { online, status, last_seen, sessions } = *seen;
    if as_json {
        let told = json!({
            "client": id,
            "online": online,
            "status": status.as_str(),
            "last_seen": last_seen,
            "sessions": sessions,
        });
        return told.to_string();
    }
    let is = if online { "online" } else { "not online" };
    let seen = match last_seen {
        Some(at) => format!("last seen at {at} ms of Unix time"),
        None => "not seen as far as is known".to_owned(),
    };
    format!("{id} is {is}, {seen}, status {}, {sessions} sessions open", status.as_str())
}

fn past(as_json: bool, points: &[Point]) -> Result<(), Failure> {
    if as_json {
        let point = |point: &Point| json!({"at": point.at, "online": point.online});
        let points: Vec<_> = points.iter().map(point).collect();
        return output::line(format_args!("{}", json!({"points": points})));
    }
    let lines: Vec<_> =
        points.iter().map(|Point { at, online }| format!("{at} {online}\n")).collect();
    output::lines(lines.concat().as_bytes())
}
