//! Policies: what is wrong is refused with its place; what is accepted is an immutable revision.

use stayhand_proto::v1::{
    self, ApplyPolicyRequest, GetPolicyRequest, ListPoliciesRequest, event::Kind,
};
use tonic::Code;

use crate::{
    agent::{HostStream, hello},
    world::{PROD, World, create, failed, other_policy},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_policy_is_refused_with_line_and_suggestion() {
    let world = World::new().await;
    let failure = failed(
        world
            .apply(&PROD.replace("effect: hold", "efect: hold"))
            .await,
        Code::InvalidArgument,
        "INVALID_POLICY",
        "error",
    );
    assert!(
        failure
            .findings
            .iter()
            .any(|one| one.field.starts_with("source:12:")),
        "{failure:?}"
    );
    assert!(
        failure
            .findings
            .iter()
            .any(|one| one.problem.contains("effect")),
        "{failure:?}"
    );
    failed(
        world.apply("").await,
        Code::InvalidArgument,
        "INVALID_POLICY",
        "error",
    );
    failed(
        world.apply("\u{0}\u{1b}[2J").await,
        Code::InvalidArgument,
        "INVALID_POLICY",
        "error",
    );
    let nothing = world
        .policies()
        .await
        .list_policies(ListPoliciesRequest::default())
        .await
        .unwrap();
    assert!(nothing.into_inner().policies.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_of_hosts_own_floor_is_not_applied() {
    let world = World::new().await;
    let theirs = "apiVersion: stayhand/v1\nkind: Policy\nmetadata: { name: floor.base }\nspec:\n  subjects: { groups: [dev] }\n  \
                  rules: [{ id: a, effect: deny, exec: { path: /a } }]\n";
    failed(
        world.apply(theirs).await,
        Code::InvalidArgument,
        "FLOOR_NAME",
        "put the document into the floor's directory",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_rule_id_is_refused() {
    let world = World::new().await;
    let twice = PROD.replace("id: nginx", "id: db");
    let failure = failed(
        world.apply(&twice).await,
        Code::InvalidArgument,
        "INVALID_POLICY",
        "error",
    );
    assert!(
        failure
            .findings
            .iter()
            .any(|one| one.problem.contains("db")),
        "{failure:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_over_the_limit_is_refused() {
    let world = World::new().await;
    let long = format!("{PROD}#{}", "x".repeat(1 << 20));
    failed(
        world.apply(&long).await,
        Code::InvalidArgument,
        "INVALID_FIELD",
        "more than the 1048576",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_megabytes_are_refused_before_they_are_a_document_and_the_next_request_is_served() {
    let world = World::new().await;
    let long = format!("{PROD}#{}", "x".repeat(50 << 20));
    let refused = world.apply(&long).await.unwrap_err();
    // The transport's own bound: the message is never decoded.
    assert_eq!(refused.code(), Code::OutOfRange, "{refused:?}");
    assert!(world.apply(PROD).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_apply_at_once_one_wins_and_the_other_is_told() {
    /// Enough that the two are in every order, and long enough to be within each other.
    const ROUNDS: usize = 20;
    let world = World::with_policy().await;
    for round in 1..=ROUNDS {
        let apply = |address: &str| ApplyPolicyRequest {
            source: PROD.replace("10.20", &format!("10.{round}{address}")),
            etag: round.to_string(),
            ..Default::default()
        };
        let (mut one, mut other) = (world.policies().await, world.policies().await);
        let (one, other) =
            tokio::join!(one.apply_policy(apply("0")), other.apply_policy(apply("1")));
        let (won, lost) = match (one, other) {
            (Ok(won), lost @ Err(_)) | (lost @ Err(_), Ok(won)) => (won.into_inner(), lost),
            both => panic!("{both:?}"),
        };
        let is = format!("policy `prod` is at version {}, not `{round}`", round + 1);
        failed(lost, Code::Aborted, "VERSION_CHANGED", &is);
        assert_eq!(won.policy.unwrap().revision, round as u64 + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outdated_version_is_refused() {
    let world = World::with_policy().await;
    let request = ApplyPolicyRequest {
        source: PROD.replace("10.20", "10.21"),
        etag: "7".into(),
        ..Default::default()
    };
    let refused = world.policies().await.apply_policy(request).await;
    failed(
        refused,
        Code::Aborted,
        "VERSION_CHANGED",
        "policy `prod` is at version 1, not `7`",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_policy_or_revision_is_not_found() {
    let world = World::with_policy().await;
    for (name, revision, says) in [
        ("policies/nothing", 0, "`nothing`"),
        ("policies/prod", 2, "`prod` revision 2"),
        ("prod", u64::MAX, ""),
    ] {
        let missing = world
            .policies()
            .await
            .get_policy(GetPolicyRequest {
                name: name.into(),
                revision,
            })
            .await;
        assert!(missing.is_err(), "{name} {revision} {says}");
    }
    let missing = world
        .policies()
        .await
        .get_policy(GetPolicyRequest {
            name: "../x".into(),
            revision: 0,
        })
        .await;
    failed(missing, Code::InvalidArgument, "INVALID_FIELD", "name");
}

#[tokio::test(flavor = "multi_thread")]
async fn validate_only_changes_nothing() {
    let world = World::new().await;
    let request = ApplyPolicyRequest {
        source: PROD.into(),
        validate_only: true,
        ..Default::default()
    };
    let checked = world
        .policies()
        .await
        .apply_policy(request)
        .await
        .unwrap()
        .into_inner();
    assert!(checked.changed);
    assert_nothing_counts(&world).await;
}

/// No policy, and no event that says so.
async fn assert_nothing_counts(world: &World) {
    let request = ListPoliciesRequest::default();
    let all = world.policies().await.list_policies(request).await;
    assert!(all.unwrap().into_inner().policies.is_empty());
    assert!(world.all_events().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_source_makes_no_revision() {
    let world = World::with_policy().await;
    let again = world.apply(PROD).await.unwrap();
    assert!(!again.changed);
    assert_eq!(again.policy.unwrap().revision, 1);
    let next = world.apply(&PROD.replace("10.20", "10.21")).await.unwrap();
    assert!(next.changed);
    assert_eq!(next.policy.unwrap().revision, 2);
    let first = GetPolicyRequest {
        name: "policies/prod".into(),
        revision: 1,
    };
    let first = world
        .policies()
        .await
        .get_policy(first)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (first.source.as_str(), first.applied_by.as_str()),
        (PROD, "root")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_revision_has_its_audit_record() {
    let world = World::with_policy().await;
    world.apply(&other_policy()).await.unwrap();
    let records: Vec<String> = world
        .all_events()
        .await
        .into_iter()
        .filter_map(|event| match event.kind {
            Some(Kind::PolicyChanged(changed)) => Some(format!(
                "{} {} {}",
                changed.policy, changed.revision, changed.by
            )),
            _ => None,
        })
        .collect();
    assert_eq!(records, ["policies/prod 1 root", "policies/other 1 root"]);
}

/// The policy with one test of what alice meets at the database.
fn with_test(test: &str) -> String {
    let action = "net: { op: connect, address: 10.20.0.1, port: 5432 }";
    format!("{PROD}  tests:\n    - {{ as: alice, {action}, {test} }}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_fails_its_own_tests_never_counts() {
    let world = World::new().await;
    for validate_only in [true, false] {
        let request = ApplyPolicyRequest {
            source: with_test("expect: allow"),
            validate_only,
            ..Default::default()
        };
        let failure = failed(
            world.policies().await.apply_policy(request).await,
            Code::InvalidArgument,
            "POLICY_TESTS_FAILED",
            "the policy fails 1 of its 1 tests",
        );
        let [finding] = failure.findings.as_slice() else {
            panic!("{failure:?}")
        };
        assert_eq!(finding.field, "source:14:7");
        assert!(
            finding
                .problem
                .contains("expected allow, got deny (prod/db, without a grant)"),
            "{finding:?}"
        );
    }
    assert_nothing_counts(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_passes_its_tests_counts_and_what_others_change_of_them_is_told() {
    let world = World::with_policy().await;
    let deny = "{ id: all, effect: deny, net: { ops: [connect], cidr: 10.0.0.0/8 } }";
    let first = other_policy().replace("name: other", "name: a");
    let first = first.replace("rules:\n", &format!("rules:\n    - {deny}\n"));
    world.apply(&first).await.unwrap();

    let applied = world
        .apply(&with_test("grants: [db], expect: allow"))
        .await
        .unwrap();
    assert!(applied.changed);
    let [warning] = applied.warnings.as_slice() else {
        panic!("{:?}", applied.warnings)
    };
    assert_eq!((warning.line, warning.column), (14, 7));
    assert!(
        warning
            .message
            .starts_with("beside the other policies, test")
            && warning.message.contains("got deny (a/all)"),
        "{warning:?}"
    );
    let applied = world.apply(&with_test("expect: deny")).await.unwrap();
    assert!(applied.warnings.is_empty(), "{:?}", applied.warnings);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_enforced_on_the_hosts_that_have_its_labels_and_waits_for_no_others() {
    let world = World::new().await;
    let labels = ["env=prod", "role=web"].map(|one| one.parse().unwrap());
    let greeting = stayhand_proto::message::Hello {
        labels: labels.into_iter().collect(),
        ..hello(0)
    };
    let mut stream = HostStream::open(world.host_channel().await, greeting).await;
    stream.state().await;
    for (hosts, expected) in [
        ("{ env: prod }", 1),
        ("{ env: staging }", 0),
        ("{ env: prod, tier: one }", 0),
    ] {
        let source = PROD.replace("spec:\n", &format!("spec:\n  hosts: {hosts}\n"));
        assert_ne!(source, PROD);
        let applied = world.apply(&source).await.unwrap();
        assert_eq!(
            applied.policy.unwrap().enforcement.len(),
            expected,
            "{hosts}"
        );
        let listed = world
            .policies()
            .await
            .list_policies(ListPoliciesRequest::default())
            .await
            .unwrap()
            .into_inner();
        assert_eq!(listed.policies[0].enforcement.len(), expected, "{hosts}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permission_that_a_live_grant_carries_is_not_taken_out_of_its_policy() {
    let world = World::with_policy().await;
    let mut grants = world.grants().await;
    let grant = grants.create_grant(create()).await.unwrap().into_inner();
    let id = grant.name.strip_prefix("grants/").unwrap().to_owned();
    let without = PROD
        .replace(
            "    db: { net: { ops: [connect], cidr: 10.20.0.0/16, ports: [5432] } }\n",
            "",
        )
        .replace(
            "    - { id: db, effect: require-grant, permission: db }\n",
            "",
        );
    let refused = failed(
        world.apply(&without).await,
        Code::FailedPrecondition,
        "PERMISSION_IN_USE",
        "`prod/db`",
    );
    assert!(
        refused.message.contains(&id) && refused.message.contains("of `alice`"),
        "{}",
        refused.message
    );
    // What it carries may mean something else; that is what a revision is for.
    let other = PROD.replace("ports: [5432]", "ports: [5433]");
    world.apply(&other).await.unwrap();
    let request = v1::RevokeGrantRequest {
        name: grant.name,
        reason: "the policy goes".into(),
        ..Default::default()
    };
    grants.revoke_grant(request).await.unwrap();
    world.apply(&without).await.unwrap();
}
