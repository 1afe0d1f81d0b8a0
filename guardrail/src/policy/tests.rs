//! Properties of the policy language: what is refused, where the finding points, what a document means.

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
    let policy = parse(include_str!("../../../tests/fixtures/policies/demo.yaml")).unwrap();
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
fn a_set_stands_for_its_destinations_wherever_it_is_named() {
    let source = |net: &str| {
        document(&format!(
            "subjects: {{ groups: [dev] }}\nsets:\n  staging: {{ cidr: [10.30.0.0/16, \"2001:db8:30::/48\"] }}\n  \
             web: {{ cidr: 10.40.0.0/16, ports: [80, 443] }}\n  idle: {{ cidr: 10.50.0.1 }}\npermissions:\n  p: {{ net: \
             {{ ops: [connect], to: web }} }}\nrules:\n  - {{ id: r, effect: deny, net: {net} }}"
        ))
    };
    let policy = parse(&source(
        "{ ops: [connect, send], to: [staging, web], ports: [\"1-100\"] }",
    ))
    .unwrap();
    let Scope::Inline(Target::Net { ranges, .. }) = &policy.rules[0].scope else {
        panic!("{policy:?}")
    };
    let shown: Vec<String> = ranges
        .iter()
        .map(|one| format!("{:?} {:?}", one.cidrs.len(), one.ports))
        .collect();
    let port = |first, last| PortRange { first, last };
    assert_eq!(
        shown,
        [
            format!("2 {:?}", [port(1, 100)]),
            format!("1 {:?}", [port(80, 80)])
        ]
    );
    let warned: Vec<Diagnostic> = check(&policy);
    let unused = |warning: &&Diagnostic| warning.excerpt == "idle";
    assert_eq!(warned.iter().filter(unused).count(), 1, "{warned:?}");
    assert_eq!(warned.len(), 1, "{warned:?}");
    for (net, words) in [
        (
            "{ ops: [connect], to: [stagin] }",
            "did you mean `staging`?",
        ),
        (
            "{ ops: [connect], to: [zzzzzzzz] }",
            "use `staging`, `web` or `idle`",
        ),
        ("{ ops: [connect], to: [web, web] }", "twice"),
        ("{ ops: [connect], to: [] }", "an empty list"),
        (
            "{ ops: [connect], to: [web], cidr: 10.0.0.0/8 }",
            "both `cidr` and `to`",
        ),
        (
            "{ ops: [connect] }",
            "none of `cidr`, `to`, `path`, `abstract` and `vsock`",
        ),
        ("{ ops: [connect], ports: [1] }", "neither `cidr` nor `to`"),
        (
            "{ ops: [connect], to: [web], ports: [22] }",
            "has none of these ports",
        ),
        ("{ ops: [bind], to: [web] }", "`bind` has none"),
    ] {
        refused(&source(net), words);
    }
    let sets = |sets: &str| {
        let rules = "rules:\n  - { id: r, effect: deny, net: { ops: [connect], to: [a] } }";
        document(&format!(
            "subjects: {{ groups: [dev] }}\nsets: {sets}\n{rules}"
        ))
    };
    for (set, words) in [
        ("{}", "between 1 and 100"),
        ("[a]", "a mapping of names to destinations"),
        ("{ a: { ports: [1] } }", "a set has no `cidr`"),
        (
            "{ a: { cidr: 10.0.0.0/8, port: [1] } }",
            "did you mean `ports`?",
        ),
        (
            "{ a: { cidr: 10.0.0.0/8, host: x } }",
            "not enforced by this build",
        ),
        (
            "{ a: { cidr: 10.0.0.0/8 }, a: { cidr: 10.0.0.0/8 } }",
            "twice",
        ),
        ("{ A_: { cidr: 10.0.0.0/8 } }", "set name"),
        ("{ b: { cidr: 10.0.0.0/8 } }", "the policy has no set `a`"),
    ] {
        refused(&sets(set), words);
    }
    let many: Vec<String> = (0..=crate::limits::SETS_MAX)
        .map(|index| format!("s{index}: {{ cidr: 10.0.0.0/8 }}"))
        .collect();
    refused(
        &sets(&format!("{{ {} }}", many.join(", "))),
        "sets has 101 entries",
    );
}

