//! x86-64: `struct pt_regs` and what the calls in it are.

use aya_ebpf::helpers::generated::bpf_task_pt_regs;
use stayhand_agent_ebpf::{
    abi::{calls::held_for, code::op, task::Scratch},
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

// include/uapi/linux/capability.h
const CAP_SYS_MODULE: u32 = 16;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_SYS_BOOT: u32 = 22;
const CAP_SYS_TIME: u32 = 25;

/// Where a table lacks a call.
const NONE: u64 = u64::MAX;

/// Calls that have to be told apart; 64-bit table (arch/x86/entry/syscalls/syscall_64.tbl).
mod call64 {
    pub const CLONE: u64 = 56;
    pub const EXECVE: u64 = 59;
    pub const KILL: u64 = 62;
    pub const SETTIMEOFDAY: u64 = 164;
    pub const MOUNT: u64 = 165;
    pub const SWAPON: u64 = 167;
    pub const SWAPOFF: u64 = 168;
    pub const DELETE_MODULE: u64 = 176;
    pub const CLOCK_SETTIME: u64 = 227;
    pub const KEXEC_LOAD: u64 = 246;
    pub const UNSHARE: u64 = 272;
    pub const SETNS: u64 = 308;
    pub const KEXEC_FILE_LOAD: u64 = 320;
    pub const EXECVEAT: u64 = 322;
    pub const PIDFD_SEND_SIGNAL: u64 = 424;
    pub const CLONE3: u64 = 435;
}

/// The same of the 32-bit table (arch/x86/entry/syscalls/syscall_32.tbl).
mod call32 {
    pub const EXECVE: u64 = 11;
    pub const MOUNT: u64 = 21;
    pub const STIME: u64 = 25;
    pub const SETTIMEOFDAY: u64 = 79;
    pub const SWAPON: u64 = 87;
    pub const SWAPOFF: u64 = 115;
    pub const CLONE: u64 = 120;
    pub const DELETE_MODULE: u64 = 129;
    pub const CLOCK_SETTIME: u64 = 264;
    pub const KEXEC_LOAD: u64 = 283;
    pub const UNSHARE: u64 = 310;
    pub const SETNS: u64 = 346;
    pub const EXECVEAT: u64 = 358;
    pub const CLOCK_SETTIME64: u64 = 404;
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

    /// Whether the restart of this call is shown to be without effect if it is held for these operations.
    #[inline(always)]
    pub fn restartable(self, ops: u32) -> bool {
        let number = self.number();
        let alone = match number {
            // To a group or to everybody: others have had the signal when one is held.
            call64::KILL => (self.reg(DI) as u32).cast_signed() > 0,
            call64::PIDFD_SEND_SIGNAL => self.reg(R10) == 0,
            _ => true,
        };
        alone && ops & !held_for(number, self.compat) == 0
    }

    /// Operation for which this call needs a capability, where no hook but that of capabilities tells of it; 0 for
    /// none. What has a hook of its own is judged there.
    #[inline(always)]
    pub fn asks_by(self, capability: u32) -> u32 {
        let number = self.number();
        let is = |long: u64, compat: u64| number == if self.compat { compat } else { long };
        match capability {
            CAP_SYS_BOOT
                if !is(call64::KEXEC_LOAD, call32::KEXEC_LOAD)
                    && !is(call64::KEXEC_FILE_LOAD, NONE) =>
            {
                op::REBOOT
            }
            CAP_SYS_MODULE if is(call64::DELETE_MODULE, call32::DELETE_MODULE) => op::MODULE,
            CAP_SYS_ADMIN
                if is(call64::SWAPON, call32::SWAPON) || is(call64::SWAPOFF, call32::SWAPOFF) =>
            {
                op::SWAP
            }
            CAP_SYS_ADMIN
                if is(call64::UNSHARE, call32::UNSHARE)
                    || is(call64::CLONE, call32::CLONE)
                    || is(call64::CLONE3, call64::CLONE3)
                    || is(call64::SETNS, call32::SETNS) =>
            {
                op::NAMESPACE
            }
            CAP_SYS_TIME
                if !is(call64::SETTIMEOFDAY, call32::SETTIMEOFDAY)
                    && !is(call64::CLOCK_SETTIME, call32::CLOCK_SETTIME)
                    && !is(NONE, call32::CLOCK_SETTIME64)
                    && !is(NONE, call32::STIME) =>
            {
                op::TIME
            }
            _ => 0,
        }
    }

    /// Whether this is `mount`, whose every use is judged where it begins.
    #[inline(always)]
    pub fn is_mount(self) -> bool {
        let mount = if self.compat {
            call32::MOUNT
        } else {
            call64::MOUNT
        };
        self.number() == mount
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

    /// Identity of the call: a restart has the same registers. Uses the scratch, which must be live.
    #[inline(always)]
    pub fn identity(self, scratch: *mut Scratch, secret: [u64; 2]) -> u64 {
        // SAFETY: the scratch is live.
        let mut words = unsafe { Words::new(scratch) };
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
