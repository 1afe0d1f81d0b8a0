//! What becomes of everything that no rule speaks of.

use super::{Effect, check, document, parse, refused};
use crate::policy::case::{Outcome, alone};

fn source(default: &str, more: &str) -> String {
    document(&format!(
        "subjects: {{ groups: [dev] }}\n{default}\nrules:\n  - {{ id: a, effect: allow, exec: {{ path: /usr/bin/ls }} }}\n{more}"
    ))
}

#[test]
fn what_is_no_default_is_refused() {
    for (default, words) in [
        ("default: never", "unknown default `never`"),
        ("default: [deny]", "default is a list, not a mapping"),
        ("default: { exec: alert }", "unknown exec `alert`"),
        ("default: { execs: deny }", "did you mean `exec`?"),
        (
            "default: { exec: deny, timeout: 1m }",
            "nothing is held by default",
        ),
        ("default: { exec: hold, timeout: 2d }", "a hold waits from"),
        (
            "default: { exec: hold, message: \"\" }",
            "a message has 1 to",
        ),
    ] {
        refused(&source(default, ""), words);
    }
    let same = "  - { id: default-exec, effect: deny, exec: { path: /a } }\n";
    refused(&source("default: deny", same), "give the rule another id");
    assert!(parse(&source("default: { exec: allow, net: deny }", same)).is_ok());
}

#[test]
fn a_default_is_a_rule_for_each_class_that_it_restricts() {
    let rules = |default: &str| {
        let policy = parse(&source(default, "")).unwrap();
        let each = policy.rules.iter().skip(1);
        each.map(|rule| (rule.id.to_string(), rule.effect))
            .collect::<Vec<_>>()
    };
    assert_eq!(rules("default: allow"), []);
    let named = |class: &str, effect| (format!("default-{class}"), effect);
    assert_eq!(
        rules("default: { net: hold, exec: deny, file: allow }"),
        [
            named("exec", Effect::DefaultDeny),
            named("net", Effect::DefaultHold)
        ]
    );
    assert_eq!(
        rules("default: hold"),
        ["exec", "file", "net", "system"].map(|class| named(class, Effect::DefaultHold))
    );
}

#[test]
fn a_default_that_lets_no_program_start_is_warned_about() {
    let warned = |default: &str, more: &str| {
        let policy = parse(&source(default, more)).unwrap();
        check(&policy)
            .iter()
            .filter(|one| one.message.contains("no dynamically linked program"))
            .count()
    };
    let libraries = |ops: &str| {
        format!("  - {{ id: l, effect: allow, file: {{ ops: [{ops}], path: /usr/lib/** }} }}\n")
    };
    assert_eq!(warned("default: deny", ""), 2);
    assert_eq!(warned("default: { exec: deny }", ""), 1);
    assert_eq!(warned("default: { exec: deny }", &libraries("read")), 1);
    assert_eq!(warned("default: { exec: deny }", &libraries("map-exec")), 0);
    assert_eq!(warned("default: deny", &libraries("read, map-exec")), 0);
    // Whoever lists some of them has thought of libraries.
    for path in ["/usr/lib/x86_64-linux-gnu/*", "/lib64/ld-linux-x86-64.so.2"] {
        let some =
            format!("  - {{ id: l, effect: allow, file: {{ ops: [map-exec], path: {path} }} }}\n");
        assert_eq!(warned("default: { exec: deny }", &some), 0, "{path}");
    }
    let elsewhere = "  - { id: l, effect: allow, file: { ops: [map-exec], path: /usr/share/x } }\n";
    assert_eq!(warned("default: { exec: deny }", elsewhere), 1);
    assert_eq!(warned("default: { net: deny, system: hold }", ""), 0);
}

