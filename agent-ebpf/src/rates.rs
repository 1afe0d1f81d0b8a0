//! Counts what rules of effect throttle are about, once per attempt that goes on. Nothing is taken from a bucket for what is
//! denied, held or only asked about, and nothing is ever put back.

use core::ffi::{c_long, c_void};

use aya_ebpf::{bindings::BPF_NOEXIST, helpers::generated::bpf_loop};
use stayhand_agent_ebpf::{
    abi::{
        code::counter,
        image::ACTIVE_SLOT_MASK,
        rate::{Bucket, BucketKey, RATES_PER_SLOT, Rate},
        task::Scratch,
    },
    decide::{Counted, NO_RATE},
    rate::take,
};

use crate::maps::{BUCKETS, RATES, count, exchange};

/// How often somebody else may be quicker at the same bucket. More threads of one subject at the same moment are denied
/// or held, as if it were empty.
const TRIES: u32 = 8;

/// Gives rates their say in the decision in the scratch, once.
#[inline(always)]
pub fn settle(scratch: *mut Scratch) {
    // SAFETY: the scratch is live. Volatile: in memory all decisions look alike to the verifier.
    let rates = unsafe {
        let decision = &raw const (*scratch).current.decision;
        core::ptr::read_volatile(&raw const (*decision).rates)
            | core::ptr::read_volatile(&raw const (*decision).would_rates)
    };
    if rates != 0 {
        counted(scratch);
    }
}

/// First looks at all buckets, and only if none of an enforced rate is empty takes from them.
#[inline(never)]
fn counted(scratch: *mut Scratch) {
    each(scratch, 0);
    // SAFETY: the scratch is live; see `settle`.
    unsafe {
        let rounds = &raw mut (*scratch).current.rounds;
        if core::ptr::read_volatile(&raw const (*rounds).rate) == NO_RATE {
            each(scratch, 1);
        }
        let counted = Counted {
            used_up: core::ptr::read_volatile(&raw const (*rounds).rate),
            first: core::ptr::read_volatile(&raw const (*rounds).first_rate),
            would: core::ptr::read_volatile(&raw const (*rounds).would_rate),
        };
        // A row that is not there denies.
        (*scratch).current.decision.settle(counted, |index| {
            match row(scratch, index & (RATES_PER_SLOT - 1)) {
                Some(rate) => *rate,
                None => Rate::default(),
            }
        });
    }
}

#[repr(C)]
struct Context {
    scratch: *mut Scratch,
}

type Callback = unsafe extern "C" fn(u64, *mut c_void) -> c_long;

#[inline(always)]
fn each(scratch: *mut Scratch, taking: u32) {
    let mut context = Context { scratch };
    let callback: Callback = one_rate;
    // SAFETY: the context outlives the loop; the scratch is live.
    unsafe {
        let rounds = &raw mut (*scratch).current.rounds;
        (*rounds).taking = taking;
        if taking == 0 {
            (*rounds).rate = NO_RATE;
            (*rounds).would_rate = NO_RATE;
            (*rounds).first_rate = NO_RATE;
        }
        bpf_loop(
            RATES_PER_SLOT,
            callback as *mut c_void,
            (&raw mut context).cast(),
            0,
        );
    }
}

/// One rate.
unsafe extern "C" fn one_rate(index: u64, context: *mut c_void) -> c_long {
    // SAFETY: the context is `each`'s; the scratch is live.
    unsafe {
        let scratch = (*context.cast::<Context>()).scratch;
        let index = index as u32 & (RATES_PER_SLOT - 1);
        let decision = &raw const (*scratch).current.decision;
        let (rates, would) = ((*decision).rates, (*decision).would_rates);
        let enforced = rates >> index & 1 != 0;
        if !enforced && would >> index & 1 == 0 {
            return 0;
        }
        let rounds = &raw mut (*scratch).current.rounds;
        if enforced && (*rounds).first_rate == NO_RATE {
            (*rounds).first_rate = index;
        }
        if is_there_one(scratch, index) {
            return 0;
        }
        let kept = if enforced {
            &raw mut (*rounds).rate
        } else {
            &raw mut (*rounds).would_rate
        };
        if *kept == NO_RATE {
            *kept = index;
        }
    }
    0
}

/// Whether the rate lets one more through; takes it out of its bucket if that is what the round is for.
#[inline(always)]
unsafe fn is_there_one(scratch: *mut Scratch, index: u32) -> bool {
    // SAFETY: the scratch is live by contract.
    unsafe {
        let Some(rate) = row(scratch, index) else {
            return false;
        };
        let Some(bucket) = bucket(scratch, rate) else {
            count(counter::UNCOUNTED);
            return false;
        };
        let now_ns = (*scratch).current.now.boot_ns;
        for _ in 0..TRIES {
            let full_at_ns = core::ptr::read_volatile(&raw const (*bucket).full_at_ns);
            let Some(next) = take(Bucket { full_at_ns }, &*rate, now_ns) else {
                return false;
            };
            if (*scratch).current.rounds.taking == 0
                || exchange(&raw mut (*bucket).full_at_ns, full_at_ns, next.full_at_ns)
            {
                return true;
            }
        }
    }
    count(counter::UNCOUNTED);
    false
}

#[inline(always)]
unsafe fn row(scratch: *mut Scratch, index: u32) -> Option<*const Rate> {
    // SAFETY: the scratch is live by contract.
    let slot = unsafe { ((*scratch).current.here.active & ACTIVE_SLOT_MASK) as u32 };
    RATES.get_ptr(slot * RATES_PER_SLOT + index)
}

/// The subject's bucket, full if it is new; nothing if there is no room for one.
#[inline(always)]
unsafe fn bucket(scratch: *mut Scratch, rate: *const Rate) -> Option<*mut Bucket> {
    // SAFETY: live map value and scratch by contract.
    let key = unsafe {
        BucketKey {
            bucket: (*rate).bucket,
            auid: (*scratch).auid,
            pad: 0,
        }
    };
    if let Some(bucket) = BUCKETS.get_ptr_mut(key) {
        return Some(bucket);
    }
    let _lost_race_is_fine = BUCKETS.insert(key, Bucket::default(), u64::from(BPF_NOEXIST));
    BUCKETS.get_ptr_mut(key)
}
