//! `stayhand policy`: findings with their places, applying, the document back.

use std::{fs, path::Path};

use stayhand_proto::v1::{self, EnforcementPhase as Phase};

use crate::{
    fake::{Fake, Told},
    run::alone,
    sample::{enforcement, host},
};

const GOOD: &str = "\
apiVersion: stayhand/v1
kind: Policy
metadata: { name: baseline }
spec:
  mode: enforce
  subjects: { groups: [dev] }
  rules:
    - { id: no-netcat, effect: deny, exec: { path: [/usr/bin/nc] }, message: use the bastion }
";
const BAD: &str = "\
apiVersion: stayhand/v1
kind: Policy
metadata: { name: baseline }
spec:
  mode: enforce
  subjects: { groups: [dev] }
  rules:
    - id: no-netcat
      efect: deny
      exec: { path: [/usr/bin/nc] }
";

fn file(directory: &Path, source: &[u8]) -> String {
    let path = directory.join("policy.yaml");
    fs::write(&path, source).unwrap();
    path.to_str().unwrap().to_owned()
}

fn stored() -> v1::Policy {
    v1::Policy {
        name: "policies/baseline".into(),
        revision: 4,
        source: GOOD.into(),
        applied_by: "bob".into(),
        create_time: Some(crate::sample::from_now(-60)),
        enforcement: vec![enforcement("db1", Phase::Enforced)],
        ..Default::default()
    }
}

fn fake() -> Fake {
    Fake::new(Told {
        policies: vec![stored()],
        ..Told::default()
    })
}

#[test]
fn a_finding_has_its_place_the_line_a_caret_and_a_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(directory.path(), BAD.as_bytes());
    let ran = alone(&["policy", "check", &path])
        .exits(1)
        .prints("refused: ");
    let ran = ran
        .says(&format!("{path}:9:7: error: "))
        .says("    9 |       efect: deny\n      |       ^\n")
        .says("effect");
    assert!(
        !ran.err.contains('\u{1b}'),
        "no colour where there is no terminal"
    );
    let json = alone(&["policy", "check", &path, "-o", "json"])
        .exits(1)
        .json();
    assert_eq!(json["kind"], "PolicyCheck");
    assert_eq!(json["valid"], false);
    let found = &json["files"][0]["findings"][1];
    assert_eq!((&found["line"], &found["column"]), (&9.into(), &7.into()));
    assert_eq!(found["severity"], "error");
}

#[test]
fn colour_can_be_forced() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(directory.path(), BAD.as_bytes());
    alone(&["policy", "check", &path, "--color", "always"])
        .exits(1)
        .says("\u{1b}[1;31merror\u{1b}[0m");
}

#[test]
fn a_good_policy_is_named_with_its_rules() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(directory.path(), GOOD.as_bytes());
    alone(&["policy", "check", &path])
        .exits(0)
        .prints("ok: policy baseline, 1 rule, ");
    assert_eq!(
        alone(&["policy", "check", &path, "-o", "name"])
            .exits(0)
            .out,
        "baseline\n"
    );
}

#[test]
fn the_same_name_twice_is_found_only_together() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(directory.path(), GOOD.as_bytes());
    alone(&["policy", "check", &path, &path])
        .exits(1)
        .says("together: ")
        .says("baseline");
}

#[test]
fn what_cannot_be_read_is_said_with_its_name() {
    let directory = tempfile::tempdir().unwrap();
    alone(&["policy", "check", "/no/such.yaml"])
        .exits(3)
        .says("could not read `/no/such.yaml`");
    let path = file(directory.path(), b"a: \xff\n");
    alone(&["policy", "check", &path])
        .exits(1)
        .says("is not UTF-8: byte 4");
    let path = file(directory.path(), &vec![b'#'; (1 << 20) + 1]);
    alone(&["policy", "check", &path])
        .exits(1)
        .says("more than the 1048576 bytes");
    let path = file(directory.path(), b"a: \x1b[2J\n\xe2\x80\xae: b\n");
    alone(&["policy", "check", &path]).exits(1).stays_harmless();
}

#[test]
fn a_document_without_end_is_refused_as_soon_as_it_is_too_long() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sparse.yaml");
    fs::File::create(&path).unwrap().set_len(50 << 20).unwrap();
    // The second has no end, and whoever reads all of it never says anything.
    for path in [path.to_str().unwrap(), "/dev/zero"] {
        for command in ["check", "test", "explain"] {
            let more: &[&str] = match command {
                "explain" => &["--as", "alice", "--", "/bin/true"],
                _ => &[],
            };
            alone(&[&["policy", command, path], more].concat())
                .exits(1)
                .says("more than the 1048576 bytes");
        }
    }
}

