//! The arguments of an execution, as far as conditions look at them: each becomes a token by the image's patterns.
//!
//! Read from the memory of the caller, who may change it at the same time: the hash over everything that was read is
//! compared with the new program's own stack once that exists (`verify.rs`). Decides nothing.

use core::ffi::{c_long, c_void};

use aya_ebpf::{
    btf_maps::lpm_trie::Key,
    helpers::generated::{bpf_loop, bpf_probe_read_user},
};
use stayhand_agent_ebpf::{
    abi::{
        image::{
            ACTIVE_SLOT_MASK, ARG_PATTERN_BYTES, ARG_SPACE_BITS, ARG_STEPS_PER_SLOT, ArgKey, Token,
            arg_space, step_flag, token_flag,
        },
        task::{LETTERS_MAX, Rounds, Scratch, Strings, TOKENS_MAX, compare},
    },
    args::letter,
    siphash::Sip,
    strings::next_offset,
};

use crate::{
    arch::{Call, Vectors},
    maps::{ARG_STEPS, ARGS, settings},
    pieces::{Piece, ended, hashed, read},
};

/// Pieces of up to 256 bytes over all arguments; a call with more has unknown arguments.
pub const ARG_PIECES_MAX: u32 = 4_096;

#[repr(C)]
struct Context {
    scratch: *mut Scratch,
}

/// Reads the arguments of the current call. Whether they are known is in the scratch afterwards.
#[inline(always)]
pub fn collect(scratch: *mut Scratch, call: Call) {
    // SAFETY: the scratch is live.
    unsafe {
        (*scratch).args.known = 0;
        (*scratch).args.count = 0;
        (*scratch).args.flags = image_flags(scratch);
        let (Some(vectors), Some(settings)) = (call.vectors(), settings()) else {
            return;
        };
        let rounds = &raw mut (*scratch).current.rounds;
        (*rounds).sip = Sip::narrow(settings.secret);
        start(rounds, vectors);
        let mut context = Context { scratch };
        let callback: unsafe extern "C" fn(u64, *mut c_void) -> c_long = one_piece;
        bpf_loop(
            ARG_PIECES_MAX,
            callback as *mut c_void,
            (&raw mut context).cast(),
            0,
        );
        if (*rounds).ended != 0 && (*rounds).failed == 0 {
            (*scratch).args.known = 1;
            (*scratch).args.judged = Strings {
                compare: compare::ARGUMENTS,
                argc: (*rounds).index,
                envc: 0,
                hash: ended((*rounds).sip),
            };
        }
    }
}

/// What the conditions of the image look at, see `step_flag`.
///
/// # Safety
/// `scratch` must be live.
#[inline(always)]
pub unsafe fn image_flags(scratch: *mut Scratch) -> u32 {
    // SAFETY: by contract.
    let slot = unsafe { ((*scratch).current.here.active & ACTIVE_SLOT_MASK) as u32 };
    ARG_STEPS
        .get(slot * ARG_STEPS_PER_SLOT)
        .map_or(0, |step| u32::from(step.flags))
}

#[inline(always)]
unsafe fn start(rounds: *mut Rounds, vectors: Vectors) {
    // SAFETY: live by contract.
    unsafe {
        (*rounds).vectors = [vectors.argv, vectors.envp];
        (*rounds).index = 0;
        (*rounds).offset = 0;
        (*rounds).failed = 0;
        (*rounds).ended = 0;
    }
}

/// One piece of one argument; 1 ends the loop.
unsafe extern "C" fn one_piece(_round: u64, context: *mut c_void) -> c_long {
    // SAFETY: the context is `collect`'s, on its stack; user memory is read by checked helpers only.
    unsafe {
        let scratch = (*context.cast::<Context>()).scratch;
        let rounds = &raw mut (*scratch).current.rounds;
        let mut string = 0u64;
        let argv = (*rounds).vectors[0];
        let place = argv.wrapping_add((*rounds).index.wrapping_mul(8));
        if argv != 0
            && bpf_probe_read_user((&raw mut string).cast(), 8, place as *const c_void) != 0
        {
            (*rounds).failed = 1;
            return 1;
        }
        if string == 0 {
            (*rounds).ended = 1;
            return 1;
        }
        let Some(piece) = read(scratch, string.wrapping_add((*rounds).offset)) else {
            (*rounds).failed = 1;
            return 1;
        };
        // What a program is called by its caller says nothing.
        if (*rounds).index != 0 {
            (*rounds).sip = hashed(scratch, (*rounds).sip, piece);
            if (*rounds).offset == 0 && !keep(scratch, piece) {
                (*rounds).failed = 1;
                return 1;
            }
        }
        if piece.ends {
            (*rounds).offset = 0;
            (*rounds).index += 1;
        } else {
            (*rounds).offset = next_offset((*rounds).offset);
        }
    }
    0
}

/// Makes a token of the argument that begins with the piece in the scratch buffer; false if there is no room for it.
#[inline(always)]
unsafe fn keep(scratch: *mut Scratch, piece: Piece) -> bool {
    // SAFETY: the scratch is live by contract; the index is checked.
    unsafe {
        let token = make(scratch, piece);
        let unknown = token_flag::MORE_LETTERS | token_flag::END_UNKNOWN;
        if token.prefix | token.suffix | u32::from(token.flags & unknown) == 0 && token.letters == 0
        {
            return true;
        }
        let count = (*scratch).args.count;
        if count >= TOKENS_MAX as u32 {
            return false;
        }
        *(&raw mut (*scratch).args.tokens)
            .cast::<Token>()
            .add(count as usize) = token;
        (*scratch).args.count = count + 1;
        true
    }
}

