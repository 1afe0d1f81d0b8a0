//! Whether nothing can be met by an object, told by its directory alone: most of what a guarded subject does is none of
//! any rule's business, and is to cost next to nothing.
//!
//! See [`stayhand_agent_ebpf::abi::place`] for what is kept. Nothing is concluded from what may be outdated: then the
//! object is walked. No directory below which some entry is met is ever kept.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{bpf_jiffies64, bpf_probe_read_kernel};
use stayhand_agent_ebpf::{
    abi::{
        image::ACTIVE_SLOT_MASK,
        place::{Directory, PERIOD_SHIFT, place_of},
        task::{Here, Scratch, TaskState},
    },
    path::States,
};

use crate::{
    judge::stale,
    maps::{PLACES, exchange},
    offsets::{
        ADDR_RENAME_LOCK, Addr, OFF_DENTRY_INODE, OFF_DENTRY_NAME, OFF_DENTRY_NAME_LEN,
        OFF_DENTRY_PARENT, OFF_DENTRY_SB, OFF_INODE_GENERATION, OFF_INODE_INO, load,
    },
    walk::{file_system_of, here, label, leads_on, may_lead_on, same},
};

/// What [`Directory::renames`] says if the counter is not known: odd, as while something is renamed.
const UNKNOWN: u32 = 1;

/// The kernel's counter of renames. Every change of a dentry's name or parent is made between two steps of it
/// (fs/dcache.c, `__d_move`).
#[inline(always)]
fn renames() -> u32 {
    let lock = ADDR_RENAME_LOCK.load();
    if lock == 0 {
        return UNKNOWN;
    }
    let mut sequence = UNKNOWN;
    // SAFETY: the helper checks the address and writes four bytes. The counter is the first member of a `seqlock_t`
    // (include/linux/seqlock.h).
    let failed =
        unsafe { bpf_probe_read_kernel((&raw mut sequence).cast(), 4, lock as *const c_void) };
    if failed == 0 { sequence } else { UNKNOWN }
}

/// Whether nothing was renamed since the attempt's directory was noted. Renames are what the walk is looked over for
/// a second time.
#[inline(always)]
pub fn quiet(here: *const Here) -> bool {
    // SAFETY: live by contract of the callers. Volatile: the number is to be read here, before the counter.
    let before = unsafe { core::ptr::read_volatile(&raw const (*here).directory.renames) };
    before & 1 == 0 && renames() == before
}

/// Notes that the attempt is not about one object in one directory; only what is renamed meanwhile is of interest.
///
/// # Safety
/// `here` must be live.
#[inline(always)]
pub unsafe fn forget(here: *mut Here) {
    // SAFETY: by contract.
    unsafe {
        (*here).directory.inode = 0;
        (*here).directory.renames = renames();
    }
}

/// What a look at the directory shows.
pub mod seen {
    /// Something may be met: the object is to be walked.
    pub const OPEN: u32 = 0;
    /// The directory is known, and only the whole name tells.
    pub const NEAR: u32 = 1;
    /// Nothing can be met by the object.
    pub const UNMET: u32 = 2;
}

/// Notes where the object is, before anything is read of its way up; see [`seen`].
///
/// # Safety
/// `dentry` must be a typed dentry pointer, `anchor` a typed inode pointer of the file system that is meant, and the
/// state live.
#[inline(always)]
pub unsafe fn look(
    state: *mut TaskState,
    active: u64,
    changes: u64,
    dentry: Addr,
    anchor: Addr,
) -> u32 {
    // SAFETY: by contract.
    unsafe {
        let here = &raw mut (*state).here;
        let directory = &raw mut (*here).directory;
        (*directory).inode = 0;
        (*here).active = active;
        let sb = file_system_of(here, anchor);
        // An open question about this call ends only where it is judged.
        if core::ptr::read_volatile(&raw const (*state).given_up) != 0 {
            return seen::OPEN;
        }
        let parent: Addr = load(dentry, &OFF_DENTRY_PARENT);
        let above: Addr = load(parent, &OFF_DENTRY_INODE);
        (*directory).igen = load(above, &OFF_INODE_GENERATION);
        let unfit = (*directory).igen == 0
            || same(here, parent, dentry)
            || !same(here, load(dentry, &OFF_DENTRY_SB), sb);
        if unfit {
            return seen::OPEN;
        }
        (*directory).ino = load(above, &OFF_INODE_INO);
        (*directory).dev = (*here).dev;
        (*directory).active = active;
        (*directory).changes = changes;
        (*directory).period = (bpf_jiffies64() >> PERIOD_SHIFT) as u32;
        // Through memory, and volatile: from here on it is a number.
        core::ptr::write_volatile((&raw mut (*directory).inode).cast::<Addr>(), above);
        known(here, dentry, parent)
    }
}

/// The walk begins: notes the counter of renames, before its first look at the tree.
///
/// # Safety
/// `dentry` must be a typed dentry pointer and `here` live, after [`look`].
#[inline(always)]
pub unsafe fn set_out(here: *mut Here, dentry: Addr) {
    // SAFETY: by contract. Through memory: what is read back is a number.
    unsafe {
        (*here).directory.renames = renames();
        // Whatever was renamed since the directory was looked up, it is another one's.
        let parent: Addr = load(dentry, &OFF_DENTRY_PARENT);
        let number = &raw mut (*here).beginning;
        core::ptr::write_volatile(number.cast::<Addr>(), load(parent, &OFF_DENTRY_INODE));
        if core::ptr::read_volatile(number) != (*here).directory.inode {
            (*here).directory.inode = 0;
        }
    }
}

