//! Bundles of permissions that people ask for by name.

use super::{
    Has, Mapping, Shape, may, must,
    shapes::{A_NAME, A_PATH, A_PLAIN_VALUE, LABEL_VALUES, texts},
    texts::{DURATION, INTEGERS, NAME},
};
use crate::limits::{ENUM_MAX, GRANT_PERMISSIONS_MAX, LABELS_MAX, PARAMETERS_MAX, PROFILES_MAX};

static A_PARAMETER: Shape = Shape::Mapping(&PARAMETER);
static A_WORD: Shape = Shape::Text(&super::texts::WORD);

pub(in crate::policy) static PROFILE: Mapping = Mapping {
    what: "a profile",
    name: "profile",
    says: "A bundle of permissions that somebody asks for by name, with values for its parameters: `stayhand grant create --profile`.",
    keys: &[
        must("name", Shape::Text(&NAME), "Unique in the policy."),
        must(
            "allow",
            Shape::OneOrList {
                of: &A_NAME,
                max: GRANT_PERMISSIONS_MAX,
                differ: true,
            },
            "Permissions of this policy. Where their texts have `${name}`, the value of that parameter is put.",
        ),
        may(
            "parameters",
            Shape::Named {
                of: &A_PARAMETER,
                max: PARAMETERS_MAX,
            },
            "What is left to whoever asks, and what it can be.",
        ),
        may(
            "maxDuration",
            Shape::Text(&DURATION),
            "Longest grant of it, from `1s` to `7d`.",
        ),
        may(
            "excludes",
            Shape::Mapping(&EXCLUDES),
            "What nobody has at the same time, whichever of the two came first.",
        ),
    ],
    later: &["approval", "presence", "match", "inputs"],
    has: Has::Anything,
};

pub(in crate::policy) static PARAMETER: Mapping = Mapping {
    what: "a parameter",
    name: "parameter",
    says: "What a value can be. No value is more than a part of one name, word or number.",
    keys: &[
        may(
            "enum",
            Shape::List {
                of: &A_WORD,
                min: 1,
                max: ENUM_MAX,
            },
            "One of these words.",
        ),
        may(
            "integer",
            Shape::Text(&INTEGERS),
            "An integer of this range, `1024-2048`.",
        ),
        may(
            "path",
            texts(&A_PATH),
            "A path that one of these means, such as one below `/srv/**`; absolute, without `.`, `..` and `*`.",
        ),
    ],
    later: &["regex", "default", "string"],
    has: Has::OneOf(&["enum", "integer", "path"]),
};

pub(in crate::policy) static EXCLUDES: Mapping = Mapping {
    what: "excludes",
    name: "excludes",
    says: "What nobody has at the same time.",
    keys: &[
        may(
            "profiles",
            Shape::OneOrList {
                of: &A_NAME,
                max: PROFILES_MAX,
                differ: true,
            },
            "Profiles of this policy.",
        ),
        may(
            "hosts",
            Shape::Named {
                of: &LABEL_VALUES,
                max: LABELS_MAX,
            },
            "Any grant on hosts that have these labels.",
        ),
    ],
    later: &["permissions", "policies"],
    has: Has::SomeOf(&["profiles", "hosts"]),
};

pub(in crate::policy) static GRANTED: Mapping = Mapping {
    what: "a grant of a test",
    name: "granted",
    says: "A profile of this policy, with values for its parameters.",
    keys: &[
        must("profile", Shape::Text(&NAME), "The profile."),
        may(
            "with",
            Shape::Named {
                of: &A_PLAIN_VALUE,
                max: PARAMETERS_MAX,
            },
            "Values of its parameters.",
        ),
    ],
    later: &[],
    has: Has::Anything,
};
