//! The wire of Switchboard: types generated from `proto/`, and nothing else.
//!
//! The files in `src/generated` are checked in, so that nobody needs `protoc`; the test `generated`
//! makes them again and fails when they differ.

pub mod field;
pub mod frame;
mod vault;

/// Version 1 of the wire.
#[expect(clippy::large_enum_variant, reason = "generated; a delivery is what mostly comes")]
pub mod v1 {
    include!("generated/switchboard.v1.rs");
}

/// A contract of somebody else's, which Switchboard answers to.
pub mod tenten {
    /// The number of users online.
    pub mod interview {
        include!("generated/tenten.interview.rs");
    }
}

/// The description of all services, as a serialized `google.protobuf.FileDescriptorSet`: what
/// reflection answers with.
pub const DESCRIPTORS: &[u8] = include_bytes!("generated/descriptors.bin");
