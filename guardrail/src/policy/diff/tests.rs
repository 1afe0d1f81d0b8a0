//! What a change is called, and which actions show it.

use proptest::prelude::*;

use super::*;
use crate::policy::{Outcome, parse};

fn policy(spec: &str) -> Policy {
    let source = format!(
        "apiVersion: stayhand/v1\nkind: Policy\nmetadata: {{ name: p }}\nspec:\n  subjects: {{ groups: [dev, sre], users: [bot] }}\n{spec}"
    );
    parse(&source).unwrap_or_else(|findings| panic!("{findings:#?}\n{source}"))
}

fn rules(rules: &[&str]) -> Policy {
    let list = rules.iter().fold(String::new(), |list, rule| {
        list + "    - { " + rule + " }\n"
    });
    policy(&format!("  rules:\n{list}"))
}

fn said(old: &Policy, new: &Policy) -> Vec<String> {
    let each = changes(old, new).into_iter();
    each.map(|one| format!("{:?} {}: {}", one.kind, one.subject, one.lines.join("; ")))
        .collect()
}

fn turned(old: &Policy, new: &Policy) -> Vec<String> {
    let each = samples(old, new, None).changed.into_iter();
    let by = |(outcome, rule): &(Outcome, Option<String>)| {
        format!("{outcome} ({})", rule.as_deref().unwrap_or("-"))
    };
    each.map(|one| {
        let granted = match (one.granted, one.used_up) {
            (true, _) => " granted",
            (_, true) => " used up",
            _ => "",
        };
        let (before, after) = (by(&one.before), by(&one.after));
        let at = one
            .time
            .map_or_else(String::new, |time| format!(" at {time}"));
        format!(
            "{}+{}{granted}: {}{at}: {before} -> {after}",
            one.who, one.others, one.action
        )
    })
    .collect()
}

const NC: &str = "id: nc, effect: deny, exec: { path: [/usr/bin/nc, /usr/bin/ncat] }";

#[test]
fn what_is_written_otherwise_and_means_the_same_is_no_change() {
    let one = rules(&[
        NC,
        "id: f, effect: hold, file: { ops: [write, create], path: [/a/**, /b] }",
    ]);
    let other = rules(&[
        "id: f, effect: hold, file: { ops: [create, write], path: [/b, /a/**] }",
        "id: nc, effect: deny, exec: { path: [/usr/bin/ncat, /usr/bin/nc] }",
    ]);
    assert_eq!(said(&one, &other), Vec::<String>::new());
    assert_eq!(turned(&one, &other), Vec::<String>::new());
}

#[test]
fn a_rule_that_comes_goes_or_turns_is_said_in_words_of_actions() {
    let old = rules(&[NC, "id: gone, effect: alert, system: { ops: [bpf] }"]);
    let new = rules(&[
        "id: nc, effect: hold, exec: { path: [/usr/bin/nc], anyArg: [-l] }, message: wait",
        "id: come, effect: deny, net: { ops: [connect], cidr: 10.0.0.0/8, ports: [1], protocol: udp }",
    ]);
    assert_eq!(
        said(&old, &new),
        [
            "Changed rule nc: effect: deny -> hold; timeout: none -> 5m; message: none -> wait; - exec /usr/bin/nc; \
             - exec /usr/bin/ncat; + exec /usr/bin/nc, an argument `-l`",
            "Removed rule gone: effect: alert; - bpf",
            "Added rule come: effect: deny; + connect 10.0.0.0/8 port 1 by udp",
        ]
    );
}

#[test]
fn a_sensitivity_that_changes_is_said_by_itself_and_no_outcome_changes() {
    let of = |more: &str| rules(&[&format!("{NC}{more}")]);
    let (none, low, critical) = (
        of(""),
        of(", sensitivity: low"),
        of(", sensitivity: critical"),
    );
    for (old, new, wanted) in [
        (&none, &low, "none -> low"),
        (&low, &critical, "low -> critical"),
        (&critical, &none, "critical -> none"),
    ] {
        assert_eq!(
            said(old, new),
            [format!("Changed rule nc: sensitivity: {wanted}")]
        );
        assert_eq!(turned(old, new), Vec::<String>::new());
    }
}

#[test]
fn an_action_whose_outcome_changes_is_shown_once_for_everybody_whom_it_meets_alike() {
    let old = rules(&["id: a, effect: alert, exec: { path: /a }"]);
    let new = rules(&["id: a, effect: alert, exec: { path: /a }", NC]);
    assert_eq!(
        turned(&old, &new),
        [
            "bot+2: exec /usr/bin/nc: allow (-) -> deny (nc)",
            "bot+2: exec /usr/bin/ncat: allow (-) -> deny (nc)",
        ]
    );
}

