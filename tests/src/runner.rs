//! Carries out what the kernel's command line asks for: scenarios one after the other, the demo, the benchmark,
//! a shell.
//!
//! Each scenario is a process with a time limit and starts on a clean machine; whatever it leaves is removed.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};

use crate::cleanup::{self, Hooks};
use crate::cmdline::{Mode, Wishes};
use crate::scenario::{LOGS, RESULT, Scenario};
use crate::{bench, bench_facts, console, fair_server, process, scenarios, story};

/// Lines of each service's log that a failure quotes.
const LOG_LINES: usize = 60;

/// Does everything, says `@done`.
pub fn run() -> Result<ExitCode> {
    let wishes = Wishes::read()?;
    fs::create_dir_all(LOGS)?;
    match wishes.mode {
        Mode::Suite => suite(&wishes)?,
        Mode::Demo => report("demo", story::demo()),
        Mode::Bench => report("bench", bench::run()),
        Mode::BenchFacts => report("bench", bench_facts::run()),
        Mode::Shell => {}
    }
    let shell_wanted = wishes.keep || wishes.mode == Mode::Shell;
    if !shell_wanted {
        console::done();
        return Ok(ExitCode::SUCCESS);
    }
    // Said first: the host waits no longer for reports while a person is at work.
    console::done();
    shell()?;
    Ok(ExitCode::SUCCESS)
}

fn report(name: &str, result: Result<()>) {
    if let Err(error) = result {
        console::fail(name, &format!("{error:#}"));
        console::log(&service_logs());
    }
}

fn suite(wishes: &Wishes) -> Result<()> {
    fair_server::off()?;
    let (wanted, boot) = (&wishes.scenarios, wishes.boot);
    for name in wanted {
        if !scenarios::all().any(|scenario| scenario.name == *name) {
            console::fail(name, "no such scenario");
        }
    }
    let shared = scenarios::shared(wishes.share);
    let chosen = |scenario: &&Scenario| {
        scenario.boot == boot
            && (!scenario.any_kernel || shared.contains(&scenario.name))
            && (wanted.is_empty() || wanted.iter().any(|name| name == scenario.name))
    };
    let mut left: Vec<&Scenario> = scenarios::all().filter(chosen).collect();
    while !left.is_empty() {
        if !cleanup::is_pinned() {
            bring_forward_what_begins_bare(&mut left);
        }
        let Some(first) = left.first() else { break };
        let together = |one: &&&Scenario| first.group.is_some() && one.group == first.group;
        let count = left.iter().take_while(together).count().max(1);
        let ended = some(left.get(..count).unwrap_or_default());
        left.drain(..ended.reported);
        let is_kept = !ended.badly && left.first().is_some_and(|next| !next.bare);
        let hooks = if is_kept { Hooks::Kept } else { Hooks::Removed };
        cleanup::everything(hooks).context("the machine cannot be cleaned")?;
    }
    Ok(())
}

/// Where the last scenario left nothing attached, one that begins so comes next: else what others load before it would be removed
/// for it, and loaded once more after it. The last one in the registry stays the last: it leaves the machine unfit for others.
fn bring_forward_what_begins_bare(left: &mut [&Scenario]) {
    let Some((_last, others)) = left.split_last_mut() else {
        return;
    };
    let bare = others
        .iter()
        .position(|one| one.bare && one.group.is_none());
    if let Some(upto) = bare.and_then(|index| others.get_mut(..=index)) {
        upto.rotate_right(1);
    }
}

/// How scenarios of one process ended.
struct Ended {
    /// How many were reported
    reported: usize,
    /// Whether one of them failed
    badly: bool,
}

/// Runs scenarios in one process up to the first that fails.
fn some(scenarios: &[&Scenario]) -> Ended {
    let ended = in_own_process(scenarios);
    let results = fs::read_to_string(RESULT).unwrap_or_default();
    let reported = results.lines().count();
    let has_failed = results.lines().any(|line| line.starts_with("fail"));
    let unreported = scenarios.get(reported).filter(|_| !has_failed);
    if let Some(scenario) = unreported {
        let why = ended.err().map_or_else(
            || "it has no result".to_owned(),
            |error| format!("{error:#}"),
        );
        console::fail(scenario.name, &why);
    }
    let badly = has_failed || unreported.is_some();
    if badly {
        console::log(&process::listing());
        console::log(&service_logs());
    }
    Ended {
        reported: reported + usize::from(unreported.is_some()),
        badly,
    }
}

fn in_own_process(scenarios: &[&Scenario]) -> Result<()> {
    let result = Path::new(RESULT);
    if result.exists() {
        fs::remove_file(result)?;
    }
    let output = File::create(Path::new(LOGS).join("scenario.log"))?;
    let mut child = Command::new("/proc/self/exe")
        .arg("scenario")
        .args(scenarios.iter().map(|scenario| scenario.name))
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()?;
    let limit = scenarios.iter().map(|scenario| scenario.limit).sum();
    let status = process::end_of(&mut child, limit)?;
    if !status.success() {
        bail!(
            "ended with {} before it had a result",
            process::code(status)
        );
    }
    Ok(())
}

/// The ends of all logs.
fn service_logs() -> String {
    let mut text = String::new();
    for entry in fs::read_dir(LOGS).into_iter().flatten().flatten() {
        let whole = fs::read(entry.path()).unwrap_or_default();
        let whole = String::from_utf8_lossy(&whole);
        let lines: Vec<&str> = whole.lines().collect();
        let end = lines
            .get(lines.len().saturating_sub(LOG_LINES)..)
            .unwrap_or_default();
        text.extend([
            "== ",
            &entry.file_name().to_string_lossy(),
            "\n",
            &end.join("\n"),
            "\n",
        ]);
    }
    text
}

/// A root shell on the console, as a session of its own so that it has job control.
fn shell() -> Result<()> {
    let status = Command::new("setsid")
        .args(["--ctty", "--wait", "bash", "--login", "-i"])
        .stdin(File::open("/dev/ttyS0")?)
        .stdout(File::options().write(true).open("/dev/ttyS0")?)
        .stderr(File::options().write(true).open("/dev/ttyS0")?)
        .current_dir("/root")
        .status()
        .context("cannot start a shell")?;
    console::log(&format!("the shell ended with {}", process::code(status)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn one(name: &'static str) -> Scenario {
        Scenario::new(name, |_| Ok(()))
    }

    #[test]
    fn what_begins_bare_comes_next_and_the_last_one_stays_the_last() {
        let all = [
            one("a"),
            one("b"),
            one("bare").bare(),
            one("c"),
            one("lock").bare(),
        ];
        let mut left: Vec<&Scenario> = all.iter().collect();
        let names = |left: &[&Scenario]| -> Vec<&str> { left.iter().map(|one| one.name).collect() };
        bring_forward_what_begins_bare(&mut left);
        assert_eq!(names(&left), ["bare", "a", "b", "c", "lock"]);
        left.remove(0);
        bring_forward_what_begins_bare(&mut left);
        assert_eq!(names(&left), ["a", "b", "c", "lock"]);
        bring_forward_what_begins_bare(&mut []);
    }
}
