//! What of the desired state is on disk. Read before the network is there, so that a host enforces from its start.

use serde::{Deserialize, Serialize};
use stayhand_guardrail::{host::HostState, id::Generation};

use crate::{
    leases::LeaseBook,
    spool::{Key, Spool, SpoolError},
};

/// The journaled states.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// Was enforced
    pub good: Option<HostState>,
    /// Was accepted and about to be enforced
    pub candidate: Option<HostState>,
}

impl Stored {
    /// Reads states and leases; what cannot be read counts as not there, loudly.
    pub fn load(spool: &Spool) -> Result<(Self, LeaseBook), SpoolError> {
        Ok((read(spool, Key::State)?, read(spool, Key::Leases)?))
    }

    /// States to try at a start, best first: the newest that is not older than what the kernel enforces.
    pub fn to_try(&self, active: Option<Generation>) -> Vec<HostState> {
        let all = [&self.candidate, &self.good].into_iter().flatten();
        let usable = all.filter(|state| active.is_none_or(|active| state.generation >= active));
        let mut states: Vec<HostState> = usable.cloned().collect();
        states.sort_by_key(|state| std::cmp::Reverse(state.generation));
        states.dedup_by_key(|state| state.generation);
        states
    }
}

fn read<T: Default + serde::de::DeserializeOwned>(
    spool: &Spool,
    key: Key,
) -> Result<T, SpoolError> {
    let Some(bytes) = spool.document(key)? else {
        return Ok(T::default());
    };
    Ok(serde_json::from_slice(&bytes).unwrap_or_else(|error| {
        tracing::error!(?key, %error, "a journaled document is unreadable; the control plane sends it again");
        T::default()
    }))
}

/// Journals leases and, with them, states: all or none.
pub(super) fn journal(
    spool: &Spool,
    stored: Option<&Stored>,
    book: &LeaseBook,
) -> Result<(), SpoolError> {
    let unreadable = |_| SpoolError::Unreadable("state");
    let mut documents = vec![(Key::Leases, serde_json::to_vec(book).map_err(unreadable)?)];
    if let Some(stored) = stored {
        documents.push((Key::State, serde_json::to_vec(stored).map_err(unreadable)?));
    }
    spool.put_documents(&documents)
}
