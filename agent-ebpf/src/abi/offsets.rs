//! Which kernel structure members the hooks read. The agent finds their offsets in the running kernel's BTF
//! and sets the object's frozen globals; a member that is missing means *not enforced*, loudly.
//!
//! Never an offset by number: the same object must fit every kernel.

/// One global of the object and where to find its value.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// Name of the global (`u32`, bytes from the start of the structure)
    pub global: &'static str,
    /// Structure name in BTF
    pub structure: &'static str,
    /// Dotted member path; the first one that exists is taken (names changed between kernels)
    pub paths: &'static [&'static str],
    /// Size in bytes that the hook loads; the member must be at least as large
    pub size: u32,
}

const fn member(
    global: &'static str,
    structure: &'static str,
    paths: &'static [&'static str],
    size: u32,
) -> Member {
    Member {
        global,
        structure,
        paths,
        size,
    }
}

/// Every member that the hooks read.
pub const MEMBERS: &[Member] = &[
    member("OFF_TASK_LOGINUID", "task_struct", &["loginuid.val"], 4),
    member("OFF_TASK_SESSIONID", "task_struct", &["sessionid"], 4),
    member("OFF_TASK_FLAGS", "task_struct", &["flags"], 4),
    member("OFF_TASK_PID", "task_struct", &["pid"], 4),
    member("OFF_TASK_TGID", "task_struct", &["tgid"], 4),
    member("OFF_TASK_GROUP_LEADER", "task_struct", &["group_leader"], 8),
    // There with `CONFIG_BPF_SYSCALL`, without which no kernel has LSM programs (kernel/bpf/bpf_task_storage.c).
    member("OFF_TASK_STORAGE", "task_struct", &["bpf_storage"], 8),
    member("OFF_TASK_REAL_PARENT", "task_struct", &["real_parent"], 8),
    member("OFF_TASK_SIGNAL", "task_struct", &["signal"], 8),
    member("OFF_TASK_MM", "task_struct", &["mm"], 8),
    member("OFF_MM_EXE_FILE", "mm_struct", &["exe_file"], 8),
    // x86: TS_COMPAT lives here (arch/x86/include/asm/thread_info.h).
    member("OFF_TASK_STATUS", "task_struct", &["thread_info.status"], 4),
    member("OFF_TASK_CRED", "task_struct", &["cred"], 8),
    member("OFF_TASK_COMM", "task_struct", &["comm"], 16),
    member(
        "OFF_TASK_STARTED",
        "task_struct",
        &["start_boottime", "real_start_time"],
        8,
    ),
    member("OFF_CRED_UID", "cred", &["uid.val"], 4),
    member("OFF_CRED_EUID", "cred", &["euid.val"], 4),
    member("OFF_CRED_EGID", "cred", &["egid.val"], 4),
    member("OFF_CRED_FSUID", "cred", &["fsuid.val"], 4),
    member("OFF_CRED_FSGID", "cred", &["fsgid.val"], 4),
    member("OFF_SIGNAL_TTY", "signal_struct", &["tty"], 8),
    member("OFF_TTY_NAME", "tty_struct", &["name"], 16),
    member(
        "OFF_FILE_DENTRY",
        "file",
        &["f_path.dentry", "__f_path.dentry"],
        8,
    ),
    member("OFF_FILE_INODE", "file", &["f_inode"], 8),
    member("OFF_FILE_MODE", "file", &["f_mode"], 4),
    member("OFF_FILE_FLAGS", "file", &["f_flags"], 4),
    member("OFF_DENTRY_PARENT", "dentry", &["d_parent"], 8),
    member("OFF_DENTRY_INODE", "dentry", &["d_inode"], 8),
    member(
        "OFF_DENTRY_NAME",
        "dentry",
        &["d_name.name", "__d_name.name"],
        8,
    ),
    member(
        "OFF_DENTRY_NAME_LEN",
        "dentry",
        &["d_name.len", "__d_name.len"],
        4,
    ),
    member(
        "OFF_DENTRY_SEQ",
        "dentry",
        &["d_seq.seqcount.sequence", "d_seq.sequence"],
        4,
    ),
    // Null for a dentry that is in no hash chain: its name is being looked up, nobody knows yet what it stands for.
    // By the chain and not by `DCACHE_PAR_LOOKUP`, whose value differs between kernels.
    member("OFF_DENTRY_HASHED", "dentry", &["d_hash.pprev"], 8),
    member("OFF_DENTRY_FLAGS", "dentry", &["d_flags"], 4),
    member("OFF_DENTRY_SB", "dentry", &["d_sb"], 8),
    member(
        "OFF_DENTRY_ALIAS",
        "dentry",
        &["d_u.d_alias", "d_alias"],
        16,
    ),
    member("OFF_INODE_ALIASES", "inode", &["i_dentry.first"], 8),
    member("OFF_INODE_SB", "inode", &["i_sb"], 8),
    member("OFF_INODE_INO", "inode", &["i_ino"], 8),
    member("OFF_INODE_GENERATION", "inode", &["i_generation"], 4),
    member("OFF_INODE_SIZE", "inode", &["i_size"], 8),
    member(
        "OFF_INODE_CTIME_SEC",
        "inode",
        &["i_ctime_sec", "__i_ctime.tv_sec", "i_ctime.tv_sec"],
        8,
    ),
    member(
        "OFF_INODE_CTIME_NSEC",
        "inode",
        &["i_ctime_nsec", "__i_ctime.tv_nsec", "i_ctime.tv_nsec"],
        4,
    ),
    member("OFF_INODE_VERSION", "inode", &["i_version.counter"], 8),
    member(
        "OFF_INODE_WRITECOUNT",
        "inode",
        &["i_writecount.counter"],
        4,
    ),
    member("OFF_INODE_MODE", "inode", &["i_mode"], 2),
    member("OFF_IATTR_VALID", "iattr", &["ia_valid"], 4),
    member("OFF_IATTR_MODE", "iattr", &["ia_mode"], 2),
    member("OFF_IATTR_UID", "iattr", &["ia_uid"], 4),
    member("OFF_IATTR_GID", "iattr", &["ia_gid"], 4),
    member("OFF_IATTR_SIZE", "iattr", &["ia_size"], 8),
    member("OFF_IATTR_ATIME", "iattr", &["ia_atime.tv_sec"], 8),
    member("OFF_IATTR_MTIME", "iattr", &["ia_mtime.tv_sec"], 8),
    member("OFF_VMA_FILE", "vm_area_struct", &["vm_file"], 8),
    member("OFF_SOCKET_TYPE", "socket", &["type"], 2),
    member("OFF_SOCKET_SK", "socket", &["sk"], 8),
    member("OFF_SOCK_FAMILY", "sock", &["__sk_common.skc_family"], 2),
    member("OFF_SOCK_PORT", "sock", &["__sk_common.skc_num"], 2),
    member(
        "OFF_SOCK_ADDRESS",
        "sock",
        &["__sk_common.skc_rcv_saddr"],
        4,
    ),
    member(
        "OFF_SOCK_ADDRESS6",
        "sock",
        &["__sk_common.skc_v6_rcv_saddr"],
        16,
    ),
    member("OFF_SOCK_PROTOCOL", "sock", &["sk_protocol"], 2),
    member("OFF_UNIX_DENTRY", "unix_sock", &["path.dentry"], 8),
    member("OFF_UNIX_ADDRESS", "unix_sock", &["addr"], 8),
    member("OFF_UNIX_PEER", "unix_sock", &["peer"], 8),
    member("OFF_UNIX_ADDRESS_LEN", "unix_address", &["len"], 4),
    // A flexible array, which has no size of its own.
    member("OFF_UNIX_ADDRESS_NAME", "unix_address", &["name"], 0),
    member("OFF_PACKET_DATA", "sk_buff", &["data"], 8),
    member("OFF_PACKET_LEN", "sk_buff", &["len"], 4),
    member("OFF_MSG_NAME", "msghdr", &["msg_name"], 8),
    member("OFF_MSG_NAMELEN", "msghdr", &["msg_namelen"], 4),
    member("OFF_SB_FLAGS", "super_block", &["s_flags"], 8),
    member("OFF_SB_DEV", "super_block", &["s_dev"], 4),
    member("OFF_SB_ROOT", "super_block", &["s_root"], 8),
    member("OFF_PATH_DENTRY", "path", &["dentry"], 8),
    member("OFF_PATH_MOUNT", "path", &["mnt"], 8),
    member("OFF_VFSMOUNT_ROOT", "vfsmount", &["mnt_root"], 8),
    member("OFF_MOUNT_VFSMOUNT", "mount", &["mnt"], 8),
    member("OFF_MOUNT_PARENT", "mount", &["mnt_parent"], 8),
    member("OFF_SB_STACK_DEPTH", "super_block", &["s_stack_depth"], 4),
    member("OFF_BPRM_FILE", "linux_binprm", &["file"], 8),
    member("OFF_BPRM_P", "linux_binprm", &["p"], 8),
    member("OFF_BPRM_ARGC", "linux_binprm", &["argc"], 4),
    member("OFF_BPRM_ENVC", "linux_binprm", &["envc"], 4),
    member("OFF_BPRM_INTERP", "linux_binprm", &["interp"], 8),
    member("OFF_BPRM_FILENAME", "linux_binprm", &["filename"], 8),
];

