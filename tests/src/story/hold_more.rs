//! Chapter 4, the other ends of a hold: refused, timed out, twice in one call, an agent that dies meanwhile, and a
//! subject who would answer for herself.

use anyhow::{Result, ensure};

use super::{Expected, Story, stage};
use crate::login::Session;
use crate::{process, wait};

const NOTES: &str = "/srv/held/notes";
const WRITE: &str = "echo changed | tee /srv/held/notes";
const EPERM: &str = "Operation not permitted";

/// Plays it.
pub fn play(story: &mut Story) -> Result<()> {
    refused(story)?;
    timed_out(story)?;
    script_takes_two_answers(story)?;
    creation_asks_once(story)?;
    survives_the_agent(story)
}

fn refused(story: &mut Story) -> Result<()> {
    let mut session = Session::login("alice")?;
    let typed = session.type_command(WRITE)?;
    let hold = story.host.wait_hold(NOTES)?;
    story.operator(&[
        "hold",
        "refuse",
        &hold.id,
        "--reason",
        "not during the freeze",
    ])?;
    let output = session.finish(typed, wait::LONG)?;
    ensure!(output.stdout.contains(EPERM), "no EPERM: {}", output.both());
    let told = session.wait_since(typed, "not during the freeze", wait::SOON)?;
    story.audience.said("alice", WRITE, &told);
    ensure!(
        stage::content(NOTES).as_deref() == Some("old\n"),
        "a refused write had an effect"
    );
    let why = session.run("stayhand why --last -o json")?.ok()?;
    ensure!(
        why.stdout.contains("not during the freeze"),
        "why does not give the reason: {}",
        why.stdout
    );
    let expected = [
        Expected::of("hold-pending", "held-files", NOTES),
        Expected::of("hold-refused", "held-files", NOTES),
    ];
    story.step(
        "alice",
        WRITE,
        "refused: EPERM, and the reason on her terminal",
        &expected,
    )
}

fn timed_out(story: &mut Story) -> Result<()> {
    let command = "/opt/demo/impatient hello";
    let mut session = Session::login("alice")?;
    let typed = session.type_command(command)?;
    let output = session.finish(typed, wait::LONG)?;
    ensure!(
        output.code == 126 && output.stdout.contains(EPERM),
        "no EPERM: {}",
        output.both()
    );
    let told = session.wait_since(typed, "timed out", wait::SOON)?;
    story.audience.said("alice", command, &told);
    let expected = [
        Expected::of("hold-pending", "impatient", "/opt/demo/impatient"),
        Expected::of("hold-timed-out", "impatient", "/opt/demo/impatient"),
    ];
    story.step(
        "alice",
        command,
        "nobody answered for 4 s: EPERM, and she is told that it timed out",
        &expected,
    )
}

/// The script is held, then its interpreter, in one and the same call.
fn script_takes_two_answers(story: &mut Story) -> Result<()> {
    let command = "/opt/demo/script.sh now";
    let mut session = Session::login("alice")?;
    let typed = session.type_command(command)?;
    let mut pids = Vec::new();
    for object in ["/opt/demo/script.sh", "/opt/demo/interp"] {
        let hold = story.host.wait_hold(object)?;
        ensure!(
            session.ended(typed).is_none(),
            "the script ended before the answer on {object}"
        );
        pids.push(hold.pid()?);
        story.operator(&["hold", "approve", &hold.id, "--reason", "CHG-43"])?;
    }
    let output = session.finish(typed, wait::LONG)?;
    ensure!(
        output.code == 0 && output.stdout.contains("script done: now"),
        "{}",
        output.both()
    );
    ensure!(
        pids.first() == pids.last(),
        "two processes were held: {pids:?}"
    );
    let holds = story.host.all_holds()?;
    let asked = holds.iter().filter(|one| {
        matches!(
            one.text("/object"),
            "/opt/demo/script.sh" | "/opt/demo/interp"
        )
    });
    ensure!(asked.count() == 2, "not exactly two questions");
    let expected = ["/opt/demo/script.sh", "/opt/demo/interp"]
        .into_iter()
        .flat_map(|object| {
            ["hold-pending", "hold-approved"].map(|reason| Expected::of(reason, "deploy", object))
        });
    story.step(
        "alice",
        command,
        "script and interpreter held: exactly two answers",
        &expected.collect::<Vec<_>>(),
    )
}

