//! What comes out of recorded decisions, and what does not because an event does not hold it.

mod worlds;

use super::*;
use crate::{
    action::{Object, Operation},
    event::Arguments,
    policy::parse,
    reason::Verdict,
    time::UnixMs,
};

fn policy(spec: &str) -> Policy {
    let source = format!(
        "apiVersion: stayhand/v1\nkind: Policy\nmetadata: {{ name: p }}\nspec:\n  subjects: {{ users: [alice], groups: [dev] }}\n{spec}"
    );
    parse(&source).unwrap_or_else(|findings| panic!("{findings:#?}\n{source}"))
}

fn rules(rules: &[&str]) -> Policy {
    let list = rules.iter().fold(String::new(), |list, rule| {
        list + "    - { " + rule + " }\n"
    });
    policy(&format!("  rules:\n{list}"))
}

fn path(path: &str) -> Object {
    Object::Path {
        bytes: path.as_bytes().to_vec(),
    }
}

fn seen(operation: Operation, object: Object) -> Decided {
    Decided::of_alice(operation, object)
}

fn ran(words: &[&str]) -> Decided {
    seen(Operation::Exec, path(words[0])).with_arguments(words)
}

fn at(time: u64, decision: Decided) -> Recorded {
    let time = UnixMs(time);
    Recorded { time, decision }
}

fn judged(policy: &Policy, decision: Decided) -> Result<(Outcome, String), Why> {
    let mut replay = Replay::new([policy.clone()], Told::default());
    let answer = replay.answer(&at(0, decision))?;
    Ok((answer.outcome, answer.rule.unwrap_or_default()))
}

fn comes_out(outcome: Outcome, rule: &str) -> (Outcome, String) {
    (outcome, rule.to_owned())
}

#[test]
fn a_draft_in_monitor_mode_is_judged_as_if_it_enforced() {
    let draft = policy(
        "  mode: monitor\n  rules: [{ id: nc, effect: deny, exec: { path: /usr/bin/nc } }]\n",
    );
    assert_eq!(
        judged(&draft, ran(&["/usr/bin/nc"])),
        Ok(comes_out(Outcome::Deny, "p/nc"))
    );
}

#[test]
fn redacted_and_cut_arguments_are_judged_only_where_no_rule_asks_for_them() {
    let draft = rules(&[
        "id: scale, effect: hold, exec: { path: /usr/bin/kubectl, anyArg: [scale] }",
        "id: nc, effect: deny, exec: { path: /usr/bin/nc }",
        "id: listen, effect: hold, exec: { path: /usr/bin/nc, option: [-l] }",
    ]);
    for (arguments, why) in [
        (Arguments::Redacted, Why::Redacted),
        (Arguments::Cut, Why::ArgumentsCut),
    ] {
        let of = |words: &[&str]| Decided {
            arguments: arguments.clone(),
            ..ran(words)
        };
        assert_eq!(judged(&draft, of(&["/usr/bin/kubectl"])), Err(why));
        // It is denied whatever its arguments were.
        let nc = judged(&draft, of(&["/usr/bin/nc"]));
        assert_eq!(nc, Ok(comes_out(Outcome::Deny, "p/nc")));
        let ls = judged(&draft, of(&["/usr/bin/ls"]));
        assert_eq!(ls, Ok(comes_out(Outcome::Allow, "")));
    }
    let known = judged(&draft, ran(&["/usr/bin/kubectl", "-n", "x", "scale"]));
    assert_eq!(known, Ok(comes_out(Outcome::Hold, "p/scale")));
    let other = judged(&draft, ran(&["/usr/bin/kubectl", "get"]));
    assert_eq!(other, Ok(comes_out(Outcome::Allow, "")));
}

