//! Unix sockets by their file and by their name, listening, protocols, virtual sockets: what is held has no effect, and
//! no other way leads to the same socket.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            fs::PermissionsExt as _,
            net::{SocketAddr, UnixDatagram, UnixListener},
        },
    },
};

use anyhow::{Context as _, Result, ensure};
use stayhand_agent_ebpf::abi::code::reason;

use crate::{
    actors::{
        client::{ALICE_ROOT, Puppet},
        rig::{self, Rig, WORK},
        sys::{EPERM, Ret},
    },
    scenario::{Ctx, Scenario},
};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new(
        "held_connections_to_unix_sockets_have_no_effect",
        connections,
    )
    .group("kernel"),
    Scenario::new("held_datagrams_to_unix_sockets_have_no_effect", datagrams).group("kernel"),
    Scenario::new("held_bind_of_a_name_has_no_effect", name).group("kernel"),
    Scenario::new("held_listen_has_no_effect", listen).group("kernel"),
    Scenario::new("every_way_to_a_denied_unix_socket_is_denied", ways).group("kernel"),
    Scenario::new("a_denied_name_is_denied_in_every_namespace", names).group("kernel"),
    Scenario::new(
        "a_socket_in_the_place_of_another_one_is_asked_about_anew",
        replaced,
    )
    .group("kernel"),
    Scenario::new(
        "sockets_that_are_connected_already_are_not_judged",
        connected,
    )
    .group("kernel"),
    Scenario::new(
        "listening_is_judged_by_the_address_that_was_taken",
        listening,
    )
    .group("kernel"),
    Scenario::new(
        "a_rule_on_a_protocol_is_not_evaded_by_another_socket",
        protocols,
    )
    .group("kernel"),
    Scenario::new("virtual_sockets_are_judged_by_machine_and_port", vsock).group("kernel"),
];

const STREAM: i32 = libc::SOCK_STREAM;
const DATAGRAM: i32 = libc::SOCK_DGRAM;

/// Somebody who waits at a unix socket.
enum Server {
    Stream(UnixListener),
    Datagram(UnixDatagram),
}

impl Server {
    fn at(kind: i32, path: &str) -> Result<Self> {
        drop(fs::remove_file(path));
        let server = if kind == STREAM {
            Self::Stream(UnixListener::bind(path)?)
        } else {
            Self::Datagram(UnixDatagram::bind(path)?)
        };
        fs::set_permissions(path, fs::Permissions::from_mode(0o777))?;
        server.ready()
    }

    fn named(kind: i32, name: &[u8]) -> Result<Self> {
        let address = SocketAddr::from_abstract_name(name)?;
        if kind == STREAM {
            Self::Stream(UnixListener::bind_addr(&address)?)
        } else {
            Self::Datagram(UnixDatagram::bind_addr(&address)?)
        }
        .ready()
    }

    fn ready(self) -> Result<Self> {
        match &self {
            Self::Stream(socket) => socket.set_nonblocking(true)?,
            Self::Datagram(socket) => socket.set_nonblocking(true)?,
        }
        Ok(self)
    }

    fn was_reached(&self) -> bool {
        match self {
            Self::Stream(socket) => socket.accept().is_ok(),
            Self::Datagram(socket) => socket.recv(&mut [0; 8]).is_ok(),
        }
    }
}

fn socket(name: &str) -> String {
    format!("{WORK}/sockets/{name}")
}

/// By its file, and by its name.
fn connections(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let path = socket("held/stream");
        let server = Server::at(STREAM, &path)?;
        let words = format!("call|connect|sock:1:{STREAM}:0|unix:{path}|110");
        rig.held_without_effect(&words, &|| server.was_reached(), 0)?;
        let server = Server::named(STREAM, b"stayhand.held")?;
        let words = format!("call|connect|sock:1:{STREAM}:0|abstract:stayhand.held|16");
        rig.held_without_effect(&words, &|| server.was_reached(), 0)?;
        // Whom a datagram socket is connected to does not show: only that the call goes on.
        let path = socket("held/datagram");
        let _server = Server::at(DATAGRAM, &path)?;
        let words = format!("call|connect|sock:1:{DATAGRAM}:0|unix:{path}|110");
        let refused = rig.hold(&words)?;
        rig.agent.refuse(&refused.hold)?;
        ensure!(rig.result(&refused)? == EPERM, "refused, and connected");
        let held = rig.hold(&words)?;
        rig.stray_continues(&held, 2)?;
        rig.agent.approve(&held.hold)?;
        ensure!(
            rig.result(&held)? == 0,
            "approved gives {}",
            rig.result(&held)?
        );
        Ok(())
    })
}

