//! Authorities that sign certificates: a new one takes over, and the one before goes when every host, session and token has left it.
//!
//! No host is cut off by a change: whoever believes the older one alone is shown a certificate that it signed, for as long as
//! it is there.

use stayhand_guardrail::{
    event::{AuthorityChange, AuthorityChanged, EventKind},
    id::{HostId, UserName},
    time::UnixMs,
};
use stayhand_transport::Pin;

use super::{App, Error, ids};
use crate::{
    authority::AuthorityError,
    authz::{Action, Resource},
    limits::AUTHORITIES_MAX,
    operator::Operator,
    store::Write,
};

/// An authority as operators see it.
#[derive(Clone, Debug)]
pub struct SeenAuthority {
    /// From 1
    pub number: u32,
    /// By what hosts tell it from others
    pub pin: Pin,
    /// Whether it issues
    pub issues: bool,
    /// When it was made
    pub created: UnixMs,
    /// When it ends by itself
    pub expires: UnixMs,
    /// Hosts that have no certificate of it or of a newer one yet
    pub behind: Vec<HostId>,
    /// Hosts that joined and are not out
    pub hosts: usize,
}

/// Why an authority stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum NotRotated {
    /// One at a time.
    #[error(
        "authority {0} has not gone yet, and only one may be on its way out; `stayhand authority ls` shows the hosts that have not left it: \
         wait for them, revoke them, or end it at once (stayhand authority retire {0})"
    )]
    Busy(u32),
    /// It is the one that issues.
    #[error("authority {0} issues certificates; make another one first: stayhand authority rotate")]
    Issues(u32),
    /// There is none.
    #[error("there is no authority {0}; `stayhand authority ls` shows them")]
    Unknown(u32),
}

impl App {
    /// Makes an authority that issues from here on.
    pub async fn rotate_authority(
        &self,
        operator: &Operator,
        reason: String,
    ) -> Result<SeenAuthority, Error> {
        self.allows(operator, Action::HostAdminister, &Resource::Control)?;
        ids::reason(&reason)?;
        let now = self.now();
        let mut write = self.store().begin().await?;
        let standing = write.authorities().await?;
        if standing.len() >= AUTHORITIES_MAX {
            let oldest = standing.first().map_or(0, |one| one.number);
            return Err(NotRotated::Busy(oldest).into());
        }
        let newest = standing.last().map_or(0, |one| one.number);
        let made = self.authority().successor(newest + 1, now)?;
        write.add_authority(&made).await?;
        let change = (made.number, AuthorityChange::Made);
        record(&mut write, change, Some(operator.user()), Some(reason), now).await?;
        write.commit().await?;
        self.authority().reload(self.store()).await?;
        tracing::warn!(authority = made.number, by = %operator.user(), "another authority issues");
        let all = self.seen_authorities(now).await?;
        all.into_iter()
            .next_back()
            .ok_or_else(|| AuthorityError::NoneIssues.into())
    }

    /// Ends an older authority at once. Returns the hosts that had not left it.
    pub async fn retire_authority(
        &self,
        operator: &Operator,
        number: u32,
        reason: String,
    ) -> Result<Vec<HostId>, Error> {
        self.allows(operator, Action::HostAdminister, &Resource::Control)?;
        ids::reason(&reason)?;
        let now = self.now();
        let mut write = self.store().begin().await?;
        let standing = write.authorities().await?;
        if standing.iter().all(|one| one.number != number) {
            return Err(NotRotated::Unknown(number).into());
        }
        if standing.last().is_some_and(|one| one.number == number) {
            return Err(NotRotated::Issues(number).into());
        }
        let cut_off = write.hosts_behind(number + 1, now).await?;
        write.drop_authority(number, now).await?;
        let change = (number, AuthorityChange::Retired);
        record(&mut write, change, Some(operator.user()), Some(reason), now).await?;
        write.commit().await?;
        self.authority().reload(self.store()).await?;
        tracing::warn!(authority = number, by = %operator.user(), hosts = cut_off.len(), "authority ended");
        Ok(cut_off)
    }

    /// Ends authorities that every host has left.
    pub(super) async fn retire_left_authorities(&self, now: UnixMs) -> Result<(), Error> {
        let (revision, standing) = self.store().authorities().await?;
        if revision != self.authorities_revision() {
            // A change was committed, and taking it in failed then.
            self.authority().reload(self.store()).await?;
        }
        let Some((_, older)) = standing.split_last() else {
            return Ok(());
        };
        let since = standing.last().map_or(UnixMs(0), |newest| newest.created);
        for authority in older {
            let mut write = self.store().begin().await?;
            // Whoever has one of its tokens knows no other.
            let tokens = write.live_tokens(now).await?;
            let wanted = tokens.iter().any(|token| token.created <= since);
            let next = authority.number + 1;
            let wanted = wanted || write.access_needs(authority.number, since, now).await?;
            if wanted || !write.hosts_behind(next, now).await?.is_empty() {
                return Ok(());
            }
            write.drop_authority(authority.number, now).await?;
            let change = (authority.number, AuthorityChange::Retired);
            record(&mut write, change, None, None, now).await?;
            write.commit().await?;
            self.authority().reload(self.store()).await?;
            tracing::info!(
                authority = authority.number,
                "every host has left an authority, and it ended"
            );
        }
        Ok(())
    }

    /// All of them, oldest first.
    pub async fn authority_list(&self, operator: &Operator) -> Result<Vec<SeenAuthority>, Error> {
        self.allows(operator, Action::HostList, &Resource::Control)?;
        self.seen_authorities(self.now()).await
    }

    async fn seen_authorities(&self, now: UnixMs) -> Result<Vec<SeenAuthority>, Error> {
        let (_, standing) = self.store().authorities().await?;
        let members = self.store().members().await?;
        let hosts = members.iter().filter(|one| one.revoked.is_none()).count();
        let newest = standing.last().map(|one| one.number);
        let mut seen = vec![];
        for one in standing {
            let known = stayhand_transport::Authorities::new(vec![one.certificate])
                .and_then(|only| Ok((only.newest()?, only.expires()?)));
            let (pin, expires) = known.map_err(AuthorityError::from)?;
            seen.push(SeenAuthority {
                number: one.number,
                pin,
                issues: Some(one.number) == newest,
                created: one.created,
                expires,
                behind: self.store().hosts_behind(one.number, now).await?,
                hosts,
            });
        }
        Ok(seen)
    }
}

async fn record(
    write: &mut Write<'_>,
    (authority, change): (u32, AuthorityChange),
    by: Option<&UserName>,
    reason: Option<String>,
    now: UnixMs,
) -> Result<(), Error> {
    let record = AuthorityChanged {
        authority,
        change,
        by: by.cloned(),
        reason,
    };
    write
        .record(EventKind::AuthorityChanged(record), now)
        .await?;
    Ok(())
}
