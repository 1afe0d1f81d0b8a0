//! Hosts and operators over the network: TLS 1.3, and what a connection may do is settled before its first byte of HTTP. Whoever
//! shows a certificate of ours speaks for its host or acts as its person; whoever has none may only join, or only sign in; and there
//! is nothing else.

mod accept;
mod connection;
mod full;
mod live;
mod tls;

pub(super) use accept::{Incoming, listen};
pub(super) use connection::NetworkConnection;
