//! The transitions of a grant. Total: every pair of state and fact is either a step or a typed refusal.

use super::{Effect, Fact, Grant, GrantChange, GrantState, Illegal, Invalid, IssueSpec, Step};
use crate::{
    event::GrantChanged,
    host::Lease,
    id::{HostId, Revision, UserName},
    limits::{GRANT_DURATION_MAX, GRANT_DURATION_MIN, GRANT_PERMISSIONS_MAX, REASON_BYTES_MAX},
    time::UnixMs,
};

impl Grant {
    /// Issues a grant: active at once, until `now` plus its duration.
    pub fn issue(spec: IssueSpec, now: UnixMs) -> Result<Step, Invalid> {
        check(&spec)?;
        let IssueSpec {
            id,
            user,
            permissions,
            profile,
            hosts,
            reason,
            created_by,
            duration,
        } = spec;
        let grant = Self {
            id,
            user,
            permissions,
            profile,
            hosts,
            reason,
            created_by,
            create_time: now,
            expire_time: now.plus(duration),
            revision: Revision(1),
            state: GrantState::Active,
        };
        let by = Some(grant.created_by.clone());
        let why = Some(grant.reason.clone());
        let record = grant.changed(GrantChange::Created, by, why);
        Ok(Step {
            grant,
            effects: vec![Effect::Record(record), Effect::PublishHosts],
        })
    }

    /// Lets a fact happen.
    pub fn step(self, fact: Fact, now: UnixMs) -> Result<Step, Illegal> {
        match (&self.state, fact) {
            (GrantState::Active, Fact::Expire) if now < self.expire_time => Err(Illegal::NotYet {
                grant: Box::new(self),
            }),
            (GrantState::Active, Fact::Expire) => Ok(self.end(now)),
            // Time was first, even if nobody has noticed yet: a revocation cannot shorten what is over.
            (GrantState::Active, Fact::Revoke { .. }) if now >= self.expire_time => {
                let at = self.expire_time;
                Err(Illegal::Ended {
                    grant: Box::new(self),
                    at,
                })
            }
            (GrantState::Active, Fact::Revoke { by, reason }) => Ok(self.revoke(by, reason, now)),
            (GrantState::Ended { at }, _) => {
                let at = *at;
                Err(Illegal::Ended {
                    grant: Box::new(self),
                    at,
                })
            }
            (GrantState::Revoked { by, at, .. }, _) => {
                let (by, at) = (by.clone(), *at);
                Err(Illegal::Revoked {
                    grant: Box::new(self),
                    by,
                    at,
                })
            }
        }
    }

    fn end(mut self, now: UnixMs) -> Step {
        self.state = GrantState::Ended { at: now };
        self.revision = self.revision.next();
        let record = self.changed(GrantChange::Ended, None, None);
        Step {
            grant: self,
            effects: vec![Effect::Record(record), Effect::PublishHosts],
        }
    }

    /// Privilege first, record second: a revocation is published before it is written down.
    fn revoke(mut self, by: UserName, reason: String, now: UnixMs) -> Step {
        self.state = GrantState::Revoked {
            by: by.clone(),
            reason: reason.clone(),
            at: now,
        };
        self.revision = self.revision.next();
        let record = self.changed(GrantChange::Revoked, Some(by), Some(reason));
        Step {
            grant: self,
            effects: vec![Effect::PublishHosts, Effect::Record(record)],
        }
    }

    fn changed(
        &self,
        change: GrantChange,
        by: Option<UserName>,
        reason: Option<String>,
    ) -> GrantChanged {
        GrantChanged {
            grant: self.id,
            change,
            user: self.user.clone(),
            permissions: self.permissions.clone(),
            profile: self.profile.clone(),
            by,
            reason,
            expire_time: self.expire_time,
        }
    }

    /// Whether it permits anything at `now`.
    pub fn is_live(&self, now: UnixMs) -> bool {
        self.state == GrantState::Active && now < self.expire_time
    }

    /// Whether it is for this host.
    pub fn is_for(&self, host: &HostId) -> bool {
        self.hosts.is_empty() || self.hosts.contains(host)
    }

    /// What `host` is told of it; nothing where it does not permit or is not for that host.
    pub fn lease(&self, host: &HostId, now: UnixMs) -> Option<Lease> {
        (self.is_live(now) && self.is_for(host)).then(|| Lease {
            grant: self.id,
            user: self.user.clone(),
            permissions: self.permissions.clone(),
            expire_time: self.expire_time,
            server_time: now,
        })
    }
}

fn check(spec: &IssueSpec) -> Result<(), Invalid> {
    if spec.permissions.is_empty() {
        return Err(Invalid::NoPermission);
    }
    if spec.permissions.len() > GRANT_PERMISSIONS_MAX {
        return Err(Invalid::TooManyPermissions(spec.permissions.len()));
    }
    let mut seen = std::collections::BTreeSet::new();
    if let Some(twice) = spec
        .permissions
        .iter()
        .find(|permission| !seen.insert(*permission))
    {
        return Err(Invalid::Duplicate(twice.clone()));
    }
    if spec.reason.trim().is_empty() {
        return Err(Invalid::NoReason);
    }
    if spec.reason.len() > REASON_BYTES_MAX {
        return Err(Invalid::LongReason(spec.reason.len()));
    }
    if spec.duration < GRANT_DURATION_MIN {
        return Err(Invalid::TooShort(spec.duration));
    }
    if spec.duration > GRANT_DURATION_MAX {
        return Err(Invalid::TooLong(spec.duration));
    }
    Ok(())
}
