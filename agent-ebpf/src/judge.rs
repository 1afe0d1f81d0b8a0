//! Runs `decide()` over the ranges that a walk or an address look-up collected. Makes no decision itself.

use core::ffi::{c_long, c_void};

use aya_ebpf::helpers::generated::{bpf_ktime_get_boot_ns, bpf_ktime_get_tai_ns, bpf_loop};
use stayhand_agent_ebpf::{
    abi::{
        code::{counter, decode_verdict, reason},
        image::{
            ACTIVE_BUILDING, ACTIVE_CHANGES, ACTIVE_FRESH_FOR, ACTIVE_IMAGE, ACTIVE_PROVEN_BOOT,
            ACTIVE_PROVEN_TAI, ACTIVE_SLOT_MASK, ACTIVE_UNRULED, ENTRIES_PER_ATTEMPT_MAX,
            ENTRIES_PER_SLOT, LabelKey, LeaseKey, LeaseRow, Range, Subject, SubjectKey,
            slot_was_rebuilt,
        },
        pulse,
        task::{RANGES_MAX, Scratch, TaskState},
    },
    args::{Matcher, met},
    decide::{Attempt, Now, Tables, nothing_met, unjudged},
    schedule::both,
};

use crate::{
    conditions::{condition, scheduled},
    hold::EPERM,
    maps::{ACTIVE, ENTRIES, LEASES, SUBJECTS, count},
    offsets::Addr,
    places::{forget, look, seen, set_out, unmet_by_name},
    rates::settle,
    walk::here,
    who::scratch_of,
};

/// Comparisons of arguments with steps, over all entries that one execution meets: some 64 rules with the words of a
/// long command line. Beyond that the attempt cannot be judged, which restricts.
const COMPARISONS_MAX: u32 = 16_384;

/// What the active image says of the task's subject; no operations if it says nothing.
pub struct Named {
    /// `ACTIVE[ACTIVE_IMAGE]`
    pub active: u64,
    /// `ACTIVE[ACTIVE_CHANGES]`
    pub changes: u64,
    /// What it says
    pub subject: Subject,
    /// It was read for this very image before, and not while its slot was rewritten
    remembered: bool,
}

/// A subject that could not be read: whatever it does is restricted. No subject of an image has operations and no
/// sets.
const UNREADABLE: Subject = Subject {
    sets: 0,
    ops: u32::MAX,
    restricted_ops: u32::MAX,
};

/// Looks the subject up. A slot under reconstruction says nothing reliable, least of all by silence: it is asked
/// once more, and then the subject is restricted.
#[inline(always)]
fn named(state: *mut TaskState) -> Option<Named> {
    let first = read(state)?;
    if first.remembered || !stale(first.active) {
        return Some(remember(state, first));
    }
    count(counter::REJUDGED);
    let second = read(state)?;
    if second.remembered || !stale(second.active) {
        return Some(remember(state, second));
    }
    Some(Named {
        active: second.active,
        changes: second.changes,
        subject: UNREADABLE,
        remembered: false,
    })
}

#[inline(always)]
fn read(state: *mut TaskState) -> Option<Named> {
    let active = *ACTIVE.get(ACTIVE_IMAGE)?;
    if active == 0 {
        return None;
    }
    let changes = *ACTIVE.get(ACTIVE_CHANGES)?;
    // SAFETY: the state is live.
    unsafe {
        if (*state).subject_of == active && (*state).subject_changes == changes {
            return Some(Named {
                active,
                changes,
                subject: (*state).subject,
                remembered: true,
            });
        }
    }
    // SAFETY: the state is live; the value is copied at once.
    let subject = unsafe {
        let key = SubjectKey {
            auid: (*state).auid,
            slot: (active & ACTIVE_SLOT_MASK) as u32,
        };
        SUBJECTS.get(key).copied().unwrap_or_default()
    };
    Some(Named {
        active,
        changes,
        subject,
        remembered: false,
    })
}

/// An image says one thing of a subject for as long as it stands: the next attempt need not look it up.
#[inline(always)]
fn remember(state: *mut TaskState, named: Named) -> Named {
    // SAFETY: the state is live.
    unsafe {
        (*state).subject = named.subject;
        (*state).subject_of = named.active;
        (*state).subject_changes = named.changes;
    }
    named
}

