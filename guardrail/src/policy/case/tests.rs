//! What tests say of a policy: what fails, what counts as what, which rules no test reaches.

mod account;

use super::*;
use crate::{
    id::Revision,
    policy::{Severity, Versioned, parse},
};

const RULES: &str = "
  permissions:
    db: { net: { ops: [connect], cidr: 10.20.0.0/16, ports: [5432] } }
    www: { file: { ops: [create, write], path: /srv/www/** } }
  rules:
    - { id: no-netcat, effect: deny, exec: { path: /usr/bin/nc } }
    - { id: db, effect: require-grant, permission: db }
    - { id: scale, effect: hold, exec: { path: /usr/bin/kubectl, subcommand: [scale] } }
    - { id: look, effect: alert, exec: { path: /usr/bin/gdb } }
    - { id: agent, effect: deny, exec: { path: /usr/bin/git, ancestor: /opt/agent } }
    - { id: keep, effect: deny, file: { ops: [delete], path: /srv/data/** } }
    - { id: www, effect: require-grant, permission: www }
    - { id: backup, effect: allow, exec: { path: /usr/bin/backup }, record: true }
";

/// A policy of this name with one rule list and these tests.
fn policy(name: &str, spec: &str, tests: &[&str]) -> Versioned {
    let list = tests.iter().fold(String::new(), |list, test| {
        list + "    - { as: alice, groups: [dev], " + test + " }\n"
    });
    let tests = match list.as_str() {
        "" => String::new(),
        list => format!("  tests:\n{list}"),
    };
    let source = format!(
        "apiVersion: stayhand/v1\nkind: Policy\nmetadata: {{ name: {name} }}\nspec:\n  subjects: {{ groups: [dev] }}\n{}\n{tests}",
        spec.trim_matches('\n')
    );
    Versioned {
        revision: Revision(1),
        policy: parse(&source).unwrap_or_else(|findings| panic!("{findings:#?}\n{source}")),
    }
}

/// Findings of the one policy's tests.
fn problems(tests: &[&str]) -> Vec<String> {
    let policies = [policy("p", RULES, tests)];
    let judged = judge(&policies, 0);
    assert_eq!(judged.len(), tests.len());
    let problems = judged.iter().filter_map(Judged::problem);
    problems.map(|problem| problem.to_string()).collect()
}

#[track_caller]
fn fails(test: &str, needle: &str) {
    let found = problems(&[test]);
    let [problem] = found.as_slice() else {
        panic!("`{test}` does not fail: {found:?}")
    };
    assert!(problem.contains(needle), "no `{needle}` in {problem}");
}

#[track_caller]
fn pass(tests: &[&str]) {
    assert_eq!(problems(tests), Vec::<String>::new());
}

#[test]
fn a_test_that_expects_the_wrong_rule_fails() {
    fails(
        "exec: [/usr/bin/nc], expect: deny, rule: agent",
        "expected deny (p/agent), got deny (p/no-netcat); rule `no-netcat` is in line 10",
    );
    fails(
        "exec: [/usr/bin/true], expect: allow, rule: backup",
        "expected allow (p/backup), got allow (no rule)",
    );
}

#[test]
fn a_test_that_expects_another_outcome_fails_and_says_what_decided() {
    for (action, wrong, got) in [
        ("exec: /usr/bin/nc", "allow", "deny (p/no-netcat)"),
        ("exec: /usr/bin/nc", "hold", "deny (p/no-netcat)"),
        ("exec: [/usr/bin/kubectl, scale]", "deny", "hold (p/scale)"),
        ("exec: /usr/bin/gdb", "allow", "alert (p/look)"),
        ("exec: /usr/bin/backup", "alert", "allow (p/backup)"),
        ("exec: /usr/bin/true", "deny", "allow (no rule)"),
        (
            "net: { op: connect, address: 10.20.0.1, port: 5432 }",
            "allow",
            "deny (p/db, without a grant)",
        ),
        (
            "net: { op: connect, address: 10.20.0.1, port: 5432 }, grants: [db]",
            "deny",
            "allow (p/db, with a grant of p/db)",
        ),
    ] {
        let needle = format!("expected {wrong}, got {got}");
        fails(&format!("{action}, expect: {wrong}"), &needle);
    }
}

#[test]
fn a_grant_passes_what_requires_it_and_nothing_else() {
    let connect = "net: { op: connect, address: 10.20.0.1, port: 5432 }";
    fails(
        &format!("{connect}, grants: [www], expect: allow"),
        "got deny",
    );
    fails(
        "exec: /usr/bin/nc, grants: [db, www], expect: allow",
        "got deny",
    );
    pass(&[&format!("{connect}, grants: [db], expect: allow, rule: db")]);
}

#[test]
fn what_is_not_said_of_an_execution_restricts_and_never_permits() {
    let push = "exec: [/usr/bin/git, push]";
    pass(&[
        &format!("{push}, expect: deny, rule: agent"),
        &format!("{push}, parent: /usr/bin/bash, expect: deny, rule: agent"),
        &format!("{push}, ancestors: [/usr/bin/bash, /opt/agent], expect: deny"),
        &format!("{push}, ancestors: [/usr/bin/bash], expect: allow"),
        &format!("{push}, parent: /opt/agent, ancestors: [/usr/bin/bash], expect: deny"),
    ]);
    // `scale` may be an option's value here.
    pass(&["exec: [/usr/bin/kubectl, -n, scale, get], expect: hold"]);
}

#[test]
fn the_first_ancestor_starts_the_program_unless_the_test_says_what_does() {
    let rules = "  rules: [{ id: r, effect: deny, exec: { path: /a, parent: /opt/agent } }]";
    for (known, outcome) in [
        ("", "deny"),
        ("ancestors: [/opt/agent, /b], ", "deny"),
        ("ancestors: [/b, /opt/agent], ", "allow"),
        ("parent: [/b, /opt/agent], ", "deny"),
        ("parent: /b, ancestors: [/opt/agent], ", "allow"),
    ] {
        let test = format!("exec: /a, {known}expect: {outcome}");
        let policies = [policy("p", rules, &[&test])];
        let judged = judge(&policies, 0);
        assert!(judged.iter().all(Judged::passes), "{test}: {judged:#?}");
    }
}

#[test]
fn a_rename_takes_a_name_away_and_makes_one() {
    fails(
        "file: { op: rename, path: /srv/data/a, to: /tmp/a }, expect: allow",
        "test `rename /srv/data/a -> /tmp/a` fails: expected allow, got deny (p/keep)",
    );
    pass(&[
        "file: { op: link, path: /srv/data/a, to: /tmp/a }, expect: allow",
        "file: { op: rename, path: /tmp/a, to: /srv/www/a }, expect: deny, rule: www",
        "file: { op: rename, path: /tmp/a, to: /srv/www/a }, grants: [www], expect: allow",
        "file: { ops: [create, write], path: /srv/www/a }, grants: [www], expect: allow",
    ]);
}

#[test]
fn nobody_is_restricted_by_a_policy_that_does_not_guard_them() {
    let source =
        "exec: /usr/bin/nc, expect: deny }\n    - { as: bob, exec: /usr/bin/nc, expect: deny";
    let policies = [policy("p", RULES, &[source])];
    let judged = judge(&policies, 0);
    let [alice, bob] = judged.as_slice() else {
        panic!("{judged:#?}")
    };
    assert!(alice.passes());
    let problem = bob.problem().unwrap().to_string();
    assert!(problem.contains("(no policy guards bob)"), "{problem}");
    assert!(problem.contains("groups"), "{problem}");
}

#[test]
fn tests_of_a_monitoring_policy_say_what_it_will_do_and_other_policies_stay_as_they_are() {
    let monitor = format!("  mode: monitor\n{}", RULES.trim_matches('\n'));
    let nc = "exec: /usr/bin/nc, expect: deny, rule: no-netcat";
    let own = policy("p", &monitor, &[nc]);
    let policies = [own.clone()];
    assert!(judge(&policies, 0).iter().all(Judged::passes));

    let other = "  rules: [{ id: r, effect: alert, exec: { path: /usr/bin/nc } }]";
    let policies = [
        own,
        policy("q", other, &["exec: /usr/bin/nc, expect: deny"]),
    ];
    let judged = judge(&policies, 1);
    let problem = judged.first().unwrap().problem().unwrap().to_string();
    assert!(
        problem.contains("got allow (p/no-netcat, in monitor mode)"),
        "{problem}"
    );
}

#[test]
fn another_policy_of_the_host_can_decide_a_test() {
    let deny = "  rules: [{ id: r, effect: deny, exec: { path: /usr/bin/backup } }]";
    let test = "exec: /usr/bin/backup, expect: allow";
    let policies = [policy("p", RULES, &[test]), policy("a", deny, &[])];
    let problem = judge(&policies, 0).first().unwrap().problem().unwrap();
    let shown = problem.to_string();
    assert!(shown.contains("got deny (a/r); policy `a`"), "{shown}");
    assert_eq!(
        unreached(&policies[0].policy, &judge(&policies, 0)).len(),
        8
    );
}

#[test]
fn a_rule_that_decides_no_test_is_named_at_its_place_and_only_its_own_policy_counts() {
    let policies = [policy("p", RULES, &["exec: /usr/bin/nc, expect: deny"])];
    let own = &policies[0].policy;
    let found = uncovered(own, &judge(&policies, 0), Severity::Error);
    let ids: Vec<&str> = found.iter().map(|one| one.excerpt.as_str()).collect();
    assert_eq!(
        ids,
        ["db", "scale", "look", "agent", "keep", "www", "backup"]
    );
    assert_eq!((found[0].at.line, found[0].severity), (11, Severity::Error));
    let twin = "  rules: [{ id: db, effect: deny, exec: { path: /x } }]";
    let policies = [
        policy("p", RULES, &["exec: /x, expect: deny"]),
        policy("a", twin, &[]),
    ];
    assert_eq!(
        unreached(&policies[0].policy, &judge(&policies, 0)).len(),
        8
    );
}

#[test]
fn a_policy_without_tests_is_one_finding_and_not_one_for_each_rule() {
    let own = policy("p", RULES, &[]).policy;
    let found = uncovered(&own, &[], Severity::Warning);
    let [one] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert!(one.message.contains("its 8 rules"), "{one}");
}

#[test]
fn names_and_arguments_of_a_test_are_shown_safely() {
    let hostile = "name: \"x\\u202e\\u200b\", exec: [/usr/bin/nc, \"\\e[2J\\n\"], expect: allow";
    let named = problems(&[hostile]);
    let unnamed = problems(&[&hostile.replace("name: \"x\\u202e\\u200b\", ", "")]);
    for shown in named.iter().chain(&unnamed) {
        assert!(
            !shown.contains(['\u{1b}', '\n', '\u{202e}', '\u{200b}']),
            "{shown:?}"
        );
    }
    assert!(
        unnamed[0].contains("exec /usr/bin/nc \\x1b[2J\\n"),
        "{unnamed:?}"
    );
}

#[test]
fn every_kind_of_attempt_is_judged_by_a_rule_on_it() {
    for (rule, test) in [
        ("system: { ops: [ptrace] }", "system: { op: ptrace }"),
        ("net: { ops: [raw] }", "net: { op: raw }"),
        (
            "net: { ops: [send], cidr: 10.0.0.0/8, protocol: udp }",
            "net: { op: send, address: 10.1.2.3, port: 53, protocol: udp }",
        ),
        (
            "net: { ops: [connect], cidr: \"::/0\", protocol: icmp }",
            "net: { op: connect, address: 192.0.2.1, protocol: icmp }",
        ),
        (
            "net: { ops: [connect], path: /run/docker.sock }",
            "net: { op: connect, path: /run/docker.sock }",
        ),
        (
            "net: { ops: [bind], abstract: \"a*\" }",
            "net: { op: bind, abstract: abc }",
        ),
        (
            "net: { ops: [connect], vsock: { cid: 2 } }",
            "net: { op: connect, vsock: { cid: 2, port: 22 } }",
        ),
        (
            "file: { ops: [bind-mount], path: /srv/** }",
            "file: { op: bind-mount, path: /srv/x }",
        ),
        (
            "exec: { path: /a, terminal: false, regex: \"dr.p\" }",
            "exec: [/a, drop], terminal: false",
        ),
    ] {
        let rules = format!("  rules: [{{ id: r, effect: deny, {rule} }}]");
        let policies = [policy(
            "p",
            &rules,
            &[&format!("{test}, expect: deny, rule: r")],
        )];
        let judged = judge(&policies, 0);
        assert!(judged.iter().all(Judged::passes), "{test}: {judged:#?}");
    }
}

const HOURS: &str = "
  rules:
    - { id: hours, effect: hold, exec: { path: /usr/bin/kubectl }, when: { outside: \"Mon-Fri 09:00-17:00 Europe/Berlin\" } }
    - { id: seen, effect: alert, exec: { path: /usr/bin/kubectl } }
";

#[test]
fn a_test_says_when_and_a_rule_that_may_count_restricts_if_it_does_not() {
    let outcomes = |tests: &[&str]| -> Vec<Outcome> {
        let policies = [policy("p", HOURS, tests)];
        judge(&policies, 0).iter().map(|one| one.outcome).collect()
    };
    let kubectl = "exec: [/usr/bin/kubectl], expect: hold";
    let at = |time: &str| format!("{kubectl}, at: {time}");
    let (office, night) = (
        at("2026-11-27 12:00 Europe/Berlin"),
        at("2026-11-27 12:00 Asia/Tokyo"),
    );
    assert_eq!(
        outcomes(&[&office, &night, kubectl]),
        [Outcome::Alert, Outcome::Hold, Outcome::Hold]
    );
    for (time, needle) in [
        ("tomorrow", "is no time; write"),
        (
            "2026-11-27 12:00 Europe/Berlim",
            "no time zone of this name",
        ),
        ("2026-03-29 02:30 Europe/Berlin", "no clock ever shows"),
    ] {
        let tests = format!("  tests:\n    - {{ as: alice, {} }}\n", at(time));
        let source = format!(
            "apiVersion: stayhand/v1\nkind: Policy\nmetadata: {{ name: p }}\nspec:\n  subjects: {{ groups: [dev] }}{HOURS}{tests}"
        );
        let found = parse(&source).unwrap_err();
        assert!(
            found.iter().any(|one| one.to_string().contains(needle)),
            "{found:?}"
        );
    }
}
