//! Chapter 6: `stayhand events tail` has shown all of it, once, numbered without gaps, with secrets left out.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{Event, Expected, Story};
use crate::host::{Host, network};
use crate::wait;

const SECRETS: [&str; 2] = ["hunter2", "TICKET-4711"];
/// `--password` is a built-in pattern, `--ticket` one of the test's configuration.
const COMMAND: &str = "/opt/demo/forbidden --password=hunter2 --ticket=TICKET-4711 --verbose";
/// Where services keep what they know.
const STATE: &str = "/var/lib/stayhand";

/// Plays it.
pub fn play(story: &mut Story) -> Result<()> {
    redacted(story)?;
    every_decision_has_its_line(story)?;
    let events = story.tail.events()?;
    numbered_without_gaps(&events)?;
    complete(&events)?;
    sums_up(story)
}

/// Recorded decisions of this boot, all classes.
pub fn recorded(host: &Host) -> Result<u64> {
    sum(host, "recorded")
}

fn sum(host: &Host, what: &str) -> Result<u64> {
    let counters = host.status()?.counters;
    let of_it: Vec<u64> = counters
        .iter()
        .filter(|(name, _)| name.starts_with(what))
        .map(|(_, count)| *count)
        .collect();
    ensure!(
        !of_it.is_empty(),
        "no counter `{what}…` among {:?}",
        counters.keys()
    );
    Ok(of_it.iter().sum())
}

fn redacted(story: &mut Story) -> Result<()> {
    story.alice(COMMAND)?;
    let expected = Expected::denied("no-forbidden", "/opt/demo/forbidden");
    let event = story.tail.take(&expected, wait::LONG)?;
    let text = event.0.to_string();
    ensure!(
        text.contains("--verbose") && text.contains("--password"),
        "no arguments in the event: {text}"
    );
    for secret in SECRETS {
        ensure!(!text.contains(secret), "`{secret}` is in the event");
        let at = files_with(Path::new(STATE), secret.as_bytes())?;
        ensure!(at.is_empty(), "`{secret}` was stored in {at:?}");
    }
    story.audience.step(
        "alice",
        COMMAND,
        "the event has her arguments, without password and ticket",
        &[event.line()],
    );
    Ok(())
}

fn files_with(directory: &Path, needle: &[u8]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in
        std::fs::read_dir(directory).with_context(|| format!("no {}", directory.display()))?
    {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files_with(&path, needle)?);
        } else if std::fs::read(&path)?
            .windows(needle.len())
            .any(|window| window == needle)
        {
            found.push(path.display().to_string());
        }
    }
    Ok(found)
}

/// No decision that the story did not cause.
fn every_decision_has_its_line(story: &mut Story) -> Result<()> {
    let left = story.tail.unexpected(&[])?;
    let lines: Vec<String> = left.iter().map(Event::line).collect();
    ensure!(left.is_empty(), "events without a cause: {lines:?}");
    Ok(())
}

fn numbered_without_gaps(events: &[Event]) -> Result<()> {
    let mut last: BTreeMap<(String, String), u64> = BTreeMap::new();
    for event in events {
        let source = (event.host().to_owned(), event.epoch().to_owned());
        let number = event
            .sequence()
            .with_context(|| format!("no sequence number: {}", event.0))?;
        let expected = last.get(&source).map_or(1, |number| number + 1);
        ensure!(
            number == expected,
            "{source:?}: {number} follows {}",
            expected - 1
        );
        last.insert(source, number);
    }
    ensure!(
        last.keys().any(|(host, _)| host == network::HOST),
        "no events of this host"
    );
    Ok(())
}

/// What every decision says.
fn complete(events: &[Event]) -> Result<()> {
    // A finding has another shape; its subject is checked where it is expected.
    for event in events
        .iter()
        .filter(|event| event.is_decision() && event.reason() != "tamper")
    {
        let all = event.0.to_string();
        ensure!(
            event.text("/metadata/version") == "1.8.0",
            "not OCSF 1.8: {all}"
        );
        for pointer in [
            "/class_uid",
            "/category_uid",
            "/activity_id",
            "/type_uid",
            "/time",
            "/severity_id",
        ] {
            ensure!(event.number(pointer).is_some(), "no {pointer}: {all}");
        }
        ensure!(event.host() == network::HOST, "host: {all}");
        ensure!(event.user() == "alice", "subject: {all}");
        ensure!(
            event
                .0
                .pointer("/actor/session/uid")
                .is_some_and(Value::is_string),
            "session: {all}"
        );
        ensure!(
            event
                .number("/actor/process/pid")
                .is_some_and(|pid| pid > 1),
            "process: {all}"
        );
        ensure!(!event.rule().is_empty(), "rule: {all}");
        ensure!(event.policy() == ("story", "1"), "revision: {all}");
        ensure!(
            event.reason() != "grant" || !event.grant().is_empty(),
            "grant: {all}"
        );
        ensure!(
            !event.reason().starts_with("hold-") || !event.hold().is_empty(),
            "hold: {all}"
        );
    }
    Ok(())
}

/// Recorded decisions in the kernel = events + counted losses.
fn sums_up(story: &mut Story) -> Result<()> {
    let recorded = recorded(&story.host)?;
    let counts = wait::until_ok(
        wait::LONG,
        "every recorded decision to be an event or a counted loss",
        || {
            let events = story.tail.events()?;
            let decisions =
                u64::try_from(events.iter().filter(|event| event.is_decision()).count())?;
            let lost: u64 = events.iter().filter_map(Event::lost).sum();
            Ok((decisions + lost >= recorded).then_some((decisions, lost)))
        },
    )?;
    ensure!(
        counts.0 + counts.1 == recorded,
        "{counts:?} events and losses, {recorded} recorded in the kernel"
    );
    let outcome = format!(
        "{recorded} recorded in the kernel = {} events + {} counted losses",
        counts.0, counts.1
    );
    story.step("root", "stayhand events tail --all", &outcome, &[])
}
