//! Connections as a program makes them, one `connect(2)` each.

use std::{
    net::{IpAddr, SocketAddr},
    os::fd::AsRawFd as _,
};

use nix::{
    errno::Errno,
    sys::socket::{
        AddressFamily, SockType, SockaddrIn, SockaddrIn6, SockaddrLike, connect, getpeername, send,
    },
};

use super::sys::Ret;

fn failed(error: Errno) -> Ret {
    -Ret::from(error as i32)
}

/// Connects `tcp`, `mptcp` or `udp` and, for UDP, sends one datagram. 0 if the socket then has a peer.
pub fn connect_to(kind: &str, address: IpAddr, port: u16) -> Ret {
    match SocketAddr::new(address, port) {
        SocketAddr::V4(to) => one(kind, AddressFamily::Inet, &SockaddrIn::from(to)),
        SocketAddr::V6(to) => one(kind, AddressFamily::Inet6, &SockaddrIn6::from(to)),
    }
}

fn one<A: SockaddrLike>(kind: &str, family: AddressFamily, to: &A) -> Ret {
    let protocol = if kind == "mptcp" {
        libc::IPPROTO_MPTCP
    } else {
        0
    };
    let kind = if kind == "udp" {
        SockType::Datagram
    } else {
        SockType::Stream
    };
    let made = super::sys::socket(family as i32, kind as i32, protocol);
    let Some(made) = super::sys::owned(made) else {
        return made;
    };
    if let Err(error) = connect(made.as_raw_fd(), to) {
        return failed(error);
    }
    if kind == SockType::Datagram
        && let Err(error) = send(made.as_raw_fd(), b"x", nix::sys::socket::MsgFlags::empty())
    {
        return failed(error);
    }
    let peer: Result<nix::sys::socket::SockaddrStorage, _> = getpeername(made.as_raw_fd());
    peer.map_or_else(failed, |_| 0)
}

/// Sends the first bytes together with the connection request (TCP Fast Open), which never calls `connect`.
pub fn fast_open(address: IpAddr, port: u16) -> Ret {
    match SocketAddr::new(address, port) {
        SocketAddr::V4(to) => sent(AddressFamily::Inet, &SockaddrIn::from(to)),
        SocketAddr::V6(to) => sent(AddressFamily::Inet6, &SockaddrIn6::from(to)),
    }
}

fn sent<A: SockaddrLike>(family: AddressFamily, to: &A) -> Ret {
    let flags = libc::MSG_FASTOPEN | libc::MSG_NOSIGNAL;
    let made = super::sys::socket(family as i32, libc::SOCK_STREAM, 0);
    let Some(made) = super::sys::owned(made) else {
        return made;
    };
    super::sys::send_to(made.as_raw_fd(), b"x", to.as_ptr(), to.len(), flags)
}
