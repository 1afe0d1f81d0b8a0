//! What rules and permissions name, as text: paths, arguments, addresses, sockets, and all of them in one.

use proptest::prelude::*;

use crate::action::{Class, Operation};

pub(in crate::image::tests) const NAMES: [&str; 4] = ["a", "b", "usr", "aba"];
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

pub(in crate::image::tests) fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(&NAMES[..]), 1..5)
        .prop_map(|names| format!("/{}", names.join("/")))
}

/// Something that is attempted; the root directory, too.
pub(in crate::image::tests) fn place() -> impl Strategy<Value = String> {
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

pub(in crate::image::tests) fn target() -> impl Strategy<Value = String> {
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
pub(in crate::image::tests) const ARGS: [&str; 16] = [
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
pub(in crate::image::tests) fn program() -> impl Strategy<Value = String> {
    prop::sample::select(&["/a", "/usr/a", "/usr/b", "/a/b", "/b/usr/aba"][..])
        .prop_map(str::to_owned)
}

/// What `system` can say.
fn of_system() -> Vec<Operation> {
    let all = system_operations().into_iter();
    all.filter(|operation| operation.class() == Class::System)
        .collect()
}

/// What has no object.
pub(in crate::image::tests) fn system_operations() -> Vec<Operation> {
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
