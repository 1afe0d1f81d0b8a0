//! Hosts.

use stayhand_guardrail::id::Generation;

use super::{
    Invalid,
    delivery::{digest, sent_digest},
    invalid::{inside, message},
    name,
    scalar::{host_labels, text, texts, timestamp, unix_ms, uuid},
};
use crate::{
    v1,
    view::{DeliveryView, HostView},
};

impl From<DeliveryView> for v1::HostDelivery {
    fn from(view: DeliveryView) -> Self {
        let DeliveryView {
            enforced,
            digest,
            protocol,
            relists,
            relisted,
        } = view;
        let (at, reason) = relisted.unzip();
        Self {
            enforced_generation: enforced.0,
            enforced_digest: sent_digest(digest),
            protocol,
            relists,
            relist_time: at.map(timestamp),
            relist_reason: reason.unwrap_or_default(),
        }
    }
}

impl TryFrom<v1::HostDelivery> for DeliveryView {
    type Error = Invalid;
    fn try_from(wire: v1::HostDelivery) -> Result<Self, Invalid> {
        let v1::HostDelivery {
            enforced_generation,
            enforced_digest,
            protocol,
            relists,
            relist_time,
            relist_reason,
        } = wire;
        let reason = text("relist_reason", relist_reason)?;
        Ok(Self {
            enforced: Generation(enforced_generation),
            digest: digest("enforced_digest", &enforced_digest)?,
            protocol,
            relists,
            relisted: unix_ms("relist_time", relist_time)?.map(|at| (at, reason)),
        })
    }
}

impl From<HostView> for v1::Host {
    fn from(view: HostView) -> Self {
        let HostView {
            id,
            online,
            agent_version,
            kernel_release,
            boot_id,
            hooks,
            desired_generation,
            enforcement,
            last_seen,
            delivery,
            events_acknowledged,
            events_lost,
            events_missing,
            hooks_gone,
            problems,
            labels,
            floor,
            membership,
        } = view;
        Self {
            name: name::host(&id),
            online,
            agent_version,
            kernel_release,
            boot_id: boot_id.to_string(),
            hooks,
            desired_generation: desired_generation.0,
            enforcement: Some(enforcement.into()),
            last_seen_time: last_seen.map(timestamp),
            events_acknowledged,
            events_lost,
            events_missing,
            hooks_gone,
            problems,
            labels: labels.shown().collect(),
            floor,
            membership: membership.map(Into::into),
            delivery: delivery.map(Into::into),
        }
    }
}

impl TryFrom<v1::Host> for HostView {
    type Error = Invalid;
    fn try_from(wire: v1::Host) -> Result<Self, Invalid> {
        let v1::Host {
            name,
            online,
            agent_version,
            kernel_release,
            boot_id,
            hooks,
            desired_generation,
            enforcement,
            last_seen_time,
            events_acknowledged,
            events_lost,
            events_missing,
            hooks_gone,
            problems,
            labels,
            floor,
            membership,
            delivery,
        } = wire;
        Ok(Self {
            id: name::parse("name", name::HOSTS, &name)?,
            online,
            agent_version: text("agent_version", agent_version)?,
            kernel_release: text("kernel_release", kernel_release)?,
            boot_id: uuid("boot_id", &boot_id)?,
            hooks: texts("hooks", hooks)?,
            desired_generation: Generation(desired_generation),
            enforcement: message("enforcement", enforcement)?,
            last_seen: unix_ms("last_seen_time", last_seen_time)?,
            delivery: inside("delivery", delivery.map(TryInto::try_into).transpose())?,
            events_acknowledged,
            events_lost,
            events_missing,
            hooks_gone: texts("hooks_gone", hooks_gone)?,
            problems: texts("problems", problems)?,
            labels: host_labels(labels)?,
            floor: texts("floor", floor)?,
            membership: membership
                .map(|wire| inside("membership", wire.try_into()))
                .transpose()?,
        })
    }
}
