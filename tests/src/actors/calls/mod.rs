//! Any system call by its name, with arguments in words: `call NAME ARGUMENT…`, and `call32 NUMBER ARGUMENT…` for
//! the 32-bit table.
//!
//! Results are the kernel's, but for new descriptors and mappings, which become 0: they are closed at the next call.
#![expect(
    unsafe_code,
    reason = "raw system calls, whose pointers lead into `Memory`"
)]

mod arguments;

use std::{cell::RefCell, os::fd::OwnedFd};

use self::arguments::Memory;
use super::{
    compat,
    puppet::Line,
    sys::{self, Ret, c},
};

const EINVAL: Ret = -(libc::EINVAL as Ret);
/// Arguments of a system call.
const ARGUMENTS: usize = 6;

thread_local! {
    /// What the last call made: a test may want to see its effect.
    static KEPT: RefCell<Vec<OwnedFd>> = const { RefCell::new(vec![]) };
}

/// Numbers by name. Later calls (6.6) are named by their number, which libraries do not know yet.
const NUMBERS: &[(&str, libc::c_long)] = &[
    ("open", libc::SYS_open),
    ("openat", libc::SYS_openat),
    ("mmap", libc::SYS_mmap),
    ("mprotect", libc::SYS_mprotect),
    ("pkey_mprotect", libc::SYS_pkey_mprotect),
    ("ioctl", libc::SYS_ioctl),
    ("sendto", libc::SYS_sendto),
    ("sendmsg", libc::SYS_sendmsg),
    ("sendmmsg", libc::SYS_sendmmsg),
    ("bind", libc::SYS_bind),
    ("connect", libc::SYS_connect),
    ("listen", libc::SYS_listen),
    ("socket", libc::SYS_socket),
    ("truncate", libc::SYS_truncate),
    ("ftruncate", libc::SYS_ftruncate),
    ("rename", libc::SYS_rename),
    ("renameat", libc::SYS_renameat),
    ("renameat2", libc::SYS_renameat2),
    ("mkdir", libc::SYS_mkdir),
    ("mkdirat", libc::SYS_mkdirat),
    ("rmdir", libc::SYS_rmdir),
    ("link", libc::SYS_link),
    ("linkat", libc::SYS_linkat),
    ("unlink", libc::SYS_unlink),
    ("unlinkat", libc::SYS_unlinkat),
    ("symlink", libc::SYS_symlink),
    ("symlinkat", libc::SYS_symlinkat),
    ("chmod", libc::SYS_chmod),
    ("fchmod", libc::SYS_fchmod),
    ("fchmodat", libc::SYS_fchmodat),
    ("fchmodat2", 452),
    ("chown", libc::SYS_chown),
    ("fchown", libc::SYS_fchown),
    ("lchown", libc::SYS_lchown),
    ("fchownat", libc::SYS_fchownat),
    ("mknod", libc::SYS_mknod),
    ("mknodat", libc::SYS_mknodat),
    ("utimensat", libc::SYS_utimensat),
    ("utime", libc::SYS_utime),
    ("utimes", libc::SYS_utimes),
    ("futimesat", libc::SYS_futimesat),
    ("setxattr", libc::SYS_setxattr),
    ("lsetxattr", libc::SYS_lsetxattr),
    ("fsetxattr", libc::SYS_fsetxattr),
    ("removexattr", libc::SYS_removexattr),
    ("lremovexattr", libc::SYS_lremovexattr),
    ("fremovexattr", libc::SYS_fremovexattr),
    ("personality", libc::SYS_personality),
];

/// Makes the call.
pub fn call(line: &Line) -> Ret {
    KEPT.with_borrow_mut(Vec::clear);
    let number = NUMBERS.iter().find(|(name, _)| *name == line.text(1));
    let Some((name, number)) = number else {
        return EINVAL;
    };
    let mut memory = Memory::default();
    let mut arguments = [0; ARGUMENTS];
    for (argument, word) in arguments.iter_mut().zip(line.rest(2)) {
        match memory.argument(word) {
            Ok(value) => *argument = value,
            Err(error) => return error,
        }
    }
    let [first, second, third, fourth, fifth, sixth] = arguments;
    let result = sys::call!(*number, first, second, third, fourth, fifth, sixth);
    KEPT.with_borrow_mut(|kept| kept.append(&mut memory.descriptors));
    match *name {
        "open" | "openat" | "socket" if result >= 0 => {
            KEPT.with_borrow_mut(|kept| kept.extend(sys::owned(result)));
            0
        }
        "mmap" if result >= 0 => 0,
        _ => result,
    }
}

/// The same in the 32-bit table: paths and numbers only.
pub fn call32(line: &Line) -> Ret {
    let mut arguments = [0; 4];
    for (argument, word) in arguments.iter_mut().zip(line.rest(2)) {
        let value = if word.starts_with('/') {
            compat::low_copy(&c(word))
        } else if let Some(path) = word.strip_prefix("fd:") {
            // A handful for each puppet, and never closed.
            u32::try_from(sys::open(&c(path), libc::O_RDONLY, 0)).ok()
        } else {
            word.parse().ok()
        };
        let Some(value) = value else { return EINVAL };
        *argument = value;
    }
    let [first, second, third, fourth] = arguments;
    compat::int80(line.number(1), first, second, third, fourth)
}
