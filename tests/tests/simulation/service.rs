//! What happens at the control plane: its ticks, its side of connections, and its own crashes.

use std::sync::atomic::Ordering;

use rand::RngExt as _;
use stayhand_control::api::{Change, SyncSession, take_events};
use stayhand_proto::{
    codec,
    message::FromHost,
    v1::{PublishEventsRequest, PublishEventsResponse, event::Kind, sync_response::Message},
};

use crate::{
    audit::AUDITS,
    clock::MS,
    mutant::Mutant,
    oracle::Violation,
    world::{Next, World},
};

/// How often a stream looks by itself, and says that it is there.
const BOOKMARK_MS: u64 = 3_000;

impl World {
    pub(crate) async fn control_starts(&mut self) -> Result<(), Violation> {
        if self.control.is_some() {
            return Ok(());
        }
        let control = self.open_control().await;
        self.control = Some(control);
        self.say("control plane started");
        self.audit().await
    }

    /// Sets, now and then, the commit at which the control plane ends: before it, or after it and before anybody is told.
    pub(crate) fn control_maybe_ends(&mut self) {
        if self.misfortune(10) {
            let places = self.random.random_range(1..=6);
            if let Some(control) = &self.control {
                control.life.end_at(places);
            }
        }
    }

    /// Takes away a control plane that ended; somebody starts another.
    pub(crate) async fn bury_control(&mut self) {
        let ended = self.control.take_if(|one| one.life.is_over());
        let Some(control) = ended else { return };
        self.oracle.crashes += 1;
        self.say("control plane was killed");
        let open: Vec<usize> = self.links.keys().copied().collect();
        for index in open {
            self.close_at_control(index);
        }
        control.end().await;
        self.soon(4_000, Next::ControlStarts);
    }

    /// The control plane's end of a connection is gone. What it had sent may still come, or not.
    pub(crate) fn close_at_control(&mut self, index: usize) {
        let keep = self.random.random_range(0..3);
        if let Some(link) = self.links.get_mut(&index)
            && link.control_open
        {
            link.control_open = false;
            link.session = None;
            link.up.clear();
            link.events_up.clear();
            link.down.truncate(keep);
            link.events_down.truncate(keep);
            self.soon(2_000, Next::Hangup(index));
        }
        self.links.retain(|_, link| !link.is_over());
    }

    pub(crate) async fn control_ticks(&mut self) -> Result<(), Violation> {
        self.again(900, Next::ControlTicks);
        self.control_maybe_ends();
        let Some(control) = &mut self.control else {
            return Ok(());
        };
        let app = std::sync::Arc::clone(&control.app);
        self.oracle.certificates.looked_at_by(app.now());
        if let Err(error) = control.ticker.tick(&app).await {
            let what = format!("control plane: {error}");
            self.say(what);
        }
        self.poke();
        if self.chance(10) {
            self.audit().await
        } else {
            Ok(())
        }
    }

    /// Streams hear of commits.
    pub(crate) fn poke(&mut self) {
        let open: Vec<usize> = self
            .links
            .iter()
            .filter(|(_, link)| link.session.is_some())
            .map(|(index, _)| *index)
            .collect();
        for index in open {
            self.soon(50, Next::Serve(index));
        }
    }

    /// Whether nothing gets through now; then it is tried later.
    pub(crate) fn stalls(&mut self, index: usize, next: Next) -> bool {
        let until_ns = self
            .links
            .get(&index)
            .map_or(0, |link| link.stalled_until_ns);
        let now_ns = self.time.ns();
        if until_ns > now_ns {
            self.after(until_ns - now_ns + MS, next);
            return true;
        }
        false
    }

