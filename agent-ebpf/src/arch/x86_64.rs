//! x86-64: `struct pt_regs` and the calls whose restart is shown to be without effect (docs/hold.md).

use aya_ebpf::helpers::generated::bpf_task_pt_regs;
use stayhand_agent_ebpf::{
    abi::task::TaskState,
    siphash::{Sip, last_word},
};

use crate::{
    offsets::{Addr, OFF_TASK_STATUS, load},
    words::Words,
};

/// `ENOSYS`: what `pt_regs.ax` holds (negated) from system call entry until the call returns.
const ENOSYS: u64 = 38;
/// `TS_COMPAT` (arch/x86/include/asm/thread_info.h): a 32-bit system call is active.
const TS_COMPAT: u32 = 0x2;

// Byte offsets in struct pt_regs (arch/x86/include/asm/ptrace.h); part of the kernel's user ABI.
const R10: usize = 56;
const BX: usize = 40;
const R9: usize = 64;
const R8: usize = 72;
const AX: usize = 80;
const CX: usize = 88;
const DX: usize = 96;
const SI: usize = 104;
const DI: usize = 112;
const ORIG_AX: usize = 120;
const IP: usize = 128;
const SP: usize = 152;

/// Calls that may be held, 64-bit table (arch/x86/entry/syscalls/syscall_64.tbl).
mod call64 {
    pub const OPEN: u64 = 2;
    pub const MMAP: u64 = 9;
    pub const CONNECT: u64 = 42;
    pub const SENDTO: u64 = 44;
    pub const SENDMSG: u64 = 46;
    pub const BIND: u64 = 49;
    pub const EXECVE: u64 = 59;
    pub const TRUNCATE: u64 = 76;
    pub const RENAME: u64 = 82;
    pub const MKDIR: u64 = 83;
    pub const RMDIR: u64 = 84;
    pub const CREAT: u64 = 85;
    pub const LINK: u64 = 86;
    pub const UNLINK: u64 = 87;
    pub const SYMLINK: u64 = 88;
    pub const CHMOD: u64 = 90;
    pub const FCHMOD: u64 = 91;
    pub const CHOWN: u64 = 92;
    pub const FCHOWN: u64 = 93;
    pub const LCHOWN: u64 = 94;
    pub const MKNOD: u64 = 133;
    pub const REMOVEXATTR: u64 = 197;
    pub const LREMOVEXATTR: u64 = 198;
    pub const FREMOVEXATTR: u64 = 199;
    pub const OPENAT: u64 = 257;
    pub const MKDIRAT: u64 = 258;
    pub const MKNODAT: u64 = 259;
    pub const FCHOWNAT: u64 = 260;
    pub const UNLINKAT: u64 = 263;
    pub const RENAMEAT: u64 = 264;
    pub const LINKAT: u64 = 265;
    pub const SYMLINKAT: u64 = 266;
    pub const FCHMODAT: u64 = 268;
    pub const UTIMENSAT: u64 = 280;
    pub const RENAMEAT2: u64 = 316;
    pub const EXECVEAT: u64 = 322;
    pub const OPENAT2: u64 = 437;
}

/// Calls that may be held, 32-bit table (arch/x86/entry/syscalls/syscall_32.tbl).
mod call32 {
    pub const OPEN: u64 = 5;
    pub const CREAT: u64 = 8;
    pub const EXECVE: u64 = 11;
    pub const OPENAT: u64 = 295;
    pub const EXECVEAT: u64 = 358;
}

/// The registers of the current system call.
#[derive(Clone, Copy)]
pub struct Call {
    regs: Addr,
    compat: bool,
}

/// User addresses of the argument and environment vectors of an exec call.
#[derive(Clone, Copy)]
pub struct Vectors {
    /// `argv`
    pub argv: u64,
    /// `envp`
    pub envp: u64,
}

impl Call {
    /// Registers of the current task.
    #[inline(always)]
    pub fn current(task: Addr) -> Self {
        // SAFETY: `task` is the current task; the helper returns its typed user registers.
        let regs = unsafe { bpf_task_pt_regs(task.cast_mut().cast()) } as Addr;
        // SAFETY: typed task pointer.
        let status: u32 = unsafe { load(task, &OFF_TASK_STATUS) };
        Self {
            regs,
            compat: status & TS_COMPAT != 0,
        }
    }

