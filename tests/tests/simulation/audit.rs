//! Looks at what the control plane shows and has stored, from time to time and when everything has come to rest.

use std::collections::{BTreeMap, BTreeSet};

use stayhand_control::store::{GrantFilter, StoredHost};
use stayhand_guardrail::{
    event::{DecisionEvent, Event, EventKind},
    grant::{GrantChange, GrantState},
    reason::Reason,
};

use crate::{
    clock::{MS, SECOND},
    mutant::Mutant,
    oracle::{Violation, must},
    world::World,
};

/// More than there are.
const ALL: u32 = 10_000;
/// After how many of a hundred changes somebody looks at everything. More seeds find more than a look after each change, which was a
/// fifth of what a seed took.
pub(crate) const AUDITS: u32 = 33;
/// How old a proof is at most where nothing goes wrong: a heartbeat at half the usual pace, a bookmark, and their ways.
const PROOF_AGE_MAX_NS: u64 = 25 * SECOND;

impl World {
    /// What every kernel would permit now.
    pub(crate) fn watch(&mut self) -> Result<(), Violation> {
        let time_ns = self.time.ns();
        for (index, host) in self.hosts.iter().enumerate() {
            let now = host.clocks.now();
            self.oracle
                .watch(index, &host.place.machine, time_ns, &now)?;
        }
        Ok(())
    }

    /// Something changed.
    pub(crate) async fn audit_now_and_then(&mut self) -> Result<(), Violation> {
        if self.chance(AUDITS) {
            self.audit().await
        } else {
            Ok(())
        }
    }

    /// What operators are shown.
    pub(crate) async fn audit(&mut self) -> Result<(), Violation> {
        let Some(control) = self.control.as_ref().filter(|one| !one.life.is_over()) else {
            return Ok(());
        };
        let hosts = control.app.store().hosts(None, "", ALL).await;
        let filter = GrantFilter {
            show_ended: true,
            user: None,
        };
        let grants = control
            .app
            .grant_list(&control.auditor, &filter, u64::MAX, ALL)
            .await;
        let seen = self.oracle.holds_seen;
        let holds = control.app.store().holds_changed_after(seen, ALL).await;
        let hosts = hosts.unwrap();
        self.check_stored(&hosts)?;
        self.oracle.locks.shown(&hosts);
        let grants = grants.unwrap().into_iter().filter_map(|(_, view)| view);
        let mut grants: Vec<_> = grants.collect();
        if self.mutant == Some(Mutant::AwayHostIsLeftOut) {
            let is_connected = |name: &str| {
                (0..self.hosts.len())
                    .any(|one| self.hosts[one].name == name && self.links.contains_key(&one))
            };
            for view in &mut grants {
                view.enforcement
                    .retain(|on| is_connected(on.on.host.as_str()));
            }
        }
        let put_out = hosts.iter().filter(|host| host.revoked);
        let put_out = put_out.map(|host| host.id.as_str()).collect();
        for view in &grants {
            self.oracle.names_every_host(view, &put_out)?;
        }
        let at = (self.time.ns(), self.control_clocks.now().unix);
        self.oracle.shown_grants(grants, at)?;
        for stored in holds.unwrap() {
            self.oracle.holds_seen = self.oracle.holds_seen.max(stored.changed);
            self.oracle.shown_hold(&stored.hold)?;
        }
        Ok(())
    }

    /// What is acknowledged is stored, numbers have no gaps, and what a host is said to enforce it has enforced.
    pub(crate) fn check_stored(&self, hosts: &[StoredHost]) -> Result<(), Violation> {
        for (index, host) in self.hosts.iter().enumerate() {
            let Some(stored) = hosts.iter().find(|one| one.id.as_str() == host.name) else {
                continue;
            };
            must!(
                stored.events_missing == 0,
                "{}: {} numbers of events are missing",
                host.name,
                stored.events_missing
            );
            must!(
                stored.enforced <= stored.desired
                    && self.oracle.had_generation(index, stored.enforced.0),
                "{} is shown with generation {} of {}, and never had it",
                host.name,
                stored.enforced,
                stored.desired
            );
            let (enforced, digest) = (stored.enforced.0, stored.enforced_digest);
            self.oracle.says_of_digest(index, enforced, digest)?;
            if let Some(agent) = &host.agent {
                let acknowledged = agent.spool.stats().acknowledged;
                must!(
                    acknowledged <= stored.events_through,
                    "{}: events up to {acknowledged} are acknowledged, and {} are stored",
                    host.name,
                    stored.events_through
                );
            }
        }
        Ok(())
    }

    /// Nothing went wrong for a while: everybody agrees.
    pub(crate) async fn at_rest(&mut self) -> Result<(), Violation> {
        self.audit().await?;
        let Some(control) = &self.control else {
            return Err(Violation("the control plane did not come back".into()));
        };
        let hosts = control.app.store().hosts(None, "", ALL).await.unwrap();
        let events = control
            .app
            .store()
            .events_after(0, None, ALL)
            .await
            .unwrap();
        let events: Vec<Event> = events.into_iter().map(|one| one.event).collect();
        for index in 0..self.hosts.len() {
            self.host_at_rest(index, &hosts)?;
            self.nothing_lost(index, &events)?;
        }
        self.grants_at_rest(&events)?;
        self.policies_at_rest().await
    }

