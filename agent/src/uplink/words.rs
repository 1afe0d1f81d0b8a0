//! What is said to the control plane, and what is done with what it says: without its transport and without timers.

use prost::Message as _;
use stayhand_guardrail::{
    event::{EventClass, EventKind, LossStage, Lost},
    host::{Ack, HostState, Phase},
    id::Generation,
    resource::ResourceError,
    text::safe_cut,
    time::UnixMs,
};
use stayhand_proto::{
    message::{Delivery, FromHost, Hello, HostHealth, Relist, ToHost, ToHostMessage},
    protocol::{self, CAPABILITIES, PROTOCOL},
    v1::Event,
};

use super::{Uplink, UplinkError, holding::Taken};
use crate::{clock::Now, health::Part, reconcile::Wake, spool::Numbered};

/// Characters of one problem in a heartbeat.
const PROBLEM_CHARS_MAX: usize = 400;
/// Resources that are named as unreadable: more is noise.
const UNREADABLE_MAX: usize = 20;

impl Uplink {
    /// The first word on a stream.
    pub fn hello(&self) -> FromHost {
        self.beats.connected();
        let facts = self.health.facts();
        FromHost::Hello(Hello {
            agent_version: facts.version.clone(),
            kernel_release: facts.kernel_release.clone(),
            boot_id: facts.boot_id,
            hooks: self.state().hooks,
            // What the journal does not have a boot takes back, and nobody is to be shown that it lasts.
            enforced_generation: self.health.now().kept,
            labels: facts.labels.clone(),
            floor: facts.floor.clone(),
            watches_shadows: true,
            protocol: PROTOCOL,
            capabilities: CAPABILITIES.map(str::to_owned).into(),
            held: self.held.connected(),
            fresh_for: self.health.now().fresh_for,
        })
    }

    /// A word on a generation, with the delivery that it is about.
    pub fn word(&self, ack: Ack) -> FromHost {
        let nonce = self.held.nonce(&ack);
        FromHost::Ack { ack, nonce }
    }

    /// That it goes on at this moment, and how.
    pub fn heartbeat(&self, now: Now) -> FromHost {
        FromHost::Heartbeat {
            events_lost: self.spool.stats().lost,
            health: Some(self.state()),
            beat: self.beats.next(now),
        }
    }

    fn state(&self) -> HostHealth {
        let now = self.health.now();
        let hooks = self.health.facts().hooks.iter().map(|(hook, _)| hook);
        let problems = now.problems.values();
        HostHealth {
            hooks: hooks
                .filter(|hook| !now.hooks_gone.contains(hook))
                .cloned()
                .collect(),
            hooks_gone: now.hooks_gone.clone(),
            // The wire's bound on one text is far above; a long list belongs on the host's own `doctor`.
            problems: problems
                .map(|problem| safe_cut(problem.as_bytes(), PROBLEM_CHARS_MAX))
                .collect(),
        }
    }

    /// Takes in a word of the control plane, which came just now; what is said to it.
    pub fn received(&self, response: ToHost, now: Now) -> Result<Option<FromHost>, UplinkError> {
        if let Some(failure) = protocol::control_too_old(response.protocol, self.oldest_protocol) {
            return Err(UplinkError::TooOld {
                what: failure.message,
                remedy: failure.remedy,
            });
        }
        self.health.change(|health| {
            if !health.control_connected {
                tracing::info!("connected to the control plane");
            }
            health.control_connected = true;
            health.control_seen = Some(now.unix);
        });
        self.note(None);
        match response.message {
            ToHostMessage::State(state) => {
                self.held.replace(&state);
                self.desired(state, now).map(|()| None)
            }
            ToHostMessage::Delivery(delivery) => {
                self.delivered(delivery, response.server_time, now)
            }
            ToHostMessage::Withdrawal(withdrawal) => self
                .wakes
                .send(Wake::Withdrawal(withdrawal, now))
                .map(|()| None)
                .map_err(|_| UplinkError::Ending),
            ToHostMessage::Bookmark {
                generation,
                authorities,
                digest,
                beat,
            } => {
                self.authorities.send_replace(authorities);
                let relist = digest.and_then(|digest| self.held.compared(generation, digest));
                if relist.is_none() {
                    self.health.note(Part::Delivery, None);
                    // One that does not say what it means proves nothing.
                    if digest.is_some() {
                        self.beats.answered(beat, generation);
                    }
                    self.prove();
                }
                Ok(relist.map(|relist| {
                    let why = format!("generation {generation} should be held here, and is not");
                    self.misfit(relist, &why)
                }))
            }
        }
    }

