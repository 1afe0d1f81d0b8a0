//! Numbers with meaning: operations, effects, verdicts, reasons, hooks, record kinds.
//!
//! Effects and verdicts lie at least eight bits apart so that no single damaged byte turns one into another.

/// Operations as bits, so that one rule can name several.
pub mod op {
    /// Execute a program (each loader pass of `execve`).
    pub const EXEC: u32 = 1 << 0;
    /// Open an existing file in any way that can change its content (write mode or `O_TRUNC`), truncate it by
    /// name, or put another file in its place.
    pub const WRITE: u32 = 1 << 1;
    /// Make a new name of any kind: a regular file (judged together with the open that the same call makes), a
    /// directory, a link, a device node; also by moving something there.
    pub const CREATE: u32 = 1 << 2;
    /// Connect a socket to an internet address, by `connect` or by TCP fast open.
    pub const CONNECT: u32 = 1 << 3;
    /// Open an existing file for reading; a directory's listing, too. Not the kernel's own read of a program.
    pub const READ: u32 = 1 << 4;
    /// Take a name away: unlink, rmdir, move away, move something over it.
    pub const DELETE: u32 = 1 << 5;
    /// Either end of a rename.
    pub const RENAME: u32 = 1 << 6;
    /// Either end of a hard link.
    pub const LINK: u32 = 1 << 7;
    /// Change mode, owner, times, extended attributes, access lists or inode flags.
    pub const ATTR: u32 = 1 << 8;
    /// Map a file executable (`mmap`, `mprotect`): libraries, and programs that a loader runs by itself.
    pub const MAP_EXEC: u32 = 1 << 9;
    /// Send to an internet address without connecting to it.
    pub const SEND: u32 = 1 << 10;
    /// Bind a socket to a local address.
    pub const BIND: u32 = 1 << 11;
    /// Mount a file system on a directory.
    pub const MOUNT: u32 = 1 << 12;
    /// Take a mount away.
    pub const UMOUNT: u32 = 1 << 13;
    /// Move a mount to another place; `pivot_root`, too.
    pub const MOVE_MOUNT: u32 = 1 << 14;
    /// Change options or propagation of a mount, or of the file system on it.
    pub const REMOUNT: u32 = 1 << 15;
    /// Show a directory or a file at a second place.
    pub const BIND_MOUNT: u32 = 1 << 16;
    /// Take control of a process of another subject, or of its memory.
    pub const PTRACE: u32 = 1 << 17;
    /// Send a signal to a process of another subject.
    pub const SIGNAL: u32 = 1 << 18;
    /// Any command of `bpf`.
    pub const BPF: u32 = 1 << 19;
    /// Open a performance event.
    pub const PERF_EVENT: u32 = 1 << 20;
    /// Load or unload a kernel module.
    pub const MODULE: u32 = 1 << 21;
    /// Have firmware loaded.
    pub const FIRMWARE: u32 = 1 << 22;
    /// Load another kernel.
    pub const KEXEC: u32 = 1 << 23;
    /// Become root by a call: the effective or file system user or group id turns 0.
    pub const SETUID: u32 = 1 << 24;
    /// Make a namespace, or enter another one.
    pub const NAMESPACE: u32 = 1 << 25;
    /// Set or adjust the clock.
    pub const TIME: u32 = 1 << 26;
    /// Turn swap on or off.
    pub const SWAP: u32 = 1 << 27;
    /// Reboot, halt, and whatever else `reboot` does.
    pub const REBOOT: u32 = 1 << 28;

    /// Have a bound socket wait for connections.
    pub const LISTEN: u32 = 1 << 29;
    /// Make a socket that sends and receives packets below the transport protocols, or of a family without rules.
    pub const RAW: u32 = 1 << 30;
    /// Send the kernel a netlink message that changes something.
    pub const NETLINK: u32 = 1 << 31;

    /// Operations on a mount, judged by the rules of a path.
    pub const MOUNTS: u32 = MOUNT | UMOUNT | MOVE_MOUNT | REMOUNT | BIND_MOUNT;
    /// Operations that have no object that rules could name.
    pub const SYSTEM: u32 = PTRACE
        | SIGNAL
        | BPF
        | PERF_EVENT
        | MODULE
        | FIRMWARE
        | KEXEC
        | SETUID
        | NAMESPACE
        | TIME
        | SWAP
        | REBOOT
        | RAW
        | NETLINK;
}