    fn host_at_rest(&self, index: usize, hosts: &[StoredHost]) -> Result<(), Violation> {
        let host = &self.hosts[index];
        let name = &host.name;
        let stored = hosts.iter().find(|one| one.id.as_str() == name);
        let (Some(stored), Some(agent)) = (stored, &host.agent) else {
            return Err(Violation(format!("{name} is not connected in the end")));
        };
        let has = agent.uplink.health.now().generation;
        must!(
            has == stored.desired && stored.enforced == stored.desired,
            "{name} is to have {}, says {}, and has {has} in the end",
            stored.desired,
            stored.enforced
        );
        let live = host.place.machine.live_leases();
        must!(live.is_empty(), "{name} permits by {live:?} in the end");
        let age_ns = host.place.machine.proof_age_ns();
        must!(
            self.fresh_for.is_none() || age_ns < PROOF_AGE_MAX_NS,
            "{name} has its newest state, and the last proof of that is {} ms old in the end",
            age_ns / MS
        );
        let pending = host.place.machine.pending();
        must!(pending.is_empty(), "{name} holds {pending:?} in the end");
        let stats = agent.spool.stats();
        must!(
            stats.waiting == 0 && stats.bytes == 0,
            "{name} has events that the control plane has not in the end: {stats:?}"
        );
        Ok(())
    }

    /// Every recorded decision is stored once, or counted as lost.
    fn nothing_lost(&self, index: usize, events: &[Event]) -> Result<(), Violation> {
        let host = &self.hosts[index];
        let own = events
            .iter()
            .filter(|event| event.host.as_str() == host.name);
        let (mut serials, mut lost, mut uncounted) = (BTreeSet::new(), 0, 0);
        // An agent that could keep nothing does not know after its end what the rules of an image were that it had found there.
        let forgets = self.oracle.hosts[index].power_failed || host.place.disk.was_full();
        for event in own {
            match &event.kind {
                EventKind::Decision(decision) => {
                    names_what_decided(decision, forgets)?;
                    let serial = decision.process.tid;
                    must!(
                        serials.insert(serial),
                        "{}: record {serial} is stored twice",
                        host.name
                    );
                }
                EventKind::Lost(one) => {
                    lost += one.count;
                    uncounted += u64::from(one.count == 0);
                }
                _ => {}
            }
        }
        let of_host = &self.oracle.hosts[index];
        let recorded = of_host.recorded_before + host.place.machine.recorded();
        let told = serials.len() as u64 + lost;
        let open = recorded.saturating_sub(told);
        let may_be_open = of_host.power_failed && uncounted > 0;
        must!(
            told <= recorded && (open == 0 || may_be_open),
            "{}: {recorded} decisions were recorded, {} are stored, {lost} counted as lost ({uncounted} losses of unknown size)",
            host.name,
            serials.len()
        );
        let permits_seen = !of_host.power_failed && lost == 0;
        for (id, shown) in self.oracle.released_holds(index) {
            must!(
                !permits_seen || shown.is_some_and(|(_, released)| released),
                "hold {id:x} went on, and is shown as {shown:?}"
            );
        }
        Ok(())
    }

    /// Every grant has exactly one beginning and one end, and each has its record.
    fn grants_at_rest(&self, events: &[Event]) -> Result<(), Violation> {
        let mut changes: BTreeMap<_, Vec<GrantChange>> = BTreeMap::new();
        for event in events {
            if let EventKind::GrantChanged(changed) = &event.kind {
                changes
                    .entry(changed.grant)
                    .or_default()
                    .push(changed.change);
            }
        }
        must!(
            changes.len() == self.oracle.grants().count(),
            "there are {} grants and records of {}",
            self.oracle.grants().count(),
            changes.len()
        );
        for view in self.oracle.grants() {
            let id = view.grant.id;
            let end = match &view.grant.state {
                GrantState::Active => {
                    return Err(Violation(format!("grant {id} is still active in the end")));
                }
                GrantState::Ended { .. } => GrantChange::Ended,
                GrantState::Revoked { .. } => GrantChange::Revoked,
            };
            must!(
                changes.get(&id) == Some(&vec![GrantChange::Created, end]),
                "grant {id} is {end:?}, and its records are {:?}",
                changes.get(&id)
            );
        }
        Ok(())
    }

    /// Every kernel has the revisions that count on its host.
    async fn policies_at_rest(&self) -> Result<(), Violation> {
        let Some(control) = &self.control else {
            return Ok(());
        };
        for host in &self.hosts {
            let in_force = control.app.store().in_force().await.unwrap();
            let (counts, _) = in_force.on(&host.place.labels);
            let selected = counts.iter().filter(|one| {
                let policy = stayhand_guardrail::policy::parse(&one.source).unwrap();
                policy.hosts.selects(&host.place.labels)
            });
            let wanted: BTreeMap<String, u64> = selected
                .map(|one| (one.name.to_string(), one.revision.0))
                .collect();
            let has = host.place.machine.policies();
            must!(
                has == wanted,
                "{} has {has:?} and is to have {wanted:?}",
                host.name
            );
        }
        Ok(())
    }
}

/// Whoever reads of a decision is told the rule with its revision, and the grant or the hold that it came to.
fn names_what_decided(decision: &DecisionEvent, forgets: bool) -> Result<(), Violation> {
    use Reason::{
        Grant, HoldApproved, HoldCancelled, HoldLapsed, HoldPending, HoldRefused, HoldTimedOut,
        NoGrant, RuleDeny,
    };
    let (rule, grant, hold) = match decision.reason {
        Grant => (true, true, false),
        NoGrant | RuleDeny => (true, false, false),
        HoldPending | HoldApproved | HoldRefused | HoldTimedOut | HoldCancelled | HoldLapsed => {
            (true, false, true)
        }
        _ => (false, false, false),
    };
    must!(
        (!rule || forgets || decision.rule.is_some())
            && (!grant || decision.grant.is_some())
            && (!hold || decision.hold.is_some())
            && decision.generation.0 > 0,
        "a decision does not name what decided it: {decision:?}"
    );
    Ok(())
}
