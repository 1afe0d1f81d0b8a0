//! What must hold, whatever happens. Knows nothing of how the agent and the control plane do it: it only looks at what the
//! kernels permit, at what is shown to operators, and at what is stored.

use std::collections::{BTreeMap, BTreeSet};

use stayhand_agent::clock::{Deadlines, Now};
use stayhand_agent_ebpf::abi::code::reason;
use stayhand_guardrail::{
    grant::{Enforcement, GrantState},
    hold::{Hold, HoldPhase},
    host::{Ack, HostState, Phase},
    id::{GrantId, HostId, UserName},
    resource::StateDigest,
    time::UnixMs,
};
use stayhand_proto::view::GrantView;
use uuid::Uuid;

use crate::{
    acts::Asked,
    clock::{MS, true_ns},
    kernel::{Machine, Outcome, Permitted, Target},
    locks::Locks,
    losses::Presence,
    members::Certificates,
    people,
};

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation(pub(crate) String);

macro_rules! must {
    ($holds:expr, $($said:tt)*) => {
        if !$holds {
            return Err(crate::oracle::Violation(format!($($said)*)));
        }
    };
}
pub(crate) use must;

/// What is known of a lease on one host.
#[derive(Clone, Debug)]
struct Leased {
    /// By true time: when it is over, as far as the words that came say
    ends_ns: u64,
    /// The clocks were not set back since the first word
    clocks_are_honest: bool,
    /// It went over a boot: then a host whose clock is ahead ends it sooner
    is_restored: bool,
    user: UserName,
    /// Deadlines in the kernel on the host's present boot; the earliest that were ever seen
    installed: Option<Deadlines>,
}

#[derive(Clone, Debug)]
struct Held {
    host: usize,
    auid: u32,
    target: Target,
    cookie: u64,
    approved_by: BTreeSet<&'static str>,
    released: u32,
    /// Its outcome found no room in the ring, so that nobody but the kernel knows it; the agent says what it knows
    is_unrecorded: bool,
    /// As the control plane showed it last
    shown: Option<(HoldPhase, bool)>,
}

/// A state; sent again it has fewer leases, since some are over meanwhile.
#[derive(Clone, Debug, Default)]
struct Came {
    in_any: BTreeSet<GrantId>,
    in_all: BTreeSet<GrantId>,
    policies: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct OfHost {
    leases: BTreeMap<GrantId, Leased>,
    /// Grants that are shown as removed from this host
    removed: BTreeSet<GrantId>,
    /// Grants that were ever in its kernel
    had: BTreeSet<GrantId>,
    /// Generations that its kernel ever had, or that its agent ever called enforced
    generations: BTreeSet<u64>,
    /// What came, by generation
    states: BTreeMap<u64, Came>,
    /// What the control plane meant, by generation and digest
    pub(crate) meant: BTreeMap<(u64, StateDigest), HostState>,
    /// Grants that were taken back before a state without them came
    pub(crate) withdrawn: BTreeSet<GrantId>,
    /// On this boot
    newest: u64,
    /// Highest one that its agent called enforced
    pub(crate) enforced: u64,
    /// When revoked grants count here no more, as operators were shown it, by true time
    void_ns: BTreeMap<GrantId, u64>,
    /// Its clock was set
    was_set: bool,
    /// Records of earlier boots
    pub(crate) recorded_before: u64,
    pub(crate) power_failed: bool,
    pub(crate) presence: Presence,
}

pub(crate) struct Oracle {
    pub(crate) hosts: Vec<OfHost>,
    grants: BTreeMap<GrantId, GrantView>,
    holds: BTreeMap<u64, Held>,
    /// Requests for grants of which nobody knows what became
    pub(crate) asked: Vec<Asked>,
    pub(crate) certificates: Certificates,
    pub(crate) locks: Locks,
    answers: BTreeMap<Uuid, GrantId>,
    pub(crate) own_grant: bool,
    /// What is over by its clock may not have been a moment ago, and be again
    pub(crate) control_was_set: bool,
    pub(crate) holds_seen: u64,
    pub(crate) crashes: u64,
    /// Deliveries that did not fit
    pub(crate) misfits: u64,
    pub(crate) permitted: u64,
}

impl Oracle {
    pub(crate) fn new(hosts: usize) -> Self {
        Self {
            hosts: vec![OfHost::default(); hosts],
            grants: BTreeMap::new(),
            holds: BTreeMap::new(),
            asked: vec![],
            certificates: Certificates::default(),
            locks: Locks::default(),
            answers: BTreeMap::new(),
            own_grant: false,
            control_was_set: false,
            holds_seen: 0,
            crashes: 0,
            misfits: 0,
            permitted: 0,
        }
    }

