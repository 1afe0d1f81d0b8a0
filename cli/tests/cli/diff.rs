//! `stayhand policy diff`: what is said otherwise, and for whom which action comes out otherwise.

use std::{fs, path::Path};

use crate::run::{Ran, alone};

const OLD: &str = "\
apiVersion: stayhand/v1
kind: Policy
metadata: { name: p }
spec:
  subjects: { groups: [dev], users: [bot] }
  rules:
    - { id: look, effect: alert, exec: { path: /usr/bin/nc } }
    - { id: gone, effect: hold, file: { ops: [write], path: /etc/** } }
";
const NEW: &str = "\
apiVersion: stayhand/v1
kind: Policy
metadata: { name: p }
spec:
  subjects: { groups: [dev], users: [bot] }
  rules:
    - { id: look, effect: alert, exec: { path: /usr/bin/nc } }
    - { id: no-netcat, effect: deny, exec: { path: /usr/bin/nc } }
";

fn file(directory: &Path, name: &str, source: &str) -> String {
    let path = directory.join(name);
    fs::write(&path, source).unwrap();
    path.to_str().unwrap().to_owned()
}

fn compared(old: &str, new: &str, options: &[&str]) -> Ran {
    let directory = tempfile::tempdir().unwrap();
    let old = file(directory.path(), "old.yaml", old);
    let new = file(directory.path(), "new.yaml", new);
    alone(&[&["policy", "diff", &old, &new], options].concat()).stays_harmless()
}

#[test]
fn two_versions_that_say_the_same_are_no_change_whatever_their_text() {
    let moved = OLD.replace("\n  rules", "\n  mode: enforce\n  rules") + "# the end\n";
    let ran = compared(OLD, &moved, &["--exit-code"])
        .exits(0)
        .says("the two say the same")
        .says("0 outcomes change");
    assert_eq!(ran.out, "");
}

#[test]
fn a_change_is_said_in_actions_with_who_meets_it() {
    let ran = compared(OLD, NEW, &[]).exits(0);
    assert_eq!(
        ran.out,
        "\
removed rule gone
  effect: hold
  timeout: 5m
  - write /etc/**
added rule no-netcat
  effect: deny
  + exec /usr/bin/nc

outcomes that change
  bot (and 1 more): exec /usr/bin/nc: alert -> deny (no-netcat)
  bot (and 1 more): write /etc/x: hold -> allow (no rule)
"
    );
    compared(OLD, NEW, &["--exit-code"])
        .exits(1)
        .says("the policy changes");
}

#[test]
fn what_a_used_up_rate_does_is_said_with_the_rate() {
    let rate = |then: &str| {
        let rule = format!(
            "    - {{ id: r, effect: throttle, exec: {{ path: /usr/bin/x }}, rate: {{ limit: 3, per: 1h, then: {then} }} }}\n"
        );
        OLD.to_owned() + &rule
    };
    let (old, new) = (rate("deny"), rate("hold"));
    compared(&old, &new, &[])
        .exits(0)
        .prints("  bot (and 1 more), with every rate used up: exec /usr/bin/x: deny -> hold (r)\n");
    let json = compared(&old, &new, &["-o", "json"]).exits(0).json();
    assert_eq!(json["outcomes"][0]["used_up"], true);
}

#[test]
fn outcomes_are_compared_with_the_flags_that_are_said_to_be_set() {
    let when = |flag: &str| {
        let rule = format!(
            "    - {{ id: f, effect: deny, exec: {{ path: /usr/bin/x }}, when: {{ flags: [{flag}] }} }}\n"
        );
        OLD.to_owned() + &rule
    };
    let (old, new) = (when("incident"), when("freeze"));
    // Either may count where it is not said which are set: that turns nothing.
    compared(&old, &new, &[]).exits(0).says("0 outcomes change");
    compared(&old, &new, &["--no-flags"])
        .exits(0)
        .says("0 outcomes change")
        .says("judged with no flag set");
    compared(&old, &new, &["--flag", "incident"])
        .exits(0)
        .prints("exec /usr/bin/x: deny -> allow (no rule)");
    compared(&old, &new, &["--flag", "freeze"])
        .exits(0)
        .prints("exec /usr/bin/x: allow -> deny (f)")
        .says("judged with only these flags set: freeze");
    let json = compared(&old, &new, &["--flag", "freeze", "-o", "json"])
        .exits(0)
        .json();
    assert_eq!(json["flags"], serde_json::json!(["freeze"]));
    compared(&old, &new, &["--flag", "incident", "--flag", "freeze"])
        .exits(0)
        .says("0 outcomes change");
    compared(&old, &new, &["--flag", "incidnt"])
        .says("no rule of either version names flag `incidnt`");
    compared(&old, &new, &["--flag", "incident", "--no-flags"]).exits(2);
}

#[test]
fn programs_get_the_same_as_people() {
    let json = compared(OLD, NEW, &["-o", "json"]).exits(0).json();
    assert_eq!(
        (&json["kind"], &json["changed"]),
        (&"PolicyDiff".into(), &true.into())
    );
    assert_eq!(json["says"][0]["change"], "removed");
    let first = &json["outcomes"][0];
    assert_eq!(first["before"]["rule"], "look");
    assert_eq!(first["after"]["outcome"], "deny");
    let names = compared(OLD, NEW, &["-o", "name"]).exits(0);
    assert_eq!(names.out, "rule gone\nrule no-netcat\n");
}

#[test]
fn what_cannot_be_read_is_no_version() {
    compared(OLD, &NEW.replace("deny", "dney"), &[])
        .exits(1)
        .says("did you mean `deny`?")
        .says("cannot be read");
    alone(&["policy", "diff", "-", "-"])
        .exits(1)
        .says("only one");
    alone(&["policy", "diff", "/no/such", "-"]).exits(3);
}

#[test]
fn hostile_words_are_shown_safely() {
    let hostile = NEW.replace(
        "effect: deny,",
        "effect: deny, message: \"x\\u202e##[warning]x\",",
    );
    let hostile = hostile.replace(
        "exec: { path: /usr/bin/nc } }\n",
        "exec: { path: \"/a\\u200b\", anyArg: [\"\\e[2J\"] } }\n",
    );
    compared(OLD, &hostile, &[]).exits(0).prints("\\u{202e}");
    for format in ["table", "json", "yaml"] {
        let ran = compared(OLD, &hostile, &["-o", format]).exits(0);
        assert!(!ran.out.contains("##["), "{ran:?}");
    }
}