#[test]
fn what_the_kernel_itself_cannot_know_restricts_here_as_there() {
    let draft = rules(&["id: get, effect: hold, exec: { path: /k, subcommand: [get] }"]);
    let behind_an_option = judged(&draft, ran(&["/k", "-n", "get"]));
    assert_eq!(behind_an_option, Ok(comes_out(Outcome::Hold, "p/get")));
    let net = rules(&["id: db, effect: hold, net: { ops: [send], cidr: 10.0.0.0/8, ports: [1] }"]);
    let raw = Object::Address {
        ip: "10.0.0.1".parse().unwrap(),
        port: 0,
        protocol: None,
    };
    let raw = judged(&net, seen(Operation::Send, raw));
    assert_eq!(raw, Ok(comes_out(Outcome::Hold, "p/db")));
}

#[test]
fn facts_and_descent_are_not_recorded_and_a_terminal_is() {
    for (condition, why) in [
        (
            "sha256: 0000000000000000000000000000000000000000000000000000000000000000",
            Why::Hash,
        ),
        ("parent: /usr/sbin/cron", Why::Lineage),
        ("ancestor: /usr/sbin/cron", Why::Lineage),
    ] {
        let rule = format!("id: x, effect: deny, exec: {{ path: /x, {condition} }}");
        assert_eq!(judged(&rules(&[&rule]), ran(&["/x"])), Err(why.clone()));
        // The other way round: it may be all that lets it go on.
        let allow = format!(
            "  default: {{ exec: deny }}\n  rules:\n    - {{ id: x, effect: allow, exec: {{ path: /x, {condition} }} }}\n"
        );
        assert_eq!(judged(&policy(&allow), ran(&["/x"])), Err(why));
    }
    let draft = rules(&["id: x, effect: deny, exec: { path: /x, terminal: false }"]);
    let with = |terminal| {
        judged(
            &draft,
            Decided {
                terminal,
                ..ran(&["/x"])
            },
        )
    };
    assert_eq!(with(Some(true)), Ok(comes_out(Outcome::Allow, "")));
    assert_eq!(with(Some(false)), Ok(comes_out(Outcome::Deny, "p/x")));
    assert_eq!(with(None), Err(Why::Terminal));
    let draft = rules(&["id: x, effect: deny, exec: { path: /x, regex: drop }"]);
    let drop = judged(&draft, ran(&["/x", "drop"]));
    assert_eq!(drop, Ok(comes_out(Outcome::Deny, "p/x")));
    let mapped = judged(&draft, seen(Operation::MapExec, path("/x")));
    assert_eq!(mapped, Err(Why::Mapped));
}

#[test]
fn one_name_of_several_operations_is_judged_only_where_all_come_out_alike() {
    let draft = rules(&[
        "id: read, effect: deny, file: { ops: [read], path: /r }",
        "id: write, effect: deny, file: { ops: [write], path: /w/** }",
        "id: gone, effect: deny, file: { ops: [delete], path: /keep/** }",
        "id: made, effect: hold, file: { ops: [create], path: /keep/** }",
    ]);
    let one = |operation, at| judged(&draft, seen(operation, path(at)));
    assert_eq!(one(Operation::Write, "/r"), Err(Why::Operations));
    assert_eq!(one(Operation::Create, "/w/x"), Err(Why::Operations));
    let written = one(Operation::Write, "/w/x");
    assert_eq!(written, Ok(comes_out(Outcome::Deny, "p/write")));
    let made = one(Operation::Create, "/keep/x");
    assert_eq!(made, Ok(comes_out(Outcome::Hold, "p/made")));
    let moved = |from: &str, to: &str| {
        let [from, to] = [from, to].map(|path| path.as_bytes().to_vec());
        judged(&draft, seen(Operation::Rename, Object::Ends { from, to }))
    };
    assert_eq!(moved("/a", "/keep/x"), Err(Why::Operations));
    assert_eq!(
        moved("/keep/x", "/a"),
        Ok(comes_out(Outcome::Deny, "p/gone"))
    );
}

