//! Carries out what the kernel's command line asks for: scenarios one after the other, the demo, the benchmark,
//! a shell.
//!
//! Each scenario is a process with a time limit and starts on a clean machine; whatever it leaves is removed.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};

use crate::cmdline::{Mode, Wishes};
use crate::scenario::{LOGS, RESULT, Scenario};
use crate::{bench, cleanup, console, process, scenarios, story};

/// Lines of each service's log that a failure quotes.
const LOG_LINES: usize = 60;

/// Does everything, says `@done`.
pub fn run() -> Result<ExitCode> {
    let wishes = Wishes::read()?;
    fs::create_dir_all(LOGS)?;
    match wishes.mode {
        Mode::Suite => suite(&wishes.scenarios)?,
        Mode::Demo => report("demo", story::demo()),
        Mode::Bench => report("bench", bench::run()),
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

fn suite(wanted: &[String]) -> Result<()> {
    for name in wanted {
        if !scenarios::all().any(|scenario| scenario.name == *name) {
            console::fail(name, "no such scenario");
        }
    }
    let chosen =
        |scenario: &&Scenario| wanted.is_empty() || wanted.iter().any(|name| name == scenario.name);
    for scenario in scenarios::all().filter(chosen) {
        console::begin(scenario.name);
        match scenario.unmet() {
            Some(reason) => console::skip(scenario.name, &reason),
            None => one(scenario),
        }
        cleanup::everything().context("the machine cannot be cleaned")?;
    }
    Ok(())
}

fn one(scenario: &Scenario) {
    let outcome = in_own_process(scenario).unwrap_or_else(|error| format!("fail {error:#}"));
    let (word, text) = outcome.split_once(' ').unwrap_or((&outcome, ""));
    match word {
        "pass" => console::pass(scenario.name),
        "skip" => console::skip(scenario.name, text),
        _ => {
            console::fail(scenario.name, text);
            console::log(&process::listing());
            console::log(&service_logs());
        }
    }
}

fn in_own_process(scenario: &Scenario) -> Result<String> {
    let result = Path::new(RESULT);
    if result.exists() {
        fs::remove_file(result)?;
    }
    let output = File::create(Path::new(LOGS).join("scenario.log"))?;
    let mut child = Command::new("/proc/self/exe")
        .args(["scenario", scenario.name])
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()?;
    let status = process::end_of(&mut child, scenario.limit)?;
    match fs::read_to_string(result) {
        Ok(text) => Ok(text),
        Err(_) => bail!(
            "ended with {} before it had a result",
            process::code(status)
        ),
    }
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
        text.push_str(&format!(
            "== {}\n{}\n",
            entry.file_name().display(),
            end.join("\n")
        ));
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
