//! Who may act. [`Operator`] and [`HostAgent`] are witnesses: only a check here makes one, and every use case
//! takes one as its first argument.

use std::sync::Arc;

use stayhand_guardrail::{
    id::{GroupName, HostId, SessionId, UserName},
    text::safe,
    time::UnixMs,
};
use stayhand_transport::{BACKDATE, Certificate, Role, Serial};

use crate::{
    authz::{
        Action, Asked, Authorization, Caller, Denied, GUARDED_SUBJECTS, May, Scope, Transport,
    },
    identity::Peer,
    names::{Names, NamesError, Person},
    store::{Revoked, SessionEnd, Standing, StoredSession},
};

/// Who operators are, from the configuration, and what rules say of them and others.
#[derive(Clone, Debug)]
pub struct Operators {
    /// These users
    pub users: Vec<UserName>,
    /// Members of these groups
    pub groups: Vec<GroupName>,
    /// Who may do what
    pub rules: Authorization,
}

/// Somebody whom rules let act, in one way or another. What of it is for every use case to ask.
#[derive(Clone, Debug)]
pub struct Operator {
    caller: Arc<Caller>,
    auid: Option<u32>,
    session: Option<(SessionId, UnixMs)>,
    rules: Authorization,
}

impl Operator {
    /// The person.
    pub fn user(&self) -> &UserName {
        &self.caller.user
    }

    /// The person as rules see it.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Whether this is that person, by name or by login uid.
    pub fn is(&self, subject: &stayhand_guardrail::subject::Subject) -> bool {
        subject.user.as_ref() == Some(self.user()) || self.auid == Some(subject.auid)
    }

    /// Whether this is somebody of this machine's name service: one uid can have several names.
    pub fn has_name(&self, person: &Person) -> bool {
        person.names.contains(self.user()) || (person.uid.is_some() && self.auid == person.uid)
    }

    /// Whether there is nothing by which to tell that somebody who has no name but a uid is somebody else.
    pub fn has_no_uid(&self) -> bool {
        self.auid.is_none()
    }

    /// The session over the network and its end; none where the kernel names the caller.
    pub fn session(&self) -> Option<(SessionId, UnixMs)> {
        self.session
    }

    /// Whether rules let the person do this.
    pub fn may(&self, asked: &Asked<'_>, now: UnixMs) -> Result<(), Box<Denied>> {
        self.rules.decide(&self.caller, asked, now)
    }

    /// What rules let the person do.
    pub fn rights(&self) -> Vec<May> {
        self.rules.of(&self.caller)
    }
}

/// The agent of a host.
#[derive(Clone, Debug)]
pub struct HostAgent {
    host: HostId,
    serial: Option<Serial>,
}

impl HostAgent {
    /// Its host: the transport's word, never a message's.
    pub fn host(&self) -> &HostId {
        &self.host
    }

    /// The certificate that it showed; none where it came over the socket.
    pub fn serial(&self) -> Option<&Serial> {
        self.serial.as_ref()
    }
}

