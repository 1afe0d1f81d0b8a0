//! System calls whose restart is shown to be without effect, and the operations for which: only these are held.
//!
//! One table for the hooks and for docs/actions.md, which names the scenario that shows each. x86-64 only.

use super::code::op;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its name
    pub name: &'static str,
    /// Number in the 64-bit table (arch/x86/entry/syscalls/syscall_64.tbl)
    pub number: u32,
    /// Number in the 32-bit table (syscall_32.tbl), if it is held there as well
    pub compat: Option<u32>,
    /// Operations for which it may be held, see [`op`]
    pub ops: u32,
}

const fn call(name: &'static str, number: u32, ops: u32) -> Call {
    Call {
        name,
        number,
        compat: None,
        ops,
    }
}

const fn also_32_bit(call: Call, compat: u32) -> Call {
    Call {
        compat: Some(compat),
        ..call
    }
}

const OPENS: u32 = op::READ | op::WRITE | op::CREATE;
const MOVES: u32 = op::RENAME | op::DELETE | op::CREATE | op::WRITE;

/// All of them. Calls that have the kernel ask on their way and make an error of their own out of a refusal are none.
pub const HELD: &[Call] = &[
    also_32_bit(call("open", 2, OPENS), 5),
    also_32_bit(call("creat", 85, op::WRITE | op::CREATE), 8),
    also_32_bit(call("openat", 257, OPENS), 295),
    call("openat2", 437, OPENS),
    call("execve", 59, op::EXEC),
    call("execveat", 322, op::EXEC),
    call("mmap", 9, op::MAP_EXEC),
    call("truncate", 76, op::WRITE),
    call("rename", 82, MOVES),
    call("renameat", 264, MOVES),
    call("renameat2", 316, MOVES),
    call("mkdir", 83, op::CREATE),
    call("mkdirat", 258, op::CREATE),
    call("rmdir", 84, op::DELETE),
    call("link", 86, op::LINK | op::CREATE),
    call("linkat", 265, op::LINK | op::CREATE),
    call("unlink", 87, op::DELETE),
    call("unlinkat", 263, op::DELETE),
    call("symlink", 88, op::CREATE),
    call("symlinkat", 266, op::CREATE),
    // A regular file comes to the hook of creations; a device is judged like a mount, too.
    call("mknod", 133, op::CREATE | op::WRITE | op::MOUNT),
    call("mknodat", 259, op::CREATE | op::WRITE | op::MOUNT),
    call("chmod", 90, op::ATTR),
    call("fchmod", 91, op::ATTR),
    call("fchmodat", 268, op::ATTR),
    call("chown", 92, op::ATTR),
    call("fchown", 93, op::ATTR),
    call("lchown", 94, op::ATTR),
    call("fchownat", 260, op::ATTR),
    call("removexattr", 197, op::ATTR),
    call("lremovexattr", 198, op::ATTR),
    call("fremovexattr", 199, op::ATTR),
    call("utimensat", 280, op::ATTR),
    call("connect", 42, op::CONNECT),
    call("sendto", 44, op::CONNECT | op::SEND | op::NETLINK),
    call("sendmsg", 46, op::CONNECT | op::SEND | op::NETLINK),
    // Of a unix socket it makes a name.
    call("bind", 49, op::BIND | op::CREATE),
    call("listen", 50, op::LISTEN),
    call("socket", 41, op::RAW),
    call("mount", 165, op::MOUNTS & !op::UMOUNT),
    call("umount2", 166, op::UMOUNT),
    call(
        "move_mount",
        429,
        op::MOUNT | op::BIND_MOUNT | op::MOVE_MOUNT,
    ),
    call("ptrace", 101, op::PTRACE),
    // To one process: of a group, others have had the signal when one is held. The hook looks.
    call("kill", 62, op::SIGNAL),
    call("tgkill", 234, op::SIGNAL),
    call("pidfd_send_signal", 424, op::SIGNAL),
    call("finit_module", 313, op::MODULE),
    call("setuid", 105, op::SETUID),
    call("setresuid", 117, op::SETUID),
    call("setresgid", 119, op::SETUID),
    call("unshare", 272, op::NAMESPACE),
    call("settimeofday", 164, op::TIME),
    call("clock_settime", 227, op::TIME),
];

/// Above every number in [`HELD`].
const NUMBERS: usize = 512;

#[expect(
    clippy::indexing_slicing,
    reason = "at compile time: what is out of bounds does not compile"
)]
const fn by_number(compat: bool) -> [u32; NUMBERS] {
    let mut ops = [0; NUMBERS];
    let mut index = 0;
    while index < HELD.len() {
        let call = HELD[index];
        match (compat, call.compat) {
            (false, _) => ops[call.number as usize] = call.ops,
            (true, Some(number)) => ops[number as usize] = call.ops,
            (true, None) => {}
        }
        index += 1;
    }
    ops
}

static LONG: [u32; NUMBERS] = by_number(false);
static COMPAT: [u32; NUMBERS] = by_number(true);

/// Operations for which a call may be held, none for one that is not on the list.
#[inline(always)]
pub fn held_for(number: u64, compat: bool) -> u32 {
    let Ok(index) = usize::try_from(number) else {
        return 0;
    };
    let table = if compat { &COMPAT } else { &LONG };
    table.get(index).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_are_not_on_the_list_are_held_for_nothing() {
        // io_uring_enter, setxattr, the 32-bit execve, and what no table has.
        for (number, compat) in [
            (426, false),
            (188, false),
            (11, true),
            (512, false),
            (1 << 32 | 2, false),
        ] {
            assert_eq!(held_for(number, compat), 0, "{number} {compat}");
        }
    }

    #[test]
    fn every_call_on_the_list_is_found_by_its_number_alone() {
        for (index, call) in HELD.iter().enumerate() {
            assert_eq!(
                held_for(u64::from(call.number), false),
                call.ops,
                "{}",
                call.name
            );
            assert!(
                HELD.iter()
                    .skip(index + 1)
                    .all(|other| other.number != call.number && other.name != call.name)
            );
            if let Some(number) = call.compat {
                assert_eq!(held_for(u64::from(number), true), call.ops, "{}", call.name);
            }
        }
    }
}
