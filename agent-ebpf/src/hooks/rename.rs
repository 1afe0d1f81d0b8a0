//! `inode_rename(struct inode *old_dir, struct dentry *old_dentry, struct inode *new_dir, struct dentry
//! *new_dentry)` and `inode_link`: actions with two ends, judged as one question. The kernel calls the first one
//! twice for an exchange, once in either direction.

use aya_ebpf::{macros::lsm, programs::LsmContext};
use stayhand_agent_ebpf::abi::{
    code::{hook, op},
    image::Subject,
    task::{DEPTH_MAX, Scratch, TaskState},
};

use crate::{
    hold::EPERM,
    hooks::{act, judged, named},
    judge::{Begun, begin, conclude, end, start},
    offsets::{Addr, OFF_DENTRY_INODE, OFF_DENTRY_NAME, OFF_DENTRY_NAME_LEN, load},
    walk::{collect_end, file_system_of, here, identity_here, name_hash},
};

const RENAMED_AWAY: u32 = op::RENAME | op::DELETE;
const RENAMED_HERE: u32 = op::RENAME | op::CREATE;
/// What a rename does to the file that it takes the place of.
const REPLACED: u32 = op::WRITE | op::DELETE;

#[lsm(hook = "inode_rename")]
pub fn inode_rename(ctx: LsmContext) -> i32 {
    judged(&ctx, "inode_rename", |state, task| {
        let (old, new) = ([ctx.arg(0), ctx.arg(1)], [ctx.arg(2), ctx.arg(3)]);
        rename(state, task, old, new)
    })
}

/// `inode_link(struct dentry *old_dentry, struct inode *dir, struct dentry *new_dentry)`
#[lsm(hook = "inode_link")]
pub fn inode_link(ctx: LsmContext) -> i32 {
    judged(&ctx, "inode_link", |state, task| {
        link(state, task, ctx.arg(0), [ctx.arg(1), ctx.arg(2)])
    })
}

#[inline(always)]
fn rename(state: *mut TaskState, task: Addr, old: [Addr; 2], new: [Addr; 2]) -> i32 {
    let all = RENAMED_AWAY | RENAMED_HERE | REPLACED;
    let Begun { scratch, subject } = match begin(state, hook::INODE_RENAME, all) {
        Ok(begun) => begun,
        Err(verdict) => return verdict,
    };
    // SAFETY: typed hook arguments and inodes walked from them; the scratch is live.
    unsafe {
        file_system_of(here(scratch), old[0]);
        let moved: Addr = load(old[1], &OFF_DENTRY_INODE);
        if !moved.is_null() {
            (*scratch).current.object = identity_here(here(scratch), moved);
        }
        let replaced: Addr = load(new[1], &OFF_DENTRY_INODE);
        let there = if replaced.is_null() {
            RENAMED_HERE
        } else {
            RENAMED_HERE | REPLACED
        };
        (*scratch).current.content = bound(scratch, old, replaced, there);
        ends(scratch, old, new, RENAMED_AWAY, there, subject);
    }
    act(scratch, task)
}

/// What an approval of a rename is bound to beyond what is moved and its new name: the old name, of several that the
/// file may have, and what it takes the place of. Both are on one file system.
///
/// # Safety
/// Typed pointers, `replaced` of an inode or null, and a live scratch.
#[inline(always)]
unsafe fn bound(scratch: *mut Scratch, old: [Addr; 2], replaced: Addr, there: u32) -> [u64; 4] {
    // SAFETY: by contract.
    unsafe {
        let (pointer, len): (u64, u32) = (
            load(old[1], &OFF_DENTRY_NAME),
            load(old[1], &OFF_DENTRY_NAME_LEN),
        );
        let Some(name) = name_hash(scratch, pointer, len) else {
            (*scratch).current.unholdable = 1;
            return [0; 4];
        };
        let from = identity_here(here(scratch), old[0]).ino;
        if replaced.is_null() {
            return [u64::from(there), 0, from, name];
        }
        let over = identity_here(here(scratch), replaced);
        [
            u64::from(there) | u64::from(over.igen) << 32,
            over.ino,
            from,
            name,
        ]
    }
}

#[inline(always)]
fn link(state: *mut TaskState, task: Addr, old: Addr, new: [Addr; 2]) -> i32 {
    let Begun { scratch, subject } = match begin(state, hook::INODE_LINK, op::LINK | op::CREATE) {
        Ok(begun) => begun,
        Err(verdict) => return verdict,
    };
    // SAFETY: typed hook arguments and an inode walked from them; the scratch is live.
    unsafe {
        let linked: Addr = load(old, &OFF_DENTRY_INODE);
        if linked.is_null() {
            return EPERM;
        }
        file_system_of(here(scratch), linked);
        (*scratch).current.object = identity_here(here(scratch), linked);
        ends(
            scratch,
            [linked, old],
            new,
            op::LINK,
            op::LINK | op::CREATE,
            subject,
        );
    }
    act(scratch, task)
}

/// Judges both ends, each an inode of its file system and a dentry.
///
/// # Safety
/// Typed pointers, and a live scratch.
#[inline(always)]
unsafe fn ends(
    scratch: *mut Scratch,
    old: [Addr; 2],
    new: [Addr; 2],
    away: u32,
    there: u32,
    subject: Subject,
) {
    // SAFETY: by contract.
    unsafe {
        let current = &raw mut (*scratch).current;
        named(scratch, new[0], new[1]);
        start(scratch);
        (*current).attempt.ops = there;
        let walked = collect_end(scratch, new[1], new[0], DEPTH_MAX as u32);
        (*current).other_depth = (*current).depth;
        end(scratch, walked);
        (*current).attempt.ops = away;
        (*current).depth = 0;
        let walked = collect_end(scratch, old[1], old[0], 0);
        end(scratch, walked);
        (*current).attempt.ops = away | there;
        conclude(scratch, subject);
    }
}
