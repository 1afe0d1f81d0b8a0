//! Rules on the process: what started it counts however it was re-parented and whatever it ran since, by identity and not
//! by name; a terminal is there or it is not.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use stayhand_agent_ebpf::abi::task::ANCESTORS_MAX;

use crate::{
    actors::{
        client::{ALICE, BOB, DAEMON, Puppet, own_path},
        elf,
        rig::{self, PROGRAM_CODE, WORK, write_executable},
        sys::{self, EPERM, Ret},
    },
    host::{Config, Host, grant_create},
    login::Session,
    scenario::{Ctx, Scenario},
    wait,
};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new(
        "a_process_with_a_terminal_and_one_without_are_told_apart",
        terminal,
    )
    .group("ancestry"),
    Scenario::new(
        "a_permission_by_parent_covers_what_that_program_starts_and_nothing_else",
        permitted,
    )
    .group("ancestry"),
    // The last one on this host: it puts another program in the agent's place.
    Scenario::new(
        "what_a_denied_program_starts_is_denied_however_it_is_reparented",
        reparented,
    )
    .group("ancestry"),
    Scenario::new(
        "ancestors_from_before_the_agent_and_those_that_nobody_guards_are_known",
        before_the_agent,
    )
    .bare(),
];

const POLICY: &str = include_str!("../../fixtures/policies/ancestry.yaml");
/// What a shell exits with if it may not execute a command.
const NOT_EXECUTED: Ret = 126;
/// More than two looks of the agent at what was replaced.
const LOOKS: Duration = Duration::from_secs(7);
/// Runs its words and waits for them.
const SCRIPT: &str = "#!/usr/bin/bash\n\"$@\"\nexit $?\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Runs,
    Denied,
}
use Then::{Denied, Runs};

/// Runs a scenario on the host of this process; the first one sets it up.
fn with(run: impl FnOnce(&mut Host) -> Result<()>) -> Result<()> {
    static HOST: Mutex<Option<Host>> = Mutex::new(None);
    let mut place = HOST.lock().unwrap_or_else(PoisonError::into_inner);
    let mut host = if let Some(host) = place.take() {
        host
    } else {
        programs()?;
        Host::boot(&Config::policy(POLICY))?
    };
    run(&mut host)?;
    *place = Some(host);
    Ok(())
}

fn bin(name: &str) -> String {
    format!("{WORK}/bin/{name}")
}

fn programs() -> Result<()> {
    rig::places()?;
    for name in [
        "child",
        "below",
        "both",
        "scripted",
        "nobodys",
        "nobody",
        "unattended",
        "attended",
        "job",
        "shown",
    ] {
        rig::program(&format!("bin/{name}"))?;
    }
    // Each a file of its own, with the same in it.
    let puppet = fs::read(own_path()?)?;
    for name in ["agent", "copy"] {
        write_executable(&bin(name), &puppet)?;
    }
    for name in ["deploy", "other-script"] {
        write_executable(&bin(name), SCRIPT.as_bytes())?;
    }
    for hop in 0..=ANCESTORS_MAX {
        write_executable(&bin(&format!("hop{hop}")), &elf::execute64())?;
    }
    // There before the policy is, whose permission leads through it.
    let link = bin("link");
    if !Path::new(&link).exists() {
        symlink(bin("deploy"), &link)?;
    }
    Ok(())
}

/// Whether the program at the end of these words is run.
fn found(puppet: &mut Puppet, words: &str) -> Result<Then> {
    // The error of an execution is the exit code of what was executed before, in one way or another.
    let denied = [EPERM, Ret::from(libc::EPERM), NOT_EXECUTED];
    match puppet.tell(words)? {
        PROGRAM_CODE => Ok(Runs),
        result if denied.contains(&result) => Ok(Denied),
        result => anyhow::bail!("`{words}` gives {result}"),
    }
}

