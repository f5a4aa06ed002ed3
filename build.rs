//! Compiles the contract (`proto/`) into Rust, and keeps its descriptors, comments included, for
//! reflection and for the client's protobuf JSON. `protox` stands in for `protoc`, so that a Rust
//! toolchain is all a build needs.

use std::{env, error::Error, fs, path::PathBuf};

const FILES: [&str; 6] = [
    "milepost/v1/selection.proto",
    "milepost/v1/points.proto",
    "milepost/v1/reason.proto",
    "milepost/v1/catalog_service.proto",
    "milepost/v1/ingest_service.proto",
    "milepost/v1/query_service.proto",
];

/// Not on the port, and so not in its reflection.
const ADMIN_FILE: &str = "milepost/v1/admin_service.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(FILES)?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("milepost.v1.bin"), compiler.encode_file_descriptor_set())?;
    compiler.open_file(ADMIN_FILE)?;
    fs::write(out.join("milepost.v1.all.bin"), compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure().btree_map(".milepost.v1").compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
