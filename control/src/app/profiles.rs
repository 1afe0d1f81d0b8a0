//! Profiles: from a name and values to what a grant of it carries, and what keeps somebody from having it.
//!
//! Looks at the newest policies and at live grants as they are given; whoever calls holds the transaction in which both stand.

use std::collections::BTreeSet;

use stayhand_guardrail::{
    grant::{Grant, IssueSpec},
    id::{HostId, ParameterName, ProfileName},
    key::PermissionRef,
    policy::{HostLabels, HostSelector, Policy, Profile},
    text::safe,
    time::DurationMs,
    values::{ProfileUse, Values},
};

use super::{Error, PolicySet, policies::blocking};
use crate::store::{StoredGrant, StoredHost};

/// Names that an error lists.
const SHOWN_MAX: usize = 12;

/// A profile as somebody asks for it.
#[derive(Clone, Debug)]
pub struct AskedProfile {
    /// `NAME` or `POLICY/NAME`
    pub name: String,
    /// Values of its parameters
    pub values: Vec<(String, String)>,
}

/// What a grant of it carries.
pub(super) fn resolve(
    set: &PolicySet,
    asked: &AskedProfile,
    duration: DurationMs,
) -> Result<(ProfileUse, Vec<PermissionRef>), Error> {
    let (policy, profile) = find(set, &asked.name)?;
    let mut values: Vec<(ParameterName, String)> = Vec::new();
    for (name, value) in &asked.values {
        let known: ParameterName = name.parse().map_err(|_| profile.unknown(name))?;
        if values.iter().any(|(one, _)| *one == known) {
            return Err(Error::field("values", format!("`{known}` has two values")));
        }
        values.push((known, value.clone()));
    }
    let values: Values = values.into_iter().collect();
    let permissions = profile.gives(policy, &values)?;
    let by = ProfileUse {
        policy: policy.name.clone(),
        profile: profile.name.clone(),
        values,
    };
    match profile.max_duration {
        Some(max) if duration > max => Err(Error::TooLongForProfile {
            profile: by.name(),
            max,
            asked: duration,
        }),
        _ => Ok((by, permissions)),
    }
}

fn find<'s>(set: &'s PolicySet, text: &str) -> Result<(&'s Policy, &'s Profile), Error> {
    let all = || {
        set.each()
            .flat_map(|policy| policy.profiles.iter().map(move |one| (policy, one)))
    };
    let name =
        |(policy, profile): &(&Policy, &Profile)| format!("{}/{}", policy.name, profile.name);
    let meant = |one: &(&Policy, &Profile)| name(one) == text || one.1.name.as_str() == text;
    let found: Vec<_> = all().filter(meant).collect();
    match found.as_slice() {
        [one] => Ok(*one),
        [] => Err(Error::UnknownProfile {
            name: safe(text),
            known: all().take(SHOWN_MAX).map(|one| name(&one)).collect(),
        }),
        several => Err(Error::AmbiguousProfile {
            name: safe(text),
            candidates: several.iter().take(SHOWN_MAX).map(name).collect(),
        }),
    }
}

/// Permissions with parameters that these grants carry.
pub(super) fn with_values(live: &[StoredGrant]) -> BTreeSet<PermissionRef> {
    let carried = live.iter().flat_map(|one| &one.grant.permissions);
    let with_values = carried.filter(|one| !one.values.is_empty());
    with_values.cloned().collect()
}

/// Whether hosts have room for what would be granted beside all that is: each of these is in the image of every host. A
/// grant that a host refuses would keep all that comes after it from that host.
pub(super) async fn enforceable(
    set: std::sync::Arc<PolicySet>,
    live: &[StoredGrant],
    permissions: &[PermissionRef],
) -> Result<(), Error> {
    let mut granted = with_values(live);
    let before = granted.len();
    let new = permissions.iter().filter(|one| !one.values.is_empty());
    granted.extend(new.cloned());
    if granted.len() == before {
        return Ok(());
    }
    let compiled = blocking(move || set.has_room_for(&granted));
    compiled.await?.map_err(Error::NoRoom)
}

/// A grant, or one that would be.
#[derive(Clone, Copy)]
struct Held<'g> {
    permissions: &'g [PermissionRef],
    profile: Option<&'g ProfileUse>,
    hosts: &'g [HostId],
}

impl<'g> Held<'g> {
    fn wanted(spec: &'g IssueSpec) -> Self {
        Self {
            permissions: &spec.permissions,
            profile: spec.profile.as_ref(),
            hosts: &spec.hosts,
        }
    }

    fn live(grant: &'g Grant) -> Self {
        Self {
            permissions: &grant.permissions,
            profile: grant.profile.as_ref(),
            hosts: &grant.hosts,
        }
    }
}

