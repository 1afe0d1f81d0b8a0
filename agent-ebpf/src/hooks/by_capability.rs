//! Calls that have no hook of their own, told by the capability that they need: rebooting, swap, unloading a module,
//! adjusting the clock, namespaces other than those of users. The kernel answers them with `EPERM` whatever a hook
//! returns, so that none can be held.

use aya_ebpf::programs::LsmContext;
use stayhand_agent_ebpf::abi::code::{op, request};

use super::{capable::CAP_OPT_NOAUDIT, system::attempt};
use crate::{arch::Call, hooks::judged, who::current_task};

/// Judges the call that asks for this capability, if it is one of those.
#[inline(always)]
pub fn ask(ctx: &LsmContext, capability: u32, options: u32) -> i32 {
    if options & CAP_OPT_NOAUDIT != 0 {
        return 0;
    }
    let op = Call::current(current_task()).asks_by(capability);
    if op == 0 {
        return 0;
    }
    judged(ctx, "capable", |state, task| {
        attempt(state, task, op, |current, _| {
            // SAFETY: live scratch.
            unsafe {
                (*current).object.ino = match op {
                    op::MODULE => request::UNLOAD,
                    op::NAMESPACE => request::OTHER_NAMESPACE,
                    _ => request::ADJUSTMENT,
                };
                (*current).unholdable = 1;
            }
        })
    })
}
