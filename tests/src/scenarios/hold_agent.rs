//! Holds with the real agent and control plane: behind `su`, `runuser`, `sudo`, `timeout`, `strace` and a
//! job-control shell; fatal signals; calls that never restart; an agent that dies meanwhile.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

use crate::{
    actors::{
        client::{ALICE, Puppet},
        rig::{self, changed, file},
        sys::{EPERM, Ret},
    },
    host::{Config, Hold, Host},
    login::Session,
    process,
    scenario::{Ctx, LIMIT_LONG, Need, Scenario},
    wait,
};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("a_hold_behind_su_completes", su)
        .group("agent")
        .limit(LIMIT_LONG),
    Scenario::new("a_hold_behind_runuser_completes", runuser).group("agent"),
    Scenario::new("a_hold_behind_sudo_with_use_pty_completes", sudo_pty).group("agent"),
    Scenario::new(
        "a_stray_continue_behind_sudo_with_use_pty_has_no_effect_before_the_approval",
        sudo_pty_stray,
    )
    .group("agent"),
    Scenario::new("a_hold_behind_sudo_without_use_pty_completes", sudo_plain).group("agent"),
    Scenario::new("a_hold_behind_timeout_completes", timeout).group("agent"),
    Scenario::new("a_hold_under_strace_completes", strace)
        .needs(&[Need::File("/usr/bin/strace")])
        .group("agent"),
    Scenario::new(
        "a_job_control_shell_shows_the_stop_and_fg_is_judged_again",
        job_control,
    )
    .group("agent"),
    Scenario::new("sigterm_while_held_takes_effect_and_cancels", sigterm).group("agent"),
    Scenario::new("ctrl_c_while_held_takes_effect_and_cancels", ctrl_c).group("agent"),
    Scenario::new("sigkill_while_held_cancels", sigkill).group("agent"),
    Scenario::new(
        "the_hangup_of_an_orphaned_group_takes_effect_and_cancels",
        hangup,
    )
    .group("agent"),
    Scenario::new(
        "a_call_that_never_restarts_becomes_void_and_its_approval_is_not_usable_later",
        void,
    )
    .group("agent"),
    Scenario::new("a_hold_times_out_by_the_agent_without_effect", times_out).group("agent"),
    Scenario::new("holds_of_two_threads_are_answered_one_by_one", two_threads).group("agent"),
    Scenario::new(
        "a_pending_hold_survives_the_agents_death_and_restart",
        restart,
    )
    .group("agent"),
];

/// The program that acts.
const GUEST: &str = "/usr/lib/stayhand/stayhand-guest";
/// `128 + SIGSTOP`, what a shell says of a command that was stopped.
const STOPPED: i32 = 147;

/// Runs a scenario on the machine of this process, whose services are alive.
pub(super) fn with(run: impl FnOnce(&mut Host) -> Result<()>) -> Result<()> {
    static HOST: Mutex<Option<Host>> = Mutex::new(None);
    let mut place = HOST.lock().unwrap_or_else(PoisonError::into_inner);
    let mut host = if let Some(host) = place.take() {
        host
    } else {
        rig::places()?;
        Host::boot(&Config::policy(rig::POLICY))?
    };
    run(&mut host)?;
    // The last call may be back before the control plane has heard that it went on.
    let mut left = vec![];
    wait::until_ok(wait::SOON, "every hold to be over", || {
        left = host.holds()?;
        Ok(left.is_empty().then_some(()))
    })
    .with_context(|| format!("still pending: {left:?}"))?;
    *place = Some(host);
    Ok(())
}

/// `stayhand-guest act write` of a fresh held file; the path and the command.
fn writer(name: &str) -> Result<(String, String)> {
    let path = file(&format!("held/{name}"))?;
    let command = format!("{GUEST} act write {path} after");
    Ok((path, command))
}

pub(super) fn pending(host: &Host, path: &str) -> Result<Hold> {
    let hold = host.wait_hold(path)?;
    process::wait_stopped(hold.pid()?, wait::SOON)?;
    ensure!(!changed(path), "an effect before the answer");
    Ok(hold)
}

