//! `switchboard chat follow`: shows what happens while one types.

use std::{
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    sync::{Mutex, PoisonError},
    thread,
};

use clap::Args;
use rustyline_async::{Readline, ReadlineEvent, SharedWriter};
use switchboard_client::{
    Client, Session,
    chat::{Happening, Message},
    session::{Event, Status},
};
use switchboard_core::time::Clock as _;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use super::show;
use crate::{Failure, clock::SystemClock, output};

/// What may wait to be shown.
const EVENTS_MAX: usize = 65_536;

/// Show what happens to a user, as it happens, until Ctrl-C; with --peer, a small chat: what is
/// typed is sent, a line a message.
#[derive(Clone, Debug, Args)]
pub(super) struct Options {
    /// A phone number.
    phone: String,

    /// With whom to chat: lines of standard input are sent to him, and what he writes is marked as
    /// read once it is shown.
    #[arg(long)]
    peer: Option<String>,

    /// From where on: the cursor of an entry, `start` or `now`.
    #[arg(long, default_value = "now", value_name = "CURSOR")]
    after: String,
}

/// Where lines come from, and where what happens is shown.
enum Screen {
    /// A terminal: what is being typed stays below what is shown.
    Terminal(Box<Readline>, SharedWriter),
    /// Lines of a file or another program; none once they have ended.
    Lines(Option<mpsc::Receiver<String>>),
}

pub(super) async fn run(options: &Options, client: &Client, json: bool) -> Result<(), Failure> {
    let (events, mut happens) = mpsc::channel(EVENTS_MAX);
    let events = Mutex::new(Some(events));
    let session = client
        .connect(options.phone.as_str())
        .with_status(|| Status::clock(SystemClock.now().0))
        .with_inbox(options.after.as_str())
        .with_events(move |event| {
            let mut events = events.lock().unwrap_or_else(PoisonError::into_inner);
            // Nothing is left out: where there is no room any more, it ends.
            events.take_if(|it| it.try_send(event).is_err());
        })
        .start()
        .map_err(|error| Failure::usage(error.to_string()))?;
    let failed = |error| Failure::failed(format!("can't listen for signals: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut screen = Screen::open(options.peer.is_some())?;
    let outcome = loop {
        tokio::select! {
            event = happens.recv() => {
                let Some(event) = event else {
                    let what = "what is shown is not read: go on with --after and the last cursor";
                    break Err(Failure::failed(what));
                };
                let taken = take(event, options, &session, &mut screen, json);
                if taken.is_err() {
                    break taken;
                }
            }
            typed = screen.line() => match typed {
                Some(text) if text.trim().is_empty() => {}
                Some(text) => send(options, &session, &text, &mut screen).await?,
                None => break Ok(()),
            },
            _ = interrupt.recv() => break Ok(()),
            _ = terminate.recv() => break Ok(()),
        }
    };
    session.close().await;
    screen.close();
    outcome
}

/// Shows what happened.
fn take(
    event: Event,
    options: &Options,
    session: &Session,
    screen: &mut Screen,
    json: bool,
) -> Result<(), Failure> {
    match event {
        Event::Happened(entry) => {
            screen.show(&show::entry(&entry, json))?;
            if let Happening::Message(Message { id, from, chat, .. }) = &entry.what
                && from == chat
                && options.peer.as_deref().is_some_and(|peer| same(peer, chat))
            {
                // It is on the screen: read. The answer is not waited for.
                drop(session.acknowledge(chat, None, Some(*id)));
            }
            Ok(())
        }
        Event::Typing { peer, typing: true, .. } if !json => {
            screen.note(&format!("  {} is typing", output::clean(&peer)))
        }
        Event::Disconnected { error, retry_in: None, .. } => {
            Err(Failure::failed(format!("{}: {error}", error.code())))
        }
        Event::Disconnected { error, .. } => {
            screen.note(&format!("  not connected: {error}; trying again"))
        }
        Event::Refused(error) => Err(Failure::failed(format!("{}: {error}", error.code()))),
        _ => Ok(()),
    }
}

/// Whether two writings are of one number: by their digits.
fn same(one: &str, other: &str) -> bool {
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    digits(one).trim_start_matches('0') == digits(other).trim_start_matches('0')
}

async fn send(
    options: &Options,
    session: &Session,
    text: &str,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let Some(peer) = &options.peer else { return Ok(()) };
    match session.send(peer, text, None).await {
        // It comes back through the inbox, and is shown then.
        Ok(_) => Ok(()),
        Err(error) => screen.note(&format!("  not sent: {error}")),
    }
}

impl Screen {
    fn open(reads: bool) -> Result<Self, Failure> {
        if !reads {
            return Ok(Self::Lines(None));
        }
        if io::stdin().is_terminal() && io::stdout().is_terminal() {
            let opened = Readline::new("> ".to_owned());
            let (readline, writer) = opened.map_err(|error| {
                Failure::failed(format!("this terminal can't be used: {error}"))
            })?;
            return Ok(Self::Terminal(Box::new(readline), writer));
        }
        let (lines, typed) = mpsc::channel(16);
        thread::spawn(move || {
            for line in io::stdin().lock().lines().map_while(Result::ok) {
                if lines.blocking_send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self::Lines(Some(typed)))
    }

    /// The next line; none at the end.
    async fn line(&mut self) -> Option<String> {
        match self {
            Self::Terminal(readline, _) => match readline.readline().await {
                Ok(ReadlineEvent::Line(line)) => {
                    readline.add_history_entry(line.clone());
                    Some(line)
                }
                _ => None,
            },
            Self::Lines(Some(lines)) => lines.recv().await,
            Self::Lines(None) => std::future::pending().await,
        }
    }

    /// Shows a line of the result.
    fn show(&mut self, line: &str) -> Result<(), Failure> {
        match self {
            Self::Terminal(_, writer) => {
                writeln!(writer, "{line}").map_err(|error| Failure::failed(error.to_string()))
            }
            Self::Lines(_) => output::line(format_args!("{line}")),
        }
    }

    /// Tells the person who looks something beside the result.
    fn note(&mut self, note: &str) -> Result<(), Failure> {
        match self {
            Self::Terminal(..) => self.show(note),
            Self::Lines(_) => {
                output::note(format_args!("{note}"));
                Ok(())
            }
        }
    }

    /// Leaves the terminal as it was.
    fn close(self) {
        if let Self::Terminal(mut readline, writer) = self {
            drop(writer);
            // Best effort: the program ends.
            let _ = readline.flush();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writings_of_one_number() {
        assert!(same("+41 79 123 45 67", "+41791234567"));
        assert!(same("0041791234567", "+41791234567"));
        assert!(!same("+41791234568", "+41791234567"));
    }
}
