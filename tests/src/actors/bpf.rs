//! Pinned maps and rings by raw `bpf(2)`: lets a test stand in for the agent and look over its shoulder.
//!
//! Loads and attaches nothing; the real agent has done that before.
#![expect(
    unsafe_code,
    reason = "bpf(2) takes addresses; rings are shared memory"
)]

use std::{
    ffi::CString,
    marker::PhantomData,
    num::NonZeroUsize,
    os::fd::{AsRawFd as _, OwnedFd},
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
};

use anyhow::{Context as _, Result, bail};
use nix::sys::mman::{MapFlags, ProtFlags, mmap};
use stayhand_agent_ebpf::abi::record::Record;

use super::sys::{Ret, call, owned};
use stayhand_agent_ebpf::abi::ABI_VERSION;

use crate::cleanup::PINS;

const MAP_LOOKUP_ELEM: u32 = 1;
const MAP_UPDATE_ELEM: u32 = 2;
const MAP_DELETE_ELEM: u32 = 3;
const MAP_GET_NEXT_KEY: u32 = 4;
const OBJ_GET: u32 = 7;
/// Entries that a walk over a map looks at, against one that changes all the time.
const WALK_MAX: usize = 100_000;

/// A pinned map.
pub struct Map<K, V> {
    fd: OwnedFd,
    types: PhantomData<(K, V)>,
}

/// `union bpf_attr` for element calls.
#[repr(C)]
pub struct Element {
    /// Of the map
    pub fd: u32,
    /// Zero
    pub pad: u32,
    /// Address of the key
    pub key: u64,
    /// Address of the value, or of the next key
    pub value: u64,
    /// Zero
    pub flags: u64,
}

/// The call; attributes are the kernel's to read, and to write behind addresses in them.
pub fn bpf<T>(command: u32, attributes: &T) -> Ret {
    call!(
        libc::SYS_bpf,
        command,
        std::ptr::from_ref(attributes),
        size_of::<T>()
    )
}

/// The descriptor of a pinned map.
pub fn pinned(name: &str) -> Result<OwnedFd> {
    let path = CString::new(format!("{PINS}/v{ABI_VERSION}/maps/{name}"))?;
    let fd = bpf(OBJ_GET, &[path.as_ptr() as u64, 0, 0]);
    owned(fd).with_context(|| format!("cannot open the pinned map {name}: {fd}"))
}

/// The kernel's number of a pinned link.
pub fn link_id(path: &std::path::Path) -> Result<u32> {
    let name = CString::new(path.as_os_str().as_encoded_bytes())?;
    let fd = bpf(OBJ_GET, &[name.as_ptr() as u64, 0, 0]);
    let fd = owned(fd).with_context(|| format!("cannot open {}: {fd}", path.display()))?;
    Ok(u32::try_from(told(&fd, "link_id")?)?)
}

impl<K: Copy, V: Copy> Map<K, V> {
    /// By its name.
    pub fn open(name: &str) -> Result<Self> {
        Ok(Self {
            fd: pinned(name)?,
            types: PhantomData,
        })
    }

    /// What it takes of the kernel's memory, as the kernel reckons it.
    pub fn bytes(&self) -> Result<u64> {
        told(&self.fd, "memlock")
    }

    fn element(&self, command: u32, key: *const K, value: *const V) -> Ret {
        let fd = self.fd.as_raw_fd().cast_unsigned();
        bpf(
            command,
            &Element {
                fd,
                pad: 0,
                key: key as u64,
                value: value as u64,
                flags: 0,
            },
        )
    }

    /// The value under a key.
    pub fn get(&self, key: &K) -> Option<V> {
        let mut value = std::mem::MaybeUninit::<V>::uninit();
        let found = self.element(MAP_LOOKUP_ELEM, key, value.as_mut_ptr());
        // SAFETY: on success the kernel has filled the value, whose type is the map's and plain data.
        (found == 0).then(|| unsafe { value.assume_init() })
    }

    /// Sets a value.
    pub fn put(&self, key: &K, value: &V) -> Result<()> {
        match self.element(MAP_UPDATE_ELEM, key, value) {
            0 => Ok(()),
            error => bail!("cannot update a map: {error}"),
        }
    }

    /// True if there was one.
    pub fn delete(&self, key: &K) -> bool {
        self.element(MAP_DELETE_ELEM, key, std::ptr::null()) == 0
    }

    /// Every key, as far as one walk sees them.
    pub fn keys(&self) -> Vec<K> {
        let mut keys: Vec<K> = Vec::new();
        while keys.len() < WALK_MAX {
            let mut next = std::mem::MaybeUninit::<K>::uninit();
            let last = keys.last().map_or(std::ptr::null(), std::ptr::from_ref);
            if self.element(MAP_GET_NEXT_KEY, last, next.as_mut_ptr().cast()) != 0 {
                break;
            }
            // SAFETY: the kernel has filled the key.
            keys.push(unsafe { next.assume_init() });
        }
        keys
    }

    /// Everything in it.
    pub fn all(&self) -> Vec<(K, V)> {
        let keys = self.keys().into_iter();
        keys.filter_map(|key| self.get(&key).map(|value| (key, value)))
            .collect()
    }
}

