//! What a policy says of its rules while a part of the host is lost: the agent, or room for records. Enforced by the kernel
//! alone; of all rules that restrict an action, the strictest word counts.

use std::fmt;

use stayhand_agent_ebpf::abi::image::entry_flag;

/// What becomes of what this policy restricts, and could let go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OnLoss {
    /// What becomes of what would be held
    pub agent: AgentLoss,
    /// What becomes of what a grant covers
    pub audit: AuditLoss,
}

/// With no agent alive, what becomes of what would be held from then on. What is held already waits for the next agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AgentLoss {
    /// It waits for the next agent
    #[default]
    Keep,
    /// It is denied at once
    Deny,
}

impl AgentLoss {
    /// Both, the usual one first.
    pub const ALL: [Self; 2] = [Self::Keep, Self::Deny];

    /// As policies write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Deny => "deny",
        }
    }
}

/// Without room for its record, what becomes of what a grant covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuditLoss {
    /// It is denied
    #[default]
    Deny,
    /// It goes on, and the missing record is counted
    Allow,
}

impl AuditLoss {
    /// Both, the usual one first.
    pub const ALL: [Self; 2] = [Self::Deny, Self::Allow];

    /// As policies write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Allow => "allow",
        }
    }
}

impl OnLoss {
    /// The kernel's flags of every entry of the policy.
    pub(super) fn flags(self) -> u16 {
        let agent = match self.agent {
            AgentLoss::Keep => entry_flag::WAITS_WITHOUT_AGENT,
            AgentLoss::Deny => 0,
        };
        let audit = match self.audit {
            AuditLoss::Allow => entry_flag::GOES_ON_UNRECORDED,
            AuditLoss::Deny => 0,
        };
        agent | audit
    }
}

impl fmt::Display for OnLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { agent, audit } = self;
        write!(f, "agent {}, audit {}", agent.as_str(), audit.as_str())
    }
}
