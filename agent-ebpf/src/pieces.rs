//! Strings of a process piece by piece: the scratch buffer takes one piece, and its words go into a hash (see
//! `strings.rs` for how they are encoded).

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{bpf_probe_read_user, bpf_probe_read_user_str};
use stayhand_agent_ebpf::{
    abi::task::Scratch,
    siphash::{Sip, last_word},
    strings::{PIECE, head},
};

use crate::words::take_in;

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
/// `scratch` must be live.
#[inline(always)]
pub unsafe fn read(scratch: *mut Scratch, source: u64) -> Option<Piece> {
    // SAFETY: the buffer has a word more than a piece; user memory is read by checked helpers only.
    unsafe {
        let buffer = (&raw mut (*scratch).name).cast::<c_void>();
        let read = bpf_probe_read_user_str(buffer.cast(), PIECE, source as *const c_void);
        if read <= 0 {
            return None;
        }
        let len = read as u64;
        let ends = len < u64::from(PIECE) || ends_here(source);
        Some(Piece { len, ends })
    }
}

/// Takes the piece in the scratch buffer into a hash, which need not be the one in `Rounds`.
///
/// # Safety
/// `scratch` must be live and the piece its last one.
#[inline(always)]
pub unsafe fn hashed(scratch: *mut Scratch, sip: Sip, piece: Piece) -> Sip {
    let (whole, rest) = (piece.len / 8, piece.len % 8);
    // SAFETY: live by contract. `whole` is at most 32 of the buffer's 33 words, 31 where there is a rest.
    unsafe {
        let words = (&raw const (*scratch).name).cast::<u64>();
        let last = core::ptr::read_volatile(words.add((whole & 31) as usize));
        let place = &raw mut (*scratch).current.rounds.sip;
        let other = *place;
        *place = sip;
        (*place).word(head(piece.len, piece.ends));
        (*place).word(last & ((1u64 << (rest * 8)) - 1));
        take_in(scratch, whole as u32);
        let hashed = *place;
        *place = other;
        hashed
    }
}

/// The hash of everything that was taken in.
#[inline(always)]
pub fn ended(mut sip: Sip) -> u64 {
    sip.word(last_word(0, 0));
    sip.finish()
}

/// A string that fills the piece exactly ends there if the byte under the helper's NUL is a NUL, too.
#[inline(always)]
unsafe fn ends_here(source: u64) -> bool {
    let mut byte = 1u8;
    let at = source.wrapping_add(u64::from(PIECE) - 1);
    // SAFETY: one byte of user memory by a checked helper; unreadable counts as not ended and fails next.
    unsafe { bpf_probe_read_user((&raw mut byte).cast(), 1, at as *const c_void) == 0 && byte == 0 }
}
