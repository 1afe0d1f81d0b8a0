//! What is shipped: the closed set of actions, and who may do which.

use std::{collections::BTreeSet, path::Path};

use cedar_policy::Schema;

use super::*;

/// What is one's own cannot be answered by anybody.
const OWN_NEVER: [Action; 5] = [
    Action::GrantCreate,
    Action::HoldApprove,
    Action::HoldRefuse,
    Action::PolicyApprove,
    Action::LockRemove,
];

fn rules() -> Authorization {
    Authorization::shipped().unwrap()
}

#[test]
fn a_guarded_subject_may_do_nothing_as_whoever() {
    let guarded = Caller {
        is_guarded: true,
        ..operator()
    };
    for action in Action::ALL {
        for resource in things(action) {
            for own in [false, true] {
                let denied = decided(&rules(), &guarded, action, &resource, own).unwrap_err();
                assert!(
                    denied.rules().contains(&GUARDED_SUBJECTS.to_owned()),
                    "{denied}"
                );
            }
        }
    }
}

#[test]
fn a_stranger_may_only_be_told_who_they_are_and_end_what_is_theirs() {
    let stranger = caller("bob", &["bob", "stayhand"]);
    for action in Action::ALL {
        for resource in things(action) {
            let decided = decided(&rules(), &stranger, action, &resource, false);
            match action {
                Action::IdentityRead | Action::SessionList | Action::TokenList => {
                    decided.unwrap();
                    continue;
                }
                // Of somebody else, which is not theirs to look after.
                Action::SessionRead
                | Action::SessionRevoke
                | Action::TokenRead
                | Action::TokenRevoke => {
                    decided.unwrap_err();
                    continue;
                }
                _ => {}
            }
            let denied = decided.unwrap_err();
            assert!(matches!(denied.why, Why::Stranger { .. }), "{denied:?}");
            let told = denied.to_string();
            assert!(told.starts_with("`bob` is no operator"), "{told}");
            assert!(told.contains(action.as_str()) && told.contains("rule `operators`"));
            assert!(denied.remedy().contains("control.toml"), "{denied:?}");
        }
    }
}

#[test]
fn an_operator_may_do_everything_but_answer_what_is_the_own() {
    for action in Action::ALL {
        for resource in things(action) {
            decided(&rules(), &operator(), action, &resource, false).unwrap();
            let own = decided(&rules(), &operator(), action, &resource, true);
            if OWN_NEVER.contains(&action) {
                let why = Why::Forbidden {
                    rules: vec![OWN_REQUESTS.into()],
                };
                assert_eq!(own.unwrap_err().why, why, "{action}");
            } else {
                own.unwrap();
            }
        }
    }
}

#[test]
fn the_schema_has_exactly_the_actions_and_their_groups() {
    let (schema, warnings) = Schema::from_cedarschema_str(SCHEMA).unwrap();
    assert_eq!(warnings.count(), 0);
    let named = |uid: &cedar_policy::EntityUid| uid.id().unescaped().to_owned();
    let groups: BTreeSet<String> = schema.action_groups().map(named).collect();
    assert_eq!(
        groups,
        BTreeSet::from(["read".to_owned(), "policy.change".to_owned()])
    );
    let actions: BTreeSet<String> = schema.actions().map(named).collect();
    let known: BTreeSet<String> = Action::ALL.map(|one| one.as_str().to_owned()).into();
    assert_eq!(&actions - &groups, known);
    let entities = schema.action_entities().unwrap();
    for action in Action::ALL {
        let uid = format!("Action::\"{action}\"").parse().unwrap();
        let found: BTreeSet<String> = entities.ancestors(&uid).unwrap().map(named).collect();
        let said: BTreeSet<String> = action
            .groups()
            .iter()
            .map(|one| (*one).to_owned())
            .collect();
        assert_eq!(found, said, "{action}");
    }
}

#[test]
fn no_call_is_without_an_action() {
    let protos = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto/proto/stayhand/v1");
    let mut calls = BTreeSet::new();
    for file in std::fs::read_dir(protos).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let mut service = "";
        for line in text.lines().map(str::trim) {
            if let Some(name) = line.strip_prefix("service ") {
                service = name.trim_end_matches([' ', '{']);
            }
            if let Some(call) = line.strip_prefix("rpc ") {
                let name = call.split('(').next().unwrap();
                calls.insert(format!("{service}.{name}"));
            }
        }
    }
    // Agents, hosts that join and whoever is yet to become an operator ask these, and one is an agent's: none takes operators.
    let others = [
        "HostSyncService.",
        "HostCertificateService.",
        "JoinService.",
        "LocalService.",
        "SignInService.",
    ];
    calls.retain(|call| others.iter().all(|other| !call.starts_with(other)));
    assert!(calls.len() > 20, "{calls:?}");
    let known: BTreeSet<String> = CALLS.iter().map(|(call, _)| (*call).to_owned()).collect();
    assert_eq!(calls, known);
}

#[test]
fn what_somebody_may_do_is_said_with_its_rules() {
    let of = |caller: &Caller| rules().of(caller);
    assert_eq!(of(&operator()).len(), Action::ALL.len());
    assert!(of(&operator()).iter().all(|may| !may.depends));
    let stranger = of(&caller("bob", &[]));
    let (first, others) = stranger.split_first().unwrap();
    let identity = May {
        action: Action::IdentityRead,
        rules: vec!["own-identity".into()],
        depends: false,
    };
    assert_eq!(*first, identity);
    assert_eq!(others.len(), 6);
    let own = |may: &May| may.rules == ["own-access"] && may.depends;
    assert!(others.iter().all(own), "{others:?}");
}

#[test]
fn what_is_for_people_and_for_one_door_is_forbidden_at_every_other() {
    let rules = read("@id(\"all\") permit (principal, action, resource);").unwrap();
    let through = |transport| Caller {
        transport,
        ..operator()
    };
    for transport in Door::ALL.map(Transport::Network) {
        let caller = through(transport);
        for (action, rule, only_tokens) in [
            (Action::BreakGlassCreate, "break-glass-by-socket", false),
            (Action::HoldApprove, "programs-approve-nothing", true),
            (Action::PolicyApprove, "programs-approve-nothing", true),
            (Action::TokenCreate, "programs-approve-nothing", true),
        ] {
            for resource in things(action) {
                let decided = decided(&rules, &caller, action, &resource, false);
                if only_tokens && transport != Transport::Network(Door::Token) {
                    decided.unwrap();
                } else {
                    assert_eq!(decided.unwrap_err().rules(), [rule]);
                }
            }
        }
    }
}

#[test]
fn what_somebody_may_do_leaves_out_what_is_forbidden_them() {
    let rules = read(
        "@id(\"all\") permit (principal, action, resource);
         @id(\"never\") forbid (principal in Group::\"interns\", action == Action::\"grant.create\", resource);
         @id(\"prod\") forbid (principal, action in Action::\"policy.change\", resource == Policy::\"prod\");",
    );
    let rules = rules.unwrap();
    let of = |groups: &[&str]| rules.of(&caller("ann", groups));
    let found = |groups, action| {
        of(groups)
            .into_iter()
            .find(|may: &May| may.action == action)
    };
    assert_eq!(found(&["interns"], Action::GrantCreate), None);
    assert!(!found(&["dev"], Action::GrantCreate).unwrap().depends);
    assert!(found(&["dev"], Action::PolicyEdit).unwrap().depends);
    assert_eq!(of(&["interns"]).len(), Action::ALL.len() - 1);
}
