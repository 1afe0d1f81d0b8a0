//! What one host is sent next, from what it holds and what it should hold: only what differs, one delivery in flight, and before
//! anything larger what counts no more. Knows no time, no store and no transport.

use std::collections::BTreeSet;

use stayhand_guardrail::{
    host::{Ack, Answer, HoldAnswer, HostState, Phase},
    id::{Generation, GrantId, HoldId},
    resource::StateDigest,
};
use stayhand_proto::{
    limits::ITEMS_MAX,
    message::{Delivery, Held, Hello, Relist, ToHostMessage, Withdrawal},
    protocol::{DELTAS, WITHDRAWALS},
    resources::{ANSWERS, LEASES, Resources, Versions, name},
};

/// Bookmarks for which a host may leave a delivery without a word, which is half a minute: a state takes it that long at most.
/// Then it is sent what is new all the same; should it hold something else, a digest tells.
const PATIENCE_BOOKMARKS: u32 = 10;

/// See the module.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each says something else of one stream"
)]
pub(super) struct Delivering {
    withdrawals: bool,
    /// Generation of the newest state that was sent, or that the host enforced when it came
    sent: Generation,
    /// What the host holds once everything that was sent has come; none where nobody knows
    held: Option<(Generation, Versions)>,
    /// Whether what it holds was compared with what it should hold
    compared: bool,
    nonce: u64,
    in_flight: Option<InFlight>,
    /// Newest state of which everything was withdrawn that had to be
    withdrawn: Generation,
    told: Told,
    /// Everything is sent at most once between two bookmarks, whatever a host says
    may_relist: bool,
    must_relist: bool,
}

/// What the host was told to take back since the last delivery. Only the next one can bring any of it again, so nothing is said twice,
/// however many messages it takes and whatever is published meanwhile.
#[derive(Debug, Default)]
struct Told {
    grants: BTreeSet<GrantId>,
    refusals: BTreeSet<HoldId>,
}

#[derive(Clone, Copy, Debug)]
struct InFlight {
    bookmarks: u32,
}

/// Why everything has to be sent again, in a few words for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Misfit(pub(super) String);

impl Delivering {
    /// For a host that understands deliveries.
    pub(super) fn to(hello: &Hello) -> Option<Self> {
        let held = hello.held.clone();
        hello.can(DELTAS).then(|| Self {
            withdrawals: hello.can(WITHDRAWALS),
            sent: hello.enforced_generation,
            held: held.map(
                |Held {
                     generation,
                     versions,
                 }| (generation, versions),
            ),
            compared: false,
            nonce: 0,
            in_flight: None,
            withdrawn: Generation(0),
            told: Told::default(),
            may_relist: true,
            must_relist: false,
        })
    }

    /// After which generation a state is news; none where nothing would be sent now, whatever it is.
    pub(super) fn wants(&self) -> Option<Generation> {
        match (self.in_flight, self.withdrawals) {
            (Some(_), false) => None,
            (Some(_), true) => Some(self.sent.max(self.withdrawn)),
            (None, _) if self.must_relist || !self.compared => Some(Generation(0)),
            (None, _) => Some(self.sent),
        }
    }

    /// What is sent for a state that is news.
    pub(super) fn next(&mut self, state: HostState) -> Option<ToHostMessage> {
        // Never an older one than before, whatever the store says.
        if state.generation < self.sent {
            self.compared = true;
            return None;
        }
        let (to, answers) = (state.generation, state.answers.clone());
        let resources = Resources::of(state);
        let held = self.held.as_ref().filter(|_| !self.must_relist);
        let mut delivery = resources.after(held.map(|(from, versions)| (*from, versions)), to);
        let waits = self.in_flight.is_some() || is_large(&delivery);
        if self.withdrawals && self.withdrawn.max(self.sent) < to && waits {
            let withdrawal = self.withdrawal(to, resources.versions(), answers);
            // ORDER: whoever asks again gets the rest of a full one before anything else.
            if !withdrawal.as_ref().is_some_and(is_full) {
                self.withdrawn = to;
            }
            if let Some(withdrawal) = withdrawal {
                return Some(ToHostMessage::Withdrawal(withdrawal));
            }
        }
        if self.in_flight.is_some() {
            return None;
        }
        let differs = !delivery.upserted.is_empty() || !delivery.removed.is_empty();
        let is_news = self.must_relist || to > self.sent || differs;
        self.compared = true;
        if !is_news {
            return None;
        }
        self.nonce += 1;
        delivery.nonce = self.nonce;
        self.must_relist = false;
        self.sent = to;
        self.held = Some((to, resources.versions().clone()));
        self.told = Told::default();
        self.in_flight = Some(InFlight { bookmarks: 0 });
        Some(ToHostMessage::Delivery(delivery))
    }

