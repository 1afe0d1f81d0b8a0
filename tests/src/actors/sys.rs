//! System calls as the suite makes them: exactly the call that is named, never a library's substitute.
//!
//! Results are the kernel's: not negative on success, `-errno` on failure. Nothing here retries or interprets.
#![expect(
    unsafe_code,
    reason = "actors make raw system calls; that is what is tested"
)]

use std::{
    ffi::{CStr, CString},
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd, OwnedFd},
};

/// The kernel's result: `-errno` below zero.
pub type Ret = i64;

/// `-EPERM`, the one answer that a denied action gets.
pub const EPERM: Ret = -(libc::EPERM as Ret);
/// What must never reach a program: the kernel's own restart code.
pub const RESTART_LEAK: Ret = -513;

/// One call. A macro, because the C function takes any number of words.
macro_rules! call {
    ($number:expr $(, $argument:expr)* $(,)?) => {{
        // SAFETY: every pointer among the arguments comes from a live reference of the caller, and the kernel
        // checks user memory by itself.
        let result = unsafe { libc::syscall($number $(, $argument)*) };
        $crate::actors::sys::result(result)
    }};
}
pub(crate) use call;

/// The result with `errno` put back into it.
pub fn result(raw: libc::c_long) -> Ret {
    if raw >= 0 {
        return raw;
    }
    -Ret::from(
        std::io::Error::last_os_error()
            .raw_os_error()
            .unwrap_or(libc::EIO),
    )
}

/// Text for the kernel. Panics are impossible: a NUL in a test's own text cuts it.
pub fn c(text: &str) -> CString {
    CString::new(text.split('\0').next().unwrap_or_default()).unwrap_or_default()
}

/// `open(2)` by its own number.
pub fn open(path: &CStr, flags: i32, mode: u32) -> Ret {
    call!(libc::SYS_open, path.as_ptr(), flags, mode)
}

/// `open(2)` with bits in the upper half of the number's register, at which the kernel does not look.
pub fn open_high(path: &CStr, flags: i32, mode: u32) -> Ret {
    call!(libc::SYS_open | 1 << 40, path.as_ptr(), flags, mode)
}

/// Loads a kernel module from a file, which the kernel decompresses itself if need be.
pub fn load_module(file: BorrowedFd<'_>, compressed: bool) -> Ret {
    /// `MODULE_INIT_COMPRESSED_FILE` (include/uapi/linux/module.h)
    const COMPRESSED: u32 = 4;
    let flags = if compressed { COMPRESSED } else { 0 };
    call!(
        libc::SYS_finit_module,
        file.as_raw_fd(),
        c"".as_ptr(),
        flags
    )
}

/// Unloads a kernel module.
pub fn unload_module(name: &CStr) -> Ret {
    call!(libc::SYS_delete_module, name.as_ptr(), libc::O_NONBLOCK)
}

/// A descriptor of a process.
pub fn pidfd(pid: u32) -> Option<OwnedFd> {
    owned(call!(libc::SYS_pidfd_open, pid, 0))
}

/// `openat(2)` below the working directory.
pub fn openat(path: &CStr, flags: i32, mode: u32) -> Ret {
    call!(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags, mode)
}

/// `openat(2)` below a directory.
pub fn open_below(directory: i32, path: &CStr, flags: i32, mode: u32) -> Ret {
    call!(libc::SYS_openat, directory, path.as_ptr(), flags, mode)
}

/// `struct open_how`. A mode without a creation is an error there.
pub fn open_how(flags: i32, mode: u32) -> [u64; 3] {
    let creates = flags & (libc::O_CREAT | libc::O_TMPFILE & !libc::O_DIRECTORY) != 0;
    let mode = if creates { mode } else { 0 };
    [u64::from(flags.cast_unsigned()), u64::from(mode), 0]
}

/// `openat2(2)` below the working directory.
pub fn openat2(path: &CStr, flags: i32, mode: u32) -> Ret {
    let how = open_how(flags, mode);
    call!(
        libc::SYS_openat2,
        libc::AT_FDCWD,
        path.as_ptr(),
        how.as_ptr(),
        size_of_val(&how)
    )
}

/// `creat(2)`.
pub fn creat(path: &CStr, mode: u32) -> Ret {
    call!(libc::SYS_creat, path.as_ptr(), mode)
}

