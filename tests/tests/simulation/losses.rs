//! What becomes of people when something is gone: the agent, or room for a record. And that nobody is denied what a live grant
//! permits: any of them is enough.

use std::time::Duration;

use stayhand_agent_ebpf::abi::code::reason;
use stayhand_guardrail::id::GrantId;

use crate::{
    kernel::{Machine, Outcome},
    oracle::{Oracle, Violation, must},
    people,
};

/// An agent that the kernel has not heard for so long is dead to it (docs/policy.md, *Losses*).
const AGENT_SILENT: Duration = Duration::from_secs(10);

/// Between two words of an agent that lives, at rest.
const SPEAKS_MAX: Duration = Duration::from_secs(4);

/// Whether an agent is on a host, by its boot clock.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Presence {
    There,
    /// Since then; it never was on this boot at 0
    Away {
        since_boot_ns: u64,
    },
}

impl Presence {
    /// Whether the kernel may take the agent for dead: it spoke for the last time some time before it ended.
    fn may_be_noticed(self, boot_ns: u64) -> bool {
        match self {
            Self::There => false,
            Self::Away { since_boot_ns: 0 } => true,
            Self::Away { since_boot_ns } => {
                Duration::from_nanos(boot_ns - since_boot_ns) + SPEAKS_MAX > AGENT_SILENT
            }
        }
    }
}

impl Default for Presence {
    fn default() -> Self {
        Self::Away { since_boot_ns: 0 }
    }
}

impl Oracle {
    /// An outcome, and whether the policies of this world say that nothing waits for an agent that is gone and that grants count without
    /// a record.
    pub(crate) fn of_losses(
        &self,
        host: usize,
        outcome: &Outcome,
        lax: bool,
        boot_ns: u64,
    ) -> Result<(), Violation> {
        let (who, name) = (people::name(outcome.auid), host + 1);
        must!(
            lax || !outcome.is_unrecorded || outcome.permitted.is_none(),
            "{who} went on without a record on host-{name}, and no policy lets anybody: {outcome:?}"
        );
        must!(
            !lax || !outcome.is_unrecorded || outcome.permitted.is_some(),
            "{who} was denied on host-{name} for want of a record, and every policy lets it go on: {outcome:?}"
        );
        let presence = self.hosts[host].presence;
        if outcome.reason == reason::NO_AGENT {
            must!(
                lax && presence.may_be_noticed(boot_ns),
                "{who} was denied on host-{name} for want of an agent ({presence:?} at {boot_ns}), where policies {} wait: {outcome:?}",
                if lax { "do not" } else { "do" }
            );
        }
        if let Presence::Away { since_boot_ns } = presence {
            let away = Duration::from_nanos(boot_ns - since_boot_ns);
            must!(
                !lax || outcome.hold == 0 || self.knows_hold(outcome.hold) || away < AGENT_SILENT,
                "{who} waits on host-{name} for an agent that is gone for {} ms",
                away.as_millis()
            );
        }
        Ok(())
    }

    /// Somebody was denied, and nothing waits.
    pub(crate) fn denied(&self, machine: &Machine, outcome: &Outcome) -> Result<(), Violation> {
        if outcome.reason == reason::NO_RECORD {
            return Ok(());
        }
        let own = machine.live_leases().into_iter();
        let mut own = own.filter(|lease| lease.auid == outcome.auid);
        let who = people::name(outcome.auid);
        let permits = own.find(|lease| self.carries(lease.grant, outcome));
        must!(
            permits.is_none(),
            "{who} has a live grant for {:?} and was denied: {permits:?}, {outcome:?}",
            outcome.target
        );
        Ok(())
    }

    fn carries(&self, grant: GrantId, outcome: &Outcome) -> bool {
        let permission = people::permission(outcome.target);
        let shown = self.grants().find(|view| view.grant.id == grant);
        let permissions = shown.iter().flat_map(|view| &view.grant.permissions);
        let mut names = permissions.map(|one| one.permission.as_str());
        names.any(|name| Some(name) == permission)
    }
}
