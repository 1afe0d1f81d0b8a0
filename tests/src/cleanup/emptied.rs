//! Empties every pinned map under programs that stay attached, so that the next agent of this build need not have them
//! verified again: to it they are as they were when they had just been loaded.
//!
//! What an agent left word of (`LOADED`) stays; the rest is zeroes or nothing. Only for the runner, with no agent alive.

use std::{
    fs,
    os::fd::{AsRawFd as _, OwnedFd},
};

use anyhow::{Context as _, Result, bail, ensure};

use super::pins_of_this_build;
use crate::actors::{
    bpf::{Element, Ring, bpf, pinned, processors, told},
    sys::pidfd,
};

// `enum bpf_cmd` (linux/bpf.h).
const MAP_DELETE_ELEM: u32 = 3;
const MAP_GET_NEXT_KEY: u32 = 4;
const MAP_UPDATE_BATCH: u32 = 26;
// `enum bpf_map_type` (linux/bpf.h).
const HASH: u64 = 1;
const ARRAY: u64 = 2;
const PERCPU_ARRAY: u64 = 6;
const LRU_HASH: u64 = 9;
const LPM_TRIE: u64 = 11;
const RINGBUF: u64 = 27;
const TASK_STORAGE: u64 = 29;
/// What the next agent knows the programs by.
const KEPT: &str = "LOADED";

/// Empties all of them; fails where something is not as a live agent of this build leaves it.
pub(super) fn all() -> Result<()> {
    let pins = pins_of_this_build();
    ensure!(
        fs::read_dir(pins.join("links"))?.next().is_some(),
        "nothing is attached"
    );
    for entry in fs::read_dir(pins.join("maps"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name != KEPT {
            one(&name).with_context(|| format!("cannot empty map {name}"))?;
        }
    }
    Ok(())
}

fn one(name: &str) -> Result<()> {
    let map = Shape::of(pinned(name)?)?;
    match map.kind {
        HASH | LRU_HASH | LPM_TRIE => map.remove_all(),
        ARRAY | PERCPU_ARRAY => map.zero_all(),
        TASK_STORAGE => map.forget_tasks(),
        RINGBUF => {
            Ring::open(name)?.skip();
            Ok(())
        }
        other => bail!("map type {other} is not known here"),
    }
}

/// A map as `/proc` describes it.
struct Shape {
    fd: OwnedFd,
    kind: u64,
    key_size: usize,
    value_size: usize,
    max_entries: usize,
}

impl Shape {
    fn of(fd: OwnedFd) -> Result<Self> {
        let number = |word: &str| told(&fd, word);
        Ok(Self {
            kind: number("map_type")?,
            key_size: usize::try_from(number("key_size")?)?,
            value_size: usize::try_from(number("value_size")?)?,
            max_entries: usize::try_from(number("max_entries")?)?,
            fd,
        })
    }

    fn element(&self, command: u32, key: u64, value: u64) -> bool {
        let element = Element {
            fd: self.fd.as_raw_fd().cast_unsigned(),
            pad: 0,
            key,
            value,
            flags: 0,
        };
        bpf(command, &element) == 0
    }

    /// Always the first one: there is no end to lose the place at.
    fn remove_all(&self) -> Result<()> {
        let mut key = vec![0u8; self.key_size];
        let at = key.as_mut_ptr() as u64;
        let mut removed = 0;
        while self.element(MAP_GET_NEXT_KEY, 0, at) {
            self.element(MAP_DELETE_ELEM, at, 0);
            removed += 1;
            ensure!(removed <= 2 * self.max_entries, "somebody else fills it");
        }
        Ok(())
    }

    fn zero_all(&self) -> Result<()> {
        /// Part of `union bpf_attr` for batches (linux/bpf.h).
        #[repr(C)]
        struct Batch {
            from: u64,
            to: u64,
            keys: u64,
            values: u64,
            count: u32,
            map: u32,
            element_flags: u64,
            flags: u64,
        }
        let keys: Vec<u32> = (0..u32::try_from(self.max_entries)?).collect();
        let per_key = if self.kind == PERCPU_ARRAY {
            // One value for each possible processor, each padded to words (kernel/bpf/syscall.c).
            self.value_size.next_multiple_of(8) * processors()?
        } else {
            self.value_size
        };
        let values = vec![0u8; keys.len() * per_key];
        let batch = Batch {
            from: 0,
            to: 0,
            keys: keys.as_ptr() as u64,
            values: values.as_ptr() as u64,
            count: u32::try_from(keys.len())?,
            map: self.fd.as_raw_fd().cast_unsigned(),
            element_flags: 0,
            flags: 0,
        };
        let done = bpf(MAP_UPDATE_BATCH, &batch);
        ensure!(done == 0, "cannot write zeroes: {done}");
        Ok(())
    }

    fn forget_tasks(&self) -> Result<()> {
        for process in procfs::process::all_processes()?.flatten() {
            // Whoever has ended by now has no storage either.
            let Some(pidfd) = pidfd(process.pid().cast_unsigned()) else {
                continue;
            };
            let key = pidfd.as_raw_fd();
            self.element(MAP_DELETE_ELEM, std::ptr::from_ref(&key) as u64, 0);
        }
        Ok(())
    }
}
