//! What operators are shown, from what is stored and who is connected.

use stayhand_guardrail::{
    grant::{Enforcement, Grant, GrantState, HostEnforcement},
    id::Generation,
    lock::Lock,
    rollout::Rollout,
};
use stayhand_proto::view::{
    DeliveryView, EnforcementView, GrantView, HostView, MembershipView, PolicyView,
};

use super::{App, Error, locks};
use crate::limits::{LOCKS_SHOWN_MAX, REJECTIONS_SHOWN_MAX};
use crate::store::{
    StoredGrant, StoredHost, StoredLock, StoredMember, StoredPolicy, StoredProgress,
};

/// A host and whether it is connected.
pub(super) type Seen = (StoredHost, bool);

impl App {
    /// Every host that is to enforce something: one that was revoked hears of nothing any more.
    pub(super) async fn all_hosts(&self) -> Result<Vec<Seen>, Error> {
        let hosts = self.store().hosts(None, "", u32::MAX).await?;
        let ours = hosts.into_iter().filter(|host| !host.revoked);
        Ok(ours.map(|host| self.seen(host)).collect())
    }

    /// How far each of them is, and whether it is connected.
    pub(super) async fn all_progress(&self) -> Result<Vec<(StoredProgress, bool)>, Error> {
        let hosts = self.store().progress().await?.into_iter();
        Ok(hosts
            .map(|host| {
                let online = self.is_online(&host.id);
                (host, online)
            })
            .collect())
    }

    /// With what this process alone knows of it.
    pub(super) fn seen(&self, mut host: StoredHost) -> Seen {
        let online = self.is_online(&host.id);
        host.problems.extend(self.passed_over(&host.id));
        (host, online)
    }
}

/// How far the hosts are with a generation: their own words, taken in one after the other.
pub(super) fn enforcement(
    hosts: &[Seen],
    generation: Generation,
    removes: bool,
    is_for: impl Fn(&StoredHost) -> bool,
) -> Vec<EnforcementView> {
    let concerned = hosts.iter().filter(|(host, _)| is_for(host));
    let shown = concerned.map(|(host, online)| on_host(host, *online, generation, removes));
    in_few_words(shown.collect())
}

/// Of a long list only the first hosts say at length why they reject; with the words of all a fleet's would fit in no message.
fn in_few_words(mut shown: Vec<EnforcementView>) -> Vec<EnforcementView> {
    let mut said = 0;
    for EnforcementView { on, errors, .. } in &mut shown {
        if let Enforcement::Rejected { reasons } = &mut on.enforcement {
            said += 1;
            if said > REJECTIONS_SHOWN_MAX {
                *reasons = vec![format!("`stayhand host show {}` says why", on.host)];
                errors.clear();
            }
        }
    }
    shown
}

pub(super) fn on_host(
    host: &StoredHost,
    online: bool,
    generation: Generation,
    removes: bool,
) -> EnforcementView {
    of_progress(&host.progress(), online, generation, removes)
}

fn of_progress(
    host: &StoredProgress,
    online: bool,
    generation: Generation,
    removes: bool,
) -> EnforcementView {
    let desired = HostEnforcement::desired(host.id.clone(), generation, removes);
    let on = host
        .acks()
        .iter()
        .fold(desired, HostEnforcement::acknowledged);
    let rejected = matches!(on.enforcement, Enforcement::Rejected { .. });
    EnforcementView {
        on,
        update_time: host.acknowledge_time,
        online,
        last_seen: host.last_seen(),
        void_time: host.void_time,
        errors: if rejected {
            host.rejected_resources.clone()
        } else {
            vec![]
        },
    }
}

/// A grant and how far the hosts are with its coming or going. Where a lock covers it, it is to be gone.
pub(super) fn grant(
    stored: StoredGrant,
    hosts: &[(StoredProgress, bool)],
    locks: &[StoredLock],
) -> GrantView {
    let StoredGrant {
        grant, generation, ..
    } = stored;
    let is_over = grant.state != GrantState::Active;
    let locks = locks.iter();
    let locks: Vec<&StoredLock> = locks
        .filter(|one| !is_over && locks::meets(&one.lock, &grant))
        .collect();
    let concerned = hosts.iter().filter(|(host, _)| grant.is_for(&host.id));
    let enforcement = concerned.map(|(host, online)| {
        let here = locks.iter();
        let here = here.filter(|one| one.lock.target.covers(&grant.user, &host.id));
        let locked = here.map(|one| one.generation).max();
        let since = generation.max(locked.unwrap_or_default());
        of_progress(host, *online, since, is_over || locked.is_some())
    });
    GrantView {
        enforcement: in_few_words(enforcement.collect()),
        ..proposed(
            grant.clone(),
            locks.into_iter().map(|one| one.lock.clone()).collect(),
        )
    }
}

