//! What is taken back goes first: leases and refusals do not wait for a policy that has to be compiled, or that cannot be. Only
//! ever takes away.

use std::collections::{BTreeMap, BTreeSet};

use stayhand_guardrail::{
    host::HostState,
    id::{Generation, GrantId},
};
use stayhand_proto::message::Withdrawal;

use super::{Accepted, Images, Reconciler, stored};
use crate::{clock::Now, health::Part, leases::LeaseBook};

/// Grants that were taken back, each with the first generation that does not have it. A state from before may still be on its
/// way, and does not bring it again.
#[derive(Debug, Default)]
pub(super) struct Withdrawn(BTreeMap<GrantId, Generation>);

impl Withdrawn {
    /// Takes out of a state what was taken back after it was made. What it is newer than needs no remembering.
    pub(super) fn take_from(&mut self, state: &mut HostState) {
        self.0.retain(|_, until| *until > state.generation);
        state
            .leases
            .retain(|lease| !self.0.contains_key(&lease.grant));
    }
}

impl LeaseBook {
    /// Without those of other grants than these.
    fn only(&self, grants: impl Fn(&GrantId) -> bool) -> Self {
        let mut book = self.clone();
        book.leases.retain(|grant, _| grants(grant));
        book
    }
}

impl<I: Images> Reconciler<I> {
    /// The control plane took something back.
    pub(super) fn withdrawn(&mut self, withdrawal: Withdrawal, now: &Now) {
        let Withdrawal {
            generation,
            grants,
            refusals,
        } = withdrawal;
        if !refusals.is_empty() {
            let mut answers = self.answers.clone();
            answers.retain(|known| refusals.iter().all(|one| one.hold != known.hold));
            answers.extend(refusals);
            self.answer(answers);
        }
        for grant in &grants {
            let until = self.withdrawn.0.entry(*grant).or_default();
            *until = (*until).max(generation);
        }
        let gone: BTreeSet<GrantId> = grants.into_iter().collect();
        self.keep_only(|grant| !gone.contains(grant), now);
    }

    /// Before a state whose policies have to be compiled: leases that it does not have go, whatever becomes of its policies.
    pub(super) fn take_back(&mut self, state: &HostState, now: &Now) {
        let current = self.current.as_ref();
        if current.is_some_and(|current| current.accepted.state.compiles_as(state)) {
            return;
        }
        let has: BTreeSet<GrantId> = state.leases.iter().map(|lease| lease.grant).collect();
        self.keep_only(|grant| has.contains(grant), now);
    }

    /// At the regular look: what a kernel that refused still has goes now, perhaps.
    pub(super) fn take_back_again(&mut self, now: &Now) {
        let has = |grant| self.book.leases.contains_key(grant);
        let current = self.current.as_ref();
        if let Some(current) = current.filter(|one| !one.leases.keys().all(has)) {
            let accepted = current.accepted.clone();
            self.install_again(accepted, now);
        }
    }

    fn install_again(&mut self, accepted: Accepted, now: &Now) {
        if let Err(reason) = self.install(accepted, now) {
            tracing::error!(reason, "what was taken back is still in the kernel");
        }
    }

    /// Takes leases out of the journal and out of the image that is live, which stays what it is in everything else.
    fn keep_only(&mut self, grants: impl Fn(&GrantId) -> bool, now: &Now) {
        if let Some((_, book)) = &mut self.unjournaled {
            *book = book.only(&grants);
        }
        let book = self.book.only(&grants);
        if book == self.book {
            return;
        }
        self.book = book;
        if let Err(error) = stored::journal(&self.out.spool, None, &self.book) {
            // The kernel has them no more all the same; the state that has them no more is called enforced when it is journaled.
            self.out
                .health
                .note(Part::Spool, Some(crate::exit::chain(&error)));
        }
        let Some(current) = &self.current else { return };
        let accepted = current.accepted.clone();
        self.install_again(accepted, now);
    }
}
