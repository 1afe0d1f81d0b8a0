//! What operators do, and what goes wrong.

use std::sync::atomic::Ordering;

use rand::RngExt as _;
use stayhand_control::{
    app::{ApplyPolicy, CreateGrant, Error, RemovePolicy},
    operator::Operator,
};
use stayhand_guardrail::{host::Answer, id::GrantId, lock::Target, time::DurationMs};
use uuid::Uuid;

use crate::{
    clock::{MS, SECOND},
    hosts::AWAY_MS,
    mutant::Mutant,
    oracle::Violation,
    people,
    world::{Next, World},
};

const WHY: &str = "simulated";

/// What somebody asked for and is not sure to have got: asked again, it must not be there twice.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) by: &'static str,
    pub(crate) create: CreateGrant,
}

impl World {
    pub(crate) async fn operate(&mut self) -> Result<(), Violation> {
        if !self.is_active {
            return Ok(());
        }
        self.again(600, Next::Operator);
        self.control_maybe_ends();
        let really = people::OPERATORS[self.random.random_range(0..people::OPERATORS.len())];
        let lies = self.mutant == Some(Mutant::IdentityLies) && really == "alice";
        let shown = if lies { "frank" } else { really };
        let Some(control) = &self.control else {
            return Ok(());
        };
        let operator = match control.operator(shown).await {
            Ok(operator) => operator,
            Err(refusal) => {
                let line = format!("{really}: refused: {refusal}");
                self.say(line);
                return Ok(());
            }
        };
        let done = match self.random.random_range(0..100) {
            0..30 => self.create_grant(shown, really, &operator).await,
            30..45 => self.revoke_grant(&operator).await,
            45..75 => self.answer_hold(really, &operator).await,
            75..86 => self.apply_policy(&operator).await,
            86..91 => self.set_flag(&operator).await,
            91..93 if self.lifetime.is_some() => self.revoke_host(&operator).await,
            93..95 => self.lock(&operator).await,
            95..98 => self.unlock(&operator).await,
            _ => self.remove_policy(&operator).await,
        };
        let dead = self.control.as_ref().is_none_or(|one| one.life.is_over());
        let line = match (&done, dead) {
            (Ok(what) | Err(what), true) => {
                format!("{really}: {what} (and the control plane died)")
            }
            (Ok(what), _) => format!("{really}: {what}"),
            (Err(what), _) => format!("{really}: not done: {what}"),
        };
        self.say(line);
        if dead {
            return Ok(());
        }
        self.poke();
        self.audit_now_and_then().await
    }

    async fn create_grant(
        &mut self,
        shown: &'static str,
        really: &'static str,
        operator: &Operator,
    ) -> Result<String, String> {
        let again = self
            .oracle
            .asked
            .iter()
            .find(|one| one.by == shown)
            .cloned();
        let is_new = again.is_none();
        let asked = match again {
            Some(asked) if self.chance(70) => asked,
            _ => Asked {
                by: shown,
                create: self.grant_to_create(),
            },
        };
        let Some(control) = &self.control else {
            return Err("nobody there".into());
        };
        let made = control
            .app
            .create_grant(operator, asked.create.clone())
            .await;
        let is_alive = !control.life.is_over();
        let id = asked.create.request_id;
        if is_new && made.is_ok() {
            let now = self.control_clocks.now().unix;
            let stood = self.oracle.locks.stands_for(&asked.create.user, now);
            self.oracle.locks.gave_locked |= stood && !self.oracle.control_was_set;
        }
        if really == asked.create.user.as_str() && made.is_ok() {
            self.oracle.own_grant = true;
        }
        match made {
            Ok(view) if is_alive => {
                self.oracle.asked.retain(|one| one.create.request_id != id);
                self.oracle.answered(id, view.grant.id);
                let grant = view.grant;
                Ok(format!(
                    "grant {} of {} to {} for {}",
                    short(grant.id),
                    grant.permissions[0],
                    grant.user,
                    asked.create.duration
                ))
            }
            Ok(_) | Err(Error::Store(_)) => {
                if self
                    .oracle
                    .asked
                    .iter()
                    .all(|one| one.create.request_id != id)
                {
                    self.oracle.asked.push(asked);
                }
                Err("a grant, perhaps".into())
            }
            Err(error) => {
                self.oracle.asked.retain(|one| one.create.request_id != id);
                Err(format!("a grant: {error}"))
            }
        }
    }

