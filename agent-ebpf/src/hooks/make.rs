//! `inode_mkdir`, `inode_mknod` and `inode_symlink`: a new name that is no regular file. An attempt to create,
//! without an open. A node of a device is a way to that device at another place, as a mount is: it is judged as one, too.

use core::ffi::c_void;

use aya_ebpf::{helpers::generated::bpf_probe_read_kernel_str, macros::lsm, programs::LsmContext};
use stayhand_agent_ebpf::abi::{
    code::{hook, op},
    task::{NAME_MAX, Scratch, TaskState},
};

use crate::{
    hooks::{act, judged, named},
    judge::{Begun, begin_at, judge},
    offsets::Addr,
    walk::{collect, here, identity_here, name_hash},
};

// Types of files (include/uapi/linux/stat.h).
const S_IFMT: u64 = 0o170_000;
const S_IFCHR: u64 = 0o020_000;
const S_IFBLK: u64 = 0o060_000;

/// What is made, beyond its name; part of what an approval is bound to.
#[derive(Clone, Copy)]
struct Made {
    mode: u64,
    device: u64,
    /// Kernel address of a symbolic link's target, 0 for none
    target: u64,
}

/// `inode_mkdir(struct inode *dir, struct dentry *dentry, umode_t mode)`
#[lsm(hook = "inode_mkdir")]
pub fn inode_mkdir(ctx: LsmContext) -> i32 {
    let mode = ctx.arg::<u64>(2) & 0xffff;
    judged(&ctx, "inode_mkdir", |state, task| {
        let made = Made {
            mode,
            device: u64::MAX,
            target: 0,
        };
        make(state, task, ctx.arg(0), ctx.arg(1), made, op::CREATE)
    })
}

/// `inode_mknod(struct inode *dir, struct dentry *dentry, umode_t mode, dev_t dev)`
#[lsm(hook = "inode_mknod")]
pub fn inode_mknod(ctx: LsmContext) -> i32 {
    let (mode, device) = (ctx.arg::<u64>(2) & 0xffff, ctx.arg::<u64>(3) & 0xffff_ffff);
    judged(&ctx, "inode_mknod", |state, task| {
        let made = Made {
            mode,
            device,
            target: 0,
        };
        let operations = if leads_to_a_device(mode, device) {
            op::CREATE | op::MOUNT
        } else {
            op::CREATE
        };
        make(state, task, ctx.arg(0), ctx.arg(1), made, operations)
    })
}

/// `inode_symlink(struct inode *dir, struct dentry *dentry, const char *old_name)`
#[lsm(hook = "inode_symlink")]
pub fn inode_symlink(ctx: LsmContext) -> i32 {
    judged(&ctx, "inode_symlink", |state, task| {
        let made = Made {
            mode: 0,
            device: 0,
            target: ctx.arg(2),
        };
        make(state, task, ctx.arg(0), ctx.arg(1), made, op::CREATE)
    })
}

/// A character device of number 0 is none: overlays note what is gone with it.
#[inline(always)]
fn leads_to_a_device(mode: u64, device: u64) -> bool {
    match mode & S_IFMT {
        S_IFBLK => true,
        S_IFCHR => device != 0,
        _ => false,
    }
}

#[inline(always)]
fn make(
    state: *mut TaskState,
    task: Addr,
    directory: Addr,
    dentry: Addr,
    made: Made,
    operations: u32,
) -> i32 {
    // SAFETY: typed hook arguments.
    let begun = unsafe { begin_at(state, hook::INODE_MAKE, operations, dentry, directory) };
    let Begun { scratch, subject } = match begun {
        Ok(begun) => begun,
        Err(verdict) => return verdict,
    };
    // SAFETY: typed hook arguments; the scratch is live.
    unsafe {
        (*scratch).current.object = identity_here(here(scratch), directory);
        let target = text_hash(scratch, made.target);
        (*scratch).current.content = [made.mode, made.device, target, 0];
        named(scratch, directory, dentry);
        let walked = collect(scratch, dentry, directory);
        judge(scratch, subject, walked);
    }
    act(scratch, task)
}

/// Hash of a string in the kernel, 0 for none. One that is longer than a component cannot be bound to an approval.
///
/// # Safety
/// `scratch` must be live.
#[inline(always)]
pub(super) unsafe fn text_hash(scratch: *mut Scratch, pointer: u64) -> u64 {
    if pointer == 0 {
        return 0;
    }
    // SAFETY: the scratch buffer has 264 bytes; the helper checks the address.
    unsafe {
        let buffer = (&raw mut (*scratch).name).cast::<c_void>();
        let read = bpf_probe_read_kernel_str(buffer, NAME_MAX as u32 + 1, pointer as *const c_void);
        if read <= 0 || read > NAME_MAX as i64 {
            (*scratch).current.unholdable = 1;
            return 0;
        }
        name_hash(scratch, pointer, read as u32).unwrap_or(0)
    }
}
