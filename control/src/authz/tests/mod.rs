//! The rules: what is shipped, what no file can give, and which files are refused.

mod example;
mod files;
mod properties;
mod shipped;

use stayhand_guardrail::{
    event::Door,
    id::{HoldId, HostId},
    sensitivity::Sensitivity,
    time::{DurationMs, UnixMs},
};

use super::*;

pub(super) const NOW: UnixMs = UnixMs(1_796_000_000_000);

pub(super) fn caller(user: &str, groups: &[&str]) -> Caller {
    Caller {
        user: user.parse().unwrap(),
        groups: groups.iter().map(|group| group.parse().unwrap()).collect(),
        is_operator: false,
        is_guarded: false,
        transport: Transport::Socket,
        scope: None,
    }
}

pub(super) fn operator() -> Caller {
    Caller {
        is_operator: true,
        ..caller("root", &["root"])
    }
}

pub(super) fn of_rule(sensitivity: Option<Sensitivity>) -> RuleResource {
    RuleResource {
        policy: "prod".into(),
        rule: "nginx".into(),
        sensitivity,
        subject: "alice".into(),
        is_named: true,
        host: host(),
        labels: ["env=prod".parse().unwrap()].into_iter().collect(),
    }
}

pub(super) fn hold(sensitivity: Option<Sensitivity>) -> Resource {
    Resource::Hold {
        id: HoldId(0x5587_6bf0_7d23_c581),
        of: Box::new(of_rule(sensitivity)),
    }
}

pub(super) fn policy(name: &str) -> Resource {
    Resource::Policy {
        name: name.parse().unwrap(),
        sensitivity: Some(Sensitivity::High),
    }
}

fn host() -> HostId {
    "db1".parse().unwrap()
}

/// What an action can be done to, once of each kind.
pub(super) fn things(action: Action) -> Vec<Resource> {
    let grant = GrantResource {
        id: None,
        subject: "alice".into(),
        permissions: vec!["prod/db".into()],
        policies: vec!["prod".into()],
        profile: None,
        hosts: vec![],
        duration: DurationMs::from_secs(60),
        sensitivity: None,
    };
    let on_host = Resource::Host {
        name: host(),
        labels: ["env=prod".parse().unwrap()].into_iter().collect(),
    };
    match action {
        Action::GrantRead | Action::GrantCreate | Action::GrantRevoke => {
            vec![Resource::Grant(Box::new(grant))]
        }
        Action::HoldRead | Action::HoldApprove | Action::HoldRefuse => vec![hold(None)],
        Action::ArgumentsRead => vec![Resource::Arguments(Box::new(of_rule(None)))],
        Action::PolicyRead
        | Action::PolicyEdit
        | Action::PolicyRemove
        | Action::PolicyRollOut
        | Action::PolicyApprove
        | Action::PolicyRefuse => vec![policy("prod")],
        Action::FlagSet | Action::FlagClear => vec![Resource::Flag {
            name: "high-traffic".parse().unwrap(),
        }],
        Action::LockCreate | Action::LockRemove => vec![Resource::Lock(Box::new(LockResource {
            subject: "alice".into(),
            host: String::new(),
            labels: ["env=prod".parse().unwrap()].into_iter().collect(),
        }))],
        Action::SessionRead | Action::SessionRevoke | Action::BreakGlassCreate => {
            vec![Resource::Session {
                user: "alice".parse().unwrap(),
                door: Door::Oidc,
            }]
        }
        Action::TokenRead | Action::TokenCreate | Action::TokenRevoke => {
            vec![Resource::Token(Box::new(TokenResource {
                user: "alice".parse().unwrap(),
                actions: vec!["read".into()],
                duration: DurationMs::from_secs(60),
            }))]
        }
        Action::HostRead => vec![on_host],
        Action::HostAdminister => vec![on_host, Resource::Control],
        Action::IdentityRead
        | Action::GrantList
        | Action::HoldList
        | Action::PolicyList
        | Action::FlagList
        | Action::LockList
        | Action::HostList
        | Action::SessionList
        | Action::TokenList
        | Action::EventRead => vec![Resource::Control],
    }
}

pub(super) fn asked(action: Action, resource: &Resource, own: bool) -> Asked<'_> {
    Asked {
        action,
        resource,
        own,
    }
}

/// Both steps, as a call takes them.
pub(super) fn decided(
    rules: &Authorization,
    caller: &Caller,
    action: Action,
    resource: &Resource,
    own: bool,
) -> Result<(), Box<Denied>> {
    rules.admit(caller, action)?;
    rules.decide(caller, &asked(action, resource, own), NOW)
}

pub(super) fn read(text: &str) -> Result<Authorization, String> {
    Authorization::read(std::path::Path::new("authorization.cedar"), text)
        .map_err(|error| error.to_string())
}
