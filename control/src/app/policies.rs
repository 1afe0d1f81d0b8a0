//! Policies: checked alone and together, then an immutable revision.

use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError},
};

use stayhand_guardrail::{
    approval::Progress,
    grant::Grant,
    id::{PolicyName, ProposalId, Revision, UserName},
    key::PermissionRef,
    policy::{self, Diagnostic, HostSelector, Policy, Versioned, floor},
    proposal::Proposal,
    text::safe,
};
use stayhand_proto::{limits::SOURCES_BYTES_MAX, view::PolicyView};

use super::{App, Error, cases, profiles, view};
use crate::{
    clock,
    operator::Operator,
    store::{StoredPolicy, Write},
};

/// The newest revision of every policy, parsed.
#[derive(Debug, Default)]
pub struct PolicySet(Vec<Versioned>);

impl PolicySet {
    /// The policies.
    pub fn iter(&self) -> impl Iterator<Item = &Policy> {
        self.0.iter().map(|one| &one.policy)
    }

    /// The same with their revisions.
    pub fn versions(&self) -> &[Versioned] {
        &self.0
    }

    fn is_of(&self, newest: &[StoredPolicy]) -> bool {
        let same = |(one, stored): (&Versioned, &StoredPolicy)| {
            one.policy.name == stored.name && one.revision == stored.revision
        };
        self.0.len() == newest.len() && self.0.iter().zip(newest).all(same)
    }
}

/// What somebody wants applied.
#[derive(Debug)]
pub struct ApplyPolicy {
    /// The YAML document
    pub source: String,
    /// Check everything, change nothing
    pub validate_only: bool,
    /// Version that this one replaces; empty = whatever there is
    pub etag: String,
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
        let (parsed, source) =
            blocking(move || (policy::parse(&apply.source), apply.source)).await?;
        let parsed = parsed.map_err(Error::Policy)?;
        if floor::is_floor(&parsed.name) {
            return Err(Error::FloorName(parsed.name));
        }
        let mut warnings = policy::check(&parsed);
        // Before anything is locked: as many tests as there may be take a while.
        let set = self.policies();
        let (parsed, tested) = blocking(move || {
            let tested = cases::check(&parsed, &set);
            (parsed, tested)
        })
        .await?;
        warnings.extend(tested?);
        warnings.sort_by_key(|warning| warning.at);
        let mut write = self.store().begin().await?;
        let newest = write.policies().await?;
        let before = newest.iter().find(|one| one.name == parsed.name).cloned();
        check_etag(&parsed.name, before.as_ref(), &apply.etag)?;
        if let Some(same) = before.as_ref().filter(|before| before.source == source) {
            let policy = self.policy_view(same.clone()).await?;
            return Ok(Applied {
                policy,
                changed: false,
                warnings,
                proposal: None,
            });
        }
        let granted = takes_nothing_in_use(&mut write, &parsed).await?;
        let revision = before.map_or(Revision(0), |before| before.revision).next();
        let name = parsed.name.clone();
        check_together(
            newest,
            Versioned {
                revision,
                policy: parsed,
            },
            source.len(),
            granted,
        )
        .await?;
        let user = operator.user().clone();
        let stored = StoredPolicy {
            name,
            revision,
            source,
            applied_by: user,
            create_time: clock::now(),
            generation: write.generation().await?.next(),
        };
        if apply.validate_only {
            return Ok(Applied {
                policy: view::policy(stored, vec![]),
                changed: true,
                warnings,
                proposal: None,
            });
        }
        if let Some(plan) = &self.changes {
            let policy = view::policy(stored.clone(), vec![]);
            let approval = Progress::new(plan.clone(), stored.create_time);
            let proposal = self.propose(write, stored, approval).await?;
            return Ok(Applied {
                policy,
                changed: false,
                warnings,
                proposal: Some(proposal),
            });
        }
        let stored = self.insert(write, stored, None).await?;
        let policy = self.policy_view(stored).await?;
        Ok(Applied {
            policy,
            changed: true,
            warnings,
            proposal: None,
        })
    }

    pub(super) async fn insert(
        &self,
        mut write: Write<'_>,
        mut stored: StoredPolicy,
        proposal: Option<ProposalId>,
    ) -> Result<StoredPolicy, Error> {
        stored.generation = write.publish(None).await?;
        write.insert_policy(&stored, proposal).await?;
        write.commit().await?;
        self.reload_policies().await?;
        tracing::info!(policy = %stored.name, revision = %stored.revision, by = %stored.applied_by, "policy applied");
        Ok(stored)
    }

    /// One revision, the newest where none is asked for.
    pub async fn policy(
        &self,
        _operator: &Operator,
        name: PolicyName,
        revision: Option<Revision>,
    ) -> Result<PolicyView, Error> {
        match self.store().policy(&name, revision).await? {
            Some(stored) => self.policy_view(stored).await,
            None => Err(Error::UnknownPolicy { name, revision }),
        }
    }

    /// The newest revisions by name, without their sources.
    pub async fn policy_list(&self, _operator: &Operator) -> Result<Vec<PolicyView>, Error> {
        let hosts = self.all_hosts().await?;
        let stored = self.store().policies().await?;
        let views = stored.into_iter().map(|one| {
            let counts = self.hosts_of(&one);
            let enforcement = view::enforcement(&hosts, one.generation, false, |host| {
                counts.selects(&host.labels)
            });
            let mut shown = view::policy(one, enforcement);
            shown.source = String::new();
            shown
        });
        Ok(views.collect())
    }

    /// Whether a policy guards this user.
    pub async fn guards(&self, user: &UserName) -> bool {
        let set = self.policies();
        // Without any policy nobody is guarded, and the name service need not be asked.
        if set.iter().next().is_none() {
            return false;
        }
        let groups = self.names.groups(user).await;
        set.iter()
            .any(|policy| policy.subjects.include(user, &groups))
    }

    /// The newest policies as a transaction sees them: what others read may be a moment older.
    pub(super) async fn standing(&self, write: &mut Write<'_>) -> Result<Arc<PolicySet>, Error> {
        let newest = write.policies().await?;
        let set = self.policies();
        if set.is_of(&newest) {
            return Ok(set);
        }
        blocking(move || Arc::new(PolicySet(read(&newest)))).await
    }

    /// Reads the newest policies again. One that this version cannot read any more still counts on the hosts
    /// that have it; it is named here and refused nowhere silently.
    pub(super) async fn reload_policies(&self) -> Result<(), Error> {
        let stored = self.store().policies().await?;
        let set = blocking(move || PolicySet(read(&stored))).await?;
        *self
            .policies
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(set);
        Ok(())
    }

    async fn policy_view(&self, stored: StoredPolicy) -> Result<PolicyView, Error> {
        let hosts = self.all_hosts().await?;
        let counts = self.hosts_of(&stored);
        let enforcement = view::enforcement(&hosts, stored.generation, false, |host| {
            counts.selects(&host.labels)
        });
        Ok(view::policy(stored, enforcement))
    }

    /// Where a revision counts; one that cannot be read any more, everywhere.
    fn hosts_of(&self, stored: &StoredPolicy) -> HostSelector {
        let set = self.policies();
        let newest = set
            .0
            .iter()
            .find(|one| one.policy.name == stored.name && one.revision == stored.revision);
        if let Some(newest) = newest {
            return newest.policy.hosts.clone();
        }
        policy::parse(&stored.source).map_or_else(|_| HostSelector::default(), |one| one.hosts)
    }
}

