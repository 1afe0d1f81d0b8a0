//! Who is at the other end of a network connection. Made where its handshake ended, and nowhere else.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use stayhand_transport::{Certificate, EXPORTER_BYTES};

use crate::app::Error;

/// A host that showed a certificate of ours. Its chain is verified and the host has its key; whether the certificate still
/// counts is asked with every call.
#[derive(Clone, Debug)]
pub struct HostPeer {
    /// What it showed
    pub certificate: Certificate,
    /// From where it came
    pub address: SocketAddr,
}

/// Somebody without a certificate, who may only ask for one.
#[derive(Clone, Debug)]
pub struct Joiner {
    /// Secret that only the two ends of this connection have
    pub connection: [u8; EXPORTER_BYTES],
    /// From where it came
    pub address: SocketAddr,
}

/// An operator who showed a certificate of ours, under the same conditions.
#[derive(Clone, Debug)]
pub struct OperatorPeer {
    /// What was shown
    pub certificate: Certificate,
    /// From where it came
    pub address: SocketAddr,
    /// Why nothing is served on this connection, whatever the session is worth
    pub refused: Option<Arc<Error>>,
}

/// Somebody without a certificate, who may only sign in.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// From where they came
    pub address: SocketAddr,
}

/// Whose an address is, where places or tries are counted: who has one address of IPv6 has all of its /64.
pub(crate) fn place_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}