#[test]
fn the_fixtures_are_valid() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    // The policies that the VM tests use, and those that people are to begin with.
    for directory in ["tests/fixtures/policies", "docs/examples"] {
        let mut checked = 0;
        for entry in fs::read_dir(root.join(directory)).unwrap() {
            let path = entry.unwrap().path();
            if path
                .extension()
                .is_some_and(|extension| extension == "yaml")
            {
                alone(&["policy", "check", path.to_str().unwrap()]).exits(0);
                checked += 1;
            }
        }
        assert!(checked > 0, "no policy in {directory}");
    }
}

#[test]
fn a_policy_with_errors_never_reaches_the_control_plane() {
    let fake = fake();
    let path = file(fake.directory(), BAD.as_bytes());
    fake.run(&["policy", "apply", &path])
        .exits(1)
        .says(":9:7: error")
        .says("was not applied: 2 errors");
    assert!(fake.asked().is_empty());
}

#[test]
fn applying_says_which_revision_it_became() {
    let fake = fake();
    let path = file(fake.directory(), GOOD.as_bytes());
    let ran = fake.run(&["policy", "apply", &path]).exits(0);
    assert_eq!(ran.out, "policy baseline revision 4 applied\n");
    let ran = fake.run(&["policy", "apply", &path, "--dry-run"]).exits(0);
    assert!(ran.out.contains("would be applied"), "{ran:?}");
    assert!(fake.asked()[1].ends_with("true"));
    let json = fake
        .run(&["policy", "apply", &path, "-o", "json"])
        .exits(0)
        .json();
    assert_eq!(
        (&json["changed"], &json["policy"]["revision"]),
        (&true.into(), &4.into())
    );
}

#[test]
fn applying_can_wait_for_every_host() {
    let fake = fake();
    let path = file(fake.directory(), GOOD.as_bytes());
    fake.run(&["policy", "apply", &path, "--wait"])
        .exits(0)
        .says("enforced on 1 of 1 host");
    let late = v1::Policy {
        enforcement: vec![enforcement("db1", Phase::Received)],
        ..stored()
    };
    let fake = Fake::new(Told {
        policies: vec![late],
        ..Told::default()
    });
    let path = file(fake.directory(), GOOD.as_bytes());
    fake.run(&["policy", "apply", &path, "--wait", "--timeout", "2s"])
        .exits(6)
        .says("the policy was not enforced within 2s on: db1");
}

#[test]
fn a_policy_for_hosts_that_are_not_there_is_not_waited_for_unless_there_is_no_host_at_all() {
    let nowhere = || v1::Policy {
        enforcement: vec![],
        ..stored()
    };
    let source = GOOD.replace("spec:\n", "spec:\n  hosts: { env: staging }\n");
    assert_ne!(source, GOOD);
    let apply = |hosts: Vec<v1::Host>, source: &str| {
        let fake = Fake::new(Told {
            policies: vec![nowhere()],
            hosts,
            ..Told::default()
        });
        let path = file(fake.directory(), source.as_bytes());
        fake.run(&["policy", "apply", &path, "--wait", "--timeout", "300ms"])
    };
    apply(vec![host("db1")], &source)
        .exits(0)
        .says("there is nothing to wait for");
    apply(vec![], &source).exits(6).says("no host was online");
    apply(vec![host("db1")], GOOD)
        .exits(6)
        .says("no host was online");
}

#[test]
fn warnings_of_the_control_plane_are_shown_at_their_place() {
    let fake = Fake::new(Told {
        policies: vec![stored()],
        warnings: vec![v1::Diagnostic {
            line: 8,
            column: 7,
            message: "rule `no-netcat` never matches".into(),
            suggestion: "remove it".into(),
        }],
        ..Told::default()
    });
    let path = file(fake.directory(), GOOD.as_bytes());
    fake.run(&["policy", "apply", &path])
        .exits(0)
        .says(":8:7: warning: rule `no-netcat` never matches")
        .says("= remove it");
}

#[test]
fn the_document_comes_back_byte_for_byte() {
    let fake = fake();
    let ran = fake
        .run(&["policy", "show", "baseline", "--revision", "4"])
        .exits(0)
        .says("applied by");
    assert_eq!(ran.out, GOOD);
    assert_eq!(fake.asked(), ["get policies/baseline 4"]);
    fake.run(&["policy", "show"])
        .exits(0)
        .prints("baseline")
        .prints("1/1");
    fake.run(&["policy", "show", "other"])
        .exits(3)
        .says("lists the policies");
}

