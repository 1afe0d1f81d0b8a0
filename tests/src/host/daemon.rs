//! One service process and its log.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use crate::scenario::LOGS;
use crate::{process, wait};

/// A service that was started. Dropping it kills it.
pub struct Daemon {
    name: &'static str,
    child: Option<Child>,
}

impl Daemon {
    /// Starts it; its output is appended to its log.
    pub fn start(name: &'static str, args: &[&str]) -> Result<Self> {
        Self::start_by(&[], name, args)
    }

    /// The same by another program, which becomes it.
    pub fn start_by(by: &[&str], name: &'static str, args: &[&str]) -> Result<Self> {
        std::fs::create_dir_all(LOGS)?;
        let log = File::options()
            .create(true)
            .append(true)
            .open(log_of(name))?;
        let words = [by, &[name], args].concat();
        let (program, args) = words.split_first().context("no program")?;
        let child = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self {
            name,
            child: Some(child),
        })
    }

    /// Its process; 0 if it ended.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Fails with the end of its log if it is no longer there.
    pub fn check_alive(&mut self) -> Result<()> {
        let Some(child) = &mut self.child else {
            bail!("{} was ended", self.name)
        };
        if let Some(status) = child.try_wait()? {
            let log = std::fs::read_to_string(log_of(self.name)).unwrap_or_default();
            let last = log
                .lines()
                .rev()
                .take(5)
                .collect::<Vec<_>>()
                .into_iter()
                .rev()
                .collect::<Vec<_>>();
            bail!(
                "{} ended with {}: {}",
                self.name,
                process::code(status),
                last.join(" | ")
            );
        }
        Ok(())
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// SIGTERM, and its exit code.
    pub fn stop(&mut self) -> Result<i32> {
        let Some(mut child) = self.child.take() else {
            bail!("{} was ended before", self.name)
        };
        process::signal(child.id(), Signal::SIGTERM)?;
        Ok(process::code(process::end_of(&mut child, wait::LONG)?))
    }

    /// Lives on without this program.
    pub fn leave_running(mut self) {
        drop(self.child.take());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Best effort: the runner kills whatever is left.
        drop(self.kill());
    }
}

fn log_of(name: &str) -> std::path::PathBuf {
    Path::new(LOGS).join(format!("{name}.log"))
}
