//! Profiles: what nobody could ask for is refused, and no value is more than itself.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{document, parse, refused};
use crate::{
    id::Revision,
    key::PermissionRef,
    policy::{Policy, Target, Versioned, check, compile, compile_granted, diff},
    values::Values,
};

const PERMISSIONS: &str =
    "  restart: { exec: { path: /usr/bin/systemctl, subcommand: [\"restart ${service}\"] } }
  logs: { file: { ops: [read], path: \"/var/log/${service}/**\" } }
  plain: { file: { ops: [read], path: /etc/plain } }";

fn with(permissions: &str, profiles: &str, more: &str) -> String {
    document(&format!(
        "subjects: {{ groups: [dev] }}\npermissions:\n{permissions}\nprofiles:\n{profiles}\nrules:\n  - {{ id: a, effect: deny, exec: {{ path: \
         /a }} }}\n{more}"
    ))
}

fn profile(text: &str) -> String {
    with(
        PERMISSIONS,
        &format!("  - {{ name: care, allow: [restart, logs], {text} }}"),
        "",
    )
}

const SERVICE: &str = "parameters: { service: { enum: [nginx, postgres] } }";

#[track_caller]
fn policy(source: &str) -> Policy {
    parse(source).unwrap_or_else(|findings| panic!("{findings:?}\n{source}"))
}

#[test]
fn a_profile_of_which_nothing_could_come_is_refused_with_what_to_write() {
    for (text, words) in [
        (
            "parameters: { servise: { enum: [nginx] } }",
            "uses `${service}`, and has no parameter `service`",
        ),
        (
            "parameters: { service: { enum: [] } }",
            "enum is an empty list",
        ),
        ("parameters: { service: { enum: [a, a] } }", "twice"),
        (
            "parameters: { service: { enum: [\"*\"] } }",
            "is no value of an enum",
        ),
        (
            "parameters: { service: { enum: [..] } }",
            "is no value of an enum",
        ),
        (
            "parameters: { service: { enum: [a/b] } }",
            "is no value of an enum",
        ),
        (
            "parameters: { service: { enum: [\"a b\"] } }",
            "is no value of an enum",
        ),
        (
            "parameters: { service: { enum: [-r] } }",
            "is no value of an enum",
        ),
        (
            "parameters: { service: { enum: [a], path: /a } }",
            "exactly one of `enum`, `integer` and `path`",
        ),
        (
            "parameters: { service: { integer: 9-1 } }",
            "its end comes first",
        ),
        (
            "parameters: { service: { integer: 4294967296 } }",
            "is no range of integers",
        ),
        (
            "parameters: { service: { path: srv } }",
            "a path starts with `/`",
        ),
        (
            "parameters: { service: { path: '/a\\*' } }",
            "has a name that no value can have",
        ),
        (
            "parameters: { service: { regex: a } }",
            "not enforced by this build",
        ),
        (
            "parameters: { service: { path: /srv/** } }",
            "blanks part the words of a `subcommand`",
        ),
        (
            "parameters: { Service: { enum: [a] } }",
            "is not a parameter name",
        ),
        (&format!("{SERVICE}, maxDuration: 8d"), "a grant lasts from"),
        (
            &format!("{SERVICE}, excludes: {{ profiles: care }}"),
            "excludes itself",
        ),
        (
            &format!("{SERVICE}, excludes: {{ profiles: car }}"),
            "did you mean `care`?",
        ),
        (
            &format!("{SERVICE}, excludes: {{}}"),
            "excludes names nothing",
        ),
        (
            &format!("{SERVICE}, approval: x"),
            "not enforced by this build",
        ),
    ] {
        refused(&profile(text), words);
    }
    let care = format!("  - {{ name: care, allow: [restart, logs, plane], {SERVICE} }}");
    refused(&with(PERMISSIONS, &care, ""), "did you mean `plain`?");
    let twice = format!("  - {{ name: care, allow: [restart, logs], {SERVICE} }}\n").repeat(2);
    refused(&with(PERMISSIONS, twice.trim_end(), ""), "defined twice");
}

#[test]
fn a_permission_with_parameters_is_given_by_a_profile_or_by_nothing() {
    let only_one = format!("  - {{ name: care, allow: restart, {SERVICE} }}");
    refused(
        &with(PERMISSIONS, &only_one, ""),
        "permission `logs` has parameters, and no profile allows it",
    );
    let named = profile(SERVICE).replace("exec: { path: /a }", "permission: logs");
    refused(
        &named,
        "permission `logs` has parameters, and a rule knows no `service`",
    );
    let test = |grants: &str| {
        let test = format!(
            "tests:\n  - {{ as: alice, groups: [dev], exec: [/x], grants: [{grants}], expect: allow }}"
        );
        with(
            PERMISSIONS,
            &format!("  - {{ name: care, allow: [restart, logs], {SERVICE} }}"),
            &test,
        )
    };
    refused(&test("logs"), "only a profile gives it");
    refused(
        &test("{ profile: care }"),
        "needs `service`, one of nginx, postgres",
    );
    refused(
        &test("{ profile: care, with: { service: apache } }"),
        "it is none of them; it is one of nginx, postgres",
    );
    refused(
        &test("{ profile: care, with: { servise: nginx } }"),
        "did you mean `service`?",
    );
    refused(
        &test("{ profile: cared, with: { service: nginx } }"),
        "did you mean `care`?",
    );
    assert!(parse(&test("{ profile: care, with: { service: nginx } }, plain")).is_ok());
}

#[test]
fn a_parameter_stands_only_where_its_kind_can() {
    let one = |permission: &str, parameter: &str| {
        let permissions = format!("  it: {{ {permission} }}");
        let profiles = format!("  - {{ name: care, allow: it, parameters: {{ x: {parameter} }} }}");
        with(&permissions, &profiles, "")
    };
    for (permission, parameter, words) in [
        (
            "net: { ops: [connect], cidr: 10.0.0.0/8, ports: \"${x}\" }",
            "{ enum: [\"80\"] }",
            "a port is an `integer`",
        ),
        (
            "net: { ops: [connect], cidr: 10.0.0.0/8, ports: \"1-${x}\" }",
            "{ integer: 1-9 }",
            "the whole of a port",
        ),
        (
            "net: { ops: [connect], cidr: 10.0.0.0/8, ports: \"${x}\" }",
            "{ integer: 1-65536 }",
            "65536",
        ),
        (
            "net: { ops: [connect], cidr: \"${x}\" }",
            "{ enum: [10.0.0.1, nginx] }",
            "with (x=nginx)",
        ),
        (
            "net: { ops: [connect], cidr: \"${x}\" }",
            "{ path: /a }",
            "a path stands in",
        ),
        (
            "net: { ops: [connect], abstract: \"${x}\" }",
            "{ path: /a }",
            "a path stands in",
        ),
        (
            "file: { ops: \"${x}\", path: /a }",
            "{ enum: [read] }",
            "no parameter can stand here",
        ),
        (
            "exec: { path: /a, regex: \"${x}\" }",
            "{ enum: [a] }",
            "no parameter can stand here",
        ),
        (
            "exec: { path: /a, parent: \"${x}\" }",
            "{ path: /a }",
            "no parameter can stand here",
        ),
        (
            "system: { ops: \"${x}\" }",
            "{ enum: [bpf] }",
            "no parameter can stand here",
        ),
        (
            "file: { ops: [read], path: \"x/${x}\" }",
            "{ enum: [a] }",
            "a path starts with `/`",
        ),
        (
            "file: { ops: [read], path: \"/srv/${x}\" }",
            "{ path: /a }",
            "a path has no `.`, `..`, `//`",
        ),
        (
            "file: { ops: [read], path: \"/srv/${x\" }",
            "{ enum: [a] }",
            "begins a parameter",
        ),
        (
            "file: { ops: [read], path: \"/srv/${X}\" }",
            "{ enum: [a] }",
            "begins a parameter",
        ),
    ] {
        refused(&one(permission, parameter), words);
    }
    for (permission, parameter) in [
        (
            "exec: { path: \"${x}/bin/*\", args: [--dir, \"${x}\"] }",
            "{ path: /srv/** }",
        ),
        (
            "net: { ops: [connect], cidr: \"${x}\", ports: 80 }",
            "{ enum: [10.0.0.1, \"2001:db8::1\"] }",
        ),
        (
            "net: { ops: [connect], cidr: \"::/0\", ports: [\"${x}\", 22] }",
            "{ integer: 1024-2048 }",
        ),
        (
            "net: { ops: [connect], abstract: \"agent-${x}\" }",
            "{ integer: 7 }",
        ),
    ] {
        policy(&one(permission, parameter));
    }
}

#[test]
fn one_kind_in_two_profiles_may_have_other_values_and_another_kind_is_a_mistake() {
    let two = |other: &str| {
        let profiles = format!(
            "  - {{ name: care, allow: [restart, logs], {SERVICE} }}\n  - {{ name: more, allow: logs, parameters: {{ service: {other} }} }}"
        );
        with(PERMISSIONS, &profiles, "")
    };
    refused(
        &two("{ integer: 1-9 }"),
        "of kind `enum` in profile `care` and of kind `integer` in profile `more`",
    );
    let policy = policy(&two("{ enum: [redis] }"));
    let given = |text: &str| policy.instance(&text.parse().unwrap()).is_some();
    assert!(given("p/logs(service=redis)") && given("p/restart(service=nginx)"));
    assert!(!given("p/restart(service=redis)"), "each profile by itself");
}

#[test]
fn what_is_said_for_nothing_is_warned_of() {
    let words = |source: &str| -> String {
        let found = check(&policy(source));
        found.iter().map(|one| one.message.clone() + "\n").collect()
    };
    let unused = profile("parameters: { service: { enum: [nginx] }, port: { integer: 1-9 } }");
    assert!(
        words(&unused)
            .contains("parameter `port` of profile `care` is used by no permission that it allows")
    );
    assert_eq!(
        words(&profile(SERVICE)),
        words(&document(
            "subjects: { groups: [dev] }\nrules:\n  - { id: a, effect: deny, exec: { path: /a } }"
        ))
    );
    let text = document(
        "subjects: { groups: [dev] }\npermissions: { it: { file: { ops: [read], path: \"/srv/${x}\" } } }\nrules:\n  - { id: a, effect: \
         require-grant, permission: it }",
    );
    assert!(
        words(&text).contains("`${`, which is text: the policy has no profiles"),
        "{}",
        words(&text)
    );
}

#[test]
fn a_policy_without_profiles_means_what_it_always_meant() {
    let source = document(
        "subjects: { groups: [dev] }\npermissions: { it: { file: { ops: [read], path: \"/srv/${x}/**\" } } }\nrules:\n  - { id: a, effect: \
         require-grant, permission: it }",
    );
    let [permission] = policy(&source).permissions.try_into().unwrap();
    assert!(permission.template.is_none());
    assert!(format!("{:?}", permission.targets).contains("${x}"));
}

#[test]
fn a_rule_that_requires_a_grant_of_what_only_a_profile_gives_is_not_warned_of() {
    let source = profile(SERVICE).replace(
        "effect: deny, exec: { path: /a }",
        "effect: require-grant, file: { ops: [read], path: /var/log/** }",
    );
    let found = check(&policy(&source));
    assert!(
        found
            .iter()
            .all(|one| !one.message.contains("requires a grant")),
        "{found:?}"
    );
}

#[test]
fn a_diff_says_what_becomes_of_profiles_and_of_what_they_give() {
    let old = policy(&profile(&format!("{SERVICE}, maxDuration: 4h")));
    let new = policy(&profile(
        "parameters: { service: { enum: [nginx] } }, excludes: { hosts: { env: staging } }",
    ));
    let lines: Vec<String> = diff::changes(&old, &new)
        .into_iter()
        .flat_map(|one| one.lines)
        .collect();
    for line in [
        "- for at most 4h",
        "- service: one of nginx, postgres",
        "+ excludes hosts with env=staging",
        "+ service: nginx",
    ] {
        assert!(lines.contains(&line.to_owned()), "{line}: {lines:?}");
    }
}

fn host(policy: &Policy) -> [Versioned; 1] {
    [Versioned {
        revision: Revision(1),
        policy: policy.clone(),
    }]
}

#[test]
fn more_values_than_a_host_has_room_for_are_refused_and_name_the_bound() {
    let source = with(
        "  it: { net: { ops: [connect], cidr: 10.0.0.0/8, ports: \"${x}\" } }",
        "  - { name: care, allow: it, parameters: { x: { integer: 1-1000 } } }",
        "",
    );
    let policy = policy(&source);
    let granted: BTreeSet<PermissionRef> = (1..=300)
        .map(|port| format!("p/it(x={port})").parse().unwrap())
        .collect();
    let errors = compile_granted(&host(&policy), None, &granted).unwrap_err();
    let words: String = errors.iter().map(|one| one.to_string() + "\n").collect();
    assert!(
        words.contains("300 granted permissions with parameters, more than the 256"),
        "{words}"
    );
}

fn values(pairs: &[(&str, &str)]) -> Values {
    pairs
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), (*value).to_owned()))
        .collect()
}

