//! `bprm_check_security(struct linux_binprm *bprm)`: every loader pass of `execve`, the script and then its
//! interpreter, each judged as the execution of that object.

use aya_ebpf::{macros::lsm, programs::LsmContext};
use stayhand_agent_ebpf::abi::{
    code::{hook, op},
    image::ACTIVE_SLOT_MASK,
    task::TaskState,
};

use crate::{
    hold::EPERM,
    hooks::act,
    judge::{begin, judge},
    offsets::{
        Addr, OFF_BPRM_FILE, OFF_FILE_DENTRY, OFF_FILE_INODE, OFF_INODE_CTIME_NSEC,
        OFF_INODE_CTIME_SEC, OFF_INODE_SIZE, OFF_INODE_VERSION, load,
    },
    trace::said,
    walk::{collect, identity},
    who::{Who, current_task, my_turn, who},
};

#[lsm(hook = "bprm_check_security")]
pub fn exec_check(ctx: LsmContext) -> i32 {
    let task = current_task();
    match who(task) {
        Who::Pinned(state) if my_turn(state) => {
            said(&ctx, "bprm_check_security", judged(state, task, ctx.arg(0)))
        }
        Who::Failed => EPERM,
        _ => 0,
    }
}

#[inline(always)]
fn judged(state: *mut TaskState, task: Addr, bprm: Addr) -> i32 {
    let Some(subject) = begin(state, hook::EXEC, op::EXEC, 0) else {
        return 0;
    };
    // SAFETY: hook argument and pointers walked from it, typed by the verifier; a program being checked has a file.
    unsafe {
        let file: Addr = load(bprm, &OFF_BPRM_FILE);
        let inode: Addr = load(file, &OFF_FILE_INODE);
        let current = &raw mut (*state).current;
        (*current).object = identity(inode, ((*current).active & ACTIVE_SLOT_MASK) as u32);
        (*current).content = [
            load::<u64>(inode, &OFF_INODE_SIZE),
            load::<u64>(inode, &OFF_INODE_CTIME_SEC),
            u64::from(load::<u32>(inode, &OFF_INODE_CTIME_NSEC)),
            load::<u64>(inode, &OFF_INODE_VERSION),
        ];
        (*current).dest_addr = [0; 16];
        let walked = collect(state, load(file, &OFF_FILE_DENTRY), inode);
        judge(state, subject, walked);
    }
    act(state, task)
}