#[test]
fn what_a_socket_is_and_is_not_asked_about_is_said() {
    let rule = |net: &str| with_rules(&[&format!("{{ id: a, effect: hold, net: {net} }}")]);
    for net in [
        "{ ops: [connect, send, bind, listen], cidr: \"::/0\", protocol: [tcp, udp, icmp, 132] }",
        "{ ops: [connect, send], path: [/run/docker.sock, /run/**] }",
        "{ ops: [connect, send, bind], abstract: [name, \"containerd-shim/*\"] }",
        "{ ops: [connect], path: /run/a, abstract: a }",
        "{ ops: [connect, send, bind], vsock: { cid: [2, 3], ports: 1024 } }",
        "{ ops: [connect], vsock: { cid: any } }",
        "{ ops: [raw, netlink] }",
    ] {
        let policy = parse(&rule(net)).unwrap_or_else(|found| panic!("{net}: {found:?}"));
        let compiled = compile(&[Versioned {
            revision: Revision(1),
            policy,
        }]);
        assert!(compiled.is_ok(), "{net}");
    }
    for (net, words) in [
        (
            "{ ops: [connect], cidr: 10.0.0.0/8, protocol: tcpp }",
            "did you mean `tcp`?",
        ),
        (
            "{ ops: [connect], cidr: 10.0.0.0/8, protocol: 0 }",
            "a number from 1 to 255",
        ),
        (
            "{ ops: [connect], cidr: 10.0.0.0/8, protocol: 262 }",
            "a number from 1 to 255",
        ),
        (
            "{ ops: [connect], cidr: 10.0.0.0/8, path: /a }",
            "not several of them",
        ),
        (
            "{ ops: [connect], path: /a, ports: [1] }",
            "not several of them",
        ),
        ("{ ops: [connect], path: a }", "a path"),
        ("{ ops: [bind], path: /a }", "`bind` to a path makes a file"),
        (
            "{ ops: [listen], path: /a }",
            "`listen` on a unix socket is not judged",
        ),
        (
            "{ ops: [listen], vsock: { cid: 2 } }",
            "`listen` on a virtual socket is not judged",
        ),
        (
            "{ ops: [connect], abstract: \"@a\" }",
            "it is no part of it",
        ),
        ("{ ops: [connect], abstract: \"a*b\" }", "one `*` at most"),
        ("{ ops: [connect], abstract: \"\" }", "1 to 107 bytes"),
        (
            "{ ops: [connect], vsock: { cid: any, ports: [1] } }",
            "cannot be told apart",
        ),
        (
            "{ ops: [connect], vsock: { cid: -1 } }",
            "a machine is a number",
        ),
        (
            "{ ops: [connect], vsock: { ports: 1 } }",
            "vsock has no `cid`",
        ),
        (
            "{ ops: [raw], cidr: 10.0.0.0/8 }",
            "`raw` is about no address",
        ),
        ("{ ops: [netlink, connect] }", "none of `cidr`"),
        (
            "{ ops: [netlink, connect], cidr: 10.0.0.0/8 }",
            "`netlink` is about no address",
        ),
        ("{ ops: [listen], to: [x] }", "`listen` has none"),
    ] {
        refused(&rule(net), words);
    }
    let longest = format!("{{ ops: [connect], abstract: \"{}\" }}", "a".repeat(107));
    assert!(parse(&rule(&longest)).is_ok());
    refused(&rule(&longest.replace("aa\"", "aaa\"")), "1 to 107 bytes");
}

