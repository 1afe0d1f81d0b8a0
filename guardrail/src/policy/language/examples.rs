//! The tests of a policy: words of rules, where each names one object.

use super::{
    Has, Mapping, Shape,
    actions::{CLASSES, OF_FILE, OF_NET, of_system},
    may, must,
    profiles::GRANTED,
    shapes::{
        A_FILE_OPERATION, A_NAME, A_PLAIN_PATH, A_USER, AN_ARGUMENT_OF_A_CALL, list, texts, words,
    },
    texts::{ADDRESS, MESSAGE, NAME, NUMBER, ONE_PATH, PROTOCOL, SHA256, SOCKET_NAME, TIME, USER},
};
use crate::{
    limits::{FLAGS_PER_RULE_MAX, LABELS_MAX, LIST_MAX},
    policy::Outcome,
};

static A_GRANT: Shape = Shape::Either {
    one: &A_NAME,
    mapping: &GRANTED,
};

pub(in crate::policy) static TEST: Mapping = Mapping {
    what: "a test",
    name: "test",
    says: "One example: who does what, and what has to become of it. What it does not say is not known, and restricts.",
    keys: &[
        may(
            "name",
            Shape::Text(&MESSAGE),
            "Unique in the policy, up to 100 bytes; without one, the action is its name.",
        ),
        must("as", Shape::Text(&USER), "Who acts."),
        may(
            "groups",
            list(&A_USER),
            "The groups that this user is in; none, if it says nothing.",
        ),
        may(
            "at",
            Shape::Text(&TIME),
            "When; not known, if it says nothing.",
        ),
        may(
            "flags",
            Shape::List {
                of: &A_NAME,
                min: 0,
                max: FLAGS_PER_RULE_MAX,
            },
            "The flags that are set: `[]` for none; not known, if it says nothing.",
        ),
        must(
            "expect",
            Shape::Word(|| Outcome::ALL.map(Outcome::as_str).to_vec()),
            "`deny`: the call fails, also for want of a grant. `hold`: the process stops. `throttle`: it goes on and is counted. `alert`: it goes on, and an alert is \
             why it is recorded. `allow`: it goes on in any other way.",
        ),
        may(
            "rule",
            Shape::Text(&NAME),
            "The rule of this policy that has to decide.",
        ),
        may(
            "grants",
            list(&A_GRANT),
            "Permissions of this policy that a live grant carries, and profiles with their values.",
        ),
        may(
            "usedUp",
            list(&A_NAME),
            "Rules of this policy whose rates are used up.",
        ),
        may(
            "host",
            Shape::Named {
                of: &A_NAME,
                max: LABELS_MAX,
            },
            "Labels of the host; without it, every policy counts there.",
        ),
        may(
            "exec",
            Shape::Call {
                program: &A_PLAIN_PATH,
                argument: &AN_ARGUMENT_OF_A_CALL,
                max: LIST_MAX,
            },
            "The program's path and its arguments: `[/usr/bin/nc, -h]`.",
        ),
        may("file", Shape::Mapping(&TEST_FILE), "One attempt on a file."),
        may(
            "net",
            Shape::Mapping(&TEST_NET),
            "One attempt on the network.",
        ),
        may(
            "system",
            Shape::Mapping(&TEST_SYSTEM),
            "One request to the kernel.",
        ),
        may(
            "parent",
            texts(&A_PLAIN_PATH),
            "The program that starts it.",
        )
        .beside("exec"),
        may(
            "ancestors",
            texts(&A_PLAIN_PATH),
            "All programs that it descends from, the nearest first.",
        )
        .beside("exec"),
        may(
            "terminal",
            Shape::Flag,
            "Whether the process has a terminal.",
        )
        .beside("exec"),
        may("sha256", Shape::Text(&SHA256), "What the file hashes to.").beside("exec"),
    ],
    later: &["hosts"],
    has: Has::OneOf(&CLASSES),
};

/// What one attempt does: one operation, or several that one call does at once.
const OPS: Has = Has::OneOf(&["op", "ops"]);

pub(in crate::policy) static TEST_FILE: Mapping = Mapping {
    what: "file",
    name: "testFile",
    says: "One attempt on a file.",
    keys: &[
        may("op", Shape::Word(|| words(&OF_FILE)), "The operation."),
        may(
            "ops",
            texts(&A_FILE_OPERATION),
            "Operations, if one call does several things: `[create, write]`.",
        ),
        must("path", Shape::Text(&ONE_PATH), "The file."),
        may(
            "to",
            Shape::Text(&ONE_PATH),
            "Where a `rename` or a `link` leads.",
        ),
    ],
    later: &[],
    has: OPS,
};

pub(in crate::policy) static TEST_NET: Mapping = Mapping {
    what: "net",
    name: "testNet",
    says: "One attempt on the network.",
    keys: &[
        must("op", Shape::Word(|| words(&OF_NET)), "The operation."),
        may("address", Shape::Text(&ADDRESS), "The internet address."),
        may(
            "path",
            Shape::Text(&ONE_PATH),
            "The file of the unix socket.",
        ),
        may(
            "abstract",
            Shape::Text(&SOCKET_NAME),
            "The name of the unix socket.",
        ),
        may("vsock", Shape::Mapping(&TEST_VSOCK), "The virtual socket."),
        may("port", Shape::Text(&NUMBER), "The port of the address.").beside("address"),
        may(
            "protocol",
            Shape::Text(&PROTOCOL),
            "The protocol; `tcp`, if it says nothing.",
        )
        .beside("address"),
    ],
    later: &[],
    has: Has::Anything,
};

pub(in crate::policy) static TEST_VSOCK: Mapping = Mapping {
    what: "vsock",
    name: "testVsock",
    says: "One virtual socket.",
    keys: &[
        must("cid", Shape::Text(&NUMBER), "The machine's number."),
        must("port", Shape::Text(&NUMBER), "Its port."),
    ],
    later: &[],
    has: Has::Anything,
};

pub(in crate::policy) static TEST_SYSTEM: Mapping = Mapping {
    what: "system",
    name: "testSystem",
    says: "One request to the kernel.",
    keys: &[must(
        "op",
        Shape::Word(|| words(&of_system())),
        "The operation.",
    )],
    later: &[],
    has: Has::Anything,
};