/// What a rule demands. Zero and every unlisted value read as [`effect::DENY`].
pub mod effect {
    /// Never, even with a grant.
    pub const DENY: u32 = 0xd3a1_5c0f;
    /// Only with a live lease.
    pub const REQUIRE_GRANT: u32 = 0x3c6e_90b5;
    /// Stop until somebody decides, unless a lease covers it.
    pub const HOLD: u32 = 0x69b5_0f9a;
    /// Record and go on.
    pub const ALERT: u32 = 0xa50f_c36c;
    /// Go on; recorded only when the rule says so.
    pub const ALLOW: u32 = 0x9658_2ae1;
    /// Not a rule: the entry only says that this object belongs to a permission.
    pub const PERMISSION: u32 = 0x5ac3_3396;
    /// So many times within so much time, see [`super::super::rate`]; what is more is denied or held.
    pub const THROTTLE: u32 = 0x2f91_f0c5;
    /// A policy's default: never, unless a rule says that it goes on or a lease covers it.
    pub const DEFAULT_DENY: u32 = 0xc8d3_ec62;
    /// The same, but stop until somebody decides.
    pub const DEFAULT_HOLD: u32 = 0xca2e_b949;

    /// The effects of rules, the permission marker, and what defaults demand.
    pub const ALL: [u32; 9] = [
        DENY,
        REQUIRE_GRANT,
        HOLD,
        ALERT,
        ALLOW,
        PERMISSION,
        THROTTLE,
        DEFAULT_DENY,
        DEFAULT_HOLD,
    ];
}

/// What became of one attempt. Zero and every unlisted value read as [`verdict::DENIED`].
pub mod verdict {
    /// The call went on.
    pub const ALLOWED: u32 = 0x5a0f_96c3;
    /// The call got `EPERM`.
    pub const DENIED: u32 = 0xc396_0f5a;
    /// The process was stopped; the call will be issued again.
    pub const HELD: u32 = 0x3c69_a5f0;

    /// The three verdicts.
    pub const ALL: [u32; 3] = [ALLOWED, DENIED, HELD];
}

/// Answer that the agent writes into the verdict map. Unknown values read as refused.
pub mod answer {
    /// Somebody approved: the very same call may go on once.
    pub const APPROVED: u32 = 0x2bd4_65c8;
    /// Somebody refused.
    pub const REFUSED: u32 = 0xd42b_9a37;
    /// The agent withdrew the hold because a fatal signal waits.
    pub const CANCELLED: u32 = 0x71c9_1e86;
    /// The call never restarted; a late restart must not find an approval.
    pub const VOID: u32 = 0x8e36_e179;
}

/// Why the verdict is what it is.
pub mod reason {
    /// No rule restricts it.
    pub const DEFAULT: u32 = 0;
    /// A rule of effect deny.
    pub const RULE_DENY: u32 = 1;
    /// A rule requires a grant and no live lease covers the action.
    pub const NO_GRANT: u32 = 2;
    /// A live lease covers the action.
    pub const GRANT: u32 = 3;
    /// A hold was opened.
    pub const HOLD_PENDING: u32 = 4;
    /// A hold was approved and the call went on.
    pub const HOLD_APPROVED: u32 = 5;
    /// A hold was refused.
    pub const HOLD_REFUSED: u32 = 6;
    /// A hold ran into its deadline.
    pub const HOLD_TIMED_OUT: u32 = 7;
    /// A hold was cancelled (a fatal signal waits).
    pub const HOLD_CANCELLED: u32 = 8;
    /// The rule holds, but this call cannot be held: context, call number, signal or digest.
    pub const HOLD_UNAVAILABLE: u32 = 9;
    /// Too many holds are pending for this subject.
    pub const HOLD_QUOTA: u32 = 10;
    /// The record that must precede the privilege could not be reserved.
    pub const NO_RECORD: u32 = 11;
    /// The path walk hit its bound, raced a rename twice, or matched more than can be judged.
    pub const WALK_FAILED: u32 = 12;
    /// The policy image changed twice while judging, or a part of it was missing.
    pub const IMAGE_CHANGED: u32 = 13;
    /// A rule of effect alert.
    pub const RULE_ALERT: u32 = 14;
    /// A rule of effect allow that asks for a record.
    pub const RULE_ALLOW: u32 = 15;
    /// Monitor mode: the action would have been restricted.
    pub const WOULD_HAVE: u32 = 16;
    /// The hold was stopped and continued more often than the bound.
    pub const HOLD_RESTOPS: u32 = 17;
    /// A guarded subject asked for the capability that clears login uids.
    pub const CAP_AUDIT_CONTROL: u32 = 18;
    /// A program got other arguments than those that were judged, and was killed.
    pub const ARGS_CHANGED: u32 = 19;
    /// The rule asks for a fact that nobody told in time, or that nobody can tell.
    pub const FACT_UNKNOWN: u32 = 20;
    /// The rate of a rule of effect throttle is used up, and the rule says that the rest is denied.
    pub const RATE_EXCEEDED: u32 = 21;
    /// A rule of effect throttle counts it, and its rate is not used up.
    pub const WITHIN_RATE: u32 = 22;
    /// No rule and no lease lets it through, and a policy's default denies that.
    pub const NOT_ALLOWED: u32 = 23;
    /// The rule holds, no agent is alive to take an answer, and a policy says that nothing waits for one.
    pub const NO_AGENT: u32 = 24;
}