/// Revision 4 and the one before it, which had another rule.
fn two_revisions() -> Fake {
    let earlier = v1::Policy {
        revision: 3,
        source: GOOD.replace("/usr/bin/nc", "/usr/bin/telnet"),
        ..stored()
    };
    Fake::new(Told {
        policies: vec![stored(), earlier],
        ..Told::default()
    })
}

#[test]
fn going_back_sends_the_earlier_document_in_place_of_the_newest_revision_only() {
    let fake = two_revisions();
    let earlier = GOOD.replace("/usr/bin/nc", "/usr/bin/telnet").len();
    fake.run(&["policy", "rollback", "baseline"])
        .exits(0)
        .says("changed rule no-netcat")
        .says("+ exec /usr/bin/telnet")
        .says("exec /usr/bin/nc: deny -> allow")
        .prints("applied");
    assert_eq!(
        fake.asked(),
        [
            "get policies/baseline 0".to_owned(),
            "get policies/baseline 3".to_owned(),
            format!("apply {earlier} bytes in place of 4, false"),
        ]
    );
}

#[test]
fn there_is_nothing_to_go_back_to_before_the_first_revision_or_behind_the_newest() {
    let fake = two_revisions();
    fake.run(&["policy", "rollback", "baseline", "--to", "4"])
        .exits(1)
        .says("is at revision 4: 4 is not before it");
    let only = v1::Policy {
        revision: 1,
        ..stored()
    };
    let fake = Fake::new(Told {
        policies: vec![only],
        ..Told::default()
    });
    fake.run(&["policy", "rollback", "baseline"])
        .exits(1)
        .says("has no revision before 1 that counted");
    assert_eq!(fake.asked().len(), 1);
}

#[test]
fn a_removal_asks_for_a_reason_and_says_how_to_take_it_back() {
    let fake = two_revisions();
    fake.run(&["policy", "remove", "baseline"])
        .exits(2)
        .says("--reason");
    assert_eq!(fake.asked(), Vec::<String>::new());
    let asked = ["policy", "remove", "baseline", "--reason", "it is old"];
    fake.run(&[&asked[..], &["--replaces", "4", "--dry-run"]].concat())
        .exits(0)
        .prints("would be removed (dry run");
    fake.run(&asked)
        .exits(0)
        .prints("removed, with revision 5; `stayhand policy rollback baseline`");
    assert_eq!(
        fake.asked(),
        [
            "remove policies/baseline in place of \"4\": it is old, true",
            "remove policies/baseline in place of \"\": it is old, false",
        ]
    );
}

#[test]
fn going_back_passes_over_what_removed_the_policy_and_what_was_stopped() {
    let removed = |revision| v1::Policy {
        revision,
        removed: true,
        source: String::new(),
        ..stored()
    };
    let stopped = v1::Policy {
        revision: 2,
        rollout: Some(v1::PolicyRollout {
            revision: 2,
            before_revision: 1,
            state: v1::policy_rollout::State::Stopped.into(),
            replaced_by: 3,
            ..Default::default()
        }),
        ..stored()
    };
    let first = v1::Policy {
        revision: 1,
        ..stored()
    };
    let fake = Fake::new(Told {
        policies: vec![removed(3), stopped, first],
        ..Told::default()
    });
    fake.run(&["policy", "rollback", "baseline"])
        .exits(0)
        .says("counts nowhere since revision 3: all of revision 1 is new");
    let asked = fake.asked();
    let bytes = GOOD.len();
    let last = format!("apply {bytes} bytes in place of 3, false");
    assert_eq!(asked.last(), Some(&last), "{asked:?}");
    let again = v1::Policy {
        revision: 4,
        ..stored()
    };
    let fake = Fake::new(Told {
        policies: vec![again, removed(3)],
        ..Told::default()
    });
    fake.run(&["policy", "rollback", "baseline", "--to", "3"])
        .exits(1)
        .says("revision 3 removed the policy");
    assert_eq!(fake.asked().len(), 2);
}