    /// What the host has and should have no more, where something larger would come before it is gone; of that as much as one message
    /// takes, and nothing that it was told.
    fn withdrawal(
        &mut self,
        generation: Generation,
        wanted: &Versions,
        answers: Vec<HoldAnswer>,
    ) -> Option<Withdrawal> {
        let (_, held) = self.held.as_ref()?;
        let told = &mut self.told;
        let gone = Resources::names_in(held, LEASES);
        let wanted = Resources::names_in(wanted, LEASES);
        let gone = gone
            .difference(&wanted)
            .filter_map(|grant| grant.parse::<GrantId>().ok())
            .filter(|grant| !told.grants.contains(grant));
        let grants: Vec<GrantId> = gone.take(ITEMS_MAX).collect();
        let is_new = |one: &HoldAnswer| {
            let id = one.hold.to_string();
            one.answer == Answer::Refused
                && !told.refusals.contains(&one.hold)
                && !held.0.contains_key(&name(ANSWERS, &id))
        };
        let refusals: Vec<_> = answers.into_iter().filter(is_new).take(ITEMS_MAX).collect();
        told.grants.extend(&grants);
        told.refusals.extend(refusals.iter().map(|one| one.hold));
        let any = !grants.is_empty() || !refusals.is_empty();
        any.then_some(Withdrawal {
            generation,
            grants,
            refusals,
        })
    }

    /// The host said something about a generation.
    pub(super) fn acknowledged(&mut self, ack: &Ack, nonce: u64) -> Result<(), Misfit> {
        if nonce == 0 || nonce != self.nonce {
            return Ok(());
        }
        self.in_flight = None;
        let Some((generation, held)) = &self.held else {
            return Ok(());
        };
        let meant = held.digest();
        match ack.digest {
            Some(found)
                if ack.phase == Phase::Enforced
                    && ack.generation == *generation
                    && found != meant =>
            {
                let why =
                    format!("it enforces {found} as generation {generation}, and that is {meant}");
                self.relist();
                Err(Misfit(why))
            }
            _ => Ok(()),
        }
    }

    /// What came does not fit what the host holds.
    pub(super) fn misfits(&mut self, relist: &Relist) -> Misfit {
        // About something that was sent before everything was sent again.
        let is_old = relist.nonce != 0 && relist.nonce != self.nonce;
        if !is_old {
            self.relist();
        }
        let Relist {
            nonce,
            why,
            held_generation,
            held_digest,
        } = relist;
        Misfit(format!(
            "{why:?} at delivery {nonce}: it holds generation {held_generation}, {held_digest}"
        ))
    }

    fn relist(&mut self) {
        self.in_flight = None;
        self.held = None;
        self.must_relist = self.may_relist;
        self.may_relist = false;
    }

    /// A bookmark is sent: what the host should hold.
    pub(super) fn bookmark(&mut self) -> Option<StateDigest> {
        self.may_relist = true;
        // Told once more than was sent between two bookmarks.
        self.must_relist |= self.held.is_none() && self.compared;
        if let Some(in_flight) = &mut self.in_flight {
            in_flight.bookmarks += 1;
            if in_flight.bookmarks >= PATIENCE_BOOKMARKS {
                self.in_flight = None;
            }
        }
        let held = self
            .held
            .as_ref()
            .filter(|(generation, _)| *generation == self.sent);
        held.filter(|_| self.compared)
            .map(|(_, versions)| versions.digest())
    }

    /// Generation of the newest state that was sent.
    pub(super) fn sent(&self) -> Generation {
        self.sent
    }
}

/// Whether there may be more than it has room for.
fn is_full(withdrawal: &Withdrawal) -> bool {
    withdrawal.grants.len() >= ITEMS_MAX || withdrawal.refusals.len() >= ITEMS_MAX
}

/// Whether a host has more to do for it than to write leases and answers.
fn is_large(delivery: &Delivery) -> bool {
    let changed = delivery.upserted.iter().map(|one| &one.name);
    let mut changed = changed.chain(&delivery.removed);
    changed.any(|name| !matches!(name.split_once('/'), Some((LEASES | ANSWERS, _))))
}

#[cfg(test)]
mod tests;
