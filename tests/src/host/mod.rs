//! A guarded host: control plane, agent, policy and CLI, all of them the real binaries.
//!
//! Runs them with the shipped paths (`/run/stayhand`, `/var/lib/stayhand`), so that what is typed in scenarios is
//! what an operator types. One host at a time; the runner cleans up whatever is left.

mod channel;
mod config;
mod daemon;
mod holds;
pub mod network;
mod operator;
mod status;
mod wire;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use stayhand_proto::v1::AgentStatus;

pub use config::Config;
pub use daemon::Daemon;
pub use holds::Hold;
use network::{Elsewhere, Joined};
pub use operator::Operator;
pub use wire::Wire;

use crate::{cleanup, process, wait};

/// Where operators' programs connect.
pub const CONTROL_SOCKET: &str = "/run/stayhand/control.sock";
/// Where everybody's programs ask the agent.
pub const AGENT_SOCKET: &str = "/run/stayhand/agent.sock";

/// The running services. Dropping it kills them; what they pinned stays enforced, as in life.
pub struct Host {
    agent: Daemon,
    control: Option<Daemon>,
    policies: u32,
    /// How this host joined a control plane elsewhere
    pub joined: Option<Joined>,
    /// How the control plane is reached, where it is elsewhere. Dropped last
    link: Option<Elsewhere>,
}

/// Words of `stayhand grant create`.
pub fn grant_create<'w>(
    user: &'w str,
    permission: &'w str,
    length: &'w str,
    reason: &'w str,
) -> [&'w str; 10] {
    [
        "grant",
        "create",
        "--user",
        user,
        "--permission",
        permission,
        "--for",
        length,
        "--reason",
        reason,
    ]
}

#[expect(clippy::unused_self, reason = "only a booted host can be asked")]
impl Host {
    /// Starts everything and waits until every policy is enforced.
    pub fn boot(config: &Config) -> Result<Self> {
        config.write()?;
        let link = config.network.then(Elsewhere::set_up).transpose()?;
        let control = if config.control {
            Some(start_control(link.as_ref())?)
        } else {
            None
        };
        let mut agent = Daemon::start("stayhand-agent", &["--config", config::AGENT])?;
        let joined = match link {
            Some(_) => {
                // Whoever asks for a token is known by this machine's agent.
                wait_served(&mut agent)?;
                Some(network::join(&["--host", network::HOST])?)
            }
            None => None,
        };
        let mut host = Self {
            agent,
            control,
            policies: 0,
            joined,
            link,
        };
        host.wait_ready()?;
        for policy in &config.policies {
            host.apply(policy)?;
        }
        Ok(host)
    }

    /// Until the agent says that the kernel enforces, and hears of the control plane if there is one.
    fn wait_ready(&mut self) -> Result<()> {
        let wants_control = self.control.is_some();
        let agent = &mut self.agent;
        wait::until_ok(wait::START, "the agent to enforce", || {
            agent.check_alive()?;
            let status = status::ask(Path::new(AGENT_SOCKET)).ok();
            Ok(status
                .filter(|status| status.enforced && (status.control_connected || !wants_control))
                .map(drop))
        })
        .with_context(|| {
            format!(
                "the agent's last word: {:?}",
                status::ask(Path::new(AGENT_SOCKET))
            )
        })
    }

    /// Applies a policy as an operator does, and waits until this host enforces it.
    pub fn apply(&mut self, policy: &str) -> Result<()> {
        self.policies += 1;
        let file = PathBuf::from(format!("/tmp/policy-{}.yaml", self.policies));
        fs::write(&file, policy)?;
        let file = file.to_string_lossy().into_owned();
        let mut apply = Command::new("stayhand");
        apply.args(["policy", "apply", &file, "--wait", "--timeout", "2m"]);
        // Under load its word may take longer than what an operator waits for; how long is not what any scenario is about.
        process::run(&mut apply, wait::START)?
            .ok()
            .context("the policy was not applied")?;
        Ok(())
    }