/// A grant without a word of hosts, and the first of the locks that it runs into.
pub(super) fn proposed(grant: Grant, mut locks: Vec<Lock>) -> GrantView {
    let more_locks = locks.len().saturating_sub(LOCKS_SHOWN_MAX);
    locks.truncate(LOCKS_SHOWN_MAX);
    GrantView {
        grant,
        enforcement: vec![],
        locks,
        more_locks: u32::try_from(more_locks).unwrap_or(u32::MAX),
    }
}

/// A policy revision.
pub(super) fn policy(
    stored: StoredPolicy,
    enforcement: Vec<EnforcementView>,
    rollout: Option<Rollout>,
) -> PolicyView {
    let removed = stored.is_removed();
    let StoredPolicy {
        name,
        revision,
        source,
        applied_by,
        create_time,
        generation: _,
    } = stored;
    PolicyView {
        name,
        revision,
        source,
        applied_by,
        create_time,
        enforcement,
        rollout,
        removed,
    }
}

/// A host.
pub(super) fn host((host, online): Seen, member: Option<StoredMember>) -> HostView {
    let enforcement = on_host(&host, online, host.desired, false);
    let (last_seen, delivery) = (host.last_seen(), delivery(&host));
    HostView {
        online,
        enforcement,
        desired_generation: host.desired,
        id: host.id,
        agent_version: host.agent_version,
        kernel_release: host.kernel_release,
        boot_id: host.boot_id,
        hooks: host.hooks,
        last_seen,
        delivery,
        events_acknowledged: host.events_through,
        events_lost: host.events_lost,
        events_missing: host.events_missing,
        hooks_gone: host.hooks_gone,
        problems: host.problems,
        labels: host.labels,
        floor: host.floor,
        membership: member.map(membership),
    }
}

fn delivery(host: &StoredHost) -> Option<DeliveryView> {
    host.was_seen().then(|| DeliveryView {
        enforced: host.enforced,
        digest: host.enforced_digest,
        protocol: host.protocol,
        relists: host.relists,
        relisted: host.relisted.clone(),
    })
}

/// How a host came to be one of ours.
pub(super) fn membership(member: StoredMember) -> MembershipView {
    MembershipView {
        joined: member.joined,
        certificate_end: member.certificate_end,
        recoveries: member.recoveries,
        revoked: member
            .revoked
            .map(|revoked| (revoked.at, revoked.by, revoked.reason)),
    }
}

#[cfg(test)]
mod tests {
    use stayhand_guardrail::resource::ResourceError;

    use super::*;

    fn rejected(number: usize) -> EnforcementView {
        let host = format!("web{number}").parse().unwrap();
        let mut on = HostEnforcement::desired(host, Generation(1), false);
        on.enforcement = Enforcement::Rejected {
            reasons: vec!["x".repeat(500); 20],
        };
        EnforcementView {
            on,
            update_time: None,
            online: true,
            last_seen: None,
            errors: vec![ResourceError {
                name: "policies/prod".into(),
                reason: "x".repeat(500),
            }],
            void_time: None,
        }
    }

    #[test]
    fn a_fleet_that_rejects_fits_in_a_message_and_every_host_is_named() {
        let shown = in_few_words((0..10_000).map(rejected).collect());
        assert_eq!(shown.len(), 10_000);
        let bytes = |view: &EnforcementView| match &view.on.enforcement {
            Enforcement::Rejected { reasons } => reasons.iter().map(String::len).sum::<usize>(),
            other => panic!("{other:?}"),
        };
        assert!(shown.iter().map(bytes).sum::<usize>() < 1 << 20);
        assert_eq!(bytes(&shown[REJECTIONS_SHOWN_MAX - 1]), 10_000);
        let last = &shown[9_999];
        assert_eq!((bytes(last) < 100, last.errors.len()), (true, 0));
    }
}
