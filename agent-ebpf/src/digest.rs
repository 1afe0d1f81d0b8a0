//! The keyed digest that binds an approval to one exact action. Whatever is too long or unreadable has no
//! digest and therefore cannot be held.

use core::ffi::{c_long, c_void};

use aya_ebpf::helpers::generated::{bpf_loop, bpf_probe_read_user};
use stayhand_agent_ebpf::{
    abi::{
        code::op,
        task::{Scratch, Strings, compare},
    },
    siphash::{Sip, last_word},
    strings::{next_offset, vector_end},
};

use crate::{
    arch::{Call, Vectors},
    maps::settings,
    offsets::{Addr, OFF_CRED_EUID, OFF_TASK_CRED, peek},
    pieces::{ended, hashed, read},
    words::Words,
};

/// Pieces of up to 256 bytes over all arguments and environment strings: covers 512 KiB of long strings
/// or 2,000 short ones, far beyond interactive use, and bounds the loop.
const PIECES_MAX: u32 = 2_048;

#[repr(C)]
struct Context {
    scratch: *mut Scratch,
}

/// Puts the digest of the current action into the scratch; false if there is none. Only that of a `PROGRAM` has strings,
/// and only hooks of executions have the code for them: the verifier would go through it at every other one.
#[inline(always)]
pub fn digest<const PROGRAM: bool>(scratch: *mut Scratch, task: Addr, call: Call) -> bool {
    let Some(settings) = settings() else {
        return false;
    };
    // SAFETY: the scratch is live; typed current task, whose credentials are never null.
    unsafe {
        let current = &raw mut (*scratch).current;
        if (*current).unholdable != 0 {
            return false;
        }
        let mut words = Words::new(scratch);
        words.put(u64::from((*current).attempt.ops) | (u64::from((*current).open_flags) << 32));
        words.put((*current).decision.by.rule);
        words.put((*current).object.ino);
        words.put(u64::from((*current).object.dev) | (u64::from((*current).object.igen) << 32));
        words.put((*current).other.ino);
        words.put(u64::from((*current).other.dev) | (u64::from((*current).other.igen) << 32));
        words.put((*current).name_hash);
        for word in &(*current).content {
            words.put(*word);
        }
        for word in &*(&raw const (*current).dest_addr).cast::<[u64; 2]>() {
            words.put(*word);
        }
        words.put(
            u64::from((*current).attempt.port)
                | u64::from((*current).attempt.protocol) << 16
                | u64::from((*current).family) << 32,
        );
        let Some(credentials) = peek::<u64>(task as u64, &OFF_TASK_CRED) else {
            return false;
        };
        let Some(euid) = peek::<u32>(credentials, &OFF_CRED_EUID) else {
            return false;
        };
        words.put(u64::from(euid));
        let mut sip = words.hashed(Sip::wide(settings.secret));
        if (*current).attempt.ops & op::EXEC != 0 {
            if !PROGRAM {
                return false;
            }
            let Some(vectors) = call.vectors() else {
                return false;
            };
            let Some(with_strings) = strings(scratch, sip, vectors) else {
                return false;
            };
            sip = with_strings;
        }
        sip.word(last_word(0, 0));
        (*current).digest = sip.finish_wide();
    }
    true
}

#[inline(always)]
fn strings(scratch: *mut Scratch, sip: Sip, vectors: Vectors) -> Option<Sip> {
    let mut context = Context { scratch };
    let callback: unsafe extern "C" fn(u64, *mut c_void) -> c_long = one_piece;
    // SAFETY: the context outlives the loop, which runs before this returns; the scratch is live.
    unsafe {
        let rounds = &raw mut (*scratch).current.rounds;
        (*rounds).sip = sip;
        (*rounds).tail = Sip::narrow(settings()?.secret);
        (*rounds).vectors = [vectors.argv, vectors.envp];
        (*rounds).index = 0;
        (*rounds).offset = 0;
        (*rounds).phase = 0;
        (*rounds).failed = 0;
        bpf_loop(
            PIECES_MAX,
            callback as *mut c_void,
            (&raw mut context).cast(),
            0,
        );
        if (*rounds).phase < 2 || (*rounds).failed != 0 {
            return None;
        }
        Some((*rounds).sip)
    }
}

/// The strings that the last digest of an execution took in.
///
/// # Safety
/// `scratch` must be live.
#[inline(always)]
pub unsafe fn digested(scratch: *mut Scratch) -> Strings {
    // SAFETY: by contract.
    unsafe {
        let rounds = &raw mut (*scratch).current.rounds;
        Strings {
            compare: compare::ALL,
            argc: (*rounds).counts[0],
            envc: (*rounds).counts[1],
            hash: ended((*rounds).tail),
        }
    }
}

/// One piece of one string; 1 ends the loop.
unsafe extern "C" fn one_piece(_round: u64, context: *mut c_void) -> c_long {
    // SAFETY: the context is `strings`'s, on its stack; user memory is read by checked helpers only.
    unsafe {
        let scratch = (*context.cast::<Context>()).scratch;
        let walk = &raw mut (*scratch).current.rounds;
        let vector = if (*walk).phase == 0 {
            (*walk).vectors[0]
        } else {
            (*walk).vectors[1]
        };
        let mut string = 0u64;
        let slot = vector.wrapping_add((*walk).index.wrapping_mul(8));
        if vector != 0
            && bpf_probe_read_user((&raw mut string).cast(), 8, slot as *const c_void) != 0
        {
            (*walk).failed = 1;
            return 1;
        }
        if string == 0 {
            (*walk).sip.word(vector_end((*walk).index));
            (*walk).counts[if (*walk).phase == 0 { 0 } else { 1 }] = (*walk).index;
            (*walk).phase += 1;
            (*walk).index = 0;
            return c_long::from((*walk).phase >= 2);
        }
        let Some(piece) = read(scratch, string.wrapping_add((*walk).offset)) else {
            (*walk).failed = 1;
            return 1;
        };
        (*walk).sip = hashed(scratch, (*walk).sip, piece);
        // What a program is called by its caller is not what a script's loader gives it.
        if (*walk).phase != 0 || (*walk).index != 0 {
            (*walk).tail = hashed(scratch, (*walk).tail, piece);
        }
        if piece.ends {
            (*walk).offset = 0;
            (*walk).index += 1;
        } else {
            (*walk).offset = next_offset((*walk).offset);
        }
    }
    0
}