    fn grant_to_create(&mut self) -> CreateGrant {
        let user = people::GUARDED[self.random.random_range(0..people::GUARDED.len())];
        let permission = ["db", "vault"][self.random.random_range(0..2)];
        let hosts = if self.chance(50) {
            vec![]
        } else {
            let host = self.random_host();
            vec![self.hosts[host].place.host.clone()]
        };
        let bits: u128 = self.random.random();
        CreateGrant {
            user: user.parse().unwrap(),
            permissions: vec![permission.into()],
            profile: None,
            hosts,
            duration: DurationMs::from_secs(self.random.random_range(2..15)),
            reason: WHY.into(),
            request_id: Some(Uuid::from_u128(bits)),
            validate_only: false,
        }
    }

    async fn revoke_grant(&mut self, operator: &Operator) -> Result<String, String> {
        let live = self.oracle.live_grants();
        if live.is_empty() {
            return Err("nothing to revoke".into());
        }
        let id = live[self.random.random_range(0..live.len())];
        let Some(control) = &self.control else {
            return Err("nobody there".into());
        };
        let done = control.app.revoke_grant(operator, id, WHY.into(), "").await;
        done.map(|_| format!("revoked {}", short(id)))
            .map_err(|error| format!("revoke {}: {error}", short(id)))
    }

    async fn answer_hold(
        &mut self,
        really: &'static str,
        operator: &Operator,
    ) -> Result<String, String> {
        let Some(control) = &self.control else {
            return Err("nobody there".into());
        };
        let open = control.app.hold_list(operator, false, u64::MAX, 16).await;
        let open = open.map_err(|error| error.to_string())?;
        if open.is_empty() {
            return Err("nothing is held".into());
        }
        let open: Vec<_> = open.into_iter().filter_map(|(_, seen)| seen).collect();
        if open.is_empty() {
            return Err("nothing is shown".into());
        }
        let hold = &open[self.random.random_range(0..open.len())].hold;
        let answer = if self.random.random_range(0..4) == 0 {
            Answer::Refused
        } else {
            Answer::Approved
        };
        let id = hold.id;
        let done = control
            .app
            .answer_hold(operator, id, answer, WHY.into())
            .await;
        let in_doubt = matches!(done, Err(Error::Store(_)));
        if answer == Answer::Approved && (done.is_ok() || in_doubt) {
            self.oracle.approved(id.0, really);
        }
        let word = format!("{answer:?} {id}");
        done.map(|hold| format!("{word}: {}", hold.hold.state.phase()))
            .map_err(|error| format!("{word}: {error}"))
    }

    async fn apply_policy(&mut self, operator: &Operator) -> Result<String, String> {
        self.versions += 1;
        let extra = self.versions > 1 && self.chance(40);
        let source = if extra {
            people::extra(self.versions)
        } else {
            people::prod(self.versions, self.lax)
        };
        let Some(control) = &self.control else {
            return Err("nobody there".into());
        };
        let apply = ApplyPolicy {
            source,
            validate_only: false,
            etag: String::new(),
            rollout: None,
            stop_reason: None,
        };
        let done = control.app.apply_policy(operator, apply).await;
        done.map(|done| format!("policy {}@{}", done.policy.name, done.policy.revision))
            .map_err(|error| format!("policy: {error}"))
    }

