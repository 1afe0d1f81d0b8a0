//! `file_open(struct file *file)`: opens that read an existing file or can change its content.
//!
//! A file that this very call created was judged whole at `inode_create`; here it is only denied or let
//! through, because a restart would run into `EEXIST`.
//!
//! A program on overlayfs is opened twice, and only the file above comes to `bprm_check_security`: the one underneath,
//! which is what runs, is judged here.

use aya_ebpf::{macros::lsm, programs::LsmContext};
use stayhand_agent_ebpf::abi::{
    code::{hook, op, reason, verdict},
    task::{Scratch, TaskState},
};

use crate::{
    hold::{EPERM, asked_about_creation, end_question_about_creation},
    hooks::{act, carry_out, slot},
    judge::{Begun, begin_at, judge, outcome},
    maps::{IDENTITY, task_scratch},
    offsets::{
        Addr, OFF_DENTRY_INODE, OFF_DENTRY_NAME, OFF_DENTRY_NAME_LEN, OFF_DENTRY_PARENT,
        OFF_FILE_DENTRY, OFF_FILE_FLAGS, OFF_FILE_INODE, OFF_FILE_MODE, OFF_INODE_SB,
        OFF_SB_STACK_DEPTH, OFF_TASK_PID, load,
    },
    trace::said,
    walk::{collect, here, identity, identity_here, name_hash},
    who::{Who, concluded, current_task, my_turn, who},
};

// include/linux/fs.h, include/uapi/asm-generic/fcntl.h
const FMODE_READ: u32 = 0x1;
const FMODE_WRITE: u32 = 0x2;
/// `__FMODE_EXEC`, among the open flags: set by the kernel only, no program can ask for it.
const FMODE_EXEC: u32 = 0x20;
const FMODE_CREATED: u32 = 0x10_0000;
const O_TRUNC: u32 = 0o1000;
/// `__O_TMPFILE`, without the `O_DIRECTORY` that `O_TMPFILE` also sets.
const TMPFILE: u32 = 0o20_000_000;

#[lsm(hook = "file_open")]
pub fn file_open(ctx: LsmContext) -> i32 {
    let task = current_task();
    match who(task) {
        Who::Unguarded => 0,
        Who::Pinned(state) => {
            let verdict = opened(state, task, ctx.arg(0));
            said(&ctx, "file_open", concluded(state, verdict))
        }
        Who::Agent => report(task, ctx.arg(0)),
        Who::Failed => EPERM,
    }
}

#[inline(always)]
fn opened(state: *mut TaskState, task: Addr, file: Addr) -> i32 {
    // SAFETY: typed hook argument.
    let (mode, flags): (u32, u32) =
        unsafe { (load(file, &OFF_FILE_MODE), load(file, &OFF_FILE_FLAGS)) };
    let given_up = mode & FMODE_CREATED == 0 && asked_about_creation(state, task);
    let program = if flags & FMODE_EXEC != 0 && is_underneath(state, file) {
        op::EXEC
    } else {
        0
    };
    let ops = operations(mode, flags, given_up) | program;
    if ops == 0 || !my_turn(state) {
        forget_creation(state);
        return 0;
    }
    // SAFETY: typed pointers walked from the hook argument.
    unsafe {
        let inode: Addr = load(file, &OFF_FILE_INODE);
        let dentry: Addr = load(file, &OFF_FILE_DENTRY);
        let judged = mode & FMODE_CREATED != 0 && judged_at_creation(state, task, dentry);
        forget_creation(state);
        if judged {
            return 0;
        }
        let Begun { scratch, subject } = match begin_at(state, hook::FILE_OPEN, ops, dentry, inode)
        {
            Ok(begun) => begun,
            Err(verdict) => return verdict,
        };
        let current = &raw mut (*scratch).current;
        // A nameless file is new at every restart: it is known by its directory.
        (*current).object = if flags & TMPFILE != 0 {
            identity(directory(dentry), slot(scratch))
        } else {
            identity_here(here(scratch), inode)
        };
        (*current).open_flags = flags;
        let walked = collect(scratch, dentry, inode);
        judge(scratch, subject, walked);
        if end_question_about_creation(state, scratch) {
            return carry_out(scratch, task);
        }
        // Read again: kept in a register, the verifier would follow each value through the whole walk.
        let (mode, flags): (u32, u32) = (load(file, &OFF_FILE_MODE), load(file, &OFF_FILE_FLAGS));
        let made = mode & FMODE_CREATED != 0 && flags & TMPFILE == 0;
        // Arguments are compared with those of the program above, which alone is asked about.
        let program = core::ptr::read_volatile(&raw const (*current).attempt.ops) & op::EXEC != 0;
        if made || program {
            never_held(scratch);
        }
        act(scratch, task)
    }
}

