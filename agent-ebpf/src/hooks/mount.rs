//! `sb_mount`, `sb_umount`, `sb_remount`: what is mounted where. Judged by the rules of the mount point, which carries
//! the label of its path whether or not something is mounted on it.

use aya_ebpf::{macros::lsm, programs::LsmContext};
use stayhand_agent_ebpf::abi::{
    code::{hook, op},
    task::{Scratch, TaskState},
};

use super::make::text_hash;
use crate::{
    arch::Call,
    hold::EPERM,
    hooks::{act, judged},
    judge::{Begun, begin, judge},
    offsets::{Addr, OFF_DENTRY_INODE, OFF_PATH_DENTRY, OFF_SB_ROOT, OFF_VFSMOUNT_ROOT, load},
    walk::{collect, file_system_of, here, identity_here},
};

// Mount flags (include/uapi/linux/mount.h).
const MS_REMOUNT: u64 = 1 << 5;
const MS_BIND: u64 = 1 << 12;
const MS_MOVE: u64 = 1 << 13;
const MS_UNBINDABLE: u64 = 1 << 17;
const MS_PRIVATE: u64 = 1 << 18;
const MS_SLAVE: u64 = 1 << 19;
const MS_SHARED: u64 = 1 << 20;
const PROPAGATION: u64 = MS_UNBINDABLE | MS_PRIVATE | MS_SLAVE | MS_SHARED;
/// Below it are control characters: options that begin with one are no text but a structure.
const FIRST_OF_TEXT: u8 = 0x20;

/// What is asked beyond place and operation.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    /// Flags
    pub(super) flags: u64,
    /// Kernel addresses of source, type and options, 0 for none
    pub(super) texts: [u64; 3],
}

/// `sb_mount(const char *dev_name, const struct path *path, const char *type, unsigned long flags, void *data)`: the
/// first thing that `mount` does once its mount point is found.
#[lsm(hook = "sb_mount")]
pub fn sb_mount(ctx: LsmContext) -> i32 {
    judged(&ctx, "sb_mount", |state, task| {
        let (path, flags): (Addr, u64) = (ctx.arg(1), ctx.arg(3));
        let texts = [ctx.arg(0), ctx.arg(2), ctx.arg(4)];
        // SAFETY: typed hook argument.
        let dentry: Addr = unsafe { load(path, &OFF_PATH_DENTRY) };
        at(
            state,
            task,
            dentry,
            operation(flags),
            Asked { flags, texts },
        )
    })
}

/// `sb_umount(struct vfsmount *mnt, int flags)`
#[lsm(hook = "sb_umount")]
pub fn sb_umount(ctx: LsmContext) -> i32 {
    judged(&ctx, "sb_umount", |state, task| {
        let (mount, flags): (Addr, u32) = (ctx.arg(0), ctx.arg(1));
        let flags = u64::from(flags);
        // SAFETY: typed hook argument.
        let dentry: Addr = unsafe { load(mount, &OFF_VFSMOUNT_ROOT) };
        at(
            state,
            task,
            dentry,
            op::UMOUNT,
            Asked {
                flags,
                texts: [0; 3],
            },
        )
    })
}

/// `sb_remount(struct super_block *sb, void *mnt_opts)`: a file system gets other options by `fsconfig`. By `mount`, that
/// was judged before.
#[lsm(hook = "sb_remount")]
pub fn sb_remount(ctx: LsmContext) -> i32 {
    judged(&ctx, "sb_remount", |state, task| {
        if Call::current(task).is_mount() {
            return 0;
        }
        let sb: Addr = ctx.arg(0);
        // SAFETY: typed hook argument.
        let dentry: Addr = unsafe { load(sb, &OFF_SB_ROOT) };
        at(
            state,
            task,
            dentry,
            op::REMOUNT,
            Asked {
                flags: 0,
                texts: [0; 3],
            },
        )
    })
}

/// In the order in which the kernel looks at the flags (fs/namespace.c, `path_mount`).
#[inline(always)]
fn operation(flags: u64) -> u32 {
    if flags & MS_REMOUNT != 0 {
        op::REMOUNT
    } else if flags & MS_BIND != 0 {
        op::BIND_MOUNT
    } else if flags & PROPAGATION != 0 {
        op::REMOUNT
    } else if flags & MS_MOVE != 0 {
        op::MOVE_MOUNT
    } else {
        op::MOUNT
    }
}

#[inline(always)]
fn at(state: *mut TaskState, task: Addr, dentry: Addr, ops: u32, asked: Asked) -> i32 {
    let Begun { scratch, subject } = match begin(state, hook::MOUNT, ops) {
        Ok(begun) => begun,
        Err(verdict) => return verdict,
    };
    // SAFETY: a typed dentry and its inode; the scratch is live.
    unsafe {
        let inode: Addr = load(dentry, &OFF_DENTRY_INODE);
        if inode.is_null() {
            return EPERM;
        }
        file_system_of(here(scratch), inode);
        (*scratch).current.object = identity_here(here(scratch), inode);
        (*scratch).current.content = bound(scratch, asked);
        let walked = collect(scratch, dentry, inode);
        judge(scratch, subject, walked);
    }
    act(scratch, task)
}

/// What an approval is bound to. Options that are a structure, and whatever is too long, cannot be.
#[inline(always)]
unsafe fn bound(scratch: *mut Scratch, asked: Asked) -> [u64; 4] {
    let [source, kind, options] = asked.texts;
    // SAFETY: the scratch is live; the last text that was read lies in its buffer.
    unsafe {
        let hashes = [
            text_hash(scratch, source),
            text_hash(scratch, kind),
            text_hash(scratch, options),
        ];
        let first = core::ptr::read_volatile((&raw const (*scratch).name).cast::<u8>());
        if options != 0 && first < FIRST_OF_TEXT && first != 0 {
            (*scratch).current.unholdable = 1;
        }
        [asked.flags, hashes[0], hashes[1], hashes[2]]
    }
}
