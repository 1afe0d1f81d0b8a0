//! `file_open(struct file *file)`: opens that can change an existing file's content.
//!
//! A file that this very call created was judged whole at `inode_create`; here it is only denied or let
//! through, because a restart would run into `EEXIST`.

use aya_ebpf::{macros::lsm, programs::LsmContext};
use stayhand_agent_ebpf::abi::{
    code::{hook, op, reason, verdict},
    image::{ACTIVE_SLOT_MASK, LabelKey},
    task::{Level, TaskState},
};

use crate::{
    hold::EPERM,
    hooks::act,
    judge::{begin, judge, outcome},
    maps::IDENTITY,
    offsets::{
        Addr, OFF_DENTRY_INODE, OFF_DENTRY_PARENT, OFF_FILE_DENTRY, OFF_FILE_FLAGS, OFF_FILE_INODE,
        OFF_FILE_MODE, OFF_TASK_PID, load,
    },
    walk::{collect, identity, name_hash},
    who::{Who, current_task, my_turn, who},
};

// include/linux/fs.h, include/uapi/asm-generic/fcntl.h
const FMODE_WRITE: u32 = 0x2;
const FMODE_CREATED: u32 = 0x10_0000;
const O_TRUNC: u32 = 0o1000;

#[lsm(hook = "file_open")]
pub fn file_open(ctx: LsmContext) -> i32 {
    let task = current_task();
    match who(task) {
        Who::Unguarded => 0,
        Who::Pinned(state) => opened(state, task, ctx.arg(0)),
        Who::Agent => report(task, ctx.arg(0)),
        Who::Failed => EPERM,
    }
}

#[inline(always)]
fn opened(state: *mut TaskState, task: Addr, file: Addr) -> i32 {
    // SAFETY: typed hook argument.
    let (mode, flags): (u32, u32) =
        unsafe { (load(file, &OFF_FILE_MODE), load(file, &OFF_FILE_FLAGS)) };
    if (mode & FMODE_WRITE == 0 && flags & O_TRUNC == 0) || !my_turn(state) {
        return 0;
    }
    let Some(subject) = begin(state, hook::FILE_OPEN, op::WRITE, 0) else {
        return 0;
    };
    // SAFETY: typed pointers walked from the hook argument.
    unsafe {
        let inode: Addr = load(file, &OFF_FILE_INODE);
        let dentry: Addr = load(file, &OFF_FILE_DENTRY);
        let current = &raw mut (*state).current;
        (*current).object = identity(inode, ((*current).active & ACTIVE_SLOT_MASK) as u32);
        (*current).open_flags = flags;
        (*current).content = [0; 4];
        (*current).dest_addr = [0; 16];
        let walked = collect(state, dentry, inode);
        judge(state, subject, walked);
        if mode & FMODE_CREATED != 0 {
            created(state, dentry);
        }
    }
    act(state, task)
}

/// The file is new. What `inode_create` let through goes on; a hold that it could not ask (a file system that
/// creates while opening) is denied.
#[inline(always)]
unsafe fn created(state: *mut TaskState, dentry: Addr) {
    if outcome(state).0 != verdict::HELD {
        return;
    }
    // SAFETY: typed pointers; the state is live and its first level was just walked.
    unsafe {
        let parent: Addr = load(dentry, &OFF_DENTRY_PARENT);
        let directory: Addr = load(parent, &OFF_DENTRY_INODE);
        let expected = (*state).created_in;
        (*state).created_in = LabelKey {
            ino: 0,
            dev: 0,
            igen: 0,
            slot: 0,
            pad: 0,
        };
        let level = (&raw const (*state).levels).cast::<Level>();
        let decision = &raw mut (*state).current.decision;
        (*decision).verdict = verdict::DENIED;
        (*decision).reason = reason::HOLD_UNAVAILABLE;
        let Some(hash) = name_hash(state, (*level).name_ptr, (*level).name_len) else {
            return;
        };
        if !directory.is_null() {
            let found = identity(directory, 0);
            if found.ino == expected.ino
                && found.dev == expected.dev
                && found.igen == expected.igen
                && hash == (*state).created_name_hash
            {
                (*decision).verdict = verdict::ALLOWED;
                (*decision).reason = reason::DEFAULT;
            }
        }
    }
}

/// Tells the agent the identity of what it just opened. The agent arms the entry with its thread and a zero
/// count before each open, so that only the first file answers: overlayfs opens a second one underneath.
#[inline(always)]
fn report(task: Addr, file: Addr) -> i32 {
    if let Some(slot) = IDENTITY.get_ptr_mut(0) {
        // SAFETY: typed pointers walked from the hook argument; a live map value that one thread at a time uses
        // (the agent serialises its labelling).
        unsafe {
            let tid: u32 = load(task, &OFF_TASK_PID);
            if (*slot).tid != tid || (*slot).count != 0 {
                return 0;
            }
            let found = identity(load(file, &OFF_FILE_INODE), 0);
            (*slot).ino = found.ino;
            (*slot).dev = found.dev;
            (*slot).igen = found.igen;
            (*slot).count = 1;
        }
    }
    0
}
