//! `netlink_send(struct sock *sk, struct sk_buff *skb)`: requests that change routes, addresses, links, filters, keys, the
//! audit system, and whatever else the kernel takes by netlink. Which ones is `netlink.rs` of the library.

use core::ffi::c_void;

use aya_ebpf::{helpers::generated::bpf_probe_read_kernel, macros::lsm, programs::LsmContext};
use stayhand_agent_ebpf::{
    abi::{
        code::{op, request},
        place::Directory,
    },
    netlink::{HEADER_BYTES, Header, changes},
};

use super::system::attempt;
use crate::{
    hooks::judged_if_ruled,
    judge::concerned,
    offsets::{Addr, OFF_PACKET_DATA, OFF_PACKET_LEN, OFF_SOCK_PROTOCOL, load},
    walk::name_hash,
};

#[lsm(hook = "netlink_send")]
pub fn netlink_send(ctx: LsmContext) -> i32 {
    judged_if_ruled(&ctx, "netlink_send", op::NETLINK, |state, task| {
        let (sock, packet): (Addr, Addr) = (ctx.arg(0), ctx.arg(1));
        if concerned(state, op::NETLINK).is_none() {
            return 0;
        }
        // SAFETY: typed hook arguments; the scratch is live.
        let (protocol, data, len) = unsafe {
            (
                load::<u16>(sock, &OFF_SOCK_PROTOCOL),
                load::<u64>(packet, &OFF_PACKET_DATA),
                load::<u32>(packet, &OFF_PACKET_LEN),
            )
        };
        // SAFETY: a word and a half of the live state's own.
        let header = unsafe { header(&raw mut (*state).here.directory, data, len) };
        if !changes(protocol, header, len) {
            return 0;
        }
        attempt(state, task, op::NETLINK, |current, scratch| {
            // SAFETY: live scratch.
            unsafe {
                (*current).object.ino = request::message(protocol, header.kind);
                // An approval is bound to the whole message, or not given: one beyond the scratch is not held.
                match name_hash(scratch, data, len) {
                    Some(hash) => (*current).name_hash = hash,
                    None => (*current).unholdable = 1,
                }
            }
        })
    })
}

/// The first message's header; none that could be a read if there is none.
#[inline(always)]
unsafe fn header(room: *mut Directory, data: u64, len: u32) -> Header {
    const { assert!(size_of::<Directory>() >= HEADER_BYTES as usize) };
    // SAFETY: live by contract, with room for a header; the helper checks the address.
    unsafe {
        let words = room.cast::<u32>();
        let from = data as *const c_void;
        if len < HEADER_BYTES || bpf_probe_read_kernel(words.cast(), HEADER_BYTES, from) != 0 {
            return Header {
                len: 0,
                kind: 0,
                flags: 0,
            };
        }
        let second = core::ptr::read_volatile(words.add(1));
        Header {
            len: core::ptr::read_volatile(words),
            kind: second as u16,
            flags: (second >> 16) as u16,
        }
    }
}