/// True if no entry of anybody is on any of these operations.
#[inline(always)]
pub fn unruled(ops: u32) -> bool {
    ACTIVE.get_ptr(ACTIVE_UNRULED).is_some_and(|operations| {
        // SAFETY: a live, aligned map value that is written in one piece.
        let operations = unsafe { core::ptr::read_volatile(operations) };
        u64::from(ops) & !operations == 0
    })
}

/// The active image and the subject, if that names any of these operations for it.
#[inline(always)]
pub fn concerned(state: *mut TaskState, ops: u32) -> Option<Named> {
    let named = named(state)?;
    (named.subject.ops & ops != 0).then_some(named)
}

impl Named {
    /// Begins an attempt: reads the clocks once.
    ///
    /// # Safety
    /// `scratch` must be live.
    #[inline(always)]
    pub unsafe fn begin(&self, scratch: *mut Scratch, hook: u16, ops: u32) {
        let attempt = Attempt {
            ops,
            port: 0,
            protocol: 0,
            subjects: self.subject.sets,
        };
        // SAFETY: by contract.
        unsafe { stamp(scratch, self.active, hook, attempt) }
    }
}

/// An attempt that is to be judged.
pub struct Begun {
    /// What it is judged with
    pub scratch: *mut Scratch,
    /// Whose it is
    pub subject: Subject,
}

/// Begins an attempt that is not about one object. Else what the hook returns: nothing names these operations for this
/// subject, or there is nothing to judge with.
#[inline(always)]
pub fn begin(state: *mut TaskState, hook: u16, ops: u32) -> Result<Begun, i32> {
    let Some(named) = concerned(state, ops) else {
        return Err(0);
    };
    let scratch = scratch_of(state);
    if scratch.is_null() {
        return Err(EPERM);
    }
    // SAFETY: checked for null.
    unsafe {
        forget(here(scratch));
        named.begin(scratch, hook, ops);
    }
    Ok(Begun {
        scratch,
        subject: named.subject,
    })
}

/// As [`begin`], for what is attempted on one object. It is not begun either if no entry can be met there: it is allowed,
/// with the task's small state alone.
///
/// # Safety
/// `dentry` must be a typed dentry pointer, and `anchor` a typed inode pointer of its file system.
#[inline(always)]
pub unsafe fn begin_at(
    state: *mut TaskState,
    hook: u16,
    ops: u32,
    dentry: Addr,
    anchor: Addr,
) -> Result<Begun, i32> {
    let Some(named) = concerned(state, ops) else {
        return Err(0);
    };
    // SAFETY: by contract; the state is live, the scratch checked for null.
    unsafe {
        let seen = look(state, named.active, named.changes, dentry, anchor);
        if seen == seen::UNMET {
            return Err(0);
        }
        let scratch = scratch_of(state);
        if scratch.is_null() {
            return Err(EPERM);
        }
        (*scratch).current.here = (*state).here;
        if seen == seen::NEAR && unmet_by_name(scratch, dentry) {
            return Err(0);
        }
        set_out(here(scratch), dentry);
        named.begin(scratch, hook, ops);
        Ok(Begun {
            scratch,
            subject: named.subject,
        })
    }
}

/// Puts the image, the clocks and the attempt into the scratch and empties what the attempt will fill.
///
/// # Safety
/// `scratch` must be live.
#[inline(always)]
pub unsafe fn stamp(scratch: *mut Scratch, active: u64, hook: u16, attempt: Attempt) {
    // SAFETY: live by contract.
    unsafe {
        let current = &raw mut (*scratch).current;
        (*current).here.active = active;
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
        (*current).depth = 0;
        (*current).range_count = 0;
        (*current).other_depth = 0;
        (*current).unholdable = 0;
        (*current).name_hash = 0;
        (*current).content = [0; 4];
        (*current).dest_addr = [0; 16];
        (*current).family = 0;
        (*current).name_len = 0;
        (*current).object = NO_OBJECT;
        (*current).other = NO_OBJECT;
    }
}

const NO_OBJECT: LabelKey = LabelKey {
    ino: 0,
    dev: 0,
    igen: 0,
    slot: 0,
    pad: 0,
};

/// True if any policy guards the task's subject at all, or that cannot be read.
#[inline(always)]
pub fn guarded(state: *mut TaskState) -> bool {
    named(state).is_some_and(|named| named.subject.sets != 0 || named.subject.ops != 0)
}