    /// Tells the kernel of the newest moment at which it is known that nothing newer than what it enforces was wanted. What is only on its
    /// way there, or was refused, proves nothing.
    fn prove(&self) {
        let Some(moment) = self.beats.newest(self.health.now().generation) else {
            return;
        };
        match (self.prove)(&moment) {
            Ok(()) => self.health.change(|health| {
                let newer = |known: Now| known.boot_ns < moment.boot_ns;
                if health.proven.is_none_or(newer) {
                    health.proven = Some(moment);
                }
            }),
            Err(error) => tracing::error!(
                error = crate::exit::chain(error.as_ref()),
                "the kernel was not told that this host has the newest state"
            ),
        }
    }

    fn desired(&self, state: HostState, now: Now) -> Result<(), UplinkError> {
        self.wakes
            .send(Wake::State(Box::new(state), now))
            .map_err(|_| UplinkError::Ending)
    }

    fn delivered(
        &self,
        delivery: Delivery,
        server_time: UnixMs,
        now: Now,
    ) -> Result<Option<FromHost>, UplinkError> {
        let to = delivery.to;
        match self.held.take(delivery, server_time) {
            Taken::State(state) => {
                self.health.note(Part::Delivery, None);
                self.desired(*state, now).map(|()| None)
            }
            Taken::Unreadable(errors) => Ok(Some(self.unreadable_state(to, errors))),
            Taken::Misfit(relist, why) => Ok(Some(self.misfit(relist, &why))),
        }
    }

    /// Asks for everything. What is enforced stays as it is until then.
    fn misfit(&self, relist: Relist, why: &str) -> FromHost {
        let times = self.held.misfits();
        let problem = format!(
            "a delivery does not fit what this host holds and is not enforced ({why}); everything was asked for, {times} times \
             since the agent started"
        );
        self.health.note(Part::Delivery, Some(problem));
        FromHost::Relist(relist)
    }

    fn unreadable_state(&self, generation: Generation, errors: Vec<ResourceError>) -> FromHost {
        let one = |error: &ResourceError| format!("{}: {}", error.name, error.reason);
        let reasons: Vec<String> = errors.iter().take(UNREADABLE_MAX).map(one).collect();
        let problem = format!("generation {generation}: {}", reasons.join("; "));
        self.health.note(Part::Delivery, Some(problem));
        self.word(Ack {
            errors: errors.into_iter().take(UNREADABLE_MAX).collect(),
            ..Ack::new(generation, Phase::Rejected { reasons })
        })
    }

    /// Holds that changed after `version` of the board, and its version now.
    pub fn holds_after(&self, version: u64) -> (u64, Vec<FromHost>) {
        let (now, changed) = self.board.changed_since(version);
        let words = changed.into_iter().map(Box::new).map(FromHost::Hold);
        (now, words.collect())
    }

    /// The epoch under which acknowledgements are about this spool: one of an earlier spool has nothing here that could be
    /// let go.
    pub fn epoch(&self) -> String {
        self.spool.epoch().to_string()
    }

    /// Stored events with their numbers. In the place of one that cannot be read any more the loss is told.
    pub fn numbered(&self, batch: &[Numbered], now: UnixMs) -> Vec<Event> {
        let one = |one: &Numbered| {
            let mut event =
                Event::decode(one.payload.as_slice()).unwrap_or_else(|_| self.unreadable(now));
            event.sequence = one.sequence;
            event
        };
        batch.iter().map(one).collect()
    }

    fn unreadable(&self, since: UnixMs) -> Event {
        let (class, stage) = (EventClass::A, LossStage::Decode);
        let lost = Lost {
            class,
            count: 1,
            stage,
            since,
        };
        self.identity.event(since, EventKind::Lost(lost)).into()
    }
}
