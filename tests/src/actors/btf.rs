//! The kernel's type information, as far as it numbers functions (Documentation/bpf/btf.rst).

use anyhow::{Context as _, Result};

/// The kernel's own types.
pub fn kernel() -> Result<Vec<u8>> {
    std::fs::read("/sys/kernel/btf/vmlinux").context("the kernel's types")
}

/// Number of a function among these types, which are numbered from 1.
pub fn function(types: &[u8], name: &str) -> Option<u32> {
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
