//! Roll-outs of policies and how far each policy is.

use stayhand_guardrail::{
    id::{Generation, Revision},
    limits::CANARY_LABELS_MAX,
    policy::Label,
    rollout::{Factor, Phase, Plan, Rollout, State},
};

use super::{
    Invalid,
    invalid::{leaf, message},
    name,
    scalar::{bounded, duration, id, shown, some_id, span, text, time, timestamp, unix_ms},
};
use crate::{
    v1::{self, policy_rollout::State as WireState},
    view::{BehindView, PolicyStatusView},
};

impl From<Plan> for v1::RolloutPlan {
    fn from(plan: Plan) -> Self {
        Self {
            monitor_for: plan.monitor_for().map(span),
            canary: plan.canary().labels().collect(),
            canary_for: Some(span(plan.canary_for())),
            stop_at: plan.stop_at().times(),
        }
    }
}

impl TryFrom<v1::RolloutPlan> for Plan {
    type Error = Invalid;
    fn try_from(wire: v1::RolloutPlan) -> Result<Self, Invalid> {
        let v1::RolloutPlan {
            monitor_for,
            canary,
            canary_for,
            stop_at,
        } = wire;
        let labels = bounded("canary", canary, CANARY_LABELS_MAX)?;
        let labels = labels
            .iter()
            .map(|item| leaf("canary", item.parse::<Label>()))
            .collect::<Result<_, _>>()?;
        let monitor_for = monitor_for
            .map(|span| duration("monitor_for", Some(span)))
            .transpose()?;
        let stop_at = leaf("stop_at", Factor::new(stop_at))?;
        let plan = Self::new(
            monitor_for,
            labels,
            duration("canary_for", canary_for)?,
            stop_at,
        );
        leaf("rollout", plan)
    }
}

/// The state's own fields as they travel.
#[derive(Default)]
struct Parts {
    state: WireState,
    stopped_in: WireState,
    stopped_by: String,
    stop_reason: String,
    end_time: Option<prost_types::Timestamp>,
    replaced_by: u64,
}

fn running(phase: Phase) -> WireState {
    match phase {
        Phase::Monitor => WireState::Monitor,
        Phase::Canary => WireState::Canary,
    }
}

fn parts(state: State) -> Parts {
    match state {
        State::Running(phase) => Parts {
            state: running(phase),
            ..Parts::default()
        },
        State::Stopped {
            phase,
            by,
            reason,
            at,
            replaced,
        } => Parts {
            state: WireState::Stopped,
            stopped_in: running(phase),
            stopped_by: shown(by.as_ref()),
            stop_reason: reason,
            end_time: Some(timestamp(at)),
            replaced_by: replaced.map_or(0, |revision| revision.0),
        },
        State::Done { at } => Parts {
            state: WireState::Done,
            end_time: Some(timestamp(at)),
            ..Parts::default()
        },
    }
}

impl From<Rollout> for v1::PolicyRollout {
    fn from(rollout: Rollout) -> Self {
        let Rollout {
            policy,
            revision,
            before,
            plan,
            by,
            create_time,
            period,
            since,
            watched_since,
            generation,
            state,
        } = rollout;
        let Parts {
            state,
            stopped_in,
            stopped_by,
            stop_reason,
            end_time,
            replaced_by,
        } = parts(state);
        Self {
            policy: name::policy(&policy),
            revision: revision.0,
            before_revision: before.0,
            plan: Some(plan.into()),
            begun_by: by.into(),
            create_time: Some(timestamp(create_time)),
            baseline_period: Some(span(period)),
            phase_time: Some(timestamp(since)),
            watched_time: watched_since.map(timestamp),
            generation: generation.0,
            state: state.into(),
            stopped_in: stopped_in.into(),
            stopped_by,
            stop_reason,
            end_time,
            replaced_by,
        }
    }
}

fn phase(field: &str, wire: i32) -> Result<Phase, Invalid> {
    match WireState::try_from(wire) {
        Ok(WireState::Monitor) => Ok(Phase::Monitor),
        Ok(WireState::Canary) => Ok(Phase::Canary),
        _ => {
            let problem = format!("{wire} is no phase of a roll-out");
            Err(Invalid::new(field, problem))
        }
    }
}

impl TryFrom<v1::PolicyRollout> for Rollout {
    type Error = Invalid;
    fn try_from(wire: v1::PolicyRollout) -> Result<Self, Invalid> {
        let v1::PolicyRollout {
            policy,
            revision,
            before_revision,
            plan,
            begun_by,
            create_time,
            baseline_period,
            phase_time,
            watched_time,
            generation,
            state,
            stopped_in,
            stopped_by,
            stop_reason,
            end_time,
            replaced_by,
        } = wire;
        let at = || time("end_time", end_time);
        let state = match WireState::try_from(state) {
            Ok(WireState::Stopped) => State::Stopped {
                phase: phase("stopped_in", stopped_in)?,
                by: some_id("stopped_by", &stopped_by)?,
                reason: text("stop_reason", stop_reason)?,
                at: at()?,
                replaced: Some(Revision(replaced_by)).filter(|revision| revision.0 != 0),
            },
            Ok(WireState::Done) => State::Done { at: at()? },
            _ => State::Running(phase("state", state)?),
        };
        Ok(Self {
            policy: name::parse("policy", name::POLICIES, &policy)?,
            revision: Revision(revision),
            before: Revision(before_revision),
            plan: message("plan", plan)?,
            by: id("begun_by", &begun_by)?,
            create_time: time("create_time", create_time)?,
            period: duration("baseline_period", baseline_period)?,
            since: time("phase_time", phase_time)?,
            watched_since: unix_ms("watched_time", watched_time)?,
            generation: Generation(generation),
            state,
        })
    }
}

impl From<PolicyStatusView> for v1::PolicyStatus {
    fn from(view: PolicyStatusView) -> Self {
        let PolicyStatusView {
            policy,
            revision,
            rollout,
            waits_for,
            phase_end,
            counted,
            limit,
            hosts,
            enforced,
            behind,
            more,
            removed,
        } = view;
        Self {
            policy: name::policy(&policy),
            revision: revision.0,
            rollout: rollout.map(Into::into),
            waits_for: waits_for.unwrap_or_default(),
            phase_end_time: phase_end.map(timestamp),
            counted,
            limit,
            hosts,
            enforced,
            behind: behind.into_iter().map(Into::into).collect(),
            more,
            removed,
        }
    }
}

impl From<BehindView> for v1::HostBehind {
    fn from(view: BehindView) -> Self {
        let BehindView {
            host,
            revision,
            reason,
            expected,
        } = view;
        Self {
            host: host.into(),
            revision: revision.map_or(0, |revision| revision.0),
            reason,
            expected,
        }
    }
}
