//! Ways around an address: every spelling of a destination is one destination, whatever the socket.

use std::{
    io::ErrorKind,
    net::{TcpListener, UdpSocket},
};

use anyhow::{Result, ensure};
use stayhand_agent_ebpf::abi::code::reason;

use crate::{
    actors::rig::{self, Rig},
    scenario::{Ctx, Scenario},
};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("every_spelling_of_a_denied_address_is_denied", spellings).group("kernel"),
    Scenario::new("the_unspecified_address_is_judged_as_loopback", unspecified).group("kernel"),
    Scenario::new("udp_and_multipath_sockets_are_judged_like_tcp", kinds).group("kernel"),
    Scenario::new("another_port_or_address_is_free", free).group("kernel"),
    Scenario::new("tcp_fast_open_does_not_get_around_connect", fast_open).group("kernel"),
    Scenario::new("datagrams_without_a_connection_are_judged", datagrams).group("kernel"),
    Scenario::new(
        "every_spelling_of_a_denied_local_address_is_denied",
        local_addresses,
    )
    .group("kernel"),
    Scenario::new(
        "a_rule_on_one_local_address_says_nothing_of_all_of_them",
        every_address,
    )
    .group("kernel"),
];

/// A server that counts who came.
struct Server {
    tcp: TcpListener,
    udp: UdpSocket,
}

impl Server {
    fn on(address: &str) -> Result<Self> {
        let (tcp, udp) = (TcpListener::bind(address)?, UdpSocket::bind(address)?);
        tcp.set_nonblocking(true)?;
        udp.set_nonblocking(true)?;
        Ok(Self { tcp, udp })
    }

    fn was_reached(&self) -> bool {
        let accepted = self
            .tcp
            .accept()
            .map_or_else(|error| error.kind() != ErrorKind::WouldBlock, |_| true);
        accepted || self.udp.recv(&mut [0; 8]).is_ok()
    }
}

fn denied(rig: &mut Rig, server: &Server, kinds: &[&str], address: &str) -> Result<()> {
    for kind in kinds {
        rig.denied(&format!("connect|{kind}|{address}|7100"), reason::RULE_DENY)?;
        ensure!(
            !server.was_reached(),
            "{kind} to {address} reached the server"
        );
    }
    Ok(())
}

fn spellings(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let server = Server::on("127.0.0.1:7100")?;
        for address in ["127.0.0.1", "::ffff:127.0.0.1"] {
            denied(rig, &server, &["tcp", "udp"], address)?;
        }
        let server = Server::on("[::1]:7100")?;
        denied(rig, &server, &["tcp", "udp"], "::1")
    })
}

fn unspecified(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let server = Server::on("127.0.0.1:7100")?;
        for address in ["0.0.0.0", "::ffff:0.0.0.0"] {
            denied(rig, &server, &["tcp", "udp"], address)?;
        }
        let server = Server::on("[::1]:7100")?;
        denied(rig, &server, &["tcp", "udp"], "::")
    })
}

fn kinds(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let server = Server::on("127.0.8.1:7100")?;
        denied(rig, &server, &["udp", "mptcp", "tcp"], "127.0.8.1")
    })
}

fn free(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let _servers = [Server::on("127.0.0.1:7101")?, Server::on("127.0.7.1:7100")?];
        drop(rig.agent.records());
        ensure!(
            rig.alice.tell("connect|tcp|127.0.0.1|7101")? == 0,
            "another port"
        );
        ensure!(
            rig.alice.tell("connect|tcp|127.0.7.1|7100")? == 0,
            "another network"
        );
        ensure!(
            rig.agent.records().is_empty(),
            "records of free connections"
        );
        Ok(())
    })
}

