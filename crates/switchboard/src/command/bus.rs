//! The bus: `switchboard publish`, `subscribe`, `request`, `respond` and `queue`.

mod data;
mod exec;
pub(crate) mod publish;
pub(crate) mod queue;
pub(crate) mod request;
pub(crate) mod respond;
mod show;
pub(crate) mod subscribe;

use clap::Args;
use switchboard_client::{
    Client,
    bus::{Break, Interest},
};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Target;
use crate::{Failure, output};

/// Which node a command talks to, and whose events they are.
#[derive(Clone, Debug, Args)]
struct Bus {
    #[command(flatten)]
    target: Target,

    /// Whose events they are.
    #[arg(long, env = "SWITCHBOARD_TENANT", default_value = "default", global = true)]
    tenant: String,
}

impl Bus {
    fn client(&self) -> Result<Client, Failure> {
        let client = Client::new(&self.target.url);
        let client = client.map_err(|error| Failure::usage(error.to_string()))?;
        Ok(client.with_tenant(self.tenant.as_str()))
    }

    /// Makes an error into a failure.
    fn failed(&self) -> impl Fn(switchboard_client::Error) -> Failure + use<'_> {
        |error| Failure::failed(format!("{} from {}: {error}", error.code(), self.target.url))
    }
}

/// Which events are wanted.
#[derive(Clone, Debug, Args)]
struct Wanted {
    /// Topics: in a filter `*` stands for any one word, and `>` at the end for one or more. Quote
    /// both, as in 'orders.>'.
    #[arg(value_name = "FILTER", required = true, num_args = 1..=32)]
    filters: Vec<String>,

    /// Only events of this type; may be given up to 32 times.
    #[arg(long = "type", id = "type", value_name = "TYPE")]
    types: Vec<String>,
}

impl Wanted {
    fn interest(&self) -> Interest {
        Interest::new(&self.filters).with_types(&self.types)
    }
}

/// The signals that end a command in good order.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn listen() -> Result<Self, Failure> {
        let failed = |error| Failure::failed(format!("can't listen for signals: {error}"));
        let interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let terminate = signal(SignalKind::terminate()).map_err(failed)?;
        Ok(Self { interrupt, terminate })
    }

    /// Waits for one.
    async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Says that a connection is gone, and comes back.
#[expect(clippy::needless_pass_by_value, reason = "as the client gives it")]
fn note_break(it: Break) {
    let (error, pause) = (&it.error, it.retry_in.as_secs_f64());
    let code = error.code();
    output::note(format_args!("disconnected, again in {pause:.1} s: {code}: {error}"));
}
