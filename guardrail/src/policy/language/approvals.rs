//! Who may approve, and in which order.

use super::{
    Has, Mapping, Shape, may, must,
    shapes::AN_APPROVER,
    texts::{DURATION, NAME, NUMBER},
};
use crate::limits::{APPROVERS_MAX, STAGES_MAX};

static A_STAGE: Shape = Shape::Mapping(&STAGE);

const fn approvers() -> Shape {
    Shape::OneOrList {
        of: &AN_APPROVER,
        max: APPROVERS_MAX,
        differ: true,
    }
}

pub(in crate::policy) static APPROVAL: Mapping = Mapping {
    what: "an approval",
    name: "approval",
    says: "Who may let a held action go on. It is frozen when the action is held: no later policy changes who may.",
    keys: &[
        must(
            "name",
            Shape::Text(&NAME),
            "Unique in the policy; `approval` of a rule names it.",
        ),
        must(
            "stages",
            Shape::List {
                of: &A_STAGE,
                min: 1,
                max: STAGES_MAX,
            },
            "One after the other. A person counts once in all of them, and never for himself.",
        ),
    ],
    later: &["match", "inputs", "auto"],
    has: Has::Anything,
};

pub(in crate::policy) static STAGE: Mapping = Mapping {
    what: "a stage",
    name: "stage",
    says: "Who approves: `user:NAME`, `group:NAME` and `on-call:NAME` of the control plane's directory, or `manager`: of the \
           one who is held.",
    keys: &[
        may("any", approvers(), "One of these is enough."),
        may(
            "all",
            approvers(),
            "One for each of these, all of them different people.",
        ),
        may(
            "count",
            Shape::Text(&NUMBER),
            "So many different people of those in `of`.",
        )
        .beside("of"),
        may("of", approvers(), "Of whom `count` people are needed.").beside("count"),
        may(
            "escalate",
            Shape::Mapping(&ESCALATION),
            "Who may approve as well once the stage takes too long.",
        ),
        may(
            "timeout",
            Shape::Text(&DURATION),
            "How long the stage has from when it begins, `1s` to `1d`: what is not complete by then is refused. Without it \
             only the rule's `timeout` ends it.",
        ),
    ],
    later: &[],
    has: Has::OneOf(&["any", "all", "count"]),
};

pub(in crate::policy) static ESCALATION: Mapping = Mapping {
    what: "escalate",
    name: "escalation",
    says: "Who may approve as well once a stage takes too long; each of them stands for whomever is missing.",
    keys: &[
        must(
            "after",
            Shape::Text(&DURATION),
            "How long after the stage began, from `1s`.",
        ),
        must("to", approvers(), "Who then may, too."),
    ],
    later: &[],
    has: Has::Anything,
};
