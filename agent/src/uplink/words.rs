//! What is said to the control plane, and what is done with what it says: without its transport and without timers.

use prost::Message as _;
use stayhand_guardrail::{
    event::{EventClass, EventKind, LossStage, Lost},
    text::safe_cut,
    time::UnixMs,
};
use stayhand_proto::{
    message::{FromHost, Hello, HostHealth, ToHost, ToHostMessage},
    v1::Event,
};

use super::{Uplink, UplinkError};
use crate::{clock::Now, reconcile::Wake, spool::Numbered};

/// Characters of one problem in a heartbeat.
const PROBLEM_CHARS_MAX: usize = 400;

impl Uplink {
    /// The first word on a stream.
    pub fn hello(&self) -> FromHost {
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
        })
    }

    /// That it goes on, and how.
    pub fn heartbeat(&self) -> FromHost {
        FromHost::Heartbeat {
            events_lost: self.spool.stats().lost,
            health: Some(self.state()),
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

    /// Takes in a word of the control plane, which came just now.
    pub fn received(&self, response: ToHost, now: Now) -> Result<(), UplinkError> {
        self.health.change(|health| {
            if !health.control_connected {
                tracing::info!("connected to the control plane");
            }
            health.control_connected = true;
            health.control_seen = Some(now.unix);
        });
        self.note(None);
        match response.message {
            ToHostMessage::State(state) => self
                .wakes
                .send(Wake::State(Box::new(state), now))
                .map_err(|_| UplinkError::Ending),
            ToHostMessage::Bookmark { authorities, .. } => {
                self.authorities.send_replace(authorities);
                Ok(())
            }
        }
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
