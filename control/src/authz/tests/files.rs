//! Files that are refused, each with its place and a remedy; and what cannot be evaluated permits nothing.

use std::path::Path;

use super::*;

const ALL: &str = "@id(\"all\") permit (principal, action, resource);\n";

#[track_caller]
fn refused(text: &str, says: &[&str]) {
    let error = read(text).expect_err(text);
    for one in says {
        assert!(error.contains(one), "`{error}` does not say `{one}`");
    }
}

#[test]
fn a_rule_that_cannot_be_read_is_refused_at_its_place() {
    refused(
        &format!("{ALL}\n  permit principal"),
        &["authorization.cedar:3:10: "],
    );
    refused(
        "@id(\"a\") permit (principal, action, resource)",
        &["authorization.cedar:1:"],
    );
    refused("forbid", &["authorization.cedar:1:"]);
}

#[test]
fn a_rule_that_does_not_fit_the_schema_is_refused_at_its_place() {
    let about = |what: &str| format!("{ALL}@id(\"b\")\npermit {what};");
    let action = about("(principal, action == Action::\"hold.aprove\", resource)");
    refused(
        &action,
        &["authorization.cedar:3:30: ", "hold.aprove", "did you mean"],
    );
    let attribute = about(
        "(principal, action == Action::\"hold.read\", resource) when { resource.polcy == \"prod\" }",
    );
    refused(
        &attribute,
        &["authorization.cedar:3:", "polcy", "did you mean"],
    );
    let role = about("(principal in Role::\"operater\", action, resource)");
    refused(&role, &["authorization.cedar:3:", "operater"]);
    let kind = about("(principal in Team::\"a\", action, resource)");
    refused(&kind, &["authorization.cedar:3:", "Team"]);
    let types = about(
        "(principal, action == Action::\"hold.read\", resource) when { resource.sensitivity == \"high\" }",
    );
    refused(&types, &["authorization.cedar:3:"]);
    // An attribute that only some of the things have.
    let some = about("(principal, action, resource) when { resource.name == \"a\" }");
    refused(&some, &["authorization.cedar:3:", "name"]);
}

#[test]
fn a_rule_that_never_counts_is_a_mistake() {
    let never = format!(
        "{ALL}@id(\"b\") permit (principal, action == Action::\"hold.read\", resource is Policy);"
    );
    refused(&never, &["authorization.cedar:2:"]);
    let never = format!("{ALL}@id(\"b\") permit (principal, action, resource) when {{ false }};");
    refused(&never, &["authorization.cedar:2:"]);
}

#[test]
fn every_rule_has_a_name_of_its_own() {
    refused(
        "permit (principal, action, resource);",
        &[":1:1: a rule has no `@id`", "write `@id("],
    );
    let second = format!("{ALL}\n  {}", ALL.trim());
    refused(
        &second,
        &["authorization.cedar:3:3: a second rule has `@id(\"all\")`"],
    );
    for bad in ["", "All", "a b", &"a".repeat(64), "a`b"] {
        let text = ALL.replace("\"all\"", &format!("\"{bad}\""));
        refused(&text, &[":1:1: the `@id` of a rule is no name"]);
    }
    for always in [GUARDED_SUBJECTS, OWN_REQUESTS, "own-identity"] {
        let text = ALL.replace("\"all\"", &format!("\"{always}\""));
        refused(&text, &[":1:1: ", "always counts", "give it another"]);
    }
}

#[test]
fn templates_and_files_that_permit_nothing_are_refused() {
    let template = format!("{ALL}@id(\"b\") permit (principal == ?principal, action, resource);");
    refused(&template, &["is a template", "nobody fills"]);
    let nothing = "authorization.cedar: no rule permits anything, so nobody could ever act; begin with `stayhand-control --print-authorization`";
    refused("", &[nothing]);
    refused(
        "@id(\"a\") forbid (principal, action, resource);",
        &[nothing],
    );
}

