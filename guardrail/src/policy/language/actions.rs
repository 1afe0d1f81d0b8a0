//! The sets of actions of rules and permissions.

use super::{
    Has, Mapping, Shape, may, must,
    shapes::{
        A_CIDR, A_FILE_OPERATION, A_HASH, A_MACHINE, A_NAME, A_NET_OPERATION, A_NUMBER, A_PATH,
        A_PORT, A_PROTOCOL, A_REGEX, A_SOCKET_NAME, A_SUBCOMMAND, A_SYSTEM_OPERATION, AN_ARGUMENT,
        AN_OPTION, ARGUMENTS, texts,
    },
};
use crate::action::{Class, Operation};

/// Clauses of one condition; the kernel compares each with every argument.
pub(in crate::policy) const CLAUSES_MAX: usize = 8;
/// Arguments of a whole list: the kernel keeps no more of one call.
pub(in crate::policy) const EXACT_MAX: usize = 32;

/// The classes that this build enforces.
pub(in crate::policy) const CLASSES: [&str; 4] = ["exec", "file", "net", "system"];

/// What a file operation can be.
pub(in crate::policy) const OF_FILE: [Operation; 13] = [
    Operation::Read,
    Operation::Write,
    Operation::Create,
    Operation::Delete,
    Operation::Rename,
    Operation::Link,
    Operation::Attr,
    Operation::MapExec,
    Operation::Mount,
    Operation::Umount,
    Operation::MoveMount,
    Operation::Remount,
    Operation::BindMount,
];
/// What an operation on the network can be.
pub(in crate::policy) const OF_NET: [Operation; 6] = [
    Operation::Connect,
    Operation::Send,
    Operation::Bind,
    Operation::Listen,
    Operation::Raw,
    Operation::Netlink,
];

/// What an operation on the system can be.
pub(in crate::policy) fn of_system() -> Vec<Operation> {
    let all = Operation::ALL.into_iter();
    all.filter(|one| one.class() == Class::System).collect()
}

pub(in crate::policy) static EXEC: Mapping = Mapping {
    what: "exec",
    name: "exec",
    says: "Programs to run, or to map executable as a loader does. All conditions that are written have to be met.",
    keys: &[
        must(
            "path",
            texts(&A_PATH),
            "Absolute paths of programs, scripts and interpreters. `/**` at the end is everything below; one `*` in a \
             component is any part of one name. A copy elsewhere is another program.",
        ),
        may(
            "args",
            Shape::List {
                of: &AN_ARGUMENT,
                min: 0,
                max: EXACT_MAX + 1,
            },
            "These arguments and no others, each at its place; `*` is any one, `**` at the end any others. For permissions: \
             one option more makes another list.",
        ),
        may(
            "anyArg",
            texts(&AN_ARGUMENT),
            "Some argument matches one of these, wherever it stands.",
        ),
        may(
            "allArgs",
            Shape::List {
                of: &ARGUMENTS,
                min: 1,
                max: CLAUSES_MAX,
            },
            "For each item, some argument matches it, or one of its list.",
        ),
        may(
            "subcommand",
            texts(&A_SUBCOMMAND),
            "The arguments that are no options have these words in this order, with anything between.",
        ),
        may(
            "option",
            texts(&AN_OPTION),
            "An option is given: alone, among other letters, cut short, or with a value.",
        ),
        may(
            "regex",
            texts(&A_REGEX),
            "Some argument contains what one of these regular expressions matches. The kernel asks the agent: prefer the keys \
             above where they do.",
        ),
        may(
            "lineRegex",
            texts(&A_REGEX),
            "The arguments, joined by single spaces, contain what one of these regular expressions matches.",
        ),
        may(
            "sha256",
            texts(&A_HASH),
            "The file has one of these SHA-256 hashes.",
        ),
        may(
            "notSha256",
            texts(&A_HASH),
            "The file has none of these SHA-256 hashes.",
        ),
        may(
            "terminal",
            Shape::Flag,
            "Whether the process has a terminal.",
        ),
        may(
            "parent",
            texts(&A_PATH),
            "One of these programs starts it, without anything in between.",
        ),
        may(
            "ancestor",
            texts(&A_PATH),
            "It descends from one of these programs.",
        ),
    ],
    later: &["argv", "hash", "env", "interpreter"],
    has: Has::Anything,
};

pub(in crate::policy) static FILE: Mapping = Mapping {
    what: "file",
    name: "file",
    says: "What is done to files, directories and mounts.",
    keys: &[
        must(
            "ops",
            texts(&A_FILE_OPERATION),
            "Operations. A creation comes with the write of the open that makes the file: name both.",
        ),
        must(
            "path",
            texts(&A_PATH),
            "Absolute paths. `/**` at the end is everything strictly below; one `*` in a component is any part of one name.",
        ),
    ],
    later: &["content", "owner", "regex"],
    has: Has::Anything,
};

/// Keys of addresses that later builds enforce.
pub(super) const NET_LATER: &[&str] = &["host", "hosts", "dns", "domain", "uid"];

pub(in crate::policy) static NET: Mapping = Mapping {
    what: "net",
    name: "net",
    says: "What is done with sockets: internet addresses (`cidr` or `to`), unix sockets (`path`, `abstract`) or virtual sockets \
           (`vsock`); `raw` and `netlink` have nothing beside `ops`.",
    keys: &[
        must("ops", texts(&A_NET_OPERATION), "Operations."),
        may(
            "cidr",
            texts(&A_CIDR),
            "Address ranges, or single addresses; `::/0` is every address.",
        ),
        may(
            "to",
            texts(&A_NAME),
            "Destinations of these sets, in the place of `cidr`.",
        ),
        may(
            "ports",
            texts(&A_PORT),
            "Ports and ranges of ports; all, if it says nothing.",
        ),
        may(
            "protocol",
            texts(&A_PROTOCOL),
            "Protocols by name or number; all, if it says nothing.",
        ),
        may("path", texts(&A_PATH), "Files of unix sockets."),
        may(
            "abstract",
            texts(&A_SOCKET_NAME),
            "Names of unix sockets that no file has; a `*` at the end for any rest.",
        ),
        may(
            "vsock",
            Shape::Mapping(&VSOCK),
            "Virtual sockets, between a virtual machine and its host.",
        ),
    ],
    later: NET_LATER,
    has: Has::Anything,
};

pub(in crate::policy) static VSOCK: Mapping = Mapping {
    what: "vsock",
    name: "vsock",
    says: "Virtual sockets.",
    keys: &[
        must("cid", texts(&A_MACHINE), "Machines by number, or `any`."),
        may(
            "ports",
            texts(&A_NUMBER),
            "Their ports; all, if it says nothing.",
        ),
    ],
    later: &[],
    has: Has::Anything,
};

pub(in crate::policy) static SYSTEM: Mapping = Mapping {
    what: "system",
    name: "system",
    says: "What is asked of the kernel itself.",
    keys: &[must("ops", texts(&A_SYSTEM_OPERATION), "Operations.")],
    later: &["target", "user", "signal", "command", "path"],
    has: Has::Anything,
};
