//! The answers of the current call: one decision per call attempt.
//!
//! They stay good across restarts of the same call, are used up by an attempt in which nothing held, and
//! seeing a used one again means a new call, which starts empty. Loops are kernel loops: unrolled, their
//! branches would multiply in the verifier.

use core::ffi::{c_long, c_void};

use aya_ebpf::helpers::generated::bpf_loop;
use stayhand_agent_ebpf::{
    abi::task::{ANSWERS_MAX, Answered, Scratch},
    deadline::is_over,
};

type Callback = unsafe extern "C" fn(u64, *mut c_void) -> c_long;

/// `Rounds::found`: an unused answer was found and is used now.
const FOUND: u32 = 1;
/// `Rounds::found`: a used answer was seen again.
const USED: u32 = 2;

#[repr(C)]
struct Scan {
    scratch: *mut Scratch,
}

#[inline(always)]
fn scan(scratch: *mut Scratch, each: Callback) -> u32 {
    let mut context = Scan { scratch };
    // SAFETY: the context outlives the loop; the scratch is live.
    unsafe {
        (*scratch).current.rounds.found = 0;
        bpf_loop(
            ANSWERS_MAX as u32,
            each as *mut c_void,
            (&raw mut context).cast(),
            0,
        );
        core::ptr::read_volatile(&raw const (*scratch).current.rounds.found)
    }
}

#[inline(always)]
unsafe fn at(scratch: *mut Scratch, index: u64) -> Option<*mut Answered> {
    if index >= ANSWERS_MAX as u64 {
        return None;
    }
    // SAFETY: index checked; live by contract.
    unsafe {
        Some(
            (&raw mut (*scratch).answered)
                .cast::<Answered>()
                .add(index as usize),
        )
    }
}

/// Uses the answer to the current action, if this call has one. A used answer seen again empties the call.
#[inline(always)]
pub fn used_before(scratch: *mut Scratch) -> bool {
    match scan(scratch, look) {
        FOUND => true,
        USED => {
            scan(scratch, forget);
            false
        }
        _ => false,
    }
}

unsafe extern "C" fn look(index: u64, context: *mut c_void) -> c_long {
    // SAFETY: the context is `scan`'s; the scratch is live.
    unsafe {
        let scratch = (*context.cast::<Scan>()).scratch;
        let Some(answered) = at(scratch, index) else {
            return 1;
        };
        if (*answered).hold == 0 {
            return 0;
        }
        if is_over((*answered).boot_deadline_ns, (*scratch).current.now.boot_ns) {
            (*answered).hold = 0;
            return 0;
        }
        if (*answered).call != (*scratch).current.call {
            if (*answered).seen != 0 {
                (*answered).hold = 0; // used up by an earlier call
            }
            return 0;
        }
        let same = ((*answered).digest[0] ^ (*scratch).current.digest[0])
            | ((*answered).digest[1] ^ (*scratch).current.digest[1]);
        if same != 0 {
            return 0;
        }
        if (*answered).seen != 0 {
            (*scratch).current.rounds.found = USED;
            return 1;
        }
        (*answered).seen = 1;
        (*scratch).current.hold = (*answered).hold;
        (*scratch).current.rounds.found = FOUND;
    }
    1
}

unsafe extern "C" fn forget(index: u64, context: *mut c_void) -> c_long {
    // SAFETY: the context is `scan`'s; the scratch is live.
    unsafe {
        let scratch = (*context.cast::<Scan>()).scratch;
        let Some(answered) = at(scratch, index) else {
            return 1;
        };
        if (*answered).call == (*scratch).current.call {
            (*answered).hold = 0;
        }
    }
    0
}

/// The attempt stops: what it used so far stays good for the restart of the same call.
#[inline(never)]
pub fn keep_for_restart(scratch: *mut Scratch) {
    scan(scratch, rewind);
}

unsafe extern "C" fn rewind(index: u64, context: *mut c_void) -> c_long {
    // SAFETY: the context is `scan`'s; the scratch is live.
    unsafe {
        let scratch = (*context.cast::<Scan>()).scratch;
        let Some(answered) = at(scratch, index) else {
            return 1;
        };
        if (*answered).call == (*scratch).current.call {
            (*answered).seen = 0;
        }
    }
    0
}

/// Keeps an approval for the rest of this call, used by this attempt. Without a free place the action goes on
/// but a restart asks again.
#[inline(always)]
pub fn keep(scratch: *mut Scratch) {
    scan(scratch, take);
}

unsafe extern "C" fn take(index: u64, context: *mut c_void) -> c_long {
    // SAFETY: the context is `scan`'s; the scratch is live.
    unsafe {
        let scratch = (*context.cast::<Scan>()).scratch;
        let Some(answered) = at(scratch, index) else {
            return 1;
        };
        if (*answered).hold != 0 {
            return 0;
        }
        (*answered).digest = (*scratch).current.digest;
        (*answered).hold = (*scratch).current.hold;
        (*answered).call = (*scratch).current.call;
        (*answered).boot_deadline_ns = (*scratch).current.boot_deadline_ns;
        (*answered).seen = 1;
    }
    1
}
