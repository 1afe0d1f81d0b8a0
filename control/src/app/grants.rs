//! Grants: issued by operators, ended by time, revoked by operators. A grant, its audit record and the generation
//! that publishes it are one transaction.

use stayhand_guardrail::{
    grant::{Effect, Fact, Grant, IssueSpec, Step},
    id::{GrantId, HostId, UserName},
    key::PermissionRef,
    text::safe,
    time::{DurationMs, UnixMs},
    values::ProfileUse,
};
use stayhand_proto::view::GrantView;
use uuid::Uuid;

use super::{
    App, AskedProfile, Error, PolicySet,
    access::{grant_resource, new_grant_resource},
    ids, locks, permissions, profiles, view,
};
use crate::{
    authz::{Action, Resource},
    limits::ENDINGS_PER_TICK,
    operator::Operator,
    store::{GrantFilter, StoredGrant, Write},
};

/// What somebody wants granted.
#[derive(Clone, Debug)]
pub struct CreateGrant {
    /// To whom
    pub user: UserName,
    /// `NAME` or `POLICY/NAME`
    pub permissions: Vec<String>,
    /// In the place of permissions
    pub profile: Option<AskedProfile>,
    /// Where; empty = on every host
    pub hosts: Vec<HostId>,
    /// For how long
    pub duration: DurationMs,
    /// Why
    pub reason: String,
    /// The same id again is the same grant
    pub request_id: Option<Uuid>,
    /// Check everything, change nothing
    pub validate_only: bool,
}

impl CreateGrant {
    /// What was asked for, to tell a retry from another request under the same id.
    fn fingerprint(&self) -> String {
        let Self {
            user,
            permissions,
            profile,
            hosts,
            duration,
            reason,
            request_id: _,
            validate_only: _,
        } = self;
        let text = format!("{user} {permissions:?} {hosts:?} {} {reason:?}", duration.0);
        match profile {
            None => text,
            Some(AskedProfile { name, values }) => format!("{text} {name:?} {values:?}"),
        }
    }
}

impl CreateGrant {
    /// What it would carry by these policies.
    fn carried(&self, set: &PolicySet) -> Result<(Option<ProfileUse>, Vec<PermissionRef>), Error> {
        let Some(asked) = &self.profile else {
            return Ok((None, permissions::resolve(set, &self.permissions)?));
        };
        if !self.permissions.is_empty() {
            let problem = "a grant is of a profile or of permissions; make two";
            return Err(Error::field("profile", problem));
        }
        let (profile, permissions) = profiles::resolve(set, asked, self.duration)?;
        Ok((Some(profile), permissions))
    }
}

impl App {
    /// Issues a grant.
    pub async fn create_grant(
        &self,
        operator: &Operator,
        create: CreateGrant,
    ) -> Result<GrantView, Error> {
        let write = self.store().begin().await?;
        let (write, before) = self.asked_before(write, operator, &create).await?;
        if let Some(before) = before {
            return self.grant_view(before).await;
        }
        // The name service may be slow; the writer is not held meanwhile.
        drop(write);
        let mut spec = self.check(operator, &create).await?;
        let write = self.store().begin().await?;
        let (mut write, before) = self.asked_before(write, operator, &create).await?;
        if let Some(before) = before {
            return self.grant_view(before).await;
        }
        let now = self.now();
        // Again: here nothing of it can change before the grant is there.
        let set = self.standing(&mut write).await?;
        (spec.profile, spec.permissions) = create.carried(&set)?;
        let own = spec.user == *operator.user();
        let resource = new_grant_resource(&set, &spec);
        self.allows_of(operator, Action::GrantCreate, &resource, own)?;
        let live = write.live_grants(now).await?;
        let of_profile =
            |one: &StoredGrant| one.grant.user == spec.user && one.grant.profile.is_some();
        // The writer waits meanwhile, so a fleet is only looked through where a profile may exclude some of it.
        let hosts = if spec.profile.is_some() || live.iter().any(of_profile) {
            self.store().hosts(None, "", u32::MAX).await?
        } else {
            vec![]
        };
        let mut locks = write.locks().await?;
        locks::nothing_locks(&locks, &spec.user, &spec.hosts)?;
        profiles::nothing_excludes(&set, &hosts, &spec, &live)?;
        profiles::enforceable(set, &live, &spec.permissions).await?;
        let Step { grant, effects } = Grant::issue(spec, now)?;
        if create.validate_only {
            locks.retain(|lock| locks::meets(lock, &grant));
            return Ok(view::proposed(grant, locks));
        }
        let generation = write.publish_on(&grant.hosts).await?;
        let fingerprint = create.fingerprint();
        let request = create.request_id.map(|id| (id, fingerprint.as_str()));
        write.insert_grant(&grant, generation, request).await?;
        audit(&mut write, &grant, effects, now).await?;
        write.commit().await?;
        tracing::info!(grant = %grant.id, user = %grant.user, by = %operator.user(), until = %grant.expire_time, "grant created");
        self.grant_view(grant.id).await
    }