    /// A state came to a host.
    pub(crate) fn received(&mut self, host: usize, state: &HostState, time_ns: u64) {
        let grants = state.leases.iter().map(|lease| lease.grant);
        let grants: BTreeSet<GrantId> = grants.collect();
        let policies = state.policies.iter();
        let policies = policies.map(|one| (one.name.to_string(), one.revision.0));
        let states = &mut self.hosts[host].states;
        let came = states.entry(state.generation.0).or_insert_with(|| Came {
            in_any: BTreeSet::new(),
            in_all: grants.clone(),
            policies: policies.collect(),
        });
        came.in_all.retain(|id| grants.contains(id));
        came.in_any.extend(grants);
        for lease in &state.leases {
            let ends_ns = time_ns + lease.left().0 * MS;
            let known = self.hosts[host]
                .leases
                .entry(lease.grant)
                .or_insert(Leased {
                    ends_ns,
                    clocks_are_honest: true,
                    is_restored: false,
                    user: lease.user.clone(),
                    installed: None,
                });
            known.ends_ns = known.ends_ns.max(ends_ns);
        }
    }

    pub(crate) fn clock_stepped(&mut self, host: usize) {
        self.hosts[host].was_set = true;
        for lease in self.hosts[host].leases.values_mut() {
            lease.clocks_are_honest = false;
        }
    }

    pub(crate) fn control_clock_stepped(&mut self) {
        self.control_was_set = true;
        let all = self
            .hosts
            .iter_mut()
            .flat_map(|host| host.leases.values_mut());
        for lease in all {
            lease.clocks_are_honest = false;
        }
    }

    pub(crate) fn rebooted(&mut self, host: usize, recorded: u64) {
        let host = &mut self.hosts[host];
        host.recorded_before += recorded;
        host.power_failed = true;
        host.presence = Presence::default();
        host.newest = 0;
        for lease in host.leases.values_mut() {
            lease.installed = None;
            lease.is_restored = true;
        }
    }

    /// An agent started, and with it perhaps an image.
    pub(crate) fn started(&mut self, host: usize, machine: &Machine) {
        self.hosts[host].presence = Presence::There;
        self.note_installed(host, machine);
    }

    /// An agent ended.
    pub(crate) fn ended(&mut self, host: usize, now: &Now) {
        self.hosts[host].presence = Presence::Away {
            since_boot_ns: now.boot_ns,
        };
    }

    fn note_installed(&mut self, host: usize, machine: &Machine) {
        let of_host = &mut self.hosts[host];
        if let Some(generation) = machine.generation() {
            of_host.generations.insert(generation);
        }
        // Over before its turn came, perhaps.
        let has = machine.leases().into_iter().map(|one| one.grant);
        let has: BTreeSet<GrantId> = has.collect();
        // No host remembers what no state has any more. By a clock that was ahead it was over, and by the one that is right it is
        // not; and what a lock takes comes back, and is timed anew.
        let name: HostId = format!("host-{}", host + 1).parse().unwrap();
        for (id, known) in &mut of_host.leases {
            if !has.contains(id) && (self.control_was_set || self.locks.took(&known.user, &name)) {
                known.installed = None;
            }
        }
        of_host.had.extend(has);
        for lease in machine.live_leases() {
            if let Some(known) = of_host.leases.get_mut(&lease.grant) {
                let before = known.installed.unwrap_or(lease.deadlines);
                known.installed = Some(before.earlier(lease.deadlines));
            }
        }
    }

