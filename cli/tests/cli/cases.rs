//! `stayhand policy test`: what fails, what nothing reaches, and how a forge is told.

use std::{fs, path::Path};

use crate::{
    fake::{Fake, Told},
    run::{Ran, alone},
};

const RULES: &str = "\
apiVersion: stayhand/v1
kind: Policy
metadata: { name: NAME }
spec:
  subjects: { groups: [dev] }
  rules:
    - { id: no-netcat, effect: deny, exec: { path: /usr/bin/nc } }
    - { id: look, effect: alert, exec: { path: /usr/bin/gdb } }
";
const NC: &str = "as: alice, groups: [dev], exec: [/usr/bin/nc, -h], expect: deny, rule: no-netcat";
const GDB: &str = "as: alice, groups: [dev], exec: /usr/bin/gdb, expect: alert";

fn policy(directory: &Path, name: &str, tests: &[&str]) -> String {
    let list = tests.iter().fold(String::new(), |list, test| {
        list + "    - { " + test + " }\n"
    });
    let tests = if list.is_empty() { "" } else { "  tests:\n" };
    let path = directory.join(format!("{name}.yaml"));
    fs::write(&path, RULES.replace("NAME", name) + tests + &list).unwrap();
    path.to_str().unwrap().to_owned()
}

fn tested(tests: &[&str], options: &[&str]) -> Ran {
    let directory = tempfile::tempdir().unwrap();
    let path = policy(directory.path(), "p", tests);
    alone(&[&["policy", "test", &path], options].concat())
}

#[test]
fn a_test_that_expects_the_wrong_rule_fails_with_place_expected_and_got() {
    let wrong = NC.replace("rule: no-netcat", "rule: look");
    let refused = tested(&[&wrong], &[]).exits(1);
    refused.says("effect `alert`, of which `deny` never comes");
    let wrong = GDB.replace("expect: alert", "expect: allow");
    let ran = tested(&[NC, &wrong], &[]).exits(1);
    let ran = ran
        .says(
            ".yaml:11:7: error: test `exec /usr/bin/gdb` fails: expected allow, got alert (p/look)",
        )
        .says("   11 |     - { as: alice")
        .says("= rule `look` is in line 8")
        .says("error: 1 of 2 tests failed");
    assert!(ran.out.contains("\nFAILED   p"), "{ran:#?}");
    assert!(ran.out.contains("\nok       p"), "{ran:#?}");
}

#[test]
fn a_rule_that_decides_no_test_is_a_warning_and_an_error_where_coverage_is_required() {
    tested(&[NC], &[])
        .exits(0)
        .says(".yaml:8:7: warning: rule `look` decides no test")
        .says("1 test passes, and 1 rule decides none");
    tested(&[NC], &["--require-coverage"])
        .exits(1)
        .says(":8:7: error: rule `look` decides no test");
    tested(&[NC, GDB], &["--require-coverage"]).exits(0);
    tested(&[], &[])
        .exits(0)
        .says("warning: the policy has no tests: nothing shows its 2 rules");
    tested(&[], &["--require-coverage"]).exits(1);
}

#[test]
fn a_test_of_one_file_covers_no_rule_of_another_and_is_judged_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    let a = policy(directory.path(), "a", &[NC, GDB]);
    let b = policy(directory.path(), "b", &[NC]);
    alone(&["policy", "test", &b])
        .exits(0)
        .says("1 rule decides none");
    alone(&["policy", "test", &a, &b])
        .exits(1)
        .says("expected deny (b/no-netcat), got deny (a/no-netcat)")
        .says("policy `a` comes first here");
}

#[test]
fn programs_get_every_test_and_the_names_of_policies_that_pass() {
    let json = tested(&[NC, &GDB.replace("alert", "hold")], &["-o", "json"])
        .exits(1)
        .json();
    assert_eq!(
        (&json["kind"], &json["passed"]),
        (&"PolicyTest".into(), &false.into())
    );
    let file = &json["files"][0];
    assert_eq!(file["unreached"], serde_json::json!([]));
    let [nc, gdb] = file["tests"].as_array().unwrap().as_slice() else {
        panic!("{json}")
    };
    assert_eq!(
        (&nc["passed"], &nc["rule"]),
        (&true.into(), &"p/no-netcat".into())
    );
    assert_eq!(
        (&nc["outcome"], &nc["reason"]),
        (&"deny".into(), &"rule-deny".into())
    );
    assert_eq!(
        (&gdb["expect"], &gdb["outcome"]),
        (&"hold".into(), &"alert".into())
    );
    assert_eq!((&gdb["line"], &gdb["user"]), (&11.into(), &"alice".into()));
    assert_eq!(file["findings"][0]["line"], 11);
    assert_eq!(tested(&[NC, GDB], &["-o", "name"]).exits(0).out, "p\n");
    assert_eq!(
        tested(&[&GDB.replace("alert", "hold")], &["-o", "name"])
            .exits(1)
            .out,
        ""
    );
    let lines = tested(&[NC], &["-o", "jsonl"]).exits(0);
    assert_eq!(lines.out.lines().count(), 1);
}

