//! Who calls, as policies see it. Made where a connection is authenticated, and never from a message.

use stayhand_guardrail::id::{GroupName, UserName};

/// How somebody is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// The kernel names the process at the other end of a unix socket
    Socket,
}

impl Transport {
    /// As policies write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Socket => "socket",
        }
    }
}

/// Somebody who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The person
    pub user: UserName,
    /// Groups of the name service
    pub groups: Vec<GroupName>,
    /// Whether `[operators]` in the configuration names the person
    pub is_operator: bool,
    /// Whether a policy guards the person on this host
    pub is_guarded: bool,
    /// How the person is known
    pub transport: Transport,
}
