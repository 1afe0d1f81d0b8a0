//! The committed code is what the `.proto` files yield. `STAYHAND_BLESS=1 cargo test -p stayhand-proto` writes
//! it anew. Never generates at build time: a build needs no protobuf compiler.

use std::{fs, path::Path};

const FILES: [&str; 13] = [
    "stayhand/v1/types.proto",
    "stayhand/v1/grants.proto",
    "stayhand/v1/holds.proto",
    "stayhand/v1/policies.proto",
    "stayhand/v1/hosts.proto",
    "stayhand/v1/events.proto",
    "stayhand/v1/sync.proto",
    "stayhand/v1/local.proto",
    "stayhand/v1/flags.proto",
    "stayhand/v1/locks.proto",
    "stayhand/v1/members.proto",
    "stayhand/v1/identity.proto",
    "stayhand/v1/operators.proto",
];

#[expect(clippy::expect_used, reason = "a failed set-up is a failed test")]
fn generate(into: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let descriptors =
        protox::compile(FILES, [root.join("proto")]).expect("the .proto files compile");
    tonic_prost_build::configure()
        .out_dir(into)
        .emit_rerun_if_changed(false)
        // Parts of the message that came, and no copies.
        .bytes(".stayhand.v1.PublishEventsRequest.events")
        .compile_fds(descriptors)
        .expect("code generation");
}

#[test]
fn every_proto_file_is_compiled() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto/stayhand/v1");
    let mut found: Vec<String> = fs::read_dir(folder)
        .expect("the folder exists")
        .map(|entry| {
            format!(
                "stayhand/v1/{}",
                entry.expect("entry").file_name().to_string_lossy()
            )
        })
        .collect();
    let mut listed: Vec<String> = FILES.iter().map(ToString::to_string).collect();
    found.sort();
    listed.sort();
    assert_eq!(found, listed);
}

#[test]
fn committed_code_matches_the_proto_files() {
    let fresh = tempfile::tempdir().expect("a temporary directory");
    generate(fresh.path());
    let fresh = fs::read_to_string(fresh.path().join("stayhand.v1.rs")).expect("generated file");
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/generated/stayhand.v1.rs");
    if std::env::var_os("STAYHAND_BLESS").is_some() {
        fs::write(&committed, &fresh).expect("write generated code");
    }
    let stored = fs::read_to_string(&committed).unwrap_or_default();
    assert!(
        stored == fresh,
        "run STAYHAND_BLESS=1 cargo test -p stayhand-proto and commit the result"
    );
}