    async fn set_flag(&mut self, operator: &Operator) -> Result<String, String> {
        let (set, ttl) = (self.chance(70), self.random.random_range(3..15));
        let Some(control) = &self.control else {
            return Err("nobody there".into());
        };
        let flag = "freeze".parse().unwrap();
        let done = if set {
            let ttl = DurationMs::from_secs(ttl);
            control
                .app
                .set_flag(operator, flag, ttl, WHY.into())
                .await
                .map(drop)
        } else {
            control.app.clear_flag(operator, flag, WHY.into()).await
        };
        done.map(|()| format!("flag set: {set}"))
            .map_err(|error| format!("flag: {error}"))
    }

    async fn lock(&mut self, operator: &Operator) -> Result<String, String> {
        let user = people::GUARDED[self.random.random_range(0..people::GUARDED.len())];
        let host = self.random_host();
        let host = self.hosts[host].place.host.clone();
        let target = match self.random.random_range(0..3) {
            0 => Target::new(Some(user.parse().unwrap()), None),
            1 => Target::new(None, Some(host)),
            _ => Target::new(Some(user.parse().unwrap()), Some(host)),
        };
        let target = target.unwrap();
        let ttl = self
            .chance(70)
            .then(|| DurationMs::from_secs(self.random.random_range(1..6)));
        let Some(control) = &self.control else {
            return Err("nobody there".into());
        };
        self.oracle.locks.asked_for(target.clone());
        let made = control
            .app
            .create_lock(operator, target, ttl, WHY.into())
            .await;
        let lock = made.map_err(|error| format!("a lock: {error}"))?;
        let told = format!("lock {} on {}", lock.id, lock.target);
        if !control.life.is_over() {
            let hosts = control.app.store().hosts(None, "", u32::MAX).await;
            let desired = hosts.unwrap_or_default().into_iter();
            let desired = desired.map(|one| (one.id, one.desired)).collect();
            if self.mutant == Some(Mutant::LockIsForgotten) {
                let removed = control.app.remove_lock(operator, lock.id, WHY.into()).await;
                removed.map_err(|error| format!("a lock: {error}"))?;
            }
            self.oracle.locks.made(lock, desired);
        }
        Ok(told)
    }

    async fn unlock(&mut self, operator: &Operator) -> Result<String, String> {
        let Some(id) = self.oracle.locks.any() else {
            return Err("nothing is locked".into());
        };
        let Some(control) = &self.control else {
            return Err("nobody there".into());
        };
        // Before it is asked for: whoever dies over it may have done it.
        self.oracle.locks.may_be_gone(id);
        let removed = control.app.remove_lock(operator, id, WHY.into()).await;
        removed
            .map(|()| format!("lock {id} is removed"))
            .map_err(|error| format!("unlock {id}: {error}"))
    }

    async fn remove_policy(&mut self, operator: &Operator) -> Result<String, String> {
        let Some(control) = &self.control else {
            return Err("nobody there".into());
        };
        let remove = RemovePolicy {
            name: "extra".parse().unwrap(),
            reason: WHY.into(),
            validate_only: false,
            etag: String::new(),
        };
        let done = control.app.remove_policy(operator, remove).await;
        done.map(|_| "policy extra removed".to_owned())
            .map_err(|error| format!("remove: {error}"))
    }

    /// Something goes wrong.
    pub(crate) fn fault(&mut self) {
        if !self.is_active {
            return;
        }
        self.again(1_200, Next::Fault);
        if !self.misfortune(800) {
            return;
        }
        let host = self.random_host();
        match self.random.random_range(0..12) {
            0 => self.kill_agent(host),
            1 | 2 => self.reboot(host),
            3 => {
                let by_ms = self.random.random_range(-12_000..12_000);
                self.hosts[host].clocks.step(by_ms);
                self.oracle.clock_stepped(host);
                let name = self.hosts[host].name.clone();
                self.say(format!("{name}: clock set by {by_ms} ms"));
            }
            4 => {
                // Never far off: whatever it lengthens is to be over when the world is at rest.
                let to_ms = self.random.random_range(-6_000..6_000);
                let by_ms = to_ms - self.control_clocks.wrong_ms();
                self.control_clocks.step(by_ms);
                self.oracle.control_clock_stepped();
                self.say(format!("control plane: clock set by {by_ms} ms"));
            }
            5 => {
                self.hosts[host].place.disk.fill();
                let name = self.hosts[host].name.clone();
                self.say(format!("{name}: disk is full"));
                self.soon(8_000, Next::DiskHasRoom(host));
            }
            6 => {
                self.control_is_full.store(true, Ordering::SeqCst);
                self.say("control plane: disk is full");
                self.soon(6_000, Next::ControlHasRoom);
            }
            7 => self.pause(host),
            8 | 9 => self.stall(host),
            10 => self.cut(host),
            _ => {
                if let Some(control) = &self.control {
                    control.life.end();
                }
            }
        }
    }

