//! Properties of the policy language: what is refused, where the finding points, what a document means.

mod approvals;
mod cases;
mod conditions;
pub(super) mod corpus;
mod defaults;
mod floor;
mod hosts;
mod net;
mod profiles;
mod rates;
mod schema;
mod sensitivity;
mod when;

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::limits::{DIAGNOSTICS_MAX, RULES_MAX, SOURCE_BYTES_MAX};

/// The lines, each with something before it.
fn lines<L: std::fmt::Display>(before: &str, lines: impl IntoIterator<Item = L>) -> String {
    lines.into_iter().fold(String::new(), |text, line| {
        text + before + &line.to_string() + "\n"
    })
}

/// The policy document around `spec`.
fn document(spec: &str) -> String {
    let spec = lines("  ", spec.lines());
    format!("apiVersion: stayhand/v1\nkind: Policy\nmetadata: {{ name: p }}\nspec:\n{spec}")
}

fn with_rules(rules: &[&str]) -> String {
    document(&format!(
        "subjects: {{ groups: [dev] }}\nrules:\n{}",
        lines("  - ", rules)
    ))
}

fn findings(source: &str) -> String {
    match parse(source) {
        Ok(_) => "accepted\n".to_owned(),
        Err(findings) => lines("", findings),
    }
}

#[track_caller]
fn refused(source: &str, needle: &str) {
    let found = findings(source);
    assert!(found.contains(needle), "wanted `{needle}`, got:\n{found}");
}

#[test]
fn demo_policy_is_accepted_without_an_error() {
    let policy = parse(include_str!(
        "../../../../tests/fixtures/policies/demo.yaml"
    ))
    .unwrap();
    assert_eq!(policy.name.as_str(), "demo");
    assert_eq!(policy.rules.len(), 8);
    let compiled = compile(&[Versioned {
        revision: Revision(1),
        policy: policy.clone(),
    }]);
    assert!(compiled.is_ok());
    let warned: Vec<String> = check(&policy)
        .into_iter()
        .map(|warning| warning.excerpt)
        .collect();
    assert_eq!(warned, ["no-forbidden"]);
}

/// Each `invalid/x.yaml` has its findings in `invalid/x.txt`. To accept new ones, set `STAYHAND_BLESS=1`.
#[test]
fn invalid_fixtures_give_every_finding_with_place_and_remedy() {
    let directory =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/policies/invalid");
    let mut sources: Vec<_> = std::fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    sources.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "yaml")
    });
    sources.sort();
    assert!(sources.len() >= 7, "fixtures are missing");
    for path in sources {
        let found = findings(&std::fs::read_to_string(&path).unwrap());
        let expected = path.with_extension("txt");
        if std::env::var_os("STAYHAND_BLESS").is_some() {
            std::fs::write(&expected, &found).unwrap();
        }
        let wanted = std::fs::read_to_string(&expected).unwrap_or_default();
        assert_eq!(found, wanted, "{}", path.display());
        assert_ne!(found, "accepted\n", "{}", path.display());
    }
}

#[test]
fn findings_point_at_the_place_and_show_the_text() {
    let source = with_rules(&["{ id: a, effect: dney, exec: { path: /a } }"]);
    let found = parse(&source).unwrap_err();
    let [finding] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!(
        (finding.at.line, finding.at.column, finding.excerpt.as_str()),
        (7, 24, "dney")
    );
    assert_eq!(finding.suggestion.as_deref(), Some("did you mean `deny`?"));
}

#[test]
fn a_document_of_a_later_language_is_told_from_a_mistake() {
    let of = |version: &str| {
        let source = with_rules(&["{ id: a, effect: deny, exec: { path: /a } }"]);
        parse(&source.replace("stayhand/v1", version))
    };
    assert!(of("stayhand/v1").is_ok());
    for later in ["stayhand/v2", "stayhand/v10"] {
        let found = of(later).unwrap_err();
        let [finding] = found.as_slice() else {
            panic!("{found:?}")
        };
        assert!(finding.message.contains("up to `stayhand/v1`"), "{finding}");
        let remedy = finding.suggestion.as_deref().unwrap();
        assert!(remedy.contains("update `stayhand`"), "{remedy}");
    }
    for wrong in [
        "stayhand/v0",
        "stayhand/v",
        "stayhand/v2x",
        "stayhand/v99999",
        "v2",
    ] {
        let found = of(wrong).unwrap_err();
        assert!(found[0].message.contains("unknown apiVersion"), "{found:?}");
    }
}

