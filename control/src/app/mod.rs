//! Use cases: load, let the guardrail crate decide, commit, and let the waiting know. Knows no wire type and no
//! SQL; every use case takes a witness of who acts as its first argument.

mod access;
mod access_tokens;
mod approvals;
mod authorities;
mod cases;
mod error;
mod events;
mod flags;
mod grants;
mod holds;
mod hosts;
mod identity;
mod ids;
mod join_tokens;
mod joining;
mod locks;
mod members;
mod permissions;
mod policies;
mod presence;
mod profiles;
mod proposals;
mod removal;
mod rollouts;
mod sessions;
mod sign_in;
mod status;
mod ticker;
mod together;
mod view;
mod words;

pub use access::{SeenEvent, SeenHold};
pub use access_tokens::{CreateAccessToken, CreatedAccessToken};
pub use authorities::{NotRotated, SeenAuthority};
pub use error::Error;
pub use events::{Batch, Through};
pub use grants::CreateGrant;
pub use join_tokens::{CreateToken, CreatedToken, NoToken};
pub use joining::{Joining, NotAdmitted, Shown};
pub use locks::LockError;
pub use members::{Certified, NotCertified};
pub use policies::{Applied, ApplyPolicy};
pub use presence::Session;
pub use profiles::AskedProfile;
pub use removal::{RemovePolicy, Removed};
pub use rollouts::RolloutChange;
pub use sessions::{Ended, NoSession, Opened, Proved};
pub use sign_in::{NotSignedIn, SignIn};
pub use ticker::{Ticker, tick_until};
pub use together::PolicySet;

use std::sync::{Arc, PoisonError, RwLock};

use stayhand_guardrail::{
    approval::Plan,
    id::HostId,
    time::{DurationMs, UnixMs},
};
use stayhand_proto::protocol::AGENT_PROTOCOL_MIN;

use crate::{
    authority::Authority,
    clock::{Machine, Outside},
    limits::{JOIN_REFUSAL_PAUSE, RECOVERY_REFUSAL_PAUSE},
    names::Names,
    people::People,
    seldom::Seldom,
    store::Store,
};
use presence::Presence;
use words::Words;

/// How hosts and people over the network are let in.
pub struct Membership {
    /// Who signs their certificates
    pub authority: Authority,
    /// Where they reach the control plane; none where they do not
    pub address: Option<String>,
    /// How long a certificate counts
    pub certificate_lifetime: DurationMs,
    /// How often a host may come back by its bound key
    pub recovery_pause: DurationMs,
    /// How people sign in
    pub sign_in: SignIn,
}

/// The control plane without its sockets.
pub struct App {
    store: Store,
    names: Names,
    people: People,
    changes: Option<Plan>,
    membership: Membership,
    policies: RwLock<Arc<PolicySet>>,
    presence: Presence,
    words: Words,
    /// Subjects of the identity provider that were refused, by what is shown of them
    strangers: Seldom<String>,
    /// Hosts that were refused when they came back by their bound key
    not_recovered: Seldom<HostId>,
    outside: Arc<dyn Outside>,
    oldest_protocol: u32,
}

impl App {
    /// Starts on a store.
    pub async fn new(
        store: Store,
        names: Names,
        people: People,
        changes: Option<Plan>,
        membership: Membership,
    ) -> Result<Self, Error> {
        let app = Self {
            store,
            names,
            people,
            changes,
            membership,
            policies: RwLock::default(),
            presence: Presence::default(),
            words: Words::new(),
            strangers: Seldom::new(JOIN_REFUSAL_PAUSE),
            not_recovered: Seldom::new(RECOVERY_REFUSAL_PAUSE),
            outside: Arc::new(Machine),
            oldest_protocol: AGENT_PROTOCOL_MIN,
        };
        app.reload_policies().await?;
        Ok(app)
    }

    /// The same with another clock and other ids than this machine's. Nothing waits for this machine's time then.
    #[must_use]
    pub fn with_outside(mut self, outside: Arc<dyn Outside>) -> Self {
        self.outside = outside;
        self.words = Words::without_pause();
        self
    }

    /// The same for agents that speak this protocol or a later one.
    #[must_use]
    pub fn with_oldest_protocol(mut self, oldest: u32) -> Self {
        self.oldest_protocol = oldest;
        self
    }

    /// For how long leases count on hosts from now on after the last proof that they have the newest state; none where each counts until
    /// its own end. Every host hears of a change, and keeps it while it is away. Said once, before any host is heard.
    pub async fn keep_fresh_for(&self, span: Option<DurationMs>) -> Result<(), Error> {
        self.store.begins(self.now());
        let mut write = self.store.begin().await?;
        let changed = write.set_freshness(span).await?;
        write.commit().await?;
        if changed {
            let span =
                span.map_or_else(|| "until their own end".to_owned(), |span| span.to_string());
            tracing::info!(
                span,
                "how long grants count on hosts that hear nothing has changed"
            );
        }
        Ok(())
    }

    /// The wall clock as this control plane has it.
    pub fn now(&self) -> UnixMs {
        self.outside.now()
    }

    /// The store, for reading and for waiting on changes.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Who signs certificates.
    pub fn authority(&self) -> &Authority {
        &self.membership.authority
    }

    /// The revisions that count, parsed.
    fn policies(&self) -> Arc<PolicySet> {
        Arc::clone(&self.policies.read().unwrap_or_else(PoisonError::into_inner))
    }
}
