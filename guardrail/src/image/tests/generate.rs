//! Generated policies (as text, so that the parser is part of every case), leases, trees and attempts.

use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr},
};

use proptest::prelude::*;

use crate::{
    action::{Class, Operation},
    id::{FlagName, GrantId, GroupName, PolicyName, Revision, RuleId, UserName},
    key::PermissionRef,
    policy::{Versioned, explain::TimedLease, parse},
    time::UnixMs,
};

/// Both clocks of every attempt; deadlines lie around it.
pub(super) const NOW_NS: u64 = 1_000;
/// What rules may count in: windows that are open, shut, about to be either, and unlike by the two clocks' times.
const WHENS: [&str; 12] = [
    "",
    "",
    "",
    ", when: { windows: freeze }",
    ", when: { outside: [freeze] }",
    ", when: { windows: [\"Sun 09:00-12:00 UTC\", \"Mon-Fri 09:00-17:00 Europe/Berlin\"] }",
    ", when: { outside: \"Sat 16:00 - Mon 08:00 Europe/Berlin\" }",
    ", when: { windows: \"daily 00:00-12:00 UTC\" }",
    ", when: { outside: \"daily 22:00-13:00 Europe/Berlin\" }",
    ", when: { windows: \"2026-11-29 - 2026-11-29 UTC\" }",
    ", when: { flags: [busy, incident] }",
    ", when: { flags: busy, windows: \"daily 00:00-12:00 UTC\" }",
];
const CALENDAR: &str =
    "  calendar:\n    freeze: [\"2026-11-20 - 2026-11-28 UTC\", \"Sun 11:59-12:00 UTC\"]\n";
/// The wall clock, in seconds since 1970: 2026-11-29, a Sunday, before and at noon in UTC, and the day before.
const TIMES_S: [u64; 4] = [1_795_953_540, 1_795_953_599, 1_795_953_600, 1_795_867_199];

const NAMES: [&str; 4] = ["a", "b", "usr", "aba"];
/// Patterns that overlap in every way, and one name that only patterns meet.
const WILDS: [&str; 6] = ["*", "a*", "*a", "a*a", "ab*ba", "u*"];
const CIDRS: [&str; 8] = [
    "0.0.0.0/0",
    "10.0.0.0/8",
    "10.1.0.0/16",
    "10.1.2.0/24",
    "10.1.2.3",
    "::/0",
    "10.1.2.128/25",
    "2001:db8::/32",
];
const PORTS: [&str; 5] = [
    "",
    ", ports: [80]",
    ", ports: [80, 443]",
    ", ports: [\"70-90\"]",
    ", ports: [22, \"400-500\"]",
];

/// One case.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) sources: Vec<String>,
    pub(super) policies: Vec<Versioned>,
    pub(super) leases: Vec<TimedLease>,
    pub(super) existing: Vec<String>,
    pub(super) renames: Vec<(String, String)>,
    pub(super) attempts: Vec<Tried>,
    /// The wall clock by the boot clock and by TAI
    pub(super) unix: [UnixMs; 2],
    /// Rules whose rates are used up, if they have one
    pub(super) used_up: Vec<(PolicyName, RuleId)>,
    /// Which flags are set, if that is known
    pub(super) flags: Option<Vec<FlagName>>,
}

/// One attempt.
#[derive(Debug, Clone)]
pub(super) struct Tried {
    pub(super) user: UserName,
    pub(super) groups: Vec<GroupName>,
    pub(super) what: What,
}

/// What is tried.
#[derive(Debug, Clone)]
pub(super) enum What {
    Path {
        operations: u32,
        path: String,
        /// Behind `argv[0]`; none for unknown ones
        args: Option<Vec<Vec<u8>>>,
        /// Every byte of the file's hash
        sha256: Option<u8>,
        origin: Origin,
    },
    Ends {
        operations: (u32, u32),
        from: String,
        to: String,
    },
    Address {
        operations: u32,
        ip: IpAddr,
        port: u16,
        protocol: Option<u16>,
    },
    Name {
        operations: u32,
        name: Vec<u8>,
    },
    Vsock {
        operations: u32,
        cid: u32,
        port: u32,
    },
    System {
        operation: Operation,
    },
}

/// The process of an execution.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub(super) terminal: Option<bool>,
    /// Programs that start it, and whether those are all
    pub(super) parents: (Vec<String>, bool),
    /// Everything that it descends from, and whether that is all
    pub(super) ancestors: (Vec<String>, bool),
}

