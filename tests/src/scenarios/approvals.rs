//! A hold that takes several people: the process stays stopped until the last of them has approved.

use std::fs;

use anyhow::{Result, ensure};

use crate::{
    host::{Config, Host},
    login::Session,
    scenario::{Ctx, Scenario},
    wait,
};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new(
        "a_held_call_waits_for_everybody_whom_its_approval_names",
        everybody,
    )
    .on_any_kernel(),
    Scenario::new(
        "a_stage_that_nobody_answers_in_its_time_ends_the_hold_without_effect",
        nobody_in_time,
    )
    .on_any_kernel(),
];

const POLICY: &str = "\
apiVersion: stayhand/v1
kind: Policy
metadata: { name: approvals }
spec:
  subjects: { users: [alice] }
  approvals:
    - { name: two, stages: [{ any: user:bob }, { any: user:root }] }
  rules:
    - { id: held, effect: hold, file: { ops: [write, create], path: /srv/held/** }, approval: two, timeout: 2m }
";
/// Exit code of what somebody may not do.
const NOT_PERMITTED: i32 = 5;

fn everybody(ctx: &mut Ctx) -> Result<()> {
    fs::create_dir_all("/srv/held")?;
    fs::write("/srv/held/plan", "before\n")?;
    std::os::unix::fs::chown("/srv/held/plan", Some(1001), None)?;
    let config = Config {
        control_toml: "[operators]\nusers = [\"root\", \"bob\"]\n".to_owned(),
        ..Config::policy(POLICY)
    };
    let host = Host::boot(&config)?;
    let mut alice = Session::login("alice")?;
    let mut bob = Session::login("bob")?;
    let typed = alice.type_command("sudo sh -c 'echo after >/srv/held/plan'")?;
    let hold = host.wait_hold("/srv/held/plan")?;
    let id = hold.text("/id").to_owned();
    let told = alice.wait_since(typed, "who may approve", wait::LONG)?;
    ensure!(told.contains("user:bob, then user:root"), "told {told}");
    ctx.step("root is not asked yet");
    let early = host.cli(&["hold", "approve", &id, "--reason", "now"])?;
    ensure!(
        early.code == NOT_PERMITTED && early.both().contains("user:bob"),
        "exit {} and {}",
        early.code,
        early.both()
    );
    ctx.step("bob approves, and it goes on waiting");
    let command = format!("stayhand hold approve {id} --reason 'looked at it'");
    let first = bob.run(&command)?.ok()?;
    ensure!(
        first.both().contains("more is needed: stage 2 of 2"),
        "{}",
        first.both()
    );
    let twice = bob.run(&command)?;
    ensure!(twice.code == NOT_PERMITTED, "bob, again: {}", twice.both());
    ensure!(
        alice.ended(typed).is_none() && fs::read_to_string("/srv/held/plan")? == "before\n",
        "it went on after one of two approvals"
    );
    ctx.step("root does, and it goes on");
    let last = host.approve(&id, "me, too")?.ok()?;
    ensure!(last.both().contains("approved, went on"), "{}", last.both());
    alice.finish(typed, wait::LONG)?.ok()?;
    ensure!(
        fs::read_to_string("/srv/held/plan")? == "after\n",
        "no effect"
    );
    let events: Vec<String> = host.events()?.iter().map(ToString::to_string).collect();
    for words in ["looked at it", "me, too"] {
        ensure!(
            events.iter().any(|event| event.contains(words)),
            "no event has `{words}`"
        );
    }
    Ok(())
}

/// Long enough for a first approval on a slow machine, short against the rule's two minutes.
const STAGES: &str = "[{ any: user:root, timeout: 1m }, { any: user:bob, timeout: 5s }]";
/// Exit code of what is not as one thinks any more.
const CONFLICT: i32 = 4;

fn nobody_in_time(ctx: &mut Ctx) -> Result<()> {
    fs::create_dir_all("/srv/held")?;
    fs::write("/srv/held/plan", "before\n")?;
    std::os::unix::fs::chown("/srv/held/plan", Some(1001), None)?;
    let policy = POLICY.replace("[{ any: user:bob }, { any: user:root }]", STAGES);
    let config = Config {
        control_toml: "[operators]\nusers = [\"root\", \"bob\"]\n".to_owned(),
        ..Config::policy(&policy)
    };
    let host = Host::boot(&config)?;
    let mut alice = Session::login("alice")?;
    let typed = alice.type_command("sudo sh -c 'echo after >/srv/held/plan'")?;
    let hold = host.wait_hold("/srv/held/plan")?;
    let id = hold.text("/id").to_owned();
    ctx.step("root approves the first stage, and the time of the second begins");
    let first = host
        .cli(&["hold", "approve", &id, "--reason", "looked at it"])?
        .ok()?;
    ensure!(
        first.both().contains("stage 2 of 2") && first.both().contains(" left, "),
        "{}",
        first.both()
    );
    ctx.step("nobody answers: the call comes back, and alice is told that nobody refused");
    let told = alice.wait_since(typed, "stage 2 of two: nobody approved in 5s", wait::LONG)?;
    ensure!(told.contains("nobody refused it"), "told {told}");
    let code = alice.finish(typed, wait::LONG)?.code;
    ensure!(code != 0, "the call went on");
    ensure!(
        fs::read_to_string("/srv/held/plan")? == "before\n",
        "it had an effect"
    );
    ctx.step("no approval is taken any more");
    let late = host.cli(&["hold", "approve", &id, "--reason", "me, too"])?;
    ensure!(
        late.code == CONFLICT && late.both().contains("nobody approved in 5s"),
        "exit {} and {}",
        late.code,
        late.both()
    );
    let why = alice.run("stayhand why")?.ok()?;
    ensure!(
        why.both().contains("NOT APPROVED") && why.both().contains("nobody approved in 5s"),
        "{}",
        why.both()
    );
    let shown = host.cli(&["hold", "show", &id])?.ok()?;
    ensure!(shown.both().contains("lapsed"), "{}", shown.both());
    for words in ["hold.lapsed", "hold-lapsed"] {
        // The decision comes from the host a little later.
        wait::until_ok(wait::LONG, words, || {
            let events = host.events()?;
            let found = events.iter().any(|event| event.to_string().contains(words));
            Ok(found.then_some(()))
        })?;
    }
    Ok(())
}