/// The request carries data and no `connect` is ever called.
fn fast_open(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let free = Server::on("127.0.0.1:7101")?;
        let sent = rig.alice.tell("fast-open|tcp|127.0.0.1|7101")?;
        ensure!(
            sent >= 0 && free.was_reached(),
            "a free destination gives {sent}: this shows nothing"
        );
        let server = Server::on("127.0.0.1:7100")?;
        rig.denied("fast-open|tcp|127.0.0.1|7100", reason::RULE_DENY)?;
        for destination in ["0.0.0.0", "::ffff:127.0.0.1"] {
            rig.denied(
                &format!("fast-open|tcp|{destination}|7100"),
                reason::RULE_DENY,
            )?;
        }
        let words = format!("call|sendmsg|tcp|msg:127.0.0.1:7100|{}", libc::MSG_FASTOPEN);
        rig.denied(&words, reason::RULE_DENY)?;
        // Without the flag a stream has to be connected first, which the kernel would say.
        rig.denied(
            "call|sendto|tcp|=x|1|0|at:127.0.0.1:7100|16",
            reason::RULE_DENY,
        )?;
        ensure!(!server.was_reached(), "the server was reached");
        Ok(())
    })
}

/// Datagrams with a destination of their own, on sockets that never connect.
fn datagrams(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let (v4, v6) = (Server::on("127.0.0.1:7400")?, Server::on("[::1]:7400")?);
        let fast_open = libc::MSG_FASTOPEN;
        for words in [
            "sendto|udp|=x|1|0|at:127.0.0.1:PORT|16",
            "sendto|udp|=x|1|0|unspec:127.0.0.1:PORT|16",
            "sendto|udp|=x|1|0|at:0.0.0.0:PORT|16",
            &format!("sendto|udp|=x|1|{fast_open}|at:127.0.0.1:PORT|16"),
            "sendto|udp6|=x|1|0|at:[::ffff:127.0.0.1]:PORT|28",
            "sendto|udp6|=x|1|0|at:127.0.0.1:PORT|16",
            "sendto|udp6|=x|1|0|at:[::1]:PORT|28",
            "sendto|udp6|=x|1|0|at:[::]:PORT|28",
            "sendmsg|udp|msg:127.0.0.1:PORT|0",
            "sendmsg|udp|unspec-msg:127.0.0.1:PORT|0",
            "sendmsg|udp6|msg:[::1]:PORT|0",
            "sendmmsg|udp|msg:127.0.0.1:PORT|1|0",
        ] {
            let with_port = |port: &str| format!("call|{}", words.replace("PORT", port));
            let free = rig.alice.tell(&with_port("7401"))?;
            ensure!(
                free == 1,
                "`{words}` to a free port gives {free}: this shows nothing"
            );
            rig.denied(&with_port("7400"), reason::RULE_DENY)?;
        }
        ensure!(
            !v4.was_reached() && !v6.was_reached(),
            "a server was reached"
        );
        Ok(())
    })
}

/// Whoever may not take a port may not take it on every address at once either, where the rule says every address.
fn local_addresses(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        for words in [
            "bind|tcp|at:127.0.0.1:PORT|16",
            "bind|udp|at:127.0.0.1:PORT|16",
            "bind|tcp|at:0.0.0.0:PORT|16",
            "bind|udp|unspec:0.0.0.0:PORT|16",
            "bind|tcp6|at:[::1]:PORT|28",
            "bind|tcp6|at:[::]:PORT|28",
            "bind|udp6|at:[::ffff:127.0.0.1]:PORT|28",
        ] {
            let with_port = |port: &str| format!("call|{}", words.replace("PORT", port));
            let free = rig.alice.tell(&with_port("7502"))?;
            ensure!(
                free == 0,
                "`{words}` with a free port gives {free}: this shows nothing"
            );
            rig.denied(&with_port("7500"), reason::RULE_DENY)?;
        }
        Ok(())
    })
}

/// What a rule on one local address does not promise (docs/policy.md): every address at once is another one.
fn every_address(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        rig.denied("call|bind|tcp|at:127.0.0.1:7501|16", reason::RULE_DENY)?;
        let taken = rig.alice.tell("call|bind|tcp|at:0.0.0.0:7501|16")?;
        ensure!(
            taken == 0,
            "it gives {taken}: say in docs/policy.md what is promised now"
        );
        Ok(())
    })
}
