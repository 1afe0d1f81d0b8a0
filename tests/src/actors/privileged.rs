//! What root can ask of the kernel, and of other processes: each verb is one call, or the few that lead to it.
#![expect(unsafe_code, reason = "raw system calls; that is what is tested")]

use std::os::fd::AsRawFd as _;

use super::{
    puppet::Line,
    sys::{self, Ret, c, call},
};

// The new calls for mounts (include/uapi/linux/mount.h).
const FSCONFIG_CMD_CREATE: u32 = 6;
const FSCONFIG_CMD_RECONFIGURE: u32 = 7;
const FSCONFIG_SET_FLAG: u32 = 0;
const MOVE_MOUNT_F_EMPTY_PATH: u32 = 4;
const OPEN_TREE_CLONE: u32 = 1;
/// `adjtimex` is asked for the tick that is there: a change of nothing, which needs the right all the same.
const ADJ_TICK: u32 = 0x4000;

/// Carries out a line; none if the verb is another file's.
pub fn act(line: &Line) -> Option<Ret> {
    on_processes(line)
        .or_else(|| of_the_kernel(line))
        .or_else(|| on_mounts(line))
}

fn on_processes(line: &Line) -> Option<Ret> {
    let pid: i32 = line.number(1);
    Some(match line.verb() {
        "seize" => call!(libc::SYS_ptrace, libc::PTRACE_SEIZE, pid, 0, 0),
        "vm-read" => vm(libc::SYS_process_vm_readv, pid, line.number(2)),
        "vm-write" => vm(libc::SYS_process_vm_writev, pid, line.number(2)),
        "tgkill" => call!(libc::SYS_tgkill, pid, pid, line.number::<i32>(2)),
        "pidfd-kill" => match sys::pidfd(pid.cast_unsigned()) {
            Some(fd) => call!(
                libc::SYS_pidfd_send_signal,
                fd.as_raw_fd(),
                line.number::<i32>(2),
                0,
                0
            ),
            None => -Ret::from(libc::ESRCH),
        },
        "trace-me" => call!(libc::SYS_ptrace, libc::PTRACE_TRACEME, 0, 0, 0),
        "regain" => {
            let dropped = call!(libc::SYS_setresuid, -1, line.number::<i32>(1), -1);
            if dropped < 0 {
                return Some(dropped);
            }
            call!(libc::SYS_setresuid, -1, 0, -1)
        }
        "regain-group" => {
            let dropped = call!(libc::SYS_setresgid, -1, line.number::<i32>(1), -1);
            if dropped < 0 {
                return Some(dropped);
            }
            call!(libc::SYS_setresgid, -1, 0, -1)
        }
        "regain-by-setuid" => {
            let dropped = call!(libc::SYS_setresuid, -1, line.number::<i32>(1), -1);
            if dropped < 0 {
                return Some(dropped);
            }
            call!(libc::SYS_setuid, 0)
        }
        _ => return None,
    })
}

/// Eight bytes of another process's memory.
fn vm(number: libc::c_long, pid: i32, address: u64) -> Ret {
    let mut bytes = [0u8; 8];
    let own = [bytes.as_mut_ptr() as u64, 8];
    let other = [address, 8];
    // Words of the whole width: the last one travels on the stack.
    call!(number, pid, own.as_ptr(), 1u64, other.as_ptr(), 1u64, 0u64)
}

fn of_the_kernel(line: &Line) -> Option<Ret> {
    let path = c(line.text(1));
    Some(match line.verb() {
        "bpf" => bpf(line.number(1)),
        "perf" => perf(),
        "load-module" => match std::fs::File::open(line.text(1)) {
            Ok(file) => {
                use std::os::fd::AsFd as _;
                let packed = std::path::Path::new(line.text(1))
                    .extension()
                    .is_some_and(|extension| extension == "xz");
                sys::load_module(file.as_fd(), packed)
            }
            Err(error) => -Ret::from(error.raw_os_error().unwrap_or(libc::EIO)),
        },
        // No module at all: it is asked about before it is looked at.
        "load-module-from-memory" => {
            call!(libc::SYS_init_module, [0u8; 64].as_ptr(), 64, c"".as_ptr())
        }
        "unload-module" => sys::unload_module(&path),
        // Nothing to load: an unload, which is asked about as well.
        "kexec" => call!(libc::SYS_kexec_load, 0, 0, 0, 0),
        "swapon" => call!(libc::SYS_swapon, path.as_ptr(), 0),
        "swapoff" => call!(libc::SYS_swapoff, path.as_ptr()),
        // Without its magic numbers: an error right after the question.
        "reboot" => call!(libc::SYS_reboot, 0, 0, 0, 0),
        "clock-settime" => {
            let time = [line.number::<i64>(1), 0];
            call!(libc::SYS_clock_settime, libc::CLOCK_REALTIME, time.as_ptr())
        }
        "settimeofday" => {
            let time = [line.number::<i64>(1), 0];
            call!(libc::SYS_settimeofday, time.as_ptr(), 0)
        }
        // No time at all.
        "time-zone" => call!(libc::SYS_settimeofday, 0u64, [0u32; 2].as_ptr()),
        "adjtimex" => {
            // `struct timex`: `modes` is the first member, `tick` the twelfth word.
            let mut request = [0i64; 26];
            request[0] = ADJ_TICK.into();
            request[11] = 10_000;
            call!(libc::SYS_adjtimex, request.as_mut_ptr())
        }
        _ => return None,
    })
}

