//! Generated policies (as text, so that the parser is part of every case), leases, trees and attempts.

mod targets;
mod tried;

use std::fmt::Write as _;

use proptest::prelude::*;

pub(super) use self::tried::{Origin, Tried, What};
use self::{
    targets::{path, target},
    tried::attempt,
};

use crate::{
    id::{FlagName, GrantId, PolicyName, Revision, RuleId},
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
    "  default: { net: deny, system: hold, timeout: 2m, message: not here, sensitivity: high }\n",
];
const EFFECTS: [&str; 8] = [
    "deny, sensitivity: critical",
    "require-grant",
    "hold",
    "throttle, rate: { limit: 3, per: 1m, then: deny }",
    "throttle, rate: { limit: 1, per: 1d, then: hold }, timeout: 1m, sensitivity: low",
    "alert",
    "allow",
    "allow, record: true, sensitivity: medium",
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
