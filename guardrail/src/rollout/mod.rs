//! Roll-outs: a revision that hosts watch, and some hosts enforce, before all do, and that is stopped where it restricts much
//! more than the one before.
//!
//! A state machine that consumes its state; time and what hosts said are arguments. Nothing that a host says ends one
//! before its time, and a host that refuses, or floods, stops it. Knows no host but those that it is shown.

mod count;
mod plan;
#[cfg(test)]
mod tests;

pub use count::{BASELINE, Baseline, HOUR, JUMP_MIN, hour, limit, restricting};
pub use plan::{CANARY_DEFAULT, Factor, PHASE_MAX, PHASE_MIN, Plan, PlanError};

use std::{fmt, str::FromStr};

use crate::{
    event::{PolicyChange, PolicyChanged},
    id::{Generation, HostId, PolicyName, Revision, UserName},
    limits::REASON_BYTES_MAX,
    policy::HostLabels,
    text::cut,
    time::{DurationMs, UnixMs},
};

/// Characters of a reason that a roll-out gives itself: a host's words may be in it.
const REASON_CHARS_MAX: usize = 300;

/// One revision on its way to every host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// Which policy
    pub policy: PolicyName,
    /// Which revision
    pub revision: Revision,
    /// What hosts have that do not have it yet; 0 = nothing, the policy is new
    pub before: Revision,
    /// How
    pub plan: Plan,
    /// Who began it
    pub by: UserName,
    /// When
    pub create_time: UnixMs,
    /// In how long the baseline was counted
    pub period: DurationMs,
    /// Since when the hosts of the phase have it, the last time
    pub since: UnixMs,
    /// Since when one of them enforces it: the time that the plan names begins here
    pub watched_since: Option<UnixMs>,
    /// Generation that last changed which hosts have which revision
    pub generation: Generation,
    /// Where it is
    pub state: State,
}

/// What a running roll-out does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Every host has the revision before, and this one beside it in monitor mode
    Monitor,
    /// The canary hosts have the revision, the others the one before
    Canary,
}

impl FromStr for Phase {
    type Err = UnknownPhase;
    fn from_str(text: &str) -> Result<Self, UnknownPhase> {
        let all = [Self::Monitor, Self::Canary];
        let found = all.into_iter().find(|one| one.as_str() == text);
        found.ok_or(UnknownPhase)
    }
}

/// A word that is no phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a phase is `monitor` or `canary`: the one that `stayhand policy status` shows")]
pub struct UnknownPhase;

impl Phase {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Monitor => "monitor",
            Self::Canary => "canary",
        }
    }
}

/// Where a roll-out is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Some hosts have it
    Running(Phase),
    /// Every host has the one before, until somebody resumes it or applies another revision
    Stopped {
        /// In which phase
        phase: Phase,
        /// Who; none where it stopped by itself
        by: Option<UserName>,
        /// Why
        reason: String,
        /// When
        at: UnixMs,
        /// The revision that was applied since: nothing can happen any more
        replaced: Option<Revision>,
    },
    /// Every host has it
    Done {
        /// When
        at: UnixMs,
    },
}

impl State {
    /// The word.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Running(phase) => phase.as_str(),
            Self::Stopped { .. } => "stopped",
            Self::Done { .. } => "done",
        }
    }
}

/// How far a host of the phase is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It has said nothing of it yet
    OnItsWay,
    /// Its kernel enforces it
    Enforced,
    /// It refused it
    Refused {
        /// Why
        reason: String,
    },
}

/// What a host of the phase did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Which
    pub host: HostId,
    /// How far it is
    pub progress: Progress,
    /// How often the revision restricted there
    pub counted: u64,
    /// How often the one before did
    pub baseline: u64,
}

/// What does not let a roll-out go on, though its time is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Time
    Until(UnixMs),
    /// The phase has no host
    NoHost,
    /// None of its hosts has it yet
    NotEnforced,
    /// Something that only its keeper can tell
    Kept(String),
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Until(at) => write!(f, "until {at}"),
            Self::NoHost => f.write_str("no host of the policy has the labels of this phase"),
            Self::NotEnforced => f.write_str("no host of this phase has it in its kernel yet"),
            Self::Kept(why) => f.write_str(why),
        }
    }
}

/// What cannot happen to a roll-out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Illegal {
    /// It is over, or not in the state for that.
    #[error(
        "the roll-out of policy `{policy}` revision {revision} is {state}, so it cannot be {what}"
    )]
    State {
        /// The policy
        policy: PolicyName,
        /// The revision
        revision: Revision,
        /// Its state
        state: &'static str,
        /// What was asked for
        what: &'static str,
    },
    /// A host that refuses a revision would refuse it among all of them.
    #[error("host `{host}` refuses policy `{policy}` revision {revision}: {reason}")]
    Refused {
        /// The policy
        policy: PolicyName,
        /// The revision
        revision: Revision,
        /// The host
        host: HostId,
        /// Why
        reason: String,
    },
    /// A decision without a reason.
    #[error("it needs a reason of at most {REASON_BYTES_MAX} bytes; give one with --reason")]
    Reason,
}

