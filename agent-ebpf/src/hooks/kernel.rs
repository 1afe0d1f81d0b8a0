//! Calls that ask the kernel itself for something: `bpf`, performance events, user namespaces, the clock.

use core::ffi::c_void;

use aya_ebpf::{
    EbpfContext as _, helpers::generated::bpf_probe_read_kernel, macros::lsm, programs::LsmContext,
};
use stayhand_agent_ebpf::abi::code::{op, request};

use super::system::attempt;
use crate::{hooks::judged, offsets::ARG_PERF_EVENT_SHIFT};

/// `PERF_SECURITY_OPEN` (include/linux/perf_event.h): the first of the questions that one call can raise.
const OPEN: u32 = 0;

/// `bpf(int cmd, union bpf_attr *attr, unsigned int size)`. What the attributes point to is not there yet, so that no
/// approval could be bound to it.
#[lsm(hook = "bpf")]
pub fn bpf_call(ctx: LsmContext) -> i32 {
    let command: u32 = ctx.arg(0);
    judged(&ctx, "bpf", |state, task| {
        attempt(state, task, op::BPF, |current, _| {
            // SAFETY: live scratch.
            unsafe { (*current).object.ino = u64::from(command) };
        })
    })
}

/// `perf_event_open([struct perf_event_attr *attr,] int type)`
#[lsm(hook = "perf_event_open")]
pub fn perf_event_open(ctx: LsmContext) -> i32 {
    // SAFETY: two slots of the context; where the hook has one argument the second is the return value. Volatile and
    // before the branch: LLVM would choose between addresses, which the verifier forbids.
    let [first, second]: [u64; 2] = unsafe {
        let slots = ctx.as_ptr().cast::<u64>();
        [
            core::ptr::read_volatile(slots),
            core::ptr::read_volatile(slots.add(1)),
        ]
    };
    let kind = if ARG_PERF_EVENT_SHIFT.load() == 0 {
        first
    } else {
        second
    };
    if kind as u32 != OPEN {
        return 0;
    }
    judged(&ctx, "perf_event_open", |state, task| {
        attempt(state, task, op::PERF_EVENT, |_, _| {})
    })
}

/// `userns_create(const struct cred *cred)`
#[lsm(hook = "userns_create")]
pub fn userns_create(ctx: LsmContext) -> i32 {
    judged(&ctx, "userns_create", |state, task| {
        attempt(state, task, op::NAMESPACE, |current, _| {
            // SAFETY: live scratch.
            unsafe { (*current).object.ino = request::USER_NAMESPACE };
        })
    })
}

/// `settime(const struct timespec64 *ts, const struct timezone *tz)`: either may be missing.
#[lsm(hook = "settime")]
pub fn settime(ctx: LsmContext) -> i32 {
    let time: u64 = ctx.arg(0);
    judged(&ctx, "settime", |state, task| {
        attempt(state, task, op::TIME, |current, _| {
            // SAFETY: two words of the scratch's own; the helper checks the address and writes zeroes if it is none.
            unsafe {
                let to = (&raw mut (*current).content).cast::<c_void>();
                let read = bpf_probe_read_kernel(to, 16, time as *const c_void);
                (*current).object.ino = (*current).content[0];
                // A time zone alone is not read.
                (*current).unholdable = u32::from(read != 0);
            }
        })
    })
}
