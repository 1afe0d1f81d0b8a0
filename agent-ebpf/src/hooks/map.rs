//! `mmap_file` and `file_mprotect`: a file becomes executable memory. That is how a loader runs a program whose name
//! it is given, and how libraries come in. The kernel's own mappings during `execve` were judged as that execution.

use aya_ebpf::{macros::lsm, programs::LsmContext};
use stayhand_agent_ebpf::abi::{
    code::{hook, op},
    task::TaskState,
};

use crate::{
    arch::Call,
    facts::{about_files, ask, recall},
    hold::RESTART,
    hooks::{act, judged},
    judge::{Begun, begin_at, judge, judge_with_arguments},
    maps::has_storage,
    offsets::{
        Addr, OFF_FILE_DENTRY, OFF_FILE_INODE, OFF_INODE_CTIME_NSEC, OFF_INODE_CTIME_SEC,
        OFF_INODE_SIZE, OFF_INODE_VERSION, OFF_VMA_FILE, load,
    },
    walk::{collect, here, identity_here},
    who::current_task,
};

/// `PROT_EXEC` (include/uapi/asm-generic/mman-common.h)
const PROT_EXEC: u64 = 0x4;

/// `mmap_file(struct file *file, unsigned long reqprot, unsigned long prot, unsigned long flags)`
#[lsm(hook = "mmap_file")]
pub fn mmap_file(ctx: LsmContext) -> i32 {
    let prot: u64 = ctx.arg(2);
    if prot & PROT_EXEC == 0 {
        return 0;
    }
    let task = current_task();
    // Most of these are executions. Of somebody who may be pinned, that is seen before anything is looked up.
    // SAFETY: the current task, typed.
    if unsafe { has_storage(task) } && Call::current(task).is_exec() {
        return 0;
    }
    judged(&ctx, "mmap_file", |state, task| {
        map(state, task, ctx.arg(0))
    })
}

/// `file_mprotect(struct vm_area_struct *vma, unsigned long reqprot, unsigned long prot)`
#[lsm(hook = "file_mprotect")]
pub fn file_mprotect(ctx: LsmContext) -> i32 {
    let prot: u64 = ctx.arg(2);
    if prot & PROT_EXEC == 0 {
        return 0;
    }
    let area: Addr = ctx.arg(0);
    judged(&ctx, "file_mprotect", |state, task| {
        // SAFETY: typed hook argument.
        map(state, task, unsafe { load(area, &OFF_VMA_FILE) })
    })
}

#[inline(always)]
fn map(state: *mut TaskState, task: Addr, file: Addr) -> i32 {
    if file.is_null() {
        return 0;
    }
    if Call::current(task).is_exec() {
        return 0;
    }
    // SAFETY: a typed file and what is walked from it; the scratch is live.
    unsafe {
        let inode: Addr = load(file, &OFF_FILE_INODE);
        let dentry: Addr = load(file, &OFF_FILE_DENTRY);
        let Begun { scratch, subject } =
            match begin_at(state, hook::MMAP_FILE, op::MAP_EXEC, dentry, inode) {
                Ok(begun) => begun,
                Err(verdict) => return verdict,
            };
        (*scratch).current.object = identity_here(here(scratch), inode);
        (*scratch).current.content = [
            load::<u64>(inode, &OFF_INODE_SIZE),
            load::<u64>(inode, &OFF_INODE_CTIME_SEC),
            u64::from(load::<u32>(inode, &OFF_INODE_CTIME_NSEC)),
            load::<u64>(inode, &OFF_INODE_VERSION),
        ];
        let walked = collect(scratch, dentry, inode);
        // Written out twice: see `exec`.
        if (*scratch).current.conditions == 0 || !about_files(scratch) {
            judge(scratch, subject, walked);
        } else {
            recall(scratch, inode);
            judge_with_arguments(scratch, subject, walked);
            if ask(scratch, task, op::MAP_EXEC) {
                return RESTART;
            }
        }
        act(scratch, task)
    }
}
