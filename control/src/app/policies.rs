//! Policies: checked alone and together, then an immutable revision.

use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError},
};

use stayhand_guardrail::{
    approval::Progress,
    grant::Grant,
    id::{PolicyName, Revision, UserName},
    key::PermissionRef,
    policy::{self, Diagnostic, HostSelector, Policy, Versioned, floor},
    proposal::Proposal,
    rollout::{Plan, Rollout, State},
    text::safe,
    time::UnixMs,
};
use stayhand_proto::view::PolicyView;

use super::{
    App, Error, PolicySet, cases, ids, profiles, rollouts,
    together::{self, Candidate},
    view::{self, Seen},
};
use crate::{
    authz::{Action, Resource},
    operator::Operator,
    store::{Cause, StoredPolicy, Write},
};

/// What somebody wants applied.
#[derive(Debug)]
pub struct ApplyPolicy {
    /// The YAML document
    pub source: String,
    /// Check everything, change nothing
    pub validate_only: bool,
    /// Version that this one replaces; empty = whatever there is
    pub etag: String,
    /// How it comes to the hosts; none = to all of them at once
    pub rollout: Option<Plan>,
    /// Stop a roll-out of the policy that runs, for this reason
    pub stop_reason: Option<String>,
}

/// What became of it.
#[derive(Debug)]
pub struct Applied {
    /// The revision that counts now, or would count
    pub policy: PolicyView,
    /// Whether it is new
    pub changed: bool,
    /// Findings that do not keep it from counting
    pub warnings: Vec<Diagnostic>,
    /// What waits for approval, instead of a changed policy
    pub proposal: Option<Proposal>,
}

impl App {
    /// Makes a document the newest revision of the policy that it names.
    pub async fn apply_policy(
        &self,
        operator: &Operator,
        apply: ApplyPolicy,
    ) -> Result<Applied, Error> {
        let ApplyPolicy {
            source,
            validate_only,
            etag,
            rollout: plan,
            stop_reason,
        } = apply;
        if let Some(reason) = &stop_reason {
            ids::reason(reason)?;
        }
        let (parsed, source, warnings) = self.tried(operator, source).await?;
        if stop_reason.is_some() {
            let resource = self.policy_resource(&parsed.name, None);
            self.allows(operator, Action::PolicyRollOut, &resource)?;
        }
        let mut write = self.store().begin().await?;
        let newest = write.policies().await?;
        let before = newest.iter().find(|one| one.name == parsed.name).cloned();
        check_etag(&parsed.name, before.as_ref(), &etag)?;
        let open = write.open_rollout(&parsed.name).await?;
        let open = match (open, stop_reason) {
            (Some(running), Some(reason)) if running.is_running() => {
                let step = running.stop(operator.user(), &reason, self.now())?;
                Some(rollouts::carry_out(&mut write, step, self.now()).await?)
            }
            (open, _) => open,
        };
        let same = before.as_ref().filter(|before| before.source == source);
        if let Some(same) = same.filter(|_| open.as_ref().is_none_or(Rollout::is_running)) {
            let policy = self.policy_view(same.clone()).await?;
            return Ok(Applied {
                policy,
                changed: false,
                warnings,
                proposal: None,
            });
        }
        if let Some(open) = &open {
            self.may_replace(open, same.is_some())?;
        }
        let granted = takes_nothing_in_use(&mut write, &parsed, self.now()).await?;
        let revision = before.map_or(Revision(0), |before| before.revision).next();
        let name = parsed.name.clone();
        let candidate = Candidate {
            new: Versioned {
                revision,
                policy: parsed,
            },
            bytes: source.len(),
            is_rolled_out: plan.is_some(),
        };
        together::check(write.in_force().await?, candidate, granted).await?;
        let user = operator.user().clone();
        let stored = StoredPolicy {
            name,
            revision,
            source,
            applied_by: user,
            create_time: self.now(),
            generation: write.generation().await?.next(),
        };
        if validate_only {
            return Ok(Applied {
                policy: view::policy(stored, vec![], None),
                changed: true,
                warnings,
                proposal: None,
            });
        }
        let cause = Cause {
            rollout: plan,
            ..Cause::default()
        };
        let (policy, proposal) = self.carry_out(write, stored, cause).await?;
        Ok(Applied {
            policy,
            changed: proposal.is_none(),
            warnings,
            proposal,
        })
    }

