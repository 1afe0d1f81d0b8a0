//! `kernel_read_file` and `kernel_load_data`: code that the kernel takes in. Modules, firmware, another kernel.

use aya_ebpf::{macros::lsm, programs::LsmContext};
use stayhand_agent_ebpf::abi::{
    code::{op, request},
    task::Level,
};

use super::system::attempt;
use crate::{
    hooks::judged,
    offsets::{
        Addr, OFF_DENTRY_NAME, OFF_DENTRY_NAME_LEN, OFF_FILE_DENTRY, OFF_FILE_INODE,
        OFF_INODE_CTIME_NSEC, OFF_INODE_CTIME_SEC, OFF_INODE_SIZE, OFF_INODE_VERSION, load,
    },
    walk::identity,
};

/// `enum kernel_read_file_id` and `enum kernel_load_data_id` have the same values (include/linux/kernel_read_file.h).
/// Policies and certificates are other modules' business.
#[inline(always)]
fn operation(id: u32) -> u32 {
    match id {
        1 => op::FIRMWARE,
        2 => op::MODULE,
        3 | 4 => op::KEXEC,
        _ => 0,
    }
}

/// `kernel_read_file(struct file *file, enum kernel_read_file_id id, bool contents)`. An approval is bound to the file
/// and to its content, as that of a program is; the record has the file's name without its directories.
#[lsm(hook = "kernel_read_file")]
pub fn kernel_read_file(ctx: LsmContext) -> i32 {
    let (file, op): (Addr, u32) = (ctx.arg(0), operation(ctx.arg(1)));
    if op == 0 {
        return 0;
    }
    judged(&ctx, "kernel_read_file", |state, task| {
        attempt(state, task, op, |current, scratch| {
            // SAFETY: typed hook argument and what is walked from it; the scratch is live.
            unsafe {
                let inode: Addr = load(file, &OFF_FILE_INODE);
                (*current).object = identity(inode, 0);
                (*current).content = [
                    load::<u64>(inode, &OFF_INODE_SIZE),
                    load::<u64>(inode, &OFF_INODE_CTIME_SEC),
                    u64::from(load::<u32>(inode, &OFF_INODE_CTIME_NSEC)),
                    load::<u64>(inode, &OFF_INODE_VERSION),
                ];
                let dentry: Addr = load(file, &OFF_FILE_DENTRY);
                let first = (&raw mut (*scratch).levels).cast::<Level>();
                (*first).name_ptr = load(dentry, &OFF_DENTRY_NAME);
                (*first).name_len = load(dentry, &OFF_DENTRY_NAME_LEN);
                // One name; the highest level has none.
                (*current).depth = 2;
            }
        })
    })
}

/// `kernel_load_data(enum kernel_load_data_id id, bool contents)`: from memory, to which no approval can be bound.
#[lsm(hook = "kernel_load_data")]
pub fn kernel_load_data(ctx: LsmContext) -> i32 {
    let op = operation(ctx.arg(0));
    if op == 0 {
        return 0;
    }
    judged(&ctx, "kernel_load_data", |state, task| {
        attempt(state, task, op, |current, _| {
            // SAFETY: live scratch.
            unsafe {
                (*current).object.ino = request::FROM_MEMORY;
                (*current).unholdable = 1;
            }
        })
    })
}
