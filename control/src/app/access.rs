//! What use cases ask of the rules: the things as they found them, and what of them somebody does not get to see.
//!
//! Decides nothing itself. Every use case asks before it changes or shows anything, with the thing in its hands.

use std::collections::{BTreeMap, BTreeSet};

use stayhand_guardrail::{
    event::{EventKind, Tamper},
    grant::{Grant, IssueSpec},
    hold::Hold,
    id::{HostId, PolicyName},
    key::PermissionRef,
    policy::{HostLabels, Policy},
    sensitivity::Sensitivity,
    subject::Subject,
    values::ProfileUse,
};

use super::{App, Error, PolicySet};
use crate::{
    authz::{Action, Asked, Denied, GrantResource, Resource, RuleResource, withhold},
    operator::Operator,
    store::{Stored, StoredHost},
};

/// A hold as somebody gets to see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenHold {
    /// The hold
    pub hold: Hold,
    /// Whether a note stands in the place of its process's arguments
    pub is_withheld: bool,
}

/// An event as somebody gets to see it.
#[derive(Clone, Debug)]
pub struct SeenEvent {
    /// The event and where it is
    pub stored: Stored,
    /// Whether a note stands in the place of its process's arguments
    pub is_withheld: bool,
}

impl App {
    /// Whether rules let somebody do this.
    pub(super) fn allows(
        &self,
        operator: &Operator,
        action: Action,
        resource: &Resource,
    ) -> Result<(), Error> {
        self.allows_of(operator, action, resource, false)
    }

    /// The same of what may be the caller's own.
    pub(super) fn allows_of(
        &self,
        operator: &Operator,
        action: Action,
        resource: &Resource,
        own: bool,
    ) -> Result<(), Error> {
        not_maybe_own(operator, action, resource)?;
        let said = self.ask(operator, action, resource, own);
        said.map_err(|denied| {
            tracing::warn!(user = %operator.user(), %action, %denied, "refused");
            Error::Denied(denied)
        })
    }

    /// Whether somebody gets to see this; what they do not is left out of lists.
    pub(super) fn shows(
        &self,
        operator: &Operator,
        action: Action,
        resource: &Resource,
        own: bool,
    ) -> bool {
        self.ask(operator, action, resource, own).is_ok()
    }

    fn ask(
        &self,
        operator: &Operator,
        action: Action,
        resource: &Resource,
        own: bool,
    ) -> Result<(), Box<Denied>> {
        let asked = Asked {
            action,
            resource,
            own,
        };
        operator.may(&asked, self.now())
    }

    /// A host, whether it has ever connected or not.
    pub(super) async fn named_host(&self, host: &HostId) -> Result<Resource, Error> {
        Ok(Resource::Host {
            name: host.clone(),
            labels: self.store().host_labels(host).await?,
        })
    }

    /// A policy, with what its revisions that count say, and with what one says that is to count.
    pub(super) fn policy_resource(&self, name: &PolicyName, new: Option<&Policy>) -> Resource {
        let set = self.policies();
        let counting = set.iter().filter(|one| one.name == *name);
        let rules = counting.chain(new).flat_map(|one| &one.rules);
        Resource::Policy {
            name: name.clone(),
            sensitivity: rules.filter_map(|rule| rule.sensitivity).max(),
        }
    }

    /// What hosts say that they are, each asked for once.
    pub(super) async fn labels(
        &self,
        hosts: impl Iterator<Item = &HostId>,
    ) -> Result<Labels, Error> {
        let mut known = Labels::default();
        for host in hosts {
            if !known.0.contains_key(host) {
                let labels = self.store().host_labels(host).await?;
                known.0.insert(host.clone(), labels);
            }
        }
        Ok(known)
    }

    /// A hold, with its arguments only for whoever may read them.
    pub(super) fn seen_hold(
        &self,
        operator: &Operator,
        mut hold: Hold,
        labels: &Labels,
    ) -> SeenHold {
        let of = RuleResource::of_hold(&hold, &labels.of(&hold.host));
        let arguments = Resource::Arguments(Box::new(of));
        let own = operator.is(&hold.subject);
        let is_withheld = !self.shows(operator, Action::ArgumentsRead, &arguments, own);
        if is_withheld {
            withhold(&mut hold.process);
        }
        SeenHold { hold, is_withheld }
    }

    /// Whether somebody gets to see a hold.
    pub(super) fn shows_hold(&self, operator: &Operator, hold: &Hold, labels: &Labels) -> bool {
        let own = operator.is(&hold.subject);
        let resource = labels.hold(hold);
        self.shows(operator, Action::HoldRead, &resource, own)
    }

