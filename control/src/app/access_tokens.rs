//! Tokens with which programs act for whoever made them, and for nobody else: what is somebody's own is the own through this door,
//! too. What one may do is a part of what its maker may, at the time at which it is done.

use stayhand_guardrail::{
    event::{AccessTokenChange, AccessTokenChanged, EventKind, SessionChange},
    id::{AccessTokenId, UserName},
    limits::ACCESS_TOKEN_MAX,
    time::{DurationMs, UnixMs},
};
use stayhand_transport::{AccessToken, Secret};

use super::{
    App, Error, NoToken, Opened, Proved,
    sessions::{changed, end_sessions, token_resource},
};
use crate::{
    authority::Request,
    authz::{Action, Resource},
    limits::{
        ACCESS_TOKENS_PER_USER_MAX, JOIN_REFUSAL_PAUSE, PURPOSE_CHARS_MAX, TOKEN_EVENT_PAUSE,
        TOKEN_SESSION,
    },
    operator::Operator,
    store::{SessionEnd, StoredAccessToken, Whose, Write},
};

/// What somebody asks for.
#[derive(Clone, Debug)]
pub struct CreateAccessToken {
    /// For what it is
    pub purpose: String,
    /// What it may do at most
    pub actions: Vec<Action>,
    /// For how long it is worth something
    pub ttl: DurationMs,
}

/// A token, for whoever asked for it, once.
pub struct CreatedAccessToken {
    /// What is stored
    pub stored: StoredAccessToken,
    /// The token itself
    pub token: AccessToken,
    /// Where the control plane is reached
    pub address: String,
}

impl App {
    /// Makes a token that acts for the caller.
    pub async fn create_access_token(
        &self,
        operator: &Operator,
        ask: CreateAccessToken,
    ) -> Result<CreatedAccessToken, Error> {
        let CreateAccessToken {
            purpose,
            mut actions,
            ttl,
        } = ask;
        actions.sort_unstable();
        actions.dedup();
        let now = self.now();
        let token = AccessToken::new(
            self.authority().chain().issuing()?.pin(),
            AccessTokenId(rand::random::<u64>().max(1)),
            Secret::new(rand::random()),
        );
        let stored = StoredAccessToken {
            id: token.id,
            digest: token.secret.digest().to_vec(),
            purpose,
            user: operator.user().clone(),
            actions,
            created: now,
            expires: now.plus(ttl),
            used: None,
            revoked: None,
            refused: None,
        };
        self.allows_of(
            operator,
            Action::TokenCreate,
            &token_resource(&stored),
            true,
        )?;
        let address = self.reached_at()?;
        checked(&stored, ttl)?;
        let mut write = self.store().begin().await?;
        let live = write.live_access_tokens(Some(&stored.user), now).await?;
        if live.len() >= ACCESS_TOKENS_PER_USER_MAX {
            return Err(NoToken::TooManyAccess(stored.user).into());
        }
        write.add_access_token(&stored).await?;
        let record = record(&stored, AccessTokenChange::Created);
        write
            .record(EventKind::AccessTokenChanged(record), now)
            .await?;
        write.commit().await?;
        tracing::info!(token = %stored.id, user = %stored.user, until = %stored.expires, "access token made");
        Ok(CreatedAccessToken {
            stored,
            token,
            address,
        })
    }

    /// Those that are worth something and that the caller may see.
    pub async fn access_token_list(
        &self,
        operator: &Operator,
    ) -> Result<Vec<StoredAccessToken>, Error> {
        self.allows(operator, Action::TokenList, &Resource::Control)?;
        let mut tokens = self.store().access_tokens(self.now()).await?;
        tokens.retain(|token| {
            let own = token.user == *operator.user();
            self.shows(operator, Action::TokenRead, &token_resource(token), own)
        });
        Ok(tokens)
    }

    /// Takes one away, with the sessions that it opened.
    pub async fn revoke_access_token(
        &self,
        operator: &Operator,
        id: AccessTokenId,
    ) -> Result<StoredAccessToken, Error> {
        let now = self.now();
        let mut write = self.store().begin().await?;
        let found = write.access_token(id).await?;
        let live = found.filter(|token| token.revoked.is_none() && token.expires > now);
        let mut token = live.ok_or(NoToken::UnknownAccess(id))?;
        let own = token.user == *operator.user();
        self.allows_of(operator, Action::TokenRevoke, &token_resource(&token), own)?;
        let revoked = SessionEnd {
            at: now,
            by: Some(operator.user().clone()),
            reason: "its token was taken away".to_owned(),
        };
        end(&mut write, &token, &revoked).await?;
        write.commit().await?;
        tracing::warn!(token = %id, by = %operator.user(), "access token taken away");
        token.revoked = Some(now);
        Ok(token)
    }

