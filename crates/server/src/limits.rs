//! Every limit of the transports, with its name and default.

use std::time::Duration;

/// What one caller may take of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest body of a request and the longest gRPC message, in bytes.
    pub body_bytes_max: usize,
    /// Open connections to the main listener; more wait to be accepted.
    pub connections_max: usize,
    /// How long a new connection may take until its first request has come.
    pub first_request: Duration,
    /// How long the header of an HTTP/1 request may take, idle time before it included.
    pub header: Duration,
    /// How long a unary request may take.
    pub request: Duration,
    /// Requests at once on one HTTP/2 connection.
    pub streams_max: u32,
    /// The longest header list of an HTTP/2 request, in bytes.
    pub header_list_bytes_max: u32,
    /// The longest frame of a session, in bytes; until it was let in at most 64 KiB.
    pub frame_bytes_max: usize,
    /// How long a session may take to its first frame; over TCP, where a plain client may connect
    /// long before it has anything to say, [`Limits::session_idle`] counts.
    pub hello: Duration,
    /// How long a session without a hello may be silent after that.
    pub session_idle: Duration,
    /// How long the rest of a frame may keep away, once it has begun.
    pub frame_rest: Duration,
    /// Requests of one session that wait for their answer.
    pub session_requests_max: u32,
    /// What waits to be sent to one session, in bytes: no more of its frames are read then.
    pub session_queue_bytes_max: usize,
    /// Subscriptions of one session, and queues that it consumes.
    pub session_subscriptions_max: usize,
    /// What waits to be read of the events for one session or stream, in bytes: it is told that it
    /// is too slow and closed when more would.
    pub events_waiting_bytes_max: usize,
    /// What all events take that wait for anybody, in bytes; beyond it only 64 KiB are kept for
    /// each.
    pub events_held_bytes_max: usize,
    /// How long a session may read nothing while something waits for it.
    pub write_stall: Duration,
    /// Sessions of one tenant at this node.
    pub sessions_per_tenant_max: u32,
    /// Sessions of one client at this node.
    pub sessions_per_client_max: u16,
    /// Sessions over the TCP listener, where more wait to be accepted; and as many over the main
    /// one, where more are refused.
    pub sessions_max: usize,
    /// The longest report of a gateway that runs apart, in bytes.
    pub report_bytes_max: usize,
    /// Requests of one ingest stream that wait for their sync; more are not read yet.
    pub stream_requests_max: usize,
}

/// Requests of an ingest stream that are handed to the ledger as one batch, at most.
pub(crate) const STREAM_BATCH_MAX: usize = 512;

/// How much a peer may send on one HTTP/2 stream before it is read, in bytes.
pub(crate) const STREAM_WINDOW: u32 = 256 * 1024;

/// The same for all streams of a connection.
pub(crate) const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// Streams that a peer may reset before they are accepted (CVE-2023-44487); h2's default.
pub(crate) const PENDING_RESETS_MAX: usize = 20;

/// Streams that may be reset for a peer's errors (CVE-2025-8671).
pub(crate) const LOCAL_RESETS_MAX: usize = 256;

/// How often an HTTP/2 connection is pinged, and how long an answer may take.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(20);
pub(crate) const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 1024 * 1024,
            connections_max: 10_000,
            first_request: Duration::from_secs(10),
            header: Duration::from_secs(30),
            request: Duration::from_secs(30),
            streams_max: 200,
            header_list_bytes_max: 16 * 1024,
            // An event has 1 MiB of data, and a topic, type and key.
            frame_bytes_max: 1024 * 1024 + 4 * 1024,
            hello: Duration::from_secs(10),
            session_idle: Duration::from_hours(1),
            frame_rest: Duration::from_secs(30),
            session_requests_max: 256,
            session_queue_bytes_max: 1024 * 1024,
            session_subscriptions_max: 1_000,
            events_waiting_bytes_max: 8 * 1024 * 1024,
            events_held_bytes_max: 256 * 1024 * 1024,
            write_stall: Duration::from_secs(10),
            sessions_per_tenant_max: 100_000,
            sessions_per_client_max: 100,
            sessions_max: 100_000,
            report_bytes_max: 16 * 1024 * 1024,
            stream_requests_max: 4_096,
        }
    }
}
