//! The control plane, the agents, the people and the network in one process, under virtual time and faults of a seed. The
//! real use cases on their real store, the real reconciler, lease book, hold manager, recorder and spool, real certificates: only
//! kernel, network, clocks and disks stand in.
//!
//! `cargo xtask simulate --seed N` tells the story of one seed.

#[cfg(test)]
mod acts;
#[cfg(test)]
mod agent;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod clock;
#[cfg(test)]
mod control;
#[cfg(test)]
mod delivery;
#[cfg(test)]
mod disk;
#[cfg(test)]
mod hook;
#[cfg(test)]
mod hosts;
#[cfg(test)]
mod kernel;
#[cfg(test)]
mod life;
#[cfg(test)]
mod locks;
#[cfg(test)]
mod losses;
#[cfg(test)]
mod members;
#[cfg(test)]
mod mutant;
#[cfg(test)]
mod network;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod people;
#[cfg(test)]
mod seeds;
#[cfg(test)]
mod service;
#[cfg(test)]
mod trace;
#[cfg(test)]
mod world;
#[cfg(test)]
mod writer;
