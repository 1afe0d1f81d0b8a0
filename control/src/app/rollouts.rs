//! Roll-outs: begun with the revision that they bring, moved on by our own clock and by what hosts are counted to have done,
//! stopped by what is wrong. A step, its audit record, and the generation that publishes it are one transaction.

use std::collections::BTreeMap;

use stayhand_guardrail::{
    event::{DecisionEvent, RuleRef},
    grant::Enforcement,
    id::{HostId, PolicyName, Revision},
    policy::{HostSelector, Versioned},
    rollout::{self, BASELINE, HOUR, Plan, Progress, Rollout, Seen as OnHost, State, Step},
    time::{DurationMs, UnixMs},
};

use super::{
    App, Error,
    policies::takes_nothing_in_use,
    together::{self, Candidate},
    view::{Seen, on_host},
};
use crate::{
    authz::Action,
    operator::Operator,
    store::{Counted, StoredPolicy, Write},
};

/// What somebody does to a roll-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RolloutChange {
    /// Back to the revision before, everywhere
    Stop,
    /// The stopped phase once more
    Resume,
    /// The next phase now
    Advance {
        /// The one that it ends: whoever asks twice skips none
        from: rollout::Phase,
    },
}

impl App {
    /// Stops, resumes or advances the roll-out of a policy.
    pub async fn change_rollout(
        &self,
        operator: &Operator,
        policy: PolicyName,
        change: RolloutChange,
        reason: String,
    ) -> Result<Rollout, Error> {
        let resource = self.policy_resource(&policy, None);
        self.allows(operator, Action::PolicyRollOut, &resource)?;
        // What was approved is the whole of it: its phases, and that it ends where it was stopped.
        if change != RolloutChange::Stop && self.changes.is_some() {
            return Err(Error::RolloutApproved(policy));
        }
        let seen = self.store().open_rollout(&policy).await?;
        let seen = seen.ok_or_else(|| Error::NoRollout(policy.clone()))?;
        let hosts = self.on_hosts(&seen, &self.all_hosts().await?).await?;
        let mut write = self.store().begin().await?;
        let open = write.open_rollout(&policy).await?;
        let open = open.ok_or_else(|| Error::NoRollout(policy.clone()))?;
        if let RolloutChange::Advance { from } = change
            && open.is_running()
            && (open.phase() != Some(from) || open.state != seen.state)
        {
            return Err(Error::RolloutMoved {
                policy,
                is: open.state.as_str(),
                asked: from.as_str(),
            });
        }
        let (by, now) = (operator.user(), self.now());
        let step = match change {
            RolloutChange::Stop => open.stop(by, &reason, now)?,
            RolloutChange::Resume => open.resume(by, &reason, now)?,
            RolloutChange::Advance { .. } => open.advance(&hosts, by, &reason, now)?,
        };
        if change != RolloutChange::Stop {
            self.still_fits(&mut write, &step.rollout).await?;
        }
        let rollout = carry_out(&mut write, step, now).await?;
        write.commit().await?;
        self.reload_policies().await?;
        tracing::info!(policy = %rollout.policy, revision = %rollout.revision, state = rollout.state.as_str(), by = %operator.user(), "roll-out changed");
        Ok(rollout)
    }

    /// Looks at every roll-out that runs: hosts and time move it on, or stop it.
    pub(super) async fn look_at_rollouts(&self) -> Result<(), Error> {
        let open = self.store().open_rollouts().await?;
        let running: Vec<Rollout> = open.into_iter().filter(Rollout::is_running).collect();
        if running.is_empty() {
            return Ok(());
        }
        let all = self.all_hosts().await?;
        for rollout in running {
            let hosts = self.on_hosts(&rollout, &all).await?;
            let now = self.now();
            // Nothing is locked where nothing happens.
            if rollout.clone().look(&hosts, None, now).is_some() {
                self.look_again(rollout, &hosts, now).await?;
            }
        }
        Ok(())
    }

