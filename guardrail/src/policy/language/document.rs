//! The document from the top down to its rules.

use super::{
    Has, Key, Mapping, Shape,
    actions::{CLASSES, EXEC, FILE, NET, NET_LATER, SYSTEM},
    approvals::APPROVAL,
    examples::TEST,
    may, must,
    profiles::PROFILE,
    shapes::{
        A_CIDR, A_NAME, A_PORT, A_PRESET, A_USER, LABEL_VALUES, PARAMETERS, WINDOWS, list, texts,
        windows,
    },
    texts::{DURATION, MESSAGE, NAME, NUMBER, PRESET},
};
use crate::{
    limits::{
        APPROVALS_MAX, FLAGS_PER_RULE_MAX, LABELS_MAX, LIST_MAX, PERIODS_MAX, PERMISSIONS_MAX,
        PRESETS_MAX, PROFILES_MAX, RULES_MAX, SETS_MAX, TESTS_MAX,
    },
    policy::{
        Then,
        on_loss::{AgentLoss, AuditLoss},
    },
    reason::Effect,
    sensitivity::Sensitivity,
};

/// The version of the language.
pub(in crate::policy) const API_VERSION: &str = "stayhand/v1";
/// What a version of the language is called before its number.
const VERSIONS: &str = "stayhand/v";

/// Whether this names a version of the language that comes after [`API_VERSION`].
pub(in crate::policy) fn is_later(version: &str) -> bool {
    let number = |name: &str| name.strip_prefix(VERSIONS)?.parse::<u16>().ok();
    number(version) > number(API_VERSION)
}

/// The kind of document.
pub(in crate::policy) const KIND: &str = "Policy";

static A_PERMISSION: Shape = Shape::Mapping(&PERMISSION);
static AN_APPROVAL: Shape = Shape::Mapping(&APPROVAL);
static A_PROFILE: Shape = Shape::Mapping(&PROFILE);
static A_SET: Shape = Shape::Mapping(&SET);
static A_RULE: Shape = Shape::Mapping(&RULE);
static A_TEST: Shape = Shape::Mapping(&TEST);

pub(in crate::policy) static DOCUMENT: Mapping = Mapping {
    what: "a policy",
    name: "policy",
    says: "One policy of Stayhand: whom it guards, and what may be executed, touched and connected to. `stayhand policy \
           check FILE` knows more than this schema: names that nobody defined, times that no clock shows, bounds of the kernel.",
    keys: &[
        must(
            "apiVersion",
            Shape::Word(|| vec![API_VERSION]),
            "The version of the language.",
        ),
        must("kind", Shape::Word(|| vec![KIND]), "The kind of document."),
        must(
            "metadata",
            Shape::Mapping(&METADATA),
            "What the policy is called.",
        ),
        must("spec", Shape::Mapping(&SPEC), "What the policy says."),
    ],
    later: &[],
    has: Has::Anything,
};

pub(in crate::policy) static METADATA: Mapping = Mapping {
    what: "metadata",
    name: "metadata",
    says: "What the policy is called.",
    keys: &[must(
        "name",
        Shape::Text(&NAME),
        "Unique over all policies. Events and messages show rules as `policy/rule`.",
    )],
    later: &["labels", "annotations"],
    has: Has::Anything,
};

