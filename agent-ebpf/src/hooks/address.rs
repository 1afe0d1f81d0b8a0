//! What the socket hooks share: an internet address or that of a virtual socket, in kernel memory, becomes an attempt.

use core::ffi::c_void;

use aya_ebpf::{
    btf_maps::lpm_trie::Key, helpers::generated::bpf_probe_read_kernel, programs::LsmContext,
};
use stayhand_agent_ebpf::abi::{
    code::protocol,
    image::{ACTIVE_SLOT_MASK, Range, Subject},
    net::{NET_BITS_V6, NET_INTERNET, NET_SPACE_BITS, NET_VSOCK, NetKey, net_bit, net_space},
    task::{Scratch, TaskState},
};

use crate::{
    hold::EPERM,
    hooks::{act, judged, unix},
    judge::{Named, concerned, judge, stale},
    maps::{NETS, UNRULED_NETS},
    offsets::{Addr, OFF_SOCK_FAMILY, OFF_SOCK_PROTOCOL, OFF_SOCKET_SK, OFF_SOCKET_TYPE, load},
    who::scratch_of,
};

// include/linux/socket.h
const AF_UNSPEC: u16 = 0;
pub const AF_INET: u16 = 2;
pub const AF_INET6: u16 = 10;
const AF_VSOCK: u16 = 40;
const AF_SMC: u16 = 43;
/// include/linux/net.h
const SOCK_RAW: u16 = 3;
// include/uapi/linux/in.h
const IPPROTO_ICMP: u16 = 1;
const IPPROTO_ICMPV6: u16 = 58;
const IPPROTO_MPTCP: u16 = 262;
/// `sizeof(struct sockaddr_in)`, `sizeof(struct sockaddr_vm)`, and `SIN6_LEN_RFC2133`, the least that the kernel takes for IPv6.
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
    /// The `struct socket`, typed
    pub socket: Addr,
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
        // SAFETY: the state is live.
        unsafe {
            if !matches!(asked.any, Any::IsItself) {
                // What a unix datagram is about, if this is one, see `unix.rs`.
                (*state).datagram_ops = asked.ops;
            }
        }
        judge_address(state, task, asked)
    })
}

/// Whether no entry of anybody has the internet address in a `struct sockaddr`, which a few loads tell most times: then
/// it does not matter who asks, or by which socket. One that is too short for its family is refused by the kernel itself.
///
/// # Safety
/// `address` must be a pointer to one whose type the kernel has told.
#[inline(always)]
pub unsafe fn is_unruled(address: Addr) -> bool {
    let words = address.cast::<u32>();
    // SAFETY: by contract. Family and port, the address or what stands before it, the address of IPv6.
    unsafe {
        let family = words.cast::<u16>().read_volatile();
        match family {
            AF_INET => begins_unruled(0, words.add(1).read_volatile()),
            AF_INET6 => begins_unruled(NET_BITS_V6, words.add(2).read_volatile()),
            _ => false,
        }
    }
}

/// The same of one in kernel memory, whose type nobody told.
#[inline(always)]
pub fn is_unruled_at(address: u64) -> bool {
    let mut words = [0u32; 3];
    // SAFETY: the helper checks the address; the room is as long as it is told.
    let read = unsafe {
        bpf_probe_read_kernel(
            words.as_mut_ptr().cast(),
            size_of_val(&words) as u32,
            address as *const c_void,
        )
    };
    let [first, second, third] = words;
    match first as u16 {
        AF_INET if read == 0 => begins_unruled(0, second),
        AF_INET6 if read == 0 => begins_unruled(NET_BITS_V6, third),
        _ => false,
    }
}

/// Whether no entry has an address that begins as this word, in network order, in this half of the bits. Of those that
/// begin with zeroes, which have other meanings, too, it is never said.
#[inline(always)]
fn begins_unruled(base: usize, beginning: u32) -> bool {
    let Some(bits) = UNRULED_NETS.get_ptr(0) else {
        return false;
    };
    let (word, bit) = net_bit(u16::from_be(beginning as u16));
    // SAFETY: a live map value with a word for every index that `net_bit` yields, in either half.
    unsafe {
        let words = (&raw const (*bits).words).cast::<u64>();
        words.add(base + word).read_volatile() & bit != 0
    }
}