/// A command that holds, typed by alice: not even a stray `SIGCONT` has an effect, everything happens after the
/// approval.
fn through(wrap: impl Fn(&str) -> String) -> Result<()> {
    with(|host| {
        let mut typed = Wrapped::type_it(host, &wrap)?;
        process::signal(typed.hold.pid()?, Signal::SIGCONT)?;
        typed.waits()?;
        let shown = typed.approved(host)?;
        ensure!(shown.contains("code-0-"), "it failed: {shown}");
        typed.shell_is_back()
    })
}

/// A held command behind another one, and the terminal at which both were typed.
struct Wrapped {
    alice: Session,
    shown_before: usize,
    path: String,
    hold: Hold,
}

impl Wrapped {
    /// Its end is typed on the same line: `sudo` with a terminal of its own eats what is typed ahead.
    fn type_it(host: &Host, wrap: &impl Fn(&str) -> String) -> Result<Self> {
        let mut alice = Session::login("alice")?;
        let (path, command) = writer("behind")?;
        let shown_before = alice.text().len();
        alice.send(&format!("{}; echo \"code-$?-\"\n", wrap(&command)))?;
        let hold = pending(host, &path)?;
        Ok(Self {
            alice,
            shown_before,
            path,
            hold,
        })
    }

    fn shown(&self) -> String {
        self.alice.text().split_off(self.shown_before)
    }

    fn waits(&self) -> Result<()> {
        wait::stays("the held call", || {
            Ok(!self.shown().contains("code-") && !changed(&self.path))
        })
    }

    /// Approves it and waits for its end and its effect; what the terminal showed.
    fn approved(&self, host: &Host) -> Result<String> {
        host.approve(&self.hold.id, "shown by a test")?;
        wait::until(wait::LONG, "the approved command to end", || {
            self.shown().contains("code-").then_some(())
        })
        .with_context(|| format!("terminal: {}\n{}", self.shown(), process::listing()))?;
        ensure!(changed(&self.path), "no effect after the approval");
        Ok(self.shown())
    }

    /// The shell itself is not stopped either.
    fn shell_is_back(&mut self) -> Result<()> {
        let after = self.alice.run("echo still-here")?;
        ensure!(
            after.stdout.contains("still-here"),
            "the shell says {}",
            after.stdout
        );
        Ok(())
    }
}

fn su(_: &mut Ctx) -> Result<()> {
    through(|command| format!("su -c '{command}'"))
}

fn runuser(_: &mut Ctx) -> Result<()> {
    through(|command| format!("sudo runuser -u bob -- {command}"))
}

/// Runs with one more line in sudo's configuration.
fn with_sudo<T>(setting: &str, run: impl FnOnce() -> Result<T>) -> Result<T> {
    let file = "/etc/sudoers.d/stayhand-test";
    fs::write(file, format!("Defaults {setting}\n"))?;
    fs::set_permissions(file, fs::Permissions::from_mode(0o440))?;
    let result = run();
    fs::remove_file(file)?;
    result
}

fn behind_sudo(command: &str) -> String {
    format!("sudo {command}")
}

/// Several times: what goes wrong here is a race of three programs.
fn sudo_pty(_: &mut Ctx) -> Result<()> {
    const ROUNDS: u32 = 5;
    with_sudo("use_pty", || {
        with(|host| {
            for round in 1..=ROUNDS {
                let mut typed = Wrapped::type_it(host, &behind_sudo)?;
                typed.waits()?;
                let shown = typed.approved(host)?;
                ensure!(shown.contains("code-0-"), "round {round} failed: {shown}");
                typed.shell_is_back()?;
            }
            Ok(())
        })
    })
}

/// `sudo` counts every stop of its command, also one that is over, and takes the second one for a broken pipe if the
/// command has ended by then (exit code 1). What is asserted is that nothing else happens.
fn sudo_pty_stray(_: &mut Ctx) -> Result<()> {
    with_sudo("use_pty", || {
        with(|host| {
            let mut typed = Wrapped::type_it(host, &behind_sudo)?;
            process::signal(typed.hold.pid()?, Signal::SIGCONT)?;
            typed.waits()?;
            typed.approved(host)?;
            typed.shell_is_back()
        })
    })
}