    #[inline(always)]
    fn reg(self, offset: usize) -> u64 {
        // SAFETY: typed `pt_regs` pointer and an offset inside the structure.
        unsafe { core::ptr::read_volatile(self.regs.add(offset).cast()) }
    }

    /// Number of the call: the kernel looks at the low half of the register only (`do_syscall_64`).
    #[inline(always)]
    fn number(self) -> u64 {
        self.reg(ORIG_AX) & 0xffff_ffff
    }

    /// True inside the body of a call, false in work that runs on its exit (linked io_uring requests).
    #[inline(always)]
    pub fn in_body(self) -> bool {
        self.reg(AX) == 0u64.wrapping_sub(ENOSYS)
    }

    /// Whether the restart of this call is shown to be without effect.
    #[inline(always)]
    pub fn restartable(self) -> bool {
        let number = self.number();
        if self.compat {
            return matches!(number, call32::OPEN | call32::CREAT | call32::OPENAT);
        }
        matches!(
            number,
            call64::OPEN
                | call64::CONNECT
                | call64::EXECVE
                | call64::CREAT
                | call64::OPENAT
                | call64::EXECVEAT
                | call64::OPENAT2
                | call64::MMAP
                | call64::SENDTO
                | call64::SENDMSG
                | call64::BIND
                | call64::TRUNCATE
                | call64::RENAME
                | call64::RENAMEAT
                | call64::RENAMEAT2
                | call64::MKDIR
                | call64::MKDIRAT
                | call64::RMDIR
                | call64::LINK
                | call64::LINKAT
                | call64::UNLINK
                | call64::UNLINKAT
                | call64::SYMLINK
                | call64::SYMLINKAT
                | call64::CHMOD
                | call64::FCHMOD
                | call64::FCHMODAT
                | call64::CHOWN
                | call64::FCHOWN
                | call64::LCHOWN
                | call64::FCHOWNAT
                | call64::MKNOD
                | call64::MKNODAT
                | call64::REMOVEXATTR
                | call64::LREMOVEXATTR
                | call64::FREMOVEXATTR
                | call64::UTIMENSAT
        )
    }

    /// Whether the kernel is loading a program: a loader sets both number and ABI to those of the new program's
    /// `execve` before it maps anything (arch/x86/kernel/process_64.c).
    #[inline(always)]
    pub fn is_exec(self) -> bool {
        let number = self.reg(ORIG_AX);
        self.in_body()
            && if self.compat {
                matches!(number, call32::EXECVE | call32::EXECVEAT)
            } else {
                matches!(number, call64::EXECVE | call64::EXECVEAT)
            }
    }

    /// Vectors of `execve` and `execveat`; `None` in any other call.
    #[inline(always)]
    pub fn vectors(self) -> Option<Vectors> {
        if self.compat {
            return None;
        }
        match self.number() {
            call64::EXECVE => Some(Vectors {
                argv: self.reg(SI),
                envp: self.reg(DX),
            }),
            call64::EXECVEAT => Some(Vectors {
                argv: self.reg(DX),
                envp: self.reg(R10),
            }),
            _ => None,
        }
    }

    /// Identity of the call: a restart has the same registers. Uses the scratch of `state`, which must be live.
    #[inline(always)]
    pub fn identity(self, state: *mut TaskState, secret: [u64; 2]) -> u64 {
        // SAFETY: the state is live.
        let mut words = unsafe { Words::new(state) };
        words.put(self.number() | (u64::from(self.compat) << 63));
        words.put(self.reg(IP));
        words.put(self.reg(SP));
        words.put(self.reg(DI));
        words.put(self.reg(SI));
        words.put(self.reg(DX));
        words.put(self.reg(R10));
        words.put(self.reg(R8));
        words.put(self.reg(R9));
        words.put(self.reg(BX));
        words.put(self.reg(CX) & if self.compat { u64::MAX } else { 0 }); // `syscall` puts the ip into cx
        words.put(last_word(0, 11 * 8));
        words.hashed(Sip::narrow(secret)).finish()
    }
}
