//! What was seen is allowed, and nothing else.

use std::collections::BTreeSet;

use proptest::{prelude::*, sample::select, test_runner::TestCaseError};

use super::*;
use crate::{
    action::{Object, Operation},
    event::{Arguments, Decided, RuleRef},
    id::Revision,
    policy::{
        Outcome, Policy, Versioned, check, compile, parse,
        replay::{Replay, Told},
    },
    seeded,
};

const MIN: usize = 3;

fn path(path: &str) -> Object {
    Object::Path {
        bytes: path.as_bytes().to_vec(),
    }
}

/// What a default in monitor mode would have denied to alice.
fn seen(operation: Operation, object: Object) -> Recorded {
    let rule = RuleRef {
        policy: "watch".parse().unwrap(),
        revision: Revision(1),
        rule: "default-exec".parse().unwrap(),
    };
    Recorded {
        time: UnixMs(1_795_222_183_512),
        decision: Decided {
            reason: Reason::WouldHave,
            rule: Some(rule),
            ..Decided::of_alice(operation, object)
        },
    }
}

fn ran(words: &[&str]) -> Recorded {
    let Recorded { time, decision } = seen(Operation::Exec, path(words[0]));
    Recorded {
        time,
        decision: decision.with_arguments(words),
    }
}

fn options() -> Options {
    Options {
        name: "learned".parse().unwrap(),
        from: None,
        names_min: MIN,
        subcommands: false,
    }
}

fn proposed(options: Options, all: &[Recorded]) -> Proposal {
    let mut learner = Learner::new(options);
    for one in all {
        learner.add(one);
    }
    learner.proposal().unwrap()
}

/// The rules without their comments and ids.
fn rules(proposal: &Proposal) -> Vec<String> {
    let lines = proposal.source.lines().filter_map(|line| {
        let rule = line.strip_prefix("    - { id: ")?.strip_suffix(" }")?;
        Some(rule.split_once(", effect: allow, ")?.1.to_owned())
    });
    lines.collect()
}

fn written(directory: &str, names: usize) -> Vec<Recorded> {
    let each = 0..names;
    each.map(|name| seen(Operation::Write, path(&format!("{directory}/{name}"))))
        .collect()
}

#[test]
fn a_proposal_says_how_often_by_whom_where_and_when_last() {
    let mut later = ran(&["/usr/bin/psql", "-c", "x"]);
    later.time = UnixMs(1_795_222_999_000);
    later.decision.host = "db2".parse().unwrap();
    let found = proposed(options(), &[ran(&["/usr/bin/psql"]), later]);
    let wanted = "\
# Proposed from 2 recorded decisions that watch would have stopped. Read each rule: what was done need not be right.
# What those policies allow themselves was not recorded, and is not in here.
# without `default: { exec: deny }`: nothing would start, because what programs need was not recorded; put the rules into the policy that recorded them
apiVersion: stayhand/v1
kind: Policy
metadata: { name: learned }
spec:
  mode: monitor
  subjects: { users: [alice] }
  rules:
    # 2 times, last 2026-11-21T01:03:19.000Z; by alice; on db1, db2
    - { id: exec-1, effect: allow, exec: { path: /usr/bin/psql } }
";
    assert_eq!(found.source, wanted);
    assert_eq!((found.learned, found.rules), (2, 1));
}

#[test]
fn names_become_a_directory_where_enough_were_seen() {
    assert_eq!(
        rules(&proposed(options(), &written("/srv/a", MIN - 1))),
        [
            "file: { ops: [write, read], path: /srv/a/0 }",
            "file: { ops: [write, read], path: /srv/a/1 }"
        ]
    );
    let deeper = seen(Operation::Write, path("/srv/a/b/c"));
    let also = seen(Operation::Delete, path("/srv/a/0"));
    let all = [written("/srv/a", MIN), vec![deeper, also]].concat();
    assert_eq!(
        rules(&proposed(options(), &all)),
        [
            "file: { ops: [delete], path: /srv/a/0 }",
            "file: { ops: [write, read], path: /srv/a/* }",
            "file: { ops: [write, read], path: /srv/a/b/c }",
        ]
    );
}