#[test]
fn names_are_whole_or_beginnings_and_may_have_a_nul_anywhere() {
    let name = |text: &str| NamePattern::parse(text).unwrap();
    for (pattern, bytes, wanted) in [
        ("a", &b"a"[..], true),
        ("a", b"a\0", false),
        ("a", b"", false),
        ("a*", b"a\0b", true),
        ("a*", b"a", true),
        ("a*", b"b", false),
        ("*", b"", true),
    ] {
        assert_eq!(name(pattern).matches(bytes), wanted, "{pattern} {bytes:?}");
    }
    assert!(name("a*").covers(&name("ab")) && name("a*").covers(&name("ab*")));
    assert!(!name("a").covers(&name("a*")) && !name("ab*").covers(&name("a")));
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
fn ranges_contain_what_they_say_and_all_of_ipv6_contains_ipv4() {
    let contains =
        |range: &str, ip: &str| Cidr::parse(range).unwrap().contains(ip.parse().unwrap());
    assert!(contains("127.0.9.0/24", "127.0.9.255") && !contains("127.0.9.0/24", "127.0.10.0"));
    assert!(contains("::/0", "10.0.0.1") && contains("0.0.0.0/0", "255.255.255.255"));
    assert!(!contains("0.0.0.0/0", "2001:db8::1") && !contains("2001:db8::/32", "10.0.0.1"));
    assert!(contains("10.0.0.1", "::ffff:10.0.0.1") && contains("10.0.0.1", "10.0.0.1"));
    for text in [
        "10.0.0",
        "10.0.0.0/",
        "10.0.0.0/+8",
        "10.0.0.0/8/8",
        "x",
        "",
        "10.0.0.0/999999999999",
    ] {
        assert!(Cidr::parse(text).is_err(), "{text}");
    }
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
        let demo = include_str!("../../../tests/fixtures/policies/demo.yaml");
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
    let page = include_str!("../../../docs/policy.md");
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
fn a_permission_that_anybody_gets_by_an_argument_is_warned_about() {
    for (condition, warnings) in [
        ("anyArg: [--dry-run]", 1),
        ("option: [-n]", 1),
        ("args: [get, \"*\"]", 0),
        ("subcommand: [get], anyArg: [--dry-run]", 0),
        ("subcommand: [get]", 0),
        ("terminal: true, anyArg: [--dry-run]", 1),
        ("terminal: true", 0),
        ("parent: /usr/sbin/cron, ancestor: /usr/sbin/cron", 0),
    ] {
        let source = document(&format!(
            "subjects: {{ groups: [dev] }}\npermissions: {{ p: {{ exec: {{ path: /a, {condition} }} }} }}\nrules:\n  - {{ id: r, effect: alert, exec: {{ path: /b }} }}"
        ));
        let found = check(&parse(&source).unwrap());
        assert_eq!(found.len(), warnings, "{condition}: {found:?}");
    }
}

#[test]
fn a_condition_on_arguments_or_the_process_where_libraries_are_is_warned_about() {
    let of_content = format!("path: /**, anyArg: [x], sha256: \"{}\"", "0".repeat(64));
    for (effect, target, warnings) in [
        ("deny", "path: /**, anyArg: [x]", 1),
        ("hold", "path: /usr/**, anyArg: [x]", 1),
        ("require-grant", "path: \"/usr/lib*/**\", option: [-x]", 1),
        ("deny", "path: /**, regex: x", 1),
        ("deny", &of_content, 0),
        ("deny", "path: /usr/**, terminal: false", 1),
        ("hold", "path: /**, ancestor: /usr/bin/agent", 1),
        ("deny", "path: /usr/bin/**, anyArg: [x]", 0),
        ("deny", "path: /usr/**", 0),
        ("alert", "path: /**, anyArg: [x]", 0),
    ] {
        let rule = format!("{{ id: a, effect: {effect}, exec: {{ {target} }} }}");
        let found = check(&parse(&with_rules(&[&rule])).unwrap());
        let about = |warning: &&Diagnostic| warning.message.contains("maps a library");
        assert_eq!(
            found.iter().filter(about).count(),
            warnings,
            "{rule}: {found:?}"
        );
    }
}

#[test]
fn a_restriction_by_parent_that_a_shell_undoes_is_warned_about() {
    for (effect, condition, warnings) in [
        ("deny", "parent: /usr/bin/agent", 1),
        ("hold", "parent: [/usr/bin/agent, /usr/bin/node]", 1),
        ("deny", "ancestor: /usr/bin/agent", 0),
        ("alert", "parent: /usr/bin/agent", 0),
    ] {
        let rule =
            format!("{{ id: a, effect: {effect}, exec: {{ path: /usr/bin/curl, {condition} }} }}");
        let found = check(&parse(&with_rules(&[&rule])).unwrap());
        let about = |warning: &&Diagnostic| warning.message.contains("with a shell in between");
        assert_eq!(
            found.iter().filter(about).count(),
            warnings,
            "{rule}: {found:?}"
        );
    }
}

#[test]
fn conditions_on_arguments_and_processes_that_mean_nothing_say_why() {
    let rule = |condition: &str| {
        with_rules(&[&format!(
            "{{ id: a, effect: deny, exec: {{ path: /a, {condition} }} }}"
        )])
    };
    for (condition, words) in [
        ("anyArg: []", "an empty list"),
        ("anyArg: [\"*\"]", "every command has such arguments"),
        ("anyArg: [\"a*b*\"]", "one `*` at most"),
        ("anyArg: [x, x]", "twice"),
        ("allArgs: [x, [y, [z]]]", "text"),
        ("allArgs: x", "a list"),
        ("subcommand: [\"-n scale\"]", "is an option, not a word"),
        ("subcommand: [\" \"]", "1 to 8 words"),
        ("option: [r]", "an option is a dash"),
        ("option: [-rf]", "an option is a dash"),
        ("args: [\"**\", x]", "`**` stands at the end"),
        ("args: x", "a list"),
        ("regex: \"a(b\"", "no regular expression: unclosed group"),
        ("regex: \".*\"", "every command matches this"),
        ("regex: [a, a]", "twice"),
        (
            "lineRegex: \"(x{100}){1000}\"",
            "too large once it is compiled",
        ),
        ("sha256: abc", "64 hexadecimal digits"),
        ("notSha256: [[x]]", "text"),
        ("sha: x", "did you mean `sha256`?"),
        ("terminal: yes", "not `true` or `false`"),
        ("terminal: \"true\"", "not `true` or `false`"),
        ("terminal: [true]", "not `true` or `false`"),
        ("parent: []", "an empty list"),
        ("parent: cron", "a path starts with `/`"),
        (
            "parent: /usr/sbin/cron/",
            "no `.`, `..`, `//` or `/` at its end",
        ),
        ("parent: [/usr/sbin/cron, /usr/sbin/cron]", "twice"),
        (
            "parent: /usr/bin/python*",
            "known by its identity and not by its name",
        ),
        (
            "ancestor: /opt/agents/**",
            "known by its identity and not by its name",
        ),
        (
            "ancestor: [/a, \"/b*\"]",
            "known by its identity and not by its name",
        ),
        ("ancestor: { path: /a }", "is a map"),
        ("ancestors: /a", "did you mean `ancestor`?"),
        ("anyarg: [x]", "did you mean `anyArg`?"),
    ] {
        refused(&rule(condition), words);
    }
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
        spec("hosts: {}"),
        spec("onLoss: {}"),
        spec("profiles: []"),
        spec("approvals: []"),
        spec("tests: []"),
        spec("default: deny"),
        spec("default: hold"),
        with_rules(&["{ id: a, effect: throttle, exec: { path: /a } }"]),
        rule("rate: {}"),
        rule("when: {}"),
        rule("flags: []"),
        rule("approval: x"),
        document("subjects: { services: [a] }\nrules: []"),
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
