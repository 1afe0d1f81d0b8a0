//! `stayhand grant`: waiting for the hosts, and what is shown.

use stayhand_proto::v1::{self, EnforcementPhase as Phase};

use crate::{
    fake::{Fake, Told},
    sample::{GRANT, GRANT_2, HOSTILE_TEXT, enforcement, from_now, grant, grant_on},
};

const CREATE: [&str; 10] = [
    "grant",
    "create",
    "--user",
    "alice",
    "--permission",
    "prod-db",
    "--for",
    "15m",
    "--reason",
    "INC-17",
];

fn told(changes: Vec<v1::Grant>) -> Fake {
    Fake::new(Told {
        grants: vec![grant(GRANT)],
        grant_changes: changes,
        ..Told::default()
    })
}

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    CREATE.iter().copied().chain(more.iter().copied()).collect()
}

#[test]
fn creating_waits_for_enforced_and_not_for_the_servers_yes() {
    let fake = told(vec![
        grant_on(vec![enforcement("db1", Phase::Desired)]),
        grant_on(vec![enforcement("db1", Phase::Received)]),
        grant_on(vec![enforcement("db1", Phase::Enforced)]),
    ]);
    let ran = fake.run(&CREATE).exits(0);
    assert_eq!(
        ran.err,
        "enforced on 0 of 1 host\nenforced on 1 of 1 host\n"
    );
    let ran = ran.prints(GRANT).prints("enforced on 1 of 1 host");
    assert!(
        ran.out.contains("CET (in 1") || ran.out.contains("CEST (in 1"),
        "{ran:?}"
    );
    let asked = fake.asked();
    assert!(
        asked[0].contains("ttl: Some(Duration { seconds: 900, nanos: 0 })"),
        "{asked:?}"
    );
    assert!(
        asked[0].contains("request_id: \"") && !asked[0].contains("request_id: \"\""),
        "{asked:?}"
    );
}

#[test]
fn hosts_that_are_late_are_named_and_the_grant_is_still_printed() {
    let hosts = vec![
        enforcement("db1", Phase::Enforced),
        enforcement("db2", Phase::Received),
        enforcement("db3", Phase::Desired),
    ];
    let fake = told(vec![grant_on(hosts)]);
    let ran = fake.run(&with(&["--timeout", "2s", "-o", "name"])).exits(6);
    assert_eq!(ran.out, format!("{GRANT}\n"));
    ran.says("enforced on 1 of 3 hosts")
        .says("error: the grant was not enforced within 2s on: db2, db3")
        .says(&format!(
            "hint: take it back with: stayhand grant revoke {GRANT}"
        ));
}

#[test]
fn a_host_that_rejects_is_a_failure_with_its_reasons() {
    let mut rejected = enforcement("db1", Phase::Rejected);
    rejected.reasons = vec!["the kernel has no room for 9 leases".into()];
    let fake = told(vec![grant_on(vec![
        rejected,
        enforcement("db2", Phase::Enforced),
    ])]);
    fake.run(&CREATE)
        .exits(1)
        .says("error: the grant was rejected")
        .says("db1: rejected; the kernel has no room for 9 leases");
}

#[test]
fn a_host_that_is_offline_is_named_and_not_waited_for() {
    let offline = v1::HostEnforcement {
        online: false,
        ..enforcement("db2", Phase::Desired)
    };
    let fake = told(vec![grant_on(vec![
        enforcement("db1", Phase::Enforced),
        offline,
    ])]);
    fake.run(&CREATE)
        .exits(0)
        .says("warning: not online, so the grant is not enforced there yet: db2");
}

#[test]
fn nobody_online_is_not_success() {
    let fake = told(vec![grant_on(vec![])]);
    fake.run(&with(&["--timeout", "300ms"]))
        .exits(6)
        .says("not enforced anywhere: no host was online");
}

#[test]
fn a_grant_that_is_revoked_meanwhile_is_a_conflict() {
    let mut revoked = grant_on(vec![enforcement("db1", Phase::Desired)]);
    revoked.set_state(v1::grant::State::Revoked);
    let fake = told(vec![revoked]);
    fake.run(&CREATE)
        .exits(4)
        .says("the grant is revoked before every host had it");
}

#[test]
fn without_waiting_nothing_is_watched() {
    let fake = told(vec![]);
    fake.run(&with(&["--no-wait"])).exits(0);
    fake.run(&with(&["--dry-run"]))
        .exits(0)
        .says("dry run: nothing was changed");
    let asked = fake.asked();
    assert!(
        !asked.iter().any(|call| call.starts_with("watch")),
        "{asked:?}"
    );
    assert!(asked[1].contains("validate_only: true"), "{asked:?}");
}

