//! The inside of a login: this process becomes the user, in the order of `sshd` and PAM, and then the command.
//!
//! A program of its own instead of code between fork and exec: nothing here has to be async-signal-safe.

use std::ffi::CString;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use nix::unistd::{
    User, chown, dup2_stderr, dup2_stdin, dup2_stdout, initgroups, setgid, setsid, setuid,
};

/// What a user's programs are looked for in.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";

/// Never returns unless something failed.
pub fn become_user(tty: Option<&Path>, name: &str, command: &[String]) -> Result<ExitCode> {
    let user = User::from_name(name)?.with_context(|| format!("no user `{name}`"))?;
    if let Some(tty) = tty {
        take_terminal(tty, &user)?;
    }
    // Only a login has a login uid: root in these guests acts like a daemon and has none.
    if !user.uid.is_root() {
        fs::write("/proc/self/loginuid", user.uid.to_string())
            .context("cannot set the login uid")?;
    }
    initgroups(&CString::new(name)?, user.gid)?;
    setgid(user.gid)?;
    setuid(user.uid)?;
    std::env::set_current_dir(&user.dir)
        .with_context(|| format!("cannot enter {}", user.dir.display()))?;
    let shell = user.shell.to_string_lossy().into_owned();
    let words = if command.is_empty() {
        std::slice::from_ref(&shell)
    } else {
        command
    };
    let (program, args) = words.split_first().context("no command")?;
    let failure = Command::new(program)
        .args(args)
        .env_clear()
        .env("PATH", PATH)
        .env("HOME", &user.dir)
        .env("USER", name)
        .env("LOGNAME", name)
        .env("SHELL", &shell)
        .env("TERM", "dumb")
        .env("LANG", "C.UTF-8")
        .exec();
    Err(failure).with_context(|| format!("cannot execute `{program}`"))
}

/// Leads a new session; the first terminal that its leader opens becomes the controlling one.
fn take_terminal(tty: &Path, user: &User) -> Result<()> {
    setsid().context("cannot lead a session")?;
    let terminal = fs::File::options()
        .read(true)
        .write(true)
        .open(tty)
        .with_context(|| format!("cannot open {}", tty.display()))?;
    chown(tty, Some(user.uid), None)?;
    dup2_stdin(&terminal)?;
    dup2_stdout(&terminal)?;
    dup2_stderr(&terminal)?;
    Ok(())
}
