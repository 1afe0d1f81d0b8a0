//! The stream between a host and the control plane.

use stayhand_guardrail::{
    host::{Answer, HoldAnswer, HostState, Lease},
    id::{AuthoritiesRevision, FlagName, Generation},
    key::PermissionRef,
    limits::FLAGS_MAX,
    time::{DurationMs, UnixMs},
};

use super::{
    Invalid,
    delivery::{digest, sent_digest},
    invalid::inside,
    name,
    scalar::{
        bounded, duration, host_labels, id, ids, shown, some_id, span, text, texts, time,
        timestamp, uuid,
    },
};
use crate::{
    limits::{FRESH_FOR_MAX, STATE_ITEMS_MAX},
    message::{FromHost, Hello, HostHealth, ToHost, ToHostMessage},
    v1,
    v1::{sync_request, sync_response},
};

impl From<FromHost> for v1::SyncRequest {
    fn from(message: FromHost) -> Self {
        let message = match message {
            FromHost::Hello(hello) => sync_request::Message::Hello(hello.into()),
            FromHost::Ack { ack, nonce } => {
                sync_request::Message::Acknowledgement(v1::Acknowledgement {
                    nonce,
                    ..ack.into()
                })
            }
            FromHost::Hold(hold) => sync_request::Message::Hold((*hold).into()),
            FromHost::Heartbeat {
                events_lost,
                health,
                beat,
            } => sync_request::Message::Heartbeat(v1::Heartbeat {
                events_lost,
                health: health.map(Into::into),
                beat,
            }),
            FromHost::Relist(relist) => sync_request::Message::Relist(relist.into()),
        };
        Self {
            message: Some(message),
        }
    }
}

impl TryFrom<v1::SyncRequest> for FromHost {
    type Error = Invalid;
    fn try_from(wire: v1::SyncRequest) -> Result<Self, Invalid> {
        match wire.message {
            None => Err(Invalid::missing("message")),
            Some(sync_request::Message::Hello(wire)) => {
                inside("hello", wire.try_into()).map(Self::Hello)
            }
            Some(sync_request::Message::Acknowledgement(wire)) => {
                let nonce = wire.nonce;
                let ack = inside("acknowledgement", wire.try_into())?;
                Ok(Self::Ack { ack, nonce })
            }
            Some(sync_request::Message::Hold(wire)) => {
                inside("hold", wire.try_into()).map(|hold| Self::Hold(Box::new(hold)))
            }
            Some(sync_request::Message::Heartbeat(wire)) => {
                let health = wire.health.map(TryInto::try_into).transpose();
                Ok(Self::Heartbeat {
                    events_lost: wire.events_lost,
                    health: inside("heartbeat", health)?,
                    beat: wire.beat,
                })
            }
            Some(sync_request::Message::Relist(wire)) => {
                inside("relist", wire.try_into()).map(Self::Relist)
            }
        }
    }
}

impl From<HostHealth> for v1::HostHealth {
    fn from(health: HostHealth) -> Self {
        let HostHealth {
            hooks,
            hooks_gone,
            problems,
        } = health;
        Self {
            hooks,
            hooks_gone,
            problems,
        }
    }
}

impl TryFrom<v1::HostHealth> for HostHealth {
    type Error = Invalid;
    fn try_from(wire: v1::HostHealth) -> Result<Self, Invalid> {
        Ok(Self {
            hooks: texts("hooks", wire.hooks)?,
            hooks_gone: texts("hooks_gone", wire.hooks_gone)?,
            problems: texts("problems", wire.problems)?,
        })
    }
}

impl From<Hello> for v1::Hello {
    fn from(hello: Hello) -> Self {
        let Hello {
            agent_version,
            kernel_release,
            boot_id,
            hooks,
            enforced_generation,
            labels,
            floor,
            watches_shadows,
            protocol,
            capabilities,
            held,
            fresh_for,
        } = hello;
        Self {
            agent_version,
            kernel_release,
            boot_id: boot_id.to_string(),
            hooks,
            enforced_generation: enforced_generation.0,
            labels: labels.shown().collect(),
            floor,
            watches_shadows,
            capabilities: capabilities.into_iter().collect(),
            protocol,
            held: held.map(Into::into),
            freshness: freshness(fresh_for),
        }
    }
}