#[test]
fn whom_a_policy_guards_and_where_is_asked_for_only_if_it_matters() {
    let bob = |decision| Decided {
        user: Some("bob".parse().unwrap()),
        ..decision
    };
    let draft = rules(&["id: nc, effect: deny, exec: { path: /usr/bin/nc }"]);
    let nc = || bob(ran(&["/usr/bin/nc"]));
    let groups = Why::Groups("bob".parse().unwrap());
    assert_eq!(judged(&draft, nc()), Err(groups));
    let other = judged(&draft, bob(ran(&["/usr/bin/ls"])));
    assert_eq!(other, Ok(comes_out(Outcome::Allow, "")));
    let told = |group: &str| {
        let groups = [("bob".parse().unwrap(), vec![group.parse().unwrap()])];
        let told = Told {
            groups: groups.into_iter().collect(),
            ..Told::default()
        };
        let mut replay = Replay::new([draft.clone()], told);
        replay.answer(&at(0, nc())).unwrap().outcome
    };
    assert_eq!((told("dev"), told("ops")), (Outcome::Deny, Outcome::Allow));

    let there = parse(
        "apiVersion: stayhand/v1\nkind: Policy\nmetadata: { name: p }\nspec:\n  hosts: { env: prod }\n  subjects: { users: [alice] }\n  rules: [{ id: nc, effect: deny, exec: { path: /usr/bin/nc } }]\n",
    )
    .unwrap();
    let labels = Why::Labels("db1".parse().unwrap());
    assert_eq!(judged(&there, ran(&["/usr/bin/nc"])), Err(labels));
    let on = |label: &str| {
        let labels: HostLabels = [label.parse().unwrap()].into_iter().collect();
        let told = Told {
            everywhere: Some(labels),
            ..Told::default()
        };
        let mut replay = Replay::new([there.clone()], told);
        replay
            .answer(&at(0, ran(&["/usr/bin/nc"])))
            .unwrap()
            .outcome
    };
    assert_eq!(
        (on("env=prod"), on("env=dev")),
        (Outcome::Deny, Outcome::Allow)
    );
    let nameless = Decided {
        user: None,
        ..ran(&["/usr/bin/ls"])
    };
    assert_eq!(judged(&draft, nameless), Err(Why::Nameless));
}

#[test]
fn what_no_policy_decided_or_has_no_whole_path_is_not_judged() {
    let draft = rules(&["id: all, effect: deny, exec: { path: /** }"]);
    let failed = Decided {
        verdict: Verdict::Denied,
        reason: Reason::WalkFailed,
        ..ran(&["/x"])
    };
    assert_eq!(
        judged(&draft, failed),
        Err(Why::NoPolicy(Reason::WalkFailed))
    );
    let cut = Decided {
        object_cut: true,
        ..ran(&["/x"])
    };
    assert_eq!(judged(&draft, cut), Err(Why::ObjectCut));
    assert_eq!(judged(&draft, ran(&["memfd:x"])), Err(Why::Pathless));
}

#[test]
fn a_grant_that_covered_it_covers_it_again_and_its_other_permissions_are_not_known() {
    let draft = policy(
        "  permissions:\n    www: { file: { ops: [write], path: /srv/** } }\n  rules:\n    - { id: www, effect: require-grant, permission: www }\n    - { id: etc, effect: hold, file: { ops: [write], path: /etc/** } }\n    - { id: no, effect: deny, file: { ops: [write], path: /boot/** } }\n",
    );
    let granted = |at: &str| Decided {
        reason: Reason::Grant,
        permission: Some("p/www".parse().unwrap()),
        ..seen(Operation::Attr, path(at))
    };
    let written = |at: &str| {
        judged(
            &draft,
            Decided {
                operation: Operation::Write,
                ..granted(at)
            },
        )
    };
    assert_eq!(written("/srv/x"), Ok(comes_out(Outcome::Allow, "p/www")));
    assert_eq!(written("/etc/x"), Err(Why::Grant));
    assert_eq!(written("/boot/x"), Ok(comes_out(Outcome::Deny, "p/no")));
    let ungranted = judged(&draft, seen(Operation::Write, path("/srv/x")));
    assert_eq!(ungranted, Ok(comes_out(Outcome::Deny, "p/www")));
}