/// Whether it is an internet socket. Of others more is noted than the address.
///
/// # Safety
/// `socket` must be a typed `struct socket`.
#[inline(always)]
pub unsafe fn is_internet(socket: Addr) -> bool {
    // SAFETY: by contract.
    matches!(unsafe { family_of(socket) }, AF_INET | AF_INET6)
}

/// Family of a socket; none if it has lost its kernel part.
///
/// # Safety
/// `socket` must be a typed `struct socket`.
#[inline(always)]
unsafe fn family_of(socket: Addr) -> u16 {
    // SAFETY: by contract; a loaded pointer is looked at before it is used.
    unsafe {
        let sock: Addr = load(socket, &OFF_SOCKET_SK);
        if sock.is_null() {
            AF_UNSPEC
        } else {
            load(sock, &OFF_SOCK_FAMILY)
        }
    }
}

#[inline(always)]
fn judge_address(state: *mut TaskState, task: Addr, asked: Asked) -> i32 {
    let is_local = matches!(asked.any, Any::IsItself);
    if asked.len < SOCKADDR_IN_LEN && !is_local {
        return 0; // no family's address is so short, but the name of a unix socket
    }
    let Some(named) = concerned(state, asked.ops) else {
        return 0;
    };
    let scratch = scratch_of(state);
    if scratch.is_null() {
        return EPERM;
    }
    // SAFETY: the scratch is live and its buffer has 264 bytes; the address is kernel memory by now, read by a
    // checked helper.
    let met = unsafe {
        let raw = (&raw mut (*scratch).name).cast::<u32>();
        let name = if is_local {
            unix::bound(raw, asked.address, asked.len)
        } else {
            None
        };
        if let Some(name) = name {
            unix::meets(scratch, &named, asked.ops, name)
        } else {
            if asked.len < SOCKADDR_IN_LEN {
                return 0;
            }
            let readable = read(raw, asked.address, asked.len);
            take_for_own(raw, &asked);
            let family = core::ptr::read_volatile(raw) as u16;
            let is_v4 = family == AF_INET || asked.or_unspecified && family == AF_UNSPEC;
            let is_v6 = family == AF_INET6 && asked.len >= SOCKADDR_IN6_LEN;
            if readable && !is_v4 && !is_v6 && family != AF_VSOCK {
                return 0;
            }
            meets(scratch, asked, &named, readable)
        }
    };
    finish(scratch, task, met.then_some(named.subject))
}

/// A socket of IPv6 takes an address without a family for one of its own, where it takes it at all (`rawv6_sendmsg`,
/// `l2tp_ip6_sendmsg`); others look at no address then.
///
/// # Safety
/// `raw` must have a word, and `asked.socket` must be typed.
#[inline(always)]
unsafe fn take_for_own(raw: *mut u32, asked: &Asked) {
    // SAFETY: by contract.
    unsafe {
        let first = core::ptr::read_volatile(raw);
        let without = asked.or_unspecified && first as u16 == AF_UNSPEC;
        if without && asked.len >= SOCKADDR_IN6_LEN && family_of(asked.socket) == AF_INET6 {
            core::ptr::write_volatile(raw, first | u32::from(AF_INET6));
        }
    }
}

/// What was met decides, in one place: the verifier goes through all that follows once for each.
#[inline(always)]
pub fn finish(scratch: *mut Scratch, task: Addr, met: Option<Subject>) -> i32 {
    let Some(subject) = met else {
        return 0;
    };
    // SAFETY: the scratch is live. Volatile: in memory both look alike to the verifier.
    let readable = unsafe { core::ptr::read_volatile(&raw const (*scratch).current.walked) != 0 };
    judge(scratch, subject, readable);
    act(scratch, task)
}

