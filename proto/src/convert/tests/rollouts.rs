//! Roll-outs survive the way in every state, and what makes no sense does not come in.

use stayhand_guardrail::{
    id::{Generation, Revision},
    rollout::{BASELINE, Factor, HOUR, Phase, Plan, Rollout, State},
    time::UnixMs,
};

use crate::{codec, v1};

fn rollout(state: State) -> Rollout {
    let canary = "env=canary,region=eu,region=us".parse().unwrap();
    Rollout {
        policy: "prod".parse().unwrap(),
        revision: Revision(5),
        before: Revision(3),
        plan: Plan::new(Some(HOUR), canary, HOUR, Factor::default()).unwrap(),
        by: "bob".parse().unwrap(),
        create_time: UnixMs(1_000),
        period: BASELINE,
        since: UnixMs(2_000),
        watched_since: Some(UnixMs(3_000)),
        generation: Generation(9),
        state,
    }
}

fn stopped(by: Option<&str>, replaced: Option<Revision>) -> State {
    State::Stopped {
        phase: Phase::Canary,
        by: by.map(|by| by.parse().unwrap()),
        reason: "too many".into(),
        at: UnixMs(4_000),
        replaced,
    }
}

#[test]
fn a_rollout_survives_the_way_in_every_state() {
    for state in [
        State::Running(Phase::Monitor),
        State::Running(Phase::Canary),
        stopped(None, None),
        stopped(Some("bob"), Some(Revision(6))),
        State::Done { at: UnixMs(5_000) },
    ] {
        let one = rollout(state);
        let bytes = codec::encode_rollout(one.clone());
        assert_eq!(codec::decode_rollout(&bytes), Ok(one));
    }
}

#[test]
fn a_plan_that_nobody_could_have_written_is_refused_with_its_field() {
    let plan = || v1::RolloutPlan::from(rollout(State::Running(Phase::Canary)).plan);
    let refused = |wire: v1::RolloutPlan, field: &str| {
        let invalid = Plan::try_from(wire).unwrap_err();
        assert_eq!(invalid.field, field, "{invalid}");
    };
    refused(
        v1::RolloutPlan {
            canary: vec![],
            ..plan()
        },
        "rollout",
    );
    refused(
        v1::RolloutPlan {
            canary: vec!["env".into()],
            ..plan()
        },
        "canary",
    );
    refused(
        v1::RolloutPlan {
            canary_for: None,
            ..plan()
        },
        "canary_for",
    );
    refused(
        v1::RolloutPlan {
            stop_at: 0,
            ..plan()
        },
        "stop_at",
    );
    let unknown = v1::PolicyRollout {
        state: 77,
        ..rollout(State::Running(Phase::Canary)).into()
    };
    assert_eq!(Rollout::try_from(unknown).unwrap_err().field, "state");
}
