//! Chapter 5: a grant is taken back at once; then the control plane is killed, and enforcement goes on.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{Expected, Story, stage};
use crate::login::Session;
use crate::{process, wait};

const KEY: &str = "/srv/vault/key";
const WRITE: &str = "echo again | tee /srv/vault/key";
const EPERM: &str = "Operation not permitted";
const DENIED: Expected = Expected::of("no-grant", "vault", KEY);

/// Plays it.
pub fn play(story: &mut Story) -> Result<()> {
    revoked(story)?;
    story.host.kill_control()?;
    story.audience.note("the control plane is killed: kill -9");
    goes_on(story)?;
    comes_back(story)
}

fn revoked(story: &mut Story) -> Result<()> {
    let args = crate::host::grant_create("alice", "story/vault", "10m", "INC-18");
    let json = story.host.json(&args)?;
    let id = json
        .get("id")
        .and_then(Value::as_str)
        .context("no id")?
        .to_owned();
    let output = story.alice(WRITE)?;
    ensure!(
        output.has_line("again"),
        "the grant does not work: {}",
        output.both()
    );
    story.step(
        "alice",
        WRITE,
        "works with a new grant",
        &[Expected::of("grant", "vault", KEY)],
    )?;
    story.operator(&["grant", "revoke", &id, "--reason", "INC-18 is closed"])?;
    let output = story.alice("echo late | tee /srv/vault/key")?;
    ensure!(output.stdout.contains(EPERM), "no EPERM: {}", output.both());
    ensure!(
        stage::content(KEY).as_deref() == Some("again\n"),
        "written after the grant was revoked"
    );
    story.step(
        "alice",
        "the same after `stayhand grant revoke`",
        "denied at once",
        &[DENIED],
    )
}

/// With no control plane alive: denials deny, grants stay revoked, holds hold.
fn goes_on(story: &mut Story) -> Result<()> {
    let (output, _) =
        story.alice_told("/opt/demo/forbidden /srv/work/ran", "story/no-forbidden")?;
    ensure!(
        output.code == 126 && !stage::exists("/srv/work/ran"),
        "not denied: {}",
        output.both()
    );
    let forbidden = Expected::denied("no-forbidden", "/opt/demo/forbidden");
    story.step_unseen("alice", "/opt/demo/forbidden", "denied", &[forbidden]);
    let (output, _) = story.alice_told("echo late | tee /srv/vault/key", "story/vault")?;
    ensure!(output.stdout.contains(EPERM), "no EPERM: {}", output.both());
    story.step_unseen(
        "alice",
        "tee /srv/vault/key",
        "denied: it needs a grant",
        &[DENIED],
    );
    Ok(())
}

/// What is held without a control plane is answered when there is one again.
fn comes_back(story: &mut Story) -> Result<()> {
    let (command, object) = ("echo more | tee /srv/held/more", "/srv/held/more");
    let mut session = Session::login("alice")?;
    let typed = session.type_command(command)?;
    let told = session.wait_since(typed, "held-files", wait::SOON)?;
    story.audience.said("alice", command, &told);
    let pid = session.process_with("tee")?;
    process::wait_stopped(pid, wait::SOON)?;
    ensure!(!stage::exists(object), "no effect while held");
    story.step_unseen(
        "alice",
        command,
        "held",
        &[Expected::of("hold-pending", "held-files", object)],
    );
    story.host.start_control()?;
    story.audience.note("the control plane is started again");
    let hold = story.host.wait_hold(object)?;
    ensure!(hold.pid()? == pid, "another process is held: {}", hold.json);
    story.operator(&["hold", "approve", &hold.id, "--reason", "CHG-46"])?;
    let output = session.finish(typed, wait::LONG)?;
    ensure!(
        output.code == 0 && stage::content(object).as_deref() == Some("more\n"),
        "{}",
        output.both()
    );
    story.catch_up()?;
    let approved = Expected::of("hold-approved", "held-files", object);
    story.step(
        "alice",
        command,
        "the control plane is back, and what was held meanwhile is answered",
        &[approved],
    )
}