    /// A word of a host comes to the control plane.
    pub(crate) async fn up(&mut self, index: usize) -> Result<(), Violation> {
        if self.stalls(index, Next::Up(index)) {
            return Ok(());
        }
        let (Some(link), true) = (self.links.get_mut(&index), self.control.is_some()) else {
            return Ok(());
        };
        let Some(message) = link.up.pop_front() else {
            return Ok(());
        };
        if !link.control_open {
            return Ok(());
        }
        let host = link.host;
        if !self.still_counts(index).await? {
            return Ok(());
        }
        let Some(link) = self.links.get_mut(&index) else {
            return Ok(());
        };
        let name = self.hosts[host].name.clone();
        let mut ack = None;
        let done = if let Some(session) = &mut link.session {
            if let Ok(FromHost::Ack { ack: said, .. }) = FromHost::try_from(message.clone()) {
                ack = Some(format!(
                    "{name}: {} of {} heard",
                    said.phase.as_str(),
                    said.generation
                ));
            }
            session.take(message).await
        } else {
            let Ok(FromHost::Hello(hello)) = FromHost::try_from(message) else {
                self.close_at_control(index);
                return Ok(());
            };
            let Some(agent) = self.admitted(index).await? else {
                return Ok(());
            };
            let (Some(link), Some(control)) = (self.links.get_mut(&index), &self.control) else {
                return Ok(());
            };
            let app = std::sync::Arc::clone(&control.app);
            match SyncSession::open(app, agent, &hello).await {
                Ok(session) => {
                    link.session = Some(session);
                    self.look_again(index);
                    Ok(())
                }
                Err(error) => Err(error),
            }
        };
        self.control_maybe_ends();
        if let Err(error) = done {
            let what = format!("control plane hangs up on {name}: {error}");
            self.say(what);
            self.close_at_control(index);
            return Ok(());
        }
        self.soon(30, Next::Serve(index));
        let is_ack = ack.as_ref().is_some_and(|line| line.contains("enforced"));
        if let Some(ack) = ack {
            self.say(ack);
        }
        if is_ack {
            self.audit_now_and_then().await
        } else {
            Ok(())
        }
    }

    /// The control plane's side of a stream: one round of its loop.
    pub(crate) async fn serve(&mut self, index: usize) -> Result<(), Violation> {
        self.look(index, false).await
    }

    async fn look(&mut self, index: usize, is_regular: bool) -> Result<(), Violation> {
        let misfortune = self.misfortune(5);
        let Some(link) = self.links.get_mut(&index) else {
            return Ok(());
        };
        let is_first = !link.was_looked_at;
        let Some(session) = &mut link.session else {
            return Ok(());
        };
        link.was_looked_at = true;
        let change = session.changed_by_now();
        if change == Some(Change::TakenOver) || misfortune {
            self.close_at_control(index);
            return Ok(());
        }
        // As the stream does: what a host says is no reason to look, unless something waited for it.
        let is_due = is_first || is_regular || change.is_some() || session.is_behind();
        if !is_due || !self.still_counts(index).await? {
            return Ok(());
        }
        let Some(session) = self
            .links
            .get_mut(&index)
            .and_then(|link| link.session.as_mut())
        else {
            return Ok(());
        };
        let said = session.next_state().await;
        let response = match said {
            Ok(Some(state)) => state,
            Ok(None) if is_regular || self.random.random_range(0..8) == 0 => session.bookmark(),
            Ok(None) => return Ok(()),
            Err(error) => {
                let what = format!("control plane hangs up: {error}");
                self.say(what);
                self.close_at_control(index);
                return Ok(());
            }
        };
        if !matches!(response.message, Some(Message::Bookmark(_))) {
            // There may be more to say.
            self.soon(20, Next::Serve(index));
        }
        self.send_down(index, response).await
    }

    /// The regular look of a stream.
    pub(crate) async fn bookmark(&mut self, index: usize) -> Result<(), Violation> {
        if self.links.get(&index).is_none_or(|link| !link.control_open) {
            return Ok(());
        }
        self.look_again(index);
        self.look(index, true).await
    }