impl TryFrom<v1::Hello> for Hello {
    type Error = Invalid;
    fn try_from(wire: v1::Hello) -> Result<Self, Invalid> {
        let v1::Hello {
            agent_version,
            kernel_release,
            boot_id,
            hooks,
            enforced_generation,
            labels,
            floor,
            watches_shadows,
            capabilities,
            protocol,
            held,
            freshness,
        } = wire;
        Ok(Self {
            agent_version: text("agent_version", agent_version)?,
            kernel_release: text("kernel_release", kernel_release)?,
            boot_id: uuid("boot_id", &boot_id)?,
            hooks: texts("hooks", hooks)?,
            enforced_generation: Generation(enforced_generation),
            labels: host_labels(labels)?,
            floor: texts("floor", floor)?,
            watches_shadows,
            protocol,
            capabilities: texts("capabilities", capabilities)?.into_iter().collect(),
            held: inside("held", held.map(TryInto::try_into).transpose())?,
            fresh_for: inside("freshness", freshness.map(fresh_for).transpose())?,
        })
    }
}

impl From<ToHost> for v1::SyncResponse {
    fn from(response: ToHost) -> Self {
        let ToHost {
            server_time,
            protocol,
            message,
        } = response;
        let message = match message {
            ToHostMessage::State(state) => sync_response::Message::State(state.into()),
            ToHostMessage::Bookmark {
                generation,
                authorities,
                digest,
                beat,
            } => sync_response::Message::Bookmark(v1::Bookmark {
                generation: generation.0,
                authorities_revision: authorities.0,
                digest: sent_digest(digest),
                beat,
            }),
            ToHostMessage::Delivery(delivery) => sync_response::Message::Delivery(delivery.into()),
            ToHostMessage::Withdrawal(one) => sync_response::Message::Withdrawal(one.into()),
        };
        Self {
            server_time: Some(timestamp(server_time)),
            protocol,
            message: Some(message),
        }
    }
}

impl TryFrom<v1::SyncResponse> for ToHost {
    type Error = Invalid;
    fn try_from(wire: v1::SyncResponse) -> Result<Self, Invalid> {
        let v1::SyncResponse {
            server_time,
            protocol,
            message,
        } = wire;
        let server_time = time("server_time", server_time)?;
        let message = match message {
            None => return Err(Invalid::missing("message")),
            Some(sync_response::Message::State(wire)) => {
                ToHostMessage::State(inside("state", host_state(wire, server_time))?)
            }
            Some(sync_response::Message::Bookmark(v1::Bookmark {
                generation,
                authorities_revision,
                digest: wire,
                beat,
            })) => ToHostMessage::Bookmark {
                generation: Generation(generation),
                authorities: AuthoritiesRevision(authorities_revision),
                digest: digest("bookmark.digest", &wire)?,
                beat,
            },
            Some(sync_response::Message::Delivery(wire)) => {
                ToHostMessage::Delivery(inside("delivery", wire.try_into())?)
            }
            Some(sync_response::Message::Withdrawal(wire)) => {
                ToHostMessage::Withdrawal(inside("withdrawal", wire.try_into())?)
            }
        };
        Ok(Self {
            server_time,
            protocol,
            message,
        })
    }
}

impl From<HostState> for v1::HostState {
    fn from(state: HostState) -> Self {
        let HostState {
            generation,
            policies,
            leases,
            answers,
            flags,
            shadows,
            fresh_for,
            digest: _,
        } = state;
        Self {
            generation: generation.0,
            policies: policies.into_iter().map(Into::into).collect(),
            leases: leases.into_iter().map(Into::into).collect(),
            answers: answers.into_iter().map(Into::into).collect(),
            flags: flags
                .into_iter()
                .map(|(flag, until)| v1::SetFlag {
                    flag: flag.into(),
                    until_time: Some(timestamp(until)),
                })
                .collect(),
            shadows: shadows.into_iter().map(Into::into).collect(),
            freshness: freshness(fresh_for),
        }
    }
}

/// As it travels.
pub(super) fn freshness(fresh_for: Option<DurationMs>) -> Option<v1::Freshness> {
    fresh_for.map(|fresh_for| v1::Freshness {
        fresh_for: Some(span(fresh_for)),
    })
}

/// For how long leases count after a proof. A span that no state can carry is refused here, with the message that says it: further
/// on, many hosts' words are one transaction.
pub(crate) fn fresh_for(wire: v1::Freshness) -> Result<DurationMs, Invalid> {
    const FIELD: &str = "fresh_for";
    let span = duration(FIELD, wire.fresh_for)?;
    if span > FRESH_FOR_MAX {
        let problem = format!("is {span}, and no state asks for more than {FRESH_FOR_MAX}");
        return Err(Invalid::new(FIELD, problem));
    }
    Ok(span)
}

