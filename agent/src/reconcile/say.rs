//! What the reconciler says: to the control plane how far this host is, to the auditor what happened. Changes nothing.

use stayhand_guardrail::{
    event::{EnforcementEvent, EventClass, EventKind, Tamper},
    host::{Ack, Phase},
    id::Generation,
    resource::ResourceError,
};
use stayhand_proto::codec::encode_event;

use super::{Images, Reconciler};
use crate::{clock::Now, spool::Entry};

impl<I: Images> Reconciler<I> {
    pub(super) fn tampered(&self, what: String, now: &Now) {
        tracing::error!(what, "somebody works on the guardrail");
        let (subject, process) = (None, None);
        let tamper = Tamper {
            what,
            subject,
            process,
        };
        self.record(EventKind::Tamper(tamper), now);
    }

    pub(super) fn say(&self, generation: Generation, phase: Phase, now: &Now) {
        self.say_about(generation, phase, vec![], now);
    }

    /// Tells the control plane and the auditor; of the same word twice in a row the auditor hears once, and the control plane
    /// each time: it may have sent twice.
    pub(super) fn say_about(
        &self,
        generation: Generation,
        phase: Phase,
        errors: Vec<ResourceError>,
        now: &Now,
    ) {
        let enforced = self.current.as_ref().map(|current| &current.accepted.state);
        let enforced = enforced.filter(|_| phase == Phase::Enforced);
        let ack = Ack {
            generation,
            phase,
            digest: enforced.and_then(|state| state.digest),
            errors,
            fresh_for: enforced.and_then(|state| state.fresh_for),
        };
        if self.out.acks.borrow().as_ref() == Some(&ack) {
            self.out.acks.send_replace(Some(ack));
            return;
        }
        match &ack.phase {
            Phase::Rejected { reasons } => tracing::error!(%generation, ?reasons, "rejected"),
            other => tracing::info!(%generation, phase = other.as_str(), "desired state"),
        }
        if ack.phase != Phase::Received {
            let phase = ack.phase.clone();
            let event = EnforcementEvent { generation, phase };
            self.record(EventKind::Enforcement(event), now);
        }
        self.out.acks.send_replace(Some(ack));
    }

    fn record(&self, kind: EventKind, now: &Now) {
        let payload = encode_event(self.out.identity.event(now.unix, kind));
        let entry = Entry {
            class: EventClass::A,
            recorded: false,
            payload,
        };
        if let Err(error) = self.out.spool.append(vec![entry], now.unix) {
            tracing::error!(
                error = crate::exit::chain(&error),
                "an event waits in memory"
            );
        }
        self.out.stored.send_modify(|count| *count += 1);
    }
}
