//! Commands that need nobody.

use crate::run::alone;

#[test]
fn the_version_is_printed_in_every_format() {
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        alone(&["version"]).exits(0).out,
        format!("stayhand {version}\n")
    );
    assert_eq!(
        alone(&["version", "-o", "name"]).exits(0).out,
        format!("{version}\n")
    );
    let json = alone(&["version", "-o", "json"]).exits(0).json();
    assert_eq!(
        (&json["kind"], &json["version"]),
        (&"Version".into(), &version.into())
    );
}

#[test]
fn the_schema_of_policies_is_the_one_that_is_published() {
    let published = include_str!("../../../docs/policy.schema.json");
    assert_eq!(alone(&["policy", "schema"]).exits(0).out, published);
}

#[test]
fn completions_are_made_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        alone(&["completions", shell]).exits(0).prints("approve");
    }
    alone(&["completions", "cmd"]).exits(2);
}

#[test]
fn help_has_examples_and_exit_codes() {
    alone(&["--help"])
        .exits(0)
        .prints("Examples:")
        .prints("Exit codes:");
    for arguments in [
        ["grant", "create", "--help"],
        ["hold", "approve", "--help"],
        ["policy", "check", "--help"],
        ["policy", "test", "--help"],
        ["policy", "explain", "--help"],
        ["policy", "diff", "--help"],
        ["policy", "replay", "--help"],
        ["policy", "learn", "--help"],
        ["events", "tail", "--help"],
    ] {
        alone(&arguments).exits(0).prints("Example");
    }
    alone(&["why", "--help"]).exits(0).prints("Example");
}
