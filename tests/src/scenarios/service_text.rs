//! Text that somebody else chose: it acts on no output, and a secret in it leaves the process nowhere.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use super::service::{self, POLICY};
use crate::host::{Config, Hold, Host};
use crate::login::Session;
use crate::scenario::{Ctx, LOGS, Scenario};
use crate::wait;

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("hostile_names_do_not_act_on_any_output", hostile_names).on_any_kernel(),
    Scenario::new(
        "hostile_arguments_programs_and_directories_do_not_act_on_any_output",
        hostile_process,
    )
    .on_any_kernel(),
    Scenario::new(
        "a_secret_of_a_held_program_is_stored_and_shown_nowhere",
        secret,
    )
    .on_any_kernel(),
];

/// A line break, an escape sequence that clears the screen, bytes that are no UTF-8, a right-to-left override.
const HOSTILE: &[u8] = b"a\n@pass x\x1b[2J\xff\xfe\xe2\x80\xaez";
/// The same as a shell takes it.
const HOSTILE_TYPED: &str = r"a\n@pass x\e[2J\xff\xfe\u202ez";
/// A program's name is cut at 15 bytes (`TASK_COMM_LEN`): what acts comes first.
const HOSTILE_PROGRAM: &[u8] = b"t\n@pass\x1b[2J\xff";
const HOSTILE_PROGRAM_TYPED: &str = r"t\n@pass\e[2J\xff";

/// Everything that anybody is shown of a hold: the held one's terminal, operators' views, events, logs.
fn outputs(host: &Host, hold: &Hold, terminal: String) -> Result<Vec<(String, String)>> {
    let mut shown = vec![("terminal".to_owned(), terminal)];
    for args in [
        &["hold", "ls"][..],
        &["hold", "ls", "-o", "json"],
        &["hold", "ls", "-o", "yaml"],
        &["hold", "show", &hold.id],
        &["hold", "show", &hold.id, "-o", "json"],
        &["events", "tail", "--all"],
        &["events", "tail", "--all", "-o", "table"],
        &["why", "--pid", &hold.pid()?.to_string()],
        &["why", "--pid", &hold.pid()?.to_string(), "-o", "json"],
    ] {
        shown.push((args.join(" "), host.cli(args)?.ok()?.stdout));
    }
    for service in ["stayhand-agent", "stayhand-control"] {
        let log = fs::read_to_string(format!("{LOGS}/{service}.log"))?;
        // A log that does not speak of the hold would show nothing.
        ensure!(log.contains(&hold.id), "{service} logs nothing of the hold");
        shown.push((format!("log of {service}"), log));
    }
    Ok(shown)
}

fn harmless(shown: &[(String, String)]) -> Result<()> {
    for (what, text) in shown {
        ensure!(
            !text.contains('\u{1b}') && !text.contains('\u{202e}'),
            "{what} acts on a terminal: {text:?}"
        );
        ensure!(
            !text.lines().any(|line| line.starts_with("@pass")),
            "{what} has a line of its own: {text:?}"
        );
    }
    Ok(())
}

/// Types a command that is held, and waits until the terminal says so.
fn held(session: &mut Session, host: &Host, command: &str) -> Result<(crate::login::Typed, Hold)> {
    let typed = session.type_command(command)?;
    let hold = wait::until_ok(wait::LONG, "the hold", || {
        Ok(host.holds()?.into_iter().next())
    })?;
    session.wait_since(typed, &hold.id, wait::SOON)?;
    Ok((typed, hold))
}

fn hostile_names(ctx: &mut Ctx) -> Result<()> {
    service::programs()?;
    let host = Host::boot(&Config::policy(POLICY))?;
    let path = Path::new("/srv/held").join(OsStr::from_bytes(HOSTILE));
    ctx.step("alice creates a file with a hostile name");
    let mut alice = Session::login("alice")?;
    let command = format!("touch $'/srv/held/{HOSTILE_TYPED}'");
    let (typed, hold) = held(&mut alice, &host, &command)?;
    harmless(&outputs(&host, &hold, alice.since(typed))?)?;
    host.approve(&hold.id, "an odd name, but hers")?;
    alice.finish(typed, wait::LONG)?.ok()?;
    ensure!(path.exists(), "the approved file has another name");
    Ok(())
}