/// Whether the directory is kept and nothing can be met in it by this object. The counter of renames is read last: if it
/// is what it was when the directory was kept, then nothing was renamed between these two moments, in which lies
/// everything that is looked at here.
#[inline(always)]
unsafe fn known(here: *mut Here, dentry: Addr, parent: Addr) -> u32 {
    // SAFETY: by contract of `look`.
    unsafe {
        let active = (*here).active;
        let Some((states, kept_at)) = kept(&raw const (*here).directory) else {
            return seen::OPEN;
        };
        // Looked up before the directory was kept, perhaps.
        if !same(here, load(dentry, &OFF_DENTRY_PARENT), parent) {
            return seen::OPEN;
        }
        let inode: Addr = load(dentry, &OFF_DENTRY_INODE);
        if !inode.is_null() && label(here, inode) != 0 {
            return seen::OPEN;
        }
        if states != States::default() {
            let slot = (active & ACTIVE_SLOT_MASK) as u32;
            let (pointer, len): (u64, u32) = (
                load(dentry, &OFF_DENTRY_NAME),
                load(dentry, &OFF_DENTRY_NAME_LEN),
            );
            if may_lead_on(&raw mut (*here).beginning, states, slot, pointer, len) {
                (*here).states = states;
                (*here).kept_at = kept_at;
                return seen::NEAR;
            }
        }
        if renames() == kept_at && !stale(active) {
            seen::UNMET
        } else {
            seen::OPEN
        }
    }
}

/// Whether nothing can be met by an object in a directory that is known, told by its whole name. Last of all the counter,
/// as in [`known`].
///
/// # Safety
/// `dentry` must be a typed dentry pointer and the scratch live, with what [`look`] saw.
#[inline(always)]
pub unsafe fn unmet_by_name(scratch: *mut Scratch, dentry: Addr) -> bool {
    // SAFETY: by contract.
    unsafe {
        let here = here(scratch);
        let (pointer, len): (u64, u32) = (
            load(dentry, &OFF_DENTRY_NAME),
            load(dentry, &OFF_DENTRY_NAME_LEN),
        );
        !leads_on(scratch, pointer, len) && renames() == (*here).kept_at && !stale((*here).active)
    }
}

/// The states of the automaton in a directory that is kept, and the counter of renames when it was.
#[inline(always)]
unsafe fn kept(directory: *const Directory) -> Option<(States, u32)> {
    // SAFETY: the directory is live by contract of the callers; a live map value, read under its version: loads are
    // volatile, so in order, and x86-64 does not reorder them.
    unsafe {
        let inode = core::ptr::read_volatile(&raw const (*directory).inode);
        let place = PLACES.get_ptr(place_of(inode))?;
        let version = core::ptr::read_volatile(&raw const (*place).version);
        let kept = &raw const (*place).directory;
        let equal = read(&raw const (*kept).inode) == inode
            && read(&raw const (*kept).ino) == (*directory).ino
            && read(&raw const (*kept).active) == (*directory).active
            && read(&raw const (*kept).changes) == (*directory).changes
            && read(&raw const (*kept).dev) == (*directory).dev
            && read(&raw const (*kept).igen) == (*directory).igen
            && read(&raw const (*kept).period) == (*directory).period;
        if !equal || inode == 0 {
            return None;
        }
        let renames = read(&raw const (*kept).renames);
        let states = read(&raw const (*place).states);
        let again = core::ptr::read_volatile(&raw const (*place).version);
        (version & 1 == 0 && again == version).then_some((states, renames))
    }
}

#[inline(always)]
unsafe fn read<T: Copy>(from: *const T) -> T {
    // SAFETY: live by contract of `kept`.
    unsafe { core::ptr::read_volatile(from) }
}

/// Keeps the directory of the object that was just walked, if nothing is met below it. Of two at once on one place the
/// second one is not kept.
///
/// # Safety
/// The scratch must be live.
#[inline(always)]
pub unsafe fn keep(scratch: *mut Scratch) {
    // SAFETY: live by contract; a live map value that only the holder of its odd version writes.
    unsafe {
        let current = &raw const (*scratch).current;
        let directory = &raw const (*current).here.directory;
        let inode = core::ptr::read_volatile(&raw const (*directory).inode);
        if inode == 0
            || (*current).depth < 2
            || (*current).met_above != 0
            || (*current).fickle != 0
            || !quiet(here(scratch))
            || stale((*directory).active)
        {
            return;
        }
        let Some(place) = PLACES.get_ptr_mut(place_of(inode)) else {
            return;
        };
        let version = core::ptr::read_volatile(&raw const (*place).version);
        if version & 1 != 0 || !exchange(&raw mut (*place).version, version, version | 1) {
            return;
        }
        core::ptr::write_volatile(&raw mut (*place).directory, *directory);
        core::ptr::write_volatile(&raw mut (*place).states, (*current).above);
        core::ptr::write_volatile(&raw mut (*place).version, version.wrapping_add(2));
    }
}
