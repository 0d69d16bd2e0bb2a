//! A balancer of TCP connections in front of nodes: in turn, without stickiness.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use crate::{Result, node::get};

/// How often nodes are asked whether they are ready.
const LOOK: Duration = Duration::from_millis(100);

/// How long a node may take to accept, or to say that it is ready.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a thread that only copies needs.
const STACK_BYTES: usize = 64 * 1024;

/// Takes connections and gives them to nodes in turn, for as long as it is not dropped. One that is
/// not ready gets none; connections that are there are left alone.
#[derive(Debug)]
pub struct Balancer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    nodes: Mutex<Vec<Backend>>,
    turn: AtomicUsize,
    ended: AtomicBool,
}

#[derive(Clone, Debug)]
struct Backend {
    address: SocketAddr,
    admin: String,
    ready: bool,
}

impl Balancer {
    /// Listens on a port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// The port is taken.
    pub fn start(port: u16) -> Result<Self> {
        let taken = |error| format!("the balancer can't listen on 127.0.0.1:{port}: {error}");
        let listener = TcpListener::bind(("127.0.0.1", port)).map_err(taken)?;
        let address = listener.local_addr().map_err(taken)?;
        let shared = Arc::new(Shared::default());
        let (accepts, looks) = (Arc::clone(&shared), Arc::clone(&shared));
        spawn(move || accepts.accept(&listener))?;
        spawn(move || looks.look())?;
        Ok(Self { address, shared })
    }

    /// From now on a node takes its share: where it listens, and where it tells how it is.
    ///
    /// # Errors
    ///
    /// That is no address.
    pub fn add(&self, address: &str, admin: &str) -> Result<()> {
        let wrong = |error| format!("{address:?} is no address: {error}");
        let address = address.parse().map_err(wrong)?;
        self.shared.nodes().push(Backend { address, admin: admin.to_owned(), ready: true });
        Ok(())
    }

    /// Where it listens.
    pub fn address(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        // Whoever accepts looks up.
        let _ = TcpStream::connect_timeout(&self.address, PATIENCE);
    }
}

impl Shared {
    fn nodes(&self) -> std::sync::MutexGuard<'_, Vec<Backend>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for client in listener.incoming().flatten() {
            if self.ended.load(Ordering::Relaxed) {
                return;
            }
            let shared = Arc::clone(self);
            // Without a thread for it, the connection is closed.
            let _ = spawn(move || shared.serve(client));
        }
    }

    fn serve(&self, client: TcpStream) {
        let mut nodes = self.nodes().clone();
        if nodes.is_empty() {
            return;
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % nodes.len();
        nodes.rotate_left(turn);
        // Those that are not ready are better than none.
        nodes.sort_by_key(|node| !node.ready);
        let connect = |node: &Backend| TcpStream::connect_timeout(&node.address, PATIENCE).ok();
        if let Some(node) = nodes.iter().find_map(connect) {
            join(client, node);
        }
    }

    /// Asks each node again and again whether it is ready.
    fn look(&self) {
        while !self.ended.load(Ordering::Relaxed) {
            let nodes = self.nodes().clone();
            for (place, node) in nodes.iter().enumerate() {
                let ready = get(&node.admin, "/readyz", PATIENCE).is_some_and(|it| it.0 == 200);
                if let Some(known) = self.nodes().get_mut(place) {
                    known.ready = ready;
                }
            }
            thread::sleep(LOOK);
        }
    }
}

/// Copies both ways until both have ended.
fn join(client: TcpStream, node: TcpStream) {
    let nodelay = client.set_nodelay(true).and_then(|()| node.set_nodelay(true));
    if let (Ok(()), Ok(back), Ok(forth)) = (nodelay, node.try_clone(), client.try_clone())
        && spawn(move || copy(back, forth)).is_ok()
    {
        copy(client, node);
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 16 * 1024];
    loop {
        match from.read(&mut buffer) {
            // It has said all: so has this side.
            Ok(0) => {
                let _ = to.shutdown(Shutdown::Write);
                return;
            }
            Ok(length) if to.write_all(&buffer[..length]).is_ok() => {}
            // It broke: so has the other.
            _ => {
                let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
                return;
            }
        }
    }
}

pub(crate) fn spawn(run: impl FnOnce() + Send + 'static) -> Result<()> {
    let thread = thread::Builder::new().stack_size(STACK_BYTES).spawn(run);
    thread.map(drop).map_err(|error| format!("there is no thread: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers each connection in this way.
    fn server(answer: impl Fn(&mut TcpStream) -> std::io::Result<()> + Send + 'static) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        spawn(move || {
            for stream in listener.incoming() {
                let _ = answer(&mut stream.unwrap());
            }
        })
        .unwrap();
        address
    }

    /// A node that answers with its name.
    fn named(name: &'static str) -> String {
        server(move |stream| stream.write_all(name.as_bytes()))
    }

    /// What says of every node that it is ready.
    fn ready() -> String {
        server(|stream| {
            let _ = stream.read(&mut [0; 1_024])?;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        })
    }

    fn ask(balancer: &Balancer) -> String {
        let mut answer = String::new();
        let mut stream = TcpStream::connect(balancer.address()).unwrap();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn connections_go_to_nodes_in_turn_and_past_those_that_are_gone() {
        let balancer = Balancer::start(0).unwrap();
        let (one, two) = (named("one"), named("two"));
        let gone = "127.0.0.1:1";
        let ready = ready();
        for node in [&one, &two] {
            balancer.add(node, &ready).unwrap();
        }
        let mut answers: Vec<String> = (0..4).map(|_| ask(&balancer)).collect();
        answers.sort();
        assert_eq!(answers, ["one", "one", "two", "two"]);
        let balancer = Balancer::start(0).unwrap();
        balancer.add(gone, gone).unwrap();
        balancer.add(&two, gone).unwrap();
        assert_eq!((ask(&balancer), ask(&balancer)), ("two".to_owned(), "two".to_owned()));
    }
}