fn datagrams(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let path = socket("held/datagram");
        let server = Server::at(DATAGRAM, &path)?;
        let to_file = format!("call|sendto|sock:1:{DATAGRAM}:0|=x|1|0|unix:{path}|110");
        rig.held_without_effect(&to_file, &|| server.was_reached(), 1)?;
        let message = format!("call|sendmsg|sock:1:{DATAGRAM}:0|unix-msg:{path}|0");
        rig.held_without_effect(&message, &|| server.was_reached(), 1)?;
        let server = Server::named(DATAGRAM, b"stayhand.held")?;
        let to_name = format!("call|sendto|sock:1:{DATAGRAM}:0|=x|1|0|abstract:stayhand.held|16");
        rig.held_without_effect(&to_name, &|| server.was_reached(), 1)
    })
}

/// Whether a name is taken in this network namespace.
fn is_taken(name: &str) -> bool {
    let table = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    table
        .lines()
        .any(|line| line.ends_with(&format!(" @{name}")))
}

fn name(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let words = format!("call|bind|sock:1:{STREAM}:0|abstract:stayhand.held|16");
        rig.held_without_effect(&words, &|| is_taken("stayhand.held"), 0)?;
        rig.fresh_alice()
    })
}

fn is_listening(port: u16) -> bool {
    let table = |name: &str| fs::read_to_string(format!("/proc/net/{name}")).unwrap_or_default();
    let ends = format!(":{port:04X} ");
    [table("tcp"), table("tcp6")]
        .iter()
        .flat_map(|table| table.lines())
        .any(|line| line.contains(&ends) && line.contains(" 0A "))
}

fn listen(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        for address in ["127.0.0.1:7601", "[::1]:7601", "0.0.0.0:7601"] {
            rig.fresh_alice()?; // the socket before is closed
            let words = format!("call|listen|bound:{address}|1");
            rig.held_without_effect(&words, &|| is_listening(7601), 0)?;
        }
        rig.fresh_alice()
    })
}

/// Alice, or root whom alice became, reaches a socket that a rule denies by other names and other calls.
fn ways(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let (stream, datagram) = (socket("denied/stream"), socket("denied/datagram"));
        let sequenced = socket("denied/sequenced");
        let free = socket("free/stream");
        let servers = [
            Server::at(STREAM, &stream)?,
            Server::at(DATAGRAM, &datagram)?,
            Server::at(STREAM, &free)?,
        ];
        let connect =
            |path: &str, kind: i32| format!("call|connect|sock:1:{kind}:0|unix:{path}|110");
        let [.., free_server] = &servers;
        ensure!(
            rig.alice.tell(&connect(&free, STREAM))? == 0 && free_server.was_reached(),
            "a free socket is out of reach: this shows nothing"
        );
        let link = socket("free/link");
        let hard = socket("free/hard");
        drop((fs::remove_file(&link), fs::remove_file(&hard)));
        std::os::unix::fs::symlink(&stream, &link)?;
        fs::hard_link(&stream, &hard)?;
        let up = format!("{WORK}/sockets/free/../denied/stream");
        let root = format!("/proc/self/root{stream}");
        for path in [&stream, &link, &hard, &up, &root] {
            rig.denied(&connect(path, STREAM), reason::RULE_DENY)?;
        }
        rig.denied(&connect(&datagram, DATAGRAM), reason::RULE_DENY)?;
        for words in [
            format!("call|sendto|sock:1:{DATAGRAM}:0|=x|1|0|unix:{datagram}|110"),
            format!("call|sendmsg|sock:1:{DATAGRAM}:0|unix-msg:{datagram}|0"),
            format!("call|sendmmsg|sock:1:{DATAGRAM}:0|unix-msg:{datagram}|1|0"),
        ] {
            rig.denied(&words, reason::RULE_DENY)?;
        }
        let _waiting = sequenced_server(&sequenced)?;
        rig.denied(
            &connect(&sequenced, libc::SOCK_SEQPACKET),
            reason::RULE_DENY,
        )?;
        // What is put in its place is covered at once, whatever became of the one before.
        let moved = socket("free/moved");
        fs::rename(&stream, &moved)?;
        let replacement = Server::at(STREAM, &stream)?;
        rig.denied(&connect(&stream, STREAM), reason::RULE_DENY)?;
        ensure!(
            !replacement.was_reached(),
            "what took its place was reached"
        );
        in_a_namespace_of_its_own(rig, &stream)?;
        ensure!(
            !servers[..2].iter().any(Server::was_reached),
            "a denied socket was reached"
        );
        Ok(())
    })
}

