//! Holds with the real services at the moments that are rare in life: hundreds of answers under load amid stray
//! continues, a deadline that passes while no agent lives, a full table of holds, a core dump into a held directory,
//! and somebody without a terminal who asks.

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use stayhand_agent_ebpf::abi::hold::{HOLDS_MAX, HoldEntry, HoldKey};

use super::hold_agent::{pending, with};
use crate::{
    actors::{
        bpf::Map,
        client::{ALICE, Puppet},
        rig::{WORK, changed, file},
        sys::{EPERM, Ret},
    },
    host::{Host, Operator},
    login::Session,
    process,
    scenario::{Ctx, LIMIT_LONG, Scenario},
    wait,
};

/// This file's scenarios; on the machine of the holds with the real agent.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new(
        "no_answer_of_the_real_agent_is_lost_under_load_amid_stray_continues",
        under_load,
    )
    .group("agent")
    .limit(LIMIT_LONG),
    Scenario::new(
        "a_deadline_that_passes_without_an_agent_is_delivered_at_its_start",
        late_agent,
    )
    .group("agent"),
    Scenario::new(
        "a_stop_that_finds_no_room_for_its_hold_is_denied_and_continued",
        full_table,
    )
    .group("agent"),
    Scenario::new(
        "a_core_dump_into_a_held_directory_is_denied_and_does_not_hang",
        core_dump,
    )
    .group("agent"),
    Scenario::new(
        "a_program_without_terminal_is_told_why_while_its_hold_is_pending",
        why_pending,
    )
    .group("agent"),
];

fn overwrite(path: &str) -> String {
    format!(
        "open|open|{path}|{}|0|after",
        libc::O_WRONLY | libc::O_TRUNC
    )
}

/// Rounds with the real agent, on each kernel: half a second to a second each on a busy machine.
const ROUNDS: u32 = 40;
/// No round may take longer, whatever the machine is busy with.
const ROUND_MAX: Duration = Duration::from_secs(20);
/// Longest pause between two looks: a stop, its announcement and its answer take about as long.
const PAUSE_MICROS_MAX: u64 = 16_000;
/// Programs that take a processor from the services.
const BUSY: usize = 1;
/// How often a look comes with a stray continue.
const STRAY: f64 = 0.3;
/// Says that it is alive this often.
const STEP_EVERY: u32 = 50;

/// Something that computes until it is dropped.
struct Load(Child);

