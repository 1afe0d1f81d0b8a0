//! Why a use case did not happen. Nothing is changed by one that failed.

use stayhand_guardrail::{
    grant, hold,
    id::{FlagName, GrantId, HoldId, HostId, PolicyName, ProposalId, Revision, UserName},
    key::PermissionRef,
    policy::{Diagnostic, compile::CompileError, floor, profile},
    prefix::PrefixError,
    proposal, rollout,
    time::{DurationMs, UnixMs},
};

use super::{LockError, NoSession, NoToken, NotAdmitted, NotCertified, NotRotated, NotSignedIn};
use crate::{
    authority::AuthorityError, authz::Denied, names::NamesError, people::PeopleError,
    store::StoreError,
};

/// A use case that did not happen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field of a request.
    #[error("{field}: {problem}")]
    Field {
        /// The field
        field: String,
        /// What is wrong with it
        problem: String,
    },
    /// What a grant cannot be.
    #[error(transparent)]
    Grant(#[from] grant::Invalid),
    /// A lock, in the way or not there.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A prefix of an id.
    #[error("{kind}: {error}")]
    Prefix {
        /// Kind of id
        kind: &'static str,
        /// What is wrong with it
        error: PrefixError,
    },
    /// Who somebody is cannot be told, and nobody guesses.
    #[error(transparent)]
    Names(#[from] NamesError),
    /// The name service does not know the user.
    #[error("user `{0}` is not known on this host")]
    UnknownUser(UserName),
    /// No agent of that name ever connected.
    #[error("host `{0}` is not known; `stayhand host ls` shows the hosts")]
    UnknownHost(HostId),
    /// No policy of that name, or no such revision.
    #[error("policy `{name}`{} does not exist", of_revision(*.revision))]
    UnknownPolicy {
        /// The name
        name: PolicyName,
        /// The revision, if one was asked for
        revision: Option<Revision>,
    },
    /// No policy defines the permission.
    #[error("permission `{name}` is not defined by any policy{}", known_ones(.known))]
    UnknownPermission {
        /// As it was asked for, shown safely
        name: String,
        /// What there is
        known: Vec<String>,
    },
    /// Several policies define it.
    #[error("permission `{name}` is defined by several policies; write one of {}", .candidates.join(", "))]
    AmbiguousPermission {
        /// As it was asked for
        name: String,
        /// As it can be written
        candidates: Vec<String>,
    },
    /// Nobody says what it would be.
    #[error(
        "permission `{permission}` has parameters, and only a profile says which values they can have; ask for {}",
        .ask.join(", or for ")
    )]
    NeedsProfile {
        /// The permission
        permission: PermissionRef,
        /// Options that ask for it
        ask: Vec<String>,
    },
    /// No policy defines the profile.
    #[error("profile `{name}` is not defined by any policy{}", known_ones(.known))]
    UnknownProfile {
        /// As it was asked for, shown safely
        name: String,
        /// What there is
        known: Vec<String>,
    },
    /// Several policies define it.
    #[error("profile `{name}` is defined by several policies; write one of {}", .candidates.join(", "))]
    AmbiguousProfile {
        /// As it was asked for, shown safely
        name: String,
        /// As it can be written
        candidates: Vec<String>,
    },
    /// Values of which nothing comes.
    #[error(transparent)]
    Values(#[from] profile::Refusal),
    /// The profile is not given for so long.
    #[error("profile `{profile}` is granted for at most {max}, not {asked}")]
    TooLongForProfile {
        /// The profile
        profile: String,
        /// Its bound
        max: DurationMs,
        /// What was asked for
        asked: DurationMs,
    },
    /// It would be on the very hosts that it excludes.
    #[error(
        "profile `{profile}` excludes every grant on hosts with {hosts}, and this one would be for them, too; name other hosts \
         (--host)"
    )]
    ExcludesItsHosts {
        /// The profile
        profile: String,
        /// Their labels
        hosts: String,
    },
    /// The user has what cannot be had at the same time.
    #[error(
        "`{user}` has grant {grant} until {until}: {why}; revoke it first, or wait until it ends"
    )]
    Excluded {
        /// Whose they are
        user: UserName,
        /// What is in the way
        grant: GrantId,
        /// When that ends
        until: UnixMs,
        /// Why they do not go together
        why: String,
    },
    /// The grant would be more than a host can enforce.
    #[error(
        "hosts have no room for one more permission with such values: {}; revoke a grant that has other values first",
        problems(.0)
    )]
    NoRoom(Vec<CompileError>),
    /// The grant would have no effect.
    #[error(
        "`{user}` is not a subject of policy `{policy}`, so a grant of its permissions has no effect; nothing there restricts `{user}`"
    )]
    NotASubject {
        /// The user
        user: UserName,
        /// The policy
        policy: PolicyName,
    },
    /// The rules of who may do what say no.
    #[error(transparent)]
    Denied(#[from] Box<Denied>),
    /// Nobody grants to themselves.
    #[error("`{0}` cannot issue a grant to `{0}`; ask another operator")]
    OwnGrant(UserName),
    /// Nobody answers an own hold.
    #[error("`{0}` is the one who is held and cannot answer; ask another approver")]
    OwnHold(UserName),
    /// It may be the own hold, and nobody can tell.
    #[error(
        "who is held has no name on host `{host}`, and `{user}` no login on the control plane's machine, so nobody can tell whether they \
         are the same person; ask an approver who has a login there"
    )]
    MaybeOwnHold {
        /// Who asked
        user: UserName,
        /// Where somebody is held
        host: HostId,
    },
    /// It is not set.
    #[error("flag `{0}` is not set; `stayhand flag ls` shows those that are")]
    UnknownFlag(FlagName),
    /// As many as hosts are told of.
    #[error("{0} flags are set already; clear some of them first")]
    TooManyFlags(usize),
    /// No such proposal.
    #[error("proposal `{0}` does not exist; `stayhand policy proposals` lists those that wait")]
    UnknownProposal(ProposalId),
    /// It cannot be answered so.
    #[error(transparent)]
    Proposal(#[from] proposal::Illegal),
    /// Too many wait.
    #[error("{0} proposals wait already; approve or refuse some of them first")]
    TooManyProposals(u64),
    /// It is not in the phase that somebody saw.
    #[error(
        "the roll-out of policy `{policy}` is {is} and not {asked}: look at it again with `stayhand policy status {policy}`"
    )]
    RolloutMoved {
        /// The policy
        policy: PolicyName,
        /// Its state
        is: &'static str,
        /// The phase that was asked for
        asked: &'static str,
    },
    /// Nothing of it is being rolled out.
    #[error("nothing of policy `{0}` is being rolled out; `stayhand policy status` shows what is")]
    NoRollout(PolicyName),
    /// It cannot happen to the roll-out.
    #[error(transparent)]
    Rollout(#[from] rollout::Illegal),
    /// One at a time.
    #[error(
        "revision {revision} of policy `{policy}` is being rolled out, and nothing else can be applied meanwhile; stop it first: stayhand policy roll-out {policy} --stop --reason '…'"
    )]
    RolloutRuns {
        /// The policy
        policy: PolicyName,
        /// The revision
        revision: Revision,
    },
    /// What was stopped is not begun again by whoever did not see that.
    #[error(
        "this document is revision {revision} of policy `{policy}`, whose roll-out was stopped: {reason}; change it, or go on with it: stayhand policy roll-out {policy} --resume --reason '…'"
    )]
    RolloutStopped {
        /// The policy
        policy: PolicyName,
        /// The revision
        revision: Revision,
        /// Why it was stopped
        reason: String,
    },
    /// Nobody alone changes what several people approved.
    #[error(
        "changes of policies take several people here (`policies.stages`), and what they approved of `{0}` is its whole roll-out: nobody shortens it, or goes on after a stop; stop it and propose the revision again"
    )]
    RolloutApproved(PolicyName),
    /// As many as are compiled in every way in which hosts can have them.
    #[error("{0} policies are being rolled out already; wait until one is done, or stop one")]
    TooManyRollouts(usize),
    /// Somebody may be on call or a manager, and nobody can tell.
    #[error(transparent)]
    People(#[from] PeopleError),
    /// The same request id for something else.
    #[error("request id `{0}` was used for another grant; use a new one")]
    RequestIdReused(uuid::Uuid),
    /// Somebody was faster.
    #[error("{what} is at version {now}, not `{asked}`; look at it again, then repeat")]
    Etag {
        /// What was to be changed
        what: String,
        /// Its version
        now: Revision,
        /// The version that was asked for, shown safely
        asked: String,
    },
    /// The grant is over.
    #[error(transparent)]
    GrantOver(#[from] grant::Illegal),
    /// The hold cannot be answered.
    #[error(transparent)]
    HoldOver(#[from] hold::Illegal),
    /// The document is refused.
    #[error("the policy has {} {}", .0.len(), if .0.len() == 1 { "error" } else { "errors" })]
    Policy(Vec<Diagnostic>),
    /// A name that the control plane has none of.
    #[error(
        "{}: put the document into the floor's directory on the hosts, or give the policy another name",
        floor::reserved(.0)
    )]
    FloorName(PolicyName),
    /// The policy does not do what its own tests say.
    #[error("the policy fails {failed} of its {of} tests")]
    PolicyTests {
        /// How many
        failed: usize,
        /// Of how many
        of: usize,
        /// Each with what was expected and what came
        findings: Vec<Diagnostic>,
    },
    /// Live grants carry what the policy would no longer define.
    #[error(
        "live grants carry permission `{permission}`, which the policy no longer defines: {}; revoke them first, or wait until they end",
        carried(.grants)
    )]
    PermissionInUse {
        /// The permission
        permission: PermissionRef,
        /// Which grants, and whose
        grants: Vec<(GrantId, UserName)>,
    },
    /// Live grants carry permissions of a policy that is to be removed.
    #[error(
        "live grants carry permissions of policy `{policy}`, which cannot be removed before them: {}; revoke them first, or wait until \
         they end",
        carried(.grants)
    )]
    PolicyInUse {
        /// The policy
        policy: PolicyName,
        /// Which grants, and whose
        grants: Vec<(GrantId, UserName)>,
    },
    /// Actions wait for an answer because of a policy that is to be removed.
    #[error(
        "actions wait because of policy `{policy}`, which cannot be removed before they are answered and their hosts have carried that \
         out: {}; `stayhand hold ls` shows them",
        waiting(.holds)
    )]
    PolicyHolds {
        /// The policy
        policy: PolicyName,
        /// Which holds
        holds: Vec<HoldId>,
    },
    /// Live grants were asked for by a profile that the policy would no longer give them by.
    #[error(
        "live grants have profile `{profile}`, and the policy no longer gives what they carry ({gone}): {}; revoke them first, or wait \
         until they end",
        carried(.grants)
    )]
    ProfileInUse {
        /// The profile
        profile: String,
        /// What is gone
        gone: String,
        /// Which grants, and whose
        grants: Vec<(GrantId, UserName)>,
    },
    /// All policies together are more than a host can enforce.
    #[error("together with the other policies this one cannot be enforced")]
    PolicySet(Vec<CompileError>),
    /// All policies together are more than a message can carry.
    #[error(
        "all policies together have {bytes} bytes, more than the {max} that fit into a host's state"
    )]
    PoliciesTooLarge {
        /// How many
        bytes: usize,
        /// The bound
        max: usize,
    },
    /// A host says it enforces what nobody ever published.
    #[error(
        "host `{0}` says it enforces a generation that cannot be; restore the newest store, or restart its agent with an empty state"
    )]
    ImplausibleGeneration(HostId),
    /// An agent is too old.
    #[error(
        "the agent {version} of `{host}` speaks protocol {protocol}, and this control plane needs {min} or later"
    )]
    AgentTooOld {
        /// The host
        host: HostId,
        /// Version of its agent, shown safely
        version: String,
        /// What it speaks
        protocol: u32,
        /// What is needed
        min: u32,
    },
    /// A host does not get in.
    #[error(transparent)]
    NotAdmitted(#[from] NotAdmitted),
    /// A host does not get another certificate, or keeps those that it has.
    #[error(transparent)]
    NotCertified(#[from] NotCertified),
    /// There is no such token.
    #[error(transparent)]
    NoToken(#[from] NoToken),
    /// Somebody does not get a session, or there is none to end.
    #[error(transparent)]
    NoSession(#[from] NoSession),
    /// Somebody is not signed in.
    #[error(transparent)]
    NotSignedIn(#[from] NotSignedIn),
    /// An authority stays as it is.
    #[error(transparent)]
    NotRotated(#[from] NotRotated),
    /// Nobody signs.
    #[error("the control plane cannot sign certificates")]
    Authority(#[from] AuthorityError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Error {
    /// A field and its problem.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "problems come by value from `map_err`"
    )]
    pub fn field(field: impl Into<String>, problem: impl ToString) -> Self {
        Self::Field {
            field: field.into(),
            problem: problem.to_string(),
        }
    }
}

impl From<stayhand_proto::convert::Invalid> for Error {
    fn from(invalid: stayhand_proto::convert::Invalid) -> Self {
        Self::Field {
            field: invalid.field,
            problem: invalid.problem,
        }
    }
}

/// Things that an error names; of more it says how many.
const SHOWN: usize = 5;

fn some_of<T>(all: &[T], shown: impl Fn(&T) -> String) -> String {
    let mut named: Vec<String> = all.iter().take(SHOWN).map(shown).collect();
    if all.len() > SHOWN {
        named.push(format!("and {} more", all.len() - SHOWN));
    }
    named.join(", ")
}

fn carried(grants: &[(GrantId, UserName)]) -> String {
    some_of(grants, |(id, user)| format!("{id} of `{user}`"))
}

fn waiting(holds: &[HoldId]) -> String {
    some_of(holds, HoldId::to_string)
}

fn problems(errors: &[CompileError]) -> String {
    some_of(errors, CompileError::to_string)
}

fn of_revision(revision: Option<Revision>) -> String {
    revision
        .map(|revision| format!(" revision {revision}"))
        .unwrap_or_default()
}

fn known_ones(known: &[String]) -> String {
    if known.is_empty() {
        "; no policy defines any: apply one first".to_owned()
    } else {
        format!("; there is {}", known.join(", "))
    }
}
