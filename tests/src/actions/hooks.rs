//! Operations in words, and their hooks.

use stayhand_guardrail::action::Operation;

/// An operation.
pub(super) struct About {
    pub(super) operation: Operation,
    /// What a policy means by it
    pub(super) what: &'static str,
    /// LSM hooks that judge it
    pub(super) hooks: &'static [&'static str],
    /// Why no call is held for it; empty if some are
    pub(super) never_held: &'static str,
}

const fn about(
    operation: Operation,
    what: &'static str,
    hooks: &'static [&'static str],
    never_held: &'static str,
) -> About {
    About {
        operation,
        what,
        hooks,
        never_held,
    }
}

/// A name that comes into being.
const MADE: &[&str] = &[
    "inode_create",
    "inode_mkdir",
    "inode_mknod",
    "inode_symlink",
    "inode_link",
    "inode_rename",
    "file_open",
];
const GONE: &[&str] = &["inode_unlink", "inode_rmdir", "inode_rename"];
const ATTRIBUTES: &[&str] = &[
    "inode_setattr",
    "inode_setxattr",
    "inode_removexattr",
    "inode_set_acl",
    "inode_remove_acl",
    "file_ioctl",
    "file_ioctl_compat",
];

/// In the order of `Operation::ALL`.
pub(super) const ABOUT: &[About] = &[
    about(
        Operation::Exec,
        "run a program, a script, an interpreter: each loader pass is judged",
        &["bprm_check_security", "bprm_committed_creds", "file_open"],
        "",
    ),
    about(
        Operation::MapExec,
        "map a file executable: libraries, and programs that a loader runs by itself",
        &["mmap_file", "file_mprotect"],
        "",
    ),
    about(
        Operation::Rename,
        "move or rename, at both ends; an exchange is two",
        &["inode_rename"],
        "",
    ),
    about(
        Operation::Link,
        "make a hard link, at both ends",
        &["inode_link"],
        "",
    ),
    about(
        Operation::Create,
        "make a name: file, directory, symbolic link, device node, socket",
        MADE,
        "",
    ),
    about(
        Operation::Delete,
        "take a name away, also by replacing it",
        GONE,
        "",
    ),
    about(
        Operation::Write,
        "open an existing file in a way that can change it, truncate it, replace it",
        &["file_open", "inode_create", "inode_setattr", "inode_rename"],
        "",
    ),
    about(
        Operation::Read,
        "open an existing file or directory for reading",
        &["file_open"],
        "",
    ),
    about(
        Operation::Attr,
        "change mode, owner, times, extended attributes, access lists, inode flags",
        ATTRIBUTES,
        "",
    ),
    about(
        Operation::Connect,
        "connect to an internet address, a unix socket, a virtual socket; TCP fast open; a stream's message with an address",
        &[
            "socket_connect",
            "socket_sendmsg",
            "unix_stream_connect",
            "unix_may_send",
        ],
        "",
    ),
    about(
        Operation::Send,
        "a datagram with a destination of its own",
        &["socket_sendmsg", "unix_may_send"],
        "",
    ),
    about(
        Operation::Bind,
        "take a local address and port, or a name of a unix socket that no file has",
        &["socket_bind"],
        "",
    ),
    about(
        Operation::Listen,
        "wait for connections to a local internet address and port",
        &["socket_listen"],
        "",
    ),
    about(
        Operation::Raw,
        "make a packet socket, a raw internet socket, or a socket of a family that no other rule knows",
        &["socket_create"],
        "",
    ),
    about(
        Operation::Netlink,
        "change routes, addresses, links, filters, IPsec, the audit system and the like by a netlink message",
        &["netlink_send"],
        "",
    ),
    about(
        Operation::Mount,
        "mount a file system at a place; make a node of a device there",
        &["sb_mount", "move_mount", "inode_mknod"],
        "",
    ),
    about(Operation::Umount, "take a mount away", &["sb_umount"], ""),
    about(
        Operation::MoveMount,
        "move a mount to a place, change the root",
        &["sb_mount", "move_mount", "sb_pivotroot"],
        "",
    ),
    about(
        Operation::Remount,
        "change the options or the propagation of a mount",
        &["sb_mount", "sb_remount"],
        "",
    ),
    about(
        Operation::BindMount,
        "show a place at a second one",
        &["sb_mount", "move_mount"],
        "",
    ),
    about(
        Operation::Ptrace,
        "take control of a process of another subject, or read its memory",
        &["ptrace_access_check", "ptrace_traceme"],
        "",
    ),
    about(
        Operation::Signal,
        "send a signal to a process of another subject",
        &["task_kill"],
        "",
    ),
    about(
        Operation::Bpf,
        "use `bpf`",
        &["bpf"],
        "what the attributes point to is not there yet, so that no approval could be bound to it",
    ),
    about(
        Operation::PerfEvent,
        "open a performance event",
        &["perf_event_open"],
        "the attributes are not shown to a hook on every kernel",
    ),
    about(
        Operation::Module,
        "load a kernel module, or unload one",
        &["kernel_read_file", "kernel_load_data", "capable"],
        "",
    ),
    about(
        Operation::Firmware,
        "have firmware loaded",
        &["kernel_read_file", "kernel_load_data"],
        "a driver asks, not a call",
    ),
    about(
        Operation::Kexec,
        "load another kernel",
        &["kernel_read_file", "kernel_load_data"],
        "the call has read files by then, and the older one comes from memory",
    ),
    about(
        Operation::Setuid,
        "become root by a call (`setuid` and its like); set-uid programs are executions",
        &["task_fix_setuid", "task_fix_setgid"],
        "",
    ),
    about(
        Operation::Namespace,
        "make or enter a namespace",
        &["userns_create", "capable"],
        "",
    ),
    about(
        Operation::Time,
        "set or adjust the clock",
        &["settime", "capable"],
        "",
    ),
    about(
        Operation::Swap,
        "turn swap on or off",
        &["capable"],
        "the kernel makes an error of its own out of what the hook returns",
    ),
    about(
        Operation::Reboot,
        "reboot, halt",
        &["capable"],
        "the kernel makes an error of its own out of what the hook returns",
    ),
];

/// Hooks for the guardrail itself.
pub(super) const OTHERS: &[(&str, &str)] = &[
    (
        "task_alloc",
        "children and threads inherit who they are and what they come from",
    ),
    (
        "capable",
        "beyond the operations above: no guarded subject gets `CAP_AUDIT_CONTROL`, which clears login uids",
    ),
];

/// The first kernel with a hook that not every supported one has.
pub(super) fn since(hook: &str) -> &'static str {
    match hook {
        "file_ioctl_compat" => "6.8, 6.1.75",
        _ => "6.2",
    }
}