fn creation_asks_once(story: &mut Story) -> Result<()> {
    let (command, object) = ("echo fresh | tee /srv/held/fresh", "/srv/held/fresh");
    let mut session = Session::login("alice")?;
    let typed = session.type_command(command)?;
    let hold = story.host.wait_hold(object)?;
    ensure!(!stage::exists(object), "a held creation had an effect");
    story.operator(&["hold", "approve", &hold.id, "--reason", "CHG-44"])?;
    let output = session.finish(typed, wait::LONG)?;
    ensure!(output.code == 0, "{}", output.both());
    ensure!(
        stage::content(object).as_deref() == Some("fresh\n"),
        "the file is not as written"
    );
    let asked = story
        .host
        .all_holds()?
        .into_iter()
        .filter(|one| one.text("/object") == object)
        .count();
    ensure!(asked == 1, "a creation asked {asked} times");
    let expected = [
        Expected::of("hold-pending", "held-files", object),
        Expected::of("hold-approved", "held-files", object),
    ];
    story.step(
        "alice",
        command,
        "creating a file asks once, not once more for opening it",
        &expected,
    )
}

/// The agent dies and comes back while a hold is pending; alice as root may not answer for herself.
fn survives_the_agent(story: &mut Story) -> Result<()> {
    let mut session = Session::login("alice")?;
    let typed = session.type_command(WRITE)?;
    let hold = story.host.wait_hold(NOTES)?;
    let pid = hold.pid()?;
    process::wait_stopped(pid, wait::SOON)?;
    let told = session.wait_since(typed, &hold.id, wait::SOON)?;
    story.audience.said("alice", WRITE, &told);
    let pending = Expected::of("hold-pending", "held-files", NOTES);
    story.step("alice", WRITE, "held", &[pending])?;
    story.host.kill_agent()?;
    story.audience.note("the agent is killed: kill -9");
    wait::stays("the held process", || Ok(process::is_stopped(pid)))?;
    story.host.start_agent()?;
    story.audience.note("the agent is started again");
    let survived = story.host.wait_hold(NOTES)?;
    ensure!(
        survived.id == hold.id,
        "another hold took its place: {} instead of {}",
        survived.id,
        hold.id
    );
    ensure!(process::is_stopped(pid), "the process went on");
    not_her_own(story, &hold.id)?;
    ensure!(
        stage::content(NOTES).as_deref() == Some("old\n"),
        "the write had an effect while it was held"
    );
    story.operator(&["hold", "approve", &hold.id, "--reason", "CHG-45"])?;
    let output = session.finish(typed, wait::LONG)?;
    ensure!(
        output.code == 0 && output.stdout.contains("changed"),
        "{}",
        output.both()
    );
    ensure!(
        stage::content(NOTES).as_deref() == Some("changed\n"),
        "the approved write had no effect"
    );
    let approved = Expected::of("hold-approved", "held-files", NOTES);
    story.step(
        "alice",
        WRITE,
        "the hold outlived the agent, and the approved call went on",
        &[approved],
    )
}

fn not_her_own(story: &mut Story, id: &str) -> Result<()> {
    let command = format!("sudo stayhand hold approve {id} --reason 'it is fine'");
    let output = story.alice(&command)?;
    ensure!(
        output.code == 5,
        "not refused by identity (exit 5) but {}: {}",
        output.code,
        output.both()
    );
    let holds = story.host.holds()?;
    ensure!(
        holds
            .iter()
            .any(|hold| hold.id == id && hold.text("/state") == "pending"),
        "her answer counted"
    );
    story.step(
        "alice",
        &command,
        "as root she is still alice: refused by identity",
        &[],
    )
}