#[test]
fn names_in_or_above_a_sensitive_directory_stay_names_and_that_is_said() {
    for directory in [
        "",
        "/etc",
        "/etc/app",
        "/root/x",
        "/home",
        "/home/a",
        "/home/a/.ssh",
        "/usr",
        "/usr/bin",
        "/run/app",
        "/var/spool/cron/crontabs",
        "/proc/1",
        "/var/lib/app",
    ] {
        let found = proposed(options(), &written(directory, MIN));
        assert_eq!(found.rules, MIN, "{directory}");
        let shown = if directory.is_empty() { "/" } else { directory };
        let wanted =
            format!("# not taken together, 3 names: {shown} is sensitive, or has a name that is\n");
        assert!(found.source.contains(&wanted), "{}", found.source);
    }
    let each = |operation, directory: &str| {
        let all: Vec<Recorded> = (0..MIN)
            .map(|name| seen(operation, path(&format!("{directory}/{name}"))))
            .collect();
        proposed(options(), &all).rules
    };
    assert_eq!(each(Operation::Read, "/usr/share/x"), 1);
    assert_eq!(each(Operation::Read, "/home/a/.ssh"), MIN);
    assert_eq!(each(Operation::MapExec, "/usr/lib/x"), 1);
    assert_eq!(each(Operation::MapExec, "/srv/x"), MIN);
}

#[test]
fn what_a_rule_would_allow_on_more_than_was_seen_is_left_out_with_its_reason() {
    let request = || Object::Request {
        words: String::new(),
    };
    let address = |port, protocol| Object::Address {
        ip: "10.0.0.1".parse().unwrap(),
        port,
        protocol,
    };
    let mut cut = ran(&["/x"]);
    cut.decision.object_cut = true;
    let mut by_rule = ran(&["/x"]);
    if let Some(rule) = &mut by_rule.decision.rule {
        rule.rule = "no-netcat".parse().unwrap();
    }
    let mut nameless = ran(&["/x"]);
    nameless.decision.user = None;
    for (one, why) in [
        (seen(Operation::Ptrace, request()), Left::NoObject),
        (seen(Operation::Netlink, request()), Left::NoObject),
        (by_rule, Left::Rule),
        (cut, Left::Path),
        (ran(&["memfd:x"]), Left::Path),
        (ran(&["/x\n"]), Left::Unnameable),
        (seen(Operation::Read, path("/a//b")), Left::Unnameable),
        (
            seen(
                Operation::Connect,
                Object::Name {
                    bytes: b"a*".to_vec(),
                },
            ),
            Left::Unnameable,
        ),
        (seen(Operation::Send, address(1, None)), Left::Port),
        (seen(Operation::Bind, address(0, Some(6))), Left::Port),
        (nameless, Left::Nameless),
    ] {
        let mut learner = Learner::new(options());
        assert!(!learner.add(&one), "{one:?}");
        assert_eq!(learner.left, BTreeMap::from([(why, 1)]), "{one:?}");
        assert!(learner.add(&ran(&["/kept"])));
        let source = learner.proposal().unwrap().source;
        assert!(
            source.contains(&format!("# left out, 1 time: {why}\n")),
            "{source}"
        );
    }
    // What was not recorded by monitor mode, or by another policy, is nobody's to learn from.
    let mut alert = ran(&["/x"]);
    alert.decision.reason = Reason::RuleAlert;
    let mut learner = Learner::new(options());
    assert!(!learner.add(&alert));
    assert_eq!(learner.clone().proposal(), None);
    learner.options.from = Some("other".parse().unwrap());
    assert!(!learner.add(&ran(&["/x"])));
    learner.options.from = Some("watch".parse().unwrap());
    assert!(learner.add(&ran(&["/x"])));
}

#[test]
fn arguments_count_only_if_asked_and_then_the_first_alone() {
    let options = || Options {
        subcommands: true,
        ..options()
    };
    let all = [
        ran(&["/k", "get", "pods"]),
        ran(&["/k", "get", "nodes"]),
        ran(&["/k"]),
        ran(&["/k", "a*\\"]),
    ];
    assert_eq!(
        rules(&proposed(options(), &all)),
        [
            "exec: { path: /k, args: [] }",
            "exec: { path: /k, subcommand: [\"a\\\\*\\\\\\\\\"] }",
            "exec: { path: /k, subcommand: [get] }"
        ]
    );
    let library = seen(Operation::MapExec, path("/usr/lib/x/l.so"));
    let found = proposed(options(), &[&all[..], &[library]].concat());
    let policy = parse(&found.source).unwrap();
    for (words, wanted) in [
        (&["/k", "get", "x"][..], Outcome::Allow),
        (&["/k"], Outcome::Allow),
        (&["/k", "delete"], Outcome::Deny),
        (&["/k", "-n", "get"], Outcome::Deny),
        (&["/k", "ab\\"], Outcome::Deny),
    ] {
        assert_eq!(outcome(&policy, &ran(words)), Some(wanted), "{words:?}");
    }
    let mut learner = Learner::new(options());
    let mut redacted = ran(&["/k", "get"]);
    redacted.decision.arguments = Arguments::Redacted;
    assert!(!learner.add(&redacted));
    assert!(!learner.add(&ran(&["/k", "-n", "x", "get"])));
    assert!(!learner.add(&ran(&["/k", "get pods"])));
    let left = BTreeMap::from([(Left::Arguments, 1), (Left::OptionFirst, 2)]);
    assert_eq!(learner.left, left);
}

