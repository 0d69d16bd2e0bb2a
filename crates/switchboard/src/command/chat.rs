//! `switchboard chat`: private conversations between phone numbers.

mod follow;
pub(super) mod show;

use clap::{Args, Subcommand};
use serde_json::json;
use switchboard_client::{Client, chat::Page};

use super::Target;
use crate::{Failure, output};

/// Send messages, list chats and messages, follow what happens.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,

    /// Whose users they are.
    #[arg(long, env = "SWITCHBOARD_TENANT", default_value = "default", global = true)]
    tenant: String,

    #[command(subcommand)]
    what: What,
}

#[derive(Clone, Debug, Subcommand)]
enum What {
    /// Make a user known, and set his name. Nobody has to be known to be written to.
    Register {
        /// A phone number, as +41791234567.
        phone: String,
        /// What he is called.
        #[arg(long)]
        name: Option<String>,
    },
    /// Send a message.
    Send {
        /// Who sends it.
        #[arg(long, env = "SWITCHBOARD_PHONE")]
        from: String,
        /// To whom.
        #[arg(long)]
        to: String,
        /// A name for it: the same again is the same message. By default one is made up.
        #[arg(long, value_name = "CLIENT_MESSAGE_ID")]
        id: Option<String>,
        /// What is written.
        text: String,
    },
    /// List a user's chats, the latest activity first.
    Chats {
        /// A phone number.
        phone: String,
        #[command(flatten)]
        pages: Pages,
    },
    /// List the messages of a chat, the newest first.
    Messages {
        /// A phone number.
        phone: String,
        /// That of the other user.
        peer: String,
        #[command(flatten)]
        pages: Pages,
    },
    /// Show where a message is, step by step.
    Trace {
        /// Who sent it.
        phone: String,
        /// What he called it.
        client_message_id: String,
    },
    Follow(follow::Options),
}

#[derive(Clone, Copy, Debug, Args)]
struct Pages {
    /// How many to list.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    limit: u32,
    /// List all of them, page by page.
    #[arg(long)]
    all: bool,
}

/// Does what is asked.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    super::block_on(ask(options))
}

async fn ask(options: &Options) -> Result<(), Failure> {
    let Options { target, tenant, what } = options;
    let client = Client::new(&target.url)
        .map_err(|error| Failure::usage(error.to_string()))?
        .with_tenant(tenant.as_str());
    let failed = |error: switchboard_client::Error| {
        Failure::failed(format!("{} from {}: {error}", error.code(), target.url))
    };
    match what {
        What::Register { phone, name } => {
            let profile = client.register_user(phone, name.as_deref()).await.map_err(failed)?;
            let name = profile.name.as_deref();
            if target.json {
                let (phone, created_at) = (&profile.phone, profile.created_at);
                let new = profile.new;
                return output::line(format_args!(
                    "{}",
                    json!({"phone": phone, "name": name, "created_at": created_at, "new": new})
                ));
            }
            let known = if profile.new { "known from now on" } else { "known" };
            let name = name.map(output::clean).unwrap_or_default();
            output::line(format_args!("{} {name} ({known})", profile.phone))
        }
        What::Send { from, to, id, text } => {
            let sent = client.send_message(from, to, text, id.as_deref()).await;
            let (message, new) = sent.map_err(failed)?;
            if target.json {
                let told = json!({"message": show::message_json(&message), "new": new});
                return output::line(format_args!("{told}"));
            }
            let (id, status) = (message.id, message.status.as_str());
            let before = if new { "" } else { ", sent before" };
            let named = output::clean(&message.client_message_id);
            output::line(format_args!("{id} to {} ({status}{before}) as {named}", message.to))
        }
        What::Chats { phone, pages } => {
            let read = async |cursor: String| client.list_chats(phone, pages.limit, &cursor).await;
            let list = |chat| show::chat(&chat, target.json);
            each(*pages, read, list, &failed).await
        }
        What::Messages { phone, peer, pages } => {
            let read = async |cursor: String| {
                client.list_messages(phone, peer, pages.limit, &cursor).await
            };
            let list = |message| show::message(&message, target.json);
            each(*pages, read, list, &failed).await
        }
        What::Trace { phone, client_message_id } => {
            let traced = client.trace_message(phone, client_message_id).await;
            let (message, steps) = traced.map_err(failed)?;
            show::trace(&message, &steps, target.json)
        }
        What::Follow(follow) => follow::run(follow, &client, target.json).await,
    }
}

/// Lists the first page, or all.
async fn each<T>(
    pages: Pages,
    read: impl AsyncFn(String) -> Result<Page<T>, switchboard_client::Error>,
    list: impl Fn(T) -> Result<(), Failure>,
    failed: &impl Fn(switchboard_client::Error) -> Failure,
) -> Result<(), Failure> {
    let mut cursor = String::new();
    loop {
        let page = read(cursor).await.map_err(failed)?;
        page.entries.into_iter().try_for_each(&list)?;
        if !pages.all || page.next_cursor.is_empty() {
            return Ok(());
        }
        cursor = page.next_cursor;
    }
}
