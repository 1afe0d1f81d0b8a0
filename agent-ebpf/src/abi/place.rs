//! Directories that a walk has reached, so that what is opened below them need not be walked up to the root again.
//!
//! What is kept of a directory holds as long as nothing above it can have moved: until the next rename anywhere in
//! the kernel, the next change of the policy image or of its labels, and at most for one period. Only directories
//! under which no entry is met are kept.

use crate::path::States;

/// Directories that are kept; each has one place, given by its address, that others may take. Bounds the array at
/// 16384 x 64 bytes = 1 MiB, more than the directories that a large build works in.
pub const PLACES_MAX: u32 = 1 << PLACES_BITS;
const PLACES_BITS: u32 = 14;

/// A period is 2^14 ticks of the kernel: 16 s at 1,000 Hz, 164 s at 100 Hz. The kernel's counter of renames has 32
/// bits, of which each rename takes two: within a period it cannot come round to the same number.
pub const PERIOD_SHIFT: u32 = 14;

/// A directory, and what its place in the tree is reckoned from.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    /// Address of its inode; 0 for none, which is never kept
    pub inode: u64,
    /// `inode.i_ino`
    pub ino: u64,
    /// `ACTIVE[ACTIVE_IMAGE]`
    pub active: u64,
    /// `ACTIVE[ACTIVE_CHANGES]`
    pub changes: u64,
    /// `super_block.s_dev`
    pub dev: u32,
    /// `inode.i_generation`; file systems that have none give its numbers to others
    pub igen: u32,
    /// `rename_lock`'s counter; odd while something is renamed, or if it is not known
    pub renames: u32,
    /// Ticks of the kernel, shifted by [`PERIOD_SHIFT`]
    pub period: u32,
}

/// A place in the `PLACES` map. Written under its version: odd while it is written, another one afterwards.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// See above
    pub version: u64,
    /// The directory
    pub directory: Directory,
    /// States of the path automaton in it
    pub states: States,
}

/// Where a directory is kept: inodes are some hundred bytes apart, so the lowest bits say nothing.
#[inline(always)]
pub const fn place_of(inode: u64) -> u32 {
    // The golden ratio's bits spread neighbours (Knuth, The Art of Computer Programming 3, 6.4).
    ((inode >> 3).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - PLACES_BITS)) as u32
}

const _: () = assert!(size_of::<Directory>() == 48);
const _: () = assert!(size_of::<Place>() == 64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_in_memory_have_places_of_their_own() {
        let places: std::collections::HashSet<u32> = (0..1_000u64)
            .map(|index| place_of(0xffff_8880_0123_4000 + index * 0x270))
            .collect();
        assert!(places.len() > 900, "{}", places.len());
        assert!(places.iter().all(|place| *place < PLACES_MAX));
    }
}
