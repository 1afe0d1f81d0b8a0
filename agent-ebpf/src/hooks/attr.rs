//! Changes of mode, owner, times, extended attributes, access lists and inode flags; and the truncation by name,
//! which is an attempt to write. What a call does to a file that it has open for writing was judged at the open.

use core::ffi::c_void;

use aya_ebpf::{
    EbpfContext as _, helpers::generated::bpf_probe_read_kernel_str, macros::lsm,
    programs::LsmContext,
};
use stayhand_agent_ebpf::abi::{
    code::{hook, op},
    task::{NAME_MAX, Scratch, TaskState},
};

use crate::{
    hold::EPERM,
    hooks::{act, judged},
    judge::{Begun, begin_at, judge},
    offsets::{
        ARG_SETATTR_SHIFT, Addr, OFF_DENTRY_INODE, OFF_FILE_DENTRY, OFF_IATTR_ATIME, OFF_IATTR_GID,
        OFF_IATTR_MODE, OFF_IATTR_MTIME, OFF_IATTR_SIZE, OFF_IATTR_UID, OFF_IATTR_VALID, load,
    },
    walk::{collect, here, identity_here, name_hash},
};

// `ia_valid` (include/linux/fs.h).
const ATTR_MODE: u32 = 1 << 0;
const ATTR_UID: u32 = 1 << 1;
const ATTR_GID: u32 = 1 << 2;
const ATTR_SIZE: u32 = 1 << 3;
const ATTR_ATIME_SET: u32 = 1 << 7;
const ATTR_MTIME_SET: u32 = 1 << 8;
/// By the kernel itself, for instance to drop set-uid bits on a write.
const ATTR_FORCE: u32 = 1 << 9;
/// On an open file: its open for writing was judged.
const ATTR_FILE: u32 = 1 << 13;
/// Truncation by `open(O_TRUNC)`, which `file_open` has judged.
const ATTR_OPEN: u32 = 1 << 15;

/// `FS_IOC_SETFLAGS`, its 32-bit form, and `FS_IOC_FSSETXATTR` (include/uapi/linux/fs.h).
const SET_FLAGS: [u32; 3] = [0x4008_6602, 0x4004_6602, 0x401c_5820];

/// `inode_setattr([struct mnt_idmap *idmap,] struct dentry *dentry, struct iattr *attr)`
#[lsm(hook = "inode_setattr")]
pub fn inode_setattr(ctx: LsmContext) -> i32 {
    // SAFETY: three slots of the context; where the hook has two arguments the third is the return value. Volatile
    // and before the branch: LLVM would choose between addresses, which the verifier forbids.
    let [first, second, third]: [Addr; 3] = unsafe {
        let slots = ctx.as_ptr().cast::<Addr>();
        [
            core::ptr::read_volatile(slots),
            core::ptr::read_volatile(slots.add(1)),
            core::ptr::read_volatile(slots.add(2)),
        ]
    };
    let (dentry, attributes) = if ARG_SETATTR_SHIFT.load() == 0 {
        (first, second)
    } else {
        (second, third)
    };
    judged(&ctx, "inode_setattr", |state, task| {
        set(state, task, dentry, attributes)
    })
}

#[inline(always)]
fn set(state: *mut TaskState, task: Addr, dentry: Addr, attributes: Addr) -> i32 {
    // SAFETY: typed hook argument.
    let valid: u32 = unsafe { load(attributes, &OFF_IATTR_VALID) };
    if valid & (ATTR_FORCE | ATTR_OPEN) != 0 || valid & ATTR_SIZE != 0 && valid & ATTR_FILE != 0 {
        return 0;
    }
    let ops = if valid & ATTR_SIZE != 0 {
        op::WRITE
    } else {
        op::ATTR
    };
    // Times are bound by the second, and to nothing that changes together with an owner or a size.
    // SAFETY: typed hook argument; members that are not valid are not used.
    let content = unsafe {
        let mode = u64::from(load::<u16>(attributes, &OFF_IATTR_MODE));
        let uid = u64::from(load::<u32>(attributes, &OFF_IATTR_UID));
        let gid = u64::from(load::<u32>(attributes, &OFF_IATTR_GID));
        let size: u64 = load(attributes, &OFF_IATTR_SIZE);
        let atime: u64 = load(attributes, &OFF_IATTR_ATIME);
        let mtime: u64 = load(attributes, &OFF_IATTR_MTIME);
        [
            u64::from(valid) << 32 | if valid & ATTR_MODE != 0 { mode } else { 0 },
            if valid & ATTR_UID != 0 {
                uid << 1 | 1
            } else if valid & ATTR_ATIME_SET != 0 {
                atime
            } else {
                0
            },
            if valid & ATTR_GID != 0 {
                gid << 1 | 1
            } else {
                0
            },
            if valid & ATTR_SIZE != 0 {
                size
            } else if valid & ATTR_MTIME_SET != 0 {
                mtime
            } else {
                0
            },
        ]
    };
    change(state, task, dentry, ops, content, 0)
}