/// Asks for a map of one entry (command 0), or for anything else without attributes.
fn bpf(command: u32) -> Ret {
    // `map_type` array, sizes of key and value, entries.
    let attributes: [u32; 32] = std::array::from_fn(|index| match index {
        0 => 2,
        1 | 2 => 4,
        3 => 1,
        _ => 0,
    });
    let made = call!(
        libc::SYS_bpf,
        command,
        attributes.as_ptr(),
        size_of_val(&attributes)
    );
    closed(made)
}

fn perf() -> Ret {
    /// `PERF_TYPE_SOFTWARE`, and the size of the first version of the structure.
    const ATTRIBUTES: u64 = 1 | 64 << 32;
    /// `PERF_COUNT_SW_TASK_CLOCK`
    const TASK_CLOCK: u64 = 1;
    let attributes = [ATTRIBUTES, TASK_CLOCK, 0, 0, 0, 0, 0, 0];
    closed(call!(
        libc::SYS_perf_event_open,
        attributes.as_ptr(),
        0,
        -1,
        -1,
        0u64
    ))
}

/// 0 for a descriptor, which is closed.
fn closed(result: Ret) -> Ret {
    sys::owned(result).map_or(result, |_| 0)
}

fn on_mounts(line: &Line) -> Option<Ret> {
    let (a, b) = (c(line.text(1)), c(line.text(2)));
    Some(match line.verb() {
        "remount" => sys::mount(c"none", &a, c"none", libc::MS_REMOUNT | libc::MS_NOSUID),
        "reconfigure" => reconfigure(&a),
        "propagation" => sys::mount(c"none", &a, c"none", libc::MS_PRIVATE),
        "move" => sys::mount(&a, &b, c"none", libc::MS_MOVE),
        "move-by-tree" => moved(open_tree(&a, 0), &b),
        "clone-tree" => moved(open_tree(&a, OPEN_TREE_CLONE), &b),
        "new-mount" => match new_tmpfs() {
            Ok(mount) => moved(mount, &a),
            Err(error) => error,
        },
        "pivot" => sys::two_paths(libc::SYS_pivot_root, &a, &b),
        _ => return None,
    })
}

fn open_tree(path: &std::ffi::CStr, flags: u32) -> Ret {
    call!(
        libc::SYS_open_tree,
        libc::AT_FDCWD,
        path.as_ptr(),
        flags | libc::O_CLOEXEC.cast_unsigned()
    )
}

/// Puts the mount behind a descriptor at a path.
fn moved(mount: Ret, to: &std::ffi::CStr) -> Ret {
    let Some(mount) = sys::owned(mount) else {
        return mount;
    };
    call!(
        libc::SYS_move_mount,
        mount.as_raw_fd(),
        c"".as_ptr(),
        libc::AT_FDCWD,
        to.as_ptr(),
        MOVE_MOUNT_F_EMPTY_PATH
    )
}

fn new_tmpfs() -> Result<Ret, Ret> {
    let made = call!(libc::SYS_fsopen, c"tmpfs".as_ptr(), 1);
    let context = sys::owned(made).ok_or(made)?;
    let created = call!(
        libc::SYS_fsconfig,
        context.as_raw_fd(),
        FSCONFIG_CMD_CREATE,
        0,
        0,
        0
    );
    if created < 0 {
        return Err(created);
    }
    Ok(call!(libc::SYS_fsmount, context.as_raw_fd(), 1, 0))
}

/// Makes the file system at a path read-only by the new calls.
fn reconfigure(path: &std::ffi::CStr) -> Ret {
    let picked = call!(libc::SYS_fspick, libc::AT_FDCWD, path.as_ptr(), 1);
    let Some(context) = sys::owned(picked) else {
        return picked;
    };
    let fd = context.as_raw_fd();
    let flag = call!(
        libc::SYS_fsconfig,
        fd,
        FSCONFIG_SET_FLAG,
        c"ro".as_ptr(),
        0,
        0
    );
    if flag < 0 {
        return flag;
    }
    call!(libc::SYS_fsconfig, fd, FSCONFIG_CMD_RECONFIGURE, 0, 0, 0)
}
