//! `move_mount` and `sb_pivotroot`: a mount comes to a place. Judged by the rules of that place.

use core::ffi::c_void;

use aya_ebpf::{helpers::generated::bpf_probe_read_kernel, macros::lsm, programs::LsmContext};
use stayhand_agent_ebpf::abi::{
    code::{hook, op},
    task::TaskState,
};

use crate::{
    hold::EPERM,
    hooks::{act, judged, slot},
    judge::{Begun, begin, judge},
    offsets::{
        Addr, OFF_DENTRY_INODE, OFF_MOUNT_PARENT, OFF_MOUNT_VFSMOUNT, OFF_PATH_DENTRY,
        OFF_PATH_MOUNT, load,
    },
    walk::{collect, identity},
};

/// `move_mount(const struct path *from_path, const struct path *to_path)`. A mount that is nowhere yet comes from
/// `fsmount` or from `open_tree`, and the kernel does not tell from which: it is a new mount and a bind mount at once.
#[lsm(hook = "move_mount")]
pub fn move_mount(ctx: LsmContext) -> i32 {
    judged(&ctx, "move_mount", |state, task| {
        let (from, to): (Addr, Addr) = (ctx.arg(0), ctx.arg(1));
        // SAFETY: typed hook argument; the state is live.
        let ops = if unsafe { is_attached(state, from) } {
            op::MOVE_MOUNT
        } else {
            op::MOUNT | op::BIND_MOUNT
        };
        moved(state, task, from, to, ops)
    })
}

/// `sb_pivotroot(const struct path *old_path, const struct path *new_path)`: the root that was goes to the old path.
#[lsm(hook = "sb_pivotroot")]
pub fn sb_pivotroot(ctx: LsmContext) -> i32 {
    judged(&ctx, "sb_pivotroot", |state, task| {
        moved(state, task, ctx.arg(1), ctx.arg(0), op::MOVE_MOUNT)
    })
}

/// Whether a mount has a place: else it is its own parent (`mnt_has_parent`, fs/mount.h). What cannot be read has none,
/// and is judged as new.
#[inline(always)]
unsafe fn is_attached(state: *mut TaskState, path: Addr) -> bool {
    // SAFETY: typed hook argument; `struct mount` around it is read by a checked helper. Through memory, where an
    // address is a number: the verifier allows no way out of a structure.
    unsafe {
        let place = &raw mut (*state).here.beginning;
        core::ptr::write_volatile(place, load(path, &OFF_PATH_MOUNT));
        let mount =
            core::ptr::read_volatile(place).wrapping_sub(u64::from(OFF_MOUNT_VFSMOUNT.load()));
        let parent = mount.wrapping_add(u64::from(OFF_MOUNT_PARENT.load()));
        let mut found = mount;
        bpf_probe_read_kernel((&raw mut found).cast(), 8, parent as *const c_void) == 0
            && found != mount
    }
}

#[inline(always)]
fn moved(state: *mut TaskState, task: Addr, from: Addr, to: Addr, ops: u32) -> i32 {
    let Begun { scratch, subject } = match begin(state, hook::MOUNT, ops) {
        Ok(begun) => begun,
        Err(verdict) => return verdict,
    };
    // SAFETY: typed hook arguments and what is walked from them; the scratch is live.
    unsafe {
        let (source, dentry): (Addr, Addr) =
            (load(from, &OFF_PATH_DENTRY), load(to, &OFF_PATH_DENTRY));
        let (mounted, inode): (Addr, Addr) = (
            load(source, &OFF_DENTRY_INODE),
            load(dentry, &OFF_DENTRY_INODE),
        );
        if mounted.is_null() || inode.is_null() {
            return EPERM;
        }
        (*scratch).current.object = identity(inode, slot(scratch));
        (*scratch).current.other = identity(mounted, slot(scratch));
        let walked = collect(scratch, dentry, inode);
        judge(scratch, subject, walked);
    }
    act(scratch, task)
}
