//! One connection.

use std::{
    collections::HashMap,
    fmt,
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Mutex,
    task::AbortHandle,
};
use tokio_postgres::{AsyncMessage, Client, Connection, NoTls, Statement, config::SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::task::TaskTracker;

use crate::{Error, address::Address, tls};

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);

/// How long the machine of the database may confirm nothing before it is taken to be gone.
const GONE: Duration = Duration::from_secs(12);

/// How every session is set, whatever the server's defaults are: what is answered is durable, here
/// and, where the server waits for others, there; a transaction sees what was committed before each
/// of its statements; all tables are in a schema of their own.
const SESSION: &str = "SET synchronous_commit = on; \
     SET default_transaction_isolation = 'read committed'; \
     SET lock_timeout = 0; SET statement_timeout = 0; \
     SET idle_in_transaction_session_timeout = 0; \
     SET search_path = switchboard";

/// How statements are planned, where the server can be told: once for all parameters; never by
/// reading all of a table, however small the statistics say that it is (they may be of the time
/// when it was empty); and not compiled: they are short, and to compile one took longer than a
/// second on a busy machine.
const PLANS: &str = "SELECT set_config(name, value, false) \
     FROM (VALUES ('plan_cache_mode', 'force_generic_plan'), ('enable_seqscan', 'off'), \
         ('jit', 'off')) AS wanted (name, value) \
     WHERE name IN (SELECT name FROM pg_settings)";

/// Makes connections.
#[derive(Clone)]
pub(crate) struct Connector {
    address: Arc<Address>,
    tls: Option<MakeRustlsConnect>,
}

/// A connection, and what was prepared on it.
pub(crate) struct Link {
    pub(crate) client: Client,
    /// Whether the server warned: what it says of a commit is not to be trusted then.
    warned: Arc<AtomicBool>,
    statements: Mutex<HashMap<&'static str, Statement>>,
}

impl Connector {
    /// # Errors
    ///
    /// The address asks for TLS, and there is nobody to trust.
    pub(crate) fn new(address: Address) -> Result<Self, Error> {
        let wants_tls = address.0.get_ssl_mode() == SslMode::Require;
        let tls = wants_tls.then(tls::checked).transpose()?;
        Ok(Self { address: Arc::new(address), tls })
    }

    /// A new connection to the primary.
    pub(crate) async fn connect(&self) -> Result<Link, Error> {
        let connecting = self.open();
        let link = tokio::time::timeout(CONNECT, connecting).await;
        link.map_err(|_| Error::new("the database does not answer"))?
    }

    async fn open(&self) -> Result<Link, Error> {
        let mut config = self.address.0.clone();
        config.connect_timeout(CONNECT).application_name("switchboard");
        // A machine that is gone says nothing. One that is only slow goes on to confirm what is
        // sent to it, whatever its programs do, and is waited for.
        config.keepalives_idle(GONE / 2).keepalives_interval(GONE / 6).keepalives_retries(3);
        config.tcp_user_timeout(GONE);
        let warned = Arc::new(AtomicBool::new(false));
        let warns = Arc::clone(&warned);
        // Each ends when the client is dropped, and what was sent is answered.
        let running = TaskTracker::new();
        let (client, running) = match &self.tls {
            None => {
                let (client, connection) = config.connect(NoTls).await?;
                (client, running.spawn(run(connection, warns)))
            }
            Some(tls) => {
                let (client, connection) = config.connect(tls.clone()).await?;
                (client, running.spawn(run(connection, warns)))
            }
        };
        let unfinished = EndOnDrop(Some(running.abort_handle()));
        client.batch_execute(SESSION).await?;
        client.batch_execute(PLANS).await?;
        unfinished.keep();
        Ok(Link { client, warned, statements: Mutex::default() })
    }
}

/// Drives a connection to its end, and notes whether the server warned.
async fn run<S, T>(mut connection: Connection<S, T>, warned: Arc<AtomicBool>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
        match message {
            Ok(AsyncMessage::Notice(notice)) if notice.severity() == "WARNING" => {
                tracing::warn!(notice = notice.message(), "the database warned");
                warned.store(true, Ordering::SeqCst);
            }
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, "a connection to the database ended");
                return;
            }
        }
    }
}

/// Ends a connection that nobody came to have: an attempt that takes too long leaves nothing.
struct EndOnDrop(Option<AbortHandle>);

impl EndOnDrop {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        if let Some(running) = &self.0 {
            running.abort();
        }
    }
}

impl Link {
    /// A statement, prepared when it is first asked for.
    pub(crate) async fn statement(
        &self,
        sql: &'static str,
    ) -> Result<Statement, tokio_postgres::Error> {
        let mut statements = self.statements.lock().await;
        if let Some(statement) = statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql).await?;
        statements.insert(sql, statement.clone());
        Ok(statement)
    }

    /// Whether the server warned since it was asked last.
    pub(crate) fn has_warned(&self) -> bool {
        self.warned.swap(false, Ordering::SeqCst)
    }

    /// Whether nothing more can come of it.
    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }
}

impl fmt::Debug for Connector {
    /// An address may have a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}