#[test]
fn destinations_are_address_and_port_and_a_rule_for_each() {
    let address = |port, protocol| Object::Address {
        ip: "2001:db8::1".parse().unwrap(),
        port,
        protocol: Some(protocol),
    };
    let all = [
        seen(Operation::Connect, address(443, 6)),
        seen(Operation::Send, address(7, 132)),
        seen(Operation::Connect, address(7, 132)),
        seen(Operation::Send, address(0, 58)),
        seen(Operation::Connect, path("/run/x.sock")),
        seen(
            Operation::Connect,
            Object::Name {
                bytes: b"null".to_vec(),
            },
        ),
        seen(Operation::Connect, Object::Vsock { cid: 2, port: 22 }),
    ];
    assert_eq!(
        rules(&proposed(options(), &all)),
        [
            "net: { ops: [connect, send], cidr: \"2001:db8::1\", ports: [7], protocol: sctp }",
            "net: { ops: [connect], abstract: \"null\" }",
            "net: { ops: [connect], cidr: \"2001:db8::1\", ports: [443], protocol: tcp }",
            "net: { ops: [connect], path: /run/x.sock }",
            "net: { ops: [connect], vsock: { cid: 2, ports: 22 } }",
            "net: { ops: [send], cidr: \"2001:db8::1\", protocol: icmpv6 }",
        ]
    );
}

#[test]
fn beyond_the_bound_the_most_frequent_are_kept() {
    let one = |number: usize| seen(Operation::Read, path(&format!("/etc/{number}")));
    let all: Vec<Recorded> = (0..=RULES_MAX).map(one).chain([one(7)]).collect();
    let found = proposed(options(), &all);
    assert_eq!(found.rules, RULES_MAX);
    assert_eq!(found.left, BTreeMap::from([(Left::TooMany, 1)]));
    assert!(found.source.contains("path: /etc/7 }"));
    parse(&found.source).unwrap();
}

/// Directories in which the generator makes names, and whether names there may be taken together for reading, and for all.
const DIRECTORIES: [(&str, bool, bool); 7] = [
    ("/srv/a", true, true),
    ("/srv/a/b", true, true),
    ("/var/log/x*?\\", true, true),
    ("/usr/bin", true, false),
    ("/etc/app", false, false),
    ("/home/a/.ssh", false, false),
    ("/usr/lib/x", true, false),
];
const NAMES: [&str; 6] = ["a", "b*", "c\\?", "d #[{,", "é\u{1f4e6}", "null"];

fn file_name() -> impl Strategy<Value = String> {
    let directory = select(DIRECTORIES.map(|(directory, ..)| directory).to_vec());
    (directory, select(NAMES.to_vec())).prop_map(|(directory, name)| format!("{directory}/{name}"))
}

fn attempt() -> impl Strategy<Value = Recorded> {
    use Operation::{
        Attr, Connect, Create, Delete, Exec, Link, MapExec, Read, Rename, Send, Write,
    };
    let on_one = select(vec![Attr, Create, Delete, MapExec, Read, Write]);
    let address = (
        select(vec![Connect, Send]),
        1..4_u8,
        1..3_u16,
        select(vec![6_u16, 17, 132]),
    );
    prop_oneof![
        4 => (on_one, file_name()).prop_map(|(operation, at)| seen(operation, path(&at))),
        1 => (select(vec![Rename, Link]), file_name(), file_name()).prop_map(|(operation, from, to)| {
            seen(operation, Object::Ends { from: from.into_bytes(), to: to.into_bytes() })
        }),
        2 => (file_name(), proptest::collection::vec(select(vec!["get", "-n", "x y"]), 0..3)).prop_map(|(at, rest)| {
            ran(&[&[at.as_str()], rest.as_slice()].concat())
        }),
        1 => address.prop_map(|(operation, host, port, protocol)| {
            let ip = std::net::Ipv4Addr::new(10, 0, 0, host).into();
            seen(operation, Object::Address { ip, port, protocol: Some(protocol) })
        }),
        1 => Just(ran(&["/usr/lib/x/ld.so"])),
        1 => file_name().prop_map(|at| seen(Exec, path(&at))),
    ]
}

