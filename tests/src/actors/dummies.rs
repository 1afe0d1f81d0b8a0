//! Programs of another product on a hook, each of them `return 0`: as many as the kernel takes, or one on each of ours.
//!
//! They are there as long as the value lives and are never pinned.
#![expect(unsafe_code, reason = "bpf(2) takes addresses")]

use std::{
    ffi::CString,
    os::fd::{AsRawFd as _, OwnedFd},
};

use anyhow::{Context as _, Result, ensure};
use stayhand_agent_ebpf::abi::offsets::{HOOKS_OF_NEWER_KERNELS, PROGRAMS};

use super::{
    bpf::bpf,
    btf,
    sys::{Ret, owned},
};
use crate::{cleanup::pins_of_this_build, wait};

// `enum bpf_cmd`, `bpf_prog_type` and `bpf_attach_type` (linux/bpf.h).
const PROG_LOAD: u32 = 5;
const OBJ_GET: u32 = 7;
const OBJ_GET_INFO_BY_FD: u32 = 15;
const RAW_TRACEPOINT_OPEN: u32 = 17;
const PROG_TYPE_LSM: u32 = 29;
const ATTACH_LSM_MAC: u32 = 27;
/// `r0 = 0; exit`
const ALLOW: [u64; 2] = [0xb7, 0x95];
/// Words of `struct bpf_link_info` up to the one wanted, `tracing.target_btf_id`.
const LINK_INFO_WORDS: usize = 8;
const TARGET_BTF_ID: usize = 6;

/// `BPF_MAX_TRAMP_LINKS`: what one hook takes, of all products together.
pub const PER_HOOK_MAX: usize = 38;

/// The part of `union bpf_attr` that loads a program.
#[repr(C)]
#[derive(Default)]
struct Load {
    kind: u32,
    instructions: u32,
    code: u64,
    license: u64,
    log: [u64; 2],
    version_and_flags: u64,
    name: [u64; 2],
    interface: u32,
    attach_type: u32,
    btf_and_lines: [u64; 4],
    line_infos: u32,
    attach_btf_id: u32,
}

/// A hook, as the kernel's type information numbers it.
#[derive(Clone, Copy, Debug)]
pub struct Hook {
    btf_id: u32,
}

/// Attached programs.
pub struct Dummies {
    hook: Hook,
    links: Vec<OwnedFd>,
}

impl Hook {
    /// Each of ours that this kernel has.
    fn all() -> Result<Vec<Self>> {
        let types = btf::kernel()?;
        let numbered = |(_, hook): &(&str, &str)| btf::function(&types, &format!("bpf_lsm_{hook}"));
        let hooks: Vec<Self> = PROGRAMS
            .iter()
            .filter_map(numbered)
            .map(|btf_id| Self { btf_id })
            .collect();
        let missing = PROGRAMS.len() - hooks.len();
        ensure!(
            missing <= HOOKS_OF_NEWER_KERNELS.len(),
            "{missing} hooks are missing"
        );
        Ok(hooks)
    }

    /// Learnt from the link that the agent pinned.
    pub fn of_pinned(link: &str) -> Result<Self> {
        let path = pins_of_this_build().join("links").join(link);
        let path = CString::new(path.into_os_string().into_encoded_bytes())?;
        let opened = bpf(OBJ_GET, &[path.as_ptr() as u64, 0, 0]);
        let link = owned(opened).with_context(|| format!("no pinned link {link}: {opened}"))?;
        let info = [0u32; LINK_INFO_WORDS];
        let fd = u64::from(link.as_raw_fd().cast_unsigned());
        let len = (size_of_val(&info) as u64) << 32;
        let asked = bpf(OBJ_GET_INFO_BY_FD, &[fd | len, info.as_ptr() as u64]);
        ensure!(asked == 0, "no information about a link: {asked}");
        // SAFETY: plain words that the kernel has written behind the compiler's back.
        let btf_id = unsafe { info.as_ptr().add(TARGET_BTF_ID).read_volatile() };
        ensure!(btf_id != 0, "the link does not say what it is attached to");
        Ok(Self { btf_id })
    }
}

impl Dummies {
    /// One on each of our hooks: what the kernel itself takes for calling any program.
    pub fn on_each_hook() -> Result<Vec<Self>> {
        let one = |hook| {
            let mut made = Self::on(hook);
            made.fill(1)?;
            Ok(made)
        };
        Hook::all()?.into_iter().map(one).collect()
    }

    /// None yet.
    pub fn on(hook: Hook) -> Self {
        let links = Vec::new();
        Self { hook, links }
    }

    /// Attaches until `total` are there. Links that were just given up may hold their place a moment longer.
    pub fn fill(&mut self, total: usize) -> Result<()> {
        while self.links.len() < total {
            let link = wait::until_ok(wait::SOON, "a place on the hook", || {
                let attached = self.attach()?;
                let is_full = attached == -Ret::from(libc::E2BIG);
                ensure!(attached >= 0 || is_full, "cannot attach: {attached}");
                Ok(owned(attached))
            })?;
            self.links.push(link);
        }
        Ok(())
    }

    /// Whether the kernel takes no more.
    pub fn is_full(&self) -> Result<bool> {
        let attached = self.attach()?;
        drop(owned(attached));
        Ok(attached == -Ret::from(libc::E2BIG))
    }

    /// The descriptor of a new program's link. One program cannot be attached twice.
    fn attach(&self) -> Result<Ret> {
        let license = c"GPL";
        let load = Load {
            kind: PROG_TYPE_LSM,
            instructions: ALLOW.len() as u32,
            code: ALLOW.as_ptr() as u64,
            license: license.as_ptr() as u64,
            attach_type: ATTACH_LSM_MAC,
            attach_btf_id: self.hook.btf_id,
            ..Load::default()
        };
        let loaded = bpf(PROG_LOAD, &load);
        let program = owned(loaded).with_context(|| format!("cannot load a program: {loaded}"))?;
        let fd = u64::from(program.as_raw_fd().cast_unsigned());
        Ok(bpf(RAW_TRACEPOINT_OPEN, &[0, fd]))
    }
}
