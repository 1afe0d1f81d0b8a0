//! The control plane's services over real unix sockets, with an agent that says what a test wants it to say.
//! Negatives first: who may not, what cannot be, and only then what works.

#[cfg(test)]
mod agent;
#[cfg(test)]
mod approvals;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod crowd;
#[cfg(test)]
mod delivery;
#[cfg(test)]
mod events;
#[cfg(test)]
mod exhaustion;
#[cfg(test)]
mod flags;
#[cfg(test)]
mod grants;
#[cfg(test)]
mod holds;
#[cfg(test)]
mod holds_claimed;
#[cfg(test)]
mod identity;
#[cfg(test)]
mod locks;
#[cfg(test)]
mod network;
#[cfg(test)]
mod network_revoked;
#[cfg(test)]
mod outsider;
#[cfg(test)]
mod policies;
#[cfg(test)]
mod profiles;
#[cfg(test)]
mod proposals;
#[cfg(test)]
mod removal;
#[cfg(test)]
mod rights;
#[cfg(test)]
mod rights_example;
#[cfg(test)]
mod rollouts;
#[cfg(test)]
mod rollouts_approved;
#[cfg(test)]
mod rotation;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod stages;
#[cfg(test)]
mod start;
#[cfg(test)]
mod sync;
#[cfg(test)]
mod world;
