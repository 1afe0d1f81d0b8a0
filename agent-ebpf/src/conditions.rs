//! Whether an entry counts now, and whether a call meets what it asks for beyond its object. Reads what was collected of the
//! call, and collects nothing.

use stayhand_agent_ebpf::{
    abi::{
        image::{ARG_STEPS_PER_SLOT, ArgStep, Entry, Token},
        schedule::SCHEDULES_PER_SLOT,
        task::{PROGRAMS_MAX, Scratch, TOKENS_MAX},
    },
    args::{Arguments, Matcher, met},
    decide::{Judge, Now},
    schedule::counts,
};

use crate::maps::{ARG_STEPS, SCHEDULES};

/// Whether what has this schedule counts now, see [`met`]. A function of its own: most entries have none.
#[inline(never)]
pub fn scheduled(slot: u32, schedule: u32, boot_ns: u64, tai_ns: u64) -> u32 {
    if slot > 1 || schedule >= SCHEDULES_PER_SLOT {
        return met::MAYBE;
    }
    match SCHEDULES.get(slot * SCHEDULES_PER_SLOT + schedule) {
        Some(schedule) => counts(schedule, Now { boot_ns, tai_ns }),
        None => met::MAYBE,
    }
}

/// Whether the arguments meet the entry's condition, see [`met`]: one comparison at a time.
///
/// # Safety
/// The scratch must be live, and `entry` a live map value.
#[inline(always)]
pub unsafe fn condition<const ARGUMENTS: bool>(
    scratch: *mut Scratch,
    entry: *const Entry,
    slot: u32,
) -> u32 {
    // SAFETY: live map values by contract.
    unsafe {
        if (*entry).args_len == 0 {
            return met::YES;
        }
        if !ARGUMENTS {
            return met::MAYBE;
        }
        if !Judge::concerns(&(*scratch).current.attempt, &*entry) {
            return met::NO;
        }
        let matcher = &raw mut (*scratch).current.rounds.matcher;
        let call = CallArguments { scratch, slot };
        let met = (*matcher).advance(&call, (*entry).args_first, (*entry).args_len);
        if met != met::OPEN {
            *matcher = Matcher::default();
        }
        met
    }
}

/// The kernel's tables behind [`Arguments`].
struct CallArguments {
    scratch: *mut Scratch,
    slot: u32,
}

impl Arguments for CallArguments {
    #[inline(always)]
    fn step(&self, index: u32) -> Option<ArgStep> {
        if index >= ARG_STEPS_PER_SLOT {
            return None;
        }
        ARG_STEPS
            .get(self.slot * ARG_STEPS_PER_SLOT + index)
            .copied()
    }

    #[inline(always)]
    fn token(&self, index: u32) -> Option<Token> {
        // SAFETY: the scratch is live; the index is checked.
        unsafe {
            if index >= (*self.scratch).args.count || index >= TOKENS_MAX as u32 {
                return None;
            }
            let tokens = (&raw const (*self.scratch).args.tokens).cast::<Token>();
            Some(*tokens.add(index as usize))
        }
    }

    #[inline(always)]
    fn known(&self) -> bool {
        // SAFETY: the scratch is live. Volatile: in memory both answers look alike to the verifier.
        unsafe { core::ptr::read_volatile(&raw const (*self.scratch).args.known) != 0 }
    }

    #[inline(always)]
    fn count(&self) -> u32 {
        // SAFETY: the scratch is live. A call without any argument has none behind its name either.
        unsafe { ((*self.scratch).args.judged.argc as u32).saturating_sub(1) }
    }

    #[inline(always)]
    fn fact(&self, number: u32) -> u32 {
        // SAFETY: the scratch is live.
        unsafe {
            let facts = &raw mut (*self.scratch).args.facts;
            if (*facts).known.has(number) {
                return if (*facts).so.has(number) {
                    met::YES
                } else {
                    met::NO
                };
            }
            if (*facts).unknown.has(number) {
                core::ptr::write_volatile(&raw mut (*facts).untold, 1);
            } else {
                (*facts).wanted.set(number);
                core::ptr::write_volatile(&raw mut (*facts).open, 1);
            }
            met::MAYBE
        }
    }

    #[inline(always)]
    fn terminal(&self) -> u32 {
        // SAFETY: the scratch is live.
        unsafe { (*self.scratch).args.terminal }
    }

    #[inline(always)]
    fn program(&self, index: u32) -> Option<u32> {
        // SAFETY: the scratch is live; the index is checked.
        unsafe {
            if index >= (*self.scratch).descent.count || index >= PROGRAMS_MAX as u32 {
                return None;
            }
            let nodes = (&raw const (*self.scratch).descent.nodes).cast::<u32>();
            Some(*nodes.add(index as usize))
        }
    }

    #[inline(always)]
    fn parents(&self) -> u32 {
        // SAFETY: the scratch is live.
        unsafe { (*self.scratch).descent.parents }
    }

    #[inline(always)]
    fn lineage(&self) -> u32 {
        // SAFETY: the scratch is live.
        unsafe { (*self.scratch).descent.flags }
    }
}