fn all(puppet: &mut Puppet, who: &str, cases: &[(&str, Then)]) -> Result<()> {
    for (words, then) in cases {
        let words = words.replace("BIN", &format!("{WORK}/bin"));
        let found = found(puppet, &words).with_context(|| format!("{who}: `{words}`"))?;
        ensure!(found == *then, "{who}: `{words}`: {found:?}, not {then:?}");
    }
    Ok(())
}

/// Started by the program `agent`, which rules name.
const OF_AGENT: &[(&str, Then)] = &[
    ("exec|fork|BIN/child", Denied),
    ("exec|vfork|BIN/child", Denied),
    ("exec|at|BIN/child", Denied),
    ("exec|fork|BIN/below", Denied),
    // A child of a child, and one that left session, parent and process group behind.
    ("fork|exec|fork|BIN/child", Denied),
    ("daemon|exec|fork|BIN/child", Denied),
    ("daemon|fork|daemon|exec|vfork|BIN/below", Denied),
    // Another program in the same process started it, and that was started by this one.
    ("exec|fork|BIN/hop0|BIN/child", Denied),
    ("exec|fork|/usr/bin/bash|-c|exec BIN/below", Denied),
    ("exec|fork|BIN/hop0|BIN/hop1|BIN/hop2|BIN/below", Denied),
    ("exec|fork|/usr/bin/setsid|-f|-w|BIN/below", Denied),
    // A shell in between is the parent, and no way around the ancestor.
    ("exec|fork|/usr/bin/bash|-c|BIN/child; exit $?", Runs),
    ("exec|fork|/usr/bin/bash|-c|BIN/below; exit $?", Denied),
    (
        "exec|fork|/usr/bin/bash|-c|(BIN/below; exit $?) & wait $!",
        Denied,
    ),
    ("exec|fork|BIN/other-script|BIN/below", Denied),
    ("exec|fork|/usr/bin/setsid|-w|BIN/below", Denied),
    // All that is asked has to be met.
    ("exec|fork|BIN/both|--now", Denied),
    ("exec|fork|BIN/both|--later", Runs),
    ("exec|fork|BIN/nobodys", Runs),
    ("exec|fork|BIN/scripted", Runs),
];

/// Started by a program that is none of those, although its content is the same.
const OF_COPY: &[(&str, Then)] = &[
    ("exec|fork|BIN/child", Runs),
    ("exec|fork|BIN/below", Runs),
    ("exec|fork|BIN/both|--now", Runs),
    ("daemon|exec|fork|BIN/below", Runs),
    // A script, and not its interpreter nor another script; also where the script's last word is in its place.
    ("exec|fork|BIN/deploy|BIN/scripted", Denied),
    ("exec|vfork|BIN/deploy|BIN/scripted", Denied),
    ("exec|fork|BIN/deploy|BIN/hop0|BIN/scripted", Denied),
    ("exec|fork|BIN/other-script|BIN/scripted", Runs),
    ("exec|fork|/usr/bin/bash|BIN/deploy|BIN/scripted", Runs),
    ("exec|fork|BIN/deploy|BIN/other-script|BIN/scripted", Runs),
];

fn reparented(ctx: &mut Ctx) -> Result<()> {
    with(|_| what_it_started(ctx))
}

