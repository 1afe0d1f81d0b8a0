//! Facts of an execution that the kernel cannot tell by itself: it writes a question into a ring, has the call issued
//! again until the agent's answer is there or its time is over, and judges by what it was told.
//!
//! Nothing waits here: each time round, the call is given back to its very beginning, where signals are delivered and
//! other tasks run. What nobody tells is *perhaps* so, which restricts.

use core::ffi::{c_long, c_void};

use aya_ebpf::{
    helpers::generated::{bpf_loop, bpf_probe_read_user, bpf_probe_read_user_str},
    maps::ring_buf::RingBufEntry,
};
use stayhand_agent_ebpf::{
    abi::{
        ABI_VERSION,
        code::{counter, reason},
        fact::{
            ARG_BYTES, ARGS_BYTES, Answer, Asked, FactBits, FactKey, Question, WAIT_LONG_NS,
            WAIT_NS, question_flag,
        },
        image::{entry_flag, step_flag},
        record::record_flag,
        task::{CallFacts, Scratch},
    },
    args::met,
    deadline,
    siphash::{Sip, last_word},
};

use crate::{
    answers::keep_for_restart,
    arch::Call,
    emit::{component, start},
    hold::{again, restartable},
    maps::{FACT_ANSWERS, QUESTIONS, count, settings},
    offsets::{Addr, OFF_INODE_WRITECOUNT, load},
    tokens::image_flags,
    who::current_task,
    words::Words,
};

/// Words of the digest before the one that ends it: fewer than the scratch has.
const WORDS: usize = 10;
/// Arguments of one question; a call with more has unknown facts about them.
const ARGUMENTS_MAX: u32 = 1_024;
/// How long a call is away at most while it is issued again and again, on a host that is busy beyond measure; after that
/// it is another one that looks the same.
const GAP_NS: u64 = 5_000_000_000;

/// Whether conditions of the image ask about files. If so, what is mapped is judged by that alone: of arguments and
/// process nothing is known.
///
/// # Safety
/// `scratch` must be live.
#[inline(always)]
pub unsafe fn about_files(scratch: *mut Scratch) -> bool {
    // SAFETY: by contract.
    unsafe {
        let flags = image_flags(scratch);
        (*scratch).args.known = 0;
        (*scratch).args.count = 0;
        (*scratch).args.flags = flags;
        (*scratch).args.terminal = met::MAYBE;
        (*scratch).descent.count = 0;
        (*scratch).descent.parents = 0;
        (*scratch).descent.flags = 0;
        flags & u32::from(step_flag::OF_FILE) != 0
    }
}

/// Looks for what was told of the execution whose arguments were just read, or of a file without any.
///
/// # Safety
/// `scratch` must be live and `inode` a typed inode pointer.
#[inline(always)]
pub unsafe fn recall(scratch: *mut Scratch, inode: Addr) {
    // SAFETY: by contract.
    unsafe {
        let facts = &raw mut (*scratch).args.facts;
        (*facts).open = 0;
        (*facts).untold = 0;
        if (*scratch).args.flags & u32::from(step_flag::FACT) == 0 {
            return;
        }
        // A loader keeps writers away while it looks (a negative count), but for some kernels from 6.11 on.
        (*facts).written = u32::from(load::<i32>(inode, &OFF_INODE_WRITECOUNT) > 0);
        look_up(scratch);
    }
}

/// See [`recall`].
#[inline(never)]
fn look_up(scratch: *mut Scratch) {
    // SAFETY: the scratch is live.
    unsafe {
        let facts = &raw mut (*scratch).args.facts;
        (*facts).known = FactBits::default();
        (*facts).unknown = FactBits::default();
        (*facts).wanted = FactBits::default();
        (*facts).working = 0;
        let Some(settings) = settings() else {
            return;
        };
        (*facts).key.digest = digest(scratch, settings.secret);
        let Some(found) = FACT_ANSWERS.get_ptr(&(*facts).key) else {
            return;
        };
        take(facts, found, (*scratch).current.now.boot_ns);
    }
}

/// Copies an answer. Its place may be given to another one at this moment: whose answer it is is at both of its ends,
/// and is compared behind everything else.
#[inline(always)]
unsafe fn take(facts: *mut CallFacts, found: *const Answer, now_ns: u64) {
    // SAFETY: a live map value and a live scratch; each member is written in one piece.
    unsafe {
        let until_ns = core::ptr::read_volatile(&raw const (*found).until_boot_ns);
        let lasts = !deadline::is_over(until_ns, now_ns);
        let working = core::ptr::read_volatile(&raw const (*found).working) != 0;
        for word in 0..(*facts).known.words.len() {
            let known = core::ptr::read_volatile(&raw const (*found).known.words[word]);
            let so = core::ptr::read_volatile(&raw const (*found).so.words[word]);
            let unknown = core::ptr::read_volatile(&raw const (*found).unknown.words[word]);
            (*facts).known.words[word] = known;
            (*facts).so.words[word] = so;
            (*facts).unknown.words[word] = if lasts { unknown } else { 0 };
        }
        (*facts).working = u32::from(lasts && working);
        let key = (*facts).key.digest;
        let first = core::ptr::read_volatile(&raw const (*found).key.digest);
        let last = core::ptr::read_volatile(&raw const (*found).key_again.digest);
        let other =
            (first[0] ^ key[0]) | (first[1] ^ key[1]) | (last[0] ^ key[0]) | (last[1] ^ key[1]);
        if other != 0 {
            (*facts).known = FactBits::default();
            (*facts).unknown = FactBits::default();
            (*facts).working = 0;
        }
    }
}