fn check_etag(name: &PolicyName, before: Option<&StoredPolicy>, asked: &str) -> Result<(), Error> {
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
) -> Result<BTreeSet<PermissionRef>, Error> {
    let live = write.live_grants(clock::now()).await?;
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

/// Compiles the new revision beside the others, so that a limit is met here and not on every host.
pub(super) async fn check_together(
    mut newest: Vec<StoredPolicy>,
    new: Versioned,
    bytes: usize,
    granted: BTreeSet<PermissionRef>,
) -> Result<(), Error> {
    newest.retain(|one| one.name != new.policy.name);
    let bytes = newest.iter().map(|one| one.source.len()).sum::<usize>() + bytes;
    if bytes > SOURCES_BYTES_MAX {
        return Err(Error::PoliciesTooLarge {
            bytes,
            max: SOURCES_BYTES_MAX,
        });
    }
    let compiled = blocking(move || {
        let mut all = read(&newest);
        all.push(new);
        policy::compile_granted(&all, None, &granted).map(|_| ())
    });
    compiled.await?.map_err(Error::PolicySet)
}

fn read(stored: &[StoredPolicy]) -> Vec<Versioned> {
    let parsed = stored.iter().filter_map(|one| match policy::parse(&one.source) {
        Ok(policy) => Some(Versioned { revision: one.revision, policy }),
        Err(findings) => {
            let first = findings.first().map(ToString::to_string).unwrap_or_default();
            tracing::error!(policy = %one.name, revision = %one.revision, problem = first, "stored policy is unreadable");
            None
        }
    });
    parsed.collect()
}

/// Parsing and compiling take a while; calls and streams of others go on meanwhile.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Error::field("source", "cannot be processed"))
}
