//! Programs that do nothing, on every hook that ours are on: what the kernel itself takes for calling them.

use std::os::fd::{AsRawFd as _, OwnedFd};

use anyhow::{Context as _, Result, ensure};
use stayhand_agent_ebpf::abi::offsets::{HOOKS_OF_NEWER_KERNELS, PROGRAMS};

use super::{bpf::bpf, sys::owned};

// include/uapi/linux/bpf.h
const PROG_LOAD: u32 = 5;
const RAW_TRACEPOINT_OPEN: u32 = 17;
const PROG_TYPE_LSM: u32 = 29;
const LSM_MAC: u32 = 27;
/// `r0 = 0; exit`
const NOTHING: [u64; 2] = [0xb7, 0x95];

/// `union bpf_attr` for loading, as far as it is used.
#[repr(C)]
#[derive(Default)]
struct Load {
    kind: u32,
    instructions: u32,
    code: u64,
    licence: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    expected_attach_type: u32,
    btf_fd: u32,
    func_info_size: u32,
    func_info: u64,
    func_infos: u32,
    line_info_size: u32,
    line_info: u64,
    line_infos: u32,
    attach_btf_id: u32,
    attach_fd: u32,
    pad: u32,
}

/// Attaches one to each hook; they go when this is dropped.
pub fn attach() -> Result<Vec<OwnedFd>> {
    let types = std::fs::read("/sys/kernel/btf/vmlinux").context("the kernel's types")?;
    let hooks: Vec<(&str, u32)> = PROGRAMS
        .iter()
        .filter_map(|(_, hook)| Some((*hook, function(&types, &format!("bpf_lsm_{hook}"))?)))
        .collect();
    let missing = PROGRAMS.len() - hooks.len();
    ensure!(
        missing <= HOOKS_OF_NEWER_KERNELS.len(),
        "{missing} hooks are missing"
    );
    hooks
        .into_iter()
        .map(|(hook, id)| one(id).context(hook))
        .collect()
}

fn one(id: u32) -> Result<OwnedFd> {
    let program = bpf(
        PROG_LOAD,
        &Load {
            kind: PROG_TYPE_LSM,
            instructions: 2,
            code: NOTHING.as_ptr() as u64,
            licence: c"GPL".as_ptr() as u64,
            expected_attach_type: LSM_MAC,
            attach_btf_id: id,
            ..Load::default()
        },
    );
    let program = owned(program).with_context(|| format!("loading gives {program}"))?;
    let link = bpf(
        RAW_TRACEPOINT_OPEN,
        &[0, u64::from(program.as_raw_fd().cast_unsigned())],
    );
    owned(link).with_context(|| format!("attaching gives {link}"))
}

/// Number of a function among the kernel's types (Documentation/bpf/btf.rst), which are numbered from 1.
fn function(types: &[u8], name: &str) -> Option<u32> {
    const FUNC: u32 = 12;
    let [header, begin, len, strings] = [4, 8, 12, 16].map(|at| word(types, at));
    let (begin, strings) = (header? + begin?, header? + strings?);
    let (mut at, end) = (begin, begin + len?);
    let mut id = 1;
    while at < end {
        let (name_at, info) = (word(types, at)?, word(types, at + 4)?);
        let (members, kind) = (info & 0xffff, info >> 24 & 0x1f);
        if kind == FUNC && string(types, strings + name_at) == Some(name.as_bytes()) {
            return Some(id);
        }
        // What follows a type, by its kind.
        at += 12
            + match kind {
                1 | 14 | 17 => 4,
                3 => 12,
                4 | 5 | 15 | 19 => 12 * members,
                6 | 13 => 8 * members,
                _ => 0,
            };
        id += 1;
    }
    None
}

fn word(bytes: &[u8], at: u32) -> Option<u32> {
    let bytes = bytes.get(at as usize..)?.first_chunk()?;
    Some(u32::from_le_bytes(*bytes))
}

fn string(bytes: &[u8], at: u32) -> Option<&[u8]> {
    bytes.get(at as usize..)?.split(|byte| *byte == 0).next()
}
