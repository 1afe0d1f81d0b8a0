//! Who may call: from a connection's process to a witness. Asked for every call, answered from the transport.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use stayhand_guardrail::id::HostId;
use tonic::{Request, Status, codegen::http::Extensions};

use super::status;
use crate::{
    app::App,
    authz::Action,
    identity::{HostPeer, Identifier, OperatorPeer, Peer, PeerProcess},
    names::Names,
    operator::{
        FoundSession, HostAgent, Operator, Operators, authorize, authorize_agent, authorize_member,
        authorize_session,
    },
};

/// How long it counts that somebody was let in before the call was read: longer than any call takes to come whole that is not held up
/// on purpose.
const ADMITTED_FOR: Duration = Duration::from_secs(2);

/// Somebody who was let in for one call, before that was read.
#[derive(Clone)]
pub(super) struct Admitted {
    operator: Operator,
    action: Action,
    at: Instant,
}

impl Admitted {
    fn counts_for(&self, action: Action) -> bool {
        self.action == action && self.at.elapsed() < ADMITTED_FOR
    }
}

/// Makes witnesses.
#[derive(Clone)]
pub struct Gate {
    identifier: Identifier,
    names: Names,
    operators: Arc<Operators>,
    host: HostId,
    app: Arc<App>,
}

impl Gate {
    /// Lets these operators in, and the agent of this host.
    pub fn new(
        identifier: Identifier,
        names: Names,
        operators: Operators,
        host: HostId,
        app: Arc<App>,
    ) -> Self {
        Self {
            identifier,
            names,
            operators: Arc::new(operators),
            host,
            app,
        }
    }

    /// Whoever calls. Asked before the call was read, and again if that took long: somebody may not be who they were by then.
    pub(super) async fn operator<T>(
        &self,
        request: &Request<T>,
        action: Action,
    ) -> Result<Operator, Status> {
        match request.extensions().get::<Admitted>() {
            Some(admitted) if admitted.counts_for(action) => Ok(admitted.operator.clone()),
            _ => self.asked(request.extensions(), action).await,
        }
    }

    /// Whoever calls, if rules let them do such a thing at all.
    pub(super) async fn admit(
        &self,
        extensions: &Extensions,
        action: Action,
    ) -> Result<Admitted, Status> {
        let operator = self.asked(extensions, action).await?;
        Ok(Admitted {
            operator,
            action,
            at: Instant::now(),
        })
    }

    async fn asked(&self, extensions: &Extensions, action: Action) -> Result<Operator, Status> {
        if let Some(peer) = extensions.get::<Arc<OperatorPeer>>() {
            return self.session(peer, action).await;
        }
        let peer = self.peer(extensions).await?;
        authorize(&peer, &self.operators, &self.names, action).await.map_err(|refusal| {
            tracing::warn!(peer = peer.shown(), uid = peer.uid(), auid = peer.auid(), %refusal, "refused");
            status::refused(&refusal)
        })
    }

    /// The operator who shows a certificate.
    async fn session(&self, peer: &OperatorPeer, action: Action) -> Result<Operator, Status> {
        if let Some(error) = &peer.refused {
            return Err(status::of(error));
        }
        let session = self.app.session_of(&peer.certificate).await;
        let session = session.map_err(|error| status::of(&error))?;
        let guarded = match &session {
            Some((session, _)) => {
                let user = &session.user;
                let guards = self.app.guards(user).await;
                guards.map_err(|error| status::of(&error))? || self.app.is_service(user)
            }
            None => false,
        };
        let found = FoundSession { session, guarded };
        let now = self.app.now();
        let authorized = authorize_session(found, &self.operators, &self.names, action, now).await;
        authorized.map_err(|refusal| {
            tracing::warn!(address = %peer.address, name = %peer.certificate.name, serial = %peer.certificate.serial, %refusal, "refused");
            status::refused(&refusal)
        })
    }

    /// The agent that calls.
    pub(super) async fn agent<T>(&self, request: &Request<T>) -> Result<HostAgent, Status> {
        if let Some(host) = request.extensions().get::<Arc<HostPeer>>() {
            return self.member(host).await;
        }
        let peer = self.peer(request.extensions()).await?;
        authorize_agent(&peer, &self.host).map_err(|refusal| {
            tracing::warn!(peer = peer.shown(), uid = peer.uid(), auid = peer.auid(), %refusal, "refused");
            status::refused(&refusal)
        })
    }

    /// The host that shows a certificate.
    async fn member(&self, peer: &HostPeer) -> Result<HostAgent, Status> {
        let standing = self.app.certificate_standing(&peer.certificate).await;
        let standing = standing.map_err(|error| status::of(&error))?;
        authorize_member(&peer.certificate, standing, &self.host, self.app.now()).map_err(|refusal| {
            tracing::warn!(address = %peer.address, serial = %peer.certificate.serial, %refusal, "refused");
            status::not_accepted(&refusal)
        })
    }

    async fn peer(&self, extensions: &Extensions) -> Result<Peer, Status> {
        let process = extensions.get::<Arc<PeerProcess>>();
        let process =
            process.ok_or_else(|| Status::unauthenticated("the connection has no process"))?;
        self.identifier.identify(process).await.map_err(|error| {
            tracing::warn!(pid = process.pid(), uid = process.uid(), %error, "not identified");
            status::unidentified(&error)
        })
    }
}
