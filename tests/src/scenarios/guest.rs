//! The test machine itself: logins, terminals and users are what every other scenario takes for granted.

use anyhow::{Result, ensure};

use crate::login::Session;
use crate::process;
use crate::scenario::{Ctx, Scenario};
use crate::wait;

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new(
        "login_sets_login_uid_and_session_and_root_has_none",
        login_sets_login_uid,
    ),
    Scenario::new(
        "su_and_sudo_keep_the_login_uid",
        su_and_sudo_keep_the_login_uid,
    ),
    Scenario::new(
        "a_killed_program_is_told_from_a_failed_one",
        killed_is_told_from_failed,
    ),
];

/// A login uid that is not set.
const UNSET: &str = "4294967295";

fn login_sets_login_uid(_: &mut Ctx) -> Result<()> {
    let mut alice = Session::login("alice")?;
    let output = alice
        .run("cat /proc/self/loginuid; echo; id -un; id -Gn; tty; cat /proc/self/sessionid; echo")?
        .ok()?;
    let lines: Vec<&str> = output.stdout.lines().collect();
    ensure!(lines.first() == Some(&"1001"), "login uid: {lines:?}");
    ensure!(
        lines.get(1..3) == Some(&["alice", "alice dev"]),
        "user and groups: {lines:?}"
    );
    ensure!(lines.get(3) == Some(&alice.tty()), "terminal: {lines:?}");
    ensure!(
        lines.get(4).is_some_and(|session| *session != UNSET),
        "session: {lines:?}"
    );
    let own = std::fs::read_to_string("/proc/self/loginuid")?;
    ensure!(own.trim() == UNSET, "this process has a login uid: {own}");
    Ok(())
}

fn su_and_sudo_keep_the_login_uid(ctx: &mut Ctx) -> Result<()> {
    let mut alice = Session::login("alice")?;
    for way in ["sudo", "su -c"] {
        ctx.step(way);
        let command = match way {
            "sudo" => "sudo sh -c 'id -u; cat /proc/self/loginuid'",
            _ => "su -c 'id -u; cat /proc/self/loginuid'",
        };
        let output = alice.run(command)?.ok()?;
        ensure!(
            output.stdout.contains("0\n1001"),
            "{way}: {}",
            output.stdout
        );
    }
    Ok(())
}

fn killed_is_told_from_failed(_: &mut Ctx) -> Result<()> {
    let mut stopped = Session::start("bob", &["sh", "-c", "kill -STOP $$; exit 7"])?;
    process::wait_stopped(stopped.pid(), wait::SOON)?;
    process::signal(stopped.pid(), nix::sys::signal::Signal::SIGCONT)?;
    ensure!(stopped.wait_exit(wait::SOON)? == 7, "exit code is lost");
    let mut killed = Session::start("bob", &["sleep", "1000"])?;
    process::signal(killed.pid(), nix::sys::signal::Signal::SIGKILL)?;
    ensure!(killed.wait_exit(wait::SOON)? == 137, "the signal is lost");
    Ok(())
}
