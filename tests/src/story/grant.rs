//! Chapter 3: require-grant. Fifteen seconds that end on time although nobody is there to end them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{Expected, Story, stage};
use crate::login::Session;
use crate::{process, wait};

const COMMAND: &str = "echo new | tee /srv/vault/key";
const KEY: &str = "/srv/vault/key";
/// How far the end of a grant may be from the moment that the control plane named: one attempt under emulation.
const TOLERANCE: Duration = Duration::from_millis(800);
/// Between two attempts; closer together around the end, where it counts.
const PACE: Duration = Duration::from_secs(1);
const PACE_AT_THE_END: Duration = Duration::from_millis(100);
/// From here on it is around the end.
const NEAR: Duration = Duration::from_millis(1_500);
/// A grant of fifteen seconds has ended long before.
const OVERDUE: Duration = Duration::from_secs(40);
const DENIED: Expected = Expected::of("no-grant", "vault", KEY);
const COVERED: Expected = Expected::of("grant", "vault", KEY);

/// Plays it.
pub fn play(story: &mut Story) -> Result<()> {
    without(story)?;
    let end = granted(story)?;
    with(story)?;
    story.host.kill_agent()?;
    story.audience.note("the agent is killed: kill -9");
    ends_on_time(story, end)?;
    agent_comes_back(story)
}

fn without(story: &mut Story) -> Result<()> {
    let (output, told) = story.alice_told(COMMAND, "needs a grant")?;
    ensure!(
        output.stdout.contains("Operation not permitted"),
        "no EPERM: {}",
        output.both()
    );
    ensure!(
        told.contains("stayhand grant create --user alice"),
        "she is not told what to ask for: {told}"
    );
    ensure!(
        stage::content(KEY).as_deref() == Some("old\n"),
        "the vault was written without a grant"
    );
    story.step("alice", COMMAND, "denied: it needs a grant", &[DENIED])
}

/// Issues the grant; gives its end as the control plane names it.
fn granted(story: &mut Story) -> Result<Duration> {
    let args = crate::host::grant_create("alice", "vault", "15s", "INC-17: rotate the key");
    let before = now();
    let created = story.host.cli(&args)?.ok()?;
    // Progress, which a terminal would have shown before, is left out.
    let command = format!("stayhand {}", super::quoted(&args));
    story.audience.said("root", &command, &created.stdout);
    ensure!(
        created.stdout.contains("enforced"),
        "the CLI came back before the host enforced: {}",
        created.both()
    );
    let list = story.host.json(&["grant", "ls"])?;
    let json = list.pointer("/items/0").context("no grant")?;
    let phases: Vec<&str> = json
        .get("enforcement")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|host| host.get("phase").and_then(Value::as_str))
        .collect();
    ensure!(phases == ["enforced"], "not enforced: {json}");
    let end = json
        .get("expire_time")
        .and_then(Value::as_str)
        .context("no end")?;
    let end = seconds_of(end)?;
    let length = end.saturating_sub(before);
    ensure!(
        length >= Duration::from_secs(15) && length < Duration::from_secs(25),
        "the grant lasts {length:?}"
    );
    story.step(
        "root",
        "stayhand grant create",
        "the host enforces it: only then the command came back",
        &[],
    )?;
    Ok(end)
}

fn with(story: &mut Story) -> Result<()> {
    let output = story.alice(COMMAND)?;
    ensure!(
        output.has_line("new"),
        "the grant does not work: {}",
        output.both()
    );
    ensure!(
        stage::content(KEY).as_deref() == Some("new\n"),
        "the vault has no new content"
    );
    story.step("alice", COMMAND, "the same command works", &[COVERED])
}

/// Tries again and again around the end, with no agent alive.
fn ends_on_time(story: &mut Story, end: Duration) -> Result<()> {
    let mut allowed = 0_usize;
    loop {
        let started = now();
        let output = story.alice.run(COMMAND)?;
        let ended = now();
        if output.code != 0 || output.stdout.contains("Operation not permitted") {
            ensure!(
                output.stdout.contains("Operation not permitted"),
                "another failure: {}",
                output.both()
            );
            ensure!(
                ended + TOLERANCE > end,
                "denied {:?} before the end",
                end.saturating_sub(ended)
            );
            break;
        }
        allowed += 1;
        ensure!(
            started < end + TOLERANCE,
            "still permitted {:?} after the end",
            started.saturating_sub(end)
        );
        ensure!(started < end + OVERDUE, "the grant never ends");
        std::thread::sleep(if now() + NEAR < end {
            PACE
        } else {
            PACE_AT_THE_END
        });
    }
    ensure!(allowed > 0, "the grant died with the agent");
    ensure!(
        process::with_word("stayhand-agent").is_empty(),
        "an agent is alive"
    );
    story.audience.note(&format!(
        "{allowed} more writes went through until the time was over"
    ));
    let mut expected = vec![COVERED; allowed];
    expected.push(DENIED);
    story.step_unseen(
        "alice",
        COMMAND,
        "denied again at 15 s, and no agent is alive",
        &expected,
    );
    Ok(())
}

/// Alice keeps trying what is forbidden while the new agent takes over.
fn agent_comes_back(story: &mut Story) -> Result<()> {
    // Kept until the end of the story: its terminal is told about many denials, and the next one with its name
    // would be told less.
    let busy = story.busy.insert(Session::login("alice")?);
    let attempts = "n=0; until [ -e /srv/work/enough ]; do /opt/demo/forbidden /srv/work/ran 2>/dev/null; n=$((n+1)); sleep 0.3; done; echo attempts=$n";
    let typed = busy.type_command(attempts)?;
    story.host.start_agent()?;
    std::thread::sleep(wait::SETTLE);
    std::fs::write("/srv/work/enough", "")?;
    let output = busy.finish(typed, wait::LONG)?;
    let count =
        attempts_of(&output.stdout).with_context(|| format!("no count in {:?}", output.stdout))?;
    ensure!(count > 0, "nobody tried anything while the agent came back");
    ensure!(
        !stage::exists("/srv/work/ran"),
        "the forbidden program ran while the agent came back"
    );
    story.catch_up()?;
    let expected = vec![Expected::denied("no-forbidden", "/opt/demo/forbidden"); count];
    let outcome = format!("the agent is back; {count} attempts meanwhile, none went through");
    story.step(
        "alice",
        "/opt/demo/forbidden, again and again",
        &outcome,
        &expected,
    )
}

fn attempts_of(shown: &str) -> Option<usize> {
    let (_, after) = shown.rsplit_once("attempts=")?;
    after
        .split(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// Reads `2026-11-21T03:04:05.678Z` (RFC 3339 in UTC, as the CLI prints it) by the system's own `date`.
fn seconds_of(text: &str) -> Result<Duration> {
    let output = process::run(
        std::process::Command::new("date").args(["-d", text, "+%s.%3N"]),
        wait::SOON,
    )?
    .ok()?;
    let seconds: f64 = output
        .stdout
        .trim()
        .parse()
        .with_context(|| format!("no time: {text}"))?;
    Ok(Duration::from_secs_f64(seconds))
}
