//! Rates are counted by the kernel: with no agent alive, once for each call, for each person alone.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use anyhow::{Context as _, Result, ensure};

use crate::{
    actors::{
        client::{ALICE, As, BOB, Puppet},
        elf,
        rig::write_executable,
        sys::{EPERM, Ret},
    },
    host::{Config, Host},
    scenario::{Ctx, Scenario},
    wait,
};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new(
        "a_rate_is_counted_with_no_agent_alive_and_outlives_one",
        alone,
    )
    .on_any_kernel(),
    Scenario::new("many_at_once_get_no_more_than_the_limit", at_once),
    Scenario::new(
        "what_is_asked_held_or_denied_takes_nothing_from_a_rate",
        once,
    ),
];

const ROOT: &str = "/srv/rates";
/// What the programs end with.
const CODE: u8 = 42;
/// How many may be let through at once.
const MANY: usize = 20;
/// In how much time the bucket of the shortest rate has one more.
const REFILLS: Duration = Duration::from_secs(4);

fn policy() -> String {
    format!(
        r"apiVersion: stayhand/v1
kind: Policy
metadata: {{ name: rates }}
spec:
  subjects: {{ users: [alice, bob] }}
  rules:
    - {{ id: twice, effect: throttle, exec: {{ path: {ROOT}/twice }}, rate: {{ limit: 2, per: 1d, then: deny }}, message: twice a day }}
    - {{ id: short, effect: throttle, exec: {{ path: {ROOT}/short }}, rate: {{ limit: 1, per: 4s, then: deny }} }}
    - {{ id: many, effect: throttle, file: {{ ops: [write], path: {ROOT}/many }}, rate: {{ limit: {MANY}, per: 1d, then: deny }} }}
    - {{ id: asked, effect: throttle, exec: {{ path: {ROOT}/asked, regex: '^go' }}, rate: {{ limit: 2, per: 1d, then: deny }} }}
    - {{ id: waits, effect: throttle, exec: {{ path: {ROOT}/waits }}, rate: {{ limit: 1, per: 1d, then: hold }}, timeout: 2m }}
    - {{ id: no, effect: deny, exec: {{ path: {ROOT}/twice, anyArg: [no] }} }}
"
    )
}

struct Machine {
    host: Host,
    alice: Puppet,
    bob: Puppet,
}

impl Machine {
    fn boot() -> Result<Self> {
        fs::create_dir_all(ROOT)?;
        for name in ["twice", "short", "asked", "waits"] {
            write_executable(&format!("{ROOT}/{name}"), &elf::exit64(CODE))?;
        }
        let many = format!("{ROOT}/many");
        write_executable(&many, b"many")?;
        fs::set_permissions(&many, fs::Permissions::from_mode(0o666))?;
        Ok(Self {
            host: Host::boot(&Config::policy(&policy()))?,
            alice: Puppet::start(ALICE)?,
            bob: Puppet::start(BOB)?,
        })
    }
}

fn run(puppet: &mut Puppet, words: &str) -> Result<Ret> {
    puppet.tell(&format!("exec|fork|{ROOT}/{words}"))
}

fn runs(puppet: &mut Puppet, words: &str) -> Result<()> {
    let result = run(puppet, words)?;
    ensure!(result == Ret::from(CODE), "`{words}` gives {result}");
    Ok(())
}

fn is_denied(puppet: &mut Puppet, words: &str) -> Result<()> {
    let result = run(puppet, words)?;
    ensure!(result == EPERM, "`{words}` gives {result}");
    Ok(())
}

