//! The contract as Rust: generated from `proto/` by `build.rs`. Only `service` and the client use it.

#[allow(missing_docs)]
pub mod v1 {
    //! `milepost.v1`.
    #![allow(clippy::all)]
    tonic::include_proto!("milepost.v1");
}

/// The descriptors of `milepost.v1` and what it imports, comments included; what is served on the port.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/milepost.v1.bin"));

/// These, and those of `AdminService`.
pub const ALL_DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/milepost.v1.all.bin"));