    /// The grant that a request with this id already made.
    async fn asked_before<'w>(
        &self,
        mut write: Write<'w>,
        operator: &Operator,
        create: &CreateGrant,
    ) -> Result<(Write<'w>, Option<GrantId>), Error> {
        let Some(request_id) = create.request_id else {
            return Ok((write, None));
        };
        match write.grant_by_request(operator.user(), request_id).await? {
            None => Ok((write, None)),
            Some((grant, request)) if request == create.fingerprint() => Ok((write, Some(grant))),
            Some(_) => Err(Error::RequestIdReused(request_id)),
        }
    }

    async fn check(&self, operator: &Operator, create: &CreateGrant) -> Result<IssueSpec, Error> {
        let CreateGrant {
            user,
            permissions: _,
            profile: _,
            hosts,
            duration,
            reason,
            request_id: _,
            validate_only: _,
        } = create;
        let person = self.names.person(user).await?;
        if operator.has_name(&person) {
            return Err(Error::OwnGrant(operator.user().clone()));
        }
        ids::reason(reason)?;
        let Some(name) = person.name().cloned() else {
            return Err(Error::UnknownUser(user.clone()));
        };
        for host in hosts {
            if self.store().desired(host).await?.is_none() {
                return Err(Error::UnknownHost(host.clone()));
            }
        }
        let set = self.policies();
        let (profile, permissions) = create.carried(&set)?;
        permissions::guarded(&set, user, &person, &permissions)?;
        Ok(IssueSpec {
            id: GrantId(self.outside.id()),
            // As locks have it: under another name of theirs a lock on somebody would not be about this.
            user: name,
            permissions,
            profile,
            hosts: hosts.clone(),
            reason: reason.clone(),
            created_by: operator.user().clone(),
            duration: *duration,
        })
    }

    /// Takes a grant back. A grant that is over says since when and by whom.
    pub async fn revoke_grant(
        &self,
        operator: &Operator,
        id: GrantId,
        reason: String,
        etag: &str,
    ) -> Result<GrantView, Error> {
        ids::reason(&reason)?;
        let mut write = self.store().begin().await?;
        let Some(StoredGrant { grant, .. }) = write.grant(id).await? else {
            return Err(unknown(id));
        };
        let own = grant.user == *operator.user();
        let resource = grant_resource(&self.policies(), &grant);
        self.allows_of(operator, Action::GrantRevoke, &resource, own)?;
        if !etag.is_empty() && etag != grant.revision.to_string() {
            let what = format!("grant `{id}`");
            return Err(Error::Etag {
                what,
                now: grant.revision,
                asked: safe(etag),
            });
        }
        let fact = Fact::Revoke {
            by: operator.user().clone(),
            reason,
        };
        let now = self.now();
        self.move_on(&mut write, grant.step(fact, now)?, now)
            .await?;
        write.commit().await?;
        tracing::info!(grant = %id, by = %operator.user(), "grant revoked");
        self.grant_view(id).await
    }

    /// Ends grants whose time box closed. The hosts' kernels did so by themselves.
    pub(super) async fn end_grants(&self) -> Result<(), Error> {
        let now = self.now();
        let mut write = self.store().begin().await?;
        for StoredGrant { grant, .. } in write.overdue_grants(now, ENDINGS_PER_TICK).await? {
            let id = grant.id;
            self.move_on(&mut write, grant.step(Fact::Expire, now)?, now)
                .await?;
            tracing::info!(grant = %id, "grant ended");
        }
        write.commit().await?;
        Ok(())
    }

    async fn move_on(&self, write: &mut Write<'_>, step: Step, now: UnixMs) -> Result<(), Error> {
        // A host on which it never counted has nothing to hear of.
        let generation = write.publish_on(&step.grant.hosts).await?;
        write.update_grant(&step.grant, generation).await?;
        audit(write, &step.grant, step.effects, now).await
    }

    /// A grant and where it is enforced.
    pub async fn grant(&self, operator: &Operator, id: GrantId) -> Result<GrantView, Error> {
        let view = self.grant_view(id).await?;
        let own = view.grant.user == *operator.user();
        let resource = grant_resource(&self.policies(), &view.grant);
        self.allows_of(operator, Action::GrantRead, &resource, own)?;
        Ok(view)
    }

    /// What somebody is told of a grant with which they did something.
    async fn grant_view(&self, id: GrantId) -> Result<GrantView, Error> {
        let stored = self.store().grant(id).await?.ok_or_else(|| unknown(id))?;
        let locks = self.store().locks().await?;
        Ok(view::grant(stored, &self.all_progress().await?, &locks))
    }

    /// Grants, newest first, with their places in the list; of those that somebody does not get to see only the place.
    pub async fn grant_list(
        &self,
        operator: &Operator,
        filter: &GrantFilter,
        before: u64,
        max: u32,
    ) -> Result<Vec<(u64, Option<GrantView>)>, Error> {
        self.allows(operator, Action::GrantList, &Resource::Control)?;
        let set = self.policies();
        let shows = |grant: &Grant| {
            let own = grant.user == *operator.user();
            let resource = grant_resource(&set, grant);
            self.shows(operator, Action::GrantRead, &resource, own)
        };
        let stored = self.store().grants(filter, before, max).await?;
        // ORDER: after the grants, so that of what is shown as revoked no host was proven anything since it was last heard of.
        let hosts = self.all_progress().await?;
        let locks = self.store().locks().await?;
        Ok(stored
            .into_iter()
            .map(|one| {
                let (number, is_shown) = (one.number, shows(&one.grant));
                (number, is_shown.then(|| view::grant(one, &hosts, &locks)))
            })
            .collect())
    }
}

/// Carries out what belongs to the change itself; publishing is its generation.
async fn audit(
    write: &mut Write<'_>,
    grant: &Grant,
    effects: Vec<Effect>,
    now: UnixMs,
) -> Result<(), Error> {
    for effect in effects {
        match effect {
            Effect::Record(record) => write.audit_grant(grant, record, now).await?,
            Effect::PublishHosts => {}
        }
    }
    Ok(())
}

fn unknown(id: GrantId) -> Error {
    let error = stayhand_guardrail::prefix::PrefixError::Unknown {
        prefix: id.to_string(),
    };
    Error::Prefix {
        kind: "grant",
        error,
    }
}