fn sudo_plain(_: &mut Ctx) -> Result<()> {
    with_sudo("!use_pty", || through(behind_sudo))
}

fn timeout(_: &mut Ctx) -> Result<()> {
    through(|command| format!("timeout 300 {command}"))
}

fn strace(_: &mut Ctx) -> Result<()> {
    through(|command| format!("strace -f -o /tmp/strace.log {command}"))
}

fn job_control(_: &mut Ctx) -> Result<()> {
    with(|host| {
        let mut alice = Session::login_with_jobs("alice")?;
        let (path, command) = writer("job")?;
        let typed = alice.type_command(&command)?;
        let hold = pending(host, &path)?;
        let ended = alice
            .finish(typed, wait::SOON)
            .context("the shell does not take the terminal back")?;
        ensure!(
            ended.code == STOPPED,
            "the shell says {}: {}",
            ended.code,
            ended.both()
        );
        ensure!(
            ended.stdout.contains("Stopped"),
            "the shell shows {}",
            ended.stdout
        );
        let again = alice.run("fg")?;
        ensure!(
            again.code == STOPPED,
            "`fg` ended with {}: {}",
            again.code,
            again.both()
        );
        ensure!(!changed(&path), "`fg` let the call through");
        let same = host.wait_hold(&path)?;
        ensure!(same.id == hold.id, "`fg` asked again");
        host.approve(&hold.id, "shown by a test")?;
        wait::until(wait::SOON, "the job's effect", || {
            changed(&path).then_some(())
        })?;
        let left = alice.run("wait; jobs")?;
        ensure!(
            !left.stdout.contains("Stopped"),
            "after the approval: {}",
            left.stdout
        );
        Ok(())
    })
}

/// Ends a held process in some way; the hold must be cancelled and the call have no effect.
fn ended_by(name: &str, end: impl FnOnce(&mut Session, u32) -> Result<()>) -> Result<()> {
    with(|host| {
        let mut alice = Session::login_with_jobs("alice")?;
        let (path, command) = writer(name)?;
        alice.type_command(&command)?;
        let hold = pending(host, &path)?;
        let pid = hold.pid()?;
        end(&mut alice, pid)?;
        wait::until(wait::SOON, "the held process to end", || {
            (!process::is_alive(pid)).then_some(())
        })?;
        ensure!(!changed(&path), "the call had its effect");
        host.wait_hold_state(&hold.id, "cancelled", wait::LONG)?;
        Ok(())
    })
}

fn sigterm(_: &mut Ctx) -> Result<()> {
    ended_by("sigterm", |_, pid| process::signal(pid, Signal::SIGTERM))
}

fn sigkill(_: &mut Ctx) -> Result<()> {
    ended_by("sigkill", |_, pid| process::signal(pid, Signal::SIGKILL))
}

fn hangup(_: &mut Ctx) -> Result<()> {
    // Without its shell the stopped job's group is an orphan: the kernel sends it SIGHUP and SIGCONT.
    ended_by("hangup", |alice, _| {
        process::signal(alice.pid(), Signal::SIGKILL)
    })
}

fn ctrl_c(_: &mut Ctx) -> Result<()> {
    with(|host| {
        // Without job control the stopped command keeps the terminal, and the keys go to it.
        let mut alice = Session::login("alice")?;
        let (path, command) = writer("ctrl-c")?;
        let typed = alice.type_command(&command)?;
        let hold = pending(host, &path)?;
        alice.send("\x03")?;
        let pid = hold.pid()?;
        wait::until(wait::SOON, "the held process to end", || {
            (!process::is_alive(pid)).then_some(())
        })?;
        ensure!(!changed(&path), "the call had its effect");
        host.wait_hold_state(&hold.id, "cancelled", wait::LONG)?;
        drop(alice.ended(typed));
        Ok(())
    })
}

