//! Writes one record of a decision into the ring of its class. Counts first, then reserves: a decision that
//! leaves no record is a counted loss, never silence. A failed reserve never changes a denial.

use core::ffi::{c_long, c_void};

use aya_ebpf::{
    helpers::generated::{
        bpf_get_current_comm, bpf_get_current_uid_gid, bpf_loop, bpf_probe_read_kernel,
        bpf_probe_read_kernel_str, bpf_probe_read_user, bpf_probe_read_user_str,
    },
    maps::ring_buf::RingBufEntry,
};
use stayhand_agent_ebpf::abi::{
    ABI_VERSION,
    code::{class, counter, op},
    image::ARG_PATTERN_BYTES,
    record::{ARGS_BYTES, COMM_BYTES, PATH_BYTES, Record, TTY_BYTES, record_flag},
    task::{DEPTH_MAX, Level, NAME_MAX, Rounds, Scratch},
};

use crate::{
    arch::Call,
    maps::{RING_A, RING_B, RING_C, count},
    offsets::{
        OFF_SIGNAL_TTY, OFF_TASK_PID, OFF_TASK_REAL_PARENT, OFF_TASK_SIGNAL, OFF_TASK_TGID,
        OFF_TTY_NAME, load, peek,
    },
    walk::bounded,
    who::current_task,
};

/// Bytes that one component or argument may take: the helpers need a constant bound below the buffer's end.
const PIECE: usize = 256;
/// Arguments that a record shows; more are cut and said so.
const ARGS_MAX: u32 = 64;

/// Room for one record of `class`, counted as recorded; `None` is counted as lost.
#[inline(always)]
pub fn reserve(class: u32) -> Option<RingBufEntry<Record>> {
    let class = if class < class::COUNT as u32 {
        class
    } else {
        u32::from(class::B)
    };
    count(counter::RECORDED + class);
    let room = match class as u16 {
        class::A => RING_A.reserve(0),
        class::B => RING_B.reserve(0),
        _ => RING_C.reserve(0),
    };
    if room.is_none() {
        count(counter::LOST + class);
    }
    room
}

/// Fills and submits a reserved record.
#[inline(always)]
pub fn submit(scratch: *mut Scratch, mut room: RingBufEntry<Record>) {
    fill(scratch, room.as_mut_ptr());
    room.submit(0);
}

#[inline(always)]
fn fill(scratch: *mut Scratch, record: *mut Record) {
    // SAFETY: `record` is reserved ring memory of exactly this size, `scratch` is live.
    unsafe {
        let current = &raw const (*scratch).current;
        let said = &raw const (*scratch).current.said;
        (*record).version = ABI_VERSION;
        (*record).class = (*said).class as u16;
        (*record).len = size_of::<Record>() as u32;
        (*record).boot_ns = (*current).now.boot_ns;
        (*record).tai_ns = (*current).now.tai_ns;
        (*record).generation = (*current).here.active >> 1;
        (*record).rule = (*current).decision.by.rule;
        (*record).permission = (*current).decision.by.permission;
        (*record).grant = (*current).decision.grant;
        (*record).hold = (*current).hold;
        (*record).digest = (*current).digest;
        (*record).boot_deadline_ns = (*current).boot_deadline_ns;
        (*record).hook = (*current).hook as u16;
        (*record).family = (*current).family as u16;
        (*record).op = (*current).attempt.ops;
        (*record).effect = (*current).decision.by.effect;
        (*record).verdict = (*said).verdict;
        (*record).reason = (*said).reason;
        (*record).object = (*current).object;
        (*record).dest_addr = (*current).dest_addr;
        (*record).dest_port = (*current).attempt.port;
        (*record).protocol = (*current).attempt.protocol;
        process(scratch, record);
        let flags = path(scratch, record) | args(scratch, record);
        (*record).flags = (*said).flags | flags;
    }
}