#[test]
fn bounds_are_kept() {
    let one = |at: usize| ALL.replace("all", &format!("rule-{at}"));
    let many: String = (0..201).map(one).collect();
    refused(&many, &["there are more than 200 rules"]);
    read(&(0..200).map(one).collect::<String>()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("authorization.cedar");
    std::fs::write(&file, format!("{ALL}//{}", "x".repeat(128 << 10))).unwrap();
    let error = Authorization::load(Some(&file)).unwrap_err().to_string();
    assert!(error.contains("more than 131072 bytes"), "{error}");
    let missing = Authorization::load(Some(Path::new("/nonexistent/a.cedar"))).unwrap_err();
    let says = "cannot read the authorization policies `/nonexistent/a.cedar`";
    assert!(missing.to_string().contains(says), "{missing}");
}

/// On a test's thread, whose stack is smaller than that of any thread of the program.
#[test]
fn nesting_is_bounded_and_what_is_within_the_bounds_ends_nothing() {
    let when = |condition: &str| {
        format!("@id(\"a\") permit (principal, action, resource) when {{ {condition} }};")
    };
    let deep = when(&format!("{}true{}", "(".repeat(20_000), ")".repeat(20_000)));
    refused(
        &deep,
        &["authorization.cedar:1:", "nested more than 32 deep"],
    );
    let long = when(&format!("context.own{}", " && context.own".repeat(1_000)));
    refused(
        &long,
        &["authorization.cedar:1:1: a rule has more than 8192 bytes"],
    );
    // Whether each is a rule or not: it is said, and the program goes on.
    for within in [
        format!("{}context.own{}", "(".repeat(30), ")".repeat(30)),
        format!("context.own{}", "&&context.own".repeat(600)),
        format!("1>0{}", "||1>0".repeat(1_600)),
        format!("0<1{}", "+1".repeat(4_000)),
        format!("{}true", "if true then true else ".repeat(340)),
        format!("context{}", ".own".repeat(2_000)),
        "!".repeat(8_000),
        "-".repeat(8_000),
    ] {
        let rules = read(&when(&within));
        let Ok(rules) = rules else { continue };
        for action in Action::ALL {
            for resource in things(action) {
                let told = decided(&rules, &caller("ann", &[]), action, &resource, true);
                assert!(told.is_ok() || told.is_err());
            }
        }
    }
}

/// Cedar passes over a rule that it cannot evaluate: here that would be the one that forbids.
#[test]
fn what_cannot_be_evaluated_permits_nothing_and_says_so() {
    let text = format!(
        "{ALL}@id(\"broken\") forbid (principal, action == Action::\"hold.approve\", resource) when {{ resource.sensitivity + 9223372036854775807 < 0 }};"
    );
    let rules = read(&text).unwrap();
    let ann = caller("ann", &[]);
    decided(&rules, &ann, Action::HoldApprove, &hold(None), false).unwrap();
    let denied = decided(
        &rules,
        &ann,
        Action::HoldApprove,
        &hold(Some(Sensitivity::Low)),
        false,
    );
    let denied = denied.unwrap_err();
    assert!(matches!(denied.why, Why::Failed { .. }), "{denied:?}");
    let told = denied.to_string();
    assert!(
        told.contains("could not be asked") && told.contains("broken"),
        "{told}"
    );
}

#[test]
fn a_name_is_data_and_no_rule() {
    let rules = read("@id(\"a\") permit (principal == User::\"ann\", action, resource);").unwrap();
    let mut of = of_rule(None);
    of.subject = "\" || true || \"".into();
    of.policy = "\u{0}\n\"};".into();
    let resource = Resource::Arguments(Box::new(of));
    let asked = asked(Action::ArgumentsRead, &resource, false);
    rules.decide(&caller("ann", &[]), &asked, NOW).unwrap();
    assert!(rules.decide(&caller("bob", &[]), &asked, NOW).is_err());
}
