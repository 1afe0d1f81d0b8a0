//! Strings of a process piece by piece: the scratch buffer takes one piece, and its words go into a hash (see
//! `strings.rs` for how they are encoded).

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{bpf_probe_read_user, bpf_probe_read_user_str};
use stayhand_agent_ebpf::{
    abi::task::{NAME_WORDS, TaskState},
    siphash::Sip,
    strings::{PIECE, head},
};

/// One piece in the scratch buffer.
#[derive(Clone, Copy)]
pub struct Piece {
    /// Bytes with the NUL behind them, 1 to [`PIECE`]
    pub len: u64,
    /// Whether its string ends with it
    pub ends: bool,
}

/// Reads the piece at a user address; nothing if it cannot be read.
///
/// # Safety
/// `state` must be live.
#[inline(always)]
pub unsafe fn read(state: *mut TaskState, source: u64) -> Option<Piece> {
    // SAFETY: the buffer has a word more than a piece; user memory is read by checked helpers only.
    unsafe {
        let buffer = (&raw mut (*state).name).cast::<c_void>();
        let read = bpf_probe_read_user_str(buffer.cast(), PIECE, source as *const c_void);
        if read <= 0 {
            return None;
        }
        let len = read as u64;
        let ends = len < u64::from(PIECE) || ends_here(source);
        Some(Piece { len, ends })
    }
}

/// Takes the piece in the scratch buffer into a hash.
///
/// # Safety
/// `state` must be live and the piece its last one.
#[inline(always)]
pub unsafe fn hashed(state: *mut TaskState, mut sip: Sip, piece: Piece) -> Sip {
    sip.word(head(piece.len, piece.ends));
    // SAFETY: by contract.
    unsafe { take_in(sip, (&raw const (*state).name).cast::<u64>(), piece.len) }
}

/// A string that fills the piece exactly ends there if the byte under the helper's NUL is a NUL, too.
#[inline(always)]
unsafe fn ends_here(source: u64) -> bool {
    let mut byte = 1u8;
    let at = source.wrapping_add(u64::from(PIECE) - 1);
    // SAFETY: one byte of user memory by a checked helper; unreadable counts as not ended and fails next.
    unsafe { bpf_probe_read_user((&raw mut byte).cast(), 1, at as *const c_void) == 0 && byte == 0 }
}

/// Takes in `len` (1 to 256) bytes: the masked last word, the whole words.
#[inline(always)]
unsafe fn take_in(mut sip: Sip, buffer: *const u64, len: u64) -> Sip {
    let (whole, rest) = (len / 8, len % 8);
    // The tail first: after the loop the verifier would follow every possible `whole` apart.
    // SAFETY: `whole` is at most 32 of the buffer's 33 words, 31 where there is a rest.
    let last = unsafe { core::ptr::read_volatile(buffer.add((whole & 31) as usize)) };
    sip.word(last & ((1u64 << (rest * 8)) - 1));
    for index in 0..(NAME_WORDS as u64 - 1) {
        if index >= whole {
            break;
        }
        // SAFETY: index below the buffer's 33 words.
        sip.word(unsafe { core::ptr::read_volatile(buffer.add(index as usize)) });
    }
    sip
}
