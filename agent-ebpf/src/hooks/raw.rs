//! `socket_create(int family, int type, int protocol, int kern)`: sockets below the transport protocols, whose packets no
//! rule on an address can read, and those of families that no rule knows.

use aya_ebpf::{macros::lsm, programs::LsmContext};
use stayhand_agent_ebpf::abi::code::{op, request};

use super::system::attempt;
use crate::hooks::judged;

// include/linux/socket.h
const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const AF_NETLINK: u16 = 16;
/// The kernel's ciphers
const AF_ALG: u16 = 38;
const AF_VSOCK: u16 = 40;
/// Connects by TCP, to an internet address
const AF_SMC: u16 = 43;
/// include/linux/net.h
const SOCK_RAW: u16 = 3;

#[lsm(hook = "socket_create")]
pub fn socket_create(ctx: LsmContext) -> i32 {
    let (family, kind, protocol, by_kernel): (i32, i32, i32, i32) =
        (ctx.arg(0), ctx.arg(1), ctx.arg(2), ctx.arg(3));
    if by_kernel != 0 || !is_raw(family as u16, kind as u16) {
        return 0;
    }
    judged(&ctx, "socket_create", |state, task| {
        attempt(state, task, op::RAW, |current, _| {
            // SAFETY: live scratch.
            unsafe {
                (*current).object.ino =
                    request::socket(family as u16, kind as u16, protocol as u16);
            }
        })
    })
}

#[inline(always)]
const fn is_raw(family: u16, kind: u16) -> bool {
    match family {
        AF_INET | AF_INET6 => kind == SOCK_RAW,
        AF_UNIX | AF_NETLINK | AF_ALG | AF_VSOCK | AF_SMC => false,
        _ => true,
    }
}
