//! What is shipped: that it never changes, does what its tests say, and fits together; and what including it means.

use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::{
    id::Revision,
    policy::{
        Place, Severity, Versioned, case, check, compile,
        yaml::{Node, Value},
    },
};

/// A version that is shipped is what hosts enforce under this name: whoever changes one of these lines changes the meaning
/// of policies that nobody looks at again. Make a new version.
const SHIPPED: &[(&str, &str)] = &[
    (
        "accident-prevention@1",
        "e4a747c1d1e73b0f59df82f15f0d4cc9b2c9655ef453cce29a2c5ea6102f6d9b",
    ),
    (
        "ai-agent@1",
        "360e81b7d3c7a2138c60807b6c7b52c6909d3301e4597820aee3db94d056f401",
    ),
    (
        "confined-root@1",
        "8e73ad4b82c8deae63385a07416a29b317dadd3bdd4be75d65bad80b758f20cd",
    ),
    (
        "destructive-commands@1",
        "97aa669fe4fb3b4fc5e1953d37fcb4670789e9afff9ad5524d7c444ff113436a",
    ),
    (
        "prod-database@1",
        "ac2d15ac0bd9b8f2210de5a5e4e970126591248dd0a2a5be12a51448b0b36e69",
    ),
    (
        "ssh-keys-and-sudoers@1",
        "feedc8e44617ea5dab3c29804253db07b04ec9889e5cc5e01bcff0d8fae0aaf8",
    ),
];

fn contents(preset: &Preset) -> Contents {
    let read = preset.contents();
    read.unwrap_or_else(|found| panic!("{preset}: {found:#?}"))
}

fn host(policy: Policy) -> [Versioned; 1] {
    [Versioned {
        revision: Revision(1),
        policy,
    }]
}

/// A policy for alice's group with these lines in its `spec`.
fn source(spec: &str) -> String {
    let spec = spec
        .lines()
        .fold(String::new(), |text, line| text + "  " + line + "\n");
    format!(
        "apiVersion: stayhand/v1\nkind: Policy\nmetadata: {{ name: p }}\nspec:\n  subjects: {{ groups: [dev] }}\n{spec}"
    )
}

fn read(spec: &str) -> Policy {
    let source = source(spec);
    parse(&source).unwrap_or_else(|found| panic!("{found:#?}\n{source}"))
}

#[track_caller]
fn refused(spec: &str, line: u32, needle: &str) {
    let found = parse(&source(spec)).expect_err("it is accepted");
    let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
    let is_there = |one: &Diagnostic| one.at.line == line && one.to_string().contains(needle);
    assert!(
        found.iter().any(is_there),
        "no `{needle}` in line {line}: {shown:#?}"
    );
}

#[test]
fn what_is_shipped_never_changes() {
    let hash = |preset: &Preset| {
        let hash = Sha256::digest(preset.source.as_bytes());
        hash.iter()
            .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
    };
    let shipped: Vec<(String, String)> = ALL
        .iter()
        .map(|preset| (preset.to_string(), hash(preset)))
        .collect();
    let pinned: Vec<(String, String)> = SHIPPED
        .iter()
        .map(|(name, hash)| ((*name).to_owned(), (*hash).to_owned()))
        .collect();
    assert_eq!(shipped, pinned);
}

#[test]
fn every_preset_says_its_own_name_and_is_named_in_order() {
    for preset in ALL {
        let root = yaml::read(preset.source).unwrap();
        let text = yaml::write(&root);
        let version = format!("version: {}\n", preset.version);
        assert!(text.contains(&version), "{preset}");
        assert_eq!(contents(preset).policy.name.as_str(), preset.name);
        assert!(
            preset.source.starts_with("# "),
            "{preset}: what it promises"
        );
        for word in ["Promises:", "Does not promise:", "Disturbs:"] {
            assert!(preset.source.contains(word), "{preset}: {word}");
        }
    }
    assert!(ALL.is_sorted_by_key(|preset| (preset.name, preset.version)));
}