#[inline(always)]
unsafe fn process(scratch: *mut Scratch, record: *mut Record) {
    // SAFETY: typed current task; reserved record; live scratch.
    unsafe {
        let task = current_task();
        (*record).task_cookie = (*scratch).task_cookie;
        (*record).process_cookie = (*scratch).process_cookie;
        (*record).tgid = load(task, &OFF_TASK_TGID);
        (*record).tid = load(task, &OFF_TASK_PID);
        (*record).ppid = parent(task as u64).unwrap_or(0);
        (*record).uid = bpf_get_current_uid_gid() as u32;
        (*record).auid = (*scratch).auid;
        (*record).session = (*scratch).session;
        (*record).comm = [0; COMM_BYTES];
        bpf_get_current_comm((&raw mut (*record).comm).cast(), COMM_BYTES as u32);
        (*record).tty = [0; TTY_BYTES];
        let tty = terminal(task as u64).unwrap_or(0);
        if tty != 0 {
            let name = tty.wrapping_add(u64::from(OFF_TTY_NAME.load()));
            bpf_probe_read_kernel_str(
                (&raw mut (*record).tty).cast(),
                TTY_BYTES as u32,
                name as *const c_void,
            );
        }
    }
}

/// Process id of the parent.
#[inline(always)]
unsafe fn parent(task: u64) -> Option<u32> {
    // SAFETY: a number in a record.
    unsafe { peek(peek(task, &OFF_TASK_REAL_PARENT)?, &OFF_TASK_TGID) }
}

/// Address of the controlling terminal, 0 for none.
///
/// # Safety
/// None for memory; `task` is the address of a task.
#[inline(always)]
pub unsafe fn terminal(task: u64) -> Option<u64> {
    // SAFETY: a name in a record is read there.
    unsafe { peek(peek(task, &OFF_TASK_SIGNAL)?, &OFF_SIGNAL_TTY) }
}

/// What the two copying loops work on; what they count is in `Rounds`.
#[repr(C)]
struct Copying {
    scratch: *mut Scratch,
    record: *mut Record,
}

type Callback = unsafe extern "C" fn(u64, *mut c_void) -> c_long;

/// Copies the walk's components, object first; returns flags. The root, last of all, has no name.
#[inline(always)]
unsafe fn path(scratch: *mut Scratch, record: *mut Record) -> u32 {
    let mut copying = Copying { scratch, record };
    // SAFETY: the context outlives the loop; scratch and record are live. A name's key has fewer bytes than a path.
    unsafe {
        let name_len = (*scratch).current.name_len;
        if name_len != 0 {
            let key = (&raw const (*scratch).args.key.text).cast::<c_void>();
            let to = (&raw mut (*record).path).cast::<c_void>();
            bpf_probe_read_kernel(to, ARG_PATTERN_BYTES as u32, key);
            (*record).path_components = 0;
            (*record).path_len = name_len - 1;
            return record_flag::ABSTRACT;
        }
        let rounds = components(&mut copying, (*scratch).current.depth, one_component);
        (*record).path_components = (*rounds).count;
        (*record).path_len = (*rounds).at as u32;
        (*rounds).flags
    }
}

#[inline(always)]
unsafe fn components(copying: &mut Copying, depth: u32, each: Callback) -> *mut Rounds {
    // SAFETY: the context outlives the loop; scratch and record are live.
    unsafe {
        let rounds = start(copying.scratch);
        if depth > 1 {
            bpf_loop(
                depth - 1,
                each as *mut c_void,
                (&raw mut *copying).cast(),
                0,
            );
        }
        rounds
    }
}

/// Empties what the copying loops count.
///
/// # Safety
/// `scratch` must be live.
#[inline(always)]
pub unsafe fn start(scratch: *mut Scratch) -> *mut Rounds {
    // SAFETY: live by contract.
    unsafe {
        let rounds = &raw mut (*scratch).current.rounds;
        (*rounds).at = 0;
        (*rounds).count = 0;
        (*rounds).flags = 0;
        rounds
    }
}

/// One component of the object's path; 1 ends the loop.
unsafe extern "C" fn one_component(index: u64, context: *mut c_void) -> c_long {
    let copying = context.cast::<Copying>();
    // SAFETY: the context is `path`'s; the array has PATH_BYTES.
    unsafe {
        let target = (&raw mut (*(*copying).record).path).cast();
        component((*copying).scratch, 0, index, target, record_flag::PATH_CUT)
    }
}

/// One component of the other end's path; 1 ends the loop.
unsafe extern "C" fn one_component_of_other(index: u64, context: *mut c_void) -> c_long {
    let copying = context.cast::<Copying>();
    // SAFETY: the context is `args`'s; the array has ARGS_BYTES.
    unsafe {
        let target = (&raw mut (*(*copying).record).args).cast();
        let base = DEPTH_MAX as u64;
        component(
            (*copying).scratch,
            base,
            index,
            target,
            record_flag::ARGS_CUT,
        )
    }
}