#[test]
fn nothing_is_run_where_one_policy_cannot_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let good = policy(directory.path(), "a", &[NC]);
    let bad = policy(
        directory.path(),
        "b",
        &["as: alice, exec: /a, expekt: deny"],
    );
    let ran = alone(&["policy", "test", &good, &bad])
        .exits(1)
        .says("did you mean `expect`?")
        .says("no test was run");
    assert_eq!(ran.out, "");
    alone(&["policy", "test", &good, &good])
        .exits(1)
        .says("together: ")
        .says("cannot be enforced together");
}

#[test]
fn a_test_that_passes_only_beside_other_files_fails_as_it_could_never_be_applied() {
    let directory = tempfile::tempdir().unwrap();
    let free = "as: alice, groups: [dev], exec: [/usr/bin/telnet], expect: deny";
    let one = policy(directory.path(), "a", &[NC, free]);
    let path = policy(directory.path(), "b", &[]);
    let other = fs::read_to_string(&path).unwrap();
    fs::write(&path, other.replace("/usr/bin/nc", "/usr/bin/telnet")).unwrap();
    alone(&["policy", "test", &one, &path])
        .exits(1)
        .says("by itself, as `policy apply` judges it: test `exec /usr/bin/telnet` fails")
        .says("1 of 2 tests failed by itself");
}

#[test]
fn a_forge_gets_one_line_for_each_finding_with_its_place() {
    let wrong = GDB.replace("expect: alert", "name: \"100%: a,b\", expect: deny");
    let ran = tested(&[NC, &wrong], &["--annotations", "github"]).exits(1);
    let line = ran
        .err
        .lines()
        .find(|line| line.starts_with("::error "))
        .unwrap();
    assert!(
        line.contains("p.yaml,line=11,col=7::test `100%25: a,b` fails"),
        "{line}"
    );
    let ran = tested(
        &["as: a, exec: /a, expekt: deny"],
        &["--annotations", "github", "-o", "json"],
    );
    assert!(ran.err.starts_with("::error file="), "{ran:#?}");
    let directory = tempfile::tempdir().unwrap();
    let path = policy(directory.path(), "p", &[NC]);
    alone(&["policy", "check", &path, "--annotations", "github"])
        .exits(0)
        .says(",line=7,col=7::rule `no-netcat` denies a program by where it is");
    alone(&["policy", "check", &path, "--annotations", "gitlab"]).exits(2);
}

#[test]
fn hostile_names_act_neither_on_a_terminal_nor_on_a_forge() {
    let hostile = "name: \"::debug::x\\u202e##[debug]x\", as: a, exec: [/a, \"\\e[2J\\n::error::##[debug]x\"], expect: deny";
    let unnamed = hostile.replace("name: \"::debug::x\\u202e##[debug]x\", ", "");
    for options in [
        &[][..],
        &["-o", "json"],
        &["-o", "yaml"],
        &["--annotations", "github"],
    ] {
        let ran = tested(&[hostile, &unnamed], options)
            .exits(1)
            .stays_harmless();
        for line in ran.out.lines().chain(ran.err.lines()) {
            assert!(!line.contains("##["), "{line}");
            let command = line.trim_start().starts_with("::");
            let ours = line.starts_with("::error file=") || line.starts_with("::warning file=");
            assert!(!command || ours, "{line}");
        }
    }
}

#[test]
fn a_policy_that_fails_its_own_tests_never_reaches_the_control_plane() {
    let fake = Fake::new(Told::default());
    let path = policy(fake.directory(), "p", &[NC, &GDB.replace("alert", "hold")]);
    fake.run(&["policy", "apply", &path])
        .exits(1)
        .says(":11:7: error: test `exec /usr/bin/gdb` fails")
        .says("was not applied: 1 of its 2 tests failed");
    assert!(fake.asked().is_empty());
}

#[test]
fn every_example_passes_its_own_tests_and_reaches_every_rule() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples");
    let mut examples = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        // Each by itself: they are policies to begin with, and no host has them all.
        alone(&[
            "policy",
            "test",
            "--require-coverage",
            path.to_str().unwrap(),
        ])
        .exits(0);
        examples += 1;
    }
    assert!(examples >= 5, "examples are missing");
}
