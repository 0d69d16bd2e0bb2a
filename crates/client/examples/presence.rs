//! Holds a session on a node at the default address, and reports what the clock says, as
//! `switchboard connect` does. The only argument is the client's id.
#![expect(clippy::print_stdout, reason = "an example")]

use std::time::{SystemTime, UNIX_EPOCH};

use switchboard_client::{Client, Error, session::Status};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let client = std::env::args().nth(1).unwrap_or_else(|| "ann".to_owned());
    let session = Client::new("tcp://127.0.0.1:7401")?
        .connect(client)
        .with_status(|| Status::clock(now_ms()))
        .with_events(|event| println!("{event:?}"))
        .start()?;
    // Until Ctrl-C; where that can't be heard, at once.
    let _ = tokio::signal::ctrl_c().await;
    session.close().await;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a program of its own, with its own clock")]
fn now_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}
