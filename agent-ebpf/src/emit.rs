//! Writes one record of a decision into the ring of its class. Counts first, then reserves: a decision that
//! leaves no record is a counted loss, never silence. A failed reserve never changes a denial.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::BPF_RB_NO_WAKEUP,
    btf_maps::RingBuf,
    helpers::generated::{
        bpf_get_current_comm, bpf_get_current_uid_gid, bpf_probe_read_kernel, bpf_probe_read_kernel_str,
        bpf_probe_read_user, bpf_probe_read_user_str,
    },
    maps::ring_buf::RingBufEntry,
};
use stayhand_agent_ebpf::abi::{
    ABI_VERSION,
    code::{class, counter, op},
    record::{ARGS_BYTES, COMM_BYTES, PATH_BYTES, Record, TTY_BYTES, record_flag},
    task::{DEPTH_MAX, Level, NAME_MAX, TaskState},
};

use crate::{
    arch::Call,
    maps::{RING_A, RING_B, RING_C, count},
    offsets::{
        Addr, OFF_SIGNAL_TTY, OFF_TASK_PID, OFF_TASK_REAL_PARENT, OFF_TASK_SIGNAL, OFF_TASK_TGID, OFF_TTY_NAME, load,
    },
    who::current_task,
};

const _: u32 = BPF_RB_NO_WAKEUP;

/// Bytes that one component or argument may take: the helpers need a constant bound below the buffer's end.
const PIECE: usize = 256;
/// Arguments that a record shows; more are cut and said so.
const ARGS_MAX: u64 = 64;

/// What a record says beyond the state.
#[derive(Clone, Copy)]
pub struct Said {
    /// See `code::class`
    pub class: u16,
    /// See `code::verdict`
    pub verdict: u32,
    /// See `code::reason`
    pub reason: u32,
    /// Bits of `record_flag`
    pub flags: u32,
}

#[inline(always)]
fn ring(class: u16) -> &'static RingBuf<Record, { 512 * 1024 }> {
    match class {
        class::A => &RING_A,
        class::B => &RING_B,
        _ => &RING_C,
    }
}

/// Room for one record of `class`, counted as recorded; `None` is counted as lost.
#[inline(always)]
pub fn reserve(class: u16) -> Option<RingBufEntry<Record>> {
    count(counter::RECORDED + u32::from(class));
    let room = match class {
        class::A => ring(class::A).reserve(0),
        class::B => ring(class::B).reserve(0),
        _ => ring(class::C).reserve(0),
    };
    if room.is_none() {
        count(counter::LOST + u32::from(class));
    }
    room
}

/// Reserves, fills and submits; false if there was no room.
#[inline(always)]
pub fn emit(state: *mut TaskState, said: Said) -> bool {
    let Some(room) = reserve(said.class) else { return false };
    submit(state, room, said);
    true
}

/// Fills and submits a reserved record.
#[inline(always)]
pub fn submit(state: *mut TaskState, mut room: RingBufEntry<Record>, said: Said) {
    fill(state, room.as_mut_ptr(), said);
    room.submit(0);
}

#[inline(never)]
fn fill(state: *mut TaskState, record: *mut Record, said: Said) {
    // SAFETY: `record` is reserved ring memory of exactly this size, `state` is live.
    unsafe {
        let current = &raw const (*state).current;
        (*record).version = ABI_VERSION;
        (*record).class = said.class;
        (*record).len = size_of::<Record>() as u32;
        (*record).boot_ns = (*current).now.boot_ns;
        (*record).tai_ns = (*current).now.tai_ns;
        (*record).generation = (*current).active >> 1;
        (*record).rule = (*current).decision.by.rule;
        (*record).permission = (*current).decision.by.permission;
        (*record).grant = (*current).decision.grant;
        (*record).hold = (*current).hold;
        (*record).digest = (*current).digest;
        (*record).boot_deadline_ns = (*current).boot_deadline_ns;
        (*record).hook = (*current).hook as u16;
        (*record).pad0 = 0;
        (*record).op = (*current).attempt.ops;
        (*record).effect = (*current).decision.by.effect;
        (*record).verdict = said.verdict;
        (*record).reason = said.reason;
        (*record).object = (*current).object;
        (*record).dest_addr = (*current).dest_addr;
        (*record).dest_port = (*current).attempt.port;
        (*record).pad1 = 0;
        process(state, record);
        let flags = path(state, record) | args(record);
        (*record).flags = said.flags | flags;
    }
}

