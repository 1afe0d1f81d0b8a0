//! Every transition of a grant, as a table and as properties.

use super::*;
use crate::{
    host::{Ack, Phase},
    id::Generation,
    time::DurationMs,
};

const NOW: UnixMs = UnixMs(1_000_000);

fn name(text: &str) -> UserName {
    text.parse().unwrap()
}

fn spec() -> IssueSpec {
    IssueSpec {
        id: GrantId(uuid::Uuid::from_u128(7)),
        user: name("alice"),
        permissions: vec!["demo/vault".parse().unwrap()],
        profile: None,
        hosts: vec![],
        reason: "ticket 4711".to_owned(),
        created_by: name("root"),
        duration: DurationMs::from_secs(15),
    }
}

fn active() -> Grant {
    Grant::issue(spec(), NOW).unwrap().grant
}

fn expire() -> Fact {
    Fact::Expire
}

fn revoke() -> Fact {
    Fact::Revoke {
        by: name("bob"),
        reason: "done".to_owned(),
    }
}

fn short(effect: &Effect) -> String {
    match effect {
        Effect::Record(record) => format!("record {}", record.change.as_str()),
        Effect::PublishHosts => "publish hosts".to_owned(),
    }
}

fn row(state: &str, grant: &Grant, fact: &str, step: Result<Step, Illegal>) -> String {
    let outcome = match step {
        Ok(step) => {
            let effects: Vec<String> = step.effects.iter().map(short).collect();
            format!("{} [{}]", step.grant.state.as_str(), effects.join(", "))
        }
        Err(Illegal::NotYet { grant: same }) => {
            same_or_panic(grant, &same, "refused: its end has not come")
        }
        Err(Illegal::Ended { grant: same, .. }) => same_or_panic(grant, &same, "refused: it ended"),
        Err(Illegal::Revoked { grant: same, .. }) => {
            same_or_panic(grant, &same, "refused: it was revoked")
        }
    };
    format!("{state:<18} | {fact:<7} | {outcome}\n")
}

fn same_or_panic(before: &Grant, after: &Grant, text: &str) -> String {
    assert_eq!(before, after, "a refused fact changed the grant");
    text.to_owned()
}

#[test]
fn transition_table() {
    let over = UnixMs(NOW.0 + 15_000);
    let ended = active().step(expire(), over).unwrap().grant;
    let revoked = active().step(revoke(), NOW).unwrap().grant;
    let states = [
        ("active", active(), NOW),
        ("active, past end", active(), over),
        ("ended", ended, over),
        ("revoked", revoked, over),
    ];
    let mut table = String::from("state              | fact    | outcome\n");
    for (state, grant, now) in &states {
        table.push_str(&row(
            state,
            grant,
            "expire",
            grant.clone().step(expire(), *now),
        ));
        table.push_str(&row(
            state,
            grant,
            "revoke",
            grant.clone().step(revoke(), *now),
        ));
    }
    insta::with_settings!({ snapshot_path => ".", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("transitions", table);
    });
}

#[test]
fn revocation_removes_privilege_before_it_is_recorded_and_issue_records_first() {
    let issued = Grant::issue(spec(), NOW).unwrap();
    assert!(matches!(
        issued.effects.as_slice(),
        [Effect::Record(_), Effect::PublishHosts]
    ));
    let revoked = issued.grant.step(revoke(), NOW).unwrap();
    assert!(matches!(
        revoked.effects.as_slice(),
        [Effect::PublishHosts, Effect::Record(_)]
    ));
    assert_eq!(revoked.grant.revision, Revision(2));
}

#[test]
fn a_grant_without_reason_permission_or_sensible_duration_is_not_issued() {
    let with = |change: fn(&mut IssueSpec)| {
        let mut spec = spec();
        change(&mut spec);
        Grant::issue(spec, NOW).unwrap_err()
    };
    assert_eq!(with(|spec| spec.permissions.clear()), Invalid::NoPermission);
    assert_eq!(
        with(|spec| spec.reason = "  ".to_owned()),
        Invalid::NoReason
    );
    assert!(matches!(
        with(|spec| spec.reason = "x".repeat(1_001)),
        Invalid::LongReason(1_001)
    ));
    assert!(matches!(
        with(|spec| spec.duration = DurationMs(0)),
        Invalid::TooShort(_)
    ));
    assert!(matches!(
        with(|spec| spec.duration = DurationMs::from_secs(8 * 86_400)),
        Invalid::TooLong(_)
    ));
    assert!(matches!(
        with(|spec| spec.permissions.push("demo/vault".parse().unwrap())),
        Invalid::Duplicate(_)
    ));
    assert!(matches!(
        with(|spec| spec.permissions = (0..65)
            .map(|n| format!("p/x{n}").parse().unwrap())
            .collect()),
        Invalid::TooManyPermissions(65)
    ));
}

#[test]
fn a_grant_gives_no_lease_past_its_end_nor_to_another_host_nor_when_revoked() {
    let (here, there): (HostId, HostId) = ("web-1".parse().unwrap(), "web-2".parse().unwrap());
    let mut grant = active();
    grant.hosts = vec![here.clone()];
    let lease = grant.lease(&here, NOW).unwrap();
    assert_eq!(
        (lease.left(), lease.grant),
        (DurationMs::from_secs(15), grant.id)
    );
    assert_eq!(grant.lease(&there, NOW), None);
    assert_eq!(grant.lease(&here, grant.expire_time), None);
    let revoked = grant.step(revoke(), NOW).unwrap().grant;
    assert_eq!(revoked.lease(&here, NOW), None);
}

#[test]
fn only_the_hosts_word_about_this_or_a_later_generation_counts() {
    let host: HostId = "web-1".parse().unwrap();
    let desired = || HostEnforcement::desired(host.clone(), Generation(5), false);
    let ack = |generation, phase| Ack::new(Generation(generation), phase);
    assert_eq!(
        desired().acknowledged(&ack(4, Phase::Enforced)).enforcement,
        Enforcement::Desired
    );
    let received = desired().acknowledged(&ack(5, Phase::Received));
    assert_eq!(received.enforcement, Enforcement::Received);
    let enforced = received.acknowledged(&ack(6, Phase::Enforced));
    assert_eq!(enforced.enforcement, Enforcement::Enforced);
    assert_eq!(
        enforced.acknowledged(&ack(7, Phase::Received)).enforcement,
        Enforcement::Enforced
    );
    let rejected = desired().acknowledged(&ack(
        5,
        Phase::Rejected {
            reasons: vec!["why".to_owned()],
        },
    ));
    assert_eq!(
        rejected.enforcement,
        Enforcement::Rejected {
            reasons: vec!["why".to_owned()]
        }
    );
    let removes =
        HostEnforcement::desired(host, Generation(5), true).acknowledged(&ack(5, Phase::Enforced));
    assert_eq!(removes.enforcement, Enforcement::Removed);
}
