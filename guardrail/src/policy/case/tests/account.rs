//! What is around an answer: the rules that do not decide, and what would let an action go on.

use super::*;

const MORE: &str = "
  permissions:
    all: { exec: { path: /usr/bin/** } }
    get: { exec: { path: /usr/bin/kubectl, subcommand: [get] } }
    move: { file: { ops: [rename, create], path: /srv/www/** } }
    take: { file: { ops: [rename, delete], path: /srv/in/** } }
  rules:
    - { id: first, effect: hold, exec: { path: /usr/bin/kubectl } }
    - { id: second, effect: hold, exec: { path: /usr/bin/** } }
    - { id: look, effect: alert, exec: { path: /usr/bin/kubectl } }
    - { id: ok, effect: allow, exec: { path: /usr/bin/kubectl, terminal: true } }
    - { id: asks, effect: require-grant, exec: { path: /usr/bin/psql, regex: drop } }
    - { id: never, effect: deny, exec: { path: /usr/bin/nc } }
    - { id: in, effect: require-grant, permission: take }
    - { id: out, effect: require-grant, permission: move }
";

struct Asked {
    decides: String,
    others: Vec<String>,
    way: Way,
    asks: bool,
}

fn asked(action: &str, grants: &[&str]) -> Asked {
    let policies = [
        policy("p", MORE, &[&format!("{action}, expect: deny")]),
        policy(
            "watch",
            &format!("  mode: monitor\n{}", MORE.trim_matches('\n')),
            &[],
        ),
    ];
    let case = policies[0].policy.tests.first().unwrap();
    let grants: Vec<_> = grants.iter().map(|name| name.parse().unwrap()).collect();
    let account = Situation {
        policies: &policies,
        user: &case.user,
        groups: &case.groups,
        attempt: &case.attempt,
        grants: &grants,
        used_up: &[],
        flags: None,
        time: None,
    }
    .account();
    let named = |one: &Meeting<'_>| format!("{}/{}", one.policy.name, one.rule.id);
    let others = account.others.iter();
    Asked {
        decides: account.by.as_ref().map(named).unwrap_or_default(),
        others: others
            .map(|one| format!("{}: {}", named(one), account.why_not(one)))
            .collect(),
        way: account.way.clone(),
        asks: account.asks,
    }
}

#[test]
fn every_rule_that_is_met_is_named_with_the_reason_why_it_does_not_decide() {
    let asked = asked("exec: [/usr/bin/kubectl, get]", &[]);
    assert_eq!(asked.decides, "p/first");
    assert_eq!(
        asked.others,
        [
            "p/second: a rule of the same effect comes first",
            "watch/first: its policy is in monitor mode",
            "watch/second: its policy is in monitor mode",
            "p/look: `hold` comes before `alert`",
            "watch/look: `hold` comes before `alert`",
            "p/ok: it is met perhaps, and what may be met permits nothing",
            "watch/ok: it is met perhaps, and what may be met permits nothing",
        ]
    );
}

#[test]
fn a_permission_is_a_way_only_if_a_grant_of_it_changes_the_outcome() {
    let names = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect();
    // A policy that monitors restricts nothing; its permissions are permissions all the same.
    let way = |action: &str| asked(action, &[]).way;
    assert_eq!(way("exec: /usr/bin/nc"), Way::None);
    assert_eq!(
        way("exec: [/usr/bin/kubectl, delete]"),
        Way::Any(names(&["p/all", "watch/all"]))
    );
    assert_eq!(
        way("exec: [/usr/bin/kubectl, get]"),
        Way::Any(names(&["p/all", "p/get", "watch/all", "watch/get"]))
    );
    assert_eq!(
        way("file: { op: rename, path: /srv/in/a, to: /srv/www/a }"),
        Way::All(names(&["p/move", "p/take"]))
    );
    assert_eq!(way("exec: /opt/x"), Way::Open);
}

#[test]
fn with_a_grant_the_rule_that_it_passes_is_named_and_the_others_are_covered() {
    let asked = asked("exec: [/usr/bin/kubectl, get]", &["p/all"]);
    assert_eq!(asked.way, Way::Open);
    assert!(
        asked
            .others
            .contains(&"p/second: a grant covers it".to_owned()),
        "{:?}",
        asked.others
    );
}

#[test]
fn the_agent_is_asked_only_where_a_rule_on_the_program_asks() {
    assert!(asked("exec: [/usr/bin/psql, x]", &[]).asks);
    assert!(!asked("exec: [/usr/bin/kubectl, x]", &[]).asks);
    assert!(!asked("file: { op: read, path: /usr/bin/psql }", &[]).asks);
}
