//! `inode_create(struct inode *dir, struct dentry *dentry, umode_t mode)`: a new regular file. Judges the
//! creation and the open that the same call will make as one question.
//!
//! `open(O_CREAT)` comes here before the file system has looked the name up, and forgets what we say if the file is
//! there (fs/namei.c, `lookup_open`). So nothing is asked and nothing is recorded before the name was looked up.

use aya_ebpf::{macros::lsm, programs::LsmContext};
use stayhand_agent_ebpf::abi::{
    code::{hook, op, verdict},
    task::{Scratch, TaskState},
};

use crate::{
    hold::{EPERM, RESTART, identity_of_call, look_up_first},
    hooks::{act, judged},
    judge::{Begun, begin_at, judge, outcome},
    offsets::{Addr, OFF_DENTRY_HASHED, OFF_DENTRY_NAME, OFF_DENTRY_NAME_LEN, load},
    walk::{collect, here, identity_here, name_hash},
};

#[lsm(hook = "inode_create")]
pub fn inode_create(ctx: LsmContext) -> i32 {
    judged(&ctx, "inode_create", |state, task| {
        create(state, task, ctx.arg(0), ctx.arg(1), ctx.arg(2))
    })
}

#[inline(always)]
fn create(state: *mut TaskState, task: Addr, directory: Addr, dentry: Addr, mode: u32) -> i32 {
    let ops = op::CREATE | op::WRITE;
    // SAFETY: typed hook arguments.
    let begun = unsafe { begin_at(state, hook::INODE_CREATE, ops, dentry, directory) };
    let Begun { scratch, subject } = match begun {
        Ok(begun) => begun,
        Err(verdict) => {
            // SAFETY: the state is live.
            unsafe { forget(state) };
            return verdict;
        }
    };
    // SAFETY: typed hook arguments; the scratch is live and its first level was just walked.
    let verdict = unsafe {
        let current = &raw mut (*scratch).current;
        (*current).object = identity_here(here(scratch), directory);
        // `umode_t`: the argument's other bits mean nothing.
        (*current).content = [u64::from(mode & 0xffff), 0, 0, 0];
        let (pointer, len): (u64, u32) = (
            load(dentry, &OFF_DENTRY_NAME),
            load(dentry, &OFF_DENTRY_NAME_LEN),
        );
        let hash = name_hash(scratch, pointer, len);
        (*current).name_hash = hash.unwrap_or(0);
        let walked = hash.is_some() && collect(scratch, dentry, directory);
        judge(scratch, subject, walked);
        if outcome(scratch).0 != verdict::ALLOWED
            && load::<u64>(dentry, &OFF_DENTRY_HASHED) == 0
            && look_up_first(state, scratch, task)
        {
            return RESTART;
        }
        act(scratch, task)
    };
    // SAFETY: state and scratch are live.
    unsafe {
        if verdict == RESTART {
            (*state).creation = (*scratch).current.key;
            return RESTART;
        }
        forget(state);
        if verdict != 0 {
            return EPERM;
        }
        remember(state, scratch, task);
    }
    0
}

/// The creation is decided: no question about it is open any more.
#[inline(always)]
unsafe fn forget(state: *mut TaskState) {
    // SAFETY: live by contract.
    unsafe {
        (*state).looked_up = 0;
        (*state).creation.task_cookie = 0;
    }
}

/// Keeps what this call creates for its `file_open`. Overlayfs makes the file a second time, on the file system
/// underneath, before the first one is opened: the first one stays.
#[inline(always)]
unsafe fn remember(state: *mut TaskState, scratch: *mut Scratch, task: Addr) {
    // SAFETY: live by contract.
    unsafe {
        let call = identity_of_call(scratch, task);
        let underneath = (*state).created_in.ino != 0
            && (*state).created_call == call
            && (*state).created_in.dev != (*scratch).current.object.dev;
        if underneath {
            return;
        }
        (*state).created_in = (*scratch).current.object;
        (*state).created_name_hash = (*scratch).current.name_hash;
        (*state).created_call = call;
    }
}
