//! Events that are no decisions: what happened to holds, grants, policies, records and the agent.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{
    action::ProcessInfo,
    grant::GrantChange,
    hold::HoldPhase,
    host::Phase,
    id::{
        AccessTokenId, FlagName, Generation, GrantId, HoldId, HostId, JoinTokenId, LockId,
        PolicyName, ProposalId, Revision, SessionId, UserName,
    },
    key::PermissionRef,
    lock::Target,
    subject::Subject,
    time::UnixMs,
    values::ProfileUse,
};

/// A hold moved on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldChanged {
    /// The hold
    pub hold: HoldId,
    /// From where
    pub from: HoldPhase,
    /// To where
    pub to: HoldPhase,
    /// Whether the approved call went on
    pub released: bool,
    /// Who decided; none where nobody did
    pub by: Option<UserName>,
    /// Why
    pub reason: Option<String>,
}

/// A grant changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantChanged {
    /// The grant
    pub grant: GrantId,
    /// What happened to it
    pub change: GrantChange,
    /// Whose it is
    pub user: UserName,
    /// What it permits
    pub permissions: Vec<PermissionRef>,
    /// The profile that gave them, with its values
    #[serde(default)]
    pub profile: Option<ProfileUse>,
    /// Who did it; none where time did
    pub by: Option<UserName>,
    /// Why
    pub reason: Option<String>,
    /// When it ends or would have ended
    pub expire_time: UnixMs,
}

/// What happened to a policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyChange {
    /// The revision counts
    #[default]
    Applied,
    /// Somebody wants it to
    Proposed,
    /// Somebody approved that
    Approved,
    /// Somebody refused that
    Refused,
    /// The revision begins to come to hosts
    RollOut,
    /// It comes to the hosts of the next phase
    RollOutAdvanced,
    /// Every host has it
    RolledOut,
    /// Every host has the revision before again
    RollOutStopped,
    /// The phase that was stopped begins once more
    RollOutResumed,
    /// It counts nowhere any more; the revision says nothing
    Removed,
}

impl PolicyChange {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Proposed => "proposed",
            Self::Approved => "approved",
            Self::Refused => "refused",
            Self::RollOut => "roll-out begun",
            Self::RollOutAdvanced => "roll-out advanced",
            Self::RolledOut => "rolled out",
            Self::RollOutStopped => "roll-out stopped",
            Self::RollOutResumed => "roll-out resumed",
            Self::Removed => "removed",
        }
    }
}

/// A policy revision was applied, or is on its way there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyChanged {
    /// The policy
    pub policy: PolicyName,
    /// The new version
    pub revision: Revision,
    /// By whom; none where time or what hosts did was it
    pub by: Option<UserName>,
    /// What they did
    pub change: PolicyChange,
    /// By which proposal, where changes take several people
    pub proposal: Option<ProposalId>,
    /// Why, where it was said
    pub reason: Option<String>,
}

/// A flag was set or taken away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlagChanged {
    /// The flag
    pub flag: FlagName,
    /// Until when it is set; none where it was taken away
    pub until: Option<UnixMs>,
    /// By whom
    pub by: UserName,
    /// Why
    pub reason: String,
}

/// What happened to a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LockChange {
    /// It stands
    Created,
    /// Somebody took it away
    Removed,
    /// Its time is over
    Ended,
}

impl LockChange {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Removed => "removed",
            Self::Ended => "ended",
        }
    }
}

/// A lock was made, or is there no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockChanged {
    /// The lock
    pub lock: LockId,
    /// Whom and where
    pub target: Target,
    /// What happened
    pub change: LockChange,
    /// Until when it stands or would have stood; none where it has no end
    pub until: Option<UnixMs>,
    /// By whom; none where time did
    pub by: Option<UserName>,
    /// Why; none where time did
    pub reason: Option<String>,
}

/// What happened to a host's membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MembershipChange {
    /// It has its first certificate
    Joined,
    /// It got one by its bound key, because the one it had was over
    Recovered,
    /// None of its certificates counts any more
    Revoked,
}

impl MembershipChange {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Joined => "joined",
            Self::Recovered => "recovered",
            Self::Revoked => "revoked",
        }
    }
}

/// A host joined, came back, or lost its certificates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MembershipChanged {
    /// The host that it is about
    pub member: HostId,
    /// What happened
    pub change: MembershipChange,
    /// Who did it; none where the host itself did
    pub by: Option<UserName>,
    /// The token with which it joined
    pub token: Option<JoinTokenId>,
    /// From where it came
    pub address: Option<String>,
    /// Why
    pub reason: Option<String>,
}

/// What happened to a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JoinTokenChange {
    /// It was made
    Created,
    /// Nobody joins with it any more
    Revoked,
    /// Somebody had the secret and did not get in
    Refused,
}

impl JoinTokenChange {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Revoked => "revoked",
            Self::Refused => "refused",
        }
    }
}

/// A token with which hosts join was made, taken away or refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinTokenChanged {
    /// The token; names it, and is no secret
    pub token: JoinTokenId,
    /// What happened
    pub change: JoinTokenChange,
    /// Who did it; none where a host did
    pub by: Option<UserName>,
    /// The host for which it is, or that showed it
    pub member: Option<HostId>,
    /// Until when it is worth something
    pub expire_time: UnixMs,
    /// For how many hosts
    pub uses_left: u32,
    /// From where it was shown
    pub address: Option<String>,
    /// Why
    pub reason: Option<String>,
}

/// What happened to an authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuthorityChange {
    /// It issues from here on
    Made,
    /// Nobody believes it any more
    Retired,
}

