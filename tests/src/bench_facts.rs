//! Measurements of calls that ask the agent about a fact: whole commands in guest instructions, and the context switches
//! of each execution, with and without a question (docs/performance.md).
//!
//! Everything that happens meanwhile counts: the agent is alive here, and at work.

use std::{fs, os::unix::fs::PermissionsExt as _};

use anyhow::{Context as _, Result, ensure};

use crate::{
    actors::{
        client::{ALICE, Puppet},
        measure::now_ns,
    },
    cleanup::{self, Hooks},
    console,
    host::{Config, Host},
    wait,
};

const ROOT: &str = "/srv/bench";
/// Executions of the loop.
const COMMANDS: u64 = 1_000;
/// Runs whose median counts, after one that fills caches.
const RUNS: usize = 3;
/// What questions are about: every program that is run here, and no library.
const PROGRAMS: &str =
    "/usr/bin/**, /usr/lib/gcc/x86_64-linux-gnu/12/cc1, /usr/lib/gcc/x86_64-linux-gnu/12/collect2";

/// Measures everything.
pub fn run() -> Result<()> {
    cleanup::everything(Hooks::Removed)?;
    files()?;
    rows("no agent", None, true)?;
    let regex = "regex: ^never-given$";
    let hash = format!("sha256: \"{}\"", "0".repeat(64));
    // The last word: whether each run is about something new.
    for (scenario, condition, new) in [
        ("agent, no question", "anyArg: [never-given]", true),
        ("one question each", regex, true),
        ("one question each, answered before", regex, false),
        ("the file's hash, known", hash.as_str(), true),
    ] {
        cleanup::everything(Hooks::Removed)?;
        files()?;
        let policy = format!(
            "apiVersion: stayhand/v1\nkind: Policy\nmetadata: {{ name: bench }}\nspec:\n  subjects: {{ users: [alice] \
             }}\n  rules:\n    - {{ id: a, effect: deny, exec: {{ path: [{PROGRAMS}], {condition} }} }}\n"
        );
        let mut host = Host::boot(&Config::policy(&policy))?;
        // Nothing but the agent and those whom it guards.
        host.kill_control()?;
        rows(scenario, Some(&host), new)?;
    }
    Ok(())
}

fn files() -> Result<()> {
    fs::create_dir_all(ROOT)?;
    fs::set_permissions(ROOT, fs::Permissions::from_mode(0o777))?;
    fs::write(
        format!("{ROOT}/loop.sh"),
        "i=0\nwhile [ $i -lt $1 ]; do /usr/bin/true $i $2; i=$((i+1)); done\n",
    )?;
    fs::write(
        format!("{ROOT}/make.sh"),
        "set -e\nrm -rf /srv/bench/made\nmkdir /srv/bench/made\ncd /srv/bench/made\ncp /srv/bench/Makefile .\n\
         make -s RUN=$1\n",
    )?;
    // Eight objects, a library, a program.
    fs::write(
        format!("{ROOT}/Makefile"),
        "OBJECTS = 1.o 2.o 3.o 4.o 5.o 6.o 7.o 8.o\nprogram: main.o libparts.a\n\t$(CC) -o $@ $^ -Wl,--build-id=none\n\
         libparts.a: $(OBJECTS)\n\tar rcD $@ $^\n%.c:\n\techo \"int part_$*(void) { return $(RUN); }\" >$@\n\
         main.c:\n\techo 'int part_1(void); int main(void) { return part_1(); }' >$@\n",
    )?;
    Ok(())
}

fn rows(scenario: &str, host: Option<&Host>, new: bool) -> Result<()> {
    console::step(scenario);
    let mut alice = Puppet::start(ALICE)?;
    let unanswered = || host.map_or(Ok(0), |host| host.counter("unanswered"));
    let unanswered_before = unanswered()?;
    for (action, each) in [("1,000 commands in dash", COMMANDS), ("make", 0)] {
        let mut instructions = Vec::new();
        let mut switches = Vec::new();
        for number in 0..=RUNS {
            // Another argument is another question.
            let run = if new { number } else { 0 };
            let words = if each > 0 {
                format!("exec-with|PATH=/usr/bin|/usr/bin/dash|{ROOT}/loop.sh|{each}|{run}")
            } else {
                format!("exec-with|PATH=/usr/bin|/usr/bin/dash|{ROOT}/make.sh|{run}")
            };
            let (begun, before) = (now_ns(), context_switches()?);
            let ticket = alice.ask(&words)?;
            let code = alice.answer(&ticket, wait::LONG)?;
            ensure!(code == 0, "{action}, {scenario}: {code}");
            if number > 0 {
                instructions.push(now_ns() - begun);
                switches.push(context_switches()? - before);
            }
        }
        row(action, scenario, median(instructions)?);
        row(
            &format!("{action}, context switches"),
            scenario,
            median(switches)?,
        );
    }
    let unanswered = unanswered()? - unanswered_before;
    ensure!(unanswered == 0, "{unanswered} questions without an answer");
    Ok(())
}

fn row(action: &str, scenario: &str, count: i64) {
    let row = serde_json::json!({ "action": action, "scenario": scenario, "instructions": count });
    console::bench(&row.to_string());
}

fn median(mut values: Vec<i64>) -> Result<i64> {
    values.sort_unstable();
    values.get(values.len() / 2).copied().context("no run")
}

/// Of the whole machine since it started.
fn context_switches() -> Result<i64> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat.lines().find_map(|line| line.strip_prefix("ctxt "));
    line.context("/proc/stat has no ctxt")?
        .trim()
        .parse()
        .context("/proc/stat")
}