#[test]
fn a_plan_changes_nothing_and_says_what_would_change() {
    let fake = two_revisions();
    let path = file(
        fake.directory(),
        GOOD.replace("/usr/bin/nc", "/usr/bin/ncat").as_bytes(),
    );
    fake.run(&["policy", "plan", &path])
        .exits(0)
        .prints("policy baseline revision 4: changed\n")
        .prints("+ exec /usr/bin/ncat");
    assert!(
        fake.asked()[1].ends_with("in place of 4, true"),
        "{:?}",
        fake.asked()
    );
    fake.run(&["policy", "plan", &path, "--exit-code"]).exits(1);
    let json = fake
        .run(&["policy", "plan", &path, "-o", "json"])
        .exits(0)
        .json();
    assert_eq!(json["kind"], "PolicyPlanList");
    assert_eq!(json["items"][0]["change"], "changed");
    let path = file(fake.directory(), BAD.as_bytes());
    let before = fake.asked().len();
    fake.run(&["policy", "plan", &path])
        .exits(1)
        .says(":9:7: error");
    assert_eq!(
        fake.asked().len(),
        before,
        "nobody is asked about what cannot be read"
    );
}

#[test]
fn a_document_can_be_applied_to_one_revision_only() {
    let fake = fake();
    let path = file(fake.directory(), GOOD.as_bytes());
    fake.run(&["policy", "apply", &path, "--replaces", "4"])
        .exits(0);
    assert!(
        fake.asked()[0].contains("in place of 4"),
        "{:?}",
        fake.asked()
    );
}

const CONTAINED: &str = "\
apiVersion: stayhand/v1
kind: Policy
metadata: { name: contained }
spec:
  subjects: { groups: [dev] }
  extends:
    - { preset: confined-root@1, except: [services] }
  rules:
    - { id: own, effect: hold, permission: confined-root.services }
  tests:
    - { as: alice, groups: [dev], net: { op: connect, path: /run/dbus/system_bus_socket }, expect: hold, rule: own }
";

#[test]
fn presets_are_listed_and_printed_as_they_are_shipped() {
    alone(&["policy", "presets"])
        .exits(0)
        .prints("confined-root@1")
        .prints("root cannot have work done by processes that nobody guards");
    let names = alone(&["policy", "presets", "-o", "name"]).exits(0);
    assert!(names.out.contains("\nai-agent@1\n"), "{}", names.out);
    let printed = alone(&["policy", "presets", "prod-database@1"]).exits(0);
    let shipped = include_str!("../../../guardrail/presets/prod-database@1.yaml");
    assert_eq!(printed.out, shipped);
    let json = alone(&["policy", "presets", "prod-database@1", "-o", "json"]);
    let json = json.exits(0).json();
    assert_eq!(json["kind"], "Preset");
    assert_eq!(json["parameters"][0]["name"], "databases");
    alone(&["policy", "presets", "prod-database@9"])
        .exits(3)
        .says("no preset `prod-database@9`");
}

#[test]
fn what_a_policy_includes_is_told_by_its_name_and_the_line_that_includes_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(directory.path(), CONTAINED.as_bytes());
    alone(&["policy", "check", &path]).exits(0).prints("ok:");
    alone(&["policy", "test", "--require-coverage", &path])
        .exits(0)
        .says("1 test passes, and every rule decides one");
    let words = [
        "policy",
        "explain",
        &path,
        "--as",
        "alice",
        "--group",
        "dev",
        "--write",
        "/etc/cron.d/x",
    ];
    alone(&words)
        .exits(0)
        .prints("contained/confined-root.schedules (require-grant)")
        .prints("policy.yaml:7")
        .prints("contained/confined-root.schedules");
    let other = directory.path().join("other.yaml");
    fs::write(
        &other,
        CONTAINED.replace("except: [services]", "except: [schedules]"),
    )
    .unwrap();
    alone(&["policy", "diff", &path, other.to_str().unwrap()])
        .exits(0)
        .prints("rule confined-root.schedules")
        .prints("rule confined-root.services");
    let wrong = CONTAINED.replace("except: [services]", "except: [service]");
    let wrong = file(directory.path(), wrong.as_bytes());
    alone(&["policy", "check", &wrong])
        .exits(1)
        .says(":7:43: error: preset `confined-root@1` has no rule `service`")
        .says("did you mean `services`?");
}

#[test]
fn a_policy_is_written_out_and_means_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(directory.path(), CONTAINED.as_bytes());
    let expanded = alone(&["policy", "expand", &path]).exits(0).out;
    assert!(!expanded.contains("extends"), "{expanded}");
    let other = directory.path().join("expanded.yaml");
    fs::write(&other, &expanded).unwrap();
    let other = other.to_str().unwrap();
    alone(&["policy", "check", other]).exits(0);
    alone(&["policy", "diff", "--exit-code", &path, other]).exits(0);
    let bad = file(directory.path(), BAD.as_bytes());
    alone(&["policy", "expand", &bad])
        .exits(1)
        .says(":9:7: error: ");
}
