//! Generates the wire types again and fails if that changed them. Needs no `protoc`.

use std::{fs, path::Path};

use prost_reflect::prost::Message as _;

/// What is compiled. Files that these import come along.
const FILES: &[&str] = &[
    "switchboard/v1/bus.proto",
    "switchboard/v1/chat.proto",
    "switchboard/v1/ingest.proto",
    "switchboard/v1/presence.proto",
    "switchboard/v1/session.proto",
    "switchboard/v1/vault.proto",
    "tenten/interview.proto",
];

/// Messages that hold keys or values: what is printed of them is written by hand.
const SECRET: &[&str] = &[
    ".switchboard.v1.Value",
    ".switchboard.v1.Blob",
    ".switchboard.v1.StoreRequest",
    ".switchboard.v1.RetrieveRequest",
    ".switchboard.v1.DeleteRequest",
    ".switchboard.v1.RekeyRequest",
];

#[test]
fn is_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let generated = root.join("src/generated");
    let before = read(&generated);

    let files = protox::compile(FILES, [root.join("../../proto")]).unwrap();
    fs::create_dir_all(&generated).unwrap();
    tonic_prost_build::configure()
        // The client connects by itself, so the wire needs no transport.
        .build_transport(false)
        .skip_debug(SECRET)
        .out_dir(&generated)
        .emit_rerun_if_changed(false)
        .compile_fds(files.clone())
        .unwrap();
    fs::write(generated.join("descriptors.bin"), files.encode_to_vec()).unwrap();

    let after = read(&generated);
    assert!(before == after, "generated code was out of date; it is now up to date, commit it");
}

/// The generated files: name and contents, sorted.
fn read(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut files: Vec<_> = entries
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap())
        })
        .collect();
    files.sort();
    files
}
