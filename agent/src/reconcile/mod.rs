//! Desired state to kernel: level-triggered, restartable at any point, never backwards.
//!
//! Every wake-up asks the same question: is what the kernel enforces what it should be? The order is fixed: accept
//! (parse, compile), journal, install, read back, say so. Whatever fails leaves the last good image as it is.

mod accept;
#[cfg(test)]
mod floor_tests;
#[cfg(test)]
mod freshness_tests;
#[cfg(test)]
mod journal_tests;
mod rows;
mod run;
mod say;
mod stored;
#[cfg(test)]
mod tests;
pub mod wake;
mod withdraw;
#[cfg(test)]
mod withdraw_tests;

pub use accept::{Accepted, Refused, accept};
pub use run::{LOOK, Outputs, Reconciler, Serve};
pub use stored::Stored;
pub use wake::Wake;

use crate::{
    kernel::image::{Active, Desired, InstallReport, Relabelled},
    port::PortError,
};

/// The one writer of images, see [`crate::kernel::image::Installer`].
pub trait Images: Send {
    /// What the kernel enforces.
    fn active(&self) -> Result<Option<Active>, PortError>;
    /// Builds, reads back, flips.
    fn install(&mut self, desired: Desired) -> Result<InstallReport, PortError>;
    /// Looks at mounts and objects again.
    fn relabel(&mut self) -> Result<Relabelled, PortError>;
    /// What the last look at objects could not do as it should.
    fn concerns(&self) -> Vec<String>;
    /// Compares the live image with what was installed.
    fn verify(&self) -> Result<(), PortError>;
}
