//! Chapter 4: hold, on each class: stopped before it has an effect, and then the very same call.

use std::sync::atomic::Ordering;

use anyhow::{Context, Result, ensure};

use super::stage::{self, CONNECTIONS, DATABASE, GREETING};
use super::{Expected, Story, hold_more};
use crate::host::{Hold, network};
use crate::login::{Session, Typed};
use crate::{process, wait};

/// One act that is held.
struct Act {
    /// What alice types
    command: &'static str,
    /// Operation and object as the list shows them
    operation: &'static str,
    object: &'static str,
    rule: &'static str,
    /// Whether it had its effect
    effect: fn() -> bool,
    /// What her terminal shows in the end
    result: &'static str,
}

const ACTS: [Act; 4] = [
    Act {
        command: "echo changed | tee /srv/held/config",
        operation: "write",
        object: "/srv/held/config",
        rule: "held-files",
        effect: || stage::content("/srv/held/config").as_deref() != Some("old\n"),
        result: "changed",
    },
    Act {
        command: "echo report | tee /srv/held/report",
        operation: "create",
        object: "/srv/held/report",
        rule: "held-files",
        effect: || stage::exists("/srv/held/report"),
        result: "report",
    },
    Act {
        command: "/opt/demo/deploy release-7",
        operation: "exec",
        object: "/opt/demo/deploy",
        rule: "deploy",
        // It only prints: its terminal is looked at.
        effect: || false,
        result: "release-7",
    },
    Act {
        command: "cat < /dev/tcp/127.0.9.1/5432",
        operation: "connect",
        object: DATABASE,
        rule: "database",
        effect: || CONNECTIONS.load(Ordering::SeqCst) != 0,
        result: GREETING,
    },
];

/// Plays it.
pub fn play(story: &mut Story) -> Result<()> {
    CONNECTIONS.store(0, Ordering::SeqCst);
    let mut held = Vec::new();
    for act in &ACTS {
        held.push(stops(story, act)?);
    }
    listed(story, &held)?;
    stray_continue(story, &held)?;
    for (act, session, typed, hold) in &held {
        goes_on(story, act, session, *typed, hold)?;
    }
    hold_more::play(story)
}

