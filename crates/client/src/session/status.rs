//! What a client says of itself.

use switchboard_proto::v1;

/// What a client reports of itself, with the answer to each ping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// Connected, not online.
    #[default]
    Unknown,
    /// Online.
    Even,
    /// Online.
    Odd,
}

impl Status {
    /// The name, as REST tells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Even => "EVEN",
            Self::Odd => "ODD",
        }
    }

    /// The status of a client that follows its clock: whether the time, in milliseconds since the
    /// Unix epoch, is even or odd.
    pub const fn clock(now_ms: i64) -> Self {
        if now_ms & 1 == 0 { Self::Even } else { Self::Odd }
    }
}

impl From<v1::Status> for Status {
    fn from(status: v1::Status) -> Self {
        match status {
            v1::Status::Unknown => Self::Unknown,
            v1::Status::Even => Self::Even,
            v1::Status::Odd => Self::Odd,
        }
    }
}

impl From<Status> for v1::Status {
    fn from(status: Status) -> Self {
        match status {
            Status::Unknown => Self::Unknown,
            Status::Even => Self::Even,
            Status::Odd => Self::Odd,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_even_or_odd_and_online() {
        for (now_ms, status) in [
            (0, Status::Even),
            (1, Status::Odd),
            (1_795_221_723_001, Status::Odd),
            (-1, Status::Odd),
        ] {
            assert_eq!(Status::clock(now_ms), status, "{now_ms}");
        }
        assert_eq!(Status::default(), Status::Unknown);
    }
}