/// Root binds the directory elsewhere, in a mount namespace that nobody else sees.
fn in_a_namespace_of_its_own(rig: &mut Rig, path: &str) -> Result<()> {
    let place = socket("free/bound");
    fs::create_dir_all(&place)?;
    let mut root = Puppet::start(ALICE_ROOT)?;
    let denied = socket("denied");
    for words in [
        format!("unshare|{}", libc::CLONE_NEWNS),
        "private".to_owned(),
        format!("bind|{denied}|{place}"),
    ] {
        let result = root.tell(&words)?;
        ensure!(result == 0, "`{words}` gives {result}");
    }
    drop(rig.agent.records());
    for path in [format!("{place}/stream"), path.to_owned()] {
        let words = format!("call|connect|sock:1:{STREAM}:0|unix:{path}|110");
        let result = root.tell(&words)?;
        ensure!(result == EPERM, "`{words}` gives {result}");
    }
    Ok(())
}

/// Whoever waits for sequenced packets; kept open.
fn sequenced_server(path: &str) -> Result<std::os::fd::OwnedFd> {
    use nix::sys::socket::{
        AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket,
    };
    use std::os::fd::AsRawFd as _;
    drop(fs::remove_file(path));
    let made = socket(
        AddressFamily::Unix,
        SockType::SeqPacket,
        SockFlag::empty(),
        None,
    )?;
    bind(made.as_raw_fd(), &UnixAddr::new(path)?)?;
    listen(&made, Backlog::new(1)?)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o777))?;
    Ok(made)
}

/// Whole names, beginnings, and names with a NUL; taken and reached.
fn names(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let connect = |name: &str| {
            let len = 3 + name.len();
            format!("call|connect|sock:1:{STREAM}:0|abstract:{name}|{len}")
        };
        let bind = |name: &str| connect(name).replace("call|connect", "call|bind");
        let mut servers = Vec::new();
        for (name, is_denied) in [
            ("stayhand.denied", true),
            ("stayhand.denied~", false),
            ("stayhand.denie", false),
            ("stayhand.den.", true),
            ("stayhand.den.~x", true),
            ("stayhand.free", false),
        ] {
            if is_denied {
                rig.denied(&bind(name), reason::RULE_DENY)?;
            } else {
                let taken = rig.alice.tell(&bind(name))?;
                ensure!(taken == 0, "`{name}` is not free: {taken}");
                rig.fresh_alice()?;
            }
            let server = Server::named(STREAM, name.replace('~', "\0").as_bytes())?;
            if is_denied {
                rig.denied(&connect(name), reason::RULE_DENY)?;
                ensure!(!server.was_reached(), "`{name}` was reached");
            } else {
                let reached = rig.alice.tell(&connect(name))?;
                ensure!(
                    reached == 0 && server.was_reached(),
                    "`{name}` gives {reached}"
                );
            }
            servers.push(server);
        }
        // A name that the kernel chooses.
        let chosen = rig
            .alice
            .tell(&format!("call|bind|sock:1:{STREAM}:0|abstract:|2"))?;
        ensure!(chosen == 0, "no name is chosen: {chosen}");
        // Where nobody has the name, it is the rule that says no.
        let mut root = Puppet::start(ALICE_ROOT)?;
        let left = root.tell(&format!("unshare|{}", libc::CLONE_NEWNET))?;
        ensure!(left == 0, "no network namespace: {left}");
        let result = root.tell(&bind("stayhand.denied"))?;
        ensure!(
            result == EPERM,
            "in another network namespace it gives {result}"
        );
        Ok(())
    })
}

/// An approval is for the socket that was there.
fn replaced(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let path = socket("held/stream");
        let _first = Server::at(STREAM, &path)?;
        let words = format!("call|connect|sock:1:{STREAM}:0|unix:{path}|110");
        let held = rig.hold(&words)?;
        let second = Server::at(STREAM, &path)?;
        rig.agent
            .write_answer(&held.hold, stayhand_agent_ebpf::abi::code::answer::APPROVED)?;
        rig.agent.wake(&held.hold);
        let asked = crate::wait::until(crate::wait::SOON, "a question of its own", || {
            let pending = rig.agent.pending();
            pending
                .into_iter()
                .find(|one| one.entry.hold != held.hold.entry.hold)
        })?;
        ensure!(!second.was_reached(), "the approval served another socket");
        rig.agent.refuse(&asked)?;
        rig.agent.forget(&held.hold)?;
        let result = rig.result(&held)?;
        ensure!(result == EPERM, "refused, and yet {result}");
        Ok(())
    })
}