/// Whether some fact of the image is about arguments, and they are known.
#[inline(always)]
unsafe fn about_arguments(scratch: *mut Scratch) -> bool {
    // SAFETY: the scratch is live by contract.
    unsafe {
        (*scratch).args.known != 0
            && (*scratch).args.flags & u32::from(step_flag::OF_ARGUMENTS) != 0
    }
}

/// Number and hash of the arguments; none where no answer depends on them.
#[inline(always)]
unsafe fn given(scratch: *mut Scratch) -> (u64, u64) {
    // SAFETY: the scratch is live by contract.
    unsafe {
        if !about_arguments(scratch) {
            return (0, 0);
        }
        ((*scratch).args.judged.argc, (*scratch).args.judged.hash)
    }
}

/// Over everything that an answer depends on.
#[inline(always)]
unsafe fn digest(scratch: *mut Scratch, secret: [u64; 2]) -> [u64; 2] {
    // SAFETY: the scratch is live by contract.
    unsafe {
        let current = &raw const (*scratch).current;
        let facts = &raw const (*scratch).args.facts;
        let args = given(scratch);
        let words: [u64; WORDS] = [
            (*current).here.active,
            (*current).object.ino,
            u64::from((*current).object.dev) | (u64::from((*current).object.igen) << 32),
            (*current).content[0],
            (*current).content[1],
            (*current).content[2],
            (*current).content[3],
            args.0,
            args.1,
            u64::from((*facts).written),
        ];
        let mut into = Words::new(scratch);
        for word in words {
            into.put(word);
        }
        into.put(last_word(0, 8 * WORDS as u64));
        let sip = into.hashed(Sip::wide(secret));
        sip.finish_wide()
    }
}

/// Whether this call is to be issued again because somebody has yet to tell what a condition is about.
#[inline(always)]
pub fn ask(scratch: *mut Scratch, task: Addr, ops: u32) -> bool {
    // SAFETY: the scratch is live.
    unsafe {
        let asked = &raw mut (*scratch).asked;
        let facts = &raw const (*scratch).args.facts;
        if core::ptr::read_volatile(&raw const (*facts).open) == 0 {
            if same(&(*asked).key, &(*facts).key) {
                (*asked).call = 0;
            }
            if core::ptr::read_volatile(&raw const (*facts).untold) != 0 {
                unknown(scratch);
            }
            return false;
        }
        let (Some(call), Some(settings)) = (restartable(task, ops), settings()) else {
            unanswered(scratch);
            return false;
        };
        let call = call.identity(scratch, settings.secret);
        (*scratch).current.call = call;
        if !waits(scratch, call) {
            unanswered(scratch);
            return false;
        }
        if (*asked).written == 0 {
            write(scratch);
        }
        keep_for_restart(scratch);
    }
    again()
}

/// Nobody told in time.
#[inline(always)]
unsafe fn unanswered(scratch: *mut Scratch) {
    count(counter::UNANSWERED);
    // SAFETY: by contract.
    unsafe { unknown(scratch) }
}

/// What denies because of a fact that nobody told says so, instead of claiming to know.
#[inline(always)]
unsafe fn unknown(scratch: *mut Scratch) {
    // SAFETY: the scratch is live by contract. Volatile: in memory all outcomes look alike to the verifier.
    unsafe {
        let decision = &raw mut (*scratch).current.decision;
        let unsure = core::ptr::read_volatile(&raw const (*decision).by.flags) & entry_flag::UNSURE;
        let reason = core::ptr::read_volatile(&raw const (*decision).reason);
        if unsure != 0 && matches!(reason, reason::RULE_DENY | reason::NO_GRANT) {
            core::ptr::write_volatile(&raw mut (*decision).reason, reason::FACT_UNKNOWN);
        }
    }
}

/// Whether the call still has time; a new one begins to have it.
#[inline(always)]
unsafe fn waits(scratch: *mut Scratch, call: u64) -> bool {
    // SAFETY: the scratch is live by contract.
    unsafe {
        let asked = &raw mut (*scratch).asked;
        let facts = &raw const (*scratch).args.facts;
        let now_ns = (*scratch).current.now.boot_ns;
        let old = (*asked).call == call
            && same(&(*asked).key, &(*facts).key)
            && deadline::lasts((*asked).last_boot_ns, now_ns, GAP_NS);
        if !old {
            *asked = Asked {
                call,
                key: (*facts).key,
                since_boot_ns: now_ns,
                last_boot_ns: now_ns,
                written: 0,
            };
            return true;
        }
        (*asked).last_boot_ns = now_ns;
        let most = if (*facts).working == 0 {
            WAIT_NS
        } else {
            WAIT_LONG_NS
        };
        if deadline::lasts((*asked).since_boot_ns, now_ns, most) {
            return true;
        }
        (*asked).call = 0;
        false
    }
}