    /// As often at rest as before: connections on which nothing is looked at would be over before somebody looked.
    fn look_again(&mut self, index: usize) {
        let ms = self
            .random
            .random_range(BOOKMARK_MS / 2..BOOKMARK_MS * 3 / 2);
        self.after(ms * MS, Next::Bookmark(index));
    }

    /// A batch of events comes to the control plane.
    pub(crate) async fn events_up(&mut self, index: usize) -> Result<(), Violation> {
        if self.stalls(index, Next::EventsUp(index)) {
            return Ok(());
        }
        self.control_maybe_ends();
        let Some(link) = self.links.get_mut(&index) else {
            return Ok(());
        };
        let Some(batch) = link.events_up.pop_front() else {
            return Ok(());
        };
        if !link.control_open {
            return Ok(());
        }
        if self.mutant == Some(Mutant::AcknowledgedBeforeStored)
            && let Some(last) = batch.events.last()
        {
            let last = codec::event_of_batch(last).unwrap();
            link.events_down.push_back(PublishEventsResponse {
                epoch: last.epoch,
                acknowledged_through: last.sequence,
            });
            self.after(MS, Next::EventsDown(index));
            if self.chance(5) {
                return Ok(());
            }
        }
        let Some(agent) = self.admitted(index).await? else {
            return Ok(());
        };
        let Some(control) = &self.control else {
            return Ok(());
        };
        let batch = if self.mutant == Some(Mutant::EventsNameNoRule) {
            without_rules(&batch)
        } else {
            batch
        };
        let taken = take_events(&control.app, &agent, batch).await;
        let is_alive = !control.life.is_over();
        match taken {
            Ok(acknowledged) if is_alive => {
                let Some(link) = self.links.get_mut(&index) else {
                    return Ok(());
                };
                let count = acknowledged.len();
                link.events_down.extend(acknowledged);
                for _ in 0..count {
                    self.soon(60, Next::EventsDown(index));
                }
            }
            Ok(_) => {}
            Err(error) => {
                let what = format!("control plane hangs up on events: {error}");
                self.say(what);
                self.close_at_control(index);
            }
        }
        self.poke();
        Ok(())
    }

    /// An acknowledgement comes to the agent.
    pub(crate) async fn events_down(&mut self, index: usize) -> Result<(), Violation> {
        if self.stalls(index, Next::EventsDown(index)) {
            return Ok(());
        }
        let Some(link) = self.links.get_mut(&index) else {
            return Ok(());
        };
        let Some(response) = link.events_down.pop_front() else {
            return Ok(());
        };
        let host = link.host;
        if !link.agent_open || self.hosts[host].link != Some(index) {
            return Ok(());
        }
        let Some(agent) = &self.hosts[host].agent else {
            return Ok(());
        };
        if response.epoch == agent.uplink.epoch() {
            let through = response.acknowledged_through;
            if let Err(error) = agent.spool.acknowledge(through) {
                let what = format!("{}: {error}", self.hosts[host].name);
                self.say(what);
            }
        }
        if !self.chance(AUDITS) {
            return Ok(());
        }
        let Some(control) = &self.control else {
            return Ok(());
        };
        let hosts = control.app.store().hosts(None, "", 100).await;
        self.check_stored(&hosts.unwrap_or_default())
    }

    pub(crate) fn control_has_room(&mut self) {
        self.control_is_full.store(false, Ordering::SeqCst);
        self.say("control plane: disk has room");
    }
}

/// The same events, of which nobody is told which rule decided.
fn without_rules(batch: &PublishEventsRequest) -> PublishEventsRequest {
    let read = batch.events.iter();
    let mut events: Vec<_> = read
        .map(|bytes| codec::event_of_batch(bytes).unwrap())
        .collect();
    for event in &mut events {
        if let Some(Kind::Decision(decision)) = &mut event.kind {
            decision.rule = None;
        }
    }
    codec::batch(&events)
}