#[test]
fn who_is_guarded_anew_meets_the_rules_and_the_others_meet_no_change() {
    let old = rules(&[NC]);
    let new = Policy {
        subjects: Subjects {
            groups: vec!["ops".parse().unwrap()],
            ..old.subjects.clone()
        },
        ..old.clone()
    };
    let found = turned(&old, &new);
    assert!(
        found.contains(&"group ops+0: exec /usr/bin/nc: allow (-) -> deny (nc)".to_owned()),
        "{found:?}"
    );
    assert!(
        found.contains(&"group dev+1: exec /usr/bin/nc: deny (nc) -> allow (-)".to_owned()),
        "{found:?}"
    );
    assert!(!found.iter().any(|one| one.starts_with("bot")), "{found:?}");
}

#[test]
fn what_a_permission_loses_shows_with_its_grant_alone() {
    let of = |path: &str| {
        policy(&format!(
            "  permissions: {{ w: {{ file: {{ ops: [write], path: [{path}] }} }} }}\n  rules: [{{ id: r, effect: require-grant, file: {{ ops: [write], path: /srv/** }} }}]\n"
        ))
    };
    let (old, new) = (of("/srv/a, /srv/b"), of("/srv/a"));
    assert_eq!(said(&old, &new), ["Changed permission w: - write /srv/b"]);
    assert_eq!(
        turned(&old, &new),
        ["bot+2 granted: write /srv/b: allow (r) -> deny (r)"]
    );
}

#[test]
fn each_alternative_of_a_condition_has_a_sample_and_what_has_none_is_named() {
    let with = |condition: &str| {
        rules(&[&format!(
            "id: r, effect: deny, exec: {{ path: /k, {condition} }}"
        )])
    };
    for (before, after, action) in [
        (
            "subcommand: [scale]",
            "subcommand: [scale, rollout restart]",
            "exec /k rollout restart",
        ),
        ("anyArg: [a]", "anyArg: [a, \"b*c\"]", "exec /k bxc"),
        ("option: [-r]", "option: [-r, --force]", "exec /k --force"),
        ("args: [a]", "args: [a, \"*\"]", "exec /k a x"),
        ("regex: drop", "regex: [drop, delete]", "exec /k delete"),
        ("terminal: true", "terminal: false", "exec /k"),
        ("ancestor: /a", "ancestor: [/a, /b]", "exec /k"),
        ("parent: /a", "parent: [/a, /b]", "exec /k"),
    ] {
        let found = turned(&with(before), &with(after));
        let shown = format!(": {action}: allow (-) -> deny (r)");
        assert!(
            found.iter().any(|one| one.ends_with(&shown)),
            "{after}: {found:?}"
        );
    }
    let found = samples(&with("regex: \"^drop [a-z]+$\""), &with("regex: x"), None);
    let without: Vec<&str> = found.without.iter().map(String::as_str).collect();
    assert_eq!(without, ["exec /k, an argument like `^drop [a-z]+$`"]);
}

#[test]
fn beyond_the_bound_nothing_is_tried_and_every_place_is_named() {
    let paths: Vec<String> = (0..256).map(|number| format!("/p{number}")).collect();
    let words: Vec<String> = (0..256).map(|number| format!("a{number}")).collect();
    let (paths, words) = (paths.join(", "), words.join(", "));
    let many = format!("id: r, effect: deny, exec: {{ path: [{paths}], anyArg: [{words}] }}");
    let found = samples(
        &rules(&[NC]),
        &rules(&[&many, "id: s, effect: deny, system: { ops: [bpf] }"]),
        None,
    );
    assert_eq!(found.judged, crate::limits::SAMPLES_MAX);
    assert_eq!(found.without.len(), 257);
    assert!(found.without.contains("bpf"), "{:?}", found.without);
}

#[test]
fn what_a_test_attempts_is_a_sample() {
    let with = |regex: &str| {
        let test = "{ as: alice, groups: [dev], exec: [/k, drop it], expect: allow }";
        policy(&format!(
            "  rules: [{{ id: r, effect: deny, exec: {{ path: /k, regex: \"{regex}\" }} }}]\n  tests: [{test}]\n"
        ))
    };
    assert_eq!(
        turned(&with("^drop x+$"), &with("^drop (x+|it)$")),
        ["bot+2: exec /k 'drop it': allow (-) -> deny (r)"]
    );
}

#[test]
fn monitor_mode_changes_what_restricts() {
    let old = rules(&[NC]);
    let new = Policy {
        mode: Mode::Monitor,
        ..old.clone()
    };
    assert_eq!(said(&old, &new), ["Changed mode: enforce -> monitor"]);
    assert!(
        turned(&old, &new).contains(
            &"bot+2: exec /usr/bin/nc: deny (nc) -> allow (nc, in monitor mode)".to_owned()
        )
    );
}

