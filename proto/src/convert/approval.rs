//! Who may approve a hold, and how far that is.

use stayhand_guardrail::{
    approval::{Approver, Escalation, Plan, Progress, Quorum, Review, Stage},
    hold::Approval,
    limits::{APPROVERS_MAX, STAGES_MAX},
};

use super::{
    Invalid,
    scalar::{bounded, duration, id, span, text, time, timestamp},
};
use crate::{v1, v1::approval as wire};

/// As it travels: nothing where every operator may.
pub(super) fn sent(approval: Approval) -> Option<v1::Approval> {
    match approval {
        Approval::Operators => None,
        Approval::Unknown => Some(v1::Approval {
            is_unknown: true,
            ..Default::default()
        }),
        Approval::Plan(progress) => Some(progress_sent(progress)),
    }
}

impl TryFrom<v1::Approval> for Approval {
    type Error = Invalid;
    fn try_from(wire: v1::Approval) -> Result<Self, Invalid> {
        if wire.is_unknown {
            return Ok(Self::Unknown);
        }
        progress(wire).map(Self::Plan)
    }
}

fn progress_sent(progress: Progress) -> v1::Approval {
    let Progress {
        plan,
        stage,
        since,
        reviews,
    } = progress;
    v1::Approval {
        name: plan.name.into(),
        stages: plan.stages.into_iter().map(stage_sent).collect(),
        stage,
        stage_start_time: Some(timestamp(since)),
        reviews: reviews.into_iter().map(review_sent).collect(),
        is_unknown: false,
    }
}

fn stage_sent(stage: Stage) -> wire::Stage {
    let (quorum, count) = match stage.quorum {
        Quorum::Any => (wire::Quorum::Any, 0),
        Quorum::All => (wire::Quorum::All, 0),
        Quorum::Count(count) => (wire::Quorum::Count, count),
    };
    let words = |of: Vec<Approver>| of.into_iter().map(String::from).collect();
    let (escalate_after, escalate_to) = match stage.escalation {
        Some(Escalation { after, to }) => (Some(span(after)), words(to)),
        None => (None, vec![]),
    };
    wire::Stage {
        quorum: quorum.into(),
        count,
        of: words(stage.of),
        escalate_after,
        escalate_to,
        timeout: stage.timeout.map(span),
    }
}

fn review_sent(review: Review) -> wire::Review {
    let Review {
        by,
        stage,
        counts_as,
        reason,
        at,
    } = review;
    wire::Review {
        by: by.into(),
        stage,
        counts_as,
        reason,
        time: Some(timestamp(at)),
    }
}

fn progress(wire: v1::Approval) -> Result<Progress, Invalid> {
    let v1::Approval {
        name,
        stages,
        stage,
        stage_start_time,
        reviews,
        is_unknown: _,
    } = wire;
    if stages.is_empty() {
        return Err(Invalid::missing("stages"));
    }
    let stages = bounded("stages", stages, STAGES_MAX)?;
    let reviews = bounded("reviews", reviews, STAGES_MAX * APPROVERS_MAX)?;
    let stages: Result<_, _> = stages.into_iter().map(stage_of).collect();
    let reviews: Result<_, _> = reviews.into_iter().map(review).collect();
    Ok(Progress {
        plan: Plan {
            name: id("name", &name)?,
            stages: stages?,
        },
        stage,
        since: time("stage_start_time", stage_start_time)?,
        reviews: reviews?,
    })
}

fn stage_of(stage: wire::Stage) -> Result<Stage, Invalid> {
    let quorum = match wire::Quorum::try_from(stage.quorum) {
        Ok(wire::Quorum::Any) => Quorum::Any,
        Ok(wire::Quorum::All) => Quorum::All,
        Ok(wire::Quorum::Count) if stage.count > 0 => Quorum::Count(stage.count),
        _ => {
            let problem = format!("{} of {} is no quorum", stage.quorum, stage.count);
            return Err(Invalid::new("quorum", problem));
        }
    };
    let of = approvers("of", stage.of)?;
    if of.is_empty() {
        return Err(Invalid::new("of", "names nobody"));
    }
    let escalation = match stage.escalate_after {
        None => None,
        after => Some(Escalation {
            after: duration("escalate_after", after)?,
            to: approvers("escalate_to", stage.escalate_to)?,
        }),
    };
    let timeout = match stage.timeout {
        None => None,
        timeout => Some(duration("timeout", timeout)?),
    };
    Ok(Stage {
        quorum,
        of,
        escalation,
        timeout,
    })
}

fn approvers(field: &str, words: Vec<String>) -> Result<Vec<Approver>, Invalid> {
    let words = bounded(field, words, APPROVERS_MAX)?;
    words.iter().map(|word| id(field, word)).collect()
}

fn review(wire: wire::Review) -> Result<Review, Invalid> {
    let wire::Review {
        by,
        stage,
        counts_as,
        reason,
        time: at,
    } = wire;
    Ok(Review {
        by: id("by", &by)?,
        stage,
        counts_as: bounded("counts_as", counts_as, APPROVERS_MAX)?,
        reason: text("reason", reason)?,
        at: time("time", at)?,
    })
}
