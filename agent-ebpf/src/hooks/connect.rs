//! `socket_connect(struct socket *sock, struct sockaddr *address, int addrlen)`: connections to internet
//! addresses, of any socket type.

use core::ffi::c_void;

use aya_ebpf::{
    btf_maps::lpm_trie::Key, helpers::generated::bpf_probe_read_kernel, macros::lsm, programs::LsmContext,
};
use stayhand_agent_ebpf::abi::{
    code::{hook, op},
    image::{ACTIVE_SLOT_MASK, LabelKey, NET_SLOT_BITS, NetKey, Range},
    task::TaskState,
};

use crate::{
    hold::EPERM,
    hooks::act,
    judge::{begin, judge},
    maps::NETS,
    offsets::Addr,
    who::{Who, current_task, my_turn, who},
};

// include/linux/socket.h
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
/// `sizeof(struct sockaddr_in)`, and `SIN6_LEN_RFC2133`, the least that the kernel takes for IPv6.
const SOCKADDR_IN_LEN: i32 = 16;
const SOCKADDR_IN6_LEN: i32 = 24;

/// An internet destination.
struct Destination {
    addr: [u8; 16],
    port: u16,
}

#[lsm(hook = "socket_connect")]
pub fn socket_connect(ctx: LsmContext) -> i32 {
    let task = current_task();
    match who(task) {
        Who::Pinned(state) if my_turn(state) => match destination(ctx.arg(1), ctx.arg(2)) {
            Some(destination) => judged(state, task, &destination),
            None => 0,
        },
        Who::Failed => EPERM,
        _ => 0,
    }
}

/// Reads the address, which is kernel memory by now. Other families are not this rule class's.
#[inline(always)]
fn destination(address: u64, len: i32) -> Option<Destination> {
    let mut bytes = [0u8; 24];
    let wanted = if len >= SOCKADDR_IN6_LEN { 24 } else if len >= SOCKADDR_IN_LEN { 16 } else { return None };
    // SAFETY: the buffer has 24 bytes and `wanted` is 16 or 24; the helper checks the address.
    if unsafe { bpf_probe_read_kernel((&raw mut bytes).cast(), wanted, address as *const c_void) } != 0 {
        return None;
    }
    let port = u16::from_be_bytes([bytes[2], bytes[3]]);
    match u16::from_ne_bytes([bytes[0], bytes[1]]) {
        AF_INET => Some(Destination { addr: mapped([bytes[4], bytes[5], bytes[6], bytes[7]]), port }),
        AF_INET6 if wanted == 24 => Some(Destination { addr: v6(&bytes), port }),
        _ => None,
    }
}

/// IPv4 as mapped IPv6. Connecting to `0.0.0.0` reaches this host (net/ipv4/route.c): judged as loopback.
#[inline(always)]
fn mapped(v4: [u8; 4]) -> [u8; 16] {
    let [a, b, c, d] = if v4 == [0; 4] { [127, 0, 0, 1] } else { v4 };
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}

/// Connecting to `::` reaches this host (net/ipv6/tcp_ipv6.c): judged as `::1`, and mapped `0.0.0.0` likewise.
#[inline(always)]
fn v6(bytes: &[u8; 24]) -> [u8; 16] {
    let mut addr = [0u8; 16];
    for index in 0..16 {
        addr[index] = bytes[8 + index];
    }
    let (high, low) = (u64::from_be_bytes(half(&addr, 0)), u64::from_be_bytes(half(&addr, 8)));
    if high == 0 && low == 0 {
        addr[15] = 1;
    }
    if high == 0 && low == 0xffff_0000_0000 {
        return mapped([0; 4]);
    }
    addr
}

#[inline(always)]
fn half(addr: &[u8; 16], at: usize) -> [u8; 8] {
    let mut bytes = [0u8; 8];
    for index in 0..8 {
        bytes[index] = addr[at + index];
    }
    bytes
}

#[inline(always)]
fn judged(state: *mut TaskState, task: Addr, destination: &Destination) -> i32 {
    let Some(subject) = begin(state, hook::SOCKET_CONNECT, op::CONNECT, destination.port) else { return 0 };
    // SAFETY: the state is live; the trie's value is copied at once.
    unsafe {
        let current = &raw mut (*state).current;
        (*current).object = LabelKey { ino: 0, dev: 0, igen: 0, slot: 0, pad: 0 };
        (*current).content = [0; 4];
        (*current).dest_addr = destination.addr;
        let slot = ((*current).active & ACTIVE_SLOT_MASK) as u32;
        let key = Key::new(NET_SLOT_BITS + 128, NetKey { slot_be: slot.to_be_bytes(), addr: destination.addr });
        if let Some(range) = NETS.get(&key) {
            *(&raw mut (*state).ranges).cast::<Range>() = *range;
            (*current).range_count = 1;
        }
    }
    judge(state, subject, true);
    act(state, task)
}