    /// Runs `stayhand` as an operator: root of this guest, whom no policy guards.
    pub fn cli(&self, args: &[&str]) -> Result<process::Output> {
        process::run(Command::new("stayhand").args(args), wait::LONG)
    }

    /// The same, as JSON. Fails if the command does.
    pub fn json(&self, args: &[&str]) -> Result<serde_json::Value> {
        let args = [args, &["-o", "json"]].concat();
        self.cli(&args)?
            .ok()
            .with_context(|| format!("stayhand {}", args.join(" ")))?
            .json()
    }

    /// Every stored event, oldest first.
    pub fn events(&self) -> Result<Vec<serde_json::Value>> {
        self.cli(&["events", "tail", "--all", "-o", "jsonl"])?
            .ok()
            .context("stayhand events tail")?
            .json_lines()
    }

    /// What the agent says of itself, counters included.
    pub fn status(&self) -> Result<AgentStatus> {
        status::ask(Path::new(AGENT_SOCKET))
    }

    /// One kernel counter.
    pub fn counter(&self, name: &str) -> Result<u64> {
        let status = self.status()?;
        let known: Vec<&String> = status.counters.keys().collect();
        status
            .counters
            .get(name)
            .copied()
            .with_context(|| format!("no counter `{name}` among {known:?}"))
    }

    /// Ends the agent as an attacker or the OOM killer does.
    pub fn kill_agent(&mut self) -> Result<()> {
        self.agent.kill()?;
        ensure!(
            !process::listens(Path::new(AGENT_SOCKET)),
            "somebody still answers for the agent"
        );
        Ok(())
    }

    /// Ends the agent as a service manager does, and waits.
    pub fn stop_agent(&mut self) -> Result<i32> {
        self.agent.stop()
    }

    /// Starts it again and waits until it has taken over.
    pub fn start_agent(&mut self) -> Result<()> {
        self.agent = Daemon::start("stayhand-agent", &["--config", config::AGENT])?;
        self.wait_ready()
    }

    /// Has the next agent load everything anew, as one of another build does.
    pub fn forget_what_is_loaded(&self) -> Result<()> {
        let word = cleanup::pins_of_this_build().join("maps/LOADED");
        fs::remove_file(&word).with_context(|| format!("cannot remove {}", word.display()))
    }

    /// The agent's process.
    pub fn agent_pid(&self) -> u32 {
        self.agent.pid()
    }

    /// Ends the control plane without warning.
    pub fn kill_control(&mut self) -> Result<()> {
        if let Some(mut control) = self.control.take() {
            control.kill()?;
        }
        ensure!(
            !process::listens(Path::new(CONTROL_SOCKET)),
            "somebody still answers for the control plane"
        );
        Ok(())
    }

    /// Starts it again and waits until the agent has found it.
    pub fn start_control(&mut self) -> Result<()> {
        self.control = Some(start_control(self.link.as_ref())?);
        self.wait_ready()
    }

    /// Leaves the services running for a person who stays.
    pub fn leave_running(self) {
        self.agent.leave_running();
        if let Some(control) = self.control {
            control.leave_running();
        }
        if let Some(link) = self.link {
            link.leave();
        }
    }
}

fn wait_served(agent: &mut Daemon) -> Result<()> {
    wait::until_ok(wait::START, "the agent to serve its socket", || {
        agent.check_alive()?;
        Ok(process::listens(Path::new(AGENT_SOCKET)).then_some(()))
    })
}

fn start_control(link: Option<&Elsewhere>) -> Result<Daemon> {
    let by: &[&str] = match link {
        Some(_) => &Elsewhere::THERE,
        None => &[],
    };
    let args = ["--config", config::CONTROL];
    let mut control = Daemon::start_by(by, "stayhand-control", &args)?;
    wait::until_ok(wait::LONG, "the control plane to listen", || {
        control.check_alive()?;
        Ok(process::listens(Path::new(CONTROL_SOCKET)).then_some(()))
    })?;
    Ok(control)
}
