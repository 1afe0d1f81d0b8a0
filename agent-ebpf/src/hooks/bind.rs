//! `socket_bind(struct socket *sock, struct sockaddr *address, int addrlen)`: a socket takes a local internet
//! address, a port of this machine's virtual sockets, or a name that no file has. Every local address at once
//! (`0.0.0.0`, `::`) is itself, and no single address's.

use aya_ebpf::{macros::lsm, programs::LsmContext};
use stayhand_agent_ebpf::abi::code::{hook, op};

use super::address::{Any, Asked, attempt, is_unruled};

#[lsm(hook = "socket_bind")]
pub fn socket_bind(ctx: LsmContext) -> i32 {
    // SAFETY: a typed hook argument.
    if unsafe { is_unruled(ctx.arg(1)) } {
        return 0;
    }
    attempt(
        &ctx,
        Asked {
            name: "socket_bind",
            hook: hook::SOCKET_BIND,
            ops: op::BIND,
            socket: ctx.arg(0),
            address: ctx.arg(1),
            len: ctx.arg(2),
            any: Any::IsItself,
            or_unspecified: true,
        },
    )
}