/// The hook that judged.
pub mod hook {
    /// `bprm_check_security`
    pub const EXEC: u16 = 1;
    /// `file_open`
    pub const FILE_OPEN: u16 = 2;
    /// `inode_create`
    pub const INODE_CREATE: u16 = 3;
    /// `socket_connect`
    pub const SOCKET_CONNECT: u16 = 4;
    /// `capable`
    pub const CAPABLE: u16 = 5;
    /// `inode_unlink`, `inode_rmdir`
    pub const INODE_DELETE: u16 = 6;
    /// `inode_rename`
    pub const INODE_RENAME: u16 = 7;
    /// `inode_link`
    pub const INODE_LINK: u16 = 8;
    /// `inode_mkdir`, `inode_mknod`, `inode_symlink`
    pub const INODE_MAKE: u16 = 9;
    /// `inode_setattr`, `inode_setxattr` and their like
    pub const INODE_ATTR: u16 = 10;
    /// `mmap_file`, `file_mprotect`
    pub const MMAP_FILE: u16 = 11;
    /// `socket_sendmsg`
    pub const SOCKET_SENDMSG: u16 = 12;
    /// `socket_bind`
    pub const SOCKET_BIND: u16 = 13;
    /// `bprm_committed_creds`
    pub const EXEC_VERIFY: u16 = 14;
    /// Every hook of an operation in `op::SYSTEM`. The record's `object` is the file if it has a path, else `dev` is the
    /// process acted on (0 for none), whose `comm` is in `dest_addr`, and `ino` a number, see [`super::request`]
    pub const SYSTEM: u16 = 15;
    /// `sb_mount`, `sb_umount` and their like
    pub const MOUNT: u16 = 16;
    /// `socket_listen`
    pub const SOCKET_LISTEN: u16 = 17;
    /// `unix_stream_connect`, `unix_may_send`, and `socket_bind` of a name that no file has
    pub const UNIX: u16 = 18;
}

/// What is known of the protocol of a socket (include/uapi/linux/in.h).
pub mod protocol {
    /// Of an entry: whatever it is. No internet socket has this number.
    pub const ANY: u32 = 0;
    /// Multipath TCP counts as it: one falls back to the other.
    pub const TCP: u16 = 6;
    /// Of an attempt: neither protocol nor port are known, because what is sent has headers of its own.
    pub const UNKNOWN: u16 = u16::MAX;
}

/// What the number of a record of `hook::SYSTEM` means where it is none of the caller's own (a signal, a command, a
/// time).
pub mod request {
    /// Of `op::MODULE`, `op::FIRMWARE`, `op::KEXEC`: what is loaded comes from memory and not from a file
    pub const FROM_MEMORY: u64 = 1;
    /// Of `op::MODULE`: a module is unloaded
    pub const UNLOAD: u64 = 2;
    /// Of `op::SETUID`: a user id
    pub const USER_ID: u64 = 1;
    /// Of `op::SETUID`: a group id
    pub const GROUP_ID: u64 = 2;
    /// Of `op::NAMESPACE`: a new user namespace
    pub const USER_NAMESPACE: u64 = 1;
    /// Of `op::NAMESPACE`: a new namespace of another kind, or one that is there
    pub const OTHER_NAMESPACE: u64 = 2;
    /// Of `op::TIME`: an adjustment, not a new time
    pub const ADJUSTMENT: u64 = 0;

    /// Of `op::RAW`: family, type and protocol of the socket
    #[inline(always)]
    pub const fn socket(family: u16, kind: u16, protocol: u16) -> u64 {
        (family as u64) << 32 | (kind as u64) << 16 | protocol as u64
    }

    /// Of `op::NETLINK`: protocol of the socket and type of the message
    #[inline(always)]
    pub const fn message(protocol: u16, kind: u16) -> u64 {
        (protocol as u64) << 16 | kind as u64
    }
}

/// Event class, which is also the ring: A holds and grant-covered allows, B denials, C observations.
pub mod class {
    /// Holds, their outcomes, tamper, grant-covered allows. Recorded before the privilege.
    pub const A: u16 = 0;
    /// Denials. A failed reserve never changes the denial.
    pub const B: u16 = 1;
    /// Alerts and would-have.
    pub const C: u16 = 2;
    /// Number of classes.
    pub const COUNT: usize = 3;
}

