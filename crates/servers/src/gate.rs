//! A gate between a node and NATS: it can hold back what passes, or lose signals in silence.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use crate::{Result, balancer::spawn};

/// Passes connections on to a server of NATS, for as long as it is not dropped.
#[derive(Debug)]
pub struct Gate {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    server: SocketAddr,
    frozen: Mutex<bool>,
    thawed: Condvar,
    loses: AtomicBool,
    lost: AtomicU64,
    ended: AtomicBool,
}

impl Gate {
    /// A gate to the server on this port of 127.0.0.1, which need not be there yet.
    ///
    /// # Errors
    ///
    /// There is no port for it.
    pub fn start(server: u16) -> Result<Self> {
        let failed = |error| format!("a gate can't listen: {error}");
        let listener = TcpListener::bind(("127.0.0.1", crate::free_port()?)).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let shared = Arc::new(Shared {
            server: SocketAddr::from(([127, 0, 0, 1], server)),
            frozen: Mutex::default(),
            thawed: Condvar::new(),
            loses: AtomicBool::default(),
            lost: AtomicU64::default(),
            ended: AtomicBool::default(),
        });
        let accepts = Arc::clone(&shared);
        spawn(move || accepts.accept(&listener))?;
        Ok(Self { address, shared })
    }

    /// What a node takes for the server.
    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// Lets nothing pass until it is thawed, and closes nothing.
    pub fn freeze(&self) {
        *self.shared.frozen.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }

    /// Lets pass what was held back, and what comes.
    pub fn thaw(&self) {
        *self.shared.frozen.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.shared.thawed.notify_all();
    }

    /// Whether the node gets nothing that others tell, and nobody knows; answers still pass.
    pub fn lose(&self, loses: bool) {
        self.shared.loses.store(loses, Ordering::Relaxed);
    }

    /// How many messages were lost.
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        self.thaw();
        // Whoever accepts looks up.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for node in listener.incoming().flatten() {
            if self.ended.load(Ordering::Relaxed) {
                return;
            }
            let shared = Arc::clone(self);
            // Without a thread for it, the connection is closed.
            let _ = spawn(move || shared.serve(&node));
        }
    }

    fn serve(self: &Arc<Self>, node: &TcpStream) {
        self.open();
        let Ok(server) = TcpStream::connect(self.server) else { return };
        let nodelay = node.set_nodelay(true).and_then(|()| server.set_nodelay(true));
        let (Ok(()), Ok(said), Ok(to)) = (nodelay, server.try_clone(), node.try_clone()) else {
            return;
        };
        let shared = Arc::clone(self);
        let _ = spawn(move || {
            // Whatever the end: both sides learn of it.
            let _ = shared.pass_messages(&said, &to);
            let _ = (said.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
        });
        let _ = self.pass(node, &server);
        let _ = (node.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
    }

    /// Waits while it is frozen.
    fn open(&self) {
        let frozen = self.frozen.lock().unwrap_or_else(PoisonError::into_inner);
        let open = |frozen: &mut bool| *frozen && !self.ended.load(Ordering::Relaxed);
        drop(self.thawed.wait_while(frozen, open).unwrap_or_else(PoisonError::into_inner));
    }

    fn pass(&self, mut from: &TcpStream, mut to: &TcpStream) -> std::io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        loop {
            let length = from.read(&mut buffer)?;
            if length == 0 {
                return Ok(());
            }
            self.open();
            to.write_all(&buffer[..length])?;
        }
    }

    /// Passes what the server says, operation by operation: lines, and behind `MSG` and `HMSG` as
    /// many bytes as they say last (docs.nats.io, "Client Protocol").
    fn pass_messages(&self, from: &TcpStream, mut to: &TcpStream) -> std::io::Result<()> {
        let mut from = BufReader::new(from);
        let mut operation = Vec::new();
        loop {
            operation.clear();
            if from.read_until(b'\n', &mut operation)? == 0 {
                return Ok(());
            }
            let line = String::from_utf8_lossy(&operation);
            let is_message = line.starts_with("MSG ") || line.starts_with("HMSG ");
            // What the server itself answers says nothing that another node told.
            let is_told = is_message && !line.contains(" _INBOX.");
            if is_message {
                let bytes = line.split_whitespace().last().and_then(|it| it.parse().ok());
                let line = operation.len();
                operation.resize(line + bytes.unwrap_or(0_usize) + 2, 0);
                from.read_exact(&mut operation[line..])?;
            }
            self.open();
            if is_told && self.loses.load(Ordering::Relaxed) {
                self.lost.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            to.write_all(&operation)?;
        }
    }
}