fn alone(ctx: &mut Ctx) -> Result<()> {
    let mut machine = Machine::boot()?;
    let Machine { host, alice, bob } = &mut machine;
    runs(alice, "twice")?;
    host.kill_agent()?;
    host.kill_control()?;
    ctx.step("nobody is alive but the kernel");
    runs(alice, "twice")?;
    is_denied(alice, "twice")?;
    runs(bob, "twice").context("bob has a bucket of his own")?;
    runs(alice, "short")?;
    is_denied(alice, "short")?;
    std::thread::sleep(REFILLS);
    runs(alice, "short").context("after it has refilled")?;
    ctx.step("an agent comes back and installs everything again");
    host.start_agent()?;
    host.start_control()?;
    is_denied(alice, "twice")?;
    let events = host.events()?;
    let says = |words: &str| {
        let mut texts = events.iter().map(ToString::to_string);
        ensure!(
            texts.any(|text| text.contains(words)),
            "no event says `{words}`"
        );
        Ok(())
    };
    says("rate-exceeded")?;
    says("within-rate")?;
    says("twice a day; this rule lets through 2 per 1d, then deny")?;
    ctx.step("another rate begins anew, an unchanged one does not");
    host.apply(&policy().replace(
        "limit: 2, per: 1d, then: deny }, message",
        "limit: 3, per: 1d, then: deny }, message",
    ))?;
    for _ in 0..3 {
        runs(alice, "twice")?;
    }
    is_denied(alice, "twice")?;
    let uncounted = host.counter("uncounted")?;
    ensure!(uncounted == 0, "{uncounted} were not counted");
    Ok(())
}

/// Several processes, each with as many calls as are let through together.
fn at_once(ctx: &mut Ctx) -> Result<()> {
    const PROCESSES: usize = 4;
    let machine = Machine::boot()?;
    drop((machine.alice, machine.bob));
    let opened = |who: As| -> Result<usize> {
        let start = |_| Puppet::start(who);
        let mut puppets: Vec<Puppet> = (0..PROCESSES).map(start).collect::<Result<_>>()?;
        let words = format!("open|open|{ROOT}/many|{}|0|x", libc::O_WRONLY);
        let mut tickets = vec![];
        for _ in 0..MANY {
            for (index, puppet) in puppets.iter_mut().enumerate() {
                tickets.push((index, puppet.ask(&words)?));
            }
        }
        let mut through = 0;
        for (index, ticket) in &tickets {
            let puppet = puppets.get(*index).context("no puppet")?;
            let result = puppet.answer(ticket, wait::SOON)?;
            ensure!(result == EPERM || result == 1, "an open gives {result}");
            through += usize::from(result == 1);
        }
        Ok(through)
    };
    let alice = opened(ALICE)?;
    let bob = opened(BOB)?;
    ctx.log(format!("alice opened it {alice} times, bob {bob} times"));
    ensure!(
        alice == MANY && bob == MANY,
        "{alice} and {bob}, not {MANY}"
    );
    Ok(())
}

fn once(_: &mut Ctx) -> Result<()> {
    let mut machine = Machine::boot()?;
    let Machine { host, alice, .. } = &mut machine;
    // The kernel has the call issued again and again while it asks the agent.
    runs(alice, "asked|go")?;
    runs(alice, "asked|stop")?;
    runs(alice, "asked|go on")?;
    is_denied(alice, "asked|go")?;
    runs(alice, "asked|stop")?;
    for _ in 0..3 {
        is_denied(alice, "twice|no")?;
    }
    runs(alice, "twice")?;
    runs(alice, "twice")?;
    is_denied(alice, "twice")?;
    runs(alice, "waits")?;
    for refused in [true, false] {
        let ticket = alice.ask(&format!("exec|fork|{ROOT}/waits"))?;
        let hold = host.wait_hold(&format!("{ROOT}/waits"))?;
        let answer = if refused {
            host.refuse(&hold.id, "not again")?
        } else {
            host.approve(&hold.id, "once more")?
        };
        answer.ok()?;
        let result = alice.answer(&ticket, wait::SOON)?;
        let wanted = if refused { EPERM } else { Ret::from(CODE) };
        ensure!(result == wanted, "{result} after the answer, not {wanted}");
    }
    Ok(())
}