#[test]
fn revoking_finds_a_beginning_and_waits_until_it_is_out_of_the_kernel() {
    let mut removing = enforcement("db1", Phase::Received);
    removing.removes = true;
    let removed = v1::HostEnforcement {
        phase: Phase::Enforced.into(),
        ..removing.clone()
    };
    let revoked = |hosts| {
        let mut grant = grant_on(hosts);
        grant.set_state(v1::grant::State::Revoked);
        grant
    };
    let fake = told(vec![revoked(vec![removing]), revoked(vec![removed])]);
    fake.run(&["grant", "revoke", "0192f0c1"])
        .exits(0)
        .prints("out of the kernel on 1 of 1 host");
    let asked = fake.asked();
    assert_eq!(asked[0], "get grants/0192f0c1");
    assert!(asked[1].contains(&format!("grants/{GRANT}")), "{asked:?}");
}

#[test]
fn hosts_that_do_not_enforce_are_named_with_why_and_of_many_only_some() {
    let mut rejected = enforcement("db2", Phase::Rejected);
    rejected.reasons = vec!["policy `prod`: too \u{1b}[2J long".into()];
    let away = v1::HostEnforcement {
        online: false,
        last_seen_time: Some(from_now(-900)),
        ..enforcement("db3", Phase::Desired)
    };
    let never = v1::HostEnforcement {
        online: false,
        ..enforcement("db4", Phase::Desired)
    };
    let late = (10..40).map(|number| enforcement(&format!("web{number}"), Phase::Desired));
    let hosts = [enforcement("db1", Phase::Enforced), rejected, away, never];
    let all: Vec<_> = hosts.into_iter().chain(late).collect();
    let fake = Fake::new(Told {
        grants: vec![grant_on(all.clone())],
        ..Told::default()
    });
    let ran = fake.run(&["grant", "show", GRANT]).exits(0);
    assert!(!ran.out.contains('\u{1b}'), "{ran:?}");
    let ran = ran
        .prints("enforced on 1 of 34 hosts")
        .prints("db2: rejected: policy `prod`")
        .prints("db3: not connected since ")
        .prints("db4: never connected")
        .prints("web10: not answered yet")
        .prints("and 13 more");
    assert!(!ran.out.contains("web39"), "{ran:?}");
    let json = fake
        .run(&["grant", "show", GRANT, "-o", "json"])
        .exits(0)
        .json();
    assert_eq!(
        json["enforcement"].as_array().map(Vec::len),
        Some(all.len())
    );
}

#[test]
fn revoking_says_until_when_a_host_that_is_away_may_still_permit() {
    let mut away = enforcement("db2", Phase::Desired);
    (away.online, away.removes) = (false, true);
    let mut removed = enforcement("db1", Phase::Enforced);
    removed.removes = true;
    let mut grant = grant_on(vec![removed, away]);
    grant.set_state(v1::grant::State::Revoked);
    told(vec![grant])
        .run(&["grant", "revoke", "0192f0c1"])
        .exits(0)
        .says("warning: db2 is not connected: its lease ends by ")
        .says(" at the latest");
}

#[test]
fn listing_reads_every_page_in_every_format() {
    let fake = Fake::new(Told {
        grants: vec![grant(GRANT), grant(GRANT_2)],
        ..Told::default()
    });
    let table = fake.run(&["grant", "ls"]).exits(0);
    let lines: Vec<&str> = table.out.lines().collect();
    assert_eq!(lines.len(), 3, "{table:?}");
    assert!(
        lines[0].starts_with("ID ") && lines[0].contains("UNTIL"),
        "{table:?}"
    );
    assert_eq!(
        lines[0].find("USER"),
        lines[1].find("alice"),
        "columns line up: {table:?}"
    );
    let bare = fake.run(&["grant", "ls", "--no-headers"]).exits(0);
    assert_eq!(bare.out.lines().count(), 2);
    let names = fake.run(&["grant", "ls", "-o", "name"]).exits(0);
    assert_eq!(names.out, format!("{GRANT}\n{GRANT_2}\n"));
    let json = fake.run(&["grant", "ls", "-o", "json"]).exits(0).json();
    assert_eq!(json["kind"], "GrantList");
    assert_eq!(json["items"][1]["id"], GRANT_2);
    assert_eq!(json["items"][0]["permissions"][0], "baseline/prod-db");
    let until = json["items"][0]["expire_time"].as_str().unwrap();
    assert!(until.ends_with('Z') && until.len() == 24, "{until}");
    let lines = fake.run(&["grant", "ls", "-o", "jsonl"]).exits(0);
    for line in lines.out.lines() {
        let one: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(
            (&one["kind"], &one["api_version"]),
            (&"Grant".into(), &"stayhand/v1".into())
        );
    }
    let yaml = fake.run(&["grant", "ls", "-o", "yaml"]).exits(0);
    let read: serde_json::Value = serde_yaml_ng::from_str(&yaml.out).unwrap();
    assert_eq!(read["items"][0]["user"], "alice");
}

