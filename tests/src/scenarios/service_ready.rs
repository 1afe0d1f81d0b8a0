//! What a service manager is told: ready means that the kernel enforces, and not a moment before.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::service::{self, POLICY};
use crate::host::{Config, Host};
use crate::login::Session;
use crate::scenario::{Ctx, Scenario};
use crate::{cleanup, wait};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[Scenario::new(
    "ready_is_said_to_the_service_manager_after_the_last_good_state_is_enforced",
    ready,
)
.on_any_kernel()];

/// The service manager's socket.
const SOCKET: &str = "/tmp/notify.sock";
/// Users of this machine; without them the agent cannot tell whom its last good state guards.
const USERS: &str = "/etc/passwd";
const USERS_AWAY: &str = "/etc/passwd.away";
/// An agent that can enforce its last good state has said so long before.
const LONG_READY: Duration = Duration::from_secs(10);

/// Users are away until this is dropped.
struct Nobody;

impl Nobody {
    fn here() -> Result<Self> {
        fs::rename(USERS, USERS_AWAY).context("cannot move the users away")?;
        Ok(Self)
    }
}

impl Drop for Nobody {
    fn drop(&mut self) {
        drop(fs::rename(USERS_AWAY, USERS));
    }
}

/// The agent under something that listens as systemd does.
struct Managed {
    agent: Child,
    socket: UnixDatagram,
}

impl Managed {
    fn start() -> Result<Self> {
        drop(fs::remove_file(SOCKET));
        let socket = UnixDatagram::bind(SOCKET)?;
        socket.set_read_timeout(Some(wait::TICK))?;
        let agent = Command::new("stayhand-agent")
            .args(["--config", "/etc/stayhand/agent.toml"])
            .env("NOTIFY_SOCKET", SOCKET)
            .stdin(Stdio::null())
            .spawn()?;
        Ok(Self { agent, socket })
    }

    /// Whether it says that it is ready, within this time.
    fn is_ready(&mut self, limit: Duration) -> Result<bool> {
        let started = Instant::now();
        let mut text = [0; 4096];
        while started.elapsed() < limit {
            ensure!(self.agent.try_wait()?.is_none(), "the agent ended");
            let Ok(length) = self.socket.recv(&mut text) else {
                continue;
            };
            let told = String::from_utf8_lossy(text.get(..length).unwrap_or_default());
            if told.lines().any(|line| line == "READY=1") {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Drop for Managed {
    fn drop(&mut self) {
        drop(self.agent.kill());
        drop(self.agent.wait());
    }
}

fn ready(ctx: &mut Ctx) -> Result<()> {
    service::programs()?;
    let mut host = Host::boot(&Config::policy(POLICY))?;
    let mut alice = Session::login("alice")?;
    ctx.step("as after a reboot: nothing known, no control plane");
    host.kill_control()?;
    host.kill_agent()?;
    cleanup::as_after_a_reboot()?;
    ctx.step("the last good state cannot be enforced");
    let nobody = Nobody::here()?;
    let mut managed = Managed::start()?;
    let too_early = managed.is_ready(LONG_READY)?;
    drop((managed, nobody));
    ensure!(!too_early, "ready was said, and nothing is enforced");
    ctx.step("it can");
    cleanup::as_after_a_reboot()?;
    let mut managed = Managed::start()?;
    ensure!(managed.is_ready(wait::START)?, "ready is never said");
    service::denied(&mut alice)
}
