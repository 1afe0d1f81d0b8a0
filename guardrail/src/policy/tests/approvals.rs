//! Who may approve: what can never be approved is refused, what probably is not meant is warned of.

use super::{document, parse, refused};
use crate::policy::{Policy, check, preset};

fn source(approvals: &str, rule: &str) -> String {
    document(&format!(
        "subjects: {{ groups: [dev], users: [alice] }}\napprovals:\n{approvals}\nrules:\n  - {{ id: a, effect: hold, exec: {{ path: /a }}, {rule} }}"
    ))
}

fn stages(stages: &str) -> String {
    source(
        &format!("  - {{ name: two, stages: [{stages}] }}"),
        "approval: two",
    )
}

#[test]
fn what_nobody_could_ever_approve_is_refused() {
    for (text, words) in [
        ("", "stages is an empty list"),
        ("{}", "exactly one of `any`, `all` and `count` with `of`"),
        ("{ any: [user:bob], all: [user:bob] }", "exactly one of"),
        ("{ any: [] }", "any is an empty list"),
        ("{ any: [bob] }", "names no approver"),
        ("{ any: [user:bob, user:bob] }", "twice"),
        ("{ any: [\"user:a b\"] }", "is not a user name"),
        ("{ count: 2 }", "`count` does not say of whom"),
        (
            "{ any: [user:bob], of: [user:bob] }",
            "`of` belongs to `count`",
        ),
        ("{ count: 0, of: [group:dba] }", "from 1 to 32"),
        (
            "{ count: 3, of: [user:bob, user:carol] }",
            "needs 3 people and names 2",
        ),
        (
            "{ any: [user:bob], timeout: 0s }",
            "a stage lasts from 1s to 1d, not 0s",
        ),
        (
            "{ any: [user:bob], timeout: 25h }",
            "a stage lasts from 1s to 1d, not 1d1h",
        ),
        (
            "{ any: [user:bob], escalate: { to: [manager] } }",
            "has no `after`",
        ),
        (
            "{ any: [user:bob], escalate: { after: 2d, to: [manager] } }",
            "escalates after",
        ),
        (
            "{ any: a }, { any: a }, { any: a }, { any: a }, { any: a }, { any: a }",
            "6 items, more than the 5",
        ),
    ] {
        refused(&stages(text), words);
    }
    let two = "  - { name: two, stages: [{ any: [user:bob] }] }\n";
    refused(
        &source(&[two, two].concat(), "approval: two"),
        "defined twice",
    );
    refused(&source(two, "approval: twos"), "did you mean `two`?");
    let denies = source(two, "approval: two").replace("effect: hold", "effect: deny");
    refused(&denies, "`approval` belongs to rules of effect `hold`");
    let by_default = source(two, "approval: two").replace(
        "approvals:",
        "default: { exec: deny, approval: two }\n  approvals:",
    );
    refused(&by_default, "nothing is held by default");
    let preset = source(two, "approval: two").replace(
        "approvals:",
        "extends: [{ preset: ssh-keys-and-sudoers@1, approval: two }]\n  approvals:",
    );
    refused(&preset, "holds anything");
}

fn plan(policy: &Policy, rule: &str) -> Option<String> {
    let rule = policy.rules.iter().find(|one| one.id.as_str() == rule)?;
    policy.approval(rule).map(ToString::to_string)
}

#[test]
fn rules_defaults_and_what_a_preset_holds_are_approved_as_they_say() {
    let source = document(
        "subjects: { groups: [dev] }
default: { net: hold, exec: deny, approval: one }
extends: { preset: accident-prevention@1, approval: two }
approvals:
  - { name: one, stages: [{ any: [\"group:sre\", \"user:carol\"], escalate: { after: 1m, to: [manager] } }] }
  - { name: two, stages: [{ all: [\"group:sre\", \"on-call:ops\"] }, { count: 2, of: group:dba }] }
rules:
  - { id: mine, effect: hold, exec: { path: /a } }
  - { id: often, effect: throttle, exec: { path: /b }, rate: { limit: 1, per: 1m, then: hold }, approval: two }",
    );
    let policy = parse(&source).unwrap();
    let one = "any of group:sre, user:carol; after 1m also manager";
    let two = "each of group:sre, on-call:ops, then 2 of group:dba";
    assert_eq!(plan(&policy, "mine"), None);
    assert_eq!(plan(&policy, "often").as_deref(), Some(two));
    assert_eq!(plan(&policy, "default-net").as_deref(), Some(one));
    assert_eq!(plan(&policy, "default-exec"), None);
    let (held, others): (Vec<_>, Vec<_>) = policy
        .rules
        .iter()
        .filter(|rule| rule.included)
        .partition(|rule| rule.holds());
    assert!(!held.is_empty());
    for rule in held {
        assert_eq!(plan(&policy, rule.id.as_str()).as_deref(), Some(two));
    }
    assert!(others.iter().all(|rule| rule.approval.is_none()));
    let written = preset::expand(&source).unwrap();
    let again = parse(&written).unwrap();
    for rule in &again.rules {
        assert_eq!(
            plan(&again, rule.id.as_str()),
            plan(&policy, rule.id.as_str()),
            "{}",
            rule.id
        );
    }
}

#[track_caller]
fn warned(source: &str, words: &str) {
    let warnings: Vec<String> = check(&parse(source).unwrap())
        .iter()
        .map(ToString::to_string)
        .collect();
    let found = warnings.iter().any(|warning| warning.contains(words));
    assert!(found, "no `{words}` in {warnings:#?}");
}

#[test]
fn approvals_that_nobody_gives_are_warned_of() {
    let unused = source(
        "  - { name: two, stages: [{ any: [user:bob] }] }",
        "timeout: 1m",
    );
    warned(&unused, "no rule names approval `two`");
    warned(
        &stages("{ any: [user:bob] }, { any: [\"user:alice\", \"group:dev\"] }"),
        "stage 2 of approval `two` asks only whom the policy guards",
    );
    let late = stages("{ any: [user:bob], escalate: { after: 5m, to: [manager] } }");
    warned(&late, "nobody is ever asked in addition");
    let never = stages("{ any: [user:bob], escalate: { after: 1m, to: [manager] }, timeout: 1m }");
    warned(
        &never,
        "stage 1 of approval `two` has 1m and escalates after 1m",
    );
    let first = "{ any: [user:bob], timeout: 4m }, { any: [user:carol], timeout: 5m }";
    warned(
        &stages(first),
        "rule `a` waits 5m for all stages together and stage 2 of approval `two` has 5m",
    );
    let included = source(
        "  - { name: two, stages: [{ any: [user:bob], timeout: 1d }] }",
        "timeout: 1m",
    )
    .replace(
        "approvals:",
        "extends: { preset: accident-prevention@1, approval: two }\n  approvals:",
    );
    let warnings = check(&parse(&included).unwrap());
    let too_short = warnings
        .iter()
        .filter(|one| one.message.contains("counts for nothing"));
    assert_eq!(
        too_short.count(),
        1,
        "once for what is included: {warnings:#?}"
    );
    let fine = stages(
        "{ any: [\"user:bob\", \"group:dev\"], escalate: { after: 1m, to: [manager] }, timeout: 2m }",
    );
    assert!(
        check(&parse(&fine).unwrap())
            .iter()
            .all(|warning| !warning.message.contains("approval"))
    );
}