/// Begins the attempt on the address in the scratch, as the kernel has it in a `struct sockaddr`, with the range that it
/// is in, if it is in one or that cannot be told. Whether it can be is in `walked`.
///
/// # Safety
/// `scratch` must be live.
#[inline(always)]
pub unsafe fn meets(scratch: *mut Scratch, asked: Asked, named: &Named, readable: bool) -> bool {
    // SAFETY: live by contract; the trie's value is copied at once.
    unsafe {
        let raw = (&raw mut (*scratch).name).cast::<u32>();
        let first = core::ptr::read_volatile(raw);
        let family = first as u16;
        let current = &raw mut (*scratch).current;
        let slot = (named.active & ACTIVE_SLOT_MASK) as u32;
        let kind = store(&raw mut (*current).dest_addr, family, raw, asked.any);
        let key = Key::new(
            NET_SPACE_BITS + 128,
            NetKey {
                space_be: net_space(slot, kind).to_be_bytes(),
                addr: (*current).dest_addr,
            },
        );
        let found = NETS.get(&key).copied();
        if found.is_none() && readable && !stale(named.active) {
            return false;
        }
        named.begin(scratch, asked.hook, asked.ops);
        store(&raw mut (*current).dest_addr, family, raw, asked.any);
        if kind == NET_VSOCK {
            (*current).family = u32::from(AF_VSOCK);
        } else {
            (*current).family = u32::from(AF_INET6);
            (*current).attempt.protocol = protocol_of(asked.socket);
            let protocol = core::ptr::read_volatile(&raw const (*current).attempt.protocol);
            if !has_no_ports(protocol) {
                (*current).attempt.port = u16::from_be((first >> 16) as u16);
            }
        }
        if let Some(range) = found {
            *(&raw mut (*scratch).ranges).cast::<Range>() = range;
            (*current).range_count = 1;
        }
        core::ptr::write_volatile(&raw mut (*current).walked, u32::from(readable));
    }
    true
}

/// Protocol of an internet socket as rules have it, see `code::protocol`.
#[inline(always)]
unsafe fn protocol_of(socket: Addr) -> u16 {
    // SAFETY: typed by contract; a loaded pointer is looked at before it is used.
    unsafe {
        let kind: u16 = load(socket, &OFF_SOCKET_TYPE);
        let sock: Addr = load(socket, &OFF_SOCKET_SK);
        if sock.is_null() {
            return protocol::UNKNOWN;
        }
        let family: u16 = load(sock, &OFF_SOCK_FAMILY);
        let number: u16 = load(sock, &OFF_SOCK_PROTOCOL);
        match family {
            // Connects by TCP whatever it does afterwards.
            AF_SMC => protocol::TCP,
            // With a header of its own it is what the header says.
            AF_INET | AF_INET6 if kind == SOCK_RAW => protocol::UNKNOWN,
            AF_INET | AF_INET6 if number == IPPROTO_MPTCP => protocol::TCP,
            AF_INET | AF_INET6 => number,
            _ => protocol::UNKNOWN,
        }
    }
}

/// Of an echo request the port means nothing.
#[inline(always)]
const fn has_no_ports(protocol: u16) -> bool {
    matches!(protocol, IPPROTO_ICMP | IPPROTO_ICMPV6)
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

/// Writes the address as (mapped) IPv6, or a virtual socket's number and port, word by word; which of the two.
#[inline(always)]
unsafe fn store(to: *mut [u8; 16], family: u16, raw: *const u32, any: Any) -> u32 {
    let to = to.cast::<u32>();
    // SAFETY: 16 aligned bytes behind `to`, 24 behind `raw`.
    unsafe {
        if family == AF_VSOCK {
            let (port, cid) = (
                core::ptr::read_volatile(raw.add(1)),
                core::ptr::read_volatile(raw.add(2)),
            );
            core::ptr::write_volatile(to, cid.to_be());
            core::ptr::write_volatile(to.add(1), port.to_be());
            core::ptr::write_volatile(to.add(2), 0);
            core::ptr::write_volatile(to.add(3), 0);
            return NET_VSOCK;
        }
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
    NET_INTERNET
}
