//! What operators are shown, from what is stored and who is connected.

use stayhand_guardrail::{
    grant::{Enforcement, GrantState, HostEnforcement},
    id::Generation,
    lock::Lock,
    rollout::Rollout,
};
use stayhand_proto::view::{
    DeliveryView, EnforcementView, GrantView, HostView, MembershipView, PolicyView,
};

use super::{App, Error, locks};
use crate::store::{StoredGrant, StoredHost, StoredMember, StoredPolicy, StoredProgress};

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

    pub(super) fn seen(&self, host: StoredHost) -> Seen {
        let online = self.is_online(&host.id);
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
    concerned
        .map(|(host, online)| on_host(host, *online, generation, removes))
        .collect()
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

/// A grant and how far the hosts are with its coming or going.
pub(super) fn grant(
    stored: StoredGrant,
    hosts: &[(StoredProgress, bool)],
    locks: &[Lock],
) -> GrantView {
    let StoredGrant {
        grant, generation, ..
    } = stored;
    let removes = grant.state != GrantState::Active;
    let concerned = hosts.iter().filter(|(host, _)| grant.is_for(&host.id));
    let enforcement = concerned
        .map(|(host, online)| of_progress(host, *online, generation, removes))
        .collect();
    let locks = if removes {
        vec![]
    } else {
        locks::on_grant(locks, &grant)
    };
    GrantView {
        grant,
        enforcement,
        locks,
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