/// A roll-out after a step.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Step {
    /// The roll-out now
    pub rollout: Rollout,
    /// What is to be recorded; nothing where only its time began
    pub record: Option<PolicyChanged>,
    /// Whether other hosts than before have the revision: publish it in the same transaction
    pub moves: bool,
}

impl Rollout {
    /// The phase, while it runs.
    pub fn phase(&self) -> Option<Phase> {
        match self.state {
            State::Running(phase) => Some(phase),
            State::Stopped { .. } | State::Done { .. } => None,
        }
    }

    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        self.phase().is_some()
    }

    /// Whether a host with these labels belongs to the phase.
    pub fn concerns(&self, labels: &HostLabels) -> bool {
        match self.phase() {
            Some(Phase::Monitor) => true,
            Some(Phase::Canary) => self.plan.canary().selects(labels),
            None => false,
        }
    }

    /// Whether decisions by this revision are counted: what the hosts of the phase restrict now.
    pub fn counts(&self, revision: Revision) -> bool {
        match self.phase() {
            // What the new one would restrict comes on top of what the one before does.
            Some(Phase::Monitor) => revision == self.revision || revision == self.before,
            Some(Phase::Canary) => revision == self.revision,
            None => false,
        }
    }

    /// Whether nothing can happen to it any more.
    pub fn is_over(&self) -> bool {
        match &self.state {
            State::Running(_) => false,
            State::Stopped { replaced, .. } => replaced.is_some(),
            State::Done { .. } => true,
        }
    }

    /// What a host with these labels has now; nothing of a policy that is new.
    pub fn revision_on(&self, labels: &HostLabels) -> Option<Revision> {
        let has = match &self.state {
            State::Running(Phase::Canary) => self.plan.canary().selects(labels),
            State::Running(Phase::Monitor) | State::Stopped { .. } => false,
            State::Done { .. } => true,
        };
        let revision = if has { self.revision } else { self.before };
        Some(revision).filter(|revision| revision.0 != 0)
    }

    /// What time and hosts do to it; none where nothing happens. `kept` says what else keeps it from ending.
    pub fn look(self, hosts: &[Seen], kept: Option<&str>, now: UnixMs) -> Option<Step> {
        let phase = self.phase()?;
        if let Some(reason) = self.alarm(hosts, now) {
            return Some(self.stopped(phase, None, &reason, now));
        }
        if self.watched_since.is_none() {
            return any_enforces(hosts).then(|| self.watched(now));
        }
        match self.waits(hosts, kept, now) {
            Some(_) => None,
            None => Some(self.next(phase, None, "", now)),
        }
    }

    /// What its phase waits for; none where nothing keeps it from the next one.
    pub fn waits(&self, hosts: &[Seen], kept: Option<&str>, now: UnixMs) -> Option<Wait> {
        if hosts.is_empty() {
            return Some(Wait::NoHost);
        }
        let (Some(since), true) = (self.watched_since, any_enforces(hosts)) else {
            return Some(Wait::NotEnforced);
        };
        let end = since.plus(self.length());
        if now < end {
            return Some(Wait::Until(end));
        }
        let is_last = self.phase() == Some(Phase::Canary);
        kept.filter(|_| is_last)
            .map(|why| Wait::Kept(why.to_owned()))
    }

    /// Stops it. It needs nobody's approval.
    pub fn stop(self, by: &UserName, reason: &str, now: UnixMs) -> Result<Step, Illegal> {
        let phase = self.phase().ok_or_else(|| self.illegal("stopped"))?;
        said(reason)?;
        Ok(self.stopped(phase, Some(by), reason, now))
    }

    /// Begins the phase in which it was stopped once more, with the same limits.
    pub fn resume(mut self, by: &UserName, reason: &str, now: UnixMs) -> Result<Step, Illegal> {
        let State::Stopped {
            phase,
            replaced: None,
            ..
        } = self.state
        else {
            return Err(self.illegal("resumed"));
        };
        said(reason)?;
        self.begin(phase, now);
        let record = self.record(PolicyChange::RollOutResumed, Some(by), reason);
        Ok(Step {
            rollout: self,
            record: Some(record),
            moves: true,
        })
    }

    /// Goes on with the next phase now, whatever time is left, unless a host refuses it.
    pub fn advance(
        self,
        hosts: &[Seen],
        by: &UserName,
        reason: &str,
        now: UnixMs,
    ) -> Result<Step, Illegal> {
        let phase = self.phase().ok_or_else(|| self.illegal("advanced"))?;
        said(reason)?;
        if let Some((host, reason)) = refusal(hosts) {
            return Err(Illegal::Refused {
                policy: self.policy,
                revision: self.revision,
                host: host.clone(),
                reason: reason.to_owned(),
            });
        }
        Ok(self.next(phase, Some(by), reason, now))
    }

    /// Another revision was applied after it had been stopped.
    #[must_use]
    pub fn replaced(mut self, by: Revision) -> Self {
        if let State::Stopped { replaced, .. } = &mut self.state {
            replaced.get_or_insert(by);
        }
        self
    }

    /// What is recorded of something that happens to it.
    pub fn record(
        &self,
        change: PolicyChange,
        by: Option<&UserName>,
        reason: &str,
    ) -> PolicyChanged {
        PolicyChanged {
            policy: self.policy.clone(),
            revision: self.revision,
            by: by.cloned(),
            change,
            proposal: None,
            reason: Some(reason.to_owned()).filter(|reason| !reason.is_empty()),
        }
    }

    /// How often the revision may restrict on one host, or on all together, by now.
    pub fn limit(&self, baseline: u64, now: UnixMs) -> u64 {
        let baseline = Baseline {
            counted: baseline,
            period: self.period,
        };
        limit(baseline, now.since(self.since), self.plan.stop_at())
    }

    /// Why it has to stop by itself.
    fn alarm(&self, hosts: &[Seen], now: UnixMs) -> Option<String> {
        if let Some((host, reason)) = refusal(hosts) {
            return Some(format!("host {host} refuses it: {reason}"));
        }
        let over = |one: &&Seen| one.counted > self.limit(one.baseline, now);
        if let Some(one) = hosts.iter().find(over) {
            let on = format!("on {}", one.host);
            return Some(self.jump(&on, one.counted, one.baseline, now));
        }
        // Each may be within its own limit, and all together not.
        let sum = |of: fn(&Seen) -> u64| {
            hosts
                .iter()
                .fold(0u64, |sum, one| sum.saturating_add(of(one)))
        };
        let (counted, baseline) = (sum(|one| one.counted), sum(|one| one.baseline));
        let is_jump = counted > self.limit(baseline, now);
        is_jump.then(|| self.jump("on all hosts of the phase", counted, baseline, now))
    }

    fn jump(&self, on: &str, counted: u64, baseline: u64, now: UnixMs) -> String {
        let (limit, period) = (self.limit(baseline, now), self.period.in_seconds());
        format!(
            "restricted {counted} times {on}, more than {limit}; the revision before did {baseline} times in {period}"
        )
    }

    fn watched(mut self, now: UnixMs) -> Step {
        self.watched_since = Some(now);
        Step {
            rollout: self,
            record: None,
            moves: false,
        }
    }

    fn stopped(mut self, phase: Phase, by: Option<&UserName>, reason: &str, now: UnixMs) -> Step {
        let reason = match by {
            Some(_) => reason.to_owned(),
            None => cut(reason.to_owned(), REASON_CHARS_MAX),
        };
        let record = self.record(PolicyChange::RollOutStopped, by, &reason);
        self.state = State::Stopped {
            phase,
            by: by.cloned(),
            reason,
            at: now,
            replaced: None,
        };
        Step {
            rollout: self,
            record: Some(record),
            moves: true,
        }
    }

    fn next(mut self, phase: Phase, by: Option<&UserName>, reason: &str, now: UnixMs) -> Step {
        let change = match phase {
            Phase::Monitor => {
                self.begin(Phase::Canary, now);
                PolicyChange::RollOutAdvanced
            }
            Phase::Canary => {
                self.state = State::Done { at: now };
                PolicyChange::RolledOut
            }
        };
        let record = self.record(change, by, reason);
        Step {
            rollout: self,
            record: Some(record),
            moves: true,
        }
    }

    fn begin(&mut self, phase: Phase, now: UnixMs) {
        self.state = State::Running(phase);
        self.since = now;
        self.watched_since = None;
    }

    fn length(&self) -> DurationMs {
        match self.phase() {
            Some(Phase::Monitor) => self.plan.monitor_for().unwrap_or_default(),
            _ => self.plan.canary_for(),
        }
    }

    fn illegal(&self, what: &'static str) -> Illegal {
        Illegal::State {
            policy: self.policy.clone(),
            revision: self.revision,
            state: match &self.state {
                State::Running(_) => "running",
                State::Stopped {
                    replaced: Some(_), ..
                } => "stopped, and another revision was applied since",
                state => state.as_str(),
            },
            what,
        }
    }
}

fn said(reason: &str) -> Result<(), Illegal> {
    if reason.trim().is_empty() || reason.len() > REASON_BYTES_MAX {
        return Err(Illegal::Reason);
    }
    Ok(())
}

fn any_enforces(hosts: &[Seen]) -> bool {
    hosts.iter().any(|one| one.progress == Progress::Enforced)
}

fn refusal(hosts: &[Seen]) -> Option<(&HostId, &str)> {
    hosts.iter().find_map(|one| match &one.progress {
        Progress::Refused { reason } => Some((&one.host, reason.as_str())),
        Progress::OnItsWay | Progress::Enforced => None,
    })
}