/// Indices into the per-CPU counter map, the truth that user space reconciles against.
pub mod counter {
    /// Recorded decisions of class c are at `RECORDED + c`.
    pub const RECORDED: u32 = 0;
    /// Recorded decisions of class c whose record could not be reserved are at `LOST + c`.
    pub const LOST: u32 = 3;
    /// Task storage could not be created; the fork or the action was refused.
    pub const STORAGE_FAILED: u32 = 6;
    /// The image flipped while judging and the decision was made again.
    pub const REJUDGED: u32 = 7;
    /// A signal was sent but the hold could not be published.
    pub const HOLD_UNPUBLISHED: u32 = 8;
    /// Stops of calls that were already pending (stray `SIGCONT`).
    pub const RESTOPPED: u32 = 9;
    /// Questions about facts that found no room in their ring; each is asked again while its call may wait.
    pub const QUESTION_LOST: u32 = 10;
    /// Questions about facts that nobody answered in time: what they are about restricts.
    pub const UNANSWERED: u32 = 11;
    /// Rates that could not be counted, because there was no room or others counted at the same moment; they restrict as
    /// if they were used up.
    pub const UNCOUNTED: u32 = 12;
    /// Number of counters.
    pub const COUNT: u32 = 13;
}

/// Reads a verdict; everything that is not exactly a known constant is a denial.
#[inline(always)]
pub const fn decode_verdict(raw: u32) -> u32 {
    match raw {
        verdict::ALLOWED => verdict::ALLOWED,
        verdict::HELD => verdict::HELD,
        _ => verdict::DENIED,
    }
}

/// Reads an effect; everything that is not exactly a known constant is a denial.
#[inline(always)]
pub const fn decode_effect(raw: u32) -> u32 {
    match raw {
        effect::REQUIRE_GRANT => effect::REQUIRE_GRANT,
        effect::HOLD => effect::HOLD,
        effect::ALERT => effect::ALERT,
        effect::ALLOW => effect::ALLOW,
        effect::PERMISSION => effect::PERMISSION,
        effect::THROTTLE => effect::THROTTLE,
        effect::DEFAULT_DENY => effect::DEFAULT_DENY,
        effect::DEFAULT_HOLD => effect::DEFAULT_HOLD,
        _ => effect::DENY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(values: &[u32]) -> u32 {
        let mut least = u32::MAX;
        for (i, a) in values.iter().enumerate() {
            least = least.min(a.count_ones()); // distance to zeroed memory
            for b in values.iter().skip(i + 1) {
                least = least.min((a ^ b).count_ones());
            }
        }
        least
    }

    #[test]
    fn zeroed_and_unknown_bytes_mean_deny() {
        for raw in [0, 1, u32::MAX, verdict::ALLOWED ^ 1] {
            assert_eq!(decode_verdict(raw), verdict::DENIED);
            assert_eq!(decode_effect(raw), effect::DENY);
        }
        assert_eq!(decode_verdict(verdict::ALLOWED), verdict::ALLOWED);
        assert_eq!(decode_effect(effect::ALLOW), effect::ALLOW);
    }

    #[test]
    fn codes_lie_at_least_eight_bits_apart() {
        assert!(
            spread(&effect::ALL) >= 8,
            "effects: {}",
            spread(&effect::ALL)
        );
        assert!(
            spread(&verdict::ALL) >= 8,
            "verdicts: {}",
            spread(&verdict::ALL)
        );
        let answers = [
            answer::APPROVED,
            answer::REFUSED,
            answer::CANCELLED,
            answer::VOID,
        ];
        assert!(spread(&answers) >= 8, "answers: {}", spread(&answers));
    }

    /// All numbers that differ from these in up to four bits, and all of the lowest and of the highest 16 bits.
    #[test]
    fn no_number_is_taken_for_a_listed_one_however_it_was_damaged() {
        let bits = || (0..32).map(|bit| 1u32 << bit).chain([0]);
        let listed = effect::ALL.into_iter().chain(verdict::ALL);
        let mut damages = Vec::new();
        for a in bits() {
            for b in bits() {
                for c in bits() {
                    damages.extend(bits().map(|d| a | b | c | d));
                }
            }
        }
        damages.sort_unstable();
        damages.dedup();
        assert_eq!(damages.len(), 1 + 32 + 496 + 4_960 + 35_960);
        let near = listed.chain([0, u32::MAX]);
        let near = near.flat_map(|from| damages.iter().map(move |damage| from ^ damage));
        let rest = (0..1 << 16).flat_map(|half| [half, half << 16]);
        for raw in near.chain(rest) {
            let effects = effect::ALL.contains(&raw);
            let verdicts = verdict::ALL.contains(&raw);
            assert_eq!(decode_effect(raw), if effects { raw } else { effect::DENY });
            assert_eq!(
                decode_verdict(raw),
                if verdicts { raw } else { verdict::DENIED }
            );
        }
    }
}
