//! What a host is started with.

use std::fs;

use anyhow::{Context, Result};

use super::network;

/// The agent's configuration file.
pub const AGENT: &str = "/etc/stayhand/agent.toml";
/// The control plane's.
pub const CONTROL: &str = "/etc/stayhand/control.toml";

/// Configuration files and policies; everything else is as shipped.
pub struct Config {
    /// TOML of the agent
    pub agent: String,
    /// TOML of the control plane
    pub control_toml: String,
    /// Whether there is a control plane at all
    pub control: bool,
    /// YAML of each policy
    pub policies: Vec<String>,
    /// Whether the control plane is elsewhere
    pub network: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            agent: include_str!("../../fixtures/agent.toml").to_owned(),
            control_toml: include_str!("../../fixtures/control.toml").to_owned(),
            control: true,
            policies: Vec::new(),
            network: false,
        }
    }
}

impl Config {
    /// With one policy.
    pub fn policy(text: &str) -> Self {
        Self {
            policies: vec![text.to_owned()],
            ..Self::default()
        }
    }

    /// The same with the control plane elsewhere.
    #[must_use]
    pub fn over_the_network(self) -> Self {
        Self {
            agent: format!(
                "host = \"{}\"\n{}\n{}",
                network::HOST,
                self.agent,
                network::AGENT_TOML
            ),
            control_toml: format!("{}\n{}", self.control_toml, network::CONTROL_TOML),
            network: true,
            ..self
        }
    }

    /// Puts the files in their places.
    pub fn write(&self) -> Result<()> {
        // As packages and service managers make them; the services need not be able to.
        for directory in ["/etc/stayhand", "/run/stayhand", "/var/lib/stayhand"] {
            fs::create_dir_all(directory).with_context(|| format!("cannot make {directory}"))?;
        }
        fs::write(AGENT, &self.agent)?;
        fs::write(CONTROL, &self.control_toml)?;
        Ok(())
    }
}