/// A call with two paths: `link`, `symlink`, `rename`.
pub fn two_paths(number: libc::c_long, old: &CStr, new: &CStr) -> Ret {
    call!(number, old.as_ptr(), new.as_ptr())
}

/// A call with a path and a number: `mkdir`, `unlink`, `rmdir`, `chroot`, `chdir`.
pub fn one_path(number: libc::c_long, path: &CStr, word: u32) -> Ret {
    call!(number, path.as_ptr(), word)
}

/// `renameat2(2)` with `RENAME_EXCHANGE`.
pub fn exchange(a: &CStr, b: &CStr) -> Ret {
    call!(
        libc::SYS_renameat2,
        libc::AT_FDCWD,
        a.as_ptr(),
        libc::AT_FDCWD,
        b.as_ptr(),
        libc::RENAME_EXCHANGE
    )
}

/// `setxattr(2)`, new or not.
pub fn set_attribute(path: &CStr, name: &CStr, value: &[u8]) -> Ret {
    let (path, name) = (path.as_ptr(), name.as_ptr());
    call!(
        libc::SYS_setxattr,
        path,
        name,
        value.as_ptr(),
        value.len(),
        0
    )
}

/// Length of an extended attribute, by `getxattr(2)`.
pub fn attribute_len(path: &CStr, name: &CStr) -> Ret {
    let nowhere: libc::c_long = 0;
    let (path, name) = (path.as_ptr(), name.as_ptr());
    call!(libc::SYS_getxattr, path, name, nowhere, nowhere)
}

/// `mount(2)` without data.
pub fn mount(source: &CStr, target: &CStr, kind: &CStr, flags: u64) -> Ret {
    call!(
        libc::SYS_mount,
        source.as_ptr(),
        target.as_ptr(),
        kind.as_ptr(),
        flags,
        0
    )
}

/// `umount2(2)`, lazily.
pub fn umount(target: &CStr) -> Ret {
    call!(libc::SYS_umount2, target.as_ptr(), libc::MNT_DETACH)
}

/// `unshare(2)`.
pub fn unshare(flags: i32) -> Ret {
    call!(libc::SYS_unshare, flags)
}

/// `write(2)`.
pub fn write(fd: Ret, text: &[u8]) -> Ret {
    call!(libc::SYS_write, fd, text.as_ptr(), text.len())
}

/// Closes a descriptor that a raw call returned.
pub fn close(fd: Ret) {
    drop(owned(fd));
}

/// Takes over a descriptor that a raw call has just returned; none for an error.
pub fn owned(fd: Ret) -> Option<OwnedFd> {
    let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0)?;
    // SAFETY: the kernel has just handed it out to this caller.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// One `nanosleep(2)`: 0, or `-EINTR` if something cut it short.
pub fn nap_ms(ms: u64) -> Ret {
    let time = [ms / 1_000, ms % 1_000 * 1_000_000];
    call!(libc::SYS_nanosleep, time.as_ptr(), 0)
}

/// A handle for a path and the open by that handle, which reaches the object without walking a path.
pub fn open_by_handle(path: &CStr, flags: i32) -> Ret {
    /// `MAX_HANDLE_SZ` (linux/exportfs.h), in words.
    const HANDLE_WORDS: usize = 32;
    let mut handle = [0u32; 2 + HANDLE_WORDS];
    handle[0] = (HANDLE_WORDS * 4) as u32;
    let mut mount_id = 0i32;
    let named = call!(
        libc::SYS_name_to_handle_at,
        libc::AT_FDCWD,
        path.as_ptr(),
        handle.as_mut_ptr(),
        &raw mut mount_id,
        0
    );
    if named < 0 {
        return named;
    }
    let root = open(c"/", libc::O_RDONLY | libc::O_DIRECTORY, 0);
    if root < 0 {
        return root;
    }
    let opened = call!(
        libc::SYS_open_by_handle_at,
        root,
        handle.as_mut_ptr(),
        flags
    );
    close(root);
    opened
}

/// Sends a signal to a process.
pub fn kill(pid: i32, signal: i32) -> Ret {
    call!(libc::SYS_kill, pid, signal)
}

/// This thread's id.
pub fn tid() -> Ret {
    call!(libc::SYS_gettid)
}

