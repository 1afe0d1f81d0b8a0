//! Tokens with which hosts join: made by operators, shown once, worth something for a short time.

use stayhand_guardrail::{
    event::{EventKind, JoinTokenChange, JoinTokenChanged},
    id::{AccessTokenId, HostId, JoinTokenId, UserName},
    limits::{JOIN_TOKEN_MAX, JOIN_TOKEN_USES_MAX},
    time::DurationMs,
};
use stayhand_transport::{JoinToken, Secret};

use super::{App, Error};
use crate::{
    authz::{Action, Resource},
    limits::{ACCESS_TOKENS_PER_USER_MAX, JOIN_TOKENS_MAX},
    operator::Operator,
    store::StoredToken,
};

/// What an operator asks for.
#[derive(Clone, Debug)]
pub struct CreateToken {
    /// For how long it is worth something
    pub ttl: DurationMs,
    /// For how many hosts
    pub uses: u32,
    /// For this one only
    pub host: Option<HostId>,
    /// Which may have joined before
    pub replaces: bool,
}

/// A token, for whoever asked for it, once.
pub struct CreatedToken {
    /// What is stored
    pub stored: StoredToken,
    /// The token itself
    pub token: JoinToken,
    /// Where hosts reach the control plane
    pub address: String,
}

/// Why there is no token, none to take away, or none that is worth anything.
#[derive(Debug, thiserror::Error)]
pub enum NoToken {
    /// Hosts could not reach anybody with it.
    #[error(
        "nobody is served over the network: set `network.listen` in control.toml, as in listen = \"[::]:7443\", and restart"
    )]
    NoNetwork,
    /// As many as anybody looks through.
    #[error(
        "{JOIN_TOKENS_MAX} join tokens are worth something already; revoke some, or wait until they expire"
    )]
    TooMany,
    /// It is worth nothing, or never was.
    #[error(
        "join token `{0}` is worth nothing (any more); `stayhand host token ls` shows those that are"
    )]
    Unknown(JoinTokenId),
    /// The same of one for programs.
    #[error("token `{0}` is worth nothing (any more); `stayhand token ls` shows those that are")]
    UnknownAccess(AccessTokenId),
    /// As many as anybody looks through.
    #[error(
        "`{0}` has {ACCESS_TOKENS_PER_USER_MAX} tokens that are worth something already; revoke some, or wait until they expire"
    )]
    TooManyAccess(UserName),
    /// No such token, or not its secret: which of them nobody is told who does not have it.
    #[error("the token is not known here; make another with `stayhand token create`")]
    NotKnown,
    /// Somebody has the secret, and it is worth nothing.
    #[error("token {token} {why}; make another with `stayhand token create`")]
    Worthless {
        /// The token
        token: AccessTokenId,
        /// What is wrong with it
        why: String,
    },
}

impl App {
    /// Makes a token.
    pub async fn create_token(
        &self,
        operator: &Operator,
        ask: CreateToken,
    ) -> Result<CreatedToken, Error> {
        let CreateToken {
            ttl,
            uses,
            host,
            replaces,
        } = ask;
        let resource = match &host {
            Some(host) => self.named_host(host).await?,
            None => Resource::Control,
        };
        self.allows(operator, Action::HostAdminister, &resource)?;
        let address = self.reached_at()?;
        if ttl.0 == 0 || ttl > JOIN_TOKEN_MAX {
            let problem = format!(
                "a join token is worth something for up to {JOIN_TOKEN_MAX}, not for {ttl}"
            );
            return Err(Error::field("ttl", problem));
        }
        if !(1..=JOIN_TOKEN_USES_MAX).contains(&uses) {
            let problem = format!("{uses} hosts; a join token is for 1 to {JOIN_TOKEN_USES_MAX}");
            return Err(Error::field("uses", problem));
        }
        if host.is_some() && uses != 1 {
            return Err(Error::field("uses", "one host joins once"));
        }
        if replaces && host.is_none() {
            return Err(Error::field(
                "replace",
                "says of one host that it may join anew: name it (--host)",
            ));
        }
        let now = self.now();
        let token = JoinToken::new(
            self.membership.authority.chain().issuing()?.pin(),
            // Never 0, which is no id.
            JoinTokenId(rand::random::<u64>().max(1)),
            Secret::new(rand::random()),
        );
        let stored = StoredToken {
            id: token.id,
            digest: token.secret.digest().to_vec(),
            created_by: operator.user().clone(),
            created: now,
            expires: now.plus(ttl),
            uses_left: uses,
            host,
            replaces,
            revoked: None,
            refused: None,
        };
        let mut write = self.store().begin().await?;
        if write.live_tokens(now).await?.len() >= JOIN_TOKENS_MAX {
            return Err(NoToken::TooMany.into());
        }
        write.add_token(&stored).await?;
        let record = record(&stored, JoinTokenChange::Created, operator);
        write.record(record, now).await?;
        write.commit().await?;
        tracing::info!(token = %stored.id, by = %stored.created_by, until = %stored.expires, "join token made");
        Ok(CreatedToken {
            stored,
            token,
            address,
        })
    }

    /// Those that are worth something.
    pub async fn token_list(&self, operator: &Operator) -> Result<Vec<StoredToken>, Error> {
        self.allows(operator, Action::HostList, &Resource::Control)?;
        Ok(self.store().tokens(self.now()).await?)
    }

    /// Takes one away. Hosts that joined with it are not touched.
    pub async fn revoke_token(
        &self,
        operator: &Operator,
        id: JoinTokenId,
    ) -> Result<StoredToken, Error> {
        self.allows(operator, Action::HostAdminister, &Resource::Control)?;
        let now = self.now();
        let mut write = self.store().begin().await?;
        let live = write.live_tokens(now).await?;
        let token = live.into_iter().find(|token| token.id == id);
        let mut token = token.ok_or(NoToken::Unknown(id))?;
        write.revoke_token(id, now).await?;
        let record = record(&token, JoinTokenChange::Revoked, operator);
        write.record(record, now).await?;
        write.commit().await?;
        token.revoked = Some(now);
        Ok(token)
    }
}

fn record(token: &StoredToken, change: JoinTokenChange, operator: &Operator) -> EventKind {
    EventKind::JoinTokenChanged(JoinTokenChanged {
        token: token.id,
        change,
        by: Some(operator.user().clone()),
        member: token.host.clone(),
        expire_time: token.expires,
        uses_left: token.uses_left,
        address: None,
        reason: None,
    })
}
