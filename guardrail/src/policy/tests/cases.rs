//! Tests in a policy document: what is refused, and with which remedy.

use super::*;
use crate::limits::TESTS_MAX;

const RULES: &str = "subjects: { groups: [dev] }
permissions: { db: { net: { ops: [connect], cidr: 10.0.0.0/8 } } }
rules:
  - { id: no-netcat, effect: deny, exec: { path: /usr/bin/nc } }
  - { id: db, effect: require-grant, permission: db }
";

fn with_tests(tests: &[&str]) -> String {
    document(&format!("{RULES}tests:\n{}", lines("  - ", tests)))
}

const GOOD: &str = "{ name: n, as: alice, groups: [dev], exec: [/usr/bin/nc, \"\", 1, null], parent: /bin/sh, ancestors: [/sbin/init], terminal: true, grants: [db], expect: deny, rule: no-netcat }";

#[test]
fn a_test_is_read_with_all_it_says() {
    let policy = parse(&with_tests(&[GOOD])).unwrap();
    let [case] = policy.tests.as_slice() else {
        panic!("{policy:?}")
    };
    assert_eq!((case.at.line, case.at.column), (11, 7));
    assert_eq!(case.attempt.to_string(), "exec /usr/bin/nc '' 1 null");
    assert_eq!(case.shown(), "n");
}

#[test]
fn every_mistake_in_a_test_is_refused_with_a_remedy() {
    for (test, needle) in [
        ("[]", "a test is a list, not a mapping"),
        ("{ exec: /a, expect: deny }", "a test has no `as`"),
        ("{ as: alice, exec: /a }", "a test has no `expect`"),
        ("{ as: \"a b\", exec: /a, expect: deny }", "is not a user"),
        ("{ as: a, expect: deny }", "and this one has none of them"),
        (
            "{ as: a, exec: /a, system: { op: bpf }, expect: deny }",
            "and this one has `exec` and `system`",
        ),
        (
            "{ as: a, exec: /a, expekt: deny }",
            "did you mean `expect`?",
        ),
        (
            "{ as: a, exec: /a, expect: denied }",
            "did you mean `deny`?",
        ),
        (
            "{ as: a, exec: /a, expect: require-grant }",
            "without a grant it is `deny`",
        ),
        (
            "{ as: a, exec: /a, expect: deny, rule: no-netcats }",
            "the policy has no rule `no-netcats`; did you mean `no-netcat`?",
        ),
        (
            "{ as: a, exec: /a, expect: allow, rule: no-netcat }",
            "effect `deny`, of which `allow` never comes",
        ),
        (
            "{ as: a, exec: /a, expect: deny, grants: [dbb] }",
            "the policy has no permission `dbb`; did you mean `db`?",
        ),
        (
            "{ as: a, exec: /a, expect: deny, grants: [db, db] }",
            "`db` is in grants twice",
        ),
        ("{ as: a, exec: [], expect: deny }", "exec is an empty list"),
        (
            "{ as: a, exec: nc, expect: deny }",
            "a path starts with `/`",
        ),
        ("{ as: a, exec: /a/../b, expect: deny }", "write `/b`"),
        (
            "{ as: a, exec: /usr/bin/**, expect: deny }",
            "a test is about one path, and this is a pattern",
        ),
        ("{ as: a, exec: [/a, \"\\0\"], expect: deny }", "no NUL"),
        ("{ as: a, exec: [/a, [b]], expect: deny }", "not text"),
        (
            "{ as: a, exec: /a, sha256: ab, expect: deny }",
            "64 hexadecimal digits",
        ),
        (
            "{ as: a, exec: /a, terminal: 1, expect: deny }",
            "not `true` or `false`",
        ),
        (
            "{ as: a, system: { op: bpf }, parent: /a, expect: deny }",
            "`parent` is known of executions only",
        ),
        (
            "{ as: a, system: { op: ptarce }, expect: deny }",
            "did you mean",
        ),
        (
            "{ as: a, file: { op: wriet, path: /a }, expect: deny }",
            "did you mean `write`?",
        ),
        ("{ as: a, file: { path: /a }, expect: deny }", "no `op`"),
        ("{ as: a, file: { op: read }, expect: deny }", "no `path`"),
        (
            "{ as: a, file: { op: rename, path: /a }, expect: deny }",
            "this one has no `to`",
        ),
        (
            "{ as: a, file: { op: write, path: /a, to: /b }, expect: deny }",
            "`to` is the other end",
        ),
        (
            "{ as: a, file: { op: write, ops: [read], path: /a }, expect: deny }",
            "both `op` and `ops`",
        ),
        (
            "{ as: a, net: { op: connect, address: 10.0.0.0/8, port: 1 }, expect: deny }",
            "a test is about one address",
        ),
        (
            "{ as: a, net: { op: connect, address: 10.0.0.1 }, expect: deny }",
            "no `port`; write the one port",
        ),
        (
            "{ as: a, net: { op: connect, address: 10.0.0.1, port: 65536 }, expect: deny }",
            "from 0 to 65535",
        ),
        (
            "{ as: a, net: { op: send, address: 10.0.0.1, port: 1, protocol: icmp }, expect: deny }",
            "icmp has no ports",
        ),
        (
            "{ as: a, net: { op: connect, address: 10.0.0.1, path: /a, port: 1 }, expect: deny }",
            "net has one of",
        ),
        (
            "{ as: a, net: { op: raw, address: 10.0.0.1 }, expect: deny }",
            "`raw` is about no address",
        ),
        (
            "{ as: a, net: { op: bind, path: /a }, expect: deny }",
            "it makes a file",
        ),
        (
            "{ as: a, net: { op: connect, abstract: \"a*\" }, expect: deny }",
            "and this is a pattern",
        ),
        (
            "{ as: a, net: { op: connect, vsock: { cid: any, port: 1 } }, expect: deny }",
            "which are numbers",
        ),
        (
            "{ as: a, net: { op: connect, path: /a, protocol: tcp }, expect: deny }",
            "`protocol` belongs to `address`",
        ),
        (
            "{ name: \"a\\nb\", as: a, exec: /a, expect: deny }",
            "one line without control characters",
        ),
    ] {
        refused(&with_tests(&[test]), needle);
    }
    refused(&document(&format!("{RULES}tests: []\n")), "empty list");
    refused(&document(&format!("{RULES}tests: x\n")), "tests is text");
}