pub(in crate::policy) static SPEC: Mapping = Mapping {
    what: "spec",
    name: "spec",
    says: "What the policy says.",
    keys: &[
        may(
            "mode",
            Shape::Word(|| vec!["enforce", "monitor"]),
            "`enforce` (if it says nothing), or `monitor`: record what would have happened and restrict nothing.",
        ),
        may(
            "hosts",
            Shape::Named {
                of: &LABEL_VALUES,
                max: LABELS_MAX,
            },
            "Where it counts: labels that a host has to have, each with one of the values; everywhere, if it says nothing.",
        ),
        must(
            "subjects",
            Shape::Mapping(&SUBJECTS),
            "Whom it guards. Whom no policy names is not guarded.",
        ),
        may(
            "default",
            Shape::Either {
                one: &A_FALLBACK,
                mapping: &DEFAULT,
            },
            "What becomes of what no rule speaks of: `allow` (if it says nothing), `deny`, `hold`, or a word for each class.",
        ),
        may(
            "onLoss",
            Shape::Mapping(&ON_LOSS),
            "What becomes of what it holds, or a grant covers, while no agent is alive, or no record finds room.",
        ),
        may(
            "extends",
            Shape::OneOrList {
                of: &AN_INCLUDED,
                max: PRESETS_MAX,
                differ: false,
            },
            "Presets that are taken over. A version of a preset never changes; its rules are named `PRESET.RULE`.",
        ),
        may(
            "sets",
            Shape::Named {
                of: &A_SET,
                max: SETS_MAX,
            },
            "Destinations by name, so that an environment is written down once; `to` of a rule names them.",
        ),
        may(
            "calendar",
            Shape::Named {
                of: &WINDOWS,
                max: PERIODS_MAX,
            },
            "Windows of time by name; `when` of a rule names them.",
        ),
        may(
            "permissions",
            Shape::Named {
                of: &A_PERMISSION,
                max: PERMISSIONS_MAX,
            },
            "Sets of actions by name: what a grant carries. A permission counts only where its path is the object's own.",
        ),
        may(
            "profiles",
            Shape::List {
                of: &A_PROFILE,
                min: 1,
                max: PROFILES_MAX,
            },
            "Bundles of permissions, with parameters, that somebody asks for by name.",
        ),
        may(
            "approvals",
            Shape::List {
                of: &AN_APPROVAL,
                min: 1,
                max: APPROVALS_MAX,
            },
            "Who may let a held action go on; `approval` of a rule names one. Without it every operator may.",
        ),
        may(
            "rules",
            Shape::List {
                of: &A_RULE,
                min: 0,
                max: RULES_MAX,
            },
            "The rules, at least one where no preset is taken over. Their order decides nothing but which of two with the same effect is named.",
        ),
        may(
            "tests",
            Shape::List {
                of: &A_TEST,
                min: 1,
                max: TESTS_MAX,
            },
            "What the policy is to do, in examples. A policy whose own tests fail is not applied.",
        ),
    ],
    later: &[],
    has: Has::SomeOf(&["rules", "extends"]),
};

pub(in crate::policy) static ON_LOSS: Mapping = Mapping {
    what: "onLoss",
    name: "on-loss",
    says: "What becomes of what the policy restricts while a part of the host is lost. Of all rules that restrict an action, the strictest word counts.",
    keys: &[
        may(
            "agent",
            Shape::Word(|| AgentLoss::ALL.map(AgentLoss::as_str).to_vec()),
            "With no agent alive, what would be held waits for the next one (`keep`, if it says nothing), or is denied at once (`deny`).",
        ),
        may(
            "audit",
            Shape::Word(|| AuditLoss::ALL.map(AuditLoss::as_str).to_vec()),
            "Without room for its record, what a grant covers is denied (`deny`, if it says nothing), or goes on, and the missing record is counted (`allow`).",
        ),
    ],
    later: &[],
    has: Has::SomeOf(&["agent", "audit"]),
};

static A_FALLBACK: Shape = Shape::Word(fallbacks);
static AN_INCLUDED: Shape = Shape::Either {
    one: &A_PRESET,
    mapping: &INCLUDED,
};