// Both arrays take components, with one bound.
const _: () = assert!(PATH_BYTES == ARGS_BYTES);

/// Copies one component of the walk that starts at level `base`.
///
/// # Safety
/// `place` must have [`PATH_BYTES`]; the scratch must be live.
#[inline(always)]
pub unsafe fn component(
    scratch: *mut Scratch,
    base: u64,
    index: u64,
    place: *mut u8,
    cut: u32,
) -> c_long {
    // SAFETY: bounds are checked against both arrays before each use.
    unsafe {
        let rounds = &raw mut (*scratch).current.rounds;
        let at = (*rounds).at;
        if index >= DEPTH_MAX as u64 || at > (PATH_BYTES - PIECE) as u64 {
            (*rounds).flags = cut;
            return 1;
        }
        let level = (&raw const (*scratch).levels)
            .cast::<Level>()
            .add((base + index) as usize);
        let (pointer, len) = ((*level).name_ptr, (*level).name_len);
        if len > NAME_MAX as u32 {
            (*rounds).flags = cut;
            return 1;
        }
        let len = bounded(len);
        let target = place.add(at as usize);
        if bpf_probe_read_kernel(target.cast(), len, pointer as *const c_void) != 0 {
            (*rounds).flags = cut;
            return 1;
        }
        *target.add(len as usize) = 0;
        (*rounds).at = at + u64::from(len) + 1;
        (*rounds).count += 1;
    }
    0
}

/// Copies the arguments of an exec call from the caller's memory, or the path of the other end; returns flags.
#[inline(always)]
unsafe fn args(scratch: *mut Scratch, record: *mut Record) -> u32 {
    let mut copying = Copying { scratch, record };
    let callback: Callback = one_argument;
    // SAFETY: the context outlives the loop; scratch and record are live.
    unsafe {
        let other_depth = (*scratch).current.other_depth;
        if other_depth != 0 {
            let rounds = components(&mut copying, other_depth, one_component_of_other);
            (*record).args_len = (*rounds).at as u32;
            return (*rounds).flags;
        }
        let rounds = start(scratch);
        match Call::current(current_task()).vectors() {
            _ if (*record).op & op::EXEC == 0 => {}
            // Executed by a call whose arguments we cannot find (32-bit).
            None => (*rounds).flags |= record_flag::ARGS_CUT,
            Some(vectors) => {
                (*rounds).vectors = [vectors.argv, vectors.envp];
                bpf_loop(
                    ARGS_MAX,
                    callback as *mut c_void,
                    (&raw mut copying).cast(),
                    0,
                );
                if (*rounds).count == ARGS_MAX {
                    (*rounds).flags |= record_flag::ARGS_CUT;
                }
            }
        }
        (*record).args_len = (*rounds).at as u32;
        (*rounds).flags
    }
}

/// One argument; 1 ends the loop.
unsafe extern "C" fn one_argument(index: u64, context: *mut c_void) -> c_long {
    let copying = context.cast::<Copying>();
    // SAFETY: the context is `args`'s; user memory is read by checked helpers into a bounded place.
    unsafe {
        let rounds = &raw mut (*(*copying).scratch).current.rounds;
        let mut string = 0u64;
        let slot = (*rounds).vectors[0].wrapping_add(index * 8);
        if bpf_probe_read_user((&raw mut string).cast(), 8, slot as *const c_void) != 0
            || string == 0
        {
            return 1;
        }
        let at = (*rounds).at;
        if at > (ARGS_BYTES - PIECE) as u64 {
            (*rounds).flags |= record_flag::ARGS_CUT;
            return 1;
        }
        let target = (&raw mut (*(*copying).record).args)
            .cast::<u8>()
            .add(at as usize);
        let read = bpf_probe_read_user_str(target.cast(), PIECE as u32, string as *const c_void);
        if read <= 0 || read > PIECE as i64 {
            (*rounds).flags |= record_flag::ARGS_CUT;
            return 1;
        }
        if read == PIECE as i64 {
            (*rounds).flags |= record_flag::ARGS_CUT; // this one may be longer than its piece
        }
        (*rounds).at = at + read as u64;
        (*rounds).count += 1;
    }
    0
}
