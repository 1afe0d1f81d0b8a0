//! What happens on hosts: rounds of their agents, and time for their processes.

use rand::RngExt as _;
use stayhand_guardrail::host::Phase;

use crate::{
    agent::Agent,
    clock::{MS, SECOND},
    kernel::Outcome,
    life::Life,
    network::Link,
    oracle::Violation,
    people,
    world::{Next, World},
};

/// How often a heartbeat is sent.
const HEARTBEAT_NS: u64 = 5_000 * MS;
/// Within what time a host starts its agent again.
pub(crate) const AWAY_MS: u64 = 3_000;
/// How many of a hundred agents that end are away for longer than the kernel takes them for alive, where a policy says something of
/// that.
const LONG_AWAY: u32 = 30;
const LONG_AWAY_S: std::ops::Range<u64> = 11..18;
/// Batches of events on their way; more than the window is never asked for.
const EVENTS_IN_FLIGHT_MAX: usize = 2;

impl World {
    pub(crate) fn agent_starts(&mut self, host: usize) {
        let one = &mut self.hosts[host];
        if one.agent.is_some() {
            return;
        }
        let (now, life) = (one.clocks.now(), Life::default());
        let started = Agent::start(&one.place, life, &now);
        let name = one.name.clone();
        match started {
            Ok(agent) => {
                agent.speak(&now);
                // Of what it was told nothing is written down.
                self.hosts[host].member.told = None;
                self.hosts[host].agent = Some(agent);
                let generation = self.hosts[host].place.machine.generation();
                self.oracle.started(host, &self.hosts[host].place.machine);
                self.say(format!("{name}: agent started, generation {generation:?}"));
            }
            Err(error) => {
                self.say(format!("{name}: agent does not start: {error}"));
                self.again(1_000, Next::AgentStarts(host));
            }
        }
        self.maybe_ends(host);
    }

    /// Sets, now and then, the place at which an agent will end.
    fn maybe_ends(&mut self, host: usize) {
        if self.misfortune(12) {
            let places = self.random.random_range(1..12);
            if let Some(agent) = &self.hosts[host].agent {
                agent.life.end_at(places);
            }
        }
    }

    /// Takes away an agent that ended; its host starts another.
    fn bury_agent(&mut self, host: usize) {
        let ended = |agent: &mut Agent| agent.life.is_over();
        if self.hosts[host].agent.take_if(ended).is_none() {
            return;
        }
        self.oracle.crashes += 1;
        let name = self.hosts[host].name.clone();
        self.say(format!("{name}: agent was killed"));
        self.lose_link(host);
        self.oracle.ended(host, &self.hosts[host].clocks.now());
        if self.is_active && self.lax && self.chance(LONG_AWAY) {
            let away_s = self.random.random_range(LONG_AWAY_S);
            self.after(away_s * SECOND, Next::AgentStarts(host));
        } else {
            self.soon(AWAY_MS, Next::AgentStarts(host));
        }
    }

    pub(crate) fn kill_agent(&mut self, host: usize) {
        if let Some(agent) = &self.hosts[host].agent {
            agent.life.end();
        }
        self.bury_agent(host);
    }

    /// The agent's end of its connection is gone.
    fn lose_link(&mut self, host: usize) {
        if let Some(index) = self.hosts[host].link.take()
            && let Some(link) = self.links.get_mut(&index)
        {
            link.agent_open = false;
            link.down.clear();
            link.events_down.clear();
        }
    }

    pub(crate) fn reconcile(&mut self, host: usize) -> Result<(), Violation> {
        self.maybe_ends(host);
        let one = &mut self.hosts[host];
        let Some(agent) = &mut one.agent else {
            self.again(1_200, Next::Reconcile(host));
            return Ok(());
        };
        let before = (one.place.machine.generation(), agent.acks.borrow().clone());
        let came = agent.reconcile(&one.clocks.now());
        let after = (one.place.machine.generation(), agent.acks.borrow().clone());
        if before != after {
            let ack = after.1.as_ref().map(|ack| {
                let why = match &ack.phase {
                    Phase::Rejected { reasons } => reasons.join("; "),
                    _ => String::new(),
                };
                format!("{} of {} {why}", ack.phase.as_str(), ack.generation)
            });
            let what = format!("{}: enforces {:?}, says {ack:?}", one.name, after.0);
            let said = after.1.filter(|_| !agent.life.is_over());
            self.say(what);
            let machine = self.hosts[host].place.machine.clone();
            let (time_ns, now) = (self.time.ns(), self.hosts[host].clocks.now());
            self.oracle
                .reconciled(host, &machine, said.as_ref(), time_ns, &now)?;
        }
        if came {
            self.soon(300, Next::Reconcile(host));
        } else {
            self.again(1_200, Next::Reconcile(host));
        }
        self.bury_agent(host);
        Ok(())
    }

