//! Hashes words of the task's scratch in a kernel loop. Written out, the rounds of every hash at every place would be
//! most of every program, and all of it would be walked through by the verifier each time it comes by.

use core::ffi::{c_long, c_void};

use aya_ebpf::helpers::generated::bpf_loop;
use stayhand_agent_ebpf::{
    abi::task::{NAME_WORDS, Scratch},
    siphash::Sip,
};

#[repr(C)]
struct Context {
    scratch: *mut Scratch,
}

/// Puts words into the scratch, in order, and counts them.
pub struct Words {
    scratch: *mut Scratch,
    count: usize,
}

impl Words {
    /// Begins at the start of the scratch.
    ///
    /// # Safety
    /// `scratch` must be live for as long as words are put.
    #[inline(always)]
    pub unsafe fn new(scratch: *mut Scratch) -> Self {
        Self { scratch, count: 0 }
    }

    /// One more word, of at most [`NAME_WORDS`].
    #[inline(always)]
    pub fn put(&mut self, word: u64) {
        // SAFETY: live by contract. Callers put fewer words than there are, a constant number that the verifier sees.
        unsafe {
            let words = (&raw mut (*self.scratch).name).cast::<u64>();
            core::ptr::write_volatile(words.add(self.count), word);
        }
        self.count += 1;
    }

    /// The hash that began as `sip`, over all of them.
    #[inline(always)]
    pub fn hashed(self, sip: Sip) -> Sip {
        // SAFETY: live by contract.
        unsafe {
            (*self.scratch).current.rounds.sip = sip;
            take_in(self.scratch, self.count as u32);
            (*self.scratch).current.rounds.sip
        }
    }
}

/// Takes the first `count` words of the scratch into the hash in `Rounds`.
///
/// # Safety
/// `scratch` must be live.
#[inline(always)]
pub unsafe fn take_in(scratch: *mut Scratch, count: u32) {
    let mut context = Context { scratch };
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
        let scratch = (*context.cast::<Context>()).scratch;
        let words = (&raw const (*scratch).name).cast::<u64>();
        let word = core::ptr::read_volatile(words.add(index as usize));
        (*scratch).current.rounds.sip.word(word);
    }
    0
}