fn origin() -> impl Strategy<Value = Origin> {
    let all = || prop::bool::weighted(0.8);
    let programs = |max| prop::collection::vec(program(), 0..max);
    let terminal = prop::option::weighted(0.8, any::<bool>());
    (terminal, programs(3), programs(5), all(), all()).prop_map(
        |(terminal, parents, others, of_parent, of_all)| {
            let ancestors = [parents.as_slice(), &others].concat();
            Origin {
                terminal,
                parents: (parents, of_parent),
                ancestors: (ancestors, of_parent && of_all),
            }
        },
    )
}

pub(super) fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(&NAMES[..]), 1..5)
        .prop_map(|names| format!("/{}", names.join("/")))
}

/// Something that is attempted; the root directory, too.
fn place() -> impl Strategy<Value = String> {
    prop_oneof![15 => path(), 1 => Just("/".to_owned())]
}

/// A path of a rule in which components may be open.
fn open_path() -> impl Strategy<Value = String> {
    let component = prop_oneof![
        3 => prop::sample::select(&NAMES[..]),
        2 => prop::sample::select(&WILDS[..]),
    ];
    prop::collection::vec(component, 1..5).prop_map(|names| format!("/{}", names.join("/")))
}

fn pattern() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => path(),
        3 => open_path(),
        3 => open_path().prop_map(|path| format!("{path}/**")),
        4 => path().prop_map(|path| format!("{path}/**")),
        2 => Just("/**".to_owned()),
    ]
}

/// A list of paths: a star begins an alias where nothing is quoted.
fn paths_of(patterns: &[String]) -> String {
    joined(patterns.iter().map(|path| format!("\"{path}\"")).collect())
}

fn joined(mut patterns: Vec<String>) -> String {
    patterns.sort();
    patterns.dedup();
    format!("[{}]", patterns.join(", "))
}

fn target() -> impl Strategy<Value = String> {
    let paths = || prop::collection::vec(pattern(), 1..4).prop_map(|patterns| paths_of(&patterns));
    let ops = prop::sample::subsequence(&FILE_OPS[..], 1..=FILE_OPS.len())
        .prop_map(|ops| format!("[{}]", ops.join(", ")));
    let net_ops = prop::sample::subsequence(&NET_OPS[..], 1..=NET_OPS.len())
        .prop_map(|ops| format!("[{}]", ops.join(", ")));
    let cidrs = prop::collection::vec(
        prop::sample::select(&CIDRS[..]).prop_map(|cidr| format!("\"{cidr}\"")),
        1..3,
    );
    prop_oneof![
        paths().prop_map(|paths| format!("exec: {{ path: {paths} }}")),
        (paths(), condition())
            .prop_map(|(paths, condition)| format!("exec: {{ path: {paths}, {condition} }}")),
        (ops, paths()).prop_map(|(ops, paths)| format!("file: {{ ops: {ops}, path: {paths} }}")),
        (
            net_ops,
            cidrs.prop_map(joined),
            prop::sample::select(&PORTS[..]),
            prop::sample::select(&PROTOCOLS[..]),
        )
            .prop_map(|(ops, cidrs, ports, protocols)| format!(
                "net: {{ ops: {ops}, cidr: {cidrs}{ports}{protocols} }}"
            )),
        (socket_ops(2), paths())
            .prop_map(|(ops, paths)| format!("net: {{ ops: [{ops}], path: {paths} }}")),
        (
            socket_ops(3),
            prop::sample::subsequence(&NAME_PATTERNS[..], 1..=3)
        )
            .prop_map(|(ops, names)| format!(
                "net: {{ ops: [{ops}], abstract: [{}] }}",
                names.join(", ")
            )),
        (socket_ops(3), prop::sample::select(&VSOCKS[..]))
            .prop_map(|(ops, vsock)| format!("net: {{ ops: [{ops}], vsock: {{ {vsock} }} }}")),
        prop::sample::subsequence(&["raw", "netlink"][..], 1..=2)
            .prop_map(|ops| format!("net: {{ ops: [{}] }}", ops.join(", "))),
        (
            prop::sample::subsequence(&["connect", "send"][..], 1..=2),
            prop::sample::subsequence(&["wide", "near", "web"][..], 1..=3),
            prop::sample::select(&["", ", ports: [80, \"400-500\"]"][..]),
        )
            .prop_map(|(ops, sets, ports)| {
                let (ops, sets) = (ops.join(", "), sets.join(", "));
                format!("net: {{ ops: [{ops}], to: [{sets}]{ports} }}")
            }),
        prop::sample::subsequence(of_system(), 1..4).prop_map(|ops| {
            let words: Vec<&str> = ops.iter().map(|operation| operation.as_str()).collect();
            format!("system: {{ ops: [{}] }}", words.join(", "))
        }),
    ]
}

