//! One batch of one action, timed on the monotonic clock, which counts instructions in the benchmark's machine.
//!
//! Everything that is not the action (sockets, stacks, memory) is set up outside of the timed part.

use std::{
    ffi::CString,
    net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket},
    os::fd::AsRawFd as _,
};

use nix::{
    sys::socket::{SockaddrIn, SockaddrLike as _},
    time::{ClockId, clock_gettime},
};

use super::{
    programs::Launcher,
    sys::{self, Ret, c},
};

/// An action and how often one batch does it: short enough that most batches see no timer interrupt, and few
/// enough that their records fit into a ring.
pub struct Action {
    /// As the table names it
    pub name: &'static str,
    /// Per batch
    pub times: u32,
    /// What it needs of the place
    pub part: Part,
    /// Whether it costs one process something else than the next: memory of the kernel's is laid out anew
    pub varies: bool,
}

/// Where an action is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Seven directories down
    Deep,
    /// In the root directory
    Shallow,
    /// At an address
    Net,
    /// As deep, on another file system
    Disk,
}

const fn action(name: &'static str, times: u32, part: Part) -> Action {
    Action {
        name,
        times,
        part,
        varies: false,
    }
}

const fn varying(mut action: Action) -> Action {
    action.varies = true;
    action
}

const READ: &str = "open(read)+close, depth 1";
const SHALLOW: &str = "open(write)+close, depth 1";
const DEEP: &str = "open(write)+close, depth 8";
const EXT4: &str = "open(write)+close, depth 8, ext4";
const BTRFS: &str = "open(write)+close, depth 8, btrfs";
const CREATE: &str = "create+unlink";
const EXEC: &str = "vfork+exec";
const TCP: &str = "TCP connect";
const UDP: &str = "UDP connect+send";
const SEND: &str = "UDP send";

/// All of them.
pub const ALL: [Action; 10] = [
    action(READ, 100, Part::Shallow),
    action(SHALLOW, 100, Part::Shallow),
    action(DEEP, 100, Part::Deep),
    action(EXT4, 100, Part::Disk),
    action(BTRFS, 100, Part::Disk),
    action(CREATE, 40, Part::Deep),
    varying(action(EXEC, 4, Part::Deep)),
    varying(action(TCP, 16, Part::Net)),
    action(UDP, 40, Part::Net),
    action(SEND, 40, Part::Net),
];

/// File systems that are measured besides the one where everything is.
pub const DISKS: [&str; 2] = ["ext4", "btrfs"];

/// The same place on another file system, equally deep.
pub fn on_disk(kind: &str, place: &str) -> String {
    place.replacen("/srv/work", &format!("/srv/{kind}"), 1)
}

/// The file at depth 1 that stands for a place at depth 7.
pub fn shallow(place: &str) -> String {
    let name = place.split('/').nth(3).unwrap_or("none");
    format!("/bench-{name}")
}

/// The file at depth 8.
pub fn deep(place: &str) -> String {
    format!("{place}/f")
}

/// The program.
pub fn program(place: &str) -> String {
    format!("{place}/program")
}

/// Nanoseconds of one batch, or the first error of an action.
pub fn batch(name: &str, place: &str, to: &str) -> Ret {
    let Ok(to) = to.parse() else {
        return -Ret::from(libc::EINVAL);
    };
    let Some(Action { times, .. }) = ALL.into_iter().find(|action| action.name == name) else {
        return -Ret::from(libc::EINVAL);
    };
    match name {
        READ => timed(times, opening(&shallow(place), libc::O_RDONLY)),
        SHALLOW => timed(times, opening(&shallow(place), libc::O_WRONLY)),
        DEEP => timed(times, opening(&deep(place), libc::O_WRONLY)),
        EXT4 => timed(
            times,
            opening(&deep(&on_disk("ext4", place)), libc::O_WRONLY),
        ),
        BTRFS => timed(
            times,
            opening(&deep(&on_disk("btrfs", place)), libc::O_WRONLY),
        ),
        CREATE => creating(times, &format!("{place}/new")),
        EXEC => executing(times, &program(place)),
        TCP => connecting(times, to),
        UDP | SEND => sending(times, to, name == UDP),
        _ => -Ret::from(libc::EINVAL),
    }
}

/// The monotonic clock, which counts instructions in the benchmark's machine.
pub fn now_ns() -> Ret {
    clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map_or(-1, |now| now.tv_sec() * 1_000_000_000 + now.tv_nsec())
}

fn timed(times: u32, mut act: impl FnMut() -> Ret) -> Ret {
    let start = now_ns();
    for _ in 0..times {
        let result = act();
        if result < 0 {
            return result;
        }
    }
    now_ns() - start
}

fn opening(path: &str, flags: i32) -> impl FnMut() -> Ret {
    let path: CString = c(path);
    move || {
        let fd = sys::open(&path, flags, 0);
        if fd >= 0 {
            sys::close(fd);
        }
        fd
    }
}

fn creating(times: u32, path: &str) -> Ret {
    let path = c(path);
    timed(times, || {
        let fd = sys::open(&path, libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL, 0o644);
        if fd < 0 {
            return fd;
        }
        sys::close(fd);
        sys::one_path(libc::SYS_unlink, &path, 0)
    })
}

fn executing(times: u32, program: &str) -> Ret {
    let Some(mut launcher) = Launcher::new("vfork", program, &[]) else {
        return -Ret::from(libc::ENOMEM);
    };
    timed(times, || launcher.launch())
}

/// Connects, accepts on the other side and resets, so that nothing piles up from round to round.
fn connecting(times: u32, to: SocketAddrV4) -> Ret {
    let Ok(listener) = TcpListener::bind(to) else {
        return -Ret::from(libc::EADDRINUSE);
    };
    let to = SockaddrIn::from(to);
    timed(times, || {
        let Some(made) = sys::owned(sys::socket(libc::AF_INET, libc::SOCK_STREAM, 0)) else {
            return -1;
        };
        let linger = nix::libc::linger {
            l_onoff: 1,
            l_linger: 0,
        };
        if nix::sys::socket::setsockopt(&made, nix::sys::socket::sockopt::Linger, &linger).is_err()
        {
            return -1;
        }
        let connected = sys::connect(made.as_raw_fd(), to.as_ptr(), to.len());
        if connected < 0 {
            return connected;
        }
        drop(made);
        listener.accept().map_or(-1, |_| 0)
    })
}

/// Sends to a socket that takes it out again, so that its queue never fills up.
fn sending(times: u32, to: SocketAddrV4, connects: bool) -> Ret {
    let (Ok(receiver), Ok(sender)) = (
        UdpSocket::bind(to),
        UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)),
    ) else {
        return -Ret::from(libc::EADDRINUSE);
    };
    let to = SockaddrIn::from(to);
    let mut buffer = [0; 8];
    timed(times, || {
        if connects {
            let connected = sys::connect(sender.as_raw_fd(), to.as_ptr(), to.len());
            if connected < 0 {
                return connected;
            }
        }
        let sent = sys::send_to(sender.as_raw_fd(), b"x", to.as_ptr(), to.len(), 0);
        if sent < 0 {
            return sent;
        }
        receiver.recv(&mut buffer).map_or(-1, |_| 0)
    })
}