/// Puts the decision over the collected ranges into the scratch.
#[inline(always)]
pub fn judge(scratch: *mut Scratch, subject: Subject, walked: bool) {
    // SAFETY: the scratch is live.
    unsafe {
        let current = &raw mut (*scratch).current;
        let readable = subject.sets != 0 && !stale((*current).here.active);
        if walked && (*current).range_count == 0 && readable {
            (*current).decision = nothing_met();
            return;
        }
    }
    start(scratch);
    end(scratch, walked);
    conclude(scratch, subject);
}

/// Begins an attempt; then [`end`] for each of its ends, then [`conclude`].
#[inline(always)]
pub fn start(scratch: *mut Scratch) {
    // SAFETY: the scratch is live.
    unsafe {
        let current = &raw mut (*scratch).current;
        (*current).judge.restart();
        (*current).unjudged = 0;
        // Once for all entries: they are asked about one moment.
        (*current).leases_at = Now::NEVER;
        if leases_count((*current).now.boot_ns, (*current).now.tai_ns) != 0 {
            (*current).leases_at = (*current).now;
        }
    }
}

/// Whether leases count on this host at this moment: see [`pulse::is_fresh`]. A function of its own, so that the verifier walks
/// through it once for each hook and not once for each entry.
#[inline(never)]
fn leases_count(boot_ns: u64, tai_ns: u64) -> u32 {
    let active = |index| match ACTIVE.get_ptr(index) {
        // SAFETY: live, aligned map values, each written in one piece; volatile, because the agent may write them now. Any mixture of
        // an older proof and a newer one ends leases as the older one does.
        Some(cell) => unsafe { core::ptr::read_volatile(cell) },
        None => 0,
    };
    let proven = [active(ACTIVE_PROVEN_BOOT), active(ACTIVE_PROVEN_TAI)];
    if pulse::is_fresh(active(ACTIVE_FRESH_FOR), proven, [boot_ns, tai_ns]) {
        1
    } else {
        0
    }
}

/// As [`judge`], with the arguments and what else is known of the call in the scratch.
#[inline(always)]
pub fn judge_with_arguments(scratch: *mut Scratch, subject: Subject, walked: bool) {
    start(scratch);
    end_by(scratch, walked, one_entry::<true>, COMPARISONS_MAX);
    conclude(scratch, subject);
}

/// Judges the ranges that were collected at one end.
#[inline(always)]
pub fn end(scratch: *mut Scratch, walked: bool) {
    let most = ENTRIES_PER_ATTEMPT_MAX + RANGES_MAX as u32 + 1;
    end_by(scratch, walked, one_entry::<false>, most);
}

type Callback = unsafe extern "C" fn(u64, *mut c_void) -> c_long;

/// Judges one end by at most as many rounds.
#[inline(always)]
fn end_by(scratch: *mut Scratch, walked: bool, callback: Callback, most: u32) {
    // SAFETY: the scratch is live.
    unsafe {
        let current = &raw mut (*scratch).current;
        let rounds = &raw mut (*current).rounds;
        (*rounds).range = 0;
        (*rounds).entry = 0;
        (*rounds).failed = 0;
        (*rounds).ended = 0;
        (*rounds).matcher = Matcher::default();
        if !walked {
            (*current).unjudged = 1;
            return;
        }
        let mut context = Context { scratch };
        bpf_loop(most, callback as *mut c_void, (&raw mut context).cast(), 0);
        if (*rounds).failed != 0 || (*rounds).ended == 0 {
            (*current).unjudged = 1;
        }
        (*current).judge.end();
    }
}

/// Puts the decision over everything that was judged into the scratch. What could not be judged is restricted if
/// any enforced rule could restrict it for this subject.
#[inline(always)]
pub fn conclude(scratch: *mut Scratch, subject: Subject) {
    decided(scratch, subject.sets, subject.restricted_ops);
}

/// A function of its own: a whole decision does not fit on the stack beside what a hook has there.
#[inline(never)]
fn decided(scratch: *mut Scratch, sets: u64, restricted_ops: u32) {
    // SAFETY: the scratch is live.
    unsafe {
        let current = &raw mut (*scratch).current;
        let failure = if sets == 0 {
            reason::IMAGE_CHANGED
        } else if (*current).unjudged != 0 {
            reason::WALK_FAILED
        } else if stale((*current).here.active) {
            reason::IMAGE_CHANGED
        } else {
            (*current).decision = (*current).judge.finish();
            return;
        };
        if restricted_ops & (*current).attempt.ops != 0 {
            (*current).decision = unjudged(failure);
        } else {
            (*current).judge.restart();
            (*current).decision = (*current).judge.finish();
        }
    }
}

