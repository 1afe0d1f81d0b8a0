//! What the socket hooks share: an internet address in kernel memory becomes an attempt.

use core::ffi::c_void;

use aya_ebpf::{
    btf_maps::lpm_trie::Key, helpers::generated::bpf_probe_read_kernel, programs::LsmContext,
};
use stayhand_agent_ebpf::abi::{
    image::{ACTIVE_SLOT_MASK, NET_SLOT_BITS, NetKey, Range},
    task::TaskState,
};

use crate::{
    hooks::{act, judged},
    judge::{concerned, judge, stale},
    maps::NETS,
    offsets::Addr,
    who::allowed,
};

// include/linux/socket.h
const AF_UNSPEC: u16 = 0;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
/// `sizeof(struct sockaddr_in)`, and `SIN6_LEN_RFC2133`, the least that the kernel takes for IPv6.
const SOCKADDR_IN_LEN: i32 = 16;
const SOCKADDR_IN6_LEN: i32 = 24;
/// Third word of a mapped address, `0000:ffff` in network order.
const MAPPED: u32 = u32::from_ne_bytes([0, 0, 0xff, 0xff]);

/// What `0.0.0.0`, `::` and mapped `0.0.0.0` mean.
#[derive(Clone, Copy)]
pub enum Any {
    /// As a destination it reaches this host (net/ipv4/route.c, net/ipv6/tcp_ipv6.c): judged as loopback
    IsThisHost,
    /// As a local address it is every address
    IsItself,
}

/// What a hook asks about.
#[derive(Clone, Copy)]
pub struct Asked {
    /// Its name in the kernel
    pub name: &'static str,
    /// See `code::hook`
    pub hook: u16,
    /// See `code::op`
    pub ops: u32,
    /// Kernel address of the `struct sockaddr`
    pub address: u64,
    /// Its length
    pub len: i32,
    /// See [`Any`]
    pub any: Any,
    /// Whether the kernel takes `AF_UNSPEC` for IPv4 here (`udp_sendmsg`, `inet_bind`)
    pub or_unspecified: bool,
}

/// Judges it.
#[inline(always)]
pub fn attempt(ctx: &LsmContext, asked: Asked) -> i32 {
    judged(ctx, asked.name, |state, task| {
        judge_address(state, task, asked)
    })
}

#[inline(always)]
fn judge_address(state: *mut TaskState, task: Addr, asked: Asked) -> i32 {
    // SAFETY: the state is live and its scratch has 264 bytes; the address is kernel memory by now, read by a
    // checked helper; the trie's value is copied at once.
    unsafe {
        let raw = (&raw mut (*state).name).cast::<u32>();
        if asked.len < SOCKADDR_IN_LEN {
            return 0; // no family's address is so short
        }
        let Some(named) = concerned(state, asked.ops) else {
            return 0;
        };
        let readable = read(raw, asked.address, asked.len);
        let first = core::ptr::read_volatile(raw);
        let port = u16::from_be((first >> 16) as u16);
        let family = first as u16;
        let is_v4 = family == AF_INET || asked.or_unspecified && family == AF_UNSPEC;
        if readable && !is_v4 && (family != AF_INET6 || asked.len < SOCKADDR_IN6_LEN) {
            return 0;
        }
        let current = &raw mut (*state).current;
        store(&raw mut (*current).dest_addr, family, raw, asked.any);
        let key = Key::new(
            NET_SLOT_BITS + 128,
            NetKey {
                slot_be: ((named.active & ACTIVE_SLOT_MASK) as u32).to_be_bytes(),
                addr: (*current).dest_addr,
            },
        );
        let found = NETS.get(&key).copied();
        if found.is_none() && readable && !stale(named.active) {
            return allowed(state);
        }
        named.begin(state, asked.hook, asked.ops, port);
        store(&raw mut (*current).dest_addr, family, raw, asked.any);
        if let Some(range) = found {
            *(&raw mut (*state).ranges).cast::<Range>() = range;
            (*current).range_count = 1;
        }
        judge(state, named.subject, readable);
    }
    act(state, task)
}

/// Copies what the family needs of an address of at least [`SOCKADDR_IN_LEN`] bytes; false, and zeroes, if it
/// cannot be read.
#[inline(always)]
unsafe fn read(raw: *mut u32, address: u64, len: i32) -> bool {
    // SAFETY: room by contract; the helper checks the address and fills the buffer with zeroes if it fails.
    unsafe {
        let source = address as *const c_void;
        if len >= SOCKADDR_IN6_LEN {
            bpf_probe_read_kernel(raw.cast(), SOCKADDR_IN6_LEN as u32, source) == 0
        } else {
            bpf_probe_read_kernel(raw.cast(), SOCKADDR_IN_LEN as u32, source) == 0
        }
    }
}

/// Writes the address as (mapped) IPv6, word by word.
#[inline(always)]
unsafe fn store(to: *mut [u8; 16], family: u16, raw: *const u32, any: Any) {
    let to = to.cast::<u32>();
    // SAFETY: 16 aligned bytes behind `to`, 24 behind `raw`.
    unsafe {
        let (mut high, mut third, mut last) = (0u64, MAPPED, core::ptr::read_volatile(raw.add(1)));
        if family == AF_INET6 {
            let (first, second) = (
                core::ptr::read_volatile(raw.add(2)),
                core::ptr::read_volatile(raw.add(3)),
            );
            high = u64::from(first) | (u64::from(second) << 32);
            third = core::ptr::read_volatile(raw.add(4));
            last = core::ptr::read_volatile(raw.add(5));
        }
        if matches!(any, Any::IsThisHost) && high == 0 && last == 0 {
            if third == MAPPED {
                last = u32::from_ne_bytes([127, 0, 0, 1]);
            }
            if third == 0 {
                last = u32::from_ne_bytes([0, 0, 0, 1]);
            }
        }
        core::ptr::write_volatile(to, high as u32);
        core::ptr::write_volatile(to.add(1), (high >> 32) as u32);
        core::ptr::write_volatile(to.add(2), third);
        core::ptr::write_volatile(to.add(3), last);
    }
}