impl Load {
    fn start() -> Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", "while :; do :; done"]);
        Ok(Self(command.stdin(Stdio::null()).spawn()?))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn under_load(ctx: &mut Ctx) -> Result<()> {
    let seed = rand::rng().random();
    ctx.log(format!("seed {seed}"));
    with(|host| answered_rounds(ctx, host, StdRng::seed_from_u64(seed)))
        .with_context(|| format!("seed {seed}"))
}

fn answered_rounds(ctx: &mut Ctx, host: &Host, mut random: StdRng) -> Result<()> {
    let path = file("held/hammered")?;
    let _load = (0..BUSY)
        .map(|_| Load::start())
        .collect::<Result<Vec<_>>>()?;
    let mut operator = Operator::connect()?;
    let holds: Map<HoldKey, HoldEntry> = Map::open("HOLDS")?;
    let restopped = host.counter("restopped")?;
    let mut alice = Puppet::start(ALICE)?;
    let ticket = alice.ask(&format!("hammer|{ROUNDS}|{path}|{}", libc::O_WRONLY))?;
    let mut last = 0;
    for round in 0..ROUNDS {
        let started = Instant::now();
        // The last round's hold goes, the next one comes and is answered, amid strays at any moment.
        loop {
            ensure!(
                alice.answered(&ticket).is_none(),
                "round {round}: went on without an answer"
            );
            ensure!(
                started.elapsed() < ROUND_MAX,
                "round {round} hangs: {:?}\n{}",
                holds.all(),
                process::listing()
            );
            std::thread::sleep(Duration::from_micros(
                random.random_range(0..PAUSE_MICROS_MAX),
            ));
            if random.random_bool(STRAY) {
                process::signal(alice.pid(), Signal::SIGCONT)?;
            }
            let next = holds.all().into_iter().map(|(_, entry)| entry.hold);
            if let Some(id) = next.into_iter().find(|id| *id != last)
                && operator.approve(id)?
            {
                last = id;
                break;
            }
        }
        if round % STEP_EVERY == 0 {
            ctx.step(format!("round {round}"));
        }
    }
    let opened = alice
        .answer(&ticket, ROUND_MAX)
        .context("the last round does not return")?;
    ensure!(
        opened == Ret::from(ROUNDS),
        "{opened} of {ROUNDS} calls went on"
    );
    let strays = host.counter("restopped")? - restopped;
    ensure!(strays > 0, "nothing was stopped again: this shows nothing");
    ctx.log(format!(
        "{strays} times stopped again, {} calls while the services were too busy",
        operator.busy
    ));
    Ok(())
}

/// Longer than the rule's time-out of one second.
const PAST_THE_DEADLINE: Duration = Duration::from_millis(1_500);

fn late_agent(ctx: &mut Ctx) -> Result<()> {
    with(|host| {
        let path = file("brief/late")?;
        let mut alice = Puppet::start(ALICE)?;
        host.kill_agent()?;
        ctx.step("alice is held with no agent alive, and the time passes");
        let ticket = alice.ask(&overwrite(&path))?;
        process::wait_stopped(alice.pid(), wait::SOON)?;
        std::thread::sleep(PAST_THE_DEADLINE);
        ensure!(
            process::is_stopped(alice.pid()) && alice.answered(&ticket).is_none(),
            "who continued it?"
        );
        ctx.step("the agent starts");
        host.start_agent()?;
        let result = alice
            .answer(&ticket, wait::SOON)
            .context("the time-out is not delivered")?;
        ensure!(result == EPERM && !changed(&path), "gives {result}");
        let is_it = |hold: &crate::host::Hold| {
            hold.text("/object") == path && hold.text("/state") == "timed-out"
        };
        wait::until_ok(wait::LONG, "the hold to be timed-out", || {
            Ok(host.all_holds()?.iter().any(is_it).then_some(()))
        })
    })
}

/// Fills the table of holds while the agent is stopped, so that it neither sees nor removes the fillers.
fn full_table(ctx: &mut Ctx) -> Result<()> {
    with(|host| {
        let path = file("held/no-room")?;
        let holds: Map<HoldKey, HoldEntry> = Map::open("HOLDS")?;
        let filler = |number: u32| HoldKey {
            // Cookies of tasks are never zero.
            task_cookie: 0,
            digest: [u64::from(number), 0],
        };
        let unpublished = host.counter("hold-unpublished")?;
        let mut alice = Puppet::start(ALICE)?;
        process::signal(host.agent_pid(), Signal::SIGSTOP)?;
        ctx.step("the table is full");
        for number in 0..HOLDS_MAX {
            if holds.put(&filler(number), &HoldEntry::default()).is_err() {
                break;
            }
        }
        let ticket = alice.ask(&overwrite(&path))?;
        let stopped = process::wait_stopped(alice.pid(), wait::SOON);
        for number in 0..HOLDS_MAX {
            holds.delete(&filler(number));
        }
        process::signal(host.agent_pid(), Signal::SIGCONT)?;
        stopped.context("the stop signal was not sent")?;
        ctx.step("the agent hears of it");
        let result = alice
            .answer(&ticket, wait::SOON)
            .context("nobody continues a process that was stopped without a hold")?;
        ensure!(result == EPERM && !changed(&path), "gives {result}");
        ensure!(
            host.counter("hold-unpublished")? == unpublished + 1,
            "it is not counted"
        );
        ensure!(host.holds()?.is_empty(), "there is a hold after all");
        Ok(())
    })
}

const CORE_PATTERN: &str = "/proc/sys/kernel/core_pattern";

/// Dumps a core as alice into a directory; what her shell showed, and whether there is a core.
fn dumped(directory: &str) -> Result<(String, bool)> {
    let before = fs::read_to_string(CORE_PATTERN)?;
    let core = format!("{WORK}/{directory}/core");
    drop(fs::remove_file(&core));
    fs::write(CORE_PATTERN, &core)?;
    let shown = Session::login("alice").and_then(|mut alice| {
        alice.run("ulimit -c unlimited; sh -c 'kill -QUIT $$'; echo code-$?")
    });
    fs::write(CORE_PATTERN, before)?;
    let there = fs::metadata(&core).is_ok();
    drop(fs::remove_file(&core));
    Ok((shown?.stdout, there))
}

/// A dumping task cannot be stopped and restarted (`PF_DUMPCORE`): its write is denied, and it dies at once.
fn core_dump(ctx: &mut Ctx) -> Result<()> {
    with(|host| {
        ctx.step("into a directory that nobody guards");
        let (shown, there) = dumped("free")?;
        ensure!(
            shown.contains("code-131") && there,
            "no core: this shows nothing ({shown})"
        );
        ctx.step("into a held one");
        let (shown, there) = dumped("held")?;
        ensure!(shown.contains("code-131"), "it did not die of it: {shown}");
        ensure!(!there, "the core leaked into the held directory");
        ensure!(host.holds()?.is_empty(), "a dying task is held");
        let core = format!("{WORK}/held/core");
        wait::until_ok(wait::LONG, "the event", || {
            let events = host.events()?;
            let is_it = |event: &serde_json::Value| {
                let text = event.to_string();
                text.contains(&core) && text.contains("hold-unavailable")
            };
            Ok(events.iter().any(is_it).then_some(()))
        })
    })
}

/// As an AI agent or a script asks: by process, as JSON, with no terminal anywhere.
fn why_pending(_: &mut Ctx) -> Result<()> {
    with(|host| {
        let path = file("held/asked")?;
        let mut alice = Puppet::start(ALICE)?;
        let ticket = alice.ask(&overwrite(&path))?;
        let hold = pending(host, &path)?;
        let pid = hold.pid()?.to_string();
        let asked = wait::until_ok(wait::SOON, "an explanation", || {
            let mut command = Command::new("stayhand");
            command.args(["why", "--pid", &pid, "-o", "json"]);
            let output = process::run(&mut command, wait::LONG)?;
            Ok((output.code == 0).then_some(output))
        })?;
        let told = asked.json()?;
        let said = |pointer: &str| {
            let text = told.pointer(pointer).and_then(serde_json::Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        ensure!(
            said("/items/0/reason") == "hold-pending" && said("/items/0/hold") == hold.id,
            "told: {told}"
        );
        ensure!(
            said("/items/0/object") == path && said("/items/0/rule/rule") == "held-files",
            "told: {told}"
        );
        let left = told.pointer("/items/0/seconds_left");
        ensure!(
            left.and_then(serde_json::Value::as_u64)
                .is_some_and(|left| left > 0),
            "no time left is told: {told}"
        );
        host.refuse(&hold.id, "shown by a test")?;
        ensure!(alice.answer(&ticket, wait::SOON)? == EPERM);
        Ok(())
    })
}