#[test]
fn a_name_is_used_once_and_the_finding_says_where_it_was_first() {
    let twice = with_tests(&[GOOD, GOOD]);
    refused(
        &twice,
        "12:7: test name `n` is used twice, first in line 11",
    );
    let unnamed = GOOD.replace("name: n, ", "");
    assert!(parse(&with_tests(&[&unnamed, &unnamed])).is_ok());
}

#[test]
fn a_rule_that_cannot_be_read_is_not_called_unknown() {
    let source = with_tests(&[GOOD]).replace("effect: deny, exec", "effect: dney, exec");
    let found = findings(&source);
    assert!(found.contains("did you mean `deny`?"), "{found}");
    assert!(!found.contains("has no rule"), "{found}");
}

#[test]
fn as_many_tests_as_the_bound_are_read_and_one_more_is_not() {
    let test = "{ as: a, exec: /a, expect: allow }";
    assert_eq!(
        parse(&with_tests(&vec![test; TESTS_MAX]))
            .unwrap()
            .tests
            .len(),
        TESTS_MAX
    );
    refused(
        &with_tests(&vec![test; TESTS_MAX + 1]),
        "tests has 10001 items, more than the 10000",
    );
    // Ten thousand mistakes are a page of findings, and no search for each.
    let wrong = with_tests(&vec![
        "{ as: a, exec: /a, expect: deny, rule: x }";
        TESTS_MAX
    ]);
    assert_eq!(parse(&wrong).unwrap_err().len(), DIAGNOSTICS_MAX + 1);
}

#[test]
fn the_tests_in_the_documentation_pass_on_the_policy_in_the_documentation() {
    let text = include_str!("../../../../docs/policy.md");
    let mut blocks = text
        .split("```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next());
    let policy = blocks.next().unwrap();
    let tests = blocks.find(|block| block.starts_with("  tests:")).unwrap();
    let policy = parse(&format!("{policy}{tests}")).unwrap();
    assert!(policy.tests.len() >= 6);
    let policies = [Versioned {
        revision: Revision(1),
        policy,
    }];
    let problems: Vec<_> = case::judge(&policies, 0)
        .iter()
        .filter_map(case::Judged::problem)
        .collect();
    assert_eq!(problems, []);
}

fn word() -> impl Strategy<Value = String> {
    const WORDS: &[&str] = &[
        "as",
        "exec",
        "file",
        "net",
        "system",
        "expect",
        "deny",
        "rule",
        "no-netcat",
        "/usr/bin/nc",
        "op",
        "ops",
        "connect",
        "address",
        "10.0.0.1",
        "port",
        "-1",
        "99999",
        "~",
        "\"\\e[2J\"",
        "[]",
        "{}",
        "[a, [b]]",
        "{ op: rename, path: /a, to: /b }",
        "\"\\u202e\"",
        "path",
        "to",
        "vsock",
        "name",
        "grants",
        "db",
        "groups",
        "*",
        "/**",
        "''",
    ];
    proptest::sample::select(WORDS).prop_map(str::to_owned)
}

proptest! {
    #[test]
    fn garbage_in_a_test_is_read_or_refused_at_a_place_within_it_and_shown_safely(
        pairs in proptest::collection::vec((word(), word()), 0..8),
    ) {
        let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}: {value}")).collect();
        let source = with_tests(&[&format!("{{ {} }}", pairs.join(", "))]);
        let Err(found) = parse(&source) else { return Ok(()) };
        prop_assert!(!found.is_empty());
        for finding in found {
            prop_assert!(finding.at.line >= 11, "{finding}");
            let shown = finding.to_string() + &finding.excerpt;
            prop_assert!(!shown.contains(['\u{1b}', '\u{202e}', '\n']), "{shown:?}");
        }
    }
}