/// The call opens a file: whatever it was about to create is made, or was there.
#[inline(always)]
fn forget_creation(state: *mut TaskState) {
    // SAFETY: the state is live.
    unsafe {
        (*state).created_in.ino = 0;
        (*state).looked_up = 0;
    }
}

/// Whether a file that the kernel opens to run it is the one underneath the last such one. The next open of either
/// kind follows at once, on a file system with fewer below it.
#[inline(always)]
fn is_underneath(state: *mut TaskState, file: Addr) -> bool {
    // SAFETY: typed pointers walked from the hook argument; the state is live.
    unsafe {
        let inode: Addr = load(file, &OFF_FILE_INODE);
        let sb: Addr = load(inode, &OFF_INODE_SB);
        let depth: u32 = load(sb, &OFF_SB_STACK_DEPTH);
        let above = (*state).program_depth;
        (*state).program_depth = depth;
        depth < above
    }
}

/// What an open comprises. The kernel opens programs by itself, and judges that as their execution.
#[inline(always)]
fn operations(mode: u32, flags: u32, given_up: bool) -> u32 {
    let create = if given_up { op::CREATE | op::WRITE } else { 0 };
    let write = if mode & FMODE_WRITE != 0 || flags & O_TRUNC != 0 {
        op::WRITE
    } else {
        0
    };
    let read = if mode & FMODE_READ != 0 && flags & FMODE_EXEC == 0 {
        op::READ
    } else {
        0
    };
    create | write | read
}

/// Inode of the directory in which a file was opened; a positive dentry's parent always has one.
#[inline(always)]
unsafe fn directory(dentry: Addr) -> Addr {
    // SAFETY: typed dentry pointer by contract.
    unsafe {
        let parent: Addr = load(dentry, &OFF_DENTRY_PARENT);
        load(parent, &OFF_DENTRY_INODE)
    }
}

/// Whether `inode_create` has just judged this creation together with this open; true once per creation.
#[inline(always)]
unsafe fn judged_at_creation(state: *mut TaskState, task: Addr, dentry: Addr) -> bool {
    // SAFETY: typed pointers by contract; the state is live, the scratch checked for null.
    unsafe {
        let expected = (*state).created_in;
        if expected.ino == 0 {
            return false;
        }
        // Whoever was judged there has one.
        let scratch = task_scratch(task);
        if scratch.is_null() {
            return false;
        }
        let (pointer, len): (u64, u32) = (
            load(dentry, &OFF_DENTRY_NAME),
            load(dentry, &OFF_DENTRY_NAME_LEN),
        );
        let Some(hash) = name_hash(scratch, pointer, len) else {
            return false;
        };
        let found = identity(directory(dentry), 0);
        found.ino == expected.ino
            && found.dev == expected.dev
            && found.igen == expected.igen
            && hash == (*state).created_name_hash
    }
}

/// Nobody can be asked here: the file is new and its creation was not asked about (a file system that creates while
/// opening), so that a restart would run into `EEXIST`; or it is a program underneath another one. What a rule holds is
/// denied.
#[inline(always)]
fn never_held(scratch: *mut Scratch) {
    if outcome(scratch).0 == verdict::HELD {
        // SAFETY: the scratch is live.
        unsafe {
            (*scratch).current.decision.verdict = verdict::DENIED;
            (*scratch).current.decision.reason = reason::HOLD_UNAVAILABLE;
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
