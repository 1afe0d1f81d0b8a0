//! Who acts: a person by pinned login uid.
//!
//! The pin decides, never the uid of the process: alice as root is still alice.

use serde::{Deserialize, Serialize};

use crate::id::UserName;

/// A pinned subject.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Subject {
    /// Login uid at first sight
    pub auid: u32,
    /// Its name, if the host's name service knows one
    pub user: Option<UserName>,
    /// Audit session; none where the kernel gave none
    pub session: Option<u32>,
}

impl Subject {
    /// The name, or the number where there is none.
    pub fn shown(&self) -> String {
        match &self.user {
            Some(user) => user.to_string(),
            None => format!("uid {}", self.auid),
        }
    }
}