    /// Drops what no roll-out that begins from now on looks at.
    pub(super) async fn drop_old_counts(&self, now: UnixMs) -> Result<(), Error> {
        let before = rollout::hour(UnixMs(now.0.saturating_sub(BASELINE.0)));
        let mut write = self.store().begin().await?;
        write.drop_counts_before(before).await?;
        write.commit().await?;
        Ok(())
    }

    /// The same where nobody can change anything meanwhile.
    async fn look_again(&self, seen: Rollout, hosts: &[OnHost], now: UnixMs) -> Result<(), Error> {
        let mut write = self.store().begin().await?;
        if write.open_rollout(&seen.policy).await?.as_ref() != Some(&seen) {
            // Somebody did something to it: what hosts did is to be seen anew.
            return Ok(());
        }
        let kept = self.kept(&mut write, &seen).await?;
        let Some(step) = seen.look(hosts, kept.as_deref(), now) else {
            return Ok(());
        };
        let moves = step.moves;
        let rollout = carry_out(&mut write, step, now).await?;
        write.commit().await?;
        if moves {
            self.reload_policies().await?;
        }
        if let State::Stopped { reason, .. } = &rollout.state {
            tracing::error!(policy = %rollout.policy, revision = %rollout.revision, reason, "roll-out stopped; every host goes back to the revision before");
        } else if moves {
            tracing::info!(policy = %rollout.policy, revision = %rollout.revision, state = rollout.state.as_str(), "roll-out goes on");
        }
        Ok(())
    }

    /// What besides hosts and time keeps a roll-out from its end: grants that the new revision would take away.
    pub(super) async fn kept(
        &self,
        write: &mut Write<'_>,
        rollout: &Rollout,
    ) -> Result<Option<String>, Error> {
        match self.takes_nothing(write, rollout).await {
            Ok(()) => Ok(None),
            Err(error @ (Error::PermissionInUse { .. } | Error::ProfileInUse { .. })) => {
                Ok(Some(error.to_string()))
            }
            Err(error) => Err(error),
        }
    }

    async fn takes_nothing(&self, write: &mut Write<'_>, rollout: &Rollout) -> Result<(), Error> {
        match self.policies().find(&rollout.policy, rollout.revision) {
            Some(policy) => takes_nothing_in_use(write, policy, self.now())
                .await
                .map(|_| ()),
            // What cannot be read takes away nothing that anybody could name.
            None => Ok(()),
        }
    }

    /// Grants and other policies may have changed while it was stopped.
    async fn still_fits(&self, write: &mut Write<'_>, rollout: &Rollout) -> Result<(), Error> {
        let stored = self.stored(&rollout.policy, rollout.revision).await?;
        let policy = together::read(&stored).map(|one| one.policy);
        let policy = policy.ok_or_else(|| Error::UnknownPolicy {
            name: rollout.policy.clone(),
            revision: Some(rollout.revision),
        })?;
        let granted = takes_nothing_in_use(write, &policy, self.now()).await?;
        let candidate = Candidate {
            new: Versioned {
                revision: rollout.revision,
                policy,
            },
            bytes: stored.source.len(),
            is_rolled_out: rollout.is_running(),
        };
        together::check(write.in_force().await?, candidate, granted).await
    }

    /// What the hosts of its phase did.
    pub(super) async fn on_hosts(
        &self,
        rollout: &Rollout,
        hosts: &[Seen],
    ) -> Result<Vec<OnHost>, Error> {
        let counts = self.store().rollout_counts(&rollout.policy).await?;
        let meant = self.meant_for(rollout).await?;
        let of_phase = hosts.iter().filter(|(host, _)| {
            rollout.concerns(&host.labels) && meant.iter().any(|one| one.selects(&host.labels))
        });
        Ok(of_phase
            .map(|seen| on_one(rollout, seen, &counts))
            .collect())
    }

    /// Where either revision counts: the new one may name other hosts than the one before.
    pub(super) async fn meant_for(&self, rollout: &Rollout) -> Result<Vec<HostSelector>, Error> {
        let mut meant = vec![self.counts_on(&rollout.policy, rollout.revision).await?];
        if rollout.before.0 != 0 {
            meant.push(self.counts_on(&rollout.policy, rollout.before).await?);
        }
        Ok(meant)
    }

