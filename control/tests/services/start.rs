//! Starting: one at a time, private where it has to be.

use std::os::unix::fs::PermissionsExt as _;

use crate::world::{PROD, World};

fn mode(path: &std::path::Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_control_plane_on_one_state_directory_is_refused() {
    let world = World::new().await;
    let refused = world
        .start_another()
        .await
        .err()
        .expect("it must not start");
    assert!(
        refused
            .to_string()
            .contains("another stayhand-control runs"),
        "{refused}"
    );
    world.apply(PROD).await.expect("the first one goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_says_by_its_exit_code_why_it_does_not_run() {
    let world = World::new().await;
    let config = world.config();
    let file = config.state.directory.join("control.toml");
    let run = |flags: &[&str]| {
        let program = env!("CARGO_BIN_EXE_stayhand-control");
        let ended = std::process::Command::new(program)
            .arg("--config")
            .arg(&file)
            .args(flags)
            .output()
            .unwrap();
        (
            ended.status.code(),
            String::from_utf8(ended.stderr).unwrap(),
        )
    };
    assert_eq!(run(&[]).0, Some(78), "the file is missing");
    std::fs::write(&file, "[state]\ndirectry = \"/x\"\n").unwrap();
    let (code, said) = run(&["--check-config"]);
    assert_eq!(code, Some(78));
    assert!(
        said.contains(":2:1: unknown field `directry`")
            && said.contains("did you mean `directory`?"),
        "{said}"
    );
    std::fs::write(
        &file,
        format!(
            "[state]\ndirectory = \"{}\"\n",
            config.state.directory.display()
        ),
    )
    .unwrap();
    assert_eq!(run(&["--check-config"]).0, Some(0));
    let (code, said) = run(&[]);
    assert_eq!(code, Some(75), "{said}");
    assert!(said.contains("another stayhand-control runs"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_in_the_place_of_a_socket_is_left_alone() {
    let mut world = World::new().await;
    world.stop().await;
    let path = &world.config().listen.operators;
    std::fs::write(path, "mine").unwrap();
    let refused = world
        .start_another()
        .await
        .err()
        .expect("it must not start");
    assert!(refused.to_string().contains("is no socket"), "{refused}");
    assert_eq!(std::fs::read_to_string(path).unwrap(), "mine");
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_and_store_have_the_modes_that_they_promise() {
    let world = World::new().await;
    let config = world.config();
    assert_eq!(mode(&config.listen.operators), 0o666);
    assert_eq!(mode(&config.listen.hosts), 0o600);
    assert_eq!(mode(&config.state.directory), 0o700);
    for file in std::fs::read_dir(&config.state.directory).unwrap() {
        let path = file.unwrap().path();
        // The directory of keys; what is in it, see `network`.
        let wanted = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode(&path), wanted, "{}", path.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_takes_the_sockets_away_and_a_start_finds_everything_again() {
    let mut world = World::with_policy().await;
    world.stop().await;
    assert!(!world.config().listen.operators.exists());
    world.start().await;
    assert!(
        !world.apply(PROD).await.unwrap().changed,
        "the policy is still there"
    );
}
