//! `socket_connect(struct socket *sock, struct sockaddr *address, int addrlen)`: connections to internet addresses and
//! virtual sockets, of any socket type. Unix sockets are judged where the other one is known (`unix.rs`).

use aya_ebpf::{macros::lsm, programs::LsmContext};
use stayhand_agent_ebpf::abi::code::{hook, op};

use super::address::{Any, Asked, attempt, is_unruled};

#[lsm(hook = "socket_connect")]
pub fn socket_connect(ctx: LsmContext) -> i32 {
    // SAFETY: a typed hook argument.
    if unsafe { is_unruled(ctx.arg(1)) } {
        return 0;
    }
    attempt(
        &ctx,
        Asked {
            name: "socket_connect",
            hook: hook::SOCKET_CONNECT,
            ops: op::CONNECT,
            socket: ctx.arg(0),
            address: ctx.arg(1),
            len: ctx.arg(2),
            any: Any::IsThisHost,
            or_unspecified: false,
        },
    )
}