/// Hooks that some supported kernels do not have. Before Linux 6.2 access lists are extended attributes like others
/// and pass `inode_setxattr` and `inode_removexattr`; before 6.8, and 6.1.75, 32-bit calls pass `file_ioctl`.
pub const HOOKS_OF_NEWER_KERNELS: &[&str] =
    &["inode_set_acl", "inode_remove_acl", "file_ioctl_compat"];

/// Arguments of a hook whose number of arguments grew or shrank in front (an id-mapping was added, an unused structure
/// taken out): the global takes how many come before the first one that is read.
pub struct Shifted {
    /// Name of the global (`u32`)
    pub global: &'static str,
    /// The hook
    pub hook: &'static str,
    /// Arguments that the hook has at least
    pub arguments: u32,
}

/// Every such hook.
pub const SHIFTED: &[Shifted] = &[
    Shifted {
        global: "ARG_SETATTR_SHIFT",
        hook: "inode_setattr",
        arguments: 2,
    },
    Shifted {
        global: "ARG_PERF_EVENT_SHIFT",
        hook: "perf_event_open",
        arguments: 1,
    },
];

/// Global that holds the generation of the program (see `TaskState::judged_by`), set at load.
pub const PROGRAM_GENERATION_GLOBAL: &str = "PROGRAM_GENERATION";
/// Global (`u64`) that holds the address of the kernel's `rename_lock` (fs/dcache.c), 0 if it is not known.
pub const RENAME_LOCK_GLOBAL: &str = "ADDR_RENAME_LOCK";
/// Global that holds `ABI_VERSION`, checked by the agent before it loads an object.
pub const ABI_VERSION_GLOBAL: &str = "ABI_VERSION";