/// Whether a file operation is one that was seen by this name, or in a directory of which enough names were.
fn was_seen(learned: &[Recorded], operation: Operation, at: &str) -> bool {
    let split = |path: &str| {
        let (directory, name) = path.rsplit_once('/').unwrap();
        (directory.to_owned(), name.to_owned())
    };
    let mut names: BTreeMap<(Vec<Operation>, String), BTreeSet<String>> = BTreeMap::new();
    for one in learned {
        for action in actions(&one.decision, false).unwrap() {
            if let Action::File {
                operations, path, ..
            } = action
            {
                let (directory, name) = split(&path);
                names
                    .entry((operations, directory))
                    .or_default()
                    .insert(name);
            }
        }
    }
    let (directory, name) = split(at);
    names.iter().any(|((operations, place), names)| {
        let (_, reads, all) = DIRECTORIES.iter().find(|(one, ..)| one == place).unwrap();
        let open = match operations.as_slice() {
            [Operation::Read] => *reads,
            [Operation::MapExec] => place == "/usr/lib/x",
            _ => *all,
        };
        let is_whole = open && names.len() >= MIN;
        operations.contains(&operation)
            && *place == directory
            && (is_whole || names.contains(&name))
    })
}

fn outcome(policy: &Policy, one: &Recorded) -> Option<Outcome> {
    let mut replay = Replay::new([policy.clone()], Told::default());
    replay.answer(one).ok().map(|answer| answer.outcome)
}

/// Every class that was learned of is denied by default, or it is said that it is not.
fn denies(policy: &Policy, class: &str) -> bool {
    let rule = format!("default-{class}");
    policy.rules.iter().any(|one| one.id.as_str() == rule)
}

#[test]
fn every_event_that_was_learned_from_is_allowed_and_what_was_not_seen_is_denied() {
    let others = proptest::collection::vec((file_name(), attempt()), 12);
    let all = proptest::collection::vec(attempt(), 1..40);
    let libraries = [Operation::MapExec, Operation::Read]
        .map(|operation| seen(operation, path("/usr/lib/x/l.so")));
    let judged = std::cell::Cell::new(0);
    seeded::over(
        250,
        &(all, others, any::<[bool; 2]>()),
        |(all, others, [subcommands, start])| {
            let mut reader = Learner::new(Options {
                subcommands,
                ..options()
            });
            let learned: Vec<Recorded> = all
                .into_iter()
                .chain(libraries.clone().into_iter().filter(|_| start))
                .filter(|one| reader.add(one))
                .collect();
            let Some(proposal) = reader.proposal() else {
                prop_assert!(learned.is_empty());
                return Ok(());
            };
            let source = &proposal.source;
            let policy = parse(source)
                .map_err(|findings| TestCaseError::fail(format!("{findings:#?}\n{source}")))?;
            prop_assert_eq!(check(&policy), vec![], "{}", source);
            let alone = Versioned {
                revision: Revision(1),
                policy: policy.clone(),
            };
            prop_assert!(compile(&[alone]).is_ok());
            for one in &learned {
                prop_assert_eq!(
                    outcome(&policy, one),
                    Some(Outcome::Allow),
                    "{:?}\n{}",
                    one,
                    source
                );
            }
            for class in &proposal.open {
                let said = format!("# without `default: {{ {class}: deny }}`");
                prop_assert!(source.contains(&said));
            }
            for (at, other) in others {
                let plain = [
                    Operation::Delete,
                    Operation::Attr,
                    Operation::Read,
                    Operation::MapExec,
                ];
                for operation in plain {
                    // An execution of it permits that it is mapped, too.
                    let mapped = operation == Operation::MapExec
                        && learned.iter().any(|one| {
                            one.decision.operation == Operation::Exec
                                && one.decision.object == path(&at)
                        });
                    if denies(&policy, "file") && !mapped && !was_seen(&learned, operation, &at) {
                        judged.set(judged.get() + 1);
                        let other = seen(operation, path(&at));
                        prop_assert_eq!(
                            outcome(&policy, &other),
                            Some(Outcome::Deny),
                            "{:?}\n{}",
                            other,
                            source
                        );
                    }
                }
                let (operation, object) = (other.decision.operation, &other.decision.object);
                let known = learned.iter().any(|one| one.decision.object == *object);
                let class = operation.class();
                if class != crate::action::Class::File && !known && denies(&policy, class.as_str())
                {
                    prop_assert_eq!(
                        outcome(&policy, &other),
                        Some(Outcome::Deny),
                        "{:?}\n{}",
                        other,
                        source
                    );
                }
            }
            Ok(())
        },
    );
    assert!(judged.get() > 1_000, "{}", judged.get());
}

#[test]
fn somebody_else_is_not_guarded_by_what_was_learned_of_alice() {
    let found = proposed(options(), &[seen(Operation::Connect, path("/run/x.sock"))]);
    let policy = parse(&found.source).unwrap();
    assert!(denies(&policy, "net"));
    let mut bob = ran(&["/usr/bin/nc"]);
    bob.decision.user = Some("bob".parse().unwrap());
    assert_eq!(outcome(&policy, &bob), Some(Outcome::Allow));
}
