//! Sessions of operators over the network: opened for whoever proved who they are, ended by themselves, by their owner or by
//! somebody who may. Whether one counts is asked with every call.

use stayhand_guardrail::{
    event::{Door, EventKind, SessionChange, SessionChanged},
    id::{AccessTokenId, SessionId, UserName},
    limits::BREAK_GLASS_MAX,
    time::{DurationMs, UnixMs},
};
use stayhand_transport::{Certificate, Role};

use super::{App, Error, NoToken, ids};
use crate::{
    authority::Request,
    authz::{Action, Resource, Scope, TokenResource},
    limits::{SESSION_USE_PAUSE, SESSIONS_PER_TOKEN_MAX, SESSIONS_PER_USER_MAX},
    operator::Operator,
    store::{SessionEnd, StoredAccessToken, StoredSession, Whose, Write},
};

/// Who proved who they are, and how.
#[derive(Clone, Debug)]
pub struct Proved {
    /// The person
    pub user: UserName,
    /// How they are known
    pub door: Door,
    /// Who the identity provider says that they are
    pub subject: Option<String>,
    /// With which token
    pub token: Option<AccessTokenId>,
    /// From where
    pub address: Option<String>,
}

/// A session with its certificate, for whoever has the key.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The session
    pub session: StoredSession,
    /// Its certificate (DER)
    pub certificate: Vec<u8>,
    /// Every authority that counts (DER)
    pub authorities: Vec<Vec<u8>>,
}

/// Why there is no session, or none to end.
#[derive(Debug, thiserror::Error)]
pub enum NoSession {
    /// Certificates say names as SPIFFE does.
    #[error(
        "user name `{0}` cannot be in a certificate: only letters, digits, `.`, `-` and `_` can"
    )]
    Unsayable(UserName),
    /// As many as anybody looks through.
    #[error(
        "`{user}` has {max} sessions that count; end some (stayhand session revoke), or wait until one is over"
    )]
    TooMany {
        /// Whose
        user: UserName,
        /// The bound
        max: u32,
    },
    /// It does not count, or never did.
    #[error("session `{0}` does not count (any more); `stayhand session ls` shows those that do")]
    Unknown(SessionId),
}

/// What a revocation ended.
#[derive(Clone, Debug, Default)]
pub struct Ended {
    /// Sessions
    pub sessions: Vec<StoredSession>,
    /// Tokens
    pub tokens: Vec<AccessTokenId>,
}

impl App {
    /// The session of a certificate whose chain was verified, whether it counts or not, and what it may.
    pub async fn session_of(
        &self,
        certificate: &Certificate,
    ) -> Result<Option<(StoredSession, Option<Scope>)>, Error> {
        let Role::Operator(user) = &certificate.name.role else {
            return Ok(None);
        };
        let Some(session) = self.store().session_of(certificate, user).await? else {
            return Ok(None);
        };
        let scope = match session.token {
            None => None,
            Some(id) => {
                let token = self.store().access_token(id).await?;
                let token = token.ok_or(NoToken::UnknownAccess(id))?;
                Some(Scope {
                    purpose: token.purpose,
                    actions: token.actions.into_iter().collect(),
                })
            }
        };
        Ok(Some((session, scope)))
    }

    /// Notes that somebody connected with a session. Break-glass is loud: that is an event.
    pub async fn session_used(&self, session: &StoredSession, address: &str) -> Result<(), Error> {
        let now = self.now();
        let recent = |last: UnixMs| last.is_within(SESSION_USE_PAUSE, now);
        if session.used.is_some_and(recent) {
            return Ok(());
        }
        let mut write = self.store().begin().await?;
        write.session_used(session.id, now).await?;
        if session.door == Door::BreakGlass {
            tracing::warn!(user = %session.user, session = %session.id, %address, "break-glass certificate used");
            let record = SessionChanged {
                address: Some(address.to_owned()),
                ..changed(session, SessionChange::Used)
            };
            write.record(EventKind::SessionChanged(record), now).await?;
        }
        write.commit().await?;
        Ok(())
    }

    /// Opens a session within a change: it counts with the commit.
    pub(super) async fn open_session(
        &self,
        write: &mut Write<'_>,
        proved: Proved,
        request: &Request,
        lifetime: DurationMs,
        now: UnixMs,
    ) -> Result<Opened, Error> {
        let Proved {
            user,
            door,
            subject,
            token,
            address,
        } = proved;
        let role = Role::Operator(user.clone());
        if !role.is_sayable() {
            return Err(NoSession::Unsayable(user).into());
        }
        let max = match token {
            Some(_) => SESSIONS_PER_TOKEN_MAX,
            None => SESSIONS_PER_USER_MAX,
        };
        if write.count_sessions(&user, token, now).await? >= max {
            return Err(NoSession::TooMany { user, max }.into());
        }
        let chain = self.authority().chain();
        let issued = chain.issuing()?.issue(role, request, now, lifetime)?;
        let session = StoredSession {
            id: SessionId(rand::random::<u64>().max(1)),
            serial: issued.serial,
            digest: issued.digest,
            authority: issued.authority,
            user,
            door,
            subject,
            token,
            address,
            created: now,
            expires: issued.expires,
            used: None,
            revoked: None,
        };
        write.add_session(&session).await?;
        let authorities = chain.authorities().certificates().iter();
        Ok(Opened {
            session,
            certificate: issued.certificate,
            authorities: authorities.map(|der| der.to_vec()).collect(),
        })
    }