#[inline(always)]
unsafe fn process(state: *mut TaskState, record: *mut Record) {
    // SAFETY: typed current task; reserved record; live state.
    unsafe {
        let task = current_task();
        (*record).task_cookie = (*state).task_cookie;
        (*record).process_cookie = (*state).process_cookie;
        (*record).tgid = load(task, &OFF_TASK_TGID);
        (*record).tid = load(task, &OFF_TASK_PID);
        let parent: Addr = load(task, &OFF_TASK_REAL_PARENT);
        (*record).ppid = load(parent, &OFF_TASK_TGID);
        (*record).uid = bpf_get_current_uid_gid() as u32;
        (*record).auid = (*state).auid;
        (*record).session = (*state).session;
        (*record).comm = [0; COMM_BYTES];
        bpf_get_current_comm((&raw mut (*record).comm).cast(), COMM_BYTES as u32);
        (*record).tty = [0; TTY_BYTES];
        let signal: Addr = load(task, &OFF_TASK_SIGNAL);
        let tty: u64 = load(signal, &OFF_SIGNAL_TTY);
        if tty != 0 {
            let name = tty.wrapping_add(u64::from(OFF_TTY_NAME.load()));
            bpf_probe_read_kernel_str((&raw mut (*record).tty).cast(), TTY_BYTES as u32, name as *const c_void);
        }
    }
}

/// Copies the walk's components, object first; returns flags.
#[inline(always)]
unsafe fn path(state: *mut TaskState, record: *mut Record) -> u32 {
    let (mut at, mut components, mut flags) = (0usize, 0u32, 0u32);
    // SAFETY: bounds are checked against the record's and the state's arrays before each use.
    unsafe {
        let depth = (*state).current.depth as usize;
        for index in 0..DEPTH_MAX - 1 {
            if index + 1 >= depth {
                break; // the root has no name
            }
            if at > PATH_BYTES - PIECE {
                flags = record_flag::PATH_CUT;
                break;
            }
            let level = (&raw const (*state).levels).cast::<Level>().add(index);
            let len = (*level).name_len;
            if len > NAME_MAX as u32 {
                flags = record_flag::PATH_CUT;
                break;
            }
            let target = (&raw mut (*record).path).cast::<u8>().add(at);
            if bpf_probe_read_kernel(target.cast(), len, (*level).name_ptr as *const c_void) != 0 {
                flags = record_flag::PATH_CUT;
                break;
            }
            let end = at + len as usize;
            if end > PATH_BYTES - 1 {
                break;
            }
            *(&raw mut (*record).path).cast::<u8>().add(end) = 0;
            at = end + 1;
            components += 1;
        }
        (*record).path_components = components;
        (*record).path_len = at as u32;
    }
    flags
}

/// Copies the arguments of an exec call from the caller's memory; returns flags.
#[inline(always)]
unsafe fn args(record: *mut Record) -> u32 {
    let (mut at, mut flags) = (0usize, 0u32);
    // SAFETY: user memory is read by checked helpers into a bounded place of the record.
    unsafe {
        if (*record).op & op::EXEC != 0
            && let Some(vectors) = Call::current(current_task()).vectors()
        {
            for index in 0..ARGS_MAX {
                let mut string = 0u64;
                let slot = vectors.argv.wrapping_add(index * 8);
                if bpf_probe_read_user((&raw mut string).cast(), 8, slot as *const c_void) != 0 || string == 0 {
                    break;
                }
                if at > ARGS_BYTES - PIECE || index == ARGS_MAX - 1 {
                    flags = record_flag::ARGS_CUT;
                    break;
                }
                let target = (&raw mut (*record).args).cast::<u8>().add(at);
                let read = bpf_probe_read_user_str(target.cast(), PIECE as u32, string as *const c_void);
                if read <= 0 || read > PIECE as i64 {
                    flags = record_flag::ARGS_CUT;
                    break;
                }
                if read == PIECE as i64 {
                    flags = record_flag::ARGS_CUT; // this one may be longer than its piece
                }
                at += read as usize;
            }
        }
        (*record).args_len = at as u32;
    }
    flags
}