/// `sendto(2)` to an address.
pub fn send_to(
    fd: i32,
    text: &[u8],
    address: *const libc::sockaddr,
    len: libc::socklen_t,
    flags: i32,
) -> Ret {
    call!(
        libc::SYS_sendto,
        fd,
        text.as_ptr(),
        text.len(),
        flags,
        address,
        len
    )
}

/// `setresuid(2)` with the same id three times, for this thread only.
pub fn set_uid(uid: u32) -> Ret {
    call!(libc::SYS_setresuid, uid, uid, uid)
}

/// `setsid(2)`.
pub fn set_sid() -> Ret {
    call!(libc::SYS_setsid)
}

/// Opens an object by a descriptor that cannot write: `/proc/self/fd/N` of an `O_PATH` descriptor.
pub fn reopen(path: &CStr, flags: i32) -> Ret {
    let handle = open(path, libc::O_PATH, 0);
    if handle < 0 {
        return handle;
    }
    let opened = open(&c(&format!("/proc/self/fd/{handle}")), flags, 0);
    close(handle);
    opened
}

/// `socket(2)`, closed on exec.
pub fn socket(family: i32, kind: i32, protocol: i32) -> Ret {
    call!(
        libc::SYS_socket,
        family,
        kind | libc::SOCK_CLOEXEC,
        protocol
    )
}

/// Asks the audit socket to change the audit settings; the kernel's own word about it.
pub fn audit_set() -> Ret {
    /// `AUDIT_SET` (linux/audit.h) with `NLM_F_REQUEST | NLM_F_ACK`.
    const AUDIT_SET: u32 = 1001;
    const REQUEST_ACK: u32 = 1 | 4;
    /// `NETLINK_AUDIT`
    const PROTOCOL: i32 = 9;
    let Some(made) = owned(socket(libc::AF_NETLINK, libc::SOCK_RAW, PROTOCOL)) else {
        return -Ret::from(libc::EAFNOSUPPORT);
    };
    // Header of 16 bytes and an empty `struct audit_status`: a change of nothing, which needs the right all the same.
    let request = [
        16 + 40,
        AUDIT_SET | REQUEST_ACK << 16,
        1,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
    ];
    let fd = std::os::fd::AsRawFd::as_raw_fd(&made);
    let sent = call!(
        libc::SYS_sendto,
        fd,
        request.as_ptr(),
        size_of_val(&request),
        0,
        0,
        0
    );
    if sent < 0 {
        return sent;
    }
    // `struct nlmsgerr`: the error follows the header.
    let mut answer = [0i32; 64];
    let read = call!(
        libc::SYS_recvfrom,
        fd,
        answer.as_mut_ptr(),
        size_of_val(&answer),
        0,
        0,
        0
    );
    if read < 0 { read } else { Ret::from(answer[4]) }
}

/// `connect(2)`.
pub fn connect(fd: i32, address: *const libc::sockaddr, len: libc::socklen_t) -> Ret {
    call!(libc::SYS_connect, fd, address, len)
}

/// `execve(2)` of this very process, some times over with a pause between: the path as its only argument, no
/// environment, and the very same registers every time. The last result.
pub fn execve(path: &CStr, times: u32, pause_ms: u64) -> Ret {
    let argv = [path.as_ptr(), std::ptr::null()];
    let envp = [std::ptr::null::<libc::c_char>()];
    let mut result = 0;
    for round in 0..times {
        if round > 0 {
            nap_ms(pause_ms);
        }
        result = exec_call(path.as_ptr(), argv.as_ptr(), envp.as_ptr());
    }
    result
}

/// A function of its own, so that the compiler cannot make two instructions of one.
#[inline(never)]
fn exec_call(
    path: *const libc::c_char,
    argv: *const *const libc::c_char,
    envp: *const *const libc::c_char,
) -> Ret {
    let result;
    // SAFETY: live pointers of the only caller; the kernel overwrites rcx and r11 and nothing else unless it
    // succeeds. rbx belongs to the compiler and is put back.
    unsafe {
        core::arch::asm!(
            "push rbx",
            "xor ebx, ebx",
            "syscall",
            "pop rbx",
            inlateout("rax") libc::SYS_execve => result,
            in("rdi") path,
            in("rsi") argv,
            in("rdx") envp,
            in("r8") 0u64,
            in("r9") 0u64,
            in("r10") 0u64,
            out("rcx") _,
            out("r11") _,
        );
    }
    result
}