    /// Makes a revision that was checked count, or wait for approval where changes take several people.
    pub(super) async fn carry_out(
        &self,
        write: Write<'_>,
        stored: StoredPolicy,
        cause: Cause,
    ) -> Result<(PolicyView, Option<Proposal>), Error> {
        let Some(stages) = &self.changes else {
            let stored = self.insert(write, stored, cause).await?;
            return Ok((self.policy_view(stored).await?, None));
        };
        let policy = view::policy(stored.clone(), vec![], None);
        let approval = Progress::new(stages.clone(), stored.create_time);
        let proposal = self.propose(write, stored, cause, approval).await?;
        Ok((policy, Some(proposal)))
    }

    /// Reads a document, and runs its tests before anything is locked: as many as there may be take a while.
    async fn tried(
        &self,
        operator: &Operator,
        source: String,
    ) -> Result<(Policy, String, Vec<Diagnostic>), Error> {
        let (parsed, source) = blocking(move || (policy::parse(&source), source)).await?;
        let parsed = parsed.map_err(Error::Policy)?;
        let resource = self.policy_resource(&parsed.name, Some(&parsed));
        self.allows(operator, Action::PolicyEdit, &resource)?;
        if floor::is_floor(&parsed.name) {
            return Err(Error::FloorName(parsed.name));
        }
        let mut warnings = policy::check(&parsed);
        let set = self.policies();
        let (parsed, tested) = blocking(move || {
            let tested = cases::check(&parsed, &set);
            (parsed, tested)
        })
        .await?;
        warnings.extend(tested?);
        warnings.sort_by_key(|warning| warning.at);
        Ok((parsed, source, warnings))
    }

    pub(super) async fn insert(
        &self,
        mut write: Write<'_>,
        mut stored: StoredPolicy,
        cause: Cause,
    ) -> Result<StoredPolicy, Error> {
        stored.generation = write.publish(None).await?;
        // ORDER: what hosts go on with is what they have before this revision is there.
        let standing = write.in_force().await?.standing;
        let before = standing.into_iter().find(|one| one.name == stored.name);
        if let Some(stopped) = write.open_rollout(&stored.name).await? {
            write
                .put_rollout(&stopped.replaced(stored.revision))
                .await?;
            write.end_counts(&stored.name).await?;
        }
        write.insert_policy(&stored, &cause).await?;
        if let Some(plan) = cause.rollout {
            let before = before.map(|one| (one.revision, one.create_time));
            rollouts::begin(&mut write, &stored, plan, before).await?;
        }
        write.commit().await?;
        self.reload_policies().await?;
        let what = if stored.is_removed() {
            "policy removed"
        } else {
            "policy applied"
        };
        tracing::info!(policy = %stored.name, revision = %stored.revision, by = %stored.applied_by, "{what}");
        Ok(stored)
    }

    /// One revision, the newest where none is asked for.
    pub async fn policy(
        &self,
        operator: &Operator,
        name: PolicyName,
        revision: Option<Revision>,
    ) -> Result<PolicyView, Error> {
        self.allows(
            operator,
            Action::PolicyRead,
            &self.policy_resource(&name, None),
        )?;
        match self.store().policy(&name, revision).await? {
            Some(stored) => self.policy_view(stored).await,
            None => Err(Error::UnknownPolicy { name, revision }),
        }
    }

