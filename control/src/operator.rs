//! Who may act. [`Operator`] and [`HostAgent`] are witnesses: only a check here makes one, and every use case
//! takes one as its first argument.

use stayhand_guardrail::{
    id::{GroupName, HostId, UserName},
    text::safe,
    time::UnixMs,
};
use stayhand_transport::{Certificate, Role};

use crate::{
    identity::Peer,
    names::Names,
    store::{Revoked, Standing},
};

/// Who operators are, from the configuration.
#[derive(Clone, Debug)]
pub struct Operators {
    /// These users
    pub users: Vec<UserName>,
    /// Members of these groups
    pub groups: Vec<GroupName>,
}

/// Somebody who may act as operator.
#[derive(Clone, Debug)]
pub struct Operator {
    user: UserName,
    auid: Option<u32>,
}

impl Operator {
    /// The person.
    pub fn user(&self) -> &UserName {
        &self.user
    }

    /// Whether this is that person, by name or by login uid.
    pub fn is(&self, subject: &stayhand_guardrail::subject::Subject) -> bool {
        subject.user.as_ref() == Some(&self.user) || self.auid == Some(subject.auid)
    }
}

/// The agent of a host.
#[derive(Clone, Debug)]
pub struct HostAgent {
    host: HostId,
}

impl HostAgent {
    /// Its host: the transport's word, never a message's.
    pub fn host(&self) -> &HostId {
        &self.host
    }
}

/// Why a peer may not act.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A guarded subject is never an operator on that host, whatever its uid and groups are.
    #[error("`{0}` is guarded on this host and cannot act as operator here; ask another approver")]
    Guarded(String),
    /// Nobody can be held to account.
    #[error("{0} has no name on this host, so nobody could tell who acted; log in as a named user")]
    Nameless(String),
    /// Not in the configuration.
    #[error("`{0}` is no operator; ask one, or have `{0}` added to `operators` in control.toml")]
    NotOperator(UserName),
    /// Hosts' agents run as root.
    #[error("{0} is no host's agent; only an unguarded root process is")]
    NotAgent(String),
}

/// Checks that a peer is an operator.
pub async fn authorize(
    peer: &Peer,
    operators: &Operators,
    names: &Names,
) -> Result<Operator, Refusal> {
    if peer.is_guarded() {
        return Err(Refusal::Guarded(peer.shown()));
    }
    let user = peer.user().ok_or_else(|| Refusal::Nameless(peer.shown()))?;
    let listed = operators.users.contains(user);
    if listed
        || names
            .groups(user)
            .await
            .iter()
            .any(|group| operators.groups.contains(group))
    {
        return Ok(Operator {
            user: user.clone(),
            auid: peer.auid(),
        });
    }
    Err(Refusal::NotOperator(user.clone()))
}

/// Why a certificate does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAccepted {
    /// It is over.
    #[error("the certificate of host `{0}` is over since {1}")]
    Over(HostId, UnixMs),
    /// Nobody here issued it.
    #[error("the certificate of host `{0}` is not known here")]
    Unknown(HostId),
    /// It was taken away.
    #[error("host `{host}` was revoked{}", by_whom(.how.as_ref()))]
    Revoked {
        /// The host
        host: HostId,
        /// By whom and why; none where the host has joined anew since
        how: Option<Revoked>,
    },
    /// It is nobody's.
    #[error("the certificate is no host's")]
    NotAHost,
}

fn by_whom(revoked: Option<&Revoked>) -> String {
    revoked.map_or_else(
        || ": it has joined anew since, with other keys".to_owned(),
        |revoked| format!(" by {}: {}", revoked.by, safe(&revoked.reason)),
    )
}

/// Checks that a certificate whose chain was verified counts now.
pub fn authorize_member(
    certificate: &Certificate,
    standing: Standing,
    now: UnixMs,
) -> Result<HostAgent, NotAccepted> {
    let Role::Host(host) = certificate.name.role.clone() else {
        return Err(NotAccepted::NotAHost);
    };
    match standing {
        Standing::Revoked(how) => Err(NotAccepted::Revoked { host, how }),
        Standing::Unknown => Err(NotAccepted::Unknown(host)),
        Standing::Good { .. } if certificate.not_after <= now => {
            Err(NotAccepted::Over(host, certificate.not_after))
        }
        Standing::Good { .. } => Ok(HostAgent { host }),
    }
}

/// Checks that a peer is the agent of this host. The user as whom this control plane runs counts as root: it can
/// write the store anyway.
pub fn authorize_agent(peer: &Peer, host: &HostId) -> Result<HostAgent, Refusal> {
    let own = nix::unistd::geteuid().as_raw();
    if peer.is_guarded() || (peer.uid() != 0 && peer.uid() != own) {
        return Err(Refusal::NotAgent(peer.shown()));
    }
    Ok(HostAgent { host: host.clone() })
}