proptest! {
    #[test]
    fn a_sample_of_every_place_is_met_by_the_rule_that_names_it(
        place in "/[a-c*]{1}[ab]{0,2}(/[ab]\\*?[ab]?){0,2}(/[*][*])?",
        effect in proptest::sample::select(vec!["deny", "hold", "alert"]),
    ) {
        let none = rules(&["id: other, effect: allow, system: { ops: [reboot] }"]);
        let rule = format!("id: r, effect: {effect}, file: {{ ops: [write], path: \"{place}\" }}");
        let found = turned(&none, &rules(&["id: other, effect: allow, system: { ops: [reboot] }", &rule]));
        prop_assert_eq!(found.len(), 1, "{} {:?}", place, found);
    }
}

#[test]
fn a_window_that_changes_is_said_and_shown_at_times_that_tell_it() {
    let office = |times: &str| {
        rules(&[&format!(
            "id: a, effect: deny, exec: {{ path: /a }}, when: {{ outside: \"Mon-Fri {times} UTC\" }}"
        )])
    };
    let (old, new) = (office("09:00-17:00"), office("08:00-17:00"));
    assert_eq!(
        said(&old, &new),
        [
            "Changed rule a: when: outside of Mon,Tue,Wed,Thu,Fri 09:00-17:00 UTC -> outside of Mon,Tue,Wed,Thu,Fri 08:00-17:00 UTC"
        ]
    );
    assert_eq!(
        turned(&old, &new),
        ["bot+2: exec /a at 2024-01-01T08:00:00.000Z: deny (a) -> allow (-)"]
    );
    assert_eq!(turned(&old, &old), Vec::<String>::new());
    // What is so at every time is said once, and without one.
    let always = rules(&["id: a, effect: deny, exec: { path: /a }"]);
    let never = rules(&[
        "id: b, effect: deny, exec: { path: /b }, when: { windows: \"daily 01:00-02:00 UTC\" }",
    ]);
    assert!(turned(&always, &never).contains(&"bot+2: exec /a: deny (a) -> allow (-)".to_owned()));
}

#[test]
fn conditions_that_mean_something_else_never_read_alike() {
    let psql = |condition: &str| {
        rules(&[&format!(
            "id: a, effect: deny, exec: {{ path: /usr/bin/psql, {condition} }}"
        )])
    };
    for (old, new) in [
        ("regex: ['^x{3}$', '^y{3}$']", "regex: ['^x{3}$ or ^y{3}$']"),
        ("anyArg: [a, b]", "anyArg: [a or b]"),
        ("anyArg: [a, b]", "anyArg: [\"a` or `b\"]"),
        ("subcommand: [a b]", "subcommand: [\"a` `b\"]"),
        (
            "anyArg: [a], terminal: true",
            "anyArg: [\"a`, with a terminal\"]",
        ),
    ] {
        assert!(!said(&psql(old), &psql(new)).is_empty(), "{old} | {new}");
    }
    let at = |path: &str| rules(&[&format!("id: a, effect: deny, exec: {{ {path} }}")]);
    let (one, other) = (
        at("path: /a, anyArg: [x]"),
        at("path: \"/a, an argument `x`\""),
    );
    assert!(!said(&one, &other).is_empty());
}

#[test]
fn a_rate_is_tried_used_up_too_where_that_makes_a_difference() {
    let restarts = |limit, then: &str| {
        rules(&[&format!(
            "id: r, effect: throttle, exec: {{ path: /usr/bin/x }}, rate: {{ limit: {limit}, per: 1h, then: {then} }}"
        )])
    };
    assert_eq!(
        turned(&restarts(3, "deny"), &restarts(3, "hold")),
        ["bot+2 used up: exec /usr/bin/x: deny (r) -> hold (r)"]
    );
    // How many it lets through is said, and comes out the same for each.
    assert_eq!(
        turned(&restarts(3, "deny"), &restarts(4, "deny")),
        Vec::<String>::new()
    );
    let none = rules(&["id: other, effect: alert, exec: { path: /usr/bin/y }"]);
    let [before, after] = [&none, &restarts(3, "deny")].map(|policy| {
        turned(policy, &restarts(3, "hold"))
            .into_iter()
            .filter(|line| line.contains("/usr/bin/x"))
            .collect::<Vec<_>>()
    });
    assert_eq!(
        before,
        [
            "bot+2: exec /usr/bin/x: allow (-) -> throttle (r)",
            "bot+2 used up: exec /usr/bin/x: allow (-) -> hold (r)"
        ]
    );
    assert_eq!(after.len(), 1);
    // The same whatever is used up is said once.
    let denied = rules(&["id: r, effect: deny, exec: { path: /usr/bin/x }"]);
    let said = turned(&denied, &none);
    assert_eq!(
        said.iter()
            .filter(|line| line.contains("/usr/bin/x"))
            .count(),
        1
    );
}