#[test]
fn a_rule_with_windows_is_judged_at_the_time_of_the_event() {
    let draft = rules(&[
        "id: night, effect: deny, exec: { path: /x }, when: { windows: \"daily 00:00-12:00 UTC\" }",
    ]);
    let mut replay = Replay::new([draft], Told::default());
    let noon = 12 * 3_600_000;
    let mut outcome = |time| replay.answer(&at(time, ran(&["/x"]))).unwrap().outcome;
    assert_eq!(
        (outcome(noon - 1), outcome(noon)),
        (Outcome::Deny, Outcome::Allow)
    );
}

#[test]
fn too_many_unknown_things_at_once_are_not_tried() {
    let list: Vec<String> = (0..7)
        .map(|number| {
            format!("id: r{number}, effect: hold, exec: {{ path: /x, parent: /p{number} }}")
        })
        .collect();
    let texts: Vec<&str> = list.iter().map(String::as_str).collect();
    assert_eq!(judged(&rules(&texts), ran(&["/x"])), Err(Why::Lineage));
}

fn reported(policy: Policy, all: &[Recorded]) -> Report {
    let mut replay = Replay::new([policy], Told::default());
    for one in all {
        replay.add(one);
    }
    replay.report().clone()
}

#[test]
fn equal_actions_are_one_with_number_times_people_and_hosts() {
    let draft = rules(&[
        "id: nc, effect: deny, exec: { path: /usr/bin/nc }",
        "id: w, effect: hold, file: { ops: [write], path: /etc/** }",
    ]);
    let elsewhere = Decided {
        host: "web1".parse().unwrap(),
        ..ran(&["/usr/bin/nc", "-h"])
    };
    let freed = Decided {
        verdict: Verdict::Denied,
        reason: Reason::RuleDeny,
        ..ran(&["/usr/bin/ls"])
    };
    let report = reported(
        draft,
        &[
            at(5, ran(&["/usr/bin/nc", "-h"])),
            at(2, elsewhere),
            at(9, freed),
            at(3, ran(&["/usr/bin/cat"])),
            at(
                4,
                Decided {
                    object_cut: true,
                    ..ran(&["/x"])
                },
            ),
        ],
    );
    let groups: Vec<(Change, &str, usize)> = report
        .groups()
        .iter()
        .map(|one| (one.change, one.action.as_str(), one.times))
        .collect();
    assert_eq!(
        groups,
        [
            (Change::Stopped, "exec /usr/bin/nc -h", 2),
            (Change::Freed, "exec /usr/bin/ls", 1),
            (Change::Otherwise, "exec /usr/bin/cat", 1),
        ]
    );
    let first = report.groups()[0].clone();
    assert_eq!((first.first, first.last), (UnixMs(2), UnixMs(5)));
    assert_eq!((first.users.len(), first.hosts.len()), (1, 2));
    assert_eq!(
        (report.decisions, report.judged(), report.stopped),
        (5, 4, 2)
    );
    assert_eq!(report.unjudged, BTreeMap::from([(Why::ObjectCut, 1)]));
    assert_eq!(report.span, Some((UnixMs(2), UnixMs(9))));
    let denied = (Some("p/nc".to_owned()), "deny");
    assert_eq!(report.rules.get(&denied), Some(&2));
}

#[test]
fn what_was_held_and_approved_is_stopped_by_a_denial_and_not_by_a_hold() {
    let approved = |object| Decided {
        reason: Reason::HoldApproved,
        ..seen(Operation::Delete, path(object))
    };
    let draft = rules(&[
        "id: d, effect: deny, file: { ops: [delete], path: /a }",
        "id: h, effect: hold, file: { ops: [delete], path: /b }",
    ]);
    let report = reported(draft, &[at(0, approved("/a")), at(0, approved("/b"))]);
    assert_eq!((report.stopped, report.groups().len()), (1, 1));
}