    /// A certificate for the caller, for when nobody can sign in. Returns where the control plane is reached, too.
    pub async fn create_break_glass(
        &self,
        operator: &Operator,
        request: &[u8],
        ttl: DurationMs,
        reason: String,
    ) -> Result<(Opened, String), Error> {
        let resource = Resource::Session {
            user: operator.user().clone(),
            door: Door::BreakGlass,
        };
        self.allows_of(operator, Action::BreakGlassCreate, &resource, true)?;
        ids::reason(&reason)?;
        let address = self.reached_at()?;
        let request =
            Request::read(request).map_err(|error| Error::field("certificate_request", error))?;
        if ttl.0 == 0 || ttl > BREAK_GLASS_MAX {
            let problem = format!(
                "a break-glass certificate counts for up to {BREAK_GLASS_MAX}, not for {ttl}"
            );
            return Err(Error::field("ttl", problem));
        }
        let now = self.now();
        let proved = Proved {
            user: operator.user().clone(),
            door: Door::BreakGlass,
            subject: None,
            token: None,
            address: None,
        };
        let mut write = self.store().begin().await?;
        let opened = self
            .open_session(&mut write, proved, &request, ttl, now)
            .await?;
        let record = SessionChanged {
            by: Some(operator.user().clone()),
            reason: Some(reason),
            ..changed(&opened.session, SessionChange::Opened)
        };
        write.record(EventKind::SessionChanged(record), now).await?;
        write.commit().await?;
        tracing::warn!(user = %operator.user(), session = %opened.session.id, until = %opened.session.expires, "break-glass certificate made");
        Ok((opened, address))
    }

    /// Those that count and that the caller may see.
    pub async fn session_list(
        &self,
        operator: &Operator,
        user: Option<UserName>,
    ) -> Result<Vec<StoredSession>, Error> {
        self.allows(operator, Action::SessionList, &Resource::Control)?;
        let whose = user.map_or(Whose::All, Whose::User);
        let mut sessions = self.store().live_sessions(&whose, self.now()).await?;
        sessions.retain(|session| {
            let own = session.user == *operator.user();
            self.shows(operator, Action::SessionRead, &resource(session), own)
        });
        Ok(sessions)
    }

    /// Ends sessions: one, or of a person every one with every token. Connections that they opened end at once.
    pub async fn revoke_sessions(
        &self,
        operator: &Operator,
        whose: Whose,
        reason: String,
    ) -> Result<Ended, Error> {
        ids::reason(&reason)?;
        let now = self.now();
        let mut write = self.store().begin().await?;
        let sessions = write.live_sessions(&whose, now).await?;
        for session in &sessions {
            let own = session.user == *operator.user();
            self.allows_of(operator, Action::SessionRevoke, &resource(session), own)?;
        }
        let tokens = match &whose {
            Whose::User(user) => write.live_access_tokens(Some(user), now).await?,
            Whose::All | Whose::One(_) | Whose::Token(_) => vec![],
        };
        for token in &tokens {
            let own = token.user == *operator.user();
            self.allows_of(operator, Action::TokenRevoke, &token_resource(token), own)?;
        }
        match &whose {
            Whose::One(id) if sessions.is_empty() => return Err(NoSession::Unknown(*id).into()),
            // Whether there was anything of somebody's is not for everybody to know.
            Whose::User(user) if sessions.is_empty() && tokens.is_empty() => {
                let (user, own) = (user.clone(), user == operator.user());
                let door = Door::Oidc;
                let resource = Resource::Session { user, door };
                self.allows_of(operator, Action::SessionRevoke, &resource, own)?;
            }
            _ => {}
        }
        let end = SessionEnd {
            at: now,
            by: Some(operator.user().clone()),
            reason,
        };
        end_sessions(&mut write, &sessions, &end).await?;
        for token in &tokens {
            super::access_tokens::end(&mut write, token, &end).await?;
        }
        write.commit().await?;
        tracing::warn!(by = %operator.user(), sessions = sessions.len(), tokens = tokens.len(), "sessions ended");
        Ok(Ended {
            sessions,
            tokens: tokens.into_iter().map(|token| token.id).collect(),
        })
    }

    /// Where whoever is elsewhere reaches the control plane.
    pub(super) fn reached_at(&self) -> Result<String, Error> {
        let address = self.membership.address.clone();
        Ok(address.ok_or(NoToken::NoNetwork)?)
    }
}

/// Ends sessions within a change.
pub(super) async fn end_sessions(
    write: &mut Write<'_>,
    sessions: &[StoredSession],
    end: &SessionEnd,
) -> Result<(), Error> {
    for session in sessions {
        write.revoke_session(session.id, end).await?;
        let record = SessionChanged {
            by: end.by.clone(),
            reason: Some(end.reason.clone()),
            ..changed(session, SessionChange::Revoked)
        };
        write
            .record(EventKind::SessionChanged(record), end.at)
            .await?;
    }
    Ok(())
}

/// What the record says of a session, without who and why.
pub(super) fn changed(session: &StoredSession, change: SessionChange) -> SessionChanged {
    SessionChanged {
        session: Some(session.id),
        change,
        user: Some(session.user.clone()),
        door: session.door,
        subject: session.subject.clone(),
        token: session.token,
        by: None,
        expire_time: Some(session.expires),
        address: session.address.clone(),
        reason: None,
    }
}

fn resource(session: &StoredSession) -> Resource {
    Resource::Session {
        user: session.user.clone(),
        door: session.door,
    }
}

pub(super) fn token_resource(token: &StoredAccessToken) -> Resource {
    Resource::Token(Box::new(TokenResource {
        user: token.user.clone(),
        actions: token.actions.iter().map(ToString::to_string).collect(),
        duration: token.expires.since(token.created),
    }))
}
