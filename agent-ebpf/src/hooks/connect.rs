//! `socket_connect(struct socket *sock, struct sockaddr *address, int addrlen)`: connections to internet
//! addresses, of any socket type.

use aya_ebpf::{macros::lsm, programs::LsmContext};
use stayhand_agent_ebpf::abi::code::{hook, op};

use super::address::{Any, Asked, attempt};

#[lsm(hook = "socket_connect")]
pub fn socket_connect(ctx: LsmContext) -> i32 {
    attempt(
        &ctx,
        Asked {
            name: "socket_connect",
            hook: hook::SOCKET_CONNECT,
            ops: op::CONNECT,
            address: ctx.arg(1),
            len: ctx.arg(2),
            any: Any::IsThisHost,
            or_unspecified: false,
        },
    )
}