impl AuthorityChange {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Made => "made",
            Self::Retired => "retired",
        }
    }
}

/// An authority that signs certificates was made, or is believed no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorityChanged {
    /// Its number; from 1
    pub authority: u32,
    /// What happened
    pub change: AuthorityChange,
    /// Who did it; none where it was the first, or every host had left it
    pub by: Option<UserName>,
    /// Why
    pub reason: Option<String>,
}

/// How somebody over the network proved who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Door {
    /// At the identity provider (`OpenID` Connect)
    Oidc,
    /// By a certificate that was made for when the provider cannot be reached
    BreakGlass,
    /// By a token that the person made for a program
    Token,
}

impl Door {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Oidc, Self::BreakGlass, Self::Token];

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Oidc => "oidc",
            Self::BreakGlass => "break-glass",
            Self::Token => "token",
        }
    }

    /// Reads the word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|door| door.as_str() == word)
    }
}

/// What happened to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SessionChange {
    /// It counts from here on
    Opened,
    /// A break-glass certificate was used for a connection
    Used,
    /// It counts no more
    Revoked,
    /// Somebody was known and did not get one
    Refused,
}

impl SessionChange {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Opened, Self::Used, Self::Revoked, Self::Refused];

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Used => "used",
            Self::Revoked => "revoked",
            Self::Refused => "refused",
        }
    }
}

/// A session of an operator over the network began, was used, ended before its time, or was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionChanged {
    /// The session; none where there came to be none
    pub session: Option<SessionId>,
    /// What happened
    pub change: SessionChange,
    /// Whose it is; none where nobody is linked to the subject
    pub user: Option<UserName>,
    /// How they are known
    pub door: Door,
    /// Who the provider says that they are
    pub subject: Option<String>,
    /// With which token
    pub token: Option<AccessTokenId>,
    /// Who ended it
    pub by: Option<UserName>,
    /// Until when it counts
    pub expire_time: Option<UnixMs>,
    /// From where
    pub address: Option<String>,
    /// Why
    pub reason: Option<String>,
}

/// What happened to a token for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AccessTokenChange {
    /// It was made
    Created,
    /// It is worth nothing any more, and neither is what was opened with it
    Revoked,
    /// Somebody had the secret, and it was worth nothing any more
    Refused,
}

impl AccessTokenChange {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Created, Self::Revoked, Self::Refused];

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Revoked => "revoked",
            Self::Refused => "refused",
        }
    }
}

/// A token with which programs act for an operator was made, taken away or refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessTokenChanged {
    /// The token; names it, and is no secret
    pub token: AccessTokenId,
    /// What happened
    pub change: AccessTokenChange,
    /// For what its maker says that it is
    pub purpose: String,
    /// For whom it acts
    pub user: UserName,
    /// What it may do
    pub actions: Vec<String>,
    /// Who took it away
    pub by: Option<UserName>,
    /// Until when it is worth something
    pub expire_time: UnixMs,
    /// From where it was shown
    pub address: Option<String>,
    /// Why
    pub reason: Option<String>,
}

/// Event class, which is also the ring that carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EventClass {
    /// Holds, their outcomes, tamper, grant-covered allows
    A,
    /// Denials
    B,
    /// Alerts and would-have
    C,
}

impl EventClass {
    /// The letter.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
            Self::C => "C",
        }
    }

    /// Reads the kernel's number.
    pub fn from_code(raw: u16) -> Option<Self> {
        [Self::A, Self::B, Self::C].get(usize::from(raw)).copied()
    }
}

/// Where events got lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LossStage {
    /// The ring was full
    Ring,
    /// The kernel or the machine went down
    Crash,
    /// The spool could not take it
    Spool,
    /// The record could not be read
    Decode,
}

impl LossStage {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Ring, Self::Crash, Self::Spool, Self::Decode];

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::Crash => "crash",
            Self::Spool => "spool",
            Self::Decode => "decode",
        }
    }
}

/// A word that is no class or stage of a loss.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a class or stage of a loss")]
pub struct NotALoss(String);

impl FromStr for EventClass {
    type Err = NotALoss;
    fn from_str(text: &str) -> Result<Self, NotALoss> {
        let found = [Self::A, Self::B, Self::C]
            .into_iter()
            .find(|class| class.as_str() == text);
        found.ok_or_else(|| NotALoss(crate::text::safe(text)))
    }
}

impl FromStr for LossStage {
    type Err = NotALoss;
    fn from_str(text: &str) -> Result<Self, NotALoss> {
        let found = Self::ALL.into_iter().find(|stage| stage.as_str() == text);
        found.ok_or_else(|| NotALoss(crate::text::safe(text)))
    }
}

/// Recorded decisions that left no event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// Of which class
    pub class: EventClass,
    /// How many; 0 = not known, the only uncounted loss is a crash
    pub count: u64,
    /// Where
    pub stage: LossStage,
    /// Since when
    pub since: UnixMs,
}

/// The agent at its start or stop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentState {
    /// Its version
    pub version: String,
    /// Whether the kernel enforces
    pub enforced: bool,
    /// Hooks, problems, anything to add
    pub detail: String,
}

/// A generation reached a phase on the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnforcementEvent {
    /// The generation
    pub generation: Generation,
    /// How far it is
    pub phase: Phase,
}

/// Somebody worked on the guardrail itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tamper {
    /// What was seen
    pub what: String,
    /// Who, where known
    pub subject: Option<Subject>,
    /// By which process, where known
    pub process: Option<ProcessInfo>,
}