#[test]
fn bounds_of_size_nesting_and_count_are_errors_and_not_crashes() {
    refused(&" ".repeat(SOURCE_BYTES_MAX + 1), "more than the 1048576");
    refused(&"[".repeat(100_000), "recursion limit exceeded");
    refused(&"[".repeat(20), "nested deeper");
    refused(&"- ".repeat(100_000), "nested deeper");
    refused(&format!("a: [{}]", "x,".repeat(300_000)), "keys and values");
    let many: Vec<String> = (0..=RULES_MAX)
        .map(|index| format!("{{ id: r{index}, effect: deny, exec: {{ path: /a{index} }} }}"))
        .collect();
    refused(
        &with_rules(&many.iter().map(String::as_str).collect::<Vec<_>>()),
        "rules has 2001 items",
    );
    refused(
        &with_rules(&[&format!(
            "{{ id: a, effect: deny, exec: {{ path: {} }} }}",
            "/d".repeat(49)
        )]),
        "48 components",
    );
    refused(
        &with_rules(&[&format!(
            "{{ id: a, effect: deny, exec: {{ path: /{} }} }}",
            "d".repeat(256)
        )]),
        "255 in one",
    );
    let wrong = vec!["{ id: a, efect: deny }"; 200];
    assert_eq!(
        parse(&with_rules(&wrong)).unwrap_err().len(),
        DIAGNOSTICS_MAX + 1
    );
}

#[test]
fn an_alias_bomb_ends_at_its_first_anchor() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb += &lines("", [format!("a{level}: &a{level} [{aliases}]")]);
    }
    assert_eq!(
        findings(&bomb),
        "1:5: anchors are not part of the policy language; write the value out\n"
    );
    for alias in ["a: *b", "a: { <<: *b }"] {
        refused(alias, "unknown anchor");
    }
}

#[test]
fn what_is_missing_at_the_end_is_said_to_be_there_and_not_behind_it() {
    for (source, place) in [
        ("? #p", (1, 5)),
        ("a: [b", (1, 6)),
        ("a: 'b\r", (1, 4)),
        ("? \n", (2, 1)),
    ] {
        let found = parse(source).unwrap_err();
        let places: Vec<(u32, u32)> = found
            .iter()
            .map(|one| (one.at.line, one.at.column))
            .collect();
        assert_eq!(places, [place], "{source:?}: {found:?}");
    }
}

#[test]
fn empty_and_foreign_documents_are_refused() {
    refused("", "empty");
    refused("# nothing", "empty");
    refused("just text", "a policy is text, not a mapping");
    refused("- a\n- b\n", "a policy is a list, not a mapping");
    refused("~", "a policy is nothing, not a mapping");
    refused("a: !!binary x", "tags");
    refused("? [a]\n: b", "a key is a list");
    refused("\u{feff}a: b\0", "1:");
}