fn void(_: &mut Ctx) -> Result<()> {
    with(|host| {
        let path = file("held/void")?;
        let words = format!(
            "open|open|{path}|{}|0|after",
            libc::O_WRONLY | libc::O_TRUNC
        );
        let mut alice = Puppet::start(ALICE)?;
        alice.tell(&format!("handler|{}|skip", libc::SIGUSR2))?;
        let ticket = alice.ask(&words)?;
        let hold = pending(host, &path)?;
        process::signal(alice.pid(), Signal::SIGUSR2)?;
        // The CLI may say that nothing came of it; what counts is the state.
        host.cli(&["hold", "approve", &hold.id, "--reason", "shown by a test"])?;
        ensure!(
            alice.answer(&ticket, wait::SOON)? == -Ret::from(libc::EINTR),
            "the call was not left"
        );
        host.wait_hold_state(&hold.id, "void", wait::LONG)?;
        ensure!(!changed(&path), "the call had its effect");
        let later = alice.ask(&words)?;
        let second = pending(host, &path).context("the void approval served a later call")?;
        ensure!(second.id != hold.id, "the same hold again");
        host.refuse(&second.id, "shown by a test")?;
        ensure!(alice.answer(&later, wait::SOON)? == EPERM);
        Ok(())
    })
}

fn times_out(_: &mut Ctx) -> Result<()> {
    with(|host| {
        let path = file("brief/f")?;
        let mut alice = Puppet::start(ALICE)?;
        let ticket = alice.ask(&format!(
            "open|open|{path}|{}|0|after",
            libc::O_WRONLY | libc::O_TRUNC
        ))?;
        let result = alice
            .answer(&ticket, wait::SOON)
            .context("nobody continues a hold whose time is over")?;
        ensure!(result == EPERM && !changed(&path), "gives {result}");
        let all = host.all_holds()?;
        let hold = all
            .iter()
            .find(|hold| hold.text("/object") == path)
            .context("no such hold")?;
        host.wait_hold_state(&hold.id, "timed-out", wait::LONG)?;
        Ok(())
    })
}

fn two_threads(_: &mut Ctx) -> Result<()> {
    with(|host| {
        let (a, b) = (file("held/thread-a")?, file("held/thread-b")?);
        let mut alice = Puppet::start(ALICE)?;
        let first = alice.ask_thread(1, &format!("open|open|{a}|{}|0|after", libc::O_WRONLY))?;
        let second = alice.ask_thread(2, &format!("open|open|{b}|{}|0|after", libc::O_WRONLY))?;
        for _ in 0..2 {
            let hold = wait::until_done(wait::LONG, "a hold of one of the threads", || {
                // A thread that was stopped on its way gets there by a stray continue.
                process::signal(alice.pid(), Signal::SIGCONT)?;
                Ok(host.holds()?.into_iter().next())
            })?;
            host.approve(&hold.id, "shown by a test")?;
        }
        ensure!(alice.answer(&first, wait::SOON)? == 5 && alice.answer(&second, wait::SOON)? == 5);
        Ok(())
    })
}

fn restart(_: &mut Ctx) -> Result<()> {
    with(|host| {
        let path = file("held/restart")?;
        let mut alice = Puppet::start(ALICE)?;
        let ticket = alice.ask(&format!(
            "open|open|{path}|{}|0|after",
            libc::O_WRONLY | libc::O_TRUNC
        ))?;
        let hold = pending(host, &path)?;
        host.kill_agent()?;
        process::signal(alice.pid(), Signal::SIGCONT)?;
        wait::stays("the held call", || {
            Ok(alice.answered(&ticket).is_none() && !changed(&path))
        })?;
        host.start_agent()?;
        let same = pending(host, &path)?;
        ensure!(same.id == hold.id, "the hold got another id");
        host.approve(&hold.id, "shown by a test")?;
        ensure!(alice.answer(&ticket, wait::SOON)? == 5);
        Ok(())
    })
}