    /// The newest revisions by name, without their sources; those that somebody does not get to see are left out.
    pub async fn policy_list(&self, operator: &Operator) -> Result<Vec<PolicyView>, Error> {
        self.allows(operator, Action::PolicyList, &Resource::Control)?;
        let hosts = self.all_hosts().await?;
        let stored = self.store().policies().await?;
        let mut views = Vec::new();
        for one in stored
            .into_iter()
            .filter(|one| !one.is_removed() && self.shows_policy(operator, &one.name))
        {
            let mut shown = self.view_among(&hosts, one).await?;
            shown.source = String::new();
            views.push(shown);
        }
        Ok(views)
    }

    /// Whether somebody gets to see a policy.
    pub(super) fn shows_policy(&self, operator: &Operator, name: &PolicyName) -> bool {
        let resource = self.policy_resource(name, None);
        self.shows(operator, Action::PolicyRead, &resource, false)
    }

    /// Whether a policy names this user as a service.
    pub fn is_service(&self, user: &UserName) -> bool {
        let set = self.policies();
        set.iter()
            .any(|policy| policy.subjects.services.contains(user))
    }

    /// Whether a policy guards this user, by whatever name and group. Fails where that cannot be told: somebody whose groups nobody
    /// knows at the moment may be guarded.
    pub async fn guards(&self, user: &UserName) -> Result<bool, Error> {
        let set = self.policies();
        // Without any policy nobody is guarded, and the name service need not be asked.
        if set.iter().next().is_none() {
            return Ok(false);
        }
        let person = self.names.person(user).await?;
        if set.iter().any(|one| person.is_among(&one.subjects)) {
            return Ok(true);
        }
        // One uid can have several names, and hosts guard all of them where a policy has one.
        let each = set.iter().map(|one| &one.subjects);
        let named = each.flat_map(|one| one.users.iter().chain(&one.services));
        let named: BTreeSet<UserName> = named.cloned().collect();
        if let Some(uid) = person.uid
            && self.names.have(named.into_iter().collect(), uid).await?
        {
            return Ok(true);
        }
        // What the name service said of groups is only all of it if it can tell of those that policies name.
        let groups = set.iter().flat_map(|one| one.subjects.groups.iter());
        self.names.tells(groups.cloned().collect()).await?;
        Ok(false)
    }

    /// The policies that count as a transaction sees them: what others read may be a moment older.
    pub(super) async fn standing(&self, write: &mut Write<'_>) -> Result<Arc<PolicySet>, Error> {
        let in_force = write.in_force().await?;
        let set = self.policies();
        if set.is_of(&in_force) {
            return Ok(set);
        }
        blocking(move || Arc::new(PolicySet::of(&in_force))).await
    }

    /// Reads again which revisions count.
    pub(super) async fn reload_policies(&self) -> Result<(), Error> {
        let in_force = self.store().in_force().await?;
        for one in in_force
            .standing
            .iter()
            .filter(|one| floor::is_floor(&one.name))
        {
            tracing::error!(policy = %one.name, "not sent to any host: names that begin with `floor.` are of hosts' own floors; apply it under another name");
        }
        let set = blocking(move || PolicySet::of(&in_force)).await?;
        *self
            .policies
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(set);
        Ok(())
    }

    async fn policy_view(&self, stored: StoredPolicy) -> Result<PolicyView, Error> {
        self.view_among(&self.all_hosts().await?, stored).await
    }

    /// A revision with the hosts that are to have it now. Without a roll-out, those are all for which it is meant.
    async fn view_among(&self, hosts: &[Seen], stored: StoredPolicy) -> Result<PolicyView, Error> {
        let own = self.store().rollout(&stored.name, stored.revision).await?;
        let open = self.store().open_rollout(&stored.name).await?;
        let counts = self.hosts_of(&stored);
        let never_came = own
            .as_ref()
            .is_some_and(|own| matches!(own.state, State::Stopped { .. }));
        let moved = open.as_ref().or(own.as_ref());
        let generation = moved.map_or(stored.generation, |moved| moved.generation);
        let enforcement = view::enforcement(hosts, generation, false, |host| {
            let has = match &open {
                Some(open) => open.revision_on(&host.labels) == Some(stored.revision),
                None => !never_came,
            };
            has && counts.selects(&host.labels)
        });
        Ok(view::policy(stored, enforcement, own))
    }

