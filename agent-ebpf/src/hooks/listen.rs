//! `socket_listen(struct socket *sock, int backlog)`: a socket begins to wait for connections at its local address. One
//! that never took any listens on all of them, at a port that the kernel chooses: address and port are zero here.

use core::ffi::c_void;

use aya_ebpf::{helpers::generated::bpf_probe_read_kernel, macros::lsm, programs::LsmContext};
use stayhand_agent_ebpf::abi::{
    code::{hook, op},
    task::Scratch,
};

use super::address::{AF_INET, AF_INET6, Any, Asked, finish, meets};
use crate::{
    hold::EPERM,
    hooks::judged_if_ruled,
    judge::concerned,
    offsets::{
        Addr, OFF_SOCK_ADDRESS, OFF_SOCK_ADDRESS6, OFF_SOCK_FAMILY, OFF_SOCK_PORT, OFF_SOCKET_SK,
        load,
    },
    who::scratch_of,
};

// Families whose names are judged when they are taken (include/linux/socket.h).
const AF_UNIX: u16 = 1;
const AF_VSOCK: u16 = 40;

#[lsm(hook = "socket_listen")]
pub fn socket_listen(ctx: LsmContext) -> i32 {
    let asked = Asked {
        name: "socket_listen",
        hook: hook::SOCKET_LISTEN,
        ops: op::LISTEN,
        socket: ctx.arg(0),
        address: 0,
        len: 0,
        any: Any::IsItself,
        or_unspecified: false,
    };
    judged_if_ruled(&ctx, asked.name, asked.ops, |state, task| {
        let Some(named) = concerned(state, asked.ops) else {
            return 0;
        };
        let scratch = scratch_of(state);
        if scratch.is_null() {
            return EPERM;
        }
        // SAFETY: typed hook argument; the scratch is live.
        let met = unsafe {
            match local(scratch, asked.socket) {
                Local::IsNone => return 0,
                known => meets(scratch, asked, &named, matches!(known, Local::IsKnown)),
            }
        };
        finish(scratch, task, met.then_some(named.subject))
    })
}

/// What is known of a local address.
enum Local {
    /// Of a family that is not judged here
    IsNone,
    /// It is in the scratch, as in a `struct sockaddr`
    IsKnown,
    /// The socket has it somewhere else
    IsUnknown,
}

/// Reads the local address of a socket.
#[inline(always)]
unsafe fn local(scratch: *mut Scratch, socket: Addr) -> Local {
    // SAFETY: typed and live by contract; the scratch has 264 bytes.
    unsafe {
        let sock: Addr = load(socket, &OFF_SOCKET_SK);
        let raw = (&raw mut (*scratch).name).cast::<u32>();
        core::ptr::write_volatile(raw, 0);
        if sock.is_null() {
            return Local::IsUnknown;
        }
        let family: u16 = load(sock, &OFF_SOCK_FAMILY);
        let port: u16 = load(sock, &OFF_SOCK_PORT);
        core::ptr::write_volatile(raw, u32::from(family) | u32::from(port.to_be()) << 16);
        let (word, offset, len) = match family {
            AF_INET => (1, OFF_SOCK_ADDRESS.load(), 4),
            AF_INET6 => (2, OFF_SOCK_ADDRESS6.load(), 16),
            AF_UNIX | AF_VSOCK => return Local::IsNone,
            _ => return Local::IsUnknown,
        };
        // By a checked helper: the verifier knows members of this union one at a time.
        let from = sock.add(offset as usize).cast::<c_void>();
        if bpf_probe_read_kernel(raw.add(word).cast(), len, from) == 0 {
            Local::IsKnown
        } else {
            Local::IsUnknown
        }
    }
}