/// Whether the slot that was judged on may have been rewritten meanwhile.
#[inline(never)]
pub fn stale(active: u64) -> bool {
    let (Some(image), Some(building)) = (
        ACTIVE.get_ptr(ACTIVE_IMAGE),
        ACTIVE.get_ptr(ACTIVE_BUILDING),
    ) else {
        return true;
    };
    // SAFETY: live, aligned map values, each written in one piece. Volatile and in this order: see
    // `slot_was_rebuilt`; x86-64 does not reorder loads.
    unsafe {
        let before = core::ptr::read_volatile(image);
        let building = core::ptr::read_volatile(building);
        slot_was_rebuilt(active, before, building, core::ptr::read_volatile(image))
    }
}

#[repr(C)]
struct Context {
    scratch: *mut Scratch,
}

/// One entry, one comparison of its condition, or the step to the next range; 1 ends the loop.
unsafe extern "C" fn one_entry<const ARGUMENTS: bool>(_round: u64, context: *mut c_void) -> c_long {
    // SAFETY: the context is `judge`'s, on its stack; the scratch is live.
    unsafe {
        let scratch = (*context.cast::<Context>()).scratch;
        let cursor = &raw mut (*scratch).current.rounds;
        let index = (*cursor).range;
        if index >= (*scratch).current.range_count || index >= RANGES_MAX as u32 {
            (*cursor).ended = 1;
            return 1;
        }
        let range = *(&raw const (*scratch).ranges)
            .cast::<Range>()
            .add(index as usize);
        if (*cursor).entry >= u32::from(range.len) {
            (*cursor).range = index + 1;
            (*cursor).entry = 0;
            return 0;
        }
        let at = range.start.wrapping_add((*cursor).entry);
        let slot = ((*scratch).current.here.active & ACTIVE_SLOT_MASK) as u32;
        let found = if at < ENTRIES_PER_SLOT {
            ENTRIES.get_ptr(slot * ENTRIES_PER_SLOT + at)
        } else {
            None
        };
        let Some(entry) = found else {
            (*cursor).failed = 1;
            return 1;
        };
        let now = &raw const (*scratch).current.now;
        let counts_now = match (*entry).schedule {
            0 => met::YES,
            schedule => scheduled(slot, schedule, (*now).boot_ns, (*now).tai_ns),
        };
        // Through memory, here and below, where the verifier knows no outcome from another and goes on once.
        let of_time = &raw mut (*cursor).scheduled;
        core::ptr::write_volatile(of_time, counts_now);
        if core::ptr::read_volatile(of_time) == met::NO {
            // Nothing is asked about a rule that does not count now.
            (*cursor).entry += 1;
            return 0;
        }
        let met = condition::<ARGUMENTS>(scratch, entry, slot);
        match met {
            met::OPEN => return 0,
            met::FAILED => {
                (*cursor).failed = 1;
                return 1;
            }
            _ => {}
        }
        let of_all = &raw mut (*cursor).met;
        core::ptr::write_volatile(of_all, both(met, core::ptr::read_volatile(of_time)));
        let met = core::ptr::read_volatile(of_all);
        (*cursor).entry += 1;
        let tables = Leases {
            auid: (*scratch).auid,
            slot,
        };
        let current = &raw mut (*scratch).current;
        (*current).judge.consider(
            &tables,
            &(*current).attempt,
            (*current).leases_at,
            &*entry,
            met,
        );
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

/// Verdict and reason of the decision in the scratch, which is final: rates are counted now.
#[inline(always)]
pub fn outcome(scratch: *mut Scratch) -> (u32, u32) {
    settle(scratch);
    // SAFETY: the scratch is live. Volatile: in memory all outcomes look alike to the verifier.
    unsafe {
        let decision = &raw const (*scratch).current.decision;
        let verdict = core::ptr::read_volatile(&raw const (*decision).verdict);
        (
            decode_verdict(verdict),
            core::ptr::read_volatile(&raw const (*decision).reason),
        )
    }
}