    /// The reconciler did something.
    pub(crate) fn reconciled(
        &mut self,
        host: usize,
        machine: &Machine,
        said: Option<&Ack>,
        time_ns: u64,
        now: &Now,
    ) -> Result<(), Violation> {
        self.note_installed(host, machine);
        let Some(ack) = said.filter(|ack| ack.phase == Phase::Enforced) else {
            return Ok(());
        };
        let (name, generation) = (host + 1, ack.generation.0);
        self.says_of_digest(host, generation, ack.digest)?;
        // The image of an older one may stand for it: then both say the same.
        if let Some(came) = self.hosts[host].states.get(&generation) {
            for lease in machine.live_leases() {
                must!(
                    came.in_any.contains(&lease.grant),
                    "host-{name} says that {generation} is enforced, and permits by grant {}, which is not in it",
                    lease.grant
                );
            }
            let has = machine.leases().into_iter().map(|one| one.grant);
            let has: BTreeSet<GrantId> = has.collect();
            let is_missing = |id: &&GrantId| {
                let known = &self.hosts[host].leases[id];
                let is_over = known.installed.is_some_and(|ends| ends.passed(now));
                let is_honest = known.clocks_are_honest && !self.control_was_set;
                let is_certain = is_honest && !known.is_restored && !is_over;
                let is_withdrawn = self.hosts[host].withdrawn.contains(id);
                is_certain && known.ends_ns > time_ns && !has.contains(id) && !is_withdrawn
            };
            let missing = came.in_all.iter().find(is_missing);
            must!(
                missing.is_none(),
                "host-{name} says that {generation} is enforced, and has no lease of {missing:?}"
            );
            for (policy, revision) in machine.policies() {
                must!(
                    came.policies.get(&policy) == Some(&revision),
                    "host-{name} says that {generation} is enforced, and has {policy}@{revision}"
                );
            }
        }
        self.hosts[host].generations.insert(generation);
        let of_host = &mut self.hosts[host];
        of_host.enforced = of_host.enforced.max(ack.generation.0);
        Ok(())
    }

    /// After every step: what a kernel would permit now.
    pub(crate) fn watch(
        &mut self,
        host: usize,
        machine: &Machine,
        time_ns: u64,
        now: &Now,
    ) -> Result<(), Violation> {
        let name = host + 1;
        if let Some(has) = machine.generation() {
            let of_host = &mut self.hosts[host];
            must!(
                has >= of_host.newest,
                "host-{name} went back from generation {} to {has}",
                of_host.newest
            );
            of_host.newest = has;
        }
        self.note_installed(host, machine);
        for lease in machine.live_leases() {
            let id = lease.grant;
            let of_host = &self.hosts[host];
            must!(
                !of_host.removed.contains(&id),
                "host-{name} permits by grant {id}, which operators are shown as removed from it"
            );
            let Some(known) = of_host.leases.get(&id) else {
                return Err(Violation(format!(
                    "host-{name} permits by grant {id}, which nobody sent to it"
                )));
            };
            must!(
                !known.clocks_are_honest || time_ns < known.ends_ns,
                "host-{name} permits by grant {id} {} ms after its end by true time",
                (time_ns - known.ends_ns) / MS
            );
            let ends = known.installed.map_or(u64::MAX, |ends| ends.boot_ns);
            must!(
                now.boot_ns < ends,
                "host-{name} permits by grant {id} again, which was over on this boot"
            );
        }
        Ok(())
    }

    /// A call came out of the hook.
    pub(crate) fn came_out(
        &mut self,
        host: usize,
        outcome: &Outcome,
        guards: bool,
        (time_ns, now): (u64, &Now),
    ) -> Result<(), Violation> {
        let who = people::name(outcome.auid);
        if outcome.hold != 0 {
            self.holds.entry(outcome.hold).or_insert(Held {
                host,
                auid: outcome.auid,
                target: outcome.target,
                cookie: outcome.cookie,
                approved_by: BTreeSet::new(),
                released: 0,
                is_unrecorded: false,
                shown: None,
            });
            if outcome.reason == reason::NO_RECORD {
                self.holds
                    .entry(outcome.hold)
                    .and_modify(|held| held.is_unrecorded = true);
            }
        }
        match outcome.permitted {
            None => Ok(()),
            Some(Permitted::Freely) => {
                let open = [people::FREE, people::FREEZE, people::EXTRA];
                must!(
                    !guards || open.contains(&outcome.target),
                    "{who} got to {:?} and no rule was asked",
                    outcome.target
                );
                Ok(())
            }
            Some(Permitted::ByGrant(id)) => {
                self.permitted += 1;
                self.by_grant(host, outcome, id, (time_ns, now))
            }
            Some(Permitted::ByHold(id)) => {
                self.permitted += 1;
                self.by_hold(host, outcome, id)
            }
        }
    }

