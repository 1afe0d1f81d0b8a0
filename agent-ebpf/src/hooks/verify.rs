//! `bprm_committed_creds(const struct linux_binprm *bprm)`: the new program has its stack and has not run yet. What it
//! will see as its arguments is compared with what was judged; a program that got others is killed.
//!
//! The caller's memory, from which they were judged, can be changed by another thread between the kernel's reading and
//! ours. A script's loader drops `argv[0]` and puts others before: what follows `argv[0]` stays the end of the list.
//!
//! From here on the process runs the new program, and what it ran before has started that.

use core::ffi::{c_long, c_void};

use aya_ebpf::{
    helpers::generated::{bpf_loop, bpf_send_signal},
    macros::lsm,
    programs::LsmContext,
};
use stayhand_agent_ebpf::{
    abi::{
        code::{class, hook, reason, verdict},
        image::ACTIVE_IMAGE,
        task::{Said, Scratch, Strings, compare, plan},
    },
    decide::{Attempt, unjudged},
    siphash::Sip,
    strings::next_offset,
};

use super::{carry_out, judged};
use crate::{
    hold::{EPERM, plan},
    judge::stamp,
    lineage::executed,
    maps::{ACTIVE, settings, task_scratch},
    offsets::{Addr, OFF_BPRM_ARGC, OFF_BPRM_ENVC, OFF_BPRM_P, load},
    pieces::{ended, hashed, read},
    tokens::ARG_PIECES_MAX,
};

const SIGKILL: u32 = 9;

#[lsm(hook = "bprm_committed_creds")]
pub fn bprm_committed_creds(ctx: LsmContext) -> i32 {
    let verdict = judged(&ctx, "bprm_committed_creds", |state, task| {
        let bprm: Addr = ctx.arg(0);
        // SAFETY: typed hook argument; the state is live.
        let compared = unsafe {
            executed(state, bprm);
            (*state).compared
        };
        if compared == 0 {
            return 0;
        }
        let scratch = task_scratch(task);
        if scratch.is_null() {
            return EPERM; // what was judged cannot be told
        }
        // SAFETY: checked for null.
        let (judged, approved) = unsafe { ((*scratch).args.judged, (*scratch).args.approved) };
        if (judged.compare != compare::NOTHING && !same(scratch, bprm, judged))
            || (approved.compare != compare::NOTHING && !same(scratch, bprm, approved))
        {
            say(scratch, task);
            return EPERM;
        }
        0
    });
    if verdict != 0 {
        // Nobody asks this hook whether. Killed before its first instruction, and so is what cannot be told from that.
        // SAFETY: a helper without pointers.
        unsafe { bpf_send_signal(SIGKILL) };
    }
    0
}

/// Whether the end of what the new program got is what was read. What cannot be read is not the same.
#[inline(always)]
fn same(scratch: *mut Scratch, bprm: Addr, read: Strings) -> bool {
    let Some(settings) = settings() else {
        return false;
    };
    // SAFETY: typed hook argument; the scratch is live.
    unsafe {
        let argc = u64::from(load::<u32>(bprm, &OFF_BPRM_ARGC));
        let envc = if read.compare == compare::ALL {
            u64::from(load::<u32>(bprm, &OFF_BPRM_ENVC))
        } else {
            0
        };
        // A call without any argument gets an empty one.
        let given = read.argc.max(1) - 1;
        if argc < given || read.envc != envc {
            return false;
        }
        let rounds = &raw mut (*scratch).current.rounds;
        (*rounds).sip = Sip::narrow(settings.secret);
        // Where the strings are, how many there are, and how many of them were put before.
        (*rounds).vectors = [load::<u64>(bprm, &OFF_BPRM_P), argc + read.envc];
        (*rounds).at = argc - given;
        (*rounds).index = 0;
        (*rounds).offset = 0;
        (*rounds).failed = 0;
        (*rounds).ended = 0;
        let mut context = Context { scratch };
        let callback: unsafe extern "C" fn(u64, *mut c_void) -> c_long = one_piece;
        bpf_loop(
            2 * ARG_PIECES_MAX,
            callback as *mut c_void,
            (&raw mut context).cast(),
            0,
        );
        (*rounds).ended != 0 && (*rounds).failed == 0 && ended((*rounds).sip) == read.hash
    }
}

#[repr(C)]
struct Context {
    scratch: *mut Scratch,
}

/// One piece of one string on the stack; 1 ends the loop.
unsafe extern "C" fn one_piece(_round: u64, context: *mut c_void) -> c_long {
    // SAFETY: the context is `same`'s, on its stack; user memory is read by checked helpers only.
    unsafe {
        let scratch = (*context.cast::<Context>()).scratch;
        let rounds = &raw mut (*scratch).current.rounds;
        if (*rounds).index >= (*rounds).vectors[1] {
            (*rounds).ended = 1;
            return 1;
        }
        let Some(piece) = read(scratch, (*rounds).vectors[0].wrapping_add((*rounds).offset)) else {
            (*rounds).failed = 1;
            return 1;
        };
        if (*rounds).index >= (*rounds).at {
            (*rounds).sip = hashed(scratch, (*rounds).sip, piece);
        }
        if piece.ends {
            // The next string begins behind the NUL.
            (*rounds).offset = (*rounds).offset.wrapping_add(piece.len);
            (*rounds).index += 1;
        } else {
            (*rounds).offset = next_offset((*rounds).offset);
        }
    }
    0
}

/// Says why a program is killed.
#[inline(always)]
fn say(scratch: *mut Scratch, task: Addr) {
    let active = ACTIVE.get(ACTIVE_IMAGE).copied().unwrap_or(0);
    let attempt = Attempt {
        ops: 0,
        port: 0,
        protocol: 0,
        subjects: 0,
    };
    // SAFETY: the scratch is live.
    unsafe {
        stamp(scratch, active, hook::EXEC_VERIFY, attempt);
        (*scratch).current.decision = unjudged(reason::ARGS_CHANGED);
    }
    plan(
        scratch,
        plan::DENY,
        Said {
            class: u32::from(class::A),
            verdict: verdict::DENIED,
            reason: reason::ARGS_CHANGED,
            flags: 0,
        },
    );
    carry_out(scratch, task);
}
