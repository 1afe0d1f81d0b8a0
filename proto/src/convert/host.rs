//! Hosts.

use stayhand_guardrail::id::Generation;

use super::{
    Invalid,
    invalid::{inside, message},
    name,
    scalar::{host_labels, text, texts, time, timestamp, uuid},
};
use crate::{v1, view::HostView};

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
            last_seen_time: Some(timestamp(last_seen)),
            events_acknowledged,
            events_lost,
            events_missing,
            hooks_gone,
            problems,
            labels: labels.shown().collect(),
            floor,
            membership: membership.map(Into::into),
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
            last_seen: time("last_seen_time", last_seen_time)?,
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