    /// A token becomes a session that counts for a short time.
    pub async fn exchange_token(
        &self,
        id: AccessTokenId,
        secret: &Secret,
        request: &[u8],
        address: String,
    ) -> Result<Opened, Error> {
        // ORDER: read first, so that whoever knows no secret cannot hold the writer.
        let known = self.store().access_token(id).await?;
        known
            .filter(|token| secret.has_digest(&token.digest))
            .ok_or(NoToken::NotKnown)?;
        let request =
            Request::read(request).map_err(|error| Error::field("certificate_request", error))?;
        let now = self.now();
        let mut write = self.store().begin().await?;
        let token = write.access_token(id).await?.ok_or(NoToken::NotKnown)?;
        if let Some(why) = worthless(&token, now) {
            refuse(&mut write, &token, why, &address, now).await?;
            write.commit().await?;
            let why = why.to_owned();
            return Err(NoToken::Worthless { token: id, why }.into());
        }
        let proved = Proved {
            user: token.user.clone(),
            door: stayhand_guardrail::event::Door::Token,
            subject: None,
            token: Some(id),
            address: Some(address),
        };
        let lifetime = DurationMs(TOKEN_SESSION.0.min(token.expires.since(now).0));
        let opened = self
            .open_session(&mut write, proved, &request, lifetime, now)
            .await?;
        // A program may come every second: the first time within a while tells as much.
        let recent = |last: UnixMs| last.is_within(TOKEN_EVENT_PAUSE, now);
        if !token.used.is_some_and(recent) {
            write.access_token_used(id, now).await?;
            let record = changed(&opened.session, SessionChange::Opened);
            write.record(EventKind::SessionChanged(record), now).await?;
        }
        write.commit().await?;
        tracing::debug!(token = %id, user = %token.user, session = %opened.session.id, "token exchanged");
        Ok(opened)
    }
}

fn checked(token: &StoredAccessToken, ttl: DurationMs) -> Result<(), Error> {
    if ttl.0 == 0 || ttl > ACCESS_TOKEN_MAX {
        let problem =
            format!("a token is worth something for up to {ACCESS_TOKEN_MAX}, not for {ttl}");
        return Err(Error::field("ttl", problem));
    }
    if token.actions.is_empty() {
        return Err(Error::field(
            "actions",
            "a token that may do nothing is of no use; name what it may",
        ));
    }
    if let Some(action) = token.actions.iter().find(|one| OF_PERSONS.contains(one)) {
        let problem = format!("`{action}` is for people alone, and no program does it for anybody");
        return Err(Error::field("actions", problem));
    }
    let chars = token.purpose.chars().count();
    if token.purpose.trim().is_empty() || chars > PURPOSE_CHARS_MAX {
        let problem = format!("say in 1 to {PURPOSE_CHARS_MAX} characters for what the token is");
        return Err(Error::field("purpose", problem));
    }
    Ok(())
}

/// What no program does for anybody; the rule `programs-approve-nothing` says it as well.
const OF_PERSONS: [Action; 4] = [
    Action::HoldApprove,
    Action::PolicyApprove,
    Action::TokenCreate,
    Action::BreakGlassCreate,
];

fn worthless(token: &StoredAccessToken, now: UnixMs) -> Option<&'static str> {
    if token.revoked.is_some() {
        return Some("was taken away");
    }
    (token.expires <= now || token.created > now).then_some("has expired")
}

/// Records that somebody has the secret of a token that is worth nothing, and not again at once.
async fn refuse(
    write: &mut Write<'_>,
    token: &StoredAccessToken,
    why: &str,
    address: &str,
    now: UnixMs,
) -> Result<(), Error> {
    let recent = |last: UnixMs| last.is_within(JOIN_REFUSAL_PAUSE, now);
    if token.refused.is_some_and(recent) {
        return Ok(());
    }
    write.refuse_access_token(token.id, now).await?;
    let record = AccessTokenChanged {
        address: Some(address.to_owned()),
        reason: Some(format!("the token {why}")),
        ..record(token, AccessTokenChange::Refused)
    };
    write
        .record(EventKind::AccessTokenChanged(record), now)
        .await?;
    Ok(())
}

/// Takes a token away within a change, with the sessions that it opened.
pub(super) async fn end(
    write: &mut Write<'_>,
    token: &StoredAccessToken,
    end: &SessionEnd,
) -> Result<(), Error> {
    write.revoke_access_token(token.id, end.at).await?;
    let sessions = write.live_sessions(&Whose::Token(token.id), end.at).await?;
    end_sessions(write, &sessions, end).await?;
    let record = AccessTokenChanged {
        by: end.by.clone(),
        reason: Some(end.reason.clone()),
        ..record(token, AccessTokenChange::Revoked)
    };
    write
        .record(EventKind::AccessTokenChanged(record), end.at)
        .await?;
    Ok(())
}

fn record(token: &StoredAccessToken, change: AccessTokenChange) -> AccessTokenChanged {
    let user: UserName = token.user.clone();
    AccessTokenChanged {
        token: token.id,
        change,
        purpose: token.purpose.clone(),
        user,
        actions: token.actions.iter().map(ToString::to_string).collect(),
        by: None,
        expire_time: token.expires,
        address: None,
        reason: None,
    }
}
