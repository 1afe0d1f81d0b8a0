//! Connections as a program makes them, one `connect(2)` each.

use std::{
    net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6},
    os::fd::AsRawFd as _,
};

use nix::{
    errno::Errno,
    sys::socket::{
        AddressFamily, SockFlag, SockType, SockaddrIn, SockaddrIn6, SockaddrLike, connect, getpeername, send, socket,
    },
};

use super::sys::Ret;

fn failed(error: Errno) -> Ret {
    -Ret::from(error as i32)
}

/// Connects `tcp` or `udp` and, for UDP, sends one datagram. 0 if the socket then has a peer.
pub fn connect_to(kind: &str, address: IpAddr, port: u16) -> Ret {
    match SocketAddr::new(address, port) {
        SocketAddr::V4(to) => one(kind, AddressFamily::Inet, &SockaddrIn::from(to)),
        SocketAddr::V6(to) => one(kind, AddressFamily::Inet6, &SockaddrIn6::from(to)),
    }
}

fn one<A: SockaddrLike>(kind: &str, family: AddressFamily, to: &A) -> Ret {
    let kind = if kind == "udp" { SockType::Datagram } else { SockType::Stream };
    let made = socket(family, kind, SockFlag::SOCK_CLOEXEC, None);
    let made = match made {
        Ok(made) => made,
        Err(error) => return failed(error),
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
    match socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None) {
        Ok(made) => super::sys::send_to(made.as_raw_fd(), b"x", to.as_ptr(), to.len(), flags),
        Err(error) => failed(error),
    }
}

/// The same address with IPv4 written as mapped IPv6.
pub fn mapped(address: SocketAddrV4) -> SocketAddrV6 {
    SocketAddrV6::new(address.ip().to_ipv6_mapped(), address.port(), 0, 0)
}
