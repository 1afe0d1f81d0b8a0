//! Everything that somebody can do here: a closed set, under the names that the schema has.

use std::fmt;

/// One thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Be told who one is
    IdentityRead,
    /// Ask for grants at all
    GrantList,
    /// See one
    GrantRead,
    /// Issue one
    GrantCreate,
    /// Take one back
    GrantRevoke,
    /// Ask for holds at all
    HoldList,
    /// See one
    HoldRead,
    /// Let what is held go on
    HoldApprove,
    /// Have it fail
    HoldRefuse,
    /// See what processes were called with
    ArgumentsRead,
    /// Ask for policies, their proposals and how far they are
    PolicyList,
    /// See one, its revisions and proposals
    PolicyRead,
    /// Apply a revision, or propose it
    PolicyEdit,
    /// Remove one, or propose that
    PolicyRemove,
    /// Stop, resume or advance a roll-out
    PolicyRollOut,
    /// Approve a proposal
    PolicyApprove,
    /// Refuse a proposal, or take it back
    PolicyRefuse,
    /// Ask for flags
    FlagList,
    /// Set one
    FlagSet,
    /// Take one away
    FlagClear,
    /// Ask for locks
    LockList,
    /// Make one
    LockCreate,
    /// Take one away
    LockRemove,
    /// Ask for hosts at all
    HostList,
    /// See one
    HostRead,
    /// Make a host one of this control plane's, or end that
    HostAdminister,
    /// Read the record
    EventRead,
    /// Ask for sessions over the network at all
    SessionList,
    /// See one
    SessionRead,
    /// End one
    SessionRevoke,
    /// Get a certificate for when nobody can sign in
    BreakGlassCreate,
    /// Ask for tokens of programs at all
    TokenList,
    /// See one
    TokenRead,
    /// Make one
    TokenCreate,
    /// Take one away
    TokenRevoke,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 35] = [
        Self::IdentityRead,
        Self::GrantList,
        Self::GrantRead,
        Self::GrantCreate,
        Self::GrantRevoke,
        Self::HoldList,
        Self::HoldRead,
        Self::HoldApprove,
        Self::HoldRefuse,
        Self::ArgumentsRead,
        Self::PolicyList,
        Self::PolicyRead,
        Self::PolicyEdit,
        Self::PolicyRemove,
        Self::PolicyRollOut,
        Self::PolicyApprove,
        Self::PolicyRefuse,
        Self::FlagList,
        Self::FlagSet,
        Self::FlagClear,
        Self::LockList,
        Self::LockCreate,
        Self::LockRemove,
        Self::HostList,
        Self::HostRead,
        Self::HostAdminister,
        Self::EventRead,
        Self::SessionList,
        Self::SessionRead,
        Self::SessionRevoke,
        Self::BreakGlassCreate,
        Self::TokenList,
        Self::TokenRead,
        Self::TokenCreate,
        Self::TokenRevoke,
    ];

    /// As policies write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::IdentityRead => "identity.read",
            Self::GrantList => "grant.list",
            Self::GrantRead => "grant.read",
            Self::GrantCreate => "grant.create",
            Self::GrantRevoke => "grant.revoke",
            Self::HoldList => "hold.list",
            Self::HoldRead => "hold.read",
            Self::HoldApprove => "hold.approve",
            Self::HoldRefuse => "hold.refuse",
            Self::ArgumentsRead => "arguments.read",
            Self::PolicyList => "policy.list",
            Self::PolicyRead => "policy.read",
            Self::PolicyEdit => "policy.edit",
            Self::PolicyRemove => "policy.remove",
            Self::PolicyRollOut => "policy.roll-out",
            Self::PolicyApprove => "policy.approve",
            Self::PolicyRefuse => "policy.refuse",
            Self::FlagList => "flag.list",
            Self::FlagSet => "flag.set",
            Self::FlagClear => "flag.clear",
            Self::LockList => "lock.list",
            Self::LockCreate => "lock.create",
            Self::LockRemove => "lock.remove",
            Self::HostList => "host.list",
            Self::HostRead => "host.read",
            Self::HostAdminister => "host.administer",
            Self::EventRead => "event.read",
            Self::SessionList => "session.list",
            Self::SessionRead => "session.read",
            Self::SessionRevoke => "session.revoke",
            Self::BreakGlassCreate => "break-glass.create",
            Self::TokenList => "token.list",
            Self::TokenRead => "token.read",
            Self::TokenCreate => "token.create",
            Self::TokenRevoke => "token.revoke",
        }
    }

    /// The group of everything that only shows something.
    pub const READ: &str = "read";

    /// What is in it.
    pub fn reads() -> impl Iterator<Item = Self> {
        let is_read = |action: &Self| action.groups().contains(&Self::READ);
        Self::ALL.into_iter().filter(is_read)
    }

    /// Reads what [`Self::as_str`] wrote.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == word)
    }

    /// Groups of actions that it is in.
    pub(super) fn groups(self) -> &'static [&'static str] {
        match self {
            Self::GrantList
            | Self::GrantRead
            | Self::HoldList
            | Self::HoldRead
            | Self::PolicyList
            | Self::PolicyRead
            | Self::FlagList
            | Self::LockList
            | Self::HostList
            | Self::HostRead
            | Self::EventRead
            | Self::SessionList
            | Self::SessionRead
            | Self::TokenList
            | Self::TokenRead => &[Self::READ],
            Self::PolicyEdit | Self::PolicyRemove | Self::PolicyRollOut => &["policy.change"],
            _ => &[],
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