#[test]
fn an_empty_listing_says_so_beside_the_data() {
    let fake = Fake::new(Told::default());
    let ran = fake.run(&["grant", "ls"]).exits(0).says("no live grants");
    assert_eq!(ran.out, "");
    assert_eq!(
        fake.run(&["grant", "ls", "-o", "json"]).json()["items"],
        serde_json::json!([])
    );
}

#[test]
fn a_hostile_grant_is_harmless_in_every_format() {
    let hostile = v1::Grant {
        user: HOSTILE_TEXT.into(),
        reason: HOSTILE_TEXT.into(),
        permissions: vec![HOSTILE_TEXT.into()],
        profile: HOSTILE_TEXT.into(),
        created_by: HOSTILE_TEXT.into(),
        ..grant(GRANT)
    };
    let fake = Fake::new(Told {
        grants: vec![hostile],
        ..Told::default()
    });
    for format in ["table", "json", "jsonl", "yaml", "name"] {
        fake.run(&["grant", "ls", "-o", format])
            .exits(0)
            .stays_harmless();
        fake.run(&["grant", "show", GRANT, "-o", format])
            .exits(0)
            .stays_harmless();
    }
    let json = fake.run(&["grant", "show", GRANT, "-o", "json"]).json();
    assert_eq!(json["reason"], HOSTILE_TEXT, "exact for a program");
}

const CARE: [&str; 12] = [
    "grant",
    "create",
    "--user",
    "alice",
    "--profile",
    "p/care",
    "--with",
    "dir=/srv/a b",
    "--for",
    "15m",
    "--reason",
    "INC-17",
];

#[test]
fn a_value_without_a_profile_and_a_profile_beside_permissions_are_refused_before_anybody_is_asked()
{
    let fake = told(vec![]);
    for (more, says) in [
        (&["--with", "service=nginx"][..], "cannot be used with"),
        (&["--profile", "care"], "cannot be used with"),
    ] {
        fake.run(&with(more)).exits(2).says(says);
    }
    for (place, bad) in [(5, "p/care(dir=x)"), (5, "Care"), (7, "dir"), (7, "=x")] {
        let mut asked = CARE;
        asked[place] = bad;
        fake.run(&asked).exits(2);
    }
    let neither: Vec<&str> = CREATE
        .iter()
        .copied()
        .filter(|one| !matches!(*one, "--permission" | "prod-db"))
        .collect();
    fake.run(&neither).exits(2).says("--permission <NAME>");
    assert!(fake.asked().is_empty(), "{:?}", fake.asked());
}

#[test]
fn a_profile_is_asked_for_with_its_values_and_shown_with_them() {
    let mut care = grant_on(vec![enforcement("db1", Phase::Enforced)]);
    care.profile = "p/care(dir=/srv/a%20b,service=nginx)".into();
    care.permissions = vec!["p/logs(service=nginx)".into()];
    let fake = Fake::new(Told {
        grants: vec![care.clone()],
        grant_changes: vec![care],
        ..Told::default()
    });
    fake.run(&CARE)
        .exits(0)
        .prints("profile")
        .prints("p/care")
        .prints("dir=/srv/a b, service=nginx")
        .prints("p/logs(service=nginx)");
    let asked = fake.asked();
    assert!(
        asked[0].contains("profile: \"p/care\", values: [\"dir=/srv/a b\"]")
            && asked[0].contains("permissions: []"),
        "{asked:?}"
    );
    fake.run(&["grant", "ls"])
        .exits(0)
        .prints("p/care (dir=/srv/a b");
    let json = fake
        .run(&["grant", "show", GRANT, "-o", "json"])
        .exits(0)
        .json();
    assert_eq!(
        (&json["profile"], &json["values"]["dir"]),
        (&"p/care".into(), &"/srv/a b".into())
    );
}
