//! What tests of the uplink have in common: one that nobody hears yet.

use std::{
    path::Path,
    sync::{
        Arc,
        mpsc::{Receiver, channel},
    },
};

use stayhand_proto::protocol::CONTROL_PROTOCOL_MIN;
use tokio::sync::watch;

use super::{Beats, Holding, Route, Uplink};
use crate::{membership::IdentityFile, reconcile::Wake, spool::Spool, testing::identity};

/// The uplink of a host whose state is at `place`, with its spool; and whom it wakes.
pub(super) fn uplink(place: &Path, spool: Arc<Spool>) -> (Uplink, Receiver<Wake>) {
    let (wakes, woken) = channel();
    let uplink = Uplink {
        route: Route {
            socket: place.join("control"),
            server_uid: None,
            membership: IdentityFile::in_state(place),
            address: None,
            host: identity().host,
        },
        authorities: watch::Sender::default(),
        health: Arc::default(),
        board: Arc::default(),
        acks: watch::channel(None).1,
        stored: watch::channel(0).1,
        identity: identity(),
        oldest_protocol: CONTROL_PROTOCOL_MIN,
        held: Holding::journaled(&spool),
        beats: Beats::default(),
        prove: Box::new(|_| Ok(())),
        spool,
        wakes,
    };
    (uplink, woken)
}