#[test]
fn the_tests_of_every_preset_pass_and_reach_every_rule() {
    for preset in ALL {
        let policies = host(contents(preset).policy);
        let judged = case::judge(&policies, 0);
        assert_eq!(case::problems(&judged), [], "{preset}");
        let policy = &policies[0].policy;
        let uncovered = case::uncovered(policy, &judged, Severity::Error);
        assert_eq!(uncovered, [], "{preset}");
        let goes_on = |one: &&case::Judged<'_>| one.outcome == case::Outcome::Allow;
        assert!(
            judged.iter().any(|one| goes_on(&one)),
            "{preset} stops everything"
        );
    }
}

#[test]
fn every_rule_says_what_to_do_instead_and_nothing_is_to_be_warned_of_but_names() {
    for preset in ALL {
        let policy = contents(preset).policy;
        for rule in &policy.rules {
            let restricts = rule.effect.restricts();
            assert!(
                !restricts || rule.message.is_some(),
                "{preset}: {}",
                rule.id
            );
        }
        for warning in check(&policy) {
            let expected = warning.message.contains("a copy elsewhere runs");
            assert!(expected, "{preset}: {warning}");
        }
    }
}

fn all_together() -> Policy {
    let items: Vec<String> = ALL.iter().map(ToString::to_string).collect();
    read(&format!("extends: [{}]", items.join(", ")))
}

