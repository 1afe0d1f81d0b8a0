//! The control plane's word to the kernel that this host has the newest state: for how long leases count after it is the image's
//! business, and the kernel's own to notice. Says when the word was meant for, and never whether that is long ago.

use stayhand_agent_ebpf::abi::{
    image::{ACTIVE_FRESH_FOR, ACTIVE_PROVEN_BOOT, ACTIVE_PROVEN_TAI},
    pulse::FRESH_FOR_EVER,
};
use stayhand_guardrail::time::DurationMs;

use super::{
    pins::Pins,
    table::{Slots, Table, TableError},
};
use crate::clock::{NS_PER_MS, Now};

/// The newest proof in the kernel.
pub struct Proofs(Box<dyn Table<u32, u64> + Send>);

impl Proofs {
    /// Of the hooks that are pinned there.
    pub fn open(pins: &Pins) -> Result<Self, TableError> {
        Ok(Self(Box::new(Slots::open(pins, "ACTIVE")?)))
    }

    /// The last one, on `CLOCK_BOOTTIME` and `CLOCK_TAI`; 0 where there was none on this boot.
    pub fn last(&self) -> Result<[u64; 2], TableError> {
        Ok([
            self.cell(ACTIVE_PROVEN_BOOT)?,
            self.cell(ACTIVE_PROVEN_TAI)?,
        ])
    }

    /// For how long leases count after one; none where each counts until its own end.
    pub fn fresh_for(&self) -> Result<Option<DurationMs>, TableError> {
        let ns = self.cell(ACTIVE_FRESH_FOR)?;
        Ok((ns != FRESH_FOR_EVER).then_some(DurationMs(ns / NS_PER_MS)))
    }

    fn cell(&self, index: u32) -> Result<u64, TableError> {
        Ok(self.0.get(&index)?.unwrap_or(0))
    }

    /// Writes a proof, unless the kernel has a newer one. One clock after the other: a lease counts only where neither of them ends
    /// it, and the older of two moments ends it earlier.
    pub fn prove(&mut self, at: &Now) -> Result<(), TableError> {
        if at.boot_ns <= self.cell(ACTIVE_PROVEN_BOOT)? {
            return Ok(());
        }
        self.0.put(&ACTIVE_PROVEN_TAI, &at.tai_ns)?;
        self.0.put(&ACTIVE_PROVEN_BOOT, &at.boot_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::table::fake::Fake, *};

    fn at(boot_ns: u64, tai_ns: u64) -> Now {
        Now {
            boot_ns,
            tai_ns,
            ..Now::default()
        }
    }

    #[test]
    fn an_older_proof_takes_nothing_back_and_a_clock_that_was_set_back_counts() {
        let mut proofs = Proofs(Box::new(Fake::new("ACTIVE", 8)));
        let kernel = |proofs: &Proofs| {
            let cell = |index| proofs.0.get(&index).unwrap().unwrap();
            (cell(ACTIVE_PROVEN_BOOT), cell(ACTIVE_PROVEN_TAI))
        };
        assert_eq!(proofs.last().unwrap(), [0, 0]);
        proofs.prove(&at(5, 100)).unwrap();
        proofs.prove(&at(4, 200)).unwrap();
        assert_eq!(kernel(&proofs), (5, 100));
        proofs.prove(&at(6, 50)).unwrap();
        assert_eq!(kernel(&proofs), (6, 50));
    }
}
