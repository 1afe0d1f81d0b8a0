//! Who is at the other end of a connection. The only place where a [`Peer`] is made, and only from what the
//! kernel says about the socket, and of a [`HostPeer`] or an
//! [`OperatorPeer`] only from a handshake: never from a message.

mod network;
mod pins;
mod process;

pub(crate) use network::place_of;
pub use network::{HostPeer, Joiner, OperatorPeer, Visitor};
pub use pins::{PinError, Pins};
pub use process::{NoProcess, PeerProcess};

use std::sync::Arc;

use stayhand_guardrail::{id::UserName, subject::Subject};

use crate::{
    app::{App, Error},
    names::Names,
};

/// An authenticated peer.
#[derive(Clone, Debug)]
pub struct Peer {
    uid: u32,
    pinned: Option<Subject>,
    user: Option<UserName>,
    guarded: bool,
}

impl Peer {
    /// Its uid when it connected.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// Its login uid, if it has a pin.
    pub fn auid(&self) -> Option<u32> {
        self.pinned.as_ref().map(|subject| subject.auid)
    }

    /// The person: by the pin, and by the uid only where there is no pin. Alice as root is alice.
    pub fn user(&self) -> Option<&UserName> {
        self.user.as_ref()
    }

    /// Whether a policy guards it on this host.
    pub fn is_guarded(&self) -> bool {
        self.guarded
    }

    /// The name, or the number where there is none.
    pub fn shown(&self) -> String {
        match (&self.user, &self.pinned) {
            (Some(user), _) => user.to_string(),
            (None, Some(subject)) => subject.shown(),
            (None, None) => format!("uid {}", self.uid),
        }
    }
}

/// Why nobody can be named.
#[derive(Debug, thiserror::Error)]
pub enum Unidentified {
    /// The process ended, so its number may mean another.
    #[error("the process that opened this connection is gone; connect again")]
    Gone,
    /// The pin could not be looked up.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// Whether a policy guards them cannot be told.
    #[error(transparent)]
    Guard(#[from] Error),
}

/// Makes peers.
#[derive(Clone)]
pub struct Identifier {
    pins: Pins,
    names: Names,
    app: Arc<App>,
}

impl Identifier {
    /// Looks pins up at `pins`.
    pub fn new(pins: Pins, names: Names, app: Arc<App>) -> Self {
        Self { pins, names, app }
    }

    /// Names the process that made a connection. Asked for every call: who is guarded changes with the policies.
    pub async fn identify(&self, process: &PeerProcess) -> Result<Peer, Unidentified> {
        let identity = self.pins.identify(process.pid(), &self.names).await;
        // ORDER: after the look-up; only then was the answer about this process.
        if !process.is_alive() {
            return Err(Unidentified::Gone);
        }
        let identity = identity?;
        let user = match &identity.subject {
            Some(subject) => subject.user.clone(),
            None => self.names.user(process.uid()).await.map_err(Error::from)?,
        };
        let guarded = identity.guarded
            || match &identity.subject {
                Some(subject) => self.is_guarded_here(subject).await?,
                // Nobody logged in: a service, perhaps, that no agent has pinned.
                None => user.as_ref().is_some_and(|user| self.app.is_service(user)),
            };
        Ok(Peer {
            uid: process.uid(),
            pinned: identity.subject,
            user,
            guarded,
        })
    }

    /// Without an agent nobody else knows; with one, policies that have not reached it yet count, too.
    async fn is_guarded_here(&self, subject: &Subject) -> Result<bool, Error> {
        match &subject.user {
            Some(user) => self.app.guards(user).await,
            None => Ok(false),
        }
    }
}