/// Few words, so that patterns meet arguments, and some that only differ in what forms of an option take.
const ARGS: [&str; 16] = [
    "scale",
    "scaled",
    "get",
    "-r",
    "-xrf",
    "-R",
    "--recursive",
    "--rec",
    "--rec=1",
    "--recursively",
    "--",
    "-",
    "of=/dev/sda",
    "a.sql",
    "",
    "push",
];
const ARG_PATTERNS: [&str; 12] = [
    "scale",
    "scale*",
    "s*",
    "get",
    "*.sql",
    "a*.sql",
    "of=/dev/*",
    "*a",
    "--rec*",
    "-*",
    "push",
    "--r",
];

const EXACT: [&str; 6] = ["*", "scale", "s*", "get", "--rec*", "*a"];

/// A condition on arguments and the process, as keys of `exec`.
fn condition() -> impl Strategy<Value = String> {
    let list = |words: &'static [&'static str], max: usize| {
        prop::sample::subsequence(words, 1..=max).prop_map(|words| {
            let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
            format!("[{}]", quoted.join(", "))
        })
    };
    let clauses = (
        list(&ARG_PATTERNS, 4).prop_map(|list| format!("anyArg: {list}")),
        list(&ARG_PATTERNS, 2).prop_map(|list| format!("allArgs: {list}")),
        list(&["scale", "get s*", "push get", "*a"], 3)
            .prop_map(|list| format!("subcommand: {list}")),
        list(&["-r", "-f", "--recursive", "--rec"], 3).prop_map(|list| format!("option: {list}")),
        prop::collection::vec(prop::sample::select(&EXACT[..]), 0..4).prop_map(|items| {
            let more = if items.len() % 2 == 0 { "" } else { ", \"**\"" };
            let quoted: Vec<String> = items.iter().map(|item| format!("\"{item}\"")).collect();
            format!("args: [{}{more}]", quoted.join(", "))
        }),
        prop::bool::ANY.prop_map(|wanted| format!("terminal: {wanted}")),
        programs().prop_map(|list| format!("parent: {list}")),
        programs().prop_map(|list| format!("ancestor: {list}")),
        facts(),
        // Some on the process only, on what is asked only, or on arguments only.
        prop_oneof![
            1..32u16,
            (1..8u16).prop_map(|process| process << 5),
            (1..16u16).prop_map(|facts| facts << 8),
            1..4_096u16
        ],
    );
    clauses.prop_map(|clauses| {
        let (any, all, subcommand, option, exact, terminal, parent, ancestor, facts, which) =
            clauses;
        let own = [
            any, all, subcommand, option, exact, terminal, parent, ancestor,
        ];
        let chosen: Vec<String> = own
            .into_iter()
            .chain(facts)
            .enumerate()
            .filter(|(bit, _)| which >> bit & 1 == 1)
            .map(|(_, clause)| clause)
            .collect();
        chosen.join(", ")
    })
}

const REGEXES: [&str; 6] = ["^s", "l.*t", "[-]r", "^get push$", "a$", "(?i)SCALE"];

/// One of each kind that the kernel asks about.
fn facts() -> impl Strategy<Value = [String; 4]> {
    let regexes = |key: &'static str| {
        prop::sample::subsequence(&REGEXES[..], 1..=2).prop_map(move |words| {
            let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
            format!("{key}: [{}]", quoted.join(", "))
        })
    };
    let all = (
        regexes("regex"),
        regexes("lineRegex"),
        hashes("sha256"),
        hashes("notSha256"),
    );
    all.prop_map(|(regex, line, sha, not)| [regex, line, sha, not])
}

/// Hashes of one byte over and over.
fn hashes(key: &'static str) -> impl Strategy<Value = String> {
    prop::sample::subsequence(&["01", "02", "03"][..], 1..=2).prop_map(move |bytes| {
        let hashes: Vec<String> = bytes
            .iter()
            .map(|byte| format!("\"{}\"", byte.repeat(32)))
            .collect();
        format!("{key}: [{}]", hashes.join(", "))
    })
}