    /// An event, with its arguments only for whoever may read them.
    pub(super) fn seen_event(
        &self,
        operator: &Operator,
        mut stored: Stored,
        labels: &Labels,
    ) -> SeenEvent {
        let host = &stored.event.host;
        let labels = &labels.of(host);
        let (of, subject, process) = match &mut stored.event.kind {
            EventKind::Decision(decision) => {
                let of = RuleResource::of_decision(decision, host, labels);
                (of, Some(&decision.subject), &mut decision.process)
            }
            EventKind::Tamper(Tamper {
                what: _,
                subject,
                process: Some(process),
            }) => {
                let shown = subject.as_ref().map(Subject::shown);
                let of = RuleResource::of_no_rule(shown.unwrap_or_default(), host, labels);
                (of, subject.as_ref(), process)
            }
            _ => {
                return SeenEvent {
                    stored,
                    is_withheld: false,
                };
            }
        };
        let own = subject.is_some_and(|subject| operator.is(subject));
        let arguments = Resource::Arguments(Box::new(of));
        let is_withheld = !self.shows(operator, Action::ArgumentsRead, &arguments, own);
        if is_withheld {
            withhold(process);
        }
        SeenEvent {
            stored,
            is_withheld,
        }
    }
}

/// Whom a host knows by a uid alone is told from an approver by that, so the approver has to have one.
fn not_maybe_own(operator: &Operator, action: Action, resource: &Resource) -> Result<(), Error> {
    match resource {
        Resource::Hold { of, .. }
            if action == Action::HoldApprove && !of.is_named && operator.has_no_uid() =>
        {
            tracing::warn!(user = %operator.user(), %action, "refused: it may be the own hold");
            Err(Error::MaybeOwnHold {
                user: operator.user().clone(),
                host: of.host.clone(),
            })
        }
        _ => Ok(()),
    }
}

/// What hosts say that they are.
#[derive(Debug, Default)]
pub(super) struct Labels(BTreeMap<HostId, HostLabels>);

impl Labels {
    fn of(&self, host: &HostId) -> HostLabels {
        self.0.get(host).cloned().unwrap_or_default()
    }

    /// A hold, as rules see it.
    pub(super) fn hold(&self, hold: &Hold) -> Resource {
        Resource::Hold {
            id: hold.id,
            of: Box::new(RuleResource::of_hold(hold, &self.of(&hold.host))),
        }
    }
}

/// A host, as rules see it.
pub(super) fn host_resource(host: &StoredHost) -> Resource {
    Resource::Host {
        name: host.id.clone(),
        labels: host.labels.clone(),
    }
}

/// A grant, by what policies say of its permissions.
pub(super) fn grant_resource(set: &PolicySet, grant: &Grant) -> Resource {
    Resource::Grant(Box::new(GrantResource {
        id: Some(grant.id),
        subject: grant.user.to_string(),
        profile: grant.profile.as_ref().map(ProfileUse::name),
        hosts: grant.hosts.clone(),
        duration: grant.expire_time.since(grant.create_time),
        ..of_permissions(set, &grant.permissions)
    }))
}

/// What would be a grant.
pub(super) fn new_grant_resource(set: &PolicySet, spec: &IssueSpec) -> Resource {
    Resource::Grant(Box::new(GrantResource {
        subject: spec.user.to_string(),
        profile: spec.profile.as_ref().map(ProfileUse::name),
        hosts: spec.hosts.clone(),
        duration: spec.duration,
        ..of_permissions(set, &spec.permissions)
    }))
}

fn of_permissions(set: &PolicySet, permissions: &[PermissionRef]) -> GrantResource {
    let names = permissions
        .iter()
        .map(|one| format!("{}/{}", one.policy, one.permission));
    let policies = permissions.iter().map(|one| one.policy.to_string());
    let of = permissions.iter().filter_map(|one| sensitivity(set, one));
    GrantResource {
        permissions: names.collect::<BTreeSet<_>>().into_iter().collect(),
        policies: policies.collect::<BTreeSet<_>>().into_iter().collect(),
        sensitivity: of.max(),
        ..GrantResource::default()
    }
}

fn sensitivity(set: &PolicySet, permission: &PermissionRef) -> Option<Sensitivity> {
    let defining = set.iter().filter(|one| one.name == permission.policy);
    let rules = defining.flat_map(|policy| &policy.rules);
    let asking = rules.filter(|rule| rule.permission() == Some(&permission.permission));
    asking.filter_map(|rule| rule.sensitivity).max()
}
