//! Who calls, as policies see it. Made where a connection is authenticated, and never from a message.

use std::collections::BTreeSet;

use stayhand_guardrail::{
    event::Door,
    id::{GroupName, UserName},
};

use super::Action;

/// How somebody is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// The kernel names the process at the other end of a unix socket
    Socket,
    /// A certificate that somebody got who proved who they are
    Network(Door),
}

impl Transport {
    /// As policies write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Socket => "socket",
            Self::Network(door) => door.as_str(),
        }
    }
}

/// What a token lets a program do of what its maker may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// For what its maker says that it is
    pub purpose: String,
    /// Nothing else, whatever rules permit its maker
    pub actions: BTreeSet<Action>,
}

/// Somebody who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The person: the same through every door
    pub user: UserName,
    /// Groups of the name service
    pub groups: Vec<GroupName>,
    /// Whether `[operators]` in the configuration names the person
    pub is_operator: bool,
    /// Whether a policy guards the person on this host
    pub is_guarded: bool,
    /// How the person is known
    pub transport: Transport,
    /// What a program may that acts for the person; none where it is the person
    pub scope: Option<Scope>,
}

impl Caller {
    /// What keeps the caller from an action whatever rules say: for what its token is.
    pub(super) fn out_of_scope(&self, action: Action) -> Option<&str> {
        let scope = self.scope.as_ref()?;
        // Who it acts for a program may always know.
        let within = action == Action::IdentityRead || scope.actions.contains(&action);
        (!within).then_some(scope.purpose.as_str())
    }
}
