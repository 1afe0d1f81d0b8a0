//! Chapter 2: deny. As herself, as root by sudo and su, with her login uid written over: still alice, still denied.

use anyhow::{Result, ensure};
use serde_json::Value;

use super::{Expected, Story, stage};
use crate::login::Session;
use crate::process::Output;

const COMMAND: &str = "/opt/demo/forbidden /srv/work/ran";
const TRACE: &str = "/srv/work/ran";
const MESSAGE: &str = "this program is retired, use the bastion tunnel";
/// As her terminal names it.
const RULE: &str = "rule story/no-forbidden";
const EPERM: &str = "Operation not permitted";

/// Ways to stop being alice.
const WAYS: [(&str, &str); 2] = [
    ("through sudo", "sudo /opt/demo/forbidden /srv/work/ran"),
    ("through su", "su -c '/opt/demo/forbidden /srv/work/ran'"),
];
/// One `echo` that, without the pin, makes root nobody.
const CLEARING: &str =
    "sudo sh -c 'echo 4294967295 > /proc/self/loginuid; exec /opt/demo/forbidden /srv/work/ran'";

/// Plays it.
pub fn play(story: &mut Story) -> Result<()> {
    as_herself(story)?;
    asked_by_a_program(story)?;
    for (way, command) in WAYS {
        let (output, _) = story.alice_told(command, RULE)?;
        denied(&output)?;
        let outcome = format!("{way}: still alice, still denied");
        story.step(
            "alice",
            command,
            &outcome,
            &[Expected::denied("no-forbidden", "/opt/demo/forbidden")],
        )?;
    }
    after_clearing_the_login_uid(story)?;
    bob_is_not_guarded(story)
}

fn denied(output: &Output) -> Result<()> {
    ensure!(
        output.code != 0,
        "the forbidden program ended with success: {}",
        output.both()
    );
    ensure!(output.stdout.contains(EPERM), "no EPERM: {}", output.both());
    ensure!(!stage::exists(TRACE), "the forbidden program ran");
    Ok(())
}

/// The system's answer, and on her terminal the rule, the message and what to do.
fn as_herself(story: &mut Story) -> Result<()> {
    let (output, told) = story.alice_told(COMMAND, MESSAGE)?;
    denied(&output)?;
    ensure!(
        output.code == 126,
        "a shell says 126 to what it may not execute, not {}",
        output.code
    );
    ensure!(
        told.contains("no-forbidden"),
        "the terminal does not name the rule: {told}"
    );
    ensure!(
        told.contains("do it the way the message says"),
        "the terminal does not say what to do: {told}"
    );
    let expected = Expected::denied("no-forbidden", "/opt/demo/forbidden");
    story.step(
        "alice",
        COMMAND,
        "EPERM, nothing executed; rule, message and what to do on her terminal",
        &[expected],
    )
}

fn after_clearing_the_login_uid(story: &mut Story) -> Result<()> {
    let (output, _) = story.alice_told(CLEARING, RULE)?;
    denied(&output)?;
    let expected = [
        Expected {
            reason: "tamper",
            rule: "",
            object: "",
            user: "alice",
        },
        Expected::denied("no-forbidden", "/opt/demo/forbidden"),
    ];
    story.step(
        "alice",
        CLEARING,
        "writing 4294967295 to her login uid as root changes nothing: still alice, still denied",
        &expected,
    )
}

/// The same as data.
fn asked_by_a_program(story: &mut Story) -> Result<()> {
    let output = story.alice("stayhand why --last -o json")?.ok()?;
    let json = output.json()?;
    let text = |pointer: &str| {
        json.pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    ensure!(text("/items/0/reason") == "rule-deny", "{json}");
    ensure!(text("/items/0/rule/rule") == "no-forbidden", "{json}");
    ensure!(text("/items/0/rule/policy") == "story", "{json}");
    ensure!(text("/items/0/message") == MESSAGE, "{json}");
    ensure!(text("/items/0/object") == "/opt/demo/forbidden", "{json}");
    ensure!(!text("/items/0/advice").is_empty(), "no advice: {json}");
    story.step("alice", "stayhand why", "a program is told the same", &[])
}

fn bob_is_not_guarded(story: &mut Story) -> Result<()> {
    let mut bob = Session::login("bob")?;
    let output = bob.run("/opt/demo/forbidden /srv/work/ran-by-bob")?;
    story.audience.said(
        "bob",
        "/opt/demo/forbidden /srv/work/ran-by-bob",
        &output.stdout,
    );
    ensure!(output.code == 0, "bob was stopped: {}", output.both());
    ensure!(
        stage::exists("/srv/work/ran-by-bob"),
        "bob's program did nothing"
    );
    story.step(
        "bob",
        "the same program",
        "not in the group, not stopped",
        &[],
    )
}