#[inline(always)]
unsafe fn make(scratch: *mut Scratch, piece: Piece) -> Token {
    // SAFETY: the scratch is live by contract; the buffer has 264 bytes.
    unsafe {
        let bytes = (&raw const (*scratch).name).cast::<u8>();
        let (first, second) = (
            core::ptr::read_volatile(bytes),
            core::ptr::read_volatile(bytes.add(1)),
        );
        let mut flags = 0;
        if first == b'-' && second != 0 {
            flags |= token_flag::OPTION;
        }
        if !piece.ends {
            flags |= token_flag::END_UNKNOWN;
        }
        let rounds = &raw mut (*scratch).current.rounds;
        (*rounds).letters = 0;
        if flags & token_flag::OPTION != 0 && second != b'-' {
            letters(scratch);
            if piece.len > LETTERS_MAX as u64 + 2 {
                flags |= token_flag::MORE_LETTERS;
            }
        }
        let slot = ((*scratch).current.here.active & ACTIVE_SLOT_MASK) as u32;
        copy_forwards(scratch);
        let prefix = number(scratch, arg_space(slot, false));
        let suffix =
            if piece.ends && (*scratch).args.flags & u32::from(step_flag::HAS_SUFFIXES) != 0 {
                copy_backwards(scratch, piece.len - 1);
                number(scratch, arg_space(slot, true))
            } else {
                0
            };
        Token {
            letters: (*rounds).letters,
            prefix,
            suffix,
            len: (piece.len - 1) as u32,
            flags,
            // No larger than the bound of pieces.
            place: (*rounds).index as u16,
        }
    }
}

/// Number of the longest pattern of this space that the text in the key begins with.
#[inline(always)]
unsafe fn number(scratch: *mut Scratch, space: u32) -> u32 {
    // SAFETY: the scratch is live by contract; the key has the layout of the map's; the value is copied at once.
    unsafe {
        let key = &raw mut (*scratch).args.key;
        (*key).bits = ARG_SPACE_BITS + 8 * ARG_PATTERN_BYTES as u32;
        (*key).space_be = space.to_be();
        ARGS.get(&*key.cast::<Key<ArgKey>>())
            .map_or(0, |number| *number)
    }
}

const KEY_WORDS: usize = ARG_PATTERN_BYTES / 4;

/// The beginning of the argument into the key; what is behind its NUL cannot meet any pattern.
#[inline(always)]
unsafe fn copy_forwards(scratch: *mut Scratch) {
    // SAFETY: the scratch is live by contract; both have that many words.
    unsafe {
        let from = (&raw const (*scratch).name).cast::<u32>();
        let to = (&raw mut (*scratch).args.key.text).cast::<u32>();
        for word in 0..KEY_WORDS {
            core::ptr::write_volatile(to.add(word), core::ptr::read_volatile(from.add(word)));
        }
    }
}

/// The end of the argument into the key, backwards. What comes in from before its beginning does not matter: a step
/// says how long the argument must be at least.
#[inline(always)]
unsafe fn copy_backwards(scratch: *mut Scratch, len: u64) {
    // SAFETY: the scratch is live by contract; the index is masked to the piece.
    unsafe {
        let from = (&raw const (*scratch).name).cast::<u8>();
        let to = (&raw mut (*scratch).args.key.text).cast::<u8>();
        for index in 0..ARG_PATTERN_BYTES as u64 {
            let mut at = len.wrapping_sub(1 + index);
            core::arch::asm!("{0} &= 255", inout(reg) at);
            core::ptr::write_volatile(
                to.add(index as usize),
                core::ptr::read_volatile(from.add(at as usize)),
            );
        }
    }
}

/// Bits of the letters behind the dash, in a loop of the kernel because each comparison would be a way of its own.
#[inline(always)]
unsafe fn letters(scratch: *mut Scratch) {
    let mut context = Context { scratch };
    let callback: unsafe extern "C" fn(u64, *mut c_void) -> c_long = one_letter;
    // SAFETY: the context outlives the loop; the scratch is live by contract.
    unsafe {
        bpf_loop(
            LETTERS_MAX as u32,
            callback as *mut c_void,
            (&raw mut context).cast(),
            0,
        );
        (*scratch).current.rounds.letters &= !1;
    }
}

/// One letter; 1 ends the loop.
unsafe extern "C" fn one_letter(index: u64, context: *mut c_void) -> c_long {
    // SAFETY: the context is `letters`'s; the scratch is live and the index checked.
    unsafe {
        let scratch = (*context.cast::<Context>()).scratch;
        if index >= LETTERS_MAX as u64 {
            return 1;
        }
        let byte = core::ptr::read_volatile(
            (&raw const (*scratch).name)
                .cast::<u8>()
                .add(1 + index as usize),
        );
        if byte == 0 {
            return 1;
        }
        (*scratch).current.rounds.letters |= 1 << letter(byte);
    }
    0
}
