//! `socket_sendmsg(struct socket *sock, struct msghdr *msg, int size)`: messages with a destination of their own.
//!
//! On a stream such a message connects (TCP fast open, SCTP) or its destination means nothing (TCP otherwise): judged
//! as a connection without asking which. Datagrams are sent without one. `MSG_FASTOPEN` tells nothing: any socket
//! takes the flag.

use aya_ebpf::{macros::lsm, programs::LsmContext};
use stayhand_agent_ebpf::abi::code::{hook, op};

use super::address::{Any, Asked, attempt, is_internet, is_unruled_at};
use crate::judge::unruled;
use crate::offsets::{Addr, OFF_MSG_NAME, OFF_MSG_NAMELEN, OFF_SOCKET_TYPE, load};

// include/linux/net.h
const SOCK_STREAM: u16 = 1;
const SOCK_DGRAM: u16 = 2;
const SOCK_RAW: u16 = 3;

#[lsm(hook = "socket_sendmsg")]
pub fn socket_sendmsg(ctx: LsmContext) -> i32 {
    let (socket, message): (Addr, Addr) = (ctx.arg(0), ctx.arg(1));
    // SAFETY: a typed hook argument.
    let address = unsafe { load::<u64>(message, &OFF_MSG_NAME) };
    if address == 0 {
        return 0;
    }
    // SAFETY: a typed hook argument.
    let ops = match unsafe { load::<u16>(socket, &OFF_SOCKET_TYPE) } {
        SOCK_STREAM => op::CONNECT,
        SOCK_DGRAM | SOCK_RAW => op::SEND,
        _ => op::CONNECT | op::SEND, // one socket with many connections (SCTP)
    };
    // SAFETY: a typed hook argument.
    if unsafe { is_internet(socket) } && (unruled(ops) || is_unruled_at(address)) {
        return 0;
    }
    // SAFETY: a typed hook argument.
    let len = unsafe { load::<i32>(message, &OFF_MSG_NAMELEN) };
    attempt(
        &ctx,
        Asked {
            name: "socket_sendmsg",
            hook: hook::SOCKET_SENDMSG,
            ops,
            socket,
            address,
            len,
            any: Any::IsThisHost,
            or_unspecified: true,
        },
    )
}