/// The server's time belongs to the message around the state, see [`Lease::server_time`].
fn host_state(wire: v1::HostState, server_time: UnixMs) -> Result<HostState, Invalid> {
    let v1::HostState {
        generation,
        policies,
        leases,
        answers,
        flags,
        shadows,
        freshness,
    } = wire;
    let shadows = bounded("shadows", shadows, STATE_ITEMS_MAX)?
        .into_iter()
        .enumerate();
    let policies = bounded("policies", policies, STATE_ITEMS_MAX)?
        .into_iter()
        .enumerate();
    let leases = bounded("leases", leases, STATE_ITEMS_MAX)?
        .into_iter()
        .enumerate();
    let answers = bounded("answers", answers, STATE_ITEMS_MAX)?
        .into_iter()
        .enumerate();
    Ok(HostState {
        generation: Generation(generation),
        policies: policies
            .map(|(at, wire)| inside(&format!("policies[{at}]"), wire.try_into()))
            .collect::<Result<_, _>>()?,
        leases: leases
            .map(|(at, wire)| inside(&format!("leases[{at}]"), lease(wire, server_time)))
            .collect::<Result<_, _>>()?,
        answers: answers
            .map(|(at, wire)| inside(&format!("answers[{at}]"), wire.try_into()))
            .collect::<Result<_, _>>()?,
        flags: bounded("flags", flags, FLAGS_MAX)?
            .into_iter()
            .map(flag)
            .collect::<Result<_, Invalid>>()?,
        shadows: shadows
            .map(|(at, wire)| inside(&format!("shadows[{at}]"), wire.try_into()))
            .collect::<Result<_, _>>()?,
        fresh_for: inside("freshness", freshness.map(fresh_for).transpose())?,
        digest: None,
    })
}

impl From<Lease> for v1::Lease {
    fn from(lease: Lease) -> Self {
        let Lease {
            grant,
            user,
            permissions,
            expire_time,
            server_time: _,
        } = lease;
        let (plain, with_values): (Vec<PermissionRef>, Vec<_>) = permissions
            .into_iter()
            .partition(|one| one.values.is_empty());
        Self {
            grant: grant.to_string(),
            user: user.into(),
            permissions: plain.into_iter().map(Into::into).collect(),
            expire_time: Some(timestamp(expire_time)),
            permissions_with_values: with_values.into_iter().map(Into::into).collect(),
        }
    }
}

/// A flag that is set, and until when.
pub(crate) fn flag(wire: v1::SetFlag) -> Result<(FlagName, UnixMs), Invalid> {
    let v1::SetFlag { flag, until_time } = wire;
    Ok((id("flag", &flag)?, time("until_time", until_time)?))
}

/// The server's time belongs to the message around it, see [`Lease::server_time`].
pub(crate) fn lease(wire: v1::Lease, server_time: UnixMs) -> Result<Lease, Invalid> {
    let v1::Lease {
        grant,
        user,
        permissions,
        expire_time,
        permissions_with_values,
    } = wire;
    let mut all: Vec<PermissionRef> = ids("permissions", permissions)?;
    all.extend(ids::<PermissionRef>(
        "permissions_with_values",
        permissions_with_values,
    )?);
    Ok(Lease {
        grant: name::parse("grant", name::GRANTS, &grant)?,
        user: id("user", &user)?,
        permissions: all,
        expire_time: time("expire_time", expire_time)?,
        server_time,
    })
}

impl From<HoldAnswer> for v1::HoldAnswer {
    fn from(answer: HoldAnswer) -> Self {
        let HoldAnswer {
            hold,
            answer,
            by,
            reason,
        } = answer;
        Self {
            hold: hold.to_string(),
            approved: answer == Answer::Approved,
            by: shown(by.as_ref()),
            reason,
        }
    }
}

impl TryFrom<v1::HoldAnswer> for HoldAnswer {
    type Error = Invalid;
    fn try_from(wire: v1::HoldAnswer) -> Result<Self, Invalid> {
        let v1::HoldAnswer {
            hold,
            approved,
            by,
            reason,
        } = wire;
        let by = some_id("by", &by)?;
        // Time approves nothing.
        if approved && by.is_none() {
            return Err(Invalid::missing("by"));
        }
        Ok(Self {
            hold: name::parse("hold", name::HOLDS, &hold)?,
            answer: if approved {
                Answer::Approved
            } else {
                Answer::Refused
            },
            by,
            reason: text("reason", reason)?,
        })
    }
}
