//! The limits of sessions.

use std::time::Duration;

use clap::Args;
use switchboard_server::Limits;

/// What one client may take of a gateway.
#[derive(Clone, Debug, Args)]
#[expect(clippy::struct_field_names, reason = "each is a limit, and says so as an option")]
pub(crate) struct SessionLimits {
    /// The longest frame of a session, in bytes.
    #[arg(
        long,
        env = "SWITCHBOARD_FRAME_BYTES_MAX",
        default_value_t = Limits::default().frame_bytes_max
    )]
    frame_bytes_max: usize,

    /// How long a session over gRPC or WebSocket may take to its first frame, in seconds.
    #[arg(long, env = "SWITCHBOARD_HELLO_SECONDS_MAX", default_value_t = 10)]
    hello_seconds_max: u64,

    /// How long a session that has not said hello may be silent after that, and a plain connection
    /// from the start, in seconds.
    #[arg(long, env = "SWITCHBOARD_SESSION_IDLE_SECONDS_MAX", default_value_t = 3_600)]
    session_idle_seconds_max: u64,

    /// How long the rest of a frame may keep away once it has begun, in seconds.
    #[arg(long, env = "SWITCHBOARD_FRAME_SECONDS_MAX", default_value_t = 30)]
    frame_seconds_max: u64,

    /// Requests of one session that wait for their answer.
    #[arg(
        long,
        env = "SWITCHBOARD_SESSION_REQUESTS_MAX",
        default_value_t = Limits::default().session_requests_max
    )]
    session_requests_max: u32,

    /// What waits to be sent to one session, in bytes; beyond it no more of its frames are read.
    #[arg(
        long,
        env = "SWITCHBOARD_SESSION_QUEUE_BYTES_MAX",
        default_value_t = Limits::default().session_queue_bytes_max
    )]
    session_queue_bytes_max: usize,

    /// How long a session may read nothing while something waits for it, in seconds.
    #[arg(long, env = "SWITCHBOARD_WRITE_STALL_SECONDS_MAX", default_value_t = 10)]
    write_stall_seconds_max: u64,

    /// Sessions over the TCP listener, where more wait to be accepted; and as many over the main
    /// one, where more are refused.
    #[arg(
        long,
        env = "SWITCHBOARD_SESSIONS_MAX",
        default_value_t = Limits::default().sessions_max
    )]
    sessions_max: usize,

    /// Sessions of one tenant.
    #[arg(
        long,
        env = "SWITCHBOARD_SESSIONS_PER_TENANT_MAX",
        default_value_t = Limits::default().sessions_per_tenant_max
    )]
    sessions_per_tenant_max: u32,

    /// Sessions of one client.
    #[arg(
        long,
        env = "SWITCHBOARD_SESSIONS_PER_CLIENT_MAX",
        default_value_t = Limits::default().sessions_per_client_max
    )]
    sessions_per_client_max: u16,
}

impl SessionLimits {
    /// The same limits, with those of sessions as they were given.
    pub(super) fn limit(&self, limits: Limits) -> Limits {
        Limits {
            frame_bytes_max: self.frame_bytes_max,
            hello: Duration::from_secs(self.hello_seconds_max),
            session_idle: Duration::from_secs(self.session_idle_seconds_max),
            frame_rest: Duration::from_secs(self.frame_seconds_max),
            session_requests_max: self.session_requests_max,
            session_queue_bytes_max: self.session_queue_bytes_max,
            write_stall: Duration::from_secs(self.write_stall_seconds_max),
            sessions_max: self.sessions_max,
            sessions_per_tenant_max: self.sessions_per_tenant_max,
            sessions_per_client_max: self.sessions_per_client_max,
            ..limits
        }
    }
}
