//! The clients, in as little memory as will do.

use std::hash::Hasher as _;

use siphasher::sip128::{Hasher128 as _, SipHasher13};

use crate::presence::Status;

/// Who a client is: 96 bits of a hash of its tenant and its id, under a key that nobody knows. Of
/// ten million clients two are taken for one with a probability of 1e-15.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id([u32; 3]);

impl Id {
    /// The part by which a client stands in queues: of ten million a few share it.
    pub(super) fn short(self) -> u32 {
        self.0[0]
    }

    #[cfg(test)]
    pub(super) fn made(short: u32, rest: u32) -> Self {
        Self([short, rest, 1])
    }
}

/// Makes ids.
#[derive(Clone, Debug)]
pub(super) struct Ids(SipHasher13);

impl Ids {
    pub(super) fn new(seed: u64) -> Self {
        Self(SipHasher13::new_with_keys(seed, !seed.rotate_left(32)))
    }

    #[inline]
    pub(super) fn of(&self, tenant: u32, client: &str) -> Id {
        let mut hasher = self.0;
        hasher.write_u32(tenant);
        hasher.write(client.as_bytes());
        let hash = hasher.finish128();
        // 96 of its 128 bits.
        let low = |half: u64| u32::try_from(half & u64::from(u32::MAX)).unwrap_or_default();
        Id([low(hash.h1), low(hash.h1 >> 32), low(hash.h2)])
    }
}

/// What is known of one client, in 24 bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    id: Id,
    /// When it was last seen online, in milliseconds since the base of the table; 0 for never.
    pub(super) seen: u32,
    /// Tenant: 20 bits; status: 2; online; in the queue of those away; second of its queue: 8.
    packed: u32,
    /// A gateway that it has sessions at, and how many.
    pub(super) gateway: u16,
    pub(super) sessions: u16,
}

/// The most tenants at once.
pub(super) const TENANTS_MAX: u32 = 1 << 20;

const STATUS: u32 = 20;
const ONLINE: u32 = 1 << 22;
const AWAY: u32 = 1 << 23;
const QUEUED: u32 = 24;

impl Slot {
    /// Nobody: no client's hash is 0, but with a probability of 1e-29.
    pub(super) const EMPTY: Self =
        Self { id: Id([0; 3]), seen: 0, packed: 0, gateway: 0, sessions: 0 };

    /// Whether this is nobody.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.id == Self::EMPTY.id
    }

    pub(super) fn new(id: Id, tenant: u32) -> Self {
        Self { id, seen: 0, packed: tenant, gateway: 0, sessions: 0 }
    }

    pub(super) fn tenant(&self) -> u32 {
        self.packed & (TENANTS_MAX - 1)
    }

    #[inline]
    pub(super) fn id(&self) -> Id {
        self.id
    }

    pub(super) fn status(&self) -> Status {
        match (self.packed >> STATUS) & 3 {
            1 => Status::Even,
            2 => Status::Odd,
            _ => Status::Unknown,
        }
    }

    #[inline]
    pub(super) fn set_status(&mut self, status: Status) {
        let bits = match status {
            Status::Unknown => 0,
            Status::Even => 1,
            Status::Odd => 2,
        };
        self.packed = self.packed & !(3 << STATUS) | bits << STATUS;
    }

    /// Whether it is counted as online.
    #[inline]
    pub(super) fn is_online(&self) -> bool {
        self.packed & ONLINE != 0
    }

    pub(super) fn set_online(&mut self, online: bool) {
        self.packed = self.packed & !ONLINE | if online { ONLINE } else { 0 };
    }

    /// Whether it stands in the queue of those away.
    pub(super) fn is_away(&self) -> bool {
        self.packed & AWAY != 0
    }

    pub(super) fn set_away(&mut self, away: bool) {
        self.packed = self.packed & !AWAY | if away { AWAY } else { 0 };
    }

    /// The second whose queue it stands in while it is online, without its upper bits.
    pub(super) fn queued(&self) -> u8 {
        (self.packed >> QUEUED) as u8
    }

    pub(super) fn set_queued(&mut self, second: u8) {
        self.packed = self.packed & !(0xff << QUEUED) | u32::from(second) << QUEUED;
    }
}
