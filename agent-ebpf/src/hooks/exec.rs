//! `bprm_check_security(struct linux_binprm *bprm)`: every loader pass of `execve`, the script and then its
//! interpreter, each judged as the execution of that object.

use aya_ebpf::{macros::lsm, programs::LsmContext};
use stayhand_agent_ebpf::abi::{
    code::{hook, op},
    image::ACTIVE_SLOT_MASK,
    task::TaskState,
};

use crate::{
    hooks::{act, judged},
    judge::{begin, judge},
    offsets::{
        Addr, OFF_BPRM_FILE, OFF_FILE_DENTRY, OFF_FILE_INODE, OFF_INODE_CTIME_NSEC,
        OFF_INODE_CTIME_SEC, OFF_INODE_SIZE, OFF_INODE_VERSION, load,
    },
    walk::{collect, identity},
};

#[lsm(hook = "bprm_check_security")]
pub fn exec_check(ctx: LsmContext) -> i32 {
    judged(&ctx, "bprm_check_security", |state, task| {
        execute(state, task, ctx.arg(0))
    })
}

#[inline(always)]
fn execute(state: *mut TaskState, task: Addr, bprm: Addr) -> i32 {
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
        let walked = collect(state, load(file, &OFF_FILE_DENTRY), inode);
        judge(state, subject, walked);
    }
    act(state, task)
}