/// The kernel's counters, summed over all processors.
pub struct Counters {
    fd: OwnedFd,
    processors: usize,
}

impl Counters {
    /// The pinned ones.
    pub fn open() -> Result<Self> {
        Ok(Self {
            fd: pinned("COUNTERS")?,
            processors: processors()?,
        })
    }

    /// One of `abi::code::counter`.
    pub fn get(&self, index: u32) -> Result<u64> {
        let mut values = vec![0u64; self.processors];
        let fd = self.fd.as_raw_fd().cast_unsigned();
        let key = std::ptr::from_ref(&index) as u64;
        let value = values.as_mut_ptr() as u64;
        let found = bpf(
            MAP_LOOKUP_ELEM,
            &Element {
                fd,
                pad: 0,
                key,
                value,
                flags: 0,
            },
        );
        if found != 0 {
            bail!("cannot read counter {index}: {found}");
        }
        Ok(values.iter().sum())
    }
}

/// Bytes of a page on x86-64.
const PAGE: usize = 4096;
/// `BPF_RINGBUF_BUSY_BIT`, `BPF_RINGBUF_DISCARD_BIT`, `BPF_RINGBUF_HDR_SZ` (linux/bpf.h).
const BUSY: u32 = 1 << 31;
const DISCARD: u32 = 1 << 30;
const HEADER: usize = 8;

/// A pinned ring, read as the agent reads it. Only while no agent does.
pub struct Ring {
    consumer: *mut u8,
    producer: *mut u8,
    size: usize,
}

// SAFETY: both mappings are shared memory that is only touched by atomics or after the producer's release.
unsafe impl Send for Ring {}

impl Ring {
    /// `RING_A`, `RING_B` or `RING_C`.
    pub fn open(name: &str) -> Result<Self> {
        let fd = pinned(name)?;
        let size = ring_size(&fd)?;
        let map = |bytes: usize, protection, offset| {
            let bytes = NonZeroUsize::new(bytes).unwrap_or(NonZeroUsize::MIN);
            // SAFETY: new shared mappings of the ring, not fixed; they stay for the life of the process.
            unsafe { mmap(None, bytes, protection, MapFlags::MAP_SHARED, &fd, offset) }
        };
        let consumer = map(PAGE, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, 0)?;
        let producer = map(PAGE + 2 * size, ProtFlags::PROT_READ, PAGE as i64)?;
        Ok(Self {
            consumer: consumer.as_ptr().cast(),
            producer: producer.as_ptr().cast(),
            size,
        })
    }

    fn position(at: *mut u8) -> &'static AtomicU64 {
        // SAFETY: the first word of each mapping is its position; mappings are never removed.
        unsafe { &*at.cast::<AtomicU64>() }
    }

    /// Takes out every finished record.
    pub fn drain(&self) -> Vec<Record> {
        let mut records = Vec::new();
        let consumer = Self::position(self.consumer);
        let mut at = consumer.load(Ordering::Acquire);
        while at < Self::position(self.producer).load(Ordering::Acquire) {
            let offset = usize::try_from(at).unwrap_or(0) & (self.size - 1);
            // SAFETY: below the ring's size; the data pages follow the producer's page, twice.
            let header = unsafe { self.producer.add(PAGE + offset) };
            // SAFETY: record headers are aligned to eight bytes and written with release order.
            let word = unsafe { &*header.cast::<AtomicU32>() }.load(Ordering::Acquire);
            if word & BUSY != 0 {
                break;
            }
            let len = (word & !(BUSY | DISCARD)) as usize;
            if word & DISCARD == 0 && len == size_of::<Record>() {
                // SAFETY: a finished record of exactly this size, plain data.
                records.push(unsafe { header.add(HEADER).cast::<Record>().read_unaligned() });
            }
            at += (len + HEADER).next_multiple_of(8) as u64;
            consumer.store(at, Ordering::Release);
        }
        records
    }

    /// Throws everything away that is finished.
    pub fn skip(&self) {
        let _thrown_away = self.drain();
    }
}

/// The bytes of a ring.
fn ring_size(fd: &OwnedFd) -> Result<usize> {
    let size = usize::try_from(told(fd, "max_entries")?)?;
    if !size.is_power_of_two() {
        bail!("a ring of {size} bytes");
    }
    Ok(size)
}

/// What the kernel tells of a descriptor in `/proc`: a number behind this word.
pub fn told(fd: &OwnedFd, word: &str) -> Result<u64> {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd()))?;
    let mut lines = info.lines().filter_map(|line| line.split_once(':'));
    let found = lines.find(|(one, _)| *one == word);
    let (_, number) = found.with_context(|| format!("no `{word}` in fdinfo"))?;
    Ok(number.trim().parse()?)
}

/// Processors that this machine may ever have.
pub fn processors() -> Result<usize> {
    let possible = std::fs::read_to_string("/sys/devices/system/cpu/possible")?;
    let last = possible.trim().rsplit(['-', ',']).next().unwrap_or("0");
    Ok(last.parse::<usize>()? + 1)
}