    /// What a roll-out that is not over lets somebody apply: nothing while it runs; and once it was stopped, its own
    /// document again only where others have to approve that.
    pub(super) fn may_replace(&self, open: &Rollout, is_same: bool) -> Result<(), Error> {
        match &open.state {
            State::Stopped { reason, .. } if is_same && self.changes.is_none() => {
                Err(Error::RolloutStopped {
                    policy: open.policy.clone(),
                    revision: open.revision,
                    reason: reason.clone(),
                })
            }
            State::Stopped { .. } | State::Done { .. } => Ok(()),
            State::Running(_) => Err(Error::RolloutRuns {
                policy: open.policy.clone(),
                revision: open.revision,
            }),
        }
    }

    /// Where a revision counts; one that cannot be read any more, everywhere.
    pub(super) fn hosts_of(&self, stored: &StoredPolicy) -> HostSelector {
        if let Some(known) = self.policies().find(&stored.name, stored.revision) {
            return known.hosts.clone();
        }
        policy::parse(&stored.source).map_or_else(|_| HostSelector::default(), |one| one.hosts)
    }
}

pub(super) fn check_etag(
    name: &PolicyName,
    before: Option<&StoredPolicy>,
    asked: &str,
) -> Result<(), Error> {
    let now = before.map_or(Revision(0), |before| before.revision);
    if asked.is_empty() || asked == now.to_string() {
        return Ok(());
    }
    Err(Error::Etag {
        what: format!("policy `{name}`"),
        now,
        asked: safe(asked),
    })
}

/// Whoever holds a live grant was promised what it carries: a revision that no longer gives that is refused, and says whose
/// grants have to go first. Says what live grants carry that has values.
pub(super) async fn takes_nothing_in_use(
    write: &mut Write<'_>,
    policy: &Policy,
    now: UnixMs,
) -> Result<BTreeSet<PermissionRef>, Error> {
    let live = write.live_grants(now).await?;
    let carried = live.iter().filter(|one| one.grant.profile.is_none());
    let mut carried = carried.flat_map(|one| &one.grant.permissions);
    let gone = |one: &&PermissionRef| {
        let known = policy.permission(&one.permission);
        one.policy == policy.name && known.is_none_or(|known| known.template.is_some())
    };
    let holders = |is: &dyn Fn(&Grant) -> bool| {
        let all = live.iter().map(|one| &one.grant).filter(|one| is(one));
        all.map(|one| (one.id, one.user.clone())).collect()
    };
    if let Some(permission) = carried.find(gone) {
        return Err(Error::PermissionInUse {
            permission: permission.clone(),
            grants: holders(&|one| one.profile.is_none() && one.permissions.contains(permission)),
        });
    }
    let lost = |grant: &Grant| {
        let by = grant
            .profile
            .as_ref()
            .filter(|by| by.policy == policy.name)?;
        let gone = policy.still_gives(by, &grant.permissions).err()?;
        Some((by.name(), gone.to_string()))
    };
    if let Some((profile, gone)) = live.iter().find_map(|one| lost(&one.grant)) {
        let same = |one: &Grant| lost(one).is_some_and(|(name, _)| name == profile);
        return Err(Error::ProfileInUse {
            grants: holders(&same),
            profile,
            gone,
        });
    }
    Ok(profiles::with_values(&live))
}

/// Parsing and compiling take a while; calls and streams of others go on meanwhile.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Error::field("source", "cannot be processed"))
}