    fn by_grant(
        &self,
        host: usize,
        outcome: &Outcome,
        id: GrantId,
        (time_ns, now): (u64, &Now),
    ) -> Result<(), Violation> {
        let who = people::name(outcome.auid);
        let of_host = &self.hosts[host];
        let is_honest = !of_host.was_set && !self.control_was_set;
        let void_ns = of_host.void_ns.get(&id).copied().filter(|_| is_honest);
        must!(
            void_ns.is_none_or(|void_ns| time_ns < void_ns),
            "{who} was permitted on host-{} by grant {id}, which was revoked, {} ms after it was void there",
            host + 1,
            (time_ns - void_ns.unwrap_or(time_ns)) / MS
        );
        let lock = self
            .locks
            .covers(who, &format!("host-{}", host + 1), time_ns)
            .filter(|_| !self.control_was_set);
        must!(
            lock.is_none(),
            "{who} was permitted on host-{} by grant {id}, and the host is shown with lock {lock:?}",
            host + 1
        );
        let known = self.hosts[host].leases.get(&id);
        let ends = known.and_then(|lease| lease.installed);
        must!(
            ends.is_some_and(|ends| !ends.passed(now)),
            "{who} was permitted by grant {id}, which is over by one of the clocks: {ends:?} at {now:?}"
        );
        if let Some(view) = self.grants.get(&id) {
            let permission = people::permission(outcome.target);
            let carries = view.grant.permissions.iter();
            let carries = carries
                .map(|one| Some(one.permission.as_str()))
                .any(|one| one == permission);
            must!(
                carries && view.grant.user.as_str() == who,
                "{who} was permitted {:?} by grant {id} of {} for {:?}",
                outcome.target,
                view.grant.user,
                view.grant.permissions
            );
            let is_for = view
                .grant
                .is_for(&format!("host-{}", host + 1).parse().unwrap());
            must!(is_for, "grant {id} is not for host-{}", host + 1);
        }
        Ok(())
    }

    fn by_hold(&mut self, host: usize, outcome: &Outcome, id: u64) -> Result<(), Violation> {
        let who = people::name(outcome.auid);
        let Some(known) = self.holds.get_mut(&id) else {
            return Err(Violation(format!(
                "{who} went on by hold {id:x}, which nobody opened"
            )));
        };
        known.released += 1;
        must!(
            known.released == 1,
            "{who} went on {} times by hold {id:x}",
            known.released
        );
        let same = (known.host, known.auid, known.target, known.cookie)
            == (host, outcome.auid, outcome.target, outcome.cookie);
        must!(
            same,
            "hold {id:x} was for {known:?} and let {outcome:?} go on"
        );
        let needed = if outcome.target == people::TWO { 2 } else { 1 };
        must!(
            !known.approved_by.contains(who),
            "{who} approved hold {id:x}, which is {who}'s own, and it went on"
        );
        // Whoever may do both stages alone is one person and counts once.
        must!(
            known.approved_by.len() >= needed,
            "hold {id:x} went on after the approval of {:?}, and takes {needed}",
            known.approved_by
        );
        Ok(())
    }

    /// Somebody approved, or perhaps did: the control plane died over it.
    pub(crate) fn approved(&mut self, id: u64, by: &'static str) {
        if let Some(held) = self.holds.get_mut(&id) {
            held.approved_by.insert(by);
        }
    }

    /// A request for a grant was answered.
    pub(crate) fn answered(&mut self, request: Option<Uuid>, grant: GrantId) {
        if let Some(request) = request {
            self.answers.insert(request, grant);
        }
    }

    pub(crate) fn live_grants(&self) -> Vec<GrantId> {
        let all = self.grants.values();
        let live = all.filter(|view| view.grant.state == GrantState::Active);
        live.map(|view| view.grant.id).collect()
    }

    /// What operators are shown of grants.
    pub(crate) fn shown_grants(
        &mut self,
        views: Vec<GrantView>,
        at: (u64, UnixMs),
    ) -> Result<(), Violation> {
        must!(!self.own_grant, "somebody made a grant to themselves");
        must!(
            !self.locks.gave_locked,
            "somebody was given something while a lock stood"
        );
        must!(
            views.len() >= self.grants.len(),
            "{} grants are shown, and there were {}",
            views.len(),
            self.grants.len()
        );
        for grant in self.answers.values() {
            must!(
                views.iter().any(|view| view.grant.id == *grant),
                "grant {grant} was promised and is not there"
            );
        }
        for view in views {
            self.shown_grant(&view, at)?;
            self.grants.insert(view.grant.id, view);
        }
        Ok(())
    }