/// Programs of a condition: one, or a list.
fn programs() -> impl Strategy<Value = String> {
    let list = prop::collection::vec(program(), 1..3);
    prop_oneof![program(), list.prop_map(joined)]
}

/// Few, so that processes come from those that conditions name; rules name them, too, and patterns mean them.
fn program() -> impl Strategy<Value = String> {
    prop::sample::select(&["/a", "/usr/a", "/usr/b", "/a/b", "/b/usr/aba"][..])
        .prop_map(str::to_owned)
}

fn args() -> impl Strategy<Value = Option<Vec<Vec<u8>>>> {
    let word = prop::sample::select(&ARGS[..]).prop_map(|word| word.as_bytes().to_vec());
    prop_oneof![
        8 => prop::collection::vec(word, 0..5).prop_map(Some),
        1 => Just(None),
    ]
}

/// What `system` can say.
fn of_system() -> Vec<Operation> {
    let all = system_operations().into_iter();
    all.filter(|operation| operation.class() == Class::System)
        .collect()
}

/// What has no object.
fn system_operations() -> Vec<Operation> {
    let all = Operation::ALL.into_iter();
    all.filter(|operation| operation.bit() & stayhand_agent_ebpf::abi::code::op::SYSTEM != 0)
        .collect()
}

const FILE_OPS: [&str; 13] = [
    "read",
    "write",
    "create",
    "delete",
    "rename",
    "link",
    "attr",
    "map-exec",
    "mount",
    "umount",
    "move-mount",
    "remount",
    "bind-mount",
];
const NET_OPS: [&str; 4] = ["connect", "send", "bind", "listen"];
const PROTOCOLS: [&str; 5] = [
    "",
    "",
    ", protocol: tcp",
    ", protocol: [udp, 6]",
    ", protocol: icmp",
];
const NAME_PATTERNS: [&str; 6] = ["\"*\"", "a", "\"a*\"", "ab", "\"ab*\"", "\"abc\""];
const VSOCKS: [&str; 5] = [
    "cid: any",
    "cid: 2",
    "cid: [2, 3], ports: 80",
    "cid: 2, ports: [80, 81]",
    "cid: [any, 3]",
];

/// Some of the first operations on sockets.
fn socket_ops(count: usize) -> impl Strategy<Value = String> {
    prop::sample::subsequence(NET_OPS.get(..count).unwrap(), 1..=count)
        .prop_map(|ops| ops.join(", "))
}
const SETS: &str = "  sets:\n    wide: { cidr: [10.0.0.0/8, \"2001:db8::/32\"] }\n    near: { cidr: 10.1.2.0/24 }\n    \
                    web: { cidr: [10.1.0.0/16], ports: [80, 443] }\n";
const DEFAULTS: [&str; 8] = [
    "",
    "",
    "",
    "  default: allow\n",
    "  default: deny\n",
    "  default: hold\n",
    "  default: { exec: deny, file: hold }\n",
    "  default: { net: deny, system: hold, timeout: 2m, message: not here }\n",
];
const EFFECTS: [&str; 8] = [
    "deny",
    "require-grant",
    "hold",
    "throttle, rate: { limit: 3, per: 1m, then: deny }",
    "throttle, rate: { limit: 1, per: 1d, then: hold }, timeout: 1m",
    "alert",
    "allow",
    "allow, record: true",
];
const SUBJECTS: [&str; 4] = [
    "{ groups: [dev] }",
    "{ groups: [dev, ops] }",
    "{ users: [alice] }",
    "{ groups: [ops], users: [bob] }",
];

/// Permissions with parameters, and which ones they use.
const TEMPLATES: [(&str, &[&str]); 8] = [
    (
        "file: { ops: [read, write, create], path: \"/${name}/**\" }",
        &["name"],
    ),
    (
        "file: { ops: [create, write, delete, rename], path: [\"${dir}/**\", \"${dir}\"] }",
        &["dir"],
    ),
    (
        "exec: { path: \"${dir}/*\", subcommand: \"get ${word}\" }",
        &["dir", "word"],
    ),
    (
        "exec: { path: \"/**\", args: [\"${word}\", \"**\"] }",
        &["word"],
    ),
    (
        "exec: { path: [\"/**\"], anyArg: [\"${word}*\"] }",
        &["word"],
    ),
    (
        "net: { ops: [connect, send], cidr: 10.0.0.0/8, ports: \"${port}\" }",
        &["port"],
    ),
    ("net: { ops: [connect], abstract: \"${name}*\" }", &["name"]),
    (
        "file: { ops: [read, write, create, delete], path: [\"/${name}*/*/**\", \"/*/${name}\"] }",
        &["name"],
    ),
];
const PROFILE: &str = "    - { name: care, allow: [ALLOW], parameters: { name: { enum: [a, usr, aba] }, word: { enum: [scale, get, push] }, \
                       dir: { path: [/a/**, /usr, \"/ab*/**\"] }, port: { integer: 70-500 } } }\n";
