//! Runs `decide()` over the ranges that a walk or an address look-up collected. Makes no decision itself.

use core::ffi::{c_long, c_void};

use aya_ebpf::helpers::generated::{bpf_ktime_get_boot_ns, bpf_ktime_get_tai_ns, bpf_loop};
use stayhand_agent_ebpf::{
    abi::{
        code::{decode_verdict, reason},
        image::{
            ACTIVE_BUILDING, ACTIVE_IMAGE, ACTIVE_SLOT_MASK, ENTRIES_PER_ATTEMPT_MAX,
            ENTRIES_PER_SLOT, LeaseKey, LeaseRow, Range, Subject, SubjectKey,
        },
        task::{RANGES_MAX, TaskState},
    },
    decide::{Attempt, Judge, Now, Tables, unjudged},
};

use crate::maps::{ACTIVE, ENTRIES, LEASES, SUBJECTS};

/// Begins an attempt: reads the active image and the clocks once. `None`: nothing names this operation for
/// this subject.
#[inline(always)]
pub fn begin(state: *mut TaskState, hook: u16, ops: u32, port: u16) -> Option<Subject> {
    let active = *ACTIVE.get(ACTIVE_IMAGE)?;
    if active == 0 {
        return None;
    }
    // SAFETY: the state is live.
    unsafe {
        let key = SubjectKey {
            auid: (*state).auid,
            slot: (active & ACTIVE_SLOT_MASK) as u32,
        };
        let subject = *SUBJECTS.get(key)?;
        if subject.ops & ops == 0 {
            return None;
        }
        stamp(
            state,
            active,
            hook,
            Attempt {
                ops,
                port,
                subjects: subject.sets,
            },
        );
        Some(subject)
    }
}

/// Puts the image, the clocks and the attempt into the state and empties what the attempt will fill.
///
/// # Safety
/// `state` must be live.
#[inline(always)]
pub unsafe fn stamp(state: *mut TaskState, active: u64, hook: u16, attempt: Attempt) {
    // SAFETY: live by contract.
    unsafe {
        let current = &raw mut (*state).current;
        (*current).active = active;
        (*current).now = Now {
            boot_ns: bpf_ktime_get_boot_ns(),
            tai_ns: bpf_ktime_get_tai_ns(),
        };
        (*current).attempt = attempt;
        (*current).hook = u32::from(hook);
        (*current).hold = 0;
        (*current).boot_deadline_ns = 0;
        (*current).digest = [0; 2];
        (*current).open_flags = 0;
        (*current).create_mode = 0;
        (*current).name_hash = 0;
        (*current).depth = 0;
        (*current).range_count = 0;
    }
}

/// True if any policy guards the task's subject at all.
#[inline(always)]
pub fn guarded(state: *mut TaskState) -> bool {
    let Some(active) = ACTIVE.get(ACTIVE_IMAGE).copied() else {
        return false;
    };
    // SAFETY: the state is live.
    let auid = unsafe { (*state).auid };
    let key = SubjectKey {
        auid,
        slot: (active & ACTIVE_SLOT_MASK) as u32,
    };
    // SAFETY: the value is copied at once.
    active != 0 && unsafe { SUBJECTS.get(key) }.is_some_and(|subject| subject.sets != 0)
}

/// Puts the decision over the collected ranges into the state.
#[inline(always)]
pub fn judge(state: *mut TaskState, subject: Subject, walked: bool) {
    // SAFETY: the state is live.
    unsafe {
        let current = &raw mut (*state).current;
        if !walked {
            let restricted = subject.restricted_ops & (*current).attempt.ops != 0;
            (*current).decision = if restricted {
                unjudged(reason::WALK_FAILED)
            } else {
                Judge::new().finish()
            };
            return;
        }
        (*current).judge = Judge::new();
        let rounds = &raw mut (*current).rounds;
        (*rounds).range = 0;
        (*rounds).entry = 0;
        (*rounds).failed = 0;
        (*rounds).ended = 0;
        let mut context = Context { state };
        let callback: unsafe extern "C" fn(u64, *mut c_void) -> c_long = one_entry;
        let most = ENTRIES_PER_ATTEMPT_MAX + RANGES_MAX as u32 + 1;
        bpf_loop(most, callback as *mut c_void, (&raw mut context).cast(), 0);
        (*current).decision = if (*rounds).failed != 0 || (*rounds).ended == 0 {
            unjudged(reason::WALK_FAILED)
        } else if stale((*current).active) {
            unjudged(reason::IMAGE_CHANGED)
        } else {
            (*current).judge.finish()
        };
    }
}

/// The slot that was judged on is being rebuilt: two flips went by meanwhile.
#[inline(always)]
fn stale(active: u64) -> bool {
    let Some(now) = ACTIVE.get_ptr(ACTIVE_IMAGE) else {
        return true;
    };
    let Some(building) = ACTIVE.get_ptr(ACTIVE_BUILDING) else {
        return true;
    };
    // SAFETY: live, aligned map values, each written in one piece.
    let (now, building) = unsafe {
        (
            core::ptr::read_volatile(now),
            core::ptr::read_volatile(building),
        )
    };
    now != active && building == (active & ACTIVE_SLOT_MASK) + 1
}

#[repr(C)]
struct Context {
    state: *mut TaskState,
}

/// One entry, or the step to the next range; 1 ends the loop.
unsafe extern "C" fn one_entry(_round: u64, context: *mut c_void) -> c_long {
    // SAFETY: the context is `judge`'s, on its stack; the state is live.
    unsafe {
        let state = (*context.cast::<Context>()).state;
        let cursor = &raw mut (*state).current.rounds;
        let index = (*cursor).range;
        if index >= (*state).current.range_count || index >= RANGES_MAX as u32 {
            (*cursor).ended = 1;
            return 1;
        }
        let range = *(&raw const (*state).ranges)
            .cast::<Range>()
            .add(index as usize);
        if (*cursor).entry >= range.len {
            (*cursor).range = index + 1;
            (*cursor).entry = 0;
            return 0;
        }
        let at = range.start.wrapping_add((*cursor).entry);
        (*cursor).entry += 1;
        let slot = ((*state).current.active & ACTIVE_SLOT_MASK) as u32;
        let found = if at < ENTRIES_PER_SLOT {
            ENTRIES.get_ptr(slot * ENTRIES_PER_SLOT + at)
        } else {
            None
        };
        let Some(entry) = found else {
            (*cursor).failed = 1;
            return 1;
        };
        let tables = Leases {
            auid: (*state).auid,
            slot,
        };
        let current = &raw mut (*state).current;
        (*current)
            .judge
            .consider(&tables, &(*current).attempt, (*current).now, &*entry);
    }
    0
}

struct Leases {
    auid: u32,
    slot: u32,
}

impl Tables for Leases {
    #[inline(always)]
    fn leases(&self, permission: u64) -> Option<&LeaseRow> {
        // SAFETY: rows of the active slot are not written while they can be read.
        unsafe {
            LEASES.get(LeaseKey {
                permission,
                auid: self.auid,
                slot: self.slot,
            })
        }
    }
}

/// Verdict and reason of the decision in the state.
#[inline(always)]
pub fn outcome(state: *mut TaskState) -> (u32, u32) {
    // SAFETY: the state is live. Volatile: in memory all outcomes look alike to the verifier.
    unsafe {
        let decision = &raw const (*state).current.decision;
        let verdict = core::ptr::read_volatile(&raw const (*decision).verdict);
        (
            decode_verdict(verdict),
            core::ptr::read_volatile(&raw const (*decision).reason),
        )
    }
}