/// Of one attempt.
fn outcome(spec: &str, action: &str) -> (Outcome, String) {
    let source = document(&format!(
        "subjects: {{ groups: [dev] }}\n{spec}tests:\n  - {{ as: alice, groups: [dev], {action}, expect: allow }}\n"
    ));
    let policy = parse(&source).unwrap_or_else(|found| panic!("{found:?}\n{source}"));
    let host = [super::Versioned {
        revision: super::Revision(1),
        policy,
    }];
    let judged = crate::policy::case::judge(&host, 0);
    let one = judged.first().unwrap();
    let rule = one.explanation.rule.as_ref();
    (
        one.outcome,
        rule.map(|rule| rule.rule.to_string()).unwrap_or_default(),
    )
}

#[test]
fn of_what_a_call_does_at_once_everything_has_to_be_allowed() {
    let spec = "default: { file: deny }\nrules:\n  - { id: w, effect: allow, file: { ops: [write], path: /srv/** } }\n  \
                - { id: h, effect: hold, file: { ops: [write], path: /srv/h/** } }\n  \
                - { id: t, effect: throttle, file: { ops: [create, write], path: /srv/t/** }, rate: { limit: 1, per: 1m, then: deny } }\n";
    let create = |path: &str| {
        outcome(
            spec,
            &format!("file: {{ ops: [create, write], path: {path} }}"),
        )
    };
    let write = |path: &str| outcome(spec, &format!("file: {{ op: write, path: {path} }}"));
    let denied = || (Outcome::Deny, "default-file".to_owned());
    assert_eq!(write("/srv/x"), (Outcome::Allow, "w".to_owned()));
    // The rule says nothing of the new name.
    assert_eq!(create("/srv/x"), denied());
    // An approval of the write would not be one of the new name.
    assert_eq!(create("/srv/h/x"), denied());
    assert_eq!(write("/srv/h/x"), (Outcome::Hold, "h".to_owned()));
    assert_eq!(create("/srv/t/x"), (Outcome::Throttle, "t".to_owned()));
    assert_eq!(write("/elsewhere"), denied());
}

#[test]
fn nothing_of_a_class_is_left_out() {
    let spec = "default: deny\nrules:\n  - { id: a, effect: allow, exec: { path: /usr/bin/ls } }\n";
    for action in [
        "exec: [/usr/bin/id]",
        "file: { op: read, path: /etc/passwd }",
        "file: { op: map-exec, path: /usr/lib/x.so }",
        "file: { op: rename, path: /tmp/a, to: /tmp/b }",
        "net: { op: connect, address: 10.0.0.1, port: 80 }",
        "net: { op: send, address: \"2001:db8::1\", port: 53, protocol: udp }",
        "net: { op: listen, address: \"::\", port: 0 }",
        "net: { op: connect, path: /run/docker.sock }",
        "net: { op: bind, abstract: x }",
        "net: { op: connect, vsock: { cid: 2, port: 22 } }",
        "net: { op: raw }",
        "net: { op: netlink }",
        "system: { op: reboot }",
        "system: { op: ptrace }",
    ] {
        let (outcome, rule) = outcome(spec, action);
        assert_eq!(outcome, Outcome::Deny, "{action}");
        assert!(rule.starts_with("default-"), "{action}: {rule}");
    }
    assert_eq!(outcome(spec, "exec: [/usr/bin/ls]").0, Outcome::Allow);
}

#[test]
fn a_grant_lets_through_what_the_default_denies() {
    let source = document(
        "subjects: { groups: [dev] }\ndefault: deny\npermissions: { p: { exec: { path: /a } } }\nrules:\n  - { id: a, effect: \
         allow, exec: { path: /usr/bin/ls } }\ntests:\n  - { as: alice, groups: [dev], exec: [/a], expect: deny, rule: \
         default-exec }\n  - { as: alice, groups: [dev], exec: [/a], grants: [p], expect: allow, rule: default-exec }\n  - { as: \
         alice, groups: [dev], exec: [/b], grants: [p], expect: deny, rule: default-exec }\n",
    );
    let (failures, problems) = alone(&parse(&source).unwrap());
    assert_eq!(failures, 0, "{problems:?}");
}