pub(in crate::policy) static INCLUDED: Mapping = Mapping {
    what: "an item of extends",
    name: "included",
    says: "A preset that is taken over, but for some of its rules, or with what it has to know of the site.",
    keys: &[
        must(
            "preset",
            Shape::Text(&PRESET),
            "The preset and its version.",
        ),
        may(
            "except",
            texts(&A_NAME),
            "Rules of the preset that are left out, by their ids there.",
        ),
        may(
            "with",
            Shape::Named {
                of: &PARAMETERS,
                max: LIST_MAX,
            },
            "Values of the preset's parameters; `stayhand policy presets NAME` has them.",
        ),
        may(
            "approval",
            Shape::Text(&NAME),
            "Who may let go on what its rules hold, by the name of one of the policy's approvals.",
        ),
        may(
            "sensitivity",
            Shape::Word(sensitivities),
            "How much depends on what its rules are about; each of them has it.",
        ),
    ],
    later: &[],
    has: Has::Anything,
};

const MESSAGE_KEY: Key = may(
    "message",
    Shape::Text(&MESSAGE),
    "What the guarded person is told: one line, up to 500 bytes.",
);
const TIMEOUT_KEY: Key = may(
    "timeout",
    Shape::Text(&DURATION),
    "How long waits what is held, from `1s` to `1d`; `5m` if it says nothing.",
);

const APPROVAL_KEY: Key = may(
    "approval",
    Shape::Text(&NAME),
    "Who may let go on what is held, by the name of one of the policy's approvals; every operator, if it says nothing.",
);

const SENSITIVITY_KEY: Key = may(
    "sensitivity",
    Shape::Word(sensitivities),
    "How much depends on what it is about: events are at least of this severity, and approvers see it. It restricts nothing.",
);

fn sensitivities() -> Vec<&'static str> {
    Sensitivity::ALL.map(Sensitivity::as_str).to_vec()
}

/// What a default can be.
fn fallbacks() -> Vec<&'static str> {
    vec!["allow", "deny", "hold"]
}

pub(in crate::policy) static DEFAULT: Mapping = Mapping {
    what: "default",
    name: "default",
    says: "What becomes of what no rule speaks of, by class of actions: `allow`, if it says nothing.",
    keys: &[
        may(
            "exec",
            Shape::Word(fallbacks),
            "Programs, and what is mapped executable: libraries, too.",
        ),
        may(
            "file",
            Shape::Word(fallbacks),
            "Files, also those that are read.",
        ),
        may(
            "net",
            Shape::Word(fallbacks),
            "Sockets of every kind, and changes by netlink.",
        ),
        may(
            "system",
            Shape::Word(fallbacks),
            "What is asked of the kernel itself.",
        ),
        MESSAGE_KEY,
        TIMEOUT_KEY,
        APPROVAL_KEY,
        SENSITIVITY_KEY,
    ],
    later: &[],
    has: Has::SomeOf(&CLASSES),
};

pub(in crate::policy) static SUBJECTS: Mapping = Mapping {
    what: "subjects",
    name: "subjects",
    says: "Whom the policy guards: a person is known by the login uid, also after `su` and `sudo`; a service by the user that it \
           runs as.",
    keys: &[
        may(
            "groups",
            list(&A_USER),
            "Members of these groups on the host.",
        ),
        may("users", list(&A_USER), "These users on the host."),
        may(
            "services",
            list(&A_USER),
            "These users, also where nobody has logged in: daemons, CI runners, agents. Not `root`.",
        ),
    ],
    later: &["uids", "cgroups", "units", "hosts", "all"],
    has: Has::SomeOf(&["groups", "users", "services"]),
};

pub(in crate::policy) static SET: Mapping = Mapping {
    what: "a set",
    name: "set",
    says: "Destinations that belong together.",
    keys: &[
        must(
            "cidr",
            texts(&A_CIDR),
            "Address ranges, or single addresses.",
        ),
        may(
            "ports",
            texts(&A_PORT),
            "Ports and ranges of ports; all, if it says nothing.",
        ),
    ],
    later: NET_LATER,
    has: Has::Anything,
};

