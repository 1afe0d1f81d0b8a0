//! Hashes words of the task's scratch in a kernel loop. Written out, the rounds of every hash at every place would be
//! most of every program, and all of it would be walked through by the verifier each time it comes by.

use core::ffi::{c_long, c_void};

use aya_ebpf::helpers::generated::bpf_loop;
use stayhand_agent_ebpf::{
    abi::task::{NAME_WORDS, TaskState},
    siphash::Sip,
};

#[repr(C)]
struct Context {
    state: *mut TaskState,
}

/// Puts words into the scratch, in order, and counts them.
pub struct Words {
    state: *mut TaskState,
    count: usize,
}

impl Words {
    /// Begins at the start of the scratch.
    ///
    /// # Safety
    /// `state` must be live for as long as words are put.
    #[inline(always)]
    pub unsafe fn new(state: *mut TaskState) -> Self {
        Self { state, count: 0 }
    }

    /// One more word, of at most [`NAME_WORDS`].
    #[inline(always)]
    pub fn put(&mut self, word: u64) {
        // SAFETY: live by contract. Callers put fewer words than there are, a constant number that the verifier sees.
        unsafe {
            let words = (&raw mut (*self.state).name).cast::<u64>();
            core::ptr::write_volatile(words.add(self.count), word);
        }
        self.count += 1;
    }

    /// The hash that began as `sip`, over all of them.
    #[inline(always)]
    pub fn hashed(self, sip: Sip) -> Sip {
        // SAFETY: live by contract.
        unsafe {
            (*self.state).current.rounds.sip = sip;
            take_in(self.state, self.count as u32);
            (*self.state).current.rounds.sip
        }
    }
}

/// Takes the first `count` words of the scratch into the hash in `Rounds`.
///
/// # Safety
/// `state` must be live.
#[inline(always)]
pub unsafe fn take_in(state: *mut TaskState, count: u32) {
    let mut context = Context { state };
    let callback: unsafe extern "C" fn(u64, *mut c_void) -> c_long = one_word;
    // SAFETY: the context outlives the loop; live by contract.
    unsafe {
        bpf_loop(count, callback as *mut c_void, (&raw mut context).cast(), 0);
    }
}

/// One word; 1 ends the loop.
unsafe extern "C" fn one_word(index: u64, context: *mut c_void) -> c_long {
    if index >= NAME_WORDS as u64 {
        return 1;
    }
    // SAFETY: the context is `take_in`'s; index checked.
    unsafe {
        let state = (*context.cast::<Context>()).state;
        let words = (&raw const (*state).name).cast::<u64>();
        let word = core::ptr::read_volatile(words.add(index as usize));
        (*state).current.rounds.sip.word(word);
    }
    0
}
