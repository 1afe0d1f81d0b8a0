//! Removing a policy: a revision that says nothing becomes the newest one. Earlier revisions stay, for whoever looks back and for
//! a roll-back. Nothing is removed that grants carry, or that an action waits for: without its rule a held call goes on with
//! whatever wakes it, a refusal included.

use stayhand_guardrail::{
    id::{GrantId, PolicyName, UserName},
    proposal::Proposal,
    time::UnixMs,
};
use stayhand_proto::view::PolicyView;

use super::{App, Error, ids, policies::check_etag, view};
use crate::{
    authz::Action,
    operator::Operator,
    store::{Cause, StoredPolicy, Write},
};

/// What somebody wants removed.
#[derive(Debug)]
pub struct RemovePolicy {
    /// Which policy
    pub name: PolicyName,
    /// Why; it is recorded
    pub reason: String,
    /// Check everything, change nothing
    pub validate_only: bool,
    /// Version that is removed; empty = whatever there is
    pub etag: String,
}

/// What became of it.
#[derive(Debug)]
pub struct Removed {
    /// The revision that says nothing, or would
    pub policy: PolicyView,
    /// What waits for approval, instead of a removed policy
    pub proposal: Option<Proposal>,
}

impl App {
    /// Makes a policy count nowhere.
    pub async fn remove_policy(
        &self,
        operator: &Operator,
        remove: RemovePolicy,
    ) -> Result<Removed, Error> {
        let RemovePolicy {
            name,
            reason,
            validate_only,
            etag,
        } = remove;
        let resource = self.policy_resource(&name, None);
        self.allows(operator, Action::PolicyRemove, &resource)?;
        ids::reason(&reason)?;
        let mut write = self.store().begin().await?;
        let newest = write.policies().await?;
        let before = newest.into_iter().find(|one| one.name == name);
        let Some(before) = before.filter(|one| !one.is_removed()) else {
            return Err(Error::UnknownPolicy {
                name,
                revision: None,
            });
        };
        check_etag(&name, Some(&before), &etag)?;
        if let Some(open) = write.open_rollout(&name).await? {
            self.may_replace(&open, false)?;
        }
        takes_nothing_in_use(&mut write, &name, self.now()).await?;
        let stored = StoredPolicy {
            revision: before.revision.next(),
            name,
            source: String::new(),
            applied_by: operator.user().clone(),
            create_time: self.now(),
            generation: write.generation().await?.next(),
        };
        if validate_only {
            return Ok(Removed {
                policy: view::policy(stored, vec![], None),
                proposal: None,
            });
        }
        let cause = Cause {
            reason: Some(reason),
            ..Cause::default()
        };
        let (policy, proposal) = self.carry_out(write, stored, cause).await?;
        Ok(Removed { policy, proposal })
    }
}

/// Whoever holds a live grant was promised what it carries, and whoever is held waits for an answer that counts: a policy in use
/// is not removed, and says what has to be over first.
pub(super) async fn takes_nothing_in_use(
    write: &mut Write<'_>,
    name: &PolicyName,
    now: UnixMs,
) -> Result<(), Error> {
    let live = write.live_grants(now).await?;
    let of_policy = live.iter().map(|one| &one.grant).filter(|grant| {
        let permissions = &grant.permissions;
        permissions.iter().any(|one| one.policy == *name)
    });
    let grants: Vec<(GrantId, UserName)> =
        of_policy.map(|one| (one.id, one.user.clone())).collect();
    if !grants.is_empty() {
        return Err(Error::PolicyInUse {
            policy: name.clone(),
            grants,
        });
    }
    let holds = write.open_holds_of(name, now).await?;
    if holds.is_empty() {
        return Ok(());
    }
    Err(Error::PolicyHolds {
        policy: name.clone(),
        holds: holds.iter().map(|one| one.hold.id).collect(),
    })
}
