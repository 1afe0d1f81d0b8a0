//! The services of `stayhand.v1`: authenticate, decode, one use case, encode. Decides nothing; the only place of
//! the control plane that knows wire types.

mod access_tokens;
mod authorities;
mod delivery;
mod events;
mod flags;
mod gate;
mod grants;
mod holds;
mod host_streams;
mod hosts;
mod identity;
mod join;
mod join_tokens;
mod known_first;
mod locks;
mod pace;
mod page;
mod policies;
mod publish_events;
mod sessions;
mod sign_in;
mod status;
mod stream;
mod sync;
mod sync_session;
mod unfinished;

pub use gate::Gate;
pub use host_streams::HostStreams;
pub use pace::Paces;
pub use publish_events::take as take_events;
pub use sync_session::{Change, SyncSession};

use std::sync::Arc;

use stayhand_proto::{
    limits::{CREDENTIAL_BYTES_MAX, HOST_MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX},
    v1::{
        access_token_service_server::AccessTokenServiceServer,
        authority_service_server::AuthorityServiceServer, event_service_server::EventServiceServer,
        flag_service_server::FlagServiceServer, grant_service_server::GrantServiceServer,
        hold_service_server::HoldServiceServer,
        host_certificate_service_server::HostCertificateServiceServer,
        host_service_server::HostServiceServer, host_sync_service_server::HostSyncServiceServer,
        identity_service_server::IdentityServiceServer, join_service_server::JoinServiceServer,
        join_token_service_server::JoinTokenServiceServer, lock_service_server::LockServiceServer,
        policy_service_server::PolicyServiceServer, session_service_server::SessionServiceServer,
        sign_in_service_server::SignInServiceServer,
    },
};
use tokio::sync::watch;
use tonic::{
    Status,
    body::Body,
    codegen::http,
    service::{LayerExt as _, Routes},
};
use tower::util::MapRequestLayer;

use crate::{
    app::{App, Error},
    limits::HOST_MESSAGE_TIMEOUT,
};

/// What every service has.
#[derive(Clone)]
pub struct Api {
    /// The use cases
    pub app: Arc<App>,
    /// Who may call
    pub gate: Gate,
    /// How fast hosts may speak
    pub paces: Paces,
    /// How many streams hosts may have
    pub streams: HostStreams,
    /// True when the control plane stops
    pub stop: watch::Receiver<bool>,
}

impl Api {
    /// Services for operators.
    pub fn operator_routes(&self) -> Routes {
        let known = known_first::KnownFirstLayer(self.gate.clone());
        let mut routes = Routes::builder();
        routes
            .add_service(known.named_layer(GrantServiceServer::new(self.clone())))
            .add_service(known.named_layer(HoldServiceServer::new(self.clone())))
            .add_service(known.named_layer(PolicyServiceServer::new(self.clone())))
            .add_service(known.named_layer(FlagServiceServer::new(self.clone())))
            .add_service(known.named_layer(LockServiceServer::new(self.clone())))
            .add_service(known.named_layer(HostServiceServer::new(self.clone())))
            .add_service(known.named_layer(JoinTokenServiceServer::new(self.clone())))
            .add_service(known.named_layer(AuthorityServiceServer::new(self.clone())))
            .add_service(known.named_layer(EventServiceServer::new(self.clone())))
            .add_service(known.named_layer(SessionServiceServer::new(self.clone())))
            .add_service(known.named_layer(AccessTokenServiceServer::new(self.clone())))
            .add_service(known.named_layer(IdentityServiceServer::new(self.clone())));
        routes.routes()
    }

    /// Services for operators who have no certificate.
    pub fn sign_in_routes(&self) -> Routes {
        let mut routes = Routes::builder();
        routes.add_service(
            SignInServiceServer::new(self.clone()).max_decoding_message_size(CREDENTIAL_BYTES_MAX),
        );
        routes.routes()
    }

    /// Services for hosts' agents.
    pub fn host_routes(&self) -> Routes {
        let sync = HostSyncServiceServer::new(self.clone())
            .max_decoding_message_size(HOST_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let ending = MapRequestLayer::new(|request: http::Request<Body>| {
            request.map(|body| unfinished::ending_within(body, HOST_MESSAGE_TIMEOUT))
        });
        let mut routes = Routes::builder();
        routes.add_service(ending.named_layer(sync));
        routes.routes()
    }

    /// Services for hosts' agents over the network.
    pub fn network_routes(&self) -> Routes {
        let certificates = HostCertificateServiceServer::new(self.clone())
            .max_decoding_message_size(CREDENTIAL_BYTES_MAX);
        self.host_routes().add_service(certificates)
    }

    /// Services for whoever has no certificate.
    pub fn join_routes(&self) -> Routes {
        let mut routes = Routes::builder();
        routes.add_service(
            JoinServiceServer::new(self.clone()).max_decoding_message_size(CREDENTIAL_BYTES_MAX),
        );
        routes.routes()
    }

    /// Runs a use case that changes something to its end, even if the caller hangs up: what is committed is also
    /// told.
    async fn to_the_end<T, F>(&self, work: impl FnOnce(Arc<App>) -> F) -> Result<T, Status>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        match tokio::spawn(work(Arc::clone(&self.app))).await {
            Ok(done) => done.map_err(|error| status::of(&error)),
            Err(_) => Err(Status::internal(
                "the call broke off; look at the control plane's log",
            )),
        }
    }
}
