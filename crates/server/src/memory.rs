//! Sessions without a wire: for measuring and for simulating many in one process.

use std::{
    fmt,
    hash::{BuildHasher as _, RandomState},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use switchboard_core::{
    Result,
    presence::{GatewayId, Report},
};
use switchboard_proto::frame;
use tokio_util::sync::CancellationToken;

use crate::{
    Limits, Ports,
    caller::Caller,
    gateway::{Gateway, Seat, Transport},
    node::Node,
    presence::Reports,
    telemetry::Metrics,
};

/// A gateway whose sessions are carried by nothing: what it sends is handed to a function, and what
/// that answers is taken as if it had come from a client.
///
/// Its reports go nowhere.
#[derive(Clone, Debug)]
pub struct Memory(Arc<Gateway>);

#[derive(Debug)]
struct Nowhere;

impl Reports for Nowhere {
    fn report(&self, _: Report) -> Pin<Box<dyn Future<Output = Result<()>> + Send>> {
        Box::pin(async { Ok(()) })
    }
}

impl Memory {
    /// A gateway on these ports.
    pub fn new(ports: Ports, metrics: Arc<Metrics>, limits: Limits) -> Self {
        let node = Node::new(ports, metrics, limits);
        let id = GatewayId(RandomState::new().hash_one(0));
        Self(Gateway::new(&node, id, Arc::new(Nowhere)))
    }

    /// Opens a session, to be driven as a future; it ends when the session does. `client` is handed
    /// what the node sends, as whole frames as on TCP, and appends what it answers.
    pub fn open<C: FnMut(&[u8], &mut Vec<u8>) + Unpin>(&self, client: C) -> Session<C> {
        Session { seat: Seat::new(&self.0, Caller::Open, Transport::Tcp), client, begun: false }
    }

    /// It is time for a ping, for every session at once.
    pub fn ping_all(&self) {
        self.0.wheel.tick();
    }

    /// Takes what the sessions report, once a second, until stopped.
    pub async fn report(self, stop: CancellationToken) {
        self.0.report(stop).await;
    }
}

/// One session.
pub struct Session<C> {
    seat: Seat,
    client: C,
    begun: bool,
}

impl<C: FnMut(&[u8], &mut Vec<u8>) + Unpin> Future for Session<C> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Self { seat, client, begun } = self.get_mut();
        let gateway = Arc::clone(seat.gateway());
        gateway.scratches.lend(|scratch| {
            let out = &mut scratch.out;
            let mut came = Vec::new();
            seat.poll(context, out);
            seat.deliver(context, out);
            // The client speaks first.
            while !std::mem::replace(begun, true) || !out.is_empty() {
                client(out, &mut came);
                out.clear();
                let (mut rest, now) = (&came[..], seat.now());
                while let Ok(Some(frame)) = frame::next(rest, usize::MAX) {
                    rest = &rest[frame.whole.len()..];
                    seat.frame(&frame, now, out);
                }
                came.clear();
                seat.submit();
                seat.poll(context, out);
                seat.deliver(context, out);
            }
        });
        if seat.over().is_some() { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl<C> fmt::Debug for Session<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("seat", &self.seat).finish_non_exhaustive()
    }
}
