//! What this host holds of its desired state, so that only what differs has to come. Lives longer than a connection, and begins
//! with what the journal has. Hands out a state only if it is the very one that was meant.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use stayhand_guardrail::{
    host::{Ack, HostState},
    id::Generation,
    resource::{ResourceError, StateDigest},
    time::UnixMs,
};
use stayhand_proto::{
    limits::HELD_RESOURCES_MAX,
    message::{Delivery, Held, Misfitting, Relist},
    resources::{Misfit, Resources},
};

use crate::{reconcile::Stored, spool::Spool};

/// Deliveries of which it is known what they were about: the other end sends the next one when one is acknowledged, and looks
/// at none but its newest.
const DELIVERIES_MAX: usize = 8;

/// See the module.
#[derive(Debug, Default)]
pub struct Holding(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    generation: Generation,
    resources: Resources,
    delivered: VecDeque<Delivered>,
    misfits: u64,
}

#[derive(Clone, Copy, Debug)]
struct Delivered {
    nonce: u64,
    generation: Generation,
    digest: StateDigest,
}

/// What comes of a delivery.
#[derive(Debug)]
pub enum Taken {
    /// The state that was meant
    State(Box<HostState>),
    /// It is held, and says something that this agent cannot read
    Unreadable(Vec<ResourceError>),
    /// It does not fit: everything is asked for
    Misfit(Relist, String),
}

impl Holding {
    /// What the journal has, be it enforced or about to be.
    pub fn journaled(spool: &Spool) -> Self {
        // Whatever cannot be read is said by the reconciler; then everything comes.
        let stored = Stored::load(spool).map(|(stored, _)| stored);
        let newest = stored.unwrap_or_default().to_try(None).into_iter().next();
        let holding = Self::default();
        if let Some(state) = newest {
            holding.replace(&state);
        }
        holding
    }

    /// A new connection: numbers of deliveries begin again. What it is told of what is held.
    pub fn connected(&self) -> Option<Held> {
        let mut inner = self.lock();
        inner.delivered.clear();
        let versions = inner.resources.versions();
        let says = inner.generation != Generation(0) && versions.0.len() <= HELD_RESOURCES_MAX;
        says.then(|| Held {
            generation: inner.generation,
            versions: versions.clone(),
        })
    }

    /// A whole state came, from a control plane that knows nothing else.
    pub fn replace(&self, state: &HostState) {
        let mut inner = self.lock();
        inner.generation = state.generation;
        inner.resources = Resources::of(state.clone());
    }

    /// Takes a delivery.
    pub fn take(&self, delivery: Delivery, server_time: UnixMs) -> Taken {
        let mut inner = self.lock();
        let (nonce, to) = (delivery.nonce, delivery.to);
        let next = match inner.resources.taking(inner.generation, delivery) {
            Ok(next) => next,
            Err(misfit) => {
                let why = match misfit {
                    Misfit::Gap { .. } => Misfitting::Gap,
                    Misfit::Digest { .. } => Misfitting::Digest,
                };
                return Taken::Misfit(inner.relist(nonce, why), misfit.to_string());
            }
        };
        inner.resources = next;
        inner.generation = to;
        let digest = inner.resources.digest();
        inner.delivered.truncate(DELIVERIES_MAX - 1);
        inner.delivered.push_front(Delivered {
            nonce,
            generation: to,
            digest,
        });
        match inner.resources.state(to, server_time) {
            Ok(state) => Taken::State(Box::new(state)),
            Err(errors) => Taken::Unreadable(errors),
        }
    }

    /// The control plane says what this host should hold: what to ask for if it does not.
    pub fn compared(&self, generation: Generation, digest: StateDigest) -> Option<Relist> {
        let mut inner = self.lock();
        let same = inner.generation == generation && inner.resources.digest() == digest;
        (!same).then(|| inner.relist(0, Misfitting::Gap))
    }

    /// Which delivery a word is about: the newest one that is the same, or that it includes.
    pub fn nonce(&self, ack: &Ack) -> u64 {
        let inner = self.lock();
        let of = |one: &&Delivered| match ack.digest {
            Some(digest) => one.generation == ack.generation && one.digest == digest,
            None => one.generation <= ack.generation,
        };
        inner.delivered.iter().find(of).map_or(0, |one| one.nonce)
    }

    /// How often something did not fit.
    pub fn misfits(&self) -> u64 {
        self.lock().misfits
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn relist(&mut self, nonce: u64, why: Misfitting) -> Relist {
        self.misfits += 1;
        Relist {
            nonce,
            why,
            held_generation: self.generation,
            held_digest: self.resources.digest(),
        }
    }
}
