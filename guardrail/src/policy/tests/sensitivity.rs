//! How sensitive a rule is: where it may be said, which rules have it then, and when nobody would see it.

use super::{check, document, findings, parse, refused, with_rules};
use crate::{
    policy::{Policy, preset},
    sensitivity::Sensitivity,
};

const LS: &str = "id: a, effect: allow, exec: { path: /usr/bin/ls }";

fn rule(more: &str) -> String {
    with_rules(&[&format!(
        "{{ id: a, effect: deny, exec: {{ path: /a/** }}, {more} }}"
    )])
}

fn with(spec: &str) -> String {
    document(&format!(
        "subjects: {{ groups: [dev] }}\n{spec}\nrules: [{{ {LS} }}]"
    ))
}

fn of(policy: &Policy, rule: &str) -> Option<Sensitivity> {
    let mut rules = policy.rules.iter();
    let found = rules.find(|one| one.id.as_str() == rule);
    found
        .unwrap_or_else(|| panic!("no rule {rule}"))
        .sensitivity
}

#[test]
fn what_is_no_sensitivity_or_stands_where_it_means_nothing_is_refused() {
    for (more, words) in [
        ("sensitivity: urgent", "unknown sensitivity `urgent`"),
        ("sensitivity: High", "did you mean `high`?"),
        ("sensitivity: 3", "unknown sensitivity `3`"),
        ("sensitivity: [high]", "sensitivity is a list"),
        ("sensitivity: ~", "sensitivity"),
        ("sensitive: high", "did you mean `sensitivity`?"),
        (
            "when: { sensitivity: high, flags: busy }",
            "`sensitivity` is a key of the rule, and not of `when`; write it beside `when`",
        ),
        ("when: { rate: 3 }", "`rate` is a key of the rule"),
        ("when: { session: x }", "not enforced by this build"),
    ] {
        refused(&rule(more), words);
    }
    let permission = "permissions: { p: { exec: { path: /a }, sensitivity: high } }";
    refused(&with(permission), "unknown key `sensitivity`");
    for default in [
        "{ exec: allow, sensitivity: high }",
        "{ exec: allow, sensitivity: x }",
    ] {
        refused(
            &with(&format!("default: {default}")),
            "nothing is restricted by default",
        );
    }
    refused(
        &with("default: { exec: deny, sensitivity: none }"),
        "unknown sensitivity `none`",
    );
}

#[test]
fn a_wrong_word_for_a_preset_is_one_finding_and_one_for_no_rule_is_refused() {
    let wrong = with("extends: [{ preset: confined-root@1, sensitivity: urgent }]");
    assert_eq!(
        findings(&wrong)
            .matches("unknown sensitivity `urgent`")
            .count(),
        1
    );
    let contents = preset::find("prod-database@1").unwrap().contents().unwrap();
    let ids: Vec<&str> = contents
        .policy
        .rules
        .iter()
        .map(|rule| rule.id.as_str().trim_start_matches("prod-database."))
        .collect();
    let nothing_left = format!(
        "extends: [{{ preset: prod-database@1, sensitivity: high, with: {{ databases: 10.0.0.1 }}, except: [{}] }}]",
        ids.join(", ")
    );
    refused(&with(&nothing_left), "no rule of preset `prod-database@1`");
}

#[test]
fn a_rule_has_what_it_says_and_nothing_if_it_says_nothing() {
    for one in Sensitivity::ALL {
        let policy = parse(&rule(&format!("sensitivity: {one}"))).unwrap();
        assert_eq!(of(&policy, "a"), Some(one));
    }
    assert_eq!(of(&parse(&rule("message: no")).unwrap(), "a"), None);
}

#[test]
fn a_default_gives_it_to_each_class_that_it_restricts_and_to_no_rule() {
    let source = with("default: { exec: deny, file: hold, net: allow, sensitivity: high }");
    let policy = parse(&source).unwrap();
    assert_eq!(of(&policy, "default-exec"), Some(Sensitivity::High));
    assert_eq!(of(&policy, "default-file"), Some(Sensitivity::High));
    assert_eq!(of(&policy, "a"), None);
    assert_eq!(policy.rules.len(), 3);
}

#[test]
fn every_rule_of_a_preset_has_what_its_item_says_also_written_out() {
    let source = with(
        "extends: [{ preset: confined-root@1, sensitivity: critical }, accident-prevention@1]",
    );
    for source in [source.clone(), preset::expand(&source).unwrap()] {
        let policy = parse(&source).unwrap();
        let mut given = 0;
        for rule in &policy.rules {
            let is_given = rule.id.as_str().starts_with("confined-root.");
            let wanted = is_given.then_some(Sensitivity::Critical);
            assert_eq!(rule.sensitivity, wanted, "{}", rule.id);
            given += usize::from(is_given);
        }
        assert!(given > 5 && policy.rules.len() > given + 1, "{given}");
    }
}

#[test]
fn one_that_nobody_ever_sees_is_warned_of() {
    let warned = |source: &str| {
        let found = check(&parse(source).unwrap());
        found
            .iter()
            .any(|one| one.message.contains("nobody ever sees it"))
    };
    let allow = |more: &str| with_rules(&[&format!("{{ {LS}, {more} }}")]);
    assert!(warned(&allow("sensitivity: low")));
    assert!(!warned(&allow("sensitivity: low, record: true")));
    assert!(!warned(&allow("record: true")));
    assert!(!warned(&rule("sensitivity: low")));
}