    async fn counts_on(
        &self,
        policy: &PolicyName,
        revision: Revision,
    ) -> Result<HostSelector, Error> {
        if let Some(known) = self.policies().find(policy, revision) {
            return Ok(known.hosts.clone());
        }
        Ok(self.hosts_of(&self.stored(policy, revision).await?))
    }

    pub(super) async fn stored(
        &self,
        name: &PolicyName,
        revision: Revision,
    ) -> Result<StoredPolicy, Error> {
        let found = self.store().policy(name, Some(revision)).await?;
        found.ok_or_else(|| Error::UnknownPolicy {
            name: name.clone(),
            revision: Some(revision),
        })
    }
}

fn on_one(rollout: &Rollout, (host, online): &Seen, counts: &BTreeMap<HostId, Counted>) -> OnHost {
    let watches = rollout.phase() != Some(rollout::Phase::Monitor) || host.watches_shadows;
    // What is not heard of, or has lost its hooks, tells nothing of what the revision does.
    let watches = watches && *online && !host.hooks.is_empty() && host.hooks_gone.is_empty();
    let on = on_host(host, *online, rollout.generation, false).on;
    let progress = match on.enforcement {
        Enforcement::Enforced if watches => Progress::Enforced,
        Enforcement::Rejected { reasons } => Progress::Refused {
            reason: reasons.join("; "),
        },
        _ => Progress::OnItsWay,
    };
    let Counted { counted, baseline } = counts.get(&host.id).copied().unwrap_or_default();
    OnHost {
        host: host.id.clone(),
        progress,
        counted,
        baseline,
    }
}

/// Begins one, in the transaction in which its revision is written. `before` is what hosts go on with, and since when.
pub(super) async fn begin(
    write: &mut Write<'_>,
    stored: &StoredPolicy,
    plan: Plan,
    before: Option<(Revision, UnixMs)>,
) -> Result<(), Error> {
    let now = stored.create_time;
    let (before, since) = before.unwrap_or((Revision(0), now));
    let from = rollout::hour(UnixMs(now.0.saturating_sub(BASELINE.0)).max(since));
    write.begin_counts(&stored.name, before, from).await?;
    let begun = UnixMs(from.saturating_mul(HOUR.0));
    let rollout = Rollout {
        policy: stored.name.clone(),
        revision: stored.revision,
        before,
        state: State::Running(plan.first()),
        plan,
        by: stored.applied_by.clone(),
        create_time: now,
        period: DurationMs(now.since(begun).0.max(HOUR.0)),
        since: now,
        watched_since: None,
        generation: stored.generation,
    };
    write.put_rollout(&rollout).await?;
    Ok(())
}

/// Writes a step with what belongs to it.
pub(super) async fn carry_out(
    write: &mut Write<'_>,
    step: Step,
    now: UnixMs,
) -> Result<Rollout, Error> {
    let Step {
        mut rollout,
        record,
        moves,
    } = step;
    if moves {
        rollout.generation = write.publish(None).await?;
    }
    // What stopped it stays to be seen until its phase begins once more.
    if moves && rollout.is_running() {
        write.reset_counts(&rollout.policy).await?;
    }
    write.put_rollout(&rollout).await?;
    if rollout.is_over() {
        write.end_counts(&rollout.policy).await?;
    }
    if let Some(record) = record {
        write.audit_policy(record, now).await?;
    }
    Ok(rollout)
}

/// Counts what restricts, by the time at which it came here.
pub(super) async fn count(
    write: &mut Write<'_>,
    host: &HostId,
    decision: &DecisionEvent,
    now: UnixMs,
) -> Result<(), Error> {
    let Some(rule) = rollout::restricting(decision).cloned() else {
        return Ok(());
    };
    write
        .count_restriction(&rule, host, rollout::hour(now))
        .await?;
    let RuleRef {
        policy, revision, ..
    } = &rule;
    let open = write.open_rollout(policy).await?;
    if open.is_some_and(|rollout| rollout.counts(*revision)) {
        write.count_for_rollout(policy, host).await?;
    }
    Ok(())
}