#[inline(always)]
fn same(a: &FactKey, b: &FactKey) -> bool {
    (a.digest[0] ^ b.digest[0]) | (a.digest[1] ^ b.digest[1]) == 0
}

#[repr(C)]
struct Copying {
    scratch: *mut Scratch,
    question: *mut Question,
}

type Callback = unsafe extern "C" fn(u64, *mut c_void) -> c_long;

/// Writes the question into the ring, or counts that there was no room: the next time round tries again.
#[inline(always)]
unsafe fn write(scratch: *mut Scratch) {
    let Some(mut room) = QUESTIONS.reserve(0) else {
        count(counter::QUESTION_LOST);
        return;
    };
    // SAFETY: the scratch is live by contract; reserved ring memory of exactly this size.
    unsafe {
        fill(scratch, &mut room);
        (*scratch).asked.written = 1;
    }
    room.submit(0);
}

#[inline(always)]
unsafe fn fill(scratch: *mut Scratch, room: &mut RingBufEntry<Question>) {
    let question = room.as_mut_ptr();
    // SAFETY: the scratch is live by contract; reserved ring memory of exactly this size.
    unsafe {
        let current = &raw const (*scratch).current;
        let facts = &raw const (*scratch).args.facts;
        (*question).version = ABI_VERSION;
        (*question).pad = 0;
        (*question).key = (*facts).key;
        (*question).active = (*current).here.active;
        (*question).since_boot_ns = (*scratch).asked.since_boot_ns;
        (*question).wanted = (*facts).wanted;
        (*question).object = (*current).object;
        (*question).content = (*current).content;
        ((*question).argc, (*question).args_hash) = given(scratch);
        (*question).auid = (*scratch).auid;
        let mut copying = Copying { scratch, question };
        let context = (&raw mut copying).cast::<c_void>();
        let rounds = start(scratch);
        let (components, arguments): (Callback, Callback) = (one_component, one_argument);
        let depth = (*current).depth;
        if depth > 1 {
            bpf_loop(depth - 1, components as *mut c_void, context, 0);
        }
        (*question).path_components = (*rounds).count;
        (*question).path_len = (*rounds).at as u32;
        let mut flags = 0;
        if (*rounds).flags != 0 {
            flags |= question_flag::PATH_CUT;
        }
        if (*facts).written != 0 {
            flags |= question_flag::WRITTEN;
        }
        start(scratch);
        (*rounds).ended = 0;
        if about_arguments(scratch)
            && let Some(vectors) = Call::current(current_task()).vectors()
        {
            (*rounds).vectors = [vectors.argv, vectors.envp];
            bpf_loop(ARGUMENTS_MAX, arguments as *mut c_void, context, 0);
        }
        if (*rounds).ended == 0 {
            flags |= question_flag::ARGS_CUT;
        }
        (*question).args_len = (*rounds).at as u32;
        (*question).flags = flags;
    }
}

/// One component of the executed file's path; 1 ends the loop.
unsafe extern "C" fn one_component(index: u64, context: *mut c_void) -> c_long {
    let copying = context.cast::<Copying>();
    // SAFETY: the context is `fill`'s; the array has as many bytes as a record's.
    unsafe {
        let target = (&raw mut (*(*copying).question).path).cast();
        component((*copying).scratch, 0, index, target, record_flag::PATH_CUT)
    }
}

/// One argument; 1 ends the loop.
unsafe extern "C" fn one_argument(index: u64, context: *mut c_void) -> c_long {
    let copying = context.cast::<Copying>();
    // SAFETY: the context is `fill`'s; user memory is read by checked helpers into a bounded place.
    unsafe {
        let rounds = &raw mut (*(*copying).scratch).current.rounds;
        let mut string = 0u64;
        let place = (*rounds).vectors[0].wrapping_add(index * 8);
        if bpf_probe_read_user((&raw mut string).cast(), 8, place as *const c_void) != 0 {
            return 1;
        }
        if string == 0 {
            (*rounds).ended = 1;
            return 1;
        }
        let at = (*rounds).at;
        if at > (ARGS_BYTES - ARG_BYTES) as u64 {
            return 1;
        }
        let target = (&raw mut (*(*copying).question).args)
            .cast::<u8>()
            .add(at as usize);
        let read =
            bpf_probe_read_user_str(target.cast(), ARG_BYTES as u32, string as *const c_void);
        // One that fills its place may be longer.
        if read <= 0 || read >= ARG_BYTES as i64 {
            return 1;
        }
        (*rounds).at = at + read as u64;
    }
    0
}