/// Refuses what somebody cannot have beside what they have. Each of the two may exclude the other.
pub(super) fn nothing_excludes(
    set: &PolicySet,
    hosts: &[StoredHost],
    spec: &IssueSpec,
    live: &[StoredGrant],
) -> Result<(), Error> {
    let world = World { set, hosts };
    let new = Held::wanted(spec);
    if let Some(selector) = world
        .excluded_hosts(new)?
        .filter(|one| world.reaches(new, one))
    {
        return Err(Error::ExcludesItsHosts {
            profile: new.profile.map(ProfileUse::name).unwrap_or_default(),
            hosts: selector.to_string(),
        });
    }
    for StoredGrant { grant, .. } in live.iter().filter(|one| one.grant.user == spec.user) {
        // A profile that nobody can read excludes what it may.
        let why = world
            .excludes(Held::live(grant), new)
            .unwrap_or_else(|_| Some("what its profile excludes cannot be read".to_owned()));
        if let Some(why) = why {
            return Err(Error::Excluded {
                user: grant.user.clone(),
                grant: grant.id,
                until: grant.expire_time,
                why,
            });
        }
    }
    Ok(())
}

struct World<'w> {
    set: &'w PolicySet,
    hosts: &'w [StoredHost],
}

impl<'w> World<'w> {
    fn profile(&self, by: &ProfileUse) -> Result<(&'w Policy, &'w Profile), Error> {
        let policy = self.set.each().find(|one| one.name == by.policy);
        let found = policy.and_then(|policy| Some((policy, policy.profile(&by.profile)?)));
        found.ok_or_else(|| Error::UnknownProfile {
            name: by.name(),
            known: vec![],
        })
    }

    fn excluded_hosts(&self, held: Held<'_>) -> Result<Option<&'w HostSelector>, Error> {
        let Some(by) = held.profile else {
            return Ok(None);
        };
        let (_, profile) = self.profile(by)?;
        let hosts = &profile.excludes.hosts;
        Ok((!hosts.0.is_empty()).then_some(hosts))
    }

    /// Why nobody has both, if that is so.
    fn excludes(&self, live: Held<'_>, new: Held<'_>) -> Result<Option<String>, Error> {
        for (one, other) in [(live, new), (new, live)] {
            let Some(by) = one.profile else { continue };
            let (policy, profile) = self.profile(by)?;
            if let Some(name) = excluded_profile(policy, profile, other) {
                return Ok(Some(format!(
                    "profiles `{}` and `{name}` of policy `{}` exclude each other",
                    profile.name, policy.name
                )));
            }
            if let Some(hosts) = self
                .excluded_hosts(one)?
                .filter(|hosts| self.reaches(other, hosts))
            {
                return Ok(Some(format!(
                    "profile `{}` excludes every other grant on hosts with {hosts}",
                    by.name()
                )));
            }
        }
        Ok(None)
    }

    /// Whether a grant permits something on a host with these labels. One for every host does on each that there may ever be.
    fn reaches(&self, held: Held<'_>, selector: &HostSelector) -> bool {
        let counts = |policy: &Policy| {
            if disjoint(&policy.hosts, selector) {
                return false;
            }
            let labels = |id: &HostId| {
                self.hosts
                    .iter()
                    .find(|one| one.id == *id)
                    .map(|one| &one.labels)
            };
            let there =
                |labels: &HostLabels| policy.hosts.selects(labels) && selector.selects(labels);
            held.hosts.is_empty() || held.hosts.iter().any(|id| labels(id).is_none_or(there))
        };
        let mut policies = held.permissions.iter().map(|one| &one.policy);
        // A grant counts by every revision that some host has.
        policies.any(|name| {
            let mut known = self.set.iter().filter(|one| one.name == *name).peekable();
            known.peek().is_none() || known.any(counts)
        })
    }
}

/// The profile that a profile and what another grant carries cannot go together for: the one that it was asked for by, or one
/// whose permissions it names one by one. What both profiles give is excluded by neither.
fn excluded_profile(policy: &Policy, profile: &Profile, other: Held<'_>) -> Option<ProfileName> {
    let apart = |one: &&Profile| {
        one.excludes.profiles.contains(&profile.name)
            || profile.excludes.profiles.contains(&one.name)
    };
    let mut excluded = policy.profiles.iter().filter(apart);
    let found = excluded.find(|one| match other.profile {
        Some(by) => by.policy == policy.name && by.profile == one.name,
        None => other.permissions.iter().any(|permission| {
            permission.policy == policy.name
                && one.allow.contains(&permission.permission)
                && !profile.allow.contains(&permission.permission)
        }),
    });
    found.map(|one| one.name.clone())
}

/// Whether no host can be meant by both: some label has a value for each that the other does not name.
fn disjoint(a: &HostSelector, b: &HostSelector) -> bool {
    a.0.iter().any(|(name, values)| {
        let others = b.0.iter().find(|(other, _)| other == name);
        others.is_some_and(|(_, others)| values.iter().all(|value| !others.contains(value)))
    })
}