fn what_it_started(ctx: &mut Ctx) -> Result<()> {
    let mut agent = Puppet::start_copy(ALICE, &bin("agent"))?;
    let mut copy = Puppet::start_copy(ALICE, &bin("copy"))?;
    ctx.step("by what started it");
    all(&mut agent, "agent", OF_AGENT)?;
    all(&mut copy, "copy", OF_COPY)?;
    ctx.step("threads");
    let ticket = agent.ask_thread(1, &format!("exec|fork|{}", bin("child")))?;
    ensure!(agent.answer(&ticket, wait::SOON)? == EPERM, "a thread");
    ctx.step("whom no policy guards");
    let mut bob = Puppet::start_copy(BOB, &bin("agent"))?;
    ensure!(found(&mut bob, &format!("exec|fork|{}", bin("child")))? == Runs);
    ctx.step("more ancestors than are kept");
    hops(&mut copy)?;
    ctx.step("an executable mapping, of which nothing is known");
    mapping(&mut copy)?;
    ctx.step("another program in the same place, and the old one under another name");
    fs::rename(bin("agent"), bin("agent.old"))?;
    write_executable(&bin("agent"), &fs::read(own_path()?)?)?;
    std::thread::sleep(LOOKS);
    all(&mut agent, "the old one", &OF_AGENT[..4])?;
    let mut new = Puppet::start_copy(ALICE, &bin("agent"))?;
    all(&mut new, "the new one", &OF_AGENT[..4])?;
    let mut old = Puppet::start_copy(ALICE, &bin("agent.old"))?;
    all(&mut old, "the old one, started again", &OF_AGENT[..4])
}

/// Distinct programs, each started by the one before.
fn hops(copy: &mut Puppet) -> Result<()> {
    let path = |count: usize| {
        let hops: Vec<String> = (0..count).map(|hop| bin(&format!("hop{hop}"))).collect();
        format!("exec|fork|{}|{}", hops.join("|"), bin("nobodys"))
    };
    // The guest's own program, the copy, and some to spare.
    ensure!(found(copy, &path(ANCESTORS_MAX / 2))? == Runs, "few");
    ensure!(found(copy, &path(ANCESTORS_MAX + 1))? == Denied, "many");
    // The same ones again are no more.
    let again = [bin("hop0"), bin("hop1")].join("|");
    let again = vec![again; ANCESTORS_MAX].join("|");
    let words = format!("exec|fork|{again}|{}", bin("nobodys"));
    ensure!(found(copy, &words)? == Runs, "the same ones");
    Ok(())
}

/// The loader maps a program, which no rule on the process lets through, and executes it, which this one does.
fn mapping(copy: &mut Puppet) -> Result<()> {
    let dynamic = bin("dynamic");
    let executed = copy.tell(&format!("exec|fork|{dynamic}"))?;
    ensure!(executed == 0, "executing gives {executed}");
    let mapped = copy.tell(&format!("call|mmap|0|4096|5|2|fd:{dynamic}|0"))?;
    ensure!(mapped == EPERM, "mapping gives {mapped}");
    Ok(())
}

fn terminal(_: &mut Ctx) -> Result<()> {
    with(|_| at_a_terminal())
}

fn at_a_terminal() -> Result<()> {
    let mut without = Puppet::start(ALICE)?;
    let cases = [
        ("exec|fork|BIN/unattended", Denied),
        ("exec|fork|BIN/attended", Runs),
        ("daemon|exec|fork|BIN/unattended", Denied),
    ];
    all(&mut without, "without a terminal", &cases)?;
    let mut session = Session::login("alice")?;
    for (command, code) in [
        ("BIN/unattended", PROGRAM_CODE),
        ("BIN/attended", NOT_EXECUTED),
        ("BIN/unattended < /dev/null > /dev/null 2>&1", PROGRAM_CODE),
        ("BIN/deploy BIN/attended", NOT_EXECUTED),
        // A session of its own has none.
        ("setsid -w BIN/unattended", NOT_EXECUTED),
        ("setsid -w BIN/attended", PROGRAM_CODE),
        // And another one has its own again.
        (
            "script -qec BIN/unattended /dev/null < /dev/null",
            PROGRAM_CODE,
        ),
    ] {
        let command = command.replace("BIN", &format!("{WORK}/bin"));
        let ended = session.run(&command)?;
        ensure!(
            Ret::from(ended.code) == code,
            "`{command}` gives {ended:?}, not {code}"
        );
    }
    Ok(())
}

fn permitted(_: &mut Ctx) -> Result<()> {
    with(by_parent)
}