/// Program (function) name in the object and the LSM hook that it attaches to.
pub const PROGRAMS: &[(&str, &str)] = &[
    ("exec_check", "bprm_check_security"),
    ("bprm_committed_creds", "bprm_committed_creds"),
    ("file_open", "file_open"),
    ("inode_create", "inode_create"),
    ("inode_unlink", "inode_unlink"),
    ("inode_rmdir", "inode_rmdir"),
    ("inode_rename", "inode_rename"),
    ("inode_link", "inode_link"),
    ("inode_mkdir", "inode_mkdir"),
    ("inode_mknod", "inode_mknod"),
    ("inode_symlink", "inode_symlink"),
    ("inode_setattr", "inode_setattr"),
    ("inode_setxattr", "inode_setxattr"),
    ("inode_removexattr", "inode_removexattr"),
    ("inode_set_acl", "inode_set_acl"),
    ("inode_remove_acl", "inode_remove_acl"),
    ("file_ioctl", "file_ioctl"),
    ("file_ioctl_compat", "file_ioctl_compat"),
    ("mmap_file", "mmap_file"),
    ("file_mprotect", "file_mprotect"),
    ("socket_connect", "socket_connect"),
    ("socket_sendmsg", "socket_sendmsg"),
    ("socket_bind", "socket_bind"),
    ("socket_listen", "socket_listen"),
    ("socket_create", "socket_create"),
    ("unix_stream_connect", "unix_stream_connect"),
    ("unix_may_send", "unix_may_send"),
    ("netlink_send", "netlink_send"),
    ("sb_mount", "sb_mount"),
    ("sb_umount", "sb_umount"),
    ("sb_remount", "sb_remount"),
    ("sb_pivotroot", "sb_pivotroot"),
    ("move_mount", "move_mount"),
    ("ptrace_access_check", "ptrace_access_check"),
    ("ptrace_traceme", "ptrace_traceme"),
    ("task_kill", "task_kill"),
    ("bpf_call", "bpf"),
    ("perf_event_open", "perf_event_open"),
    ("kernel_read_file", "kernel_read_file"),
    ("kernel_load_data", "kernel_load_data"),
    ("task_fix_setuid", "task_fix_setuid"),
    ("task_fix_setgid", "task_fix_setgid"),
    ("userns_create", "userns_create"),
    ("settime", "settime"),
    ("task_alloc", "task_alloc"),
    ("capable", "capable"),
];