#[test]
fn a_document_says_what_it_means() {
    let source = document(
        "mode: monitor
subjects: { groups: [dev], users: [alice] }
permissions:
  db: { net: { ops: [connect], cidr: [10.0.0.0/8, \"2001:db8::/32\"], ports: [5432, \"8000-8100\", 8101] } }
rules:
  - { id: a, effect: hold, exec: { path: [/opt/x, /opt/y/**] }, timeout: 90s, message: ask first }
  - { id: b, effect: require-grant, permission: db }
  - { id: c, effect: allow, file: { ops: write, path: /**  }, record: true }",
    );
    let policy = parse(&source).unwrap();
    assert_eq!(policy.mode, Mode::Monitor);
    let [a, b, c] = policy.rules.as_slice() else {
        panic!("{policy:?}")
    };
    assert_eq!(
        (a.timeout, a.message.as_deref()),
        (DurationMs::from_secs(90), Some("ask first"))
    );
    assert_eq!(b.permission().map(PermissionName::as_str), Some("db"));
    assert!(c.record && c.targets_text(&policy) == "/**");
    let Target::Net { ranges, .. } = &policy.targets(b)[0] else {
        panic!("{policy:?}")
    };
    let [Ranges { cidrs, ports }] = ranges.as_slice() else {
        panic!("{ranges:?}")
    };
    assert_eq!(
        cidrs.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["10.0.0.0/8", "2001:db8::/32"]
    );
    assert_eq!(
        ports.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["5432", "8000-8101"]
    );
}

impl Rule {
    fn targets_text(&self, policy: &Policy) -> String {
        match policy.targets(self) {
            [Target::Exec { paths, .. } | Target::File { paths, .. }] => {
                paths.iter().map(ToString::to_string).collect()
            }
            other => format!("{other:?}"),
        }
    }
}

#[test]
fn below_means_strictly_below_and_paths_are_literal() {
    let below = PathPattern::parse("/srv/held/**").unwrap();
    for (path, wanted) in [
        ("/srv/held/a", true),
        ("/srv/held/a/b", true),
        ("/srv/held", false),
        ("/srv/heldx/a", false),
        ("/srv/hel", false),
    ] {
        assert_eq!(below.matches(path.as_bytes(), 0), wanted, "{path}");
    }
    let exact = PathPattern::parse("/usr/bin/[").unwrap();
    assert!(exact.matches(b"/usr/bin/[", 0) && !exact.matches(b"/usr/bin/[/x", 0));
    assert!(PathPattern::parse("/**").unwrap().matches(b"/x", 0));
    assert!(!PathPattern::parse("/**").unwrap().matches(b"/", 0));
}

#[test]
fn warnings_name_denied_identities_shadowed_rules_and_grants_that_cannot_be() {
    let source = with_rules(&[
        "{ id: wide, effect: deny, file: { ops: [write, create], path: /etc/** } }",
        "{ id: narrow, effect: hold, file: { ops: [write], path: /etc/nginx/** } }",
        "{ id: nc, effect: deny, exec: { path: /usr/bin/nc } }",
        "{ id: alone, effect: require-grant, net: { ops: [connect], cidr: 10.0.0.0/8 } }",
    ]);
    let policy = parse(&source).unwrap();
    let found: Vec<(u32, String)> = check(&policy)
        .into_iter()
        .map(|warning| (warning.at.line, warning.to_string()))
        .collect();
    let text = found
        .iter()
        .map(|(_, text)| text.as_str())
        .collect::<Vec<_>>()
        .join("\n");
    assert_eq!(
        found.iter().map(|(line, _)| *line).collect::<Vec<_>>(),
        [8, 9, 10],
        "{text}"
    );
    assert!(
        text.contains("`narrow` never decides: rule `wide` (line 7)"),
        "{text}"
    );
    assert!(
        text.contains("a copy elsewhere runs")
            && text.contains("no permission of this policy covers"),
        "{text}"
    );
}

#[test]
fn a_rule_on_creation_needs_a_permission_that_names_it() {
    let source = |ops: &str| {
        let permission = format!("{{ file: {{ ops: {ops}, path: /srv/** }} }}");
        format!(
            "apiVersion: stayhand/v1\nkind: Policy\nmetadata: {{ name: p }}\nspec:\n  subjects: {{ users: [a] }}\n  \
             permissions: {{ srv: {permission} }}\n  rules:\n    - {{ id: r, effect: require-grant, \
             file: {{ ops: [write, create], path: /srv/a }} }}\n"
        )
    };
    for (ops, warnings) in [("[write]", 1), ("[write, create]", 0)] {
        assert_eq!(
            check(&parse(&source(ops)).unwrap()).len(),
            warnings,
            "{ops}"
        );
    }
}

proptest! {
    #[test]
    fn any_text_is_either_a_policy_or_has_a_finding(source in "\\PC{0,200}") {
        if let Err(found) = parse(&source) {
            prop_assert!(!found.is_empty());
        }
    }

    #[test]
    fn yaml_shaped_noise_never_panics(tokens in proptest::collection::vec(prop::sample::select(
        &["a", ":", " ", "\n", "- ", "{", "}", "[", "]", ",", "&x ", "*x", "!t ", "|", ">", "'", "\"", "#", "  ", "?", "%", "---", "\t", "spec", "rules", "\r"][..]), 0..60)) {
        let source: String = tokens.concat();
        if let Err(found) = parse(&source) {
            prop_assert!(!found.is_empty());
            for finding in found {
                prop_assert!(!finding.to_string().contains(char::is_control), "{finding:?}");
            }
        }
    }

    #[test]
    fn damage_to_a_valid_policy_is_found_or_harmless_and_never_a_crash(at in 0usize..1200, byte in 0u8..128) {
        let demo = include_str!("../../../../tests/fixtures/policies/demo.yaml");
        let mut bytes = demo.as_bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(policy) = parse(std::str::from_utf8(&bytes).unwrap()) {
            let compiled = compile(&[Versioned { revision: Revision(1), policy }]);
            prop_assert!(compiled.is_ok());
        }
    }
}

#[test]
fn the_example_of_the_documentation_works() {
    let page = include_str!("../../../../docs/policy.md");
    let example = page
        .split("```yaml\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .unwrap();
    let policy = parse(example).unwrap_or_else(|found| panic!("{found:?}"));
    assert_eq!(policy.rules.len(), 6);
    assert!(
        compile(&[Versioned {
            revision: Revision(1),
            policy
        }])
        .is_ok()
    );
}

#[test]
fn everything_the_documentation_calls_not_enforced_is_refused_with_these_words() {
    let rule = |extra: &str| {
        with_rules(&[&format!(
            "{{ id: a, effect: deny, exec: {{ path: /a }}, {extra} }}"
        )])
    };
    let spec = |extra: &str| {
        document(&format!(
            "subjects: {{ groups: [dev] }}\nrules: []\n{extra}"
        ))
    };
    let sources = [
        spec("profiles: [{ name: a, allow: b, approval: c }]"),
        rule("flags: []"),
        document("subjects: { cgroups: [a] }\nrules: []"),
        with_rules(&["{ id: a, effect: deny, exec: { path: /a, hash: x } }"]),
        with_rules(&["{ id: a, effect: deny, file: { ops: [mprotect], path: /a } }"]),
        with_rules(&["{ id: a, effect: deny, net: { ops: [accept], cidr: ::/0 } }"]),
    ];
    for source in sources {
        refused(&source, "not enforced by this build");
    }
}

#[test]
fn what_is_no_operation_of_the_system_is_refused_with_the_reason() {
    let rule = |operation: &str| {
        with_rules(&[&format!(
            "{{ id: a, effect: deny, system: {{ ops: [{operation}] }} }}"
        )])
    };
    refused(&rule("login-uid"), "no guarded subject can change it");
    refused(&rule("capability"), "no hook tells that one is gained");
    for mount in ["mount", "umount", "move-mount", "remount", "bind-mount"] {
        refused(&rule(mount), "write it under `file`");
    }
    refused(&rule("ptracee"), "did you mean `ptrace`?");
    refused(&rule("read"), "unknown operation `read`");
    let with_path = "{ id: a, effect: deny, system: { ops: [bpf], path: /a } }";
    refused(&with_rules(&[with_path]), "not enforced by this build");
    let none = "{ id: a, effect: deny, system: {} }";
    refused(&with_rules(&[none]), "system has no `ops`");
}

#[test]
fn every_operation_of_the_system_is_accepted_and_what_cannot_be_held_is_said() {
    let system = Operation::ALL
        .into_iter()
        .filter(|operation| operation.class() == crate::action::Class::System);
    for operation in system {
        let source = with_rules(&[&format!(
            "{{ id: a, effect: hold, system: {{ ops: [{operation}] }} }}"
        )]);
        let policy = parse(&source).unwrap();
        let warned = check(&policy)
            .iter()
            .any(|warning| warning.message.contains("no call can wait"));
        let holdable = ["ptrace", "signal", "module", "setuid", "namespace", "time"];
        assert_eq!(
            warned,
            !holdable.contains(&operation.as_str()),
            "{operation}"
        );
    }
}