    pub(crate) fn record(&mut self, host: usize) {
        self.again(700, Next::Record(host));
        self.maybe_ends(host);
        let one = &mut self.hosts[host];
        if let Some(agent) = &mut one.agent {
            agent.record(&one.clocks.now());
        }
        self.bury_agent(host);
    }

    pub(crate) fn hold(&mut self, host: usize) {
        self.maybe_ends(host);
        let one = &mut self.hosts[host];
        let now = one.clocks.now();
        let next_ns = one.agent.as_mut().map(|agent| agent.hold(&now));
        // A busy machine: it comes when it comes, and never at once.
        let wait_ns = next_ns.map_or(1_000 * MS, |next| next.saturating_sub(now.boot_ns));
        let late_ns = self.random.random_range(100 * MS..900 * MS);
        let slower = if self.is_active { 1 } else { 2 };
        let wait_ns = wait_ns.min(1_000 * MS) + late_ns;
        self.after(wait_ns * slower, Next::Hold(host));
        // Whoever was continued gets some time.
        self.wake_processes(host);
        self.bury_agent(host);
    }

    fn wake_processes(&mut self, host: usize) {
        let machine = self.hosts[host].place.machine.clone();
        let restarting: Vec<u64> = {
            let kernel = machine.kernel();
            let all = kernel.processes.values();
            let restarting = all.filter(|one| one.call == crate::kernel::Call::Restarting);
            restarting.map(|one| one.cookie).collect()
        };
        for cookie in restarting {
            self.soon(40, Next::Process(host, cookie));
        }
    }

    pub(crate) fn process(&mut self, host: usize, cookie: u64) -> Result<(), Violation> {
        let machine = self.hosts[host].place.machine.clone();
        let outcome = machine.run(cookie);
        if let Some(outcome) = outcome {
            self.came_out(host, &outcome)?;
        }
        let call = machine.kernel().processes.get(&cookie).map(|one| one.call);
        match call {
            Some(crate::kernel::Call::Stopping | crate::kernel::Call::Restarting) => {
                self.soon(30, Next::Process(host, cookie));
            }
            Some(crate::kernel::Call::Returned) => self.soon(3_000, Next::Process(host, cookie)),
            _ => {}
        }
        Ok(())
    }

    /// Somebody on some host tries something.
    pub(crate) fn user(&mut self) -> Result<(), Violation> {
        if !self.is_active {
            return Ok(());
        }
        self.again(350, Next::User);
        let host = self.random_host();
        let machine = self.hosts[host].place.machine.clone();
        // Nobody logs in before the host enforces something.
        let is_paused = self.hosts[host].paused_until_ns > self.time.ns();
        if is_paused || machine.generation().is_none() {
            return Ok(());
        }
        let waiting: Vec<u64> = machine
            .kernel()
            .holds
            .values()
            .map(|one| one.process_cookie)
            .collect();
        if !waiting.is_empty() && self.chance(25) {
            let cookie = waiting[self.random.random_range(0..waiting.len())];
            self.meddle(host, cookie);
            return Ok(());
        }
        let who = people::GUARDED[self.random.random_range(0..people::GUARDED.len())];
        let all: u32 = people::TARGETS.iter().map(|one| one.1).sum();
        let mut pick = self.random.random_range(0..all);
        let target = people::TARGETS.iter().find(|one| {
            let found = pick < one.1;
            pick = pick.saturating_sub(one.1);
            found
        });
        let outcome = machine.attempt(people::uid(who), target.unwrap().0);
        self.came_out(host, &outcome)?;
        self.soon(30, Next::Process(host, outcome.cookie));
        Ok(())
    }

    /// Somebody continues or interrupts a process that waits, or it makes its call again.
    fn meddle(&mut self, host: usize, cookie: u64) {
        let machine = self.hosts[host].place.machine.clone();
        let fatal = self.chance(30);
        if let Some(process) = machine.kernel().processes.get_mut(&cookie) {
            process.fatal |= fatal;
        }
        if !fatal {
            machine.wake(cookie);
        }
        let name = self.hosts[host].name.clone();
        let what = if fatal { "SIGTERM" } else { "a stray SIGCONT" };
        self.say(format!("{name}: {what} for process {cookie}"));
        self.soon(30, Next::Process(host, cookie));
    }

