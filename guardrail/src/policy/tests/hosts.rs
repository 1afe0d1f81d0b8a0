//! On which hosts a policy counts.

use super::{document, parse, refused};
use crate::policy::{HostLabels, Label, case::alone};

fn source(hosts: &str) -> String {
    document(&format!(
        "subjects: {{ groups: [dev] }}\nhosts: {hosts}\nrules:\n  - {{ id: a, effect: deny, exec: {{ path: /a }} }}"
    ))
}

#[test]
fn what_selects_no_host_is_refused() {
    for (hosts, words) in [
        ("prod", "hosts is text, not a mapping"),
        ("{}", "hosts"),
        ("[{ env: prod }]", "hosts is a list, not a mapping"),
        ("{ env: [] }", "label value is an empty list"),
        ("{ env: { is: prod } }", "a value or a list of values"),
        ("{ Env: prod }", "is not a label name"),
        ("{ env: \"pro d\" }", "is not a label value"),
        ("{ env: prod, env: staging }", "twice"),
    ] {
        refused(&source(hosts), words);
    }
    let many: Vec<String> = (0..33).map(|n| format!("l{n}: x")).collect();
    refused(&source(&format!("{{ {} }}", many.join(", "))), "1 and 32");
}

#[test]
fn a_host_without_one_of_the_labels_is_not_meant() {
    let policy = parse(&source("{ env: prod, region: [eu, us] }")).unwrap();
    let selects = |labels: &[&str]| {
        let labels: HostLabels = labels
            .iter()
            .map(|one| one.parse::<Label>().unwrap())
            .collect();
        policy.hosts.selects(&labels)
    };
    assert!(selects(&["env=prod", "region=us", "role=db"]));
    for labels in [
        &[][..],
        &["env=prod"],
        &["region=eu"],
        &["env=staging", "region=eu"],
        &["env=prod", "region=asia"],
    ] {
        assert!(!selects(labels), "{labels:?}");
    }
    assert_eq!(policy.hosts.to_string(), "env=prod, region=eu or us");
    let everywhere = parse(&super::with_rules(&[
        "{ id: a, effect: deny, exec: { path: /a } }",
    ]));
    assert!(everywhere.unwrap().hosts.selects(&HostLabels::default()));
}

#[test]
fn what_is_no_label_is_refused() {
    for text in [
        "",
        "env",
        "=prod",
        "env=",
        "env=prod=x",
        "env=a b",
        "Env=prod",
    ] {
        assert!(text.parse::<Label>().is_err(), "{text}");
    }
}

#[test]
fn a_test_says_on_which_host() {
    let test = |host: &str, expect: &str| {
        format!("\n  - {{ as: alice, groups: [dev], exec: [/a], {host}expect: {expect} }}")
    };
    let tests = [
        test("", "deny"),
        test("host: { env: prod }, ", "deny"),
        test("host: { env: staging }, ", "allow"),
        test("host: { region: eu }, ", "allow"),
    ];
    let document = format!(
        "{}\n  tests:{}",
        source("{ env: prod }").trim_end(),
        tests.concat().replace('\n', "\n  ")
    );
    let policy = parse(&document).unwrap_or_else(|found| panic!("{found:?}\n{document}"));
    let (failures, problems) = alone(&policy);
    assert_eq!((policy.tests.len(), failures), (4, 0), "{problems:?}");
}
