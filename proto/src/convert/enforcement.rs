//! How far hosts are.

use stayhand_guardrail::{
    grant::{Enforcement, HostEnforcement},
    host::{Ack, Phase},
    id::Generation,
};

use super::{
    Invalid,
    delivery::{digest, errors, sent_digest, sent_errors},
    invalid::inside,
    scalar::{id, texts, timestamp, unix_ms},
    sync::{fresh_for, freshness},
};
use crate::{v1, v1::EnforcementPhase, view::EnforcementView};

/// The phase with its reasons.
pub(super) fn from_phase(phase: Phase) -> (EnforcementPhase, Vec<String>) {
    match phase {
        Phase::Received => (EnforcementPhase::Received, vec![]),
        Phase::Enforced => (EnforcementPhase::Enforced, vec![]),
        Phase::Rejected { reasons } => (EnforcementPhase::Rejected, reasons),
    }
}

/// What a host can say; it never says what is desired.
pub(super) fn phase(wire: i32, reasons: Vec<String>) -> Result<Phase, Invalid> {
    let reasons = texts("reasons", reasons)?;
    match EnforcementPhase::try_from(wire) {
        Ok(EnforcementPhase::Received) => Ok(Phase::Received),
        Ok(EnforcementPhase::Enforced) => Ok(Phase::Enforced),
        Ok(EnforcementPhase::Rejected) => Ok(Phase::Rejected { reasons }),
        Ok(EnforcementPhase::Unspecified | EnforcementPhase::Desired) | Err(_) => {
            Err(Invalid::new(
                "phase",
                format!("{wire} is no phase that a host can report"),
            ))
        }
    }
}

impl From<Ack> for v1::Acknowledgement {
    fn from(ack: Ack) -> Self {
        let Ack {
            generation,
            phase,
            digest,
            errors,
            fresh_for,
        } = ack;
        let (phase, reasons) = from_phase(phase);
        Self {
            generation: generation.0,
            phase: phase.into(),
            reasons,
            nonce: 0,
            digest: sent_digest(digest),
            errors: sent_errors(errors),
            freshness: freshness(fresh_for),
        }
    }
}

impl TryFrom<v1::Acknowledgement> for Ack {
    type Error = Invalid;
    fn try_from(wire: v1::Acknowledgement) -> Result<Self, Invalid> {
        let v1::Acknowledgement {
            generation,
            phase: wire,
            reasons,
            // Belongs to the message around it.
            nonce: _,
            digest: sent,
            errors: wrong,
            freshness,
        } = wire;
        Ok(Self {
            generation: Generation(generation),
            phase: phase(wire, reasons)?,
            digest: digest("digest", &sent)?,
            errors: errors(wrong)?,
            fresh_for: inside("freshness", freshness.map(fresh_for).transpose())?,
        })
    }
}

impl From<EnforcementView> for v1::HostEnforcement {
    fn from(view: EnforcementView) -> Self {
        let EnforcementView {
            on,
            update_time,
            online,
            last_seen,
            errors,
            void_time,
        } = view;
        let HostEnforcement {
            host,
            generation,
            removes,
            enforcement,
        } = on;
        let (phase, reasons) = match enforcement {
            Enforcement::Desired => (EnforcementPhase::Desired, vec![]),
            Enforcement::Received => (EnforcementPhase::Received, vec![]),
            Enforcement::Enforced | Enforcement::Removed => (EnforcementPhase::Enforced, vec![]),
            Enforcement::Rejected { reasons } => (EnforcementPhase::Rejected, reasons),
        };
        Self {
            host: host.into(),
            generation: generation.0,
            phase: phase.into(),
            reasons,
            update_time: update_time.map(timestamp),
            online,
            removes,
            last_seen_time: last_seen.map(timestamp),
            errors: sent_errors(errors),
            void_time: void_time.map(timestamp),
        }
    }
}

impl TryFrom<v1::HostEnforcement> for EnforcementView {
    type Error = Invalid;
    fn try_from(wire: v1::HostEnforcement) -> Result<Self, Invalid> {
        let v1::HostEnforcement {
            host,
            generation,
            phase: wire,
            reasons,
            update_time,
            online,
            removes,
            last_seen_time,
            errors: wrong,
            void_time,
        } = wire;
        let enforcement = match EnforcementPhase::try_from(wire) {
            Ok(EnforcementPhase::Desired) => Enforcement::Desired,
            Ok(EnforcementPhase::Enforced) if removes => Enforcement::Removed,
            _ => match phase(wire, reasons)? {
                Phase::Received => Enforcement::Received,
                Phase::Enforced => Enforcement::Enforced,
                Phase::Rejected { reasons } => Enforcement::Rejected { reasons },
            },
        };
        Ok(Self {
            on: HostEnforcement {
                host: id("host", &host)?,
                generation: Generation(generation),
                removes,
                enforcement,
            },
            update_time: unix_ms("update_time", update_time)?,
            online,
            last_seen: unix_ms("last_seen_time", last_seen_time)?,
            errors: errors(wrong)?,
            void_time: unix_ms("void_time", void_time)?,
        })
    }
}