/// Values of each parameter: those that it can have, and those that would be more than a value.
const VALUES: [(&str, &[&str]); 4] = [
    ("name", &["a", "usr", "aba", "b", "*", "..", "a/b", "a,b"]),
    (
        "word",
        &["scale", "get", "push", "*", "**", "get push", "-r"],
    ),
    (
        "dir",
        &[
            "/a/b",
            "/usr",
            "/aba/usr",
            "/a/a/b",
            "/b",
            "/",
            "/a",
            "/**",
            "/a/**",
            "/a/*",
            "/a/../usr",
            "/usr/",
            "",
        ],
    ),
    (
        "port",
        &["80", "443", "70", "22", "80-500", "1-65535", "080", "any"],
    ),
];

/// Some permissions with parameters and the profile that gives them, if there are any.
fn profile() -> impl Strategy<Value = (String, String)> {
    let indices: Vec<usize> = (0..TEMPLATES.len()).collect();
    prop::sample::subsequence(indices, 0..=8).prop_map(|indices| {
        if indices.is_empty() {
            return (String::new(), String::new());
        }
        let each = indices.iter().map(|index| {
            let (target, _) = TEMPLATES.get(*index).unwrap();
            format!("    with{index}: {{ {target} }}\n")
        });
        let names: Vec<String> = indices.iter().map(|index| format!("with{index}")).collect();
        let profile = PROFILE.replace("ALLOW", &names.join(", "));
        (each.collect(), format!("  profiles:\n{profile}"))
    })
}

/// What a grant carries: a permission, or one with values of which some are none.
fn carried() -> impl Strategy<Value = PermissionRef> {
    let policy = || prop::sample::select(&["p0", "p0", "p1", "p2", "p3"][..]);
    let plain = prop::sample::select(&["perm0", "perm1", "perm2", "with0"][..]);
    let plain = (policy(), plain).prop_map(|(policy, permission)| {
        PermissionRef::plain(policy.parse().unwrap(), permission.parse().unwrap())
    });
    // Good ones come first, and are mostly taken.
    let place = || prop_oneof![9 => 0..3usize, 1 => 0..16usize];
    let with_values = (policy(), 0..TEMPLATES.len(), place(), place()).prop_map(
        |(policy, index, first, second)| {
            let (_, uses) = TEMPLATES.get(index).unwrap();
            let pairs = uses.iter().zip([first, second]).map(|(name, place)| {
                let (_, values) = VALUES.iter().find(|(one, _)| one == name).unwrap();
                let value = values.get(place % values.len()).unwrap();
                (name.parse().unwrap(), (*value).to_owned())
            });
            PermissionRef {
                policy: policy.parse().unwrap(),
                permission: format!("with{index}").parse().unwrap(),
                values: pairs.collect(),
            }
        },
    );
    prop_oneof![1 => plain, 2 => with_values]
}