    fn came_out(&mut self, host: usize, outcome: &Outcome) -> Result<(), Violation> {
        let reason = stayhand_guardrail::reason::Reason::from_code(outcome.reason);
        let line = format!(
            "{}: {} to {:?} (process {}): {reason} {:?} hold {:x}",
            self.hosts[host].name,
            people::name(outcome.auid),
            outcome.target,
            outcome.cookie,
            outcome.permitted,
            outcome.hold
        );
        self.say(line);
        // The same task may do the very same thing again.
        if matches!(outcome.permitted, Some(crate::kernel::Permitted::ByHold(_))) && self.chance(60)
        {
            let machine = self.hosts[host].place.machine.clone();
            if let Some(process) = machine.kernel().processes.get_mut(&outcome.cookie) {
                process.call = crate::kernel::Call::Restarting;
            }
            self.soon(500, Next::Process(host, outcome.cookie));
        }
        let one = &self.hosts[host];
        let now = one.clocks.now();
        let guards = one.place.machine.policies().contains_key("prod");
        let time_ns = self.time.ns();
        self.oracle
            .of_losses(host, outcome, self.lax, now.boot_ns)?;
        let is_fresh = self
            .fresh_for
            .is_none_or(|span| one.place.machine.was_proven_within(span));
        if outcome.permitted.is_none() && outcome.hold == 0 && is_fresh {
            self.oracle.denied(&one.place.machine, outcome)?;
        }
        self.oracle.came_out(host, outcome, guards, (time_ns, &now))
    }

    /// The uplink's turn: connect, and say what is new.
    pub(crate) async fn talk(&mut self, host: usize) -> Result<(), Violation> {
        self.again(400, Next::Talk(host));
        self.maybe_ends(host);
        if self.hosts[host].agent.is_none() {
            return Ok(());
        }
        if self.hosts[host].link.is_none() && self.is_to_connect(host).await? {
            self.connect(host);
        }
        if let Some(index) = self.hosts[host].link {
            if self.renew(host, index).await? {
                self.lose_link(host);
            } else {
                self.talk_on(host, index);
            }
        }
        self.bury_agent(host);
        Ok(())
    }

    fn connect(&mut self, host: usize) {
        if self.control.is_none() || self.misfortune(100) {
            return;
        }
        let Some(agent) = &self.hosts[host].agent else {
            return;
        };
        let acknowledged = agent.spool.stats().acknowledged;
        let hello = agent.uplink.hello();
        let shown = self.hosts[host].member.shown.clone();
        let mut link = Link::new(host, shown, acknowledged);
        link.up.push_back(hello.into());
        let (holds, ack) = (agent.uplink.holds_after(0), agent.acks.borrow().clone());
        link.shown_holds = holds.0;
        link.up.extend(holds.1.into_iter().map(Into::into));
        link.up.extend(ack.map(|ack| agent.uplink.word(ack).into()));
        let count = link.up.len();
        self.links_made += 1;
        let index = self.links_made;
        self.links.insert(index, link);
        self.hosts[host].link = Some(index);
        let name = self.hosts[host].name.clone();
        self.say(format!("{name}: connection {index}"));
        for _ in 0..count {
            self.soon(60, Next::Up(index));
        }
    }

    fn talk_on(&mut self, host: usize, index: usize) {
        let time = self.time.ns();
        let Self { hosts, links, .. } = self;
        let (one, Some(link)) = (&mut hosts[host], links.get_mut(&index)) else {
            return;
        };
        let Some(agent) = &mut one.agent else { return };
        let mut said = Vec::new();
        if agent.acks.has_changed().unwrap_or(false) {
            let ack = agent.acks.borrow_and_update().clone();
            said.extend(ack.map(|ack| agent.uplink.word(ack)));
        }
        let (shown, holds) = agent.uplink.holds_after(link.shown_holds);
        link.shown_holds = shown;
        said.extend(holds);
        if link.heartbeat_at_ns <= time {
            link.heartbeat_at_ns = time + HEARTBEAT_NS;
            said.push(agent.uplink.heartbeat(one.clocks.now()));
        }
        let count = said.len();
        link.up.extend(said.into_iter().map(Into::into));
        let mut batches = 0;
        if link.events_up.len() < EVENTS_IN_FLIGHT_MAX {
            let now = one.clocks.now().unix;
            let batch = agent
                .spool
                .hand_out(link.sent_events, now)
                .unwrap_or_default();
            let events = agent.uplink.numbered(&batch, now);
            if let Some(last) = events.last() {
                link.sent_events = last.sequence;
                link.events_up
                    .push_back(stayhand_proto::codec::batch(&events));
                batches = 1;
            }
        }
        for _ in 0..count {
            self.soon(60, Next::Up(index));
        }
        for _ in 0..batches {
            self.soon(60, Next::EventsUp(index));
        }
    }

    pub(crate) fn hang_up(&mut self, index: usize) {
        let Some(link) = self.links.get(&index) else {
            return;
        };
        let (host, verdict) = (link.host, link.verdict);
        if self.hosts[host].link == Some(index) {
            let name = self.hosts[host].name.clone();
            self.say(format!("{name}: connection {index} is gone"));
            if verdict.is_some() {
                self.hosts[host].member.told = verdict;
            }
            self.lose_link(host);
        }
    }
}