/// `inode_setxattr(struct mnt_idmap *idmap, struct dentry *dentry, const char *name, const void *value, size_t size,
/// int flags)`: the verifier gives no program the value of a `const void *`, so an approval cannot be bound to it and the
/// call is not held.
#[lsm(hook = "inode_setxattr")]
pub fn inode_setxattr(ctx: LsmContext) -> i32 {
    named_attribute(&ctx, "inode_setxattr", Value::Unknown)
}

/// `inode_removexattr(struct mnt_idmap *idmap, struct dentry *dentry, const char *name)`
#[lsm(hook = "inode_removexattr")]
pub fn inode_removexattr(ctx: LsmContext) -> i32 {
    named_attribute(&ctx, "inode_removexattr", Value::None)
}

/// `inode_set_acl(struct mnt_idmap *idmap, struct dentry *dentry, const char *acl_name, struct posix_acl *kacl)`: the
/// list is not read, so the call is not held.
#[lsm(hook = "inode_set_acl")]
pub fn inode_set_acl(ctx: LsmContext) -> i32 {
    named_attribute(&ctx, "inode_set_acl", Value::Unknown)
}

/// `inode_remove_acl(struct mnt_idmap *idmap, struct dentry *dentry, const char *acl_name)`
#[lsm(hook = "inode_remove_acl")]
pub fn inode_remove_acl(ctx: LsmContext) -> i32 {
    named_attribute(&ctx, "inode_remove_acl", Value::None)
}

/// What an attribute gets.
#[derive(Clone, Copy)]
enum Value {
    /// It is taken away
    None,
    /// Nothing that could be bound to an approval
    Unknown,
}

#[inline(always)]
fn named_attribute(ctx: &LsmContext, hook: &'static str, value: Value) -> i32 {
    judged(ctx, hook, |state, task| {
        let unknown = u64::from(matches!(value, Value::Unknown));
        change(
            state,
            task,
            ctx.arg(1),
            op::ATTR,
            [ctx.arg(2), unknown, 0, 0],
            1,
        )
    })
}

/// `file_ioctl(struct file *file, unsigned int cmd, unsigned long arg)`: inode flags such as immutable.
#[lsm(hook = "file_ioctl")]
pub fn file_ioctl(ctx: LsmContext) -> i32 {
    flags(&ctx, "file_ioctl")
}

/// The same by the 32-bit call.
#[lsm(hook = "file_ioctl_compat")]
pub fn file_ioctl_compat(ctx: LsmContext) -> i32 {
    flags(&ctx, "file_ioctl_compat")
}

#[inline(always)]
fn flags(ctx: &LsmContext, hook: &'static str) -> i32 {
    let command: u32 = ctx.arg(1);
    if !SET_FLAGS.contains(&command) {
        return 0;
    }
    judged(ctx, hook, |state, task| {
        let file: Addr = ctx.arg(0);
        // SAFETY: typed hook argument; an open file has a dentry.
        let dentry: Addr = unsafe { load(file, &OFF_FILE_DENTRY) };
        let content = [u64::from(command), 0, 0, 0];
        change(state, task, dentry, op::ATTR, content, 0)
    })
}

/// `with_name`: the first of `content` is the kernel address of a name, the second says that its value is unknown.
#[inline(always)]
fn change(
    state: *mut TaskState,
    task: Addr,
    dentry: Addr,
    ops: u32,
    content: [u64; 4],
    with_name: u32,
) -> i32 {
    // SAFETY: typed hook argument and the inode walked from it; the scratch is live.
    unsafe {
        let inode: Addr = load(dentry, &OFF_DENTRY_INODE);
        if inode.is_null() {
            return EPERM;
        }
        let Begun { scratch, subject } = match begin_at(state, hook::INODE_ATTR, ops, dentry, inode)
        {
            Ok(begun) => begun,
            Err(verdict) => return verdict,
        };
        (*scratch).current.object = identity_here(here(scratch), inode);
        (*scratch).current.content = if with_name == 0 {
            content
        } else {
            attribute(scratch, content)
        };
        let walked = collect(scratch, dentry, inode);
        judge(scratch, subject, walked);
        act(scratch, task)
    }
}

/// Hash of an attribute's name. A longer name, or an unknown value, cannot be bound to an approval.
#[inline(always)]
unsafe fn attribute(scratch: *mut Scratch, content: [u64; 4]) -> [u64; 4] {
    let [name, unknown, ..] = content;
    // SAFETY: the scratch buffer has 264 bytes; helpers check the address; the scratch is live.
    unsafe {
        let buffer = (&raw mut (*scratch).name).cast::<c_void>();
        let len = bpf_probe_read_kernel_str(buffer, NAME_MAX as u32 + 1, name as *const c_void);
        if len <= 0 || len > NAME_MAX as i64 || unknown != 0 {
            (*scratch).current.unholdable = 1;
            return [0; 4];
        }
        [name_hash(scratch, name, len as u32).unwrap_or(0), 1, 0, 0]
    }
}
