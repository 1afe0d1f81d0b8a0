//! How far each policy is: on which hosts its newest revision is enforced, and why not on the others.

use stayhand_guardrail::{
    grant::Enforcement,
    id::{PolicyName, Revision},
    rollout::{Phase, Rollout, Seen as OnHost, State, Wait},
};
use stayhand_proto::view::{BehindView, PolicyStatusView};

use super::{
    App, Error,
    view::{Seen, on_host},
};
use crate::{
    authz::{Action, Resource},
    operator::Operator,
    store::{StoredHost, StoredPolicy},
};

/// Hosts that one policy names: a screenful or two for people, and with a page of policies still one message.
const BEHIND_MAX: usize = 50;

impl App {
    /// Every policy, or one, as far as its hosts are.
    pub async fn policy_status(
        &self,
        operator: &Operator,
        only: Option<&PolicyName>,
    ) -> Result<Vec<PolicyStatusView>, Error> {
        self.allows(operator, Action::PolicyList, &Resource::Control)?;
        if let Some(name) = only {
            self.allows(
                operator,
                Action::PolicyRead,
                &self.policy_resource(name, None),
            )?;
        }
        let stored = self.store().policies().await?;
        let wanted = stored
            .into_iter()
            .filter(|one| only.is_none_or(|only| one.name == *only))
            .filter(|one| self.shows_policy(operator, &one.name));
        let (hosts, mut all) = (self.all_hosts().await?, Vec::new());
        for one in wanted {
            let status = self.status_of(&one, &hosts).await?;
            // A removed policy is over once every host has let go of it.
            if only.is_some() || !status.removed || status.enforced < status.hosts {
                all.push(status);
            }
        }
        match only {
            Some(name) if all.is_empty() => Err(Error::UnknownPolicy {
                name: name.clone(),
                revision: None,
            }),
            _ => Ok(all),
        }
    }

    async fn status_of(
        &self,
        stored: &StoredPolicy,
        hosts: &[Seen],
    ) -> Result<PolicyStatusView, Error> {
        let rollout = self.store().rollout(&stored.name, stored.revision).await?;
        let meant = match &rollout {
            Some(open) if !open.is_over() => self.meant_for(open).await?,
            _ => vec![self.hosts_of(stored)],
        };
        let concerned: Vec<&Seen> = hosts
            .iter()
            .filter(|(host, _)| meant.iter().any(|one| one.selects(&host.labels)))
            .collect();
        let mut behind: Vec<BehindView> = concerned
            .iter()
            .filter_map(|seen| why_not(stored, rollout.as_ref(), seen))
            .collect();
        let count = |all: usize| u32::try_from(all).unwrap_or(u32::MAX);
        let enforced = count(concerned.len() - behind.len());
        // Those that are not as they should be first.
        behind.sort_by(|a, b| (a.expected, &a.host).cmp(&(b.expected, &b.host)));
        let more = count(behind.len().saturating_sub(BEHIND_MAX));
        behind.truncate(BEHIND_MAX);
        let mut status = PolicyStatusView {
            policy: stored.name.clone(),
            revision: stored.revision,
            rollout: None,
            waits_for: None,
            phase_end: None,
            counted: 0,
            limit: 0,
            hosts: count(concerned.len()),
            enforced,
            behind,
            more,
            removed: stored.is_removed(),
        };
        if let Some(rollout) = rollout {
            self.add_rollout(&mut status, rollout, hosts).await?;
        }
        Ok(status)
    }

    async fn add_rollout(
        &self,
        status: &mut PolicyStatusView,
        rollout: Rollout,
        hosts: &[Seen],
    ) -> Result<(), Error> {
        if rollout.is_running() {
            let now = self.now();
            let seen = self.on_hosts(&rollout, hosts).await?;
            let kept = {
                let mut read = self.store().begin().await?;
                self.kept(&mut read, &rollout).await?
            };
            match rollout.waits(&seen, kept.as_deref(), now) {
                Some(Wait::Until(end)) => status.phase_end = Some(end),
                wait => status.waits_for = wait.map(|wait| wait.to_string()),
            }
            let sum = |of: fn(&OnHost) -> u64| {
                seen.iter()
                    .fold(0u64, |sum, one| sum.saturating_add(of(one)))
            };
            status.counted = sum(|one| one.counted);
            status.limit = rollout.limit(sum(|one| one.baseline), now);
        }
        status.rollout = Some(rollout);
        Ok(())
    }
}

/// Why a host does not enforce the newest revision; none where it does.
fn why_not(
    stored: &StoredPolicy,
    rollout: Option<&Rollout>,
    (host, online): &Seen,
) -> Option<BehindView> {
    let revision = match rollout {
        Some(rollout) => rollout.revision_on(&host.labels),
        None => Some(stored.revision),
    };
    let generation = rollout.map_or(stored.generation, |rollout| rollout.generation);
    let on = on_host(host, *online, generation, false).on.enforcement;
    let turn = rollout.and_then(|rollout| not_its_turn(rollout, revision, host.watches_shadows));
    let problem = problem(
        &on,
        host.was_seen() && host.hooks.is_empty(),
        &host.hooks_gone,
    )
    .or_else(|| {
        let is_there = on == Enforcement::Enforced;
        (!is_there).then(|| late(host, *online))
    });
    let reason = match (turn, &problem) {
        (None, None) => return None,
        (Some(turn), None) => turn,
        (None, Some(problem)) => problem.clone(),
        (Some(turn), Some(problem)) => format!("{turn}; {problem}"),
    };
    Some(BehindView {
        host: host.id.clone(),
        revision,
        reason,
        expected: problem.is_none(),
    })
}

fn not_its_turn(
    rollout: &Rollout,
    revision: Option<Revision>,
    watches_shadows: bool,
) -> Option<String> {
    if revision == Some(rollout.revision) {
        return None;
    }
    let has = match revision {
        Some(revision) => format!("has revision {revision}"),
        None => "does not have the policy".to_owned(),
    };
    let why = match &rollout.state {
        State::Running(Phase::Monitor) if watches_shadows => {
            format!("watches revision {}", rollout.revision)
        }
        State::Running(Phase::Monitor) => {
            "its agent is too old to watch another revision".to_owned()
        }
        State::Running(Phase::Canary) => "not in the canary".to_owned(),
        State::Stopped { .. } | State::Done { .. } => "the roll-out was stopped".to_owned(),
    };
    Some(format!("{has}: {why}"))
}

fn problem(on: &Enforcement, no_hooks: bool, hooks_gone: &[String]) -> Option<String> {
    if let Enforcement::Rejected { reasons } = on {
        return Some(format!("refused: {}", reasons.join("; ")));
    }
    if !hooks_gone.is_empty() {
        return Some(format!(
            "NOT ENFORCED: hooks are gone: {}",
            hooks_gone.join(", ")
        ));
    }
    no_hooks.then(|| "NOT ENFORCED: no hook is attached".to_owned())
}

fn late(host: &StoredHost, online: bool) -> String {
    if !host.was_seen() {
        return "never connected".to_owned();
    }
    let state = match (host.acknowledge_time, host.enforced.0) {
        (None, 0) => "never reported what it enforces".to_owned(),
        (_, at) => format!("still at generation {at} of {}", host.desired),
    };
    if online {
        format!("{state}; it is on its way")
    } else {
        format!("offline since {}; {state}", host.last_seen)
    }
}
