//! Properties of the policy language: what is refused, where the finding points, what a document means.

use super::*;

/// The policy document around `spec`.
pub(crate) fn document(spec: &str) -> String {
    let indented: String = spec.lines().map(|line| format!("  {line}\n")).collect();
    format!("apiVersion: stayhand/v1\nkind: Policy\nmetadata: {{ name: p }}\nspec:\n{indented}")
}

fn with_rule(rule: &str) -> String {
    document(&format!(
        "subjects: {{ groups: [dev] }}\nrules:\n  - {rule}\n"
    ))
}

fn findings(source: &str) -> String {
    match parse(source) {
        Ok(_) => "accepted".to_owned(),
        Err(findings) => findings
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n"),
    }
}

#[track_caller]
fn refused(source: &str, needle: &str) {
    let found = findings(source);
    assert!(
        found.contains(needle),
        "wanted `{needle}`, got:\n{found}\nfor:\n{source}"
    );
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
