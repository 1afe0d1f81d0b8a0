//! Test aid: with the feature `delays` a hold takes its time between its steps, so that what others do falls into every
//! gap. Never in a shipped object: without the feature nothing of it is compiled.

/// Most rounds of the idle loop: about a millisecond under emulation, as long as an answer and a wake-up take.
#[cfg(feature = "delays")]
const ROUNDS_MAX: u32 = 0x7fff;

/// Waits, in one case out of two.
#[cfg(feature = "delays")]
#[inline(always)]
pub fn here() {
    use core::{
        ffi::{c_long, c_void},
        ptr::null_mut,
    };

    use aya_ebpf::helpers::generated::{bpf_get_prandom_u32, bpf_loop};

    unsafe extern "C" fn idle(_: u64, _: *mut c_void) -> c_long {
        0
    }
    let callback: unsafe extern "C" fn(u64, *mut c_void) -> c_long = idle;
    // SAFETY: a helper without arguments, and a loop whose callback touches nothing.
    unsafe {
        let random = bpf_get_prandom_u32();
        if random & 0x8000_0000 == 0 {
            bpf_loop(random & ROUNDS_MAX, callback as *mut c_void, null_mut(), 0);
        }
    }
}

/// Nothing.
#[cfg(not(feature = "delays"))]
#[inline(always)]
pub fn here() {}