const TYPED: &str = "  it:
    exec: { path: \"${dir}/bin/${word}-*\", args: [\"--in=${dir}\", \"${word}\", \"${port}\"] }
    file: { ops: [read], path: [\"${dir}/**\", \"/var/log/${word}/**\"] }
    net: { ops: [connect], cidr: 10.0.0.0/8, ports: \"${port}\" }";
const TYPES: &str = "  - { name: care, allow: it, parameters: { dir: { path: [/srv/**, \"/home/*/data\"] }, word: { enum: [nginx, pg] }, port: { \
                     integer: 1024-2048 } } }";

fn wide(targets: &[Target]) -> usize {
    let paths = |paths: &[crate::policy::PathPattern]| {
        paths
            .iter()
            .filter(|one| one.is_wild() || one.is_below())
            .count()
    };
    let each = targets.iter().map(|target| match target {
        Target::Exec { paths: all, .. } | Target::File { paths: all, .. } => paths(all),
        _ => 0,
    });
    each.sum()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// Whatever text stands for a value: it is refused, or the actions are those of the type's own pattern and of nothing else.
    #[test]
    fn no_value_is_more_than_itself(
        dir in prop_oneof![
            r#"(/srv|/home|/etc|)?(/[a-z .*?\\'"{}:,#$%\[\]&!|>~-]{0,6}){0,4}"#,
            "(/srv/(a|b|\\.\\.|\\.|\\*|\\*\\*|a b|\"|'|\\{x\\})){1,2}",
        ],
        word in prop_oneof![Just("nginx".to_owned()), Just("pg".to_owned()), "[a-z*/. ,:#'\"]{0,6}"],
        port in prop_oneof![(1000u32..2100).prop_map(|port| port.to_string()), "[0-9 +-]{0,5}"],
    ) {
        let policy = policy(&with(TYPED, TYPES, ""));
        let reference = PermissionRef {
            policy: policy.name.clone(),
            permission: "it".parse().unwrap(),
            values: values(&[("dir", &dir), ("word", &word), ("port", &port)]),
        };
        let image = |granted: &BTreeSet<PermissionRef>| compile_granted(&host(&policy), None, granted).unwrap();
        let is_port = port.parse::<u32>().is_ok_and(|number| (1024..=2048).contains(&number) && number.to_string() == port);
        let names: Vec<&str> = dir.split('/').skip(1).collect();
        let is_below = dir.starts_with("/srv/") || (dir.starts_with("/home/") && names.len() == 3 && names[2] == "data");
        let is_path = is_below
            && !dir.contains(['*', '?', '\\'])
            && names.iter().all(|name| !matches!(*name, "" | "." | ".."));
        let Some(targets) = policy.instance(&reference) else {
            prop_assert!(!(is_port && is_path && ["nginx", "pg"].contains(&word.as_str())), "{reference} is refused");
            prop_assert_eq!(image(&BTreeSet::from([reference])), image(&BTreeSet::new()), "what is refused is in no image");
            return Ok(());
        };
        prop_assert!(is_port && is_path && ["nginx", "pg"].contains(&word.as_str()), "{reference} is taken");
        // As somebody would have written it by hand, each text in quotes.
        let by_hand = TYPED.replace("${dir}", &dir.replace('\\', "\\\\").replace('"', "\\\"")).replace("${word}", &word).replace("${port}", &port);
        let by_hand = document(&format!(
            "subjects: {{ groups: [dev] }}\npermissions:\n{by_hand}\nrules:\n  - {{ id: a, effect: deny, exec: {{ path: /a }} }}"
        ));
        prop_assert_eq!(&targets, &super::parse(&by_hand).unwrap().permissions[0].targets);
        prop_assert_eq!(wide(&targets), 3, "the stars are the permission's own");
    }
}

/// A permission with values is one of its own for the kernel, and an image without grants has none.
#[test]
fn an_image_has_what_grants_carry_and_nothing_else() {
    let policy = policy(&profile(SERVICE));
    let nginx: PermissionRef = "p/logs(service=nginx)".parse().unwrap();
    let bare: PermissionRef = "p/logs".parse().unwrap();
    assert_ne!(nginx.key(), bare.key());
    let none = compile(&host(&policy)).unwrap();
    assert!(
        none.permissions
            .values()
            .all(|one| one.permission.as_str() == "plain")
    );
    let granted = [
        "p/logs",
        "p/logs(service=nginx)",
        "p/logs(service=apache)",
        "p/logs(service=nginx,x=1)",
        "q/logs(service=nginx)",
    ];
    let granted = granted.map(|one| one.parse().unwrap()).into();
    let image = compile_granted(&host(&policy), None, &granted).unwrap();
    let with_values: Vec<_> = image
        .permissions
        .values()
        .filter(|one| !one.values.is_empty())
        .collect();
    assert_eq!(with_values, [&nginx]);
}
