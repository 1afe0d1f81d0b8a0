//! The example of split rights does what it says.

use super::*;

const EXAMPLE: &str = include_str!("../../../../packaging/authorization.cedar");

fn rules() -> Authorization {
    read(EXAMPLE).unwrap()
}

fn may(caller: &Caller, action: Action, resource: &Resource) -> bool {
    decided(&rules(), caller, action, resource, false).is_ok()
}

#[test]
fn auditors_only_read_and_no_arguments() {
    let auditor = caller("ann", &["auditors"]);
    for action in Action::ALL {
        let reads = action.groups() == ["read"] || action == Action::IdentityRead;
        for resource in things(action) {
            assert_eq!(may(&auditor, action, &resource), reads, "{action}");
        }
    }
}

#[test]
fn approvers_answer_up_to_high_and_no_more() {
    let approver = caller("pat", &["approvers"]);
    let levels = [None].into_iter().chain(Sensitivity::ALL.map(Some));
    for level in levels {
        let answers = level < Some(Sensitivity::Critical);
        for action in [Action::HoldApprove, Action::HoldRefuse] {
            assert_eq!(
                may(&approver, action, &hold(level)),
                answers,
                "{action} {level:?}"
            );
        }
        assert!(may(&approver, Action::HoldRead, &hold(level)));
    }
    for action in [
        Action::GrantCreate,
        Action::PolicyApprove,
        Action::EventRead,
    ] {
        for resource in things(action) {
            assert!(!may(&approver, action, &resource), "{action}");
        }
    }
    let denied = decided(
        &rules(),
        &approver,
        Action::HoldApprove,
        &hold(Some(Sensitivity::Critical)),
        false,
    );
    let denied = denied.unwrap_err();
    assert_eq!(
        denied.to_string(),
        "`pat` may not do `hold.approve` of hold `55876bf07d23c581` of rule `prod/nginx`: no rule permits it, only rules \
         `approvers`, `operators` permit it, to others or of something else"
    );
    assert!(
        denied.remedy().contains("#approvals"),
        "{}",
        denied.remedy()
    );
}

#[test]
fn policy_editors_change_only_what_is_their_teams() {
    let editor = caller("eve", &["policy-editors"]);
    for action in [
        Action::PolicyEdit,
        Action::PolicyRemove,
        Action::PolicyRollOut,
    ] {
        assert!(may(&editor, action, &policy("team-web")), "{action}");
        for other in ["prod", "team", "my-team-web"] {
            assert!(!may(&editor, action, &policy(other)), "{action} {other}");
        }
    }
    assert!(!may(&editor, Action::PolicyApprove, &policy("team-web")));
    assert!(may(&editor, Action::PolicyRead, &policy("prod")));
}

#[test]
fn what_depends_on_the_thing_is_said_so() {
    let of = rules().of(&caller("pat", &["approvers"]));
    let said = |action: Action| of.iter().find(|may| may.action == action);
    assert!(said(Action::HoldApprove).unwrap().depends);
    assert!(!said(Action::HoldRead).unwrap().depends);
    assert_eq!(said(Action::GrantCreate), None);
}