    /// A host whose kernel ever had a grant is named with it, also while nobody reaches it: what is revoked may count there. One that was
    /// put out is shown so.
    pub(crate) fn names_every_host(
        &self,
        view: &GrantView,
        put_out: &BTreeSet<&str>,
    ) -> Result<(), Violation> {
        for (index, of_host) in self.hosts.iter().enumerate() {
            let name = format!("host-{}", index + 1);
            let mut named = view.enforcement.iter().map(|on| on.on.host.as_str());
            let has_to_be =
                of_host.had.contains(&view.grant.id) && !put_out.contains(name.as_str());
            must!(
                !has_to_be || named.any(|named| named == name),
                "grant {} was in the kernel of {name}, which is not named with it",
                view.grant.id
            );
        }
        Ok(())
    }

    fn shown_grant(&mut self, view: &GrantView, at: (u64, UnixMs)) -> Result<(), Violation> {
        let (id, grant) = (view.grant.id, &view.grant);
        if let Some(before) = self.grants.get(&id).map(|view| &view.grant) {
            must!(
                before.state == GrantState::Active || before.state == grant.state,
                "grant {id} was {:?} and is {:?}",
                before.state,
                grant.state
            );
            must!(
                before.expire_time == grant.expire_time && before.revision <= grant.revision,
                "grant {id} changed its end or its revision: {before:?}, {grant:?}"
            );
        }
        for on in &view.enforcement {
            let name = on.on.host.as_str();
            let number: usize = name.trim_start_matches("host-").parse().unwrap();
            let of_host = &mut self.hosts[number - 1];
            if let (Some(void), GrantState::Revoked { .. }) = (on.void_time, &grant.state) {
                let void_ns = true_ns(void);
                let earliest = of_host.void_ns.entry(id).or_insert(void_ns);
                *earliest = void_ns.min(*earliest);
            }
            match on.on.enforcement {
                // What a lock took may come back.
                Enforcement::Removed if grant.state != GrantState::Active => {
                    of_host.removed.insert(id);
                }
                Enforcement::Enforced => {
                    // What is over is in no kernel, whatever is shown of it for a moment.
                    let known = of_host.leases.get(&id).filter(|_| !self.control_was_set);
                    let is_due = known.is_some_and(|known| {
                        known.clocks_are_honest && !known.is_restored && known.ends_ns > at.0
                    });
                    must!(
                        of_host.had.contains(&id) || !is_due || grant.expire_time <= at.1,
                        "grant {id} is shown as enforced on {name}, whose kernel never had it"
                    );
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What operators are shown of a hold.
    pub(crate) fn shown_hold(&mut self, hold: &Hold) -> Result<(), Violation> {
        let id = hold.id.0;
        let (phase, released) = (hold.state.phase(), hold.state.is_released());
        let Some(known) = self.holds.get_mut(&id) else {
            return Err(Violation(format!(
                "hold {id:x} is shown, and nobody opened it"
            )));
        };
        if let Some((before, was_released)) = known.shown {
            let over = was_released || !matches!(before, HoldPhase::Pending | HoldPhase::Approved);
            must!(
                !over || (before, was_released) == (phase, released),
                "hold {id:x} was {before} (went on: {was_released}) and is {phase} (went on: {released})"
            );
        }
        known.shown = Some((phase, released));
        must!(
            !released || known.released == 1 || known.is_unrecorded,
            "hold {id:x} is shown as gone on, and never did"
        );
        if let Some(decided) = hold.state.decided() {
            // Whoever locks themselves, or a host on which they wait, refuses that with everything else.
            let by_lock = phase == HoldPhase::Refused && decided.reason.starts_with("locked: ");
            must!(
                by_lock || decided.by.as_str() != people::name(known.auid),
                "{} answered an own hold {id:x}",
                decided.by
            );
        }
        Ok(())
    }

    /// Holds that went on, and what is shown of each.
    pub(crate) fn released_holds(
        &self,
        host: usize,
    ) -> impl Iterator<Item = (u64, Option<(HoldPhase, bool)>)> {
        let all = self.holds.iter();
        let released = all.filter(move |(_, held)| held.host == host && held.released > 0);
        released.map(|(id, held)| (*id, held.shown))
    }

    pub(crate) fn grants(&self) -> impl Iterator<Item = &GrantView> {
        self.grants.values()
    }

    pub(crate) fn knows_hold(&self, id: u64) -> bool {
        self.holds.contains_key(&id)
    }

    pub(crate) fn had_generation(&self, host: usize, generation: u64) -> bool {
        generation == 0 || self.hosts[host].generations.contains(&generation)
    }
}