type Held = (&'static Act, Session, Typed, Hold);

/// Stops with no effect, and she is told.
fn stops(story: &mut Story, act: &'static Act) -> Result<Held> {
    let mut session = Session::login("alice")?;
    let typed = session.type_command(act.command)?;
    let hold = story.host.wait_hold(act.object)?;
    let told = session.wait_since(typed, &hold.id, wait::SOON)?;
    story.audience.said("alice", act.command, &told);
    ensure!(
        told.contains(act.rule),
        "the terminal does not name the rule {}: {told}",
        act.rule
    );
    process::wait_stopped(hold.pid()?, wait::SOON)?;
    no_effect(act, &session, typed)?;
    let outcome = format!(
        "held before it had an effect: {} {}",
        act.operation, act.object
    );
    story.step(
        "alice",
        act.command,
        &outcome,
        &[Expected::of("hold-pending", act.rule, act.object)],
    )?;
    Ok((act, session, typed, hold))
}

fn no_effect(act: &Act, session: &Session, typed: Typed) -> Result<()> {
    ensure!(
        !(act.effect)(),
        "`{}` had an effect while it was held",
        act.command
    );
    ensure!(
        session.ended(typed).is_none(),
        "`{}` ended while it was held",
        act.command
    );
    let shown = session.since(typed);
    let alone = shown.lines().any(|line| line.trim() == act.result);
    ensure!(
        !alone,
        "`{}` printed its result while it was held: {shown}",
        act.command
    );
    Ok(())
}

/// Who, what, where, why, since when, how long is left.
fn listed(story: &mut Story, held: &[Held]) -> Result<()> {
    story.operator(&["hold", "ls"])?;
    let list = story.host.holds()?;
    ensure!(
        list.len() == held.len(),
        "{} holds instead of {}",
        list.len(),
        held.len()
    );
    for (act, session, _, hold) in held {
        let now = list
            .iter()
            .find(|one| one.id == hold.id)
            .context("a hold is missing in the list")?;
        ensure!(now.text("/state") == "pending", "{}", now.json);
        ensure!(
            now.text("/subject/user") == "alice" && now.number("/subject/auid") == Some(1001),
            "who: {}",
            now.json
        );
        ensure!(
            now.text("/operation") == act.operation && now.text("/object") == act.object,
            "what: {}",
            now.json
        );
        ensure!(now.text("/host") == network::HOST, "where: {}", now.json);
        ensure!(
            session
                .tty()
                .ends_with(now.text("/process/terminal").trim_start_matches("/dev/")),
            "where: {}",
            now.json
        );
        ensure!(
            now.text("/rule/rule") == act.rule && !now.text("/message").is_empty(),
            "why: {}",
            now.json
        );
        ensure!(
            !now.text("/create_time").is_empty(),
            "since when: {}",
            now.json
        );
        let left = now.number("/seconds_left").context("how long is left")?;
        ensure!(
            (1..=120).contains(&left),
            "{left} s are left of two minutes"
        );
    }
    story.step(
        "root",
        "stayhand hold ls",
        "who, what, where, why, since when and how long is left",
        &[],
    )
}

/// Alice continues her own processes from another terminal.
fn stray_continue(story: &mut Story, held: &[Held]) -> Result<()> {
    let pids = held
        .iter()
        .map(|(.., hold)| hold.pid())
        .collect::<Result<Vec<_>>>()?;
    let words: Vec<String> = pids.iter().map(u32::to_string).collect();
    let command = format!("kill -CONT {}", words.join(" "));
    let continued = |story: &Story| story.host.counter("restopped");
    let before = continued(story)?;
    story.alice(&command)?.ok()?;
    wait::until_ok(wait::SOON, "the calls to be judged again", || {
        Ok((continued(story)? >= before + u64::try_from(pids.len())?).then_some(()))
    })?;
    for pid in &pids {
        process::wait_stopped(*pid, wait::SOON)?;
    }
    wait::stays("a held call", || {
        for (act, session, typed, _) in held {
            no_effect(act, session, *typed)?;
        }
        Ok(pids.iter().all(|pid| process::is_alive(*pid)))
    })?;
    ensure!(
        story.host.holds()?.len() == held.len(),
        "a stray SIGCONT changed the list"
    );
    story.step(
        "alice",
        &command,
        "a stray SIGCONT changes nothing: each call is judged again and stops again",
        &[],
    )
}

/// Approved: the same process ends with the right result.
fn goes_on(
    story: &mut Story,
    act: &Act,
    session: &Session,
    typed: Typed,
    hold: &Hold,
) -> Result<()> {
    story.operator(&[
        "hold",
        "approve",
        &hold.id,
        "--reason",
        "CHG-42, looked at it",
    ])?;
    let output = session.finish(typed, wait::LONG)?;
    ensure!(
        output.code == 0,
        "`{}` ended with {}: {}",
        act.command,
        output.code,
        output.both()
    );
    let right = output.stdout.lines().any(|line| line.trim() == act.result);
    ensure!(
        right,
        "`{}` did not show {:?} but {:?}",
        act.command,
        act.result,
        output.stdout
    );
    ensure!(
        (act.effect)() || act.operation == "exec",
        "`{}` had no effect",
        act.command
    );
    let again = story
        .host
        .all_holds()?
        .into_iter()
        .filter(|one| one.text("/object") == act.object)
        .count();
    ensure!(
        again == 1,
        "`{}` was asked about {again} times",
        act.command
    );
    let outcome = format!("approved; the very same call went on: {:?}", act.result);
    story.step(
        "alice",
        act.command,
        &outcome,
        &[Expected::of("hold-approved", act.rule, act.object)],
    )
}