/// What docs/policy.md says of pairs and of what was connected before.
fn connected(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        drop(rig.agent.records());
        let (mut near, mut far) = std::os::unix::net::UnixStream::pair()?;
        near.write_all(b"x")?;
        far.read_exact(&mut [0; 1])?;
        let path = socket("free/datagram");
        let server = Server::at(DATAGRAM, &path)?;
        for words in [
            format!("call|connect|sock:1:{DATAGRAM}:0|unix:{path}|110"),
            format!("call|sendto|sock:1:{DATAGRAM}:0|=x|1|0|unix:{path}|110"),
        ] {
            let result = rig.alice.tell(&words)?;
            ensure!(result >= 0, "`{words}` gives {result}");
        }
        ensure!(server.was_reached(), "a free socket is out of reach");
        ensure!(rig.agent.records().is_empty(), "records of free sockets");
        Ok(())
    })
}

fn listening(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        for (address, is_denied) in [
            ("127.0.0.1:7600", true),
            ("[::1]:7600", true),
            ("0.0.0.0:7600", true),
            ("[::]:7600", true),
            ("127.0.13.1:7602", true),
            ("127.0.14.1:7602", false),
            ("[::]:7603", false),
        ] {
            let words = format!("call|listen|bound:{address}|1");
            if is_denied {
                rig.denied(&words, reason::RULE_DENY)?;
            } else {
                let result = rig.alice.tell(&words)?;
                ensure!(result == 0, "`{words}` gives {result}");
            }
        }
        // Without an address of its own: every address, and a port that nobody knows yet.
        drop(rig.agent.records());
        let result = rig.alice.tell("call|listen|tcp|1")?;
        ensure!(
            result == 0 && rig.agent.records().is_empty(),
            "it gives {result}: say in docs/policy.md what is promised now"
        );
        Ok(())
    })
}

/// A rule on TCP only.
fn protocols(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let _udp = std::net::UdpSocket::bind("127.0.12.1:7100")?;
        for kind in ["tcp", "mptcp"] {
            rig.denied(
                &format!("connect|{kind}|127.0.12.1|7100"),
                reason::RULE_DENY,
            )?;
        }
        drop(rig.agent.records());
        let result = rig.alice.tell("connect|udp|127.0.12.1|7100")?;
        ensure!(
            result == 0 && rig.agent.records().is_empty(),
            "UDP gives {result}"
        );
        // A header of its own can say what it likes.
        let mut root = Puppet::start(ALICE_ROOT)?;
        for (socket, result) in [
            ("sock:2:3:6", EPERM),
            ("sock:2:3:255", EPERM),
            ("sock:2:2:17", 1),
        ] {
            let words = format!("call|sendto|{socket}|=x|1|0|at:127.0.12.1:7100|16");
            let found = root.tell(&words)?;
            ensure!(found == result, "`{words}` gives {found}");
        }
        // An address without a family is one of the socket's own.
        for address in ["at", "unspec"] {
            let words = format!("call|sendto|sock:10:3:17|=x|1|0|{address}:[::1]:17|28");
            let found = root.tell(&words)?;
            ensure!(found == EPERM, "`{words}` gives {found}");
            let elsewhere = root.tell(&words.replace("::1", "::2"))?;
            ensure!(
                elsewhere != EPERM,
                "every address is denied: this shows nothing"
            );
        }
        // Nor is its port known: a rule on another port may be meant.
        let words = "call|sendto|sock:2:3:17|=x|1|0|at:127.0.11.1:1|16";
        let found = root.tell(words)?;
        ensure!(found == EPERM, "`{words}` gives {found}");
        Ok(())
    })
}

/// No guest has such a machine, and the kernel would say so after the question.
fn vsock(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        for (call, address, is_denied) in [
            ("connect", "77:1", true),
            ("connect", "77:4000000000", true),
            ("connect", "78:1024", true),
            ("connect", "78:1025", false),
            ("connect", "79:1024", false),
            ("bind", "77:5", true),
            ("bind", "4294967295:5", true),
            ("bind", "78:1024", false),
        ] {
            // On any socket: the address is what counts.
            let words = format!("call|{call}|tcp|vsock:{address}|16");
            if is_denied {
                rig.denied(&words, reason::RULE_DENY)?;
            } else {
                let result: Ret = rig.alice.tell(&words)?;
                ensure!(result < 0 && result != EPERM, "`{words}` gives {result}");
            }
        }
        let records = rig.agent.records();
        ensure!(records.is_empty(), "{} records of free ones", records.len());
        Ok(())
    })
    .context("by address")
}