fn hostile_process(ctx: &mut Ctx) -> Result<()> {
    service::programs()?;
    let directory = Path::new("/srv/work").join(OsStr::from_bytes(HOSTILE));
    fs::create_dir_all(&directory)?;
    let program = Path::new("/srv/work").join(OsStr::from_bytes(HOSTILE_PROGRAM));
    fs::copy("/usr/bin/touch", program)?;
    let host = Host::boot(&Config::policy(POLICY))?;
    let mut alice = Session::login("alice")?;
    alice
        .run(&format!("cd $'/srv/work/{HOSTILE_TYPED}'"))?
        .ok()?;
    ctx.step("a held program with hostile arguments, from a hostile directory");
    let command = format!("/opt/demo/deploy plain $'{HOSTILE_TYPED}'");
    let (typed, hold) = held(&mut alice, &host, &command)?;
    let shown = outputs(&host, &hold, alice.since(typed))?;
    harmless(&shown)?;
    let details = host.cli(&["hold", "show", &hold.id, "-o", "json"])?.stdout;
    ensure!(
        details.contains("plain") && details.contains(r"\\x1b[2J"),
        "the arguments are not there, which shows nothing: {details}"
    );
    host.refuse(&hold.id, "no")?;
    // What a program says of itself is not ours to escape; that is why it does not run.
    alice.finish(typed, wait::LONG)?;
    ctx.step("a program with a hostile name makes a file");
    let command = format!("$'/srv/work/{HOSTILE_PROGRAM_TYPED}' /srv/held/new");
    let (typed, hold) = held(&mut alice, &host, &command)?;
    harmless(&outputs(&host, &hold, alice.since(typed))?)?;
    let details = host.cli(&["hold", "show", &hold.id, "-o", "json"])?.stdout;
    ensure!(
        details.contains(r"t\\n@pass"),
        "the program's name is not there, which shows nothing: {details}"
    );
    host.approve(&hold.id, "an odd program, but hers")?;
    alice.finish(typed, wait::LONG)?.ok()?;
    Ok(())
}

/// Shapes that a site's own patterns know (tests/fixtures/agent.toml) and one that the shipped ones know.
const SECRETS: [&str; 3] = ["hunter2-ticket", "hunter2-next", "hunter2-shipped"];
const COMMAND: &str = "/opt/demo/deploy visible --ticket=hunter2-ticket --passphrase hunter2-next \
                       --password=hunter2-shipped";
/// Where both services keep what outlives them.
const STATE: &str = "/var/lib/stayhand";

fn secret(ctx: &mut Ctx) -> Result<()> {
    service::programs()?;
    let host = Host::boot(&Config::policy(POLICY))?;
    let mut alice = Session::login("alice")?;
    ctx.step("alice runs a held program with secrets among its arguments");
    let (typed, hold) = held(&mut alice, &host, COMMAND)?;
    let unsecret = |shown: &[(String, String)]| {
        for (what, text) in shown {
            let found = SECRETS.iter().find(|secret| text.contains(**secret));
            ensure!(found.is_none(), "{what} shows {found:?}: {text}");
        }
        Ok(())
    };
    let shown = outputs(&host, &hold, alice.since(typed))?;
    unsecret(&shown)?;
    let details = host.cli(&["hold", "show", &hold.id, "-o", "json"])?.stdout;
    ensure!(
        details.contains("visible") && details.contains("*****"),
        "the arguments are not there, which shows nothing: {details}"
    );
    host.refuse(&hold.id, "no")?;
    alice.finish(typed, wait::LONG)?;
    wait::until_ok(wait::LONG, "the outcome's event", || {
        let events = host
            .cli(&["events", "tail", "--all", "-o", "jsonl"])?
            .ok()?
            .stdout;
        unsecret(&[("events".to_owned(), events.clone())])?;
        Ok(events.contains("hold-refused").then_some(()))
    })?;
    ctx.step("what the services keep");
    let mut files = Vec::new();
    walk(Path::new(STATE), &mut files)?;
    let mut has_arguments = false;
    for file in &files {
        let bytes = fs::read(file)?;
        let has = |text: &str| {
            bytes
                .windows(text.len())
                .any(|part| part == text.as_bytes())
        };
        has_arguments |= has("visible");
        let found = SECRETS.iter().find(|secret| has(secret));
        ensure!(found.is_none(), "{} keeps {found:?}", file.display());
    }
    ensure!(
        has_arguments,
        "no file has the arguments, which shows nothing: {files:?}"
    );
    Ok(())
}

fn walk(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            walk(&path, files)?;
        } else if path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}
