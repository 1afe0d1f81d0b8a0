//! `socket_sendmsg(struct socket *sock, struct msghdr *msg, int size)`: messages with a destination of their own. On a
//! stream that is TCP fast open, which connects; elsewhere it is sending without a connection.

use aya_ebpf::{macros::lsm, programs::LsmContext};
use stayhand_agent_ebpf::abi::code::{hook, op};

use super::address::{Any, Asked, attempt};
use crate::offsets::{Addr, OFF_MSG_FLAGS, OFF_MSG_NAME, OFF_MSG_NAMELEN, OFF_SOCKET_TYPE, load};

/// `SOCK_STREAM` (include/linux/net.h)
const SOCK_STREAM: u16 = 1;
/// `MSG_FASTOPEN` (include/linux/socket.h)
const MSG_FASTOPEN: u32 = 0x2000_0000;

#[lsm(hook = "socket_sendmsg")]
pub fn socket_sendmsg(ctx: LsmContext) -> i32 {
    let (socket, message): (Addr, Addr) = (ctx.arg(0), ctx.arg(1));
    // SAFETY: typed hook arguments.
    let (address, len, flags, kind) = unsafe {
        (
            load::<u64>(message, &OFF_MSG_NAME),
            load::<i32>(message, &OFF_MSG_NAMELEN),
            load::<u32>(message, &OFF_MSG_FLAGS),
            load::<u16>(socket, &OFF_SOCKET_TYPE),
        )
    };
    if address == 0 {
        return 0;
    }
    let ops = if flags & MSG_FASTOPEN != 0 {
        op::CONNECT
    } else if kind == SOCK_STREAM {
        return 0; // a stream ignores the address
    } else {
        op::SEND
    };
    attempt(
        &ctx,
        Asked {
            name: "socket_sendmsg",
            hook: hook::SOCKET_SENDMSG,
            ops,
            address,
            len,
            any: Any::IsThisHost,
            or_unspecified: true,
        },
    )
}