fn policy(name: &'static str) -> impl Strategy<Value = String> {
    let permissions = prop::collection::vec(target(), 0..4);
    let scope = prop_oneof![1 => target().prop_map(Some), 1 => Just(None)];
    let when = prop::sample::select(&WHENS[..]);
    let effect = prop::sample::select(&EFFECTS[..]);
    let rules = prop::collection::vec((effect, scope, 0..4usize, when), 1..6);
    let subjects = prop::sample::select(&SUBJECTS[..]);
    let mode = prop_oneof![3 => Just("enforce"), 1 => Just("monitor")];
    let default = prop::sample::select(&DEFAULTS[..]);
    (subjects, mode, default, permissions, rules, profile()).prop_map(move |(subjects, mode, default, permissions, rules, profile)| {
        let mut text = format!(
            "apiVersion: stayhand/v1\nkind: Policy\nmetadata: {{ name: {name} }}\nspec:\n  mode: {mode}\n  subjects: {subjects}\n{default}{SETS}{CALENDAR}"
        );
        for (index, target) in permissions.iter().enumerate() {
            let head = if index == 0 { "  permissions:\n" } else { "" };
            writeln!(text, "{head}    perm{index}: {{ {target} }}").unwrap();
        }
        let (templates, profiles) = profile;
        if permissions.is_empty() && !templates.is_empty() {
            text.push_str("  permissions:\n");
        }
        text.push_str(&templates);
        text.push_str(&profiles);
        text.push_str("  rules:\n");
        for (index, (effect, scope, permission, when)) in rules.iter().enumerate() {
            let scope = match scope {
                Some(target) => target.clone(),
                None if *permission < permissions.len() => format!("permission: perm{permission}"),
                None => "exec: { path: /b/** }".to_owned(),
            };
            writeln!(text, "    - {{ id: r{index}, effect: {effect}, {scope}{when} }}").unwrap();
        }
        text
    })
}

/// The first of the `WHENS` that says something of flags.
const FLAGGED: usize = 10;

/// A policy of a host's own floor, which says nothing that somebody else could lift.
pub(super) fn floor() -> impl Strategy<Value = Versioned> {
    let when = prop::sample::select(&WHENS[..FLAGGED]);
    let rules = prop::collection::vec((target(), when), 1..4);
    (prop::sample::select(&SUBJECTS[..]), rules).prop_map(|(subjects, rules)| {
        let mut text = format!(
            "apiVersion: stayhand/v1\nkind: Policy\nmetadata: {{ name: floor.z }}\nspec:\n  subjects: {subjects}\n{SETS}{CALENDAR}  rules:\n"
        );
        for (index, (target, when)) in rules.iter().enumerate() {
            writeln!(text, "    - {{ id: r{index}, effect: deny, {target}{when} }}").unwrap();
        }
        let policy = parse(&text).unwrap_or_else(|findings| panic!("{findings:?}\n{text}"));
        Versioned { revision: Revision(0), policy }
    })
}

fn lease() -> impl Strategy<Value = TimedLease> {
    let user = prop::sample::select(&["alice", "alice", "bob"][..]);
    // Over, about to be over this very nanosecond, live.
    let deadline = || prop_oneof![1 => Just(0), 1 => Just(NOW_NS - 1), 1 => Just(NOW_NS), 5 => Just(NOW_NS + 1), 5 => Just(u64::MAX)];
    (1u128..6, user, carried(), deadline(), deadline()).prop_map(
        |(grant, user, carried, boot, tai)| TimedLease {
            grant: GrantId(uuid::Uuid::from_u128(grant)),
            user: user.parse().unwrap(),
            permissions: vec![carried],
            boot_deadline_ns: boot,
            tai_deadline_ns: tai,
        },
    )
}

const WHO: &[(&str, &[&str])] = &[
    ("alice", &["dev"]),
    ("alice", &["dev", "ops"]),
    ("bob", &["ops"]),
    ("bob", &["dev", "ops"]),
    ("carol", &[]),
];

