//! What one process does to another one: `ptrace` and signals. A subject's own processes are its own business; judged
//! is what reaches a process of another subject, or one that belongs to nobody.

use core::ffi::c_void;

use aya_ebpf::{
    EbpfContext as _, helpers::generated::bpf_probe_read_kernel, macros::lsm, programs::LsmContext,
};
use stayhand_agent_ebpf::abi::{
    code::op,
    task::{TaskState, pin},
};

use super::system::attempt;
use crate::{
    hooks::judged,
    maps::task_state,
    offsets::{
        Addr, OFF_TASK_COMM, OFF_TASK_GROUP_LEADER, OFF_TASK_LOGINUID, OFF_TASK_STARTED,
        OFF_TASK_TGID, load,
    },
};

/// `PTRACE_MODE_ATTACH` (include/linux/ptrace.h); the other mode only looks.
const ATTACH: u32 = 0x02;
/// Where the number of what asks to be traced by its parent is, which has no mode.
const TRACE_ME: u64 = u64::MAX;

/// `ptrace_access_check(struct task_struct *child, unsigned int mode)`: `ptrace`, `process_vm_readv`, `pidfd_getfd`,
/// `/proc/PID/mem` and whatever else takes the right to attach. Never for threads of one process.
#[lsm(hook = "ptrace_access_check")]
pub fn ptrace_access_check(ctx: LsmContext) -> i32 {
    let mode: u32 = ctx.arg(1);
    if mode & ATTACH == 0 {
        return 0;
    }
    judged(&ctx, "ptrace_access_check", |state, task| {
        reach(state, task, ctx.arg(0), op::PTRACE, u64::from(mode))
    })
}

/// `ptrace_traceme(struct task_struct *parent)`: the caller gives itself into its parent's hands.
#[lsm(hook = "ptrace_traceme")]
pub fn ptrace_traceme(ctx: LsmContext) -> i32 {
    judged(&ctx, "ptrace_traceme", |state, task| {
        reach(state, task, ctx.arg(0), op::PTRACE, TRACE_ME)
    })
}

/// `task_kill(struct task_struct *p, struct kernel_siginfo *info, int sig, const struct cred *cred)`: not called for
/// what the kernel sends by itself. Signal 0 only asks whether the process is there.
#[lsm(hook = "task_kill")]
pub fn task_kill(ctx: LsmContext) -> i32 {
    let signal: u32 = ctx.arg(2);
    if signal == 0 || for_somebody_else(&ctx) {
        return 0;
    }
    judged(&ctx, "task_kill", |state, task| {
        reach(state, task, ctx.arg(0), op::SIGNAL, u64::from(signal))
    })
}

/// Whether a driver sends it in an interrupt for whoever asked it to: the current task has nothing to do with it.
#[inline(always)]
fn for_somebody_else(ctx: &LsmContext) -> bool {
    /// Arguments before the credentials, of 8 bytes each.
    const CREDENTIALS: usize = 3 * 8;
    let mut credentials = 1u64;
    // SAFETY: eight bytes of the context, by a checked helper: the verifier takes a typed argument for one that is
    // never null, and would drop the comparison.
    let read = unsafe {
        let at = ctx.as_ptr().cast::<u8>().add(CREDENTIALS);
        bpf_probe_read_kernel((&raw mut credentials).cast(), 8, at.cast::<c_void>())
    };
    read != 0 || credentials != 0
}

#[inline(always)]
fn reach(state: *mut TaskState, task: Addr, target: Addr, op: u32, number: u64) -> i32 {
    // SAFETY: typed hook argument; the state is live.
    if unsafe { is_own(state, target) } {
        return 0;
    }
    attempt(state, task, op, |current, _| {
        // SAFETY: typed hook argument; the name is read by a checked helper into a place of its size.
        unsafe {
            (*current).object.ino = number;
            (*current).object.dev = load(target, &OFF_TASK_TGID);
            // The process itself, not the next one of its number.
            (*current).content = [load(target, &OFF_TASK_STARTED), 0, 0, 0];
            let name = target.add(OFF_TASK_COMM.load() as usize);
            let to = (&raw mut (*current).dest_addr).cast::<c_void>();
            if bpf_probe_read_kernel(to, 16, name.cast::<c_void>()) != 0 || number == TRACE_ME {
                (*current).unholdable = 1;
            }
        }
    })
}

/// Whether a process belongs to the subject of `state`: by its pin, or, if it has never met a hook, by the login uid
/// that it would be pinned with.
#[inline(always)]
unsafe fn is_own(state: *mut TaskState, target: Addr) -> bool {
    // SAFETY: typed pointer by contract; a live task has a leader; states are checked for null.
    unsafe {
        let auid = (*state).auid;
        let mut found = task_state(target);
        if found.is_null() {
            found = task_state(load::<Addr>(target, &OFF_TASK_GROUP_LEADER));
        }
        if found.is_null() {
            return load::<u32>(target, &OFF_TASK_LOGINUID) == auid;
        }
        (*found).pin == pin::LOGIN && (*found).auid == auid
    }
}