pub(in crate::policy) static PERMISSION: Mapping = Mapping {
    what: "a permission",
    name: "permission",
    says: "A set of actions that a grant can permit.",
    keys: &[
        may("exec", Shape::Mapping(&EXEC), "Programs to run."),
        may("file", Shape::Mapping(&FILE), "What is done to files."),
        may("net", Shape::Mapping(&NET), "What is done with sockets."),
        may(
            "system",
            Shape::Mapping(&SYSTEM),
            "What is asked of the kernel itself.",
        ),
    ],
    later: &[],
    has: Has::SomeOf(&CLASSES),
};

pub(in crate::policy) static RULE: Mapping = Mapping {
    what: "a rule",
    name: "rule",
    says: "One rule: an effect, and the actions that have it.",
    keys: &[
        must(
            "id",
            Shape::Text(&NAME),
            "Unique in the policy; events and messages show it as `policy/rule`.",
        ),
        must(
            "effect",
            Shape::Word(|| Effect::OF_RULES.map(Effect::as_str).to_vec()),
            "`deny`: never, even with a grant. `require-grant`: only while a live grant covers it. `hold`: the process stops \
             inside the call until somebody answers, unless a grant covers it. `throttle`: it goes on as often as its rate \
             says. `alert`: it goes on and is recorded. `allow`: it goes on. The strictest rule that is met decides, in this order.",
        ),
        may("exec", Shape::Mapping(&EXEC), "Run one of these programs."),
        may(
            "file",
            Shape::Mapping(&FILE),
            "Do one of these to one of those files.",
        ),
        may(
            "net",
            Shape::Mapping(&NET),
            "Do one of these with such a socket.",
        ),
        may(
            "system",
            Shape::Mapping(&SYSTEM),
            "Ask one of these of the kernel.",
        ),
        may(
            "permission",
            Shape::Text(&NAME),
            "The actions of this permission of the policy.",
        ),
        MESSAGE_KEY,
        TIMEOUT_KEY,
        APPROVAL_KEY,
        SENSITIVITY_KEY,
        may(
            "rate",
            Shape::Mapping(&RATE),
            "How often a `throttle` lets it through.",
        )
        .only_if("effect", "throttle"),
        may("record", Shape::Flag, "Whether an `allow` yields an event.")
            .only_if("effect", "allow"),
        may(
            "when",
            Shape::Mapping(&WHEN),
            "When the rule counts; always, if it says nothing.",
        ),
    ],
    later: &["flags", "hosts", "subjects", "windows"],
    has: Has::OneOf(&["exec", "file", "net", "system", "permission"]),
};

pub(in crate::policy) static RATE: Mapping = Mapping {
    what: "a rate",
    name: "rate",
    says: "How often: a bucket that refills evenly, for each person on each host.",
    keys: &[
        must(
            "limit",
            Shape::Text(&NUMBER),
            "How many at once: what a full bucket has.",
        ),
        must(
            "per",
            Shape::Text(&DURATION),
            "In how much time an empty bucket is full again, from `1s` to `31d`.",
        ),
        must(
            "then",
            Shape::Word(|| Then::ALL.map(Then::as_str).to_vec()),
            "What becomes of the rest.",
        ),
    ],
    later: &[],
    has: Has::Anything,
};

pub(in crate::policy) static WHEN: Mapping = Mapping {
    what: "when",
    name: "when",
    says: "When a rule counts: in windows of time, or outside of them, or while a flag is set. A window is what a clock on the wall of its zone shows.",
    keys: &[
        may(
            "windows",
            windows(),
            "Windows, or names of the calendar, in which the rule counts.",
        ),
        may(
            "outside",
            windows(),
            "Windows, or names of the calendar, outside of which the rule counts.",
        ),
        may(
            "flags",
            Shape::OneOrList {
                of: &A_NAME,
                max: FLAGS_PER_RULE_MAX,
                differ: true,
            },
            "Flags while one of which is set the rule counts, also outside of its windows: `stayhand flag set` sets them, with an end.",
        ),
    ],
    later: &["hosts", "rate", "sensitivity", "session", "terminal"],
    has: Has::SomeOf(&["windows", "outside", "flags"]),
};