#[test]
fn all_presets_together_have_room_on_a_host_and_leave_some() {
    let policy = all_together();
    let compiled = compile(&host(policy.clone()));
    assert!(compiled.is_ok(), "{:#?}", compiled.err());
    // A policy beside it with rules at the same places, as hosts have.
    let more = read(
        "rules:
  - { id: a, effect: deny, file: { ops: [write], path: [/etc/**, /etc/systemd/**, /dev/zz*, /home/*/.ssh/**, /usr/lib/**] } }
  - { id: b, effect: hold, file: { ops: [write], path: [/etc/x*, /dev/abcd*, /usr/lib/systemd/system/x] } }",
    );
    let mut both = vec![Versioned {
        revision: Revision(1),
        policy,
    }];
    both.push(Versioned {
        revision: Revision(1),
        policy: Policy {
            name: "q".parse().unwrap(),
            ..more
        },
    });
    let compiled = compile(&both);
    assert!(compiled.is_ok(), "{:#?}", compiled.err());
    assert_eq!(check(&both[0].policy), []);
}

#[test]
fn what_is_included_has_the_presets_name_before_it_and_the_place_of_its_item() {
    let policy = read(
        "extends:
  - destructive-commands@1
  - { preset: prod-database@1, except: [export, copy], with: { databases: [10.20.0.0/16] } }
rules:
  - { id: own, effect: hold, permission: prod-database.query }
  - { id: set, effect: deny, net: { ops: [connect], to: prod-database.databases } }",
    );
    let ids: Vec<&str> = policy.rules.iter().map(|rule| rule.id.as_str()).collect();
    assert_eq!(ids[..3], ["own", "set", "destructive-commands.disks"]);
    assert!(ids.contains(&"prod-database.query"));
    assert!(!ids.contains(&"prod-database.export") && !ids.contains(&"prod-database.copy"));
    let by = |id: &str| {
        policy
            .rules
            .iter()
            .find(|rule| rule.id.as_str() == id)
            .unwrap()
    };
    let query = by("prod-database.query");
    assert!(query.included && !by("own").included);
    assert_eq!(query.permission().unwrap().as_str(), "prod-database.query");
    let places = [query.at.line, by("destructive-commands.data").at.line];
    assert_eq!(places, [8, 7]);
    let reached = |address: &str| {
        let expect = "expect: deny, rule: prod-database.query";
        let test = format!("net: {{ op: connect, address: {address}, port: 5432 }}");
        read(&format!(
            "extends: [{{ preset: prod-database@1, with: {{ databases: [10.20.0.0/16] }} }}]
tests:
  - {{ as: alice, groups: [dev], {test}, {expect} }}
  - {{ as: alice, groups: [dev], grants: [prod-database.query], {test}, expect: allow }}"
        ))
    };
    assert_eq!(case::alone(&reached("10.20.0.7")), (0, vec![]));
    assert_eq!(case::alone(&reached("10.30.0.7")).0, 1);
}

#[test]
fn a_policy_needs_no_tests_for_what_it_includes_and_no_warning_is_about_that() {
    let policy = read("extends: confined-root@1\nrules: []");
    assert_eq!(check(&policy), []);
    let policies = host(policy);
    let judged = case::judge(&policies, 0);
    assert!(case::unreached(&policies[0].policy, &judged).is_empty());
    assert_eq!(
        case::uncovered(&policies[0].policy, &judged, Severity::Error),
        []
    );
    let shadowed = read(
        "extends: [confined-root@1]
rules: [{ id: mem, effect: deny, file: { ops: [read], path: /dev/mem } }]",
    );
    let shadowing = check(&shadowed);
    assert_eq!(shadowing, [], "the policy's own rule comes first");
    let never = read(
        "extends: [confined-root@1]
rules: [{ id: mem, effect: hold, file: { ops: [read], path: /dev/mem } }]",
    );
    let found = check(&never);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(
        found[0]
            .message
            .contains("rule `confined-root.memory` (line 6)"),
        "{found:#?}"
    );
}

#[test]
fn a_preset_that_is_not_there_is_refused_with_those_that_are() {
    refused(
        "extends: [nothing@1]",
        6,
        "this build has no preset `nothing`; it has accident-prevention@1",
    );
    refused(
        "extends: [confined-rot@1]",
        6,
        "did you mean `confined-root@1`?",
    );
    refused(
        "extends: [confined-root]",
        6,
        "named without its version; write `confined-root@1`",
    );
    refused(
        "extends: [confined-root@2]",
        6,
        "no version `2` of preset `confined-root`; it has `confined-root@1`",
    );
    refused("extends: [confined-root@01]", 6, "no version `01`");
    refused(
        "extends: [confined-root@1, { preset: confined-root@1 }]",
        6,
        "included twice",
    );
    refused("extends: []", 6, "extends is an empty list");
    refused(
        "extends: { confined-root: 1 }",
        6,
        "unknown key `confined-root`",
    );
    refused("extends: [{ except: [a] }]", 6, "has no `preset`");
    refused(
        "extends: [{ preset: confined-root@1, exept: [a] }]",
        6,
        "did you mean `except`?",
    );
    refused("mode: enforce", 5, "spec has no `rules`");
}

#[test]
fn exceptions_and_parameters_that_a_preset_does_not_have_are_refused() {
    let with = |more: &str| format!("extends:\n- {{ preset: confined-root@1, {more} }}");
    refused(
        &with("except: [unit]"),
        7,
        "has no rule `unit`; did you mean `units`?",
    );
    refused(
        &with("except: [confined-root.units]"),
        7,
        "did you mean `units`?",
    );
    refused(&with("except: []"), 7, "empty list");
    refused(
        &with("with: { adresses: [::1] }"),
        7,
        "did you mean `addresses`?",
    );
    refused(&with("with: { addresses: [nonsense] }"), 7, "nonsense");
    refused(&with("with: { addresses: { a: b } }"), 7, "cidr");
    refused(
        &with("with: { addresses: [::1], addresses: [::1] }"),
        7,
        "twice",
    );
    refused(
        "extends:\n- { preset: accident-prevention@1, with: { x: [y] } }",
        7,
        "it has none",
    );
}

#[test]
fn a_name_of_ones_own_that_a_preset_could_have_is_refused() {
    let own = |spec: &str| format!("extends: [prod-database@1]\n{spec}");
    refused(
        &own("rules: [{ id: prod-database.x, effect: deny, exec: { path: /a } }]"),
        7,
        "does not begin with `prod-database.`",
    );
    refused(
        &own("permissions: { prod-database.x: { exec: { path: /a } } }"),
        7,
        "permission `prod-database.x` begins",
    );
    refused(
        &own("sets: { prod-database.databases: { cidr: 10.0.0.1 } }"),
        7,
        "set `prod-database.databases` begins",
    );
    refused(
        &own("calendar: { prod-database.x: [\"daily 09:00-10:00 UTC\"] }"),
        7,
        "period `prod-database.x` begins",
    );
    let free = read(
        "extends: [prod-database@1]\nrules: [{ id: prod-databases.x, effect: deny, exec: { path: /a/b } }]",
    );
    assert_eq!(free.rules[0].id.as_str(), "prod-databases.x");
    read("rules: [{ id: prod-database.x, effect: deny, exec: { path: /a } }]");
}

#[test]
fn what_is_included_counts_for_the_bounds() {
    let rules: String = (0..crate::limits::RULES_MAX).fold(String::new(), |text, index| {
        text + &format!("\n- {{ id: r{index}, effect: deny, exec: {{ path: /a{index} }} }}")
    });
    read(&format!("rules:{rules}"));
    refused(
        &format!("extends: [prod-database@1]\nrules:{rules}"),
        6,
        "with what is included the policy has",
    );
}

#[test]
fn a_preset_includes_nothing_and_guards_nobody() {
    for key in [
        "extends: [ai-agent@1]",
        "subjects: { groups: [dev] }",
        "mode: monitor",
        "default: deny",
    ] {
        let source = format!(
            "apiVersion: stayhand/v1\nkind: Preset\nmetadata: {{ name: x, version: 1, summary: y }}\nspec:\n  {key}\n  rules: []\n"
        );
        let found = parse::preset(&source).expect_err(key);
        assert!(
            found.iter().any(|one| one.message.contains("unknown key")),
            "{found:#?}"
        );
    }
    let preset = parse(ALL[0].source).expect_err("a preset is no policy");
    assert!(
        preset
            .iter()
            .any(|one| one.message.contains("unknown kind `Preset`"))
    );
}

/// The same policy wherever it is written.
fn bare(mut policy: Policy) -> Policy {
    let at = Place::default();
    policy
        .sets
        .iter_mut()
        .for_each(|one| (one.at, one.used) = (at, true));
    policy
        .calendar
        .iter_mut()
        .for_each(|one| (one.at, one.used) = (at, true));
    policy.permissions.iter_mut().for_each(|one| one.at = at);
    policy
        .rules
        .iter_mut()
        .for_each(|one| (one.at, one.included) = (at, false));
    policy.tests.iter_mut().for_each(|one| one.at = at);
    policy
}

#[track_caller]
fn means_the_same_expanded(source: &str) {
    let expanded = expand(source).unwrap_or_else(|found| panic!("{found:#?}\n{source}"));
    assert!(!expanded.contains("extends:"), "{expanded}");
    let again = parse(&expanded).unwrap_or_else(|found| panic!("{found:#?}\n{expanded}"));
    assert_eq!(bare(again), bare(parse(source).unwrap()));
    assert_eq!(expand(&expanded).unwrap(), expanded, "written out already");
}

#[test]
fn a_policy_that_is_written_out_means_the_same() {
    let items: Vec<String> = ALL.iter().map(ToString::to_string).collect();
    means_the_same_expanded(&source(&format!("extends: [{}]", items.join(", "))));
    means_the_same_expanded(include_str!("../../../../docs/examples/change-freeze.yaml"));
    means_the_same_expanded(include_str!("../../../../docs/examples/prod-database.yaml"));
    means_the_same_expanded(include_str!(
        "../../../../tests/fixtures/policies/demo.yaml"
    ));
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{0,6}",
        "\\PC{0,12}",
        prop::sample::select(
            &[
                "", "~", "null", "true", "1", "-", "--- x", "...", "# x", "a: b", "a #b", "[", "{",
                "&a", "*a", "!t", "|", ">", "'", "\"", "%a", "@a", "`a", " a", "a ", "a\nb", "\t",
                "\\", "\u{feff}", "\u{2028}", "é", "?", "? a", ":", "a:", ",", "0x1", "=", "$a",
                "<<"
            ][..]
        )
        .prop_map(str::to_owned),
    ]
}

/// A scalar without quotes has only what reads so.
fn scalar() -> impl Strategy<Value = Node> {
    let quoted = text().prop_map(|text| (text, false));
    let plain =
        "([a-z0-9/][a-z0-9/_*.+-]{0,8}|null|true|-x|\\*)".prop_map(|text| (text, text_is_plain()));
    prop_oneof![quoted, plain].prop_map(|(text, plain)| Node {
        at: Place::default(),
        value: Value::Scalar { text, plain },
    })
}

const fn text_is_plain() -> bool {
    true
}

fn tree() -> impl Strategy<Value = Node> {
    let node = |value| Node {
        at: Place::default(),
        value,
    };
    scalar().prop_recursive(5, 60, 5, move |inner| {
        let key = "[a-zA-Z][a-zA-Z0-9.]{0,8}"
            .prop_map(move |text| node(Value::Scalar { text, plain: true }));
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5)
                .prop_map(move |items| node(Value::List(items))),
            prop::collection::vec((key, inner), 0..5)
                .prop_map(move |pairs| node(Value::Map(pairs))),
        ]
    })
}

/// What the schema asks of it: what it is, its text, and whether it says something.
fn said(node: &Node) -> String {
    match &node.value {
        Value::Scalar { plain: false, text } => format!("{text:?}"),
        Value::Scalar { text, .. } => match node.text() {
            Some("true" | "false") => text.clone(),
            Some(text) => format!("{text:?}"),
            None => "nothing".to_owned(),
        },
        Value::List(items) => format!("{:?}", items.iter().map(said).collect::<Vec<_>>()),
        Value::Map(pairs) => {
            let pair = |(key, value): &(Node, Node)| (said(key), said(value));
            format!(
                "{:?}",
                pairs
                    .iter()
                    .map(pair)
                    .collect::<std::collections::BTreeMap<_, _>>()
            ) + &pairs.len().to_string()
        }
    }
}

proptest! {
    #[test]
    fn a_tree_that_is_written_reads_as_the_same_tree(node in tree()) {
        let written = yaml::write(&node);
        let again = yaml::read(&written);
        prop_assert!(again.is_ok(), "{again:?}\n{written}");
        prop_assert_eq!(said(&again.unwrap()), said(&node), "{}", written);
    }

    #[test]
    fn whatever_is_included_a_policy_written_out_means_the_same(
        some in prop::sample::subsequence(ALL.iter().collect::<Vec<_>>(), 1..=ALL.len()),
        leave_out in any::<prop::sample::Index>(),
        own in any::<bool>(),
    ) {
        let items: Vec<String> = some.iter().map(|preset| {
            let rules = contents(preset).policy.rules;
            let rule = leave_out.get(&rules);
            format!("{{ preset: {preset}, except: [{}] }}", rule.id)
        }).collect();
        let own = if own {
            "\nsets: { s: { cidr: 10.0.0.1 } }\nrules:\n- { id: own, effect: deny, net: { ops: [connect], to: s } }\ntests: [{ as: a, system: { op: bpf }, expect: allow }]"
        } else {
            ""
        };
        means_the_same_expanded(&source(&format!("extends: [{}]{own}", items.join(", "))));
    }
}