fn by_parent(host: &mut Host) -> Result<()> {
    let mut alice = Puppet::start_copy(ALICE, &bin("copy"))?;
    let through = [
        ("exec|fork|BIN/deploy|BIN/job", Denied),
        ("exec|fork|BIN/job", Denied),
    ];
    all(&mut alice, "without a grant", &through)?;
    for permission in ["ancestry/job", "ancestry/shown"] {
        host.cli(&grant_create("alice", permission, "1h", "a job"))?
            .ok()?;
    }
    let cases = [
        ("exec|fork|BIN/deploy|BIN/job", Runs),
        ("exec|fork|BIN/deploy|BIN/hop0|BIN/job", Runs),
        ("exec|fork|BIN/job", Denied),
        ("exec|fork|BIN/other-script|BIN/job", Denied),
        ("exec|fork|/usr/bin/bash|BIN/deploy|BIN/job", Denied),
        // What the script starts is not whatever that starts.
        ("exec|fork|BIN/deploy|BIN/other-script|BIN/job", Denied),
        // Whoever can make a link moves no permission.
        ("exec|fork|BIN/link|BIN/shown", Denied),
        ("exec|fork|BIN/deploy|BIN/shown", Denied),
    ];
    all(&mut alice, "with a grant", &cases)?;
    // Too many ancestors are no parents.
    let hops: Vec<String> = (0..=ANCESTORS_MAX)
        .map(|hop| bin(&format!("hop{hop}")))
        .collect();
    let words = format!(
        "exec|fork|{}|{}|{}",
        hops.join("|"),
        bin("deploy"),
        bin("job")
    );
    ensure!(found(&mut alice, &words)? == Runs, "behind many programs");
    Ok(())
}

fn before_the_agent(ctx: &mut Ctx) -> Result<()> {
    const BECOME_ALICE: &str = "open|open|/proc/self/loginuid|1|0|1001";
    programs()?;
    let mut old = Puppet::start_copy(ALICE, &bin("agent"))?.inside(&bin("copy"))?;
    let mut free = Puppet::start_copy(ALICE, &bin("copy"))?.inside(&bin("copy"))?;
    let warm = old.ask_thread(1, "tid")?;
    old.answer(&warm, wait::SOON)?;
    let waiting = Puppet::start_copy(DAEMON, &bin("agent"))?;
    let _host = Host::boot(&Config::policy(POLICY))?;
    ctx.step("from before the agent");
    let below = [
        ("exec|fork|BIN/child", Runs),
        ("exec|fork|BIN/below", Denied),
        ("daemon|exec|fork|BIN/below", Denied),
        ("exec|fork|BIN/nobodys", Runs),
    ];
    all(&mut old, "below agent", &below)?;
    let elsewhere = [("exec|fork|BIN/child", Runs), ("exec|fork|BIN/below", Runs)];
    all(&mut free, "below copy", &elsewhere)?;
    ctx.step("from before the agent, and its parent ends: the process itself, and a thread that did nothing so far");
    let ended = sys::kill(i32::try_from(old.pid())?, libc::SIGKILL);
    ensure!(ended == 0, "the outer puppet: {ended}");
    old.ended(wait::SOON)?;
    let words = format!("exec|fork|{}", bin("below"));
    let ticket = old.ask_thread(1, &words)?;
    ensure!(old.answer(&ticket, wait::SOON)? == EPERM, "the thread");
    all(&mut old, "without its parent", &below)?;
    ctx.step("a daemon that logs somebody in, itself and below another one");
    let mut daemon = waiting.inside(&bin("copy"))?;
    ensure!(found(&mut daemon, &format!("exec|fork|{}", bin("below")))? == Runs);
    ensure!(daemon.tell(BECOME_ALICE)? == 4, "no login uid");
    all(&mut daemon, "logged in below agent", &below)?;
    let mut itself = Puppet::start_copy(DAEMON, &bin("agent"))?;
    ensure!(itself.tell(BECOME_ALICE)? == 4, "no login uid");
    all(&mut itself, "logged in by agent", &OF_AGENT[..8])
}