fn attempt() -> impl Strategy<Value = Tried> {
    use stayhand_agent_ebpf::abi::code::op;
    // What the hooks ask, see `agent-ebpf/src/hooks`.
    let operations = prop::sample::select(
        &[
            op::EXEC,
            op::EXEC,
            op::WRITE,
            op::READ,
            op::READ | op::WRITE,
            op::CREATE,
            op::CREATE | op::WRITE,
            op::DELETE,
            op::ATTR,
            op::MAP_EXEC,
            op::MOUNT,
            op::MOUNT | op::BIND_MOUNT,
            op::UMOUNT,
            op::MOVE_MOUNT,
            op::REMOUNT,
            op::BIND_MOUNT,
            op::CONNECT,
            op::CONNECT,
            op::SEND,
            op::CONNECT | op::SEND,
        ][..],
    );
    let ends = prop::sample::select(
        &[
            (op::RENAME | op::DELETE, op::RENAME | op::CREATE),
            (
                op::RENAME | op::DELETE,
                op::RENAME | op::CREATE | op::WRITE | op::DELETE,
            ),
            (op::LINK, op::LINK | op::CREATE),
        ][..],
    );
    let net =
        || prop::sample::select(&[op::CONNECT, op::CONNECT, op::SEND, op::BIND, op::LISTEN][..]);
    let protocol =
        prop::sample::select(&[Some(6), Some(6), Some(17), Some(1), Some(132), None][..]);
    let name = prop::sample::select(&["", "a", "ab", "abc", "abcd", "b", "a\0"][..]);
    let address = prop_oneof![
        2 => (0u8..4, 0u8..4, any::<u8>()).prop_map(|(b, c, d)| IpAddr::V4(Ipv4Addr::new(10, b, c, d))),
        2 => prop::sample::select(&["10.1.2.3", "10.1.2.200", "192.0.2.1", "2001:db8::1", "::1"][..])
            .prop_map(|text| text.parse().unwrap()),
    ];
    let port = prop::sample::select(&[22u16, 70, 80, 90, 91, 443, 500, 8080][..]);
    let what = prop_oneof![
        3 => (operations, place(), args(), prop::option::of(1u8..4), origin())
            .prop_map(|(operations, path, args, sha256, origin)| What::Path {
                operations,
                path,
                args,
                sha256,
                origin,
            }),
        1 => (ends, path(), path())
            .prop_map(|(operations, from, to)| What::Ends { operations, from, to }),
        2 => (net(), address, port, protocol)
            .prop_map(|(operations, ip, port, protocol)| What::Address { operations, ip, port, protocol }),
        1 => (net(), name)
            .prop_map(|(operations, name)| What::Name { operations, name: name.as_bytes().to_vec() }),
        1 => (net(), 1u32..5, prop::sample::select(&[80u32, 81, 90_000][..]))
            .prop_map(|(operations, cid, port)| What::Vsock { operations, cid, port }),
        1 => prop::sample::select(system_operations())
            .prop_map(|operation| What::System { operation }),
    ];
    let who = prop::sample::select(WHO);
    (who, what).prop_map(|((user, groups), what)| Tried {
        user: user.parse().unwrap(),
        groups: groups.iter().map(|group| group.parse().unwrap()).collect(),
        what,
    })
}

/// Whole cases. `moving` says whether directories are renamed after the image was installed.
pub(crate) fn case(moving: bool) -> impl Strategy<Value = Case> {
    let policies = (
        policy("p0"),
        policy("p1"),
        policy("p2"),
        policy("p3"),
        1..5usize,
    );
    let sources = policies
        .prop_map(|(a, b, c, d, count)| [a, b, c, d].into_iter().take(count).collect::<Vec<_>>());
    let renames = prop::collection::vec((path(), path()), if moving { 1..4 } else { 0..1 });
    let existing = prop::collection::vec(path(), 0..12);
    let leases = prop::collection::vec(lease(), 0..24);
    (
        sources,
        leases,
        existing,
        renames,
        prop::collection::vec(attempt(), 1..8),
        wall_clocks(),
        used_up(),
        prop::option::of(prop::sample::subsequence(
            vec!["busy", "incident", "other"],
            0..=3,
        )),
    )
        .prop_map(
            |(sources, leases, existing, renames, attempts, unix, used_up, flags)| {
                let read = |source: &String| {
                    parse(source).unwrap_or_else(|findings| panic!("{findings:?}\n{source}"))
                };
                let number = |(index, policy)| Versioned {
                    revision: Revision(index),
                    policy,
                };
                let policies = (1u64..).zip(sources.iter().map(read)).map(number).collect();
                Case {
                    sources,
                    policies,
                    leases,
                    existing,
                    renames,
                    attempts,
                    unix,
                    used_up,
                    flags: flags.map(|set| set.iter().map(|flag| flag.parse().unwrap()).collect()),
                }
            },
        )
}

/// Some of the rules that policies can have.
fn used_up() -> impl Strategy<Value = Vec<(PolicyName, RuleId)>> {
    let rule = (0..4u8, 0..6u8).prop_map(|(policy, rule)| {
        let policy: PolicyName = format!("p{policy}").parse().unwrap();
        (policy, format!("r{rule}").parse().unwrap())
    });
    prop::collection::vec(rule, 0..16)
}

/// By two clocks, which mostly agree.
fn wall_clocks() -> impl Strategy<Value = [UnixMs; 2]> {
    let time = || prop::sample::select(&TIMES_S[..]).prop_map(|seconds| UnixMs(seconds * 1_000));
    prop_oneof![
        3 => time().prop_map(|time| [time; 2]),
        1 => (time(), time()).prop_map(|(one, other)| [one, other]),
    ]
}