    pub(crate) fn disk_has_room(&mut self, host: usize) {
        self.hosts[host].place.disk.make_room();
        let name = self.hosts[host].name.clone();
        self.say(format!("{name}: disk has room"));
    }

    /// Power fails: memory is gone, and what was not synced may be.
    fn reboot(&mut self, host: usize) {
        self.kill_agent(host);
        let recorded = self.hosts[host].place.machine.recorded();
        let one = &mut self.hosts[host];
        one.place.disk.power_fails(&mut self.random);
        one.place.machine.boot();
        one.boots += 1;
        one.paused_until_ns = 0;
        let bits: u128 = self.random.random();
        one.place.boot_id = Uuid::from_u128(bits);
        let name = one.name.clone();
        self.oracle.rebooted(host, recorded);
        self.oracle.crashes += 1;
        self.say(format!("{name}: power failed"));
    }

    /// A virtual machine is not run for a while.
    fn pause(&mut self, host: usize) {
        let seconds = self.random.random_range(1..12);
        let until_ns = self.time.ns() + seconds * SECOND;
        let one = &mut self.hosts[host];
        if one.paused_until_ns > self.time.ns() {
            return;
        }
        one.clocks.pause();
        one.paused_until_ns = until_ns;
        let name = one.name.clone();
        self.say(format!("{name}: paused for {seconds} s"));
        self.after(seconds * SECOND, Next::Resume(host));
    }

    pub(crate) fn resume(&mut self, host: usize) {
        self.hosts[host].clocks.resume();
        let name = self.hosts[host].name.clone();
        self.say(format!("{name}: goes on"));
    }

    /// Nothing gets through for a while, and nobody knows.
    fn stall(&mut self, host: usize) {
        let Some(index) = self.hosts[host].link else {
            return;
        };
        let until_ns = self.time.ns() + self.random.random_range(100..9_000) * MS;
        if let Some(link) = self.links.get_mut(&index) {
            link.stalled_until_ns = until_ns;
        }
        let name = self.hosts[host].name.clone();
        self.say(format!("{name}: connection {index} stalls"));
    }

    /// The agent finds its connection broken; the control plane does not notice, and may still read what was sent.
    fn cut(&mut self, host: usize) {
        let Some(index) = self.hosts[host].link else {
            return;
        };
        let keep = self.random.random_range(0..4);
        if let Some(link) = self.links.get_mut(&index) {
            link.up.truncate(keep);
            link.events_up.truncate(keep);
        }
        self.hang_up(index);
    }

    /// From here on nothing goes wrong any more, and nobody does anything.
    pub(crate) fn calm(&mut self) {
        self.is_active = false;
        for host in &self.hosts {
            host.place.disk.make_room();
            if let Some(agent) = &host.agent {
                agent.life.spare();
            }
        }
        self.control_is_full.store(false, Ordering::SeqCst);
        if let Some(control) = &self.control {
            control.life.spare();
        }
        for link in self.links.values_mut() {
            link.stalled_until_ns = 0;
        }
        for host in 0..self.hosts.len() {
            if self.hosts[host].agent.is_none() {
                self.soon(AWAY_MS, Next::AgentStarts(host));
            }
        }
        self.say("calm");
    }
}

fn short(id: GrantId) -> String {
    id.to_string()[..8].to_owned()
}