/// Why a peer may not act.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A guarded subject is never an operator on that host, whatever its uid, its groups and the rules are.
    #[error(
        "`{who}` is guarded on this host and cannot act as operator here; ask another approver (rule `{GUARDED_SUBJECTS}` forbids \
         `{action}`)"
    )]
    Guarded {
        /// Who asked
        who: String,
        /// For what
        action: Action,
    },
    /// Nobody can be held to account.
    #[error("{0} has no name on this host, so nobody could tell who acted; log in as a named user")]
    Nameless(String),
    /// No rule lets them.
    #[error(transparent)]
    Denied(#[from] Box<Denied>),
    /// The session over the network does not count.
    #[error(transparent)]
    Session(#[from] SessionRefused),
    /// In which groups somebody is, nobody can tell: a rule about one of them may forbid it.
    #[error(transparent)]
    Names(#[from] NamesError),
    /// Hosts' agents run as root.
    #[error("{0} is no host's agent; only an unguarded root process is")]
    NotAgent(String),
}

/// Checks that a peer may do such a thing at all. Of what is for the use case to ask.
pub async fn authorize(
    peer: &Peer,
    operators: &Operators,
    names: &Names,
    action: Action,
) -> Result<Operator, Refusal> {
    // ORDER: first, and without any rule that somebody could have written.
    if peer.is_guarded() {
        return Err(Refusal::Guarded {
            who: peer.shown(),
            action,
        });
    }
    let user = peer.user().ok_or_else(|| Refusal::Nameless(peer.shown()))?;
    let known = Known {
        user: user.clone(),
        transport: Transport::Socket,
        scope: None,
    };
    let caller = admitted(known, operators, names, action).await?;
    Ok(Operator {
        caller,
        // Whom no login names the uid names, here as above.
        auid: peer.auid().or_else(|| Some(peer.uid())),
        session: None,
        rules: operators.rules.clone(),
    })
}

/// Who somebody is, and how that is known.
struct Known {
    user: UserName,
    transport: Transport,
    scope: Option<Scope>,
}

/// Asks rules about somebody whom no policy guards here.
async fn admitted(
    known: Known,
    operators: &Operators,
    names: &Names,
    action: Action,
) -> Result<Arc<Caller>, Refusal> {
    let Known {
        user,
        transport,
        scope,
    } = known;
    let groups = names.groups(&user).await?;
    let is_operator = operators.users.contains(&user)
        || groups.iter().any(|group| operators.groups.contains(group));
    let caller = Caller {
        user,
        groups,
        is_operator,
        is_guarded: false,
        transport,
        scope,
    };
    operators.rules.admit(&caller, action)?;
    Ok(Arc::new(caller))
}

/// A session over the network as it was found.
#[derive(Clone, Debug)]
pub struct FoundSession {
    /// The session of the certificate; none where nobody here issued that
    pub session: Option<(StoredSession, Option<Scope>)>,
    /// Whether a policy guards its owner on this host
    pub guarded: bool,
}

/// Why a session does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionRefused {
    /// It is over.
    #[error("your session was over at {0}: sign in again")]
    Over(UnixMs),
    /// Nobody here opened it.
    #[error("your session is not known here: sign in again")]
    Unknown,
    /// Somebody ended it.
    #[error("your session was ended{}: {}", by_user(.0.by.as_ref()), safe(&.0.reason))]
    Revoked(SessionEnd),
}

fn by_user(by: Option<&UserName>) -> String {
    by.map_or_else(String::new, |by| format!(" by {by}"))
}

/// Checks that a session counts now, and that its owner may do such a thing at all. It is the same person as on the socket.
pub async fn authorize_session(
    found: FoundSession,
    operators: &Operators,
    names: &Names,
    action: Action,
    now: UnixMs,
) -> Result<Operator, Refusal> {
    let FoundSession { session, guarded } = found;
    let (session, scope) = session.ok_or(SessionRefused::Unknown)?;
    if let Some(end) = session.revoked {
        return Err(SessionRefused::Revoked(end).into());
    }
    // From a time that is to come it is no better: one of the clocks was wrong then.
    if session.expires <= now || session.created > now.plus(BACKDATE) {
        return Err(SessionRefused::Over(session.expires).into());
    }
    // ORDER: before any rule that somebody could have written.
    if guarded {
        let who = session.user.to_string();
        return Err(Refusal::Guarded { who, action });
    }
    let auid = names.uid(&session.user).await?;
    let known = Known {
        user: session.user,
        transport: Transport::Network(session.door),
        scope,
    };
    let caller = admitted(known, operators, names, action).await?;
    Ok(Operator {
        caller,
        auid,
        session: Some((session.id, session.expires)),
        rules: operators.rules.clone(),
    })
}

/// Why a certificate does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAccepted {
    /// It is over.
    #[error("the certificate of host `{0}` does not count now, only until {1}")]
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
    /// It is the control plane's machine by name, and another one.
    #[error(
        "host `{0}` has the name of the control plane's own machine, which was given to it after the host had joined: rename one of them"
    )]
    OwnName(HostId),
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
    own: &HostId,
    now: UnixMs,
) -> Result<HostAgent, NotAccepted> {
    let Role::Host(host) = certificate.name.role.clone() else {
        return Err(NotAccepted::NotAHost);
    };
    match standing {
        Standing::Revoked(how) => Err(NotAccepted::Revoked { host, how }),
        Standing::Unknown => Err(NotAccepted::Unknown(host)),
        // From a time that is to come it is no better: one of the clocks was wrong then.
        Standing::Good { .. } if certificate.not_after <= now || certificate.not_before > now => {
            Err(NotAccepted::Over(host, certificate.not_after))
        }
        Standing::Good { .. } if host == *own => Err(NotAccepted::OwnName(host)),
        Standing::Good { .. } => Ok(HostAgent {
            host,
            serial: Some(certificate.serial.clone()),
        }),
    }
}

/// Checks that a peer is the agent of this host. The user as whom this control plane runs counts as root: it can
/// write the store anyway.
pub fn authorize_agent(peer: &Peer, host: &HostId) -> Result<HostAgent, Refusal> {
    let own = nix::unistd::geteuid().as_raw();
    if peer.is_guarded() || (peer.uid() != 0 && peer.uid() != own) {
        return Err(Refusal::NotAgent(peer.shown()));
    }
    Ok(HostAgent {
        host: host.clone(),
        serial: None,
    })
}
