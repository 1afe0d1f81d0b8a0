//! Globals that the agent fills with member offsets of the running kernel (`abi::offsets::MEMBERS`), and the
//! one way to read through them. The section is frozen before loading, so the verifier sees constants and
//! walked pointers keep their types.

use core::ffi::c_void;

use aya_ebpf::{Global, helpers::generated::bpf_probe_read_kernel};

macro_rules! offsets {
    ($($name:ident),* $(,)?) => {
        $(#[unsafe(no_mangle)] pub static $name: Global<u32> = Global::new(0);)*
    };
}

offsets!(
    OFF_TASK_LOGINUID,
    OFF_TASK_SESSIONID,
    OFF_TASK_FLAGS,
    OFF_TASK_PID,
    OFF_TASK_TGID,
    OFF_TASK_GROUP_LEADER,
    OFF_TASK_STORAGE,
    OFF_TASK_REAL_PARENT,
    OFF_TASK_SIGNAL,
    OFF_TASK_MM,
    OFF_MM_EXE_FILE,
    OFF_TASK_STATUS,
    OFF_TASK_CRED,
    OFF_TASK_COMM,
    OFF_TASK_STARTED,
    OFF_CRED_UID,
    OFF_CRED_EUID,
    OFF_CRED_EGID,
    OFF_CRED_FSUID,
    OFF_CRED_FSGID,
    OFF_SIGNAL_TTY,
    OFF_TTY_NAME,
    OFF_FILE_DENTRY,
    OFF_FILE_INODE,
    OFF_FILE_MODE,
    OFF_FILE_FLAGS,
    OFF_DENTRY_PARENT,
    OFF_DENTRY_INODE,
    OFF_DENTRY_NAME,
    OFF_DENTRY_NAME_LEN,
    OFF_DENTRY_SEQ,
    OFF_DENTRY_HASHED,
    OFF_DENTRY_FLAGS,
    OFF_DENTRY_SB,
    OFF_DENTRY_ALIAS,
    OFF_INODE_ALIASES,
    OFF_INODE_SB,
    OFF_INODE_INO,
    OFF_INODE_GENERATION,
    OFF_INODE_SIZE,
    OFF_INODE_CTIME_SEC,
    OFF_INODE_CTIME_NSEC,
    OFF_INODE_VERSION,
    OFF_INODE_WRITECOUNT,
    OFF_INODE_MODE,
    OFF_IATTR_VALID,
    OFF_IATTR_MODE,
    OFF_IATTR_UID,
    OFF_IATTR_GID,
    OFF_IATTR_SIZE,
    OFF_IATTR_ATIME,
    OFF_IATTR_MTIME,
    OFF_VMA_FILE,
    OFF_SOCKET_TYPE,
    OFF_SOCKET_SK,
    OFF_SOCK_FAMILY,
    OFF_SOCK_PORT,
    OFF_SOCK_ADDRESS,
    OFF_SOCK_ADDRESS6,
    OFF_SOCK_PROTOCOL,
    OFF_UNIX_DENTRY,
    OFF_UNIX_ADDRESS,
    OFF_UNIX_PEER,
    OFF_UNIX_ADDRESS_LEN,
    OFF_UNIX_ADDRESS_NAME,
    OFF_PACKET_DATA,
    OFF_PACKET_LEN,
    OFF_MSG_NAME,
    OFF_MSG_NAMELEN,
    ARG_SETATTR_SHIFT,
    ARG_PERF_EVENT_SHIFT,
    OFF_SB_FLAGS,
    OFF_SB_DEV,
    OFF_SB_ROOT,
    OFF_PATH_DENTRY,
    OFF_PATH_MOUNT,
    OFF_VFSMOUNT_ROOT,
    OFF_MOUNT_VFSMOUNT,
    OFF_MOUNT_PARENT,
    OFF_SB_STACK_DEPTH,
    OFF_BPRM_FILE,
    OFF_BPRM_P,
    OFF_BPRM_ARGC,
    OFF_BPRM_ENVC,
    OFF_BPRM_INTERP,
    OFF_BPRM_FILENAME,
);

/// Generation of this program (see `TaskState::judged_by`).
#[unsafe(no_mangle)]
pub static PROGRAM_GENERATION: Global<u32> = Global::new(0);

/// See `RENAME_LOCK_GLOBAL`.
#[unsafe(no_mangle)]
pub static ADDR_RENAME_LOCK: Global<u64> = Global::new(0);

/// Layout version, read by the agent from the object before it loads it.
#[unsafe(no_mangle)]
pub static ABI_VERSION: Global<u32> = Global::new(stayhand_agent_ebpf::abi::ABI_VERSION as u32);

/// An address inside a kernel object, typed by the verifier.
pub type Addr = *const u8;

/// Reads a member by a load that the verifier types.
///
/// # Safety
/// `base` must be a pointer that the verifier tracks to the structure that `offset` belongs to. Loads through
/// such pointers are exception-safe: a bad address reads as zero.
#[inline(always)]
pub unsafe fn load<T: Copy>(base: Addr, offset: &Global<u32>) -> T {
    // SAFETY: volatile so that LLVM neither merges nor splits the load: its width must equal the member's.
    unsafe { core::ptr::read_volatile(base.add(offset.load() as usize).cast::<T>()) }
}

/// Reads a member of a structure at a plain address, which may be wrong. Slower than [`load`], and cheaper to verify:
/// newer kernels search all their types by name for each pointer that is loaded from a trusted one.
///
/// # Safety
/// None for memory: the helper checks the address. What is read may be of anything that has taken the place.
#[inline(always)]
pub unsafe fn peek<T: Copy + Default>(base: u64, offset: &Global<u32>) -> Option<T> {
    let mut value = T::default();
    let at = base.wrapping_add(u64::from(offset.load()));
    // SAFETY: the helper checks the address and writes at most the value.
    let failed = unsafe {
        bpf_probe_read_kernel(
            (&raw mut value).cast(),
            size_of::<T>() as u32,
            at as *const c_void,
        )
    };
    (failed == 0).then_some(value)
}
