//! `stayhand policy explain`: who decides, where, and what would let it go on.

use std::{fs, path::Path};

use crate::run::{Ran, alone};

const POLICY: &str = "\
apiVersion: stayhand/v1
kind: Policy
metadata: { name: p }
spec:
  subjects: { groups: [dev] }
  permissions:
    www: { file: { ops: [create, write], path: /srv/www/** } }
  rules:
    - { id: no-netcat, effect: deny, exec: { path: /usr/bin/nc }, message: use the tunnel }
    - { id: www, effect: hold, permission: www }
    - { id: drop, effect: deny, exec: { path: /usr/bin/psql, regex: drop } }
    - { id: git, effect: deny, exec: { path: /usr/bin/git, ancestor: /opt/agent } }
    - { id: db, effect: require-grant, net: { ops: [connect], cidr: 10.0.0.0/8 } }
";

fn explained(asked: &[&str]) -> Ran {
    let directory = tempfile::tempdir().unwrap();
    let path = file(directory.path(), POLICY);
    let who = [
        "policy", "explain", &path, "--as", "alice", "--group", "dev",
    ];
    alone(&[&who, asked].concat()).stays_harmless()
}

fn file(directory: &Path, source: &str) -> String {
    let path = directory.join("p.yaml");
    fs::write(&path, source).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_denial_names_its_rule_line_and_message_and_that_nothing_opens_it() {
    explained(&["--", "/usr/bin/nc", "-h", "\u{1b}[2J"])
        .exits(0)
        .prints("action    exec /usr/bin/nc -h \\x1b[2J")
        .prints("outcome   deny (rule-deny)")
        .prints("p/no-netcat (deny), ")
        .prints("p.yaml:9")
        .prints("use the tunnel")
        .prints("in the kernel alone")
        .prints("nothing: `deny` counts with and without a grant")
        .prints("judged by name, as written");
}

#[test]
fn a_sensitive_rule_says_so_beside_its_effect_and_another_one_says_nothing() {
    let sensitive = POLICY.replace("message: use the tunnel", "sensitivity: critical");
    let directory = tempfile::tempdir().unwrap();
    let path = file(directory.path(), &sensitive);
    let run = |more: &[&str]| {
        let who = [
            "policy", "explain", &path, "--as", "alice", "--group", "dev",
        ];
        let asked = [&who[..], more, &["--", "/usr/bin/nc"]].concat();
        alone(&asked).exits(0)
    };
    run(&[]).prints("p/no-netcat (deny, sensitivity critical), ");
    let json = run(&["-o", "json"]).json();
    assert_eq!(json["rule"]["sensitivity"], "critical");
    let without = explained(&["-o", "json", "--", "/usr/bin/nc"]).exits(0);
    assert!(without.json()["rule"].get("sensitivity").is_none());
}

#[test]
fn a_hold_names_the_approval_and_the_grant_and_with_the_grant_it_goes_on() {
    let write = ["--create", "/srv/www/x"];
    explained(&write)
        .exits(0)
        .prints("outcome   hold")
        .prints("an approval by any operator, or a grant of p/www");
    let granted = explained(&[&write[..], &["--grant", "www"]].concat()).exits(0);
    let granted = granted.prints("outcome  allow (grant)");
    assert!(!granted.out.contains("to go on"), "{granted:?}");
    explained(&[&write[..], &["--grant", "wwww"]].concat())
        .exits(1)
        .says("no permission `wwww`")
        .says("there is p/www");
    explained(&["--connect", "10.0.0.1:5432"])
        .exits(0)
        .prints("nothing: no permission covers it");
}

#[test]
fn what_is_not_said_is_called_perhaps_and_what_the_agent_is_asked_is_said() {
    let push = ["--", "/usr/bin/git", "push"];
    explained(&push).exits(0).prints("met       perhaps");
    let asked = [&["--ancestor", "/usr/bin/bash"], &push[..]].concat();
    explained(&asked)
        .exits(0)
        .prints("outcome  allow (default)");
    explained(&["--", "/usr/bin/psql", "x"])
        .exits(0)
        .prints("after the agent has told");
}

#[test]
fn what_is_sent_where_and_which_name_or_port_is_taken_is_asked_like_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    let more = "    - { id: dns, effect: deny, net: { ops: [send], cidr: 10.9.0.0/16, ports: [53], protocol: udp } }
    - { id: low, effect: hold, net: { ops: [bind], cidr: \"::/0\", ports: \"1-1023\", protocol: tcp } }
    - { id: bus, effect: deny, net: { ops: [send, bind], abstract: bus } }
    - { id: log, effect: deny, net: { ops: [send], path: /run/log } }
    - { id: names, effect: deny, file: { ops: [link], path: /srv/old/** } }
    - { id: new, effect: hold, file: { ops: [create], path: /srv/new/** } }
";
    let path = file(directory.path(), &format!("{POLICY}{more}"));
    let outcome = |asked: &[&str]| {
        let who = [
            "policy", "explain", &path, "--as", "a", "--group", "dev", "-o", "json",
        ];
        let told = alone(&[&who[..], asked].concat()).exits(0).json();
        let word = |value: &serde_json::Value| value.as_str().unwrap_or("-").to_owned();
        [&told["action"], &told["outcome"], &told["rule"]["rule"]]
            .map(word)
            .join(" | ")
    };
    for (asked, wanted) in [
        (
            &["--send", "10.9.0.1:53"][..],
            "send 10.9.0.1:53 | deny | dns",
        ),
        (
            &["--send", "10.9.0.1:53", "--protocol", "udplite"],
            "send 10.9.0.1:53 (udplite) | allow | -",
        ),
        (&["--bind", "0.0.0.0:53"], "bind 0.0.0.0:53 | hold | low"),
        (
            &["--bind", "[::]:53", "--protocol", "udp"],
            "bind [::]:53 | allow | -",
        ),
        (&["--bind", "@bus"], "bind @bus | deny | bus"),
        (&["--send", "@bus"], "send @bus | deny | bus"),
        (&["--connect", "@bus"], "connect @bus | allow | -"),
        (&["--send", "/run/log"], "send /run/log | deny | log"),
        (
            &["--link", "/srv/old/x", "/a"],
            "link /srv/old/x -> /a | deny | names",
        ),
        (
            &["--link", "/a", "/srv/new/x"],
            "link /a -> /srv/new/x | hold | new",
        ),
        (
            &["--link", "/srv/new/x", "/a"],
            "link /srv/new/x -> /a | allow | -",
        ),
    ] {
        assert_eq!(outcome(asked), wanted, "{asked:?}");
    }
    explained(&["--bind", "/run/x.sock"])
        .exits(1)
        .says("not judged")
        .says("--create");
    explained(&["--send", "@bus", "--protocol", "udp"])
        .exits(1)
        .says("belongs to an address");
    for wrong in [
        &["--link", "/a"][..],
        &["--link", "/a", "b"],
        &["--send", "10.9.0.1"],
        &["--read", "/a", "--protocol", "udp"],
        &["--send", "10.9.0.1:53", "--terminal"],
        &["--send", "10.9.0.1:53", "--bind", "10.9.0.1:53"],
        &["--send", "10.9.0.1:53", "--protocol", "x"],
    ] {
        explained(wrong).exits(2);
    }
}

#[test]
fn programs_get_the_same_as_people() {
    let json = explained(&["--write", "/srv/www/x", "-o", "json"])
        .exits(0)
        .json();
    assert_eq!(
        (&json["kind"], &json["outcome"]),
        (&"PolicyExplanation".into(), &"hold".into())
    );
    assert_eq!(
        (&json["rule"]["rule"], &json["rule"]["line"]),
        (&"www".into(), &10.into())
    );
    assert_eq!(
        json["to_go_on"]["permissions"],
        serde_json::json!(["p/www"])
    );
    assert_eq!(json["asks_agent"], false);
}

#[test]
fn who_is_guarded_by_nobody_is_told_so() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(directory.path(), POLICY);
    alone(&[
        "policy",
        "explain",
        &path,
        "--as",
        "bob",
        "--",
        "/usr/bin/nc",
    ])
    .exits(0)
    .prints("no policy guards bob");
}

#[test]
fn an_action_is_one_and_of_one_object() {
    explained(&[]).exits(2);
    explained(&["--read", "/a", "--write", "/b"]).exits(2);
    explained(&["--read", "/a/**"]).exits(2);
    explained(&["--connect", "10.0.0.1"]).exits(2);
    explained(&["--read", "/a", "--terminal"]).exits(2);
    explained(&["--", "nc"]).exits(1).says("`nc` is no program");
    let directory = tempfile::tempdir().unwrap();
    let path = file(
        directory.path(),
        &POLICY.replace("effect: deny", "effect: dney"),
    );
    alone(&["policy", "explain", &path, "--as", "a", "--read", "/a"])
        .exits(1)
        .says("did you mean `deny`?");
}

#[test]
fn a_hold_with_an_approval_says_who_may_give_it() {
    let directory = tempfile::tempdir().unwrap();
    let source = POLICY
        .replace(
            "  rules:\n",
            "  approvals:\n    - { name: two, stages: [{ any: [group:sre, user:bob] }, { count: 2, of: group:dba }] }\n  rules:\n",
        )
        .replace("permission: www }", "permission: www, approval: two }");
    let path = file(directory.path(), &source);
    let asked = [
        "policy",
        "explain",
        &path,
        "--as",
        "alice",
        "--group",
        "dev",
        "--create",
        "/srv/www/x",
    ];
    let by = "any of group:sre, user:bob, then 2 of group:dba";
    alone(&asked)
        .exits(0)
        .prints(&format!("an approval by {by}, or a grant of p/www"));
    let json = alone(&[&asked[..], &["-o", "json"]].concat())
        .exits(0)
        .json();
    assert_eq!(json["to_go_on"]["approvers"], by);
}

const CARE: &str = "\
apiVersion: stayhand/v1
kind: Policy
metadata: { name: p }
spec:
  subjects: { groups: [dev] }
  permissions:
    logs: { file: { ops: [read], path: \"/var/log/${service}/**\" } }
    files: { file: { ops: [write], path: \"${dir}/**\" } }
  profiles:
    - { name: care, allow: logs, parameters: { service: { enum: [nginx, postgres] }, port: { integer: 5-9 } } }
    - { name: files, allow: files, parameters: { dir: { path: /srv/** } } }
  rules:
    - { id: logs, effect: require-grant, file: { ops: [read], path: /var/log/** } }
    - { id: files, effect: require-grant, file: { ops: [write], path: /srv/** } }
";

#[test]
fn what_only_a_profile_gives_is_said_with_the_command_that_asks_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(directory.path(), CARE);
    let ask = |more: &[&str]| {
        let who = [
            "policy", "explain", &path, "--as", "alice", "--group", "dev",
        ];
        alone(&[&who[..], more].concat()).stays_harmless()
    };
    let log = ["--read", "/var/log/nginx/error.log"];
    ask(&log)
        .exits(0)
        .prints("a grant of p/logs(service=nginx)")
        .prints("stayhand grant create --user alice --profile p/care --with service=nginx --with port=5 --for 1h");
    ask(&["--read", "/var/log/redis/error.log"])
        .exits(0)
        .prints("nothing: no permission covers it");
    ask(&["--write", "/srv/it's me/x"])
        .exits(0)
        .prints("--profile p/files --with dir='/srv/it'\\''s me' --for 1h");
    let with = |values: &[&'static str]| {
        [&log[..], &["--profile", "care", "--with", "port=5"], values].concat()
    };
    ask(&with(&["--with", "service=nginx"]))
        .exits(0)
        .prints("outcome  allow (grant)");
    ask(&with(&["--with", "service=postgres"]))
        .exits(0)
        .prints("outcome   deny (no-grant)");
    ask(&with(&["--with", "service=redis"]))
        .exits(1)
        .says("it is one of nginx, postgres");
    ask(&with(&[])).exits(1).says("needs `service`");
    ask(&[&log[..], &["--profile", "cares"]].concat())
        .exits(1)
        .says("there is p/care, p/files");
    ask(&[&log[..], &["--grant", "logs"]].concat())
        .exits(1)
        .says("no permission `logs`");
}
