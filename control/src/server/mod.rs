//! The sockets and what is behind them, from start to stop.

mod connection;
mod network;
mod socket;

pub use socket::SocketError;

use std::{io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use stayhand_guardrail::id::HostId;
use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{service::Routes, transport::Server};
use uuid::Uuid;

use crate::{
    api::{Api, Gate, HostStreams, Paces},
    app::{self, App, Membership, SignIn, tick_until},
    authority::{Authority, AuthorityError},
    authz::{Authorization, AuthorizationError},
    clock,
    config::{Config, PinSource},
    identity::{Identifier, Pins},
    limits::{
        CALL_TIMEOUT, DRAIN_TIMEOUT, RECOVERY_PAUSE, STREAMS_PER_CONNECTION_MAX,
        STREAMS_PER_JOINER_MAX,
    },
    names::Names,
    oidc::{Oidc, OidcSetupError},
    operator::Operators,
    people::People,
    store::{StateDir, Store, StoreError},
};
use connection::incoming;
use network::{Incoming, NetworkConnection};
use socket::{Socket, SocketFile, listen};

/// Everybody may connect and be told that they may not.
const OPERATORS_MODE: u32 = 0o666;
/// Only the owner, and root.
const HOSTS_MODE: u32 = 0o600;
/// A peer that does not answer a ping is gone; its places and streams are given back.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// See [`PING_INTERVAL`].
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the control plane does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its content.
    #[error(transparent)]
    App(#[from] app::Error),
    /// The rules of who may do what.
    #[error(transparent)]
    Authorization(#[from] AuthorizationError),
    /// A socket.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The address for hosts.
    #[error("cannot listen at `network.listen` = {address}: {problem}")]
    Listen {
        /// The address
        address: SocketAddr,
        /// Why
        problem: std::io::Error,
    },
    /// Who signs certificates.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// Where people sign in.
    #[error(transparent)]
    Oidc(#[from] OidcSetupError),
    /// The machine does not say who it is.
    #[error("cannot tell which machine this is: {0}")]
    Machine(String),
}

/// A control plane that runs.
pub struct Running {
    app: Arc<App>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    files: Vec<SocketFile>,
    network: Option<SocketAddr>,
}

/// Opens the store and the sockets. When this returns, clients can connect.
pub async fn start(config: &Config, names: Names) -> Result<Running, StartError> {
    let rules = Authorization::load(config.authorization.policies.as_deref())?;
    let file = config.authorization.policies.as_ref();
    let file = file.map_or_else(|| "as shipped".into(), |file| file.display().to_string());
    tracing::info!(rules = file, "who may do what");
    let host = this_host()?;
    let state_dir = StateDir::acquire(&config.state.directory)?;
    let store = Store::open(
        state_dir,
        host.clone(),
        boot_id()?,
        config.state.database_mib_max,
    )
    .await?;
    let people = People::new(config.people.file.as_deref());
    // Told now, while somebody looks; approvals that need it say so again.
    if let Err(error) = people.read() {
        tracing::error!(%error, "approvals by whoever is on call, and by managers, cannot be given");
    }
    let listener = match config.network.listen {
        Some(address) => Some(bind(address).await?),
        None => None,
    };
    let membership = Membership {
        authority: Authority::open(&store, &config.state.directory, clock::now()).await?,
        address: listener
            .as_ref()
            .map(|listener| reached_at(config, listener, &host)),
        certificate_lifetime: config.network.certificate_lifetime,
        recovery_pause: RECOVERY_PAUSE,
        sign_in: SignIn {
            oidc: Oidc::new(&config.oidc)?,
            lifetime: config.oidc.session_lifetime,
        },
    };
    let changes = config.policies.0.clone();
    let app = App::new(store, names.clone(), people, changes, membership).await?;
    let app = Arc::new(app.with_oldest_protocol(config.delivery.oldest_protocol));
    app.keep_fresh_for(config.delivery.freshness).await?;
    let pins = match config.identity.pins {
        PinSource::Agent => Pins::Agent {
            socket: config.identity.agent_socket.clone(),
        },
        PinSource::LoginUid => Pins::LoginUid,
    };
    let identifier = Identifier::new(pins, names.clone(), Arc::clone(&app));
    let operators = Operators {
        users: config.operators.users.clone(),
        groups: config.operators.groups.clone(),
        rules,
    };
    let (stop, stopped) = watch::channel(false);
    let gate = Gate::new(identifier, names, operators, host, Arc::clone(&app));
    let api = Api {
        app: Arc::clone(&app),
        gate,
        paces: Paces::default(),
        streams: HostStreams::default(),
        stop: stopped.clone(),
    };
    let mut running = Running {
        app: Arc::clone(&app),
        stop,
        tasks: JoinSet::new(),
        files: vec![],
        network: None,
    };
    if let Some(listener) = listener {
        running.serve_network(listener, &api);
    }
    running.serve(&config.listen.hosts, HOSTS_MODE, api.host_routes())?;
    running.serve(
        &config.listen.operators,
        OPERATORS_MODE,
        api.operator_routes(),
    )?;
    running.tasks.spawn(tick_until(app, stopped));
    Ok(running)
}

impl Running {
    fn serve(&mut self, path: &Path, mode: u32, routes: Routes) -> Result<(), SocketError> {
        let Socket { listener, file } = listen(path, mode)?;
        self.files.push(file);
        let served = builder(STREAMS_PER_CONNECTION_MAX)
            .add_routes(routes)
            .serve_with_incoming_shutdown(incoming(listener), stopped(self.stop.subscribe()));
        let path = path.display().to_string();
        self.tasks.spawn(async move {
            if let Err(error) = served.await {
                tracing::error!(%error, socket = path, "socket failed");
            }
        });
        Ok(())
    }

    /// Hosts and operators that are elsewhere: those that have a certificate, and those that come for one.
    fn serve_network(&mut self, listener: TcpListener, api: &Api) {
        self.network = listener.local_addr().ok();
        let Incoming {
            hosts,
            joiners,
            operators,
            visitors,
        } = network::listen(listener, Arc::clone(&self.app), self.stop.subscribe());
        let (connected, guest) = (STREAMS_PER_CONNECTION_MAX, STREAMS_PER_JOINER_MAX);
        self.serve_connections("hosts", hosts, connected, api.network_routes());
        self.serve_connections("hosts that join", joiners, guest, api.join_routes());
        self.serve_connections("operators", operators, connected, api.operator_routes());
        self.serve_connections(
            "operators that sign in",
            visitors,
            guest,
            api.sign_in_routes(),
        );
    }

    fn serve_connections<I: Clone + Send + Sync + Unpin + 'static>(
        &mut self,
        whom: &'static str,
        connections: ReceiverStream<io::Result<NetworkConnection<I>>>,
        streams_max: u32,
        routes: Routes,
    ) {
        let stop = self.stop.subscribe();
        self.tasks.spawn(async move {
            let served = builder(streams_max)
                .add_routes(routes)
                .serve_with_incoming_shutdown(connections, stopped(stop));
            if let Err(error) = served.await {
                tracing::error!(%error, whom, "not served over the network any more");
            }
        });
    }

    /// Where hosts that are elsewhere are served.
    pub fn network(&self) -> Option<SocketAddr> {
        self.network
    }

    /// The use cases, for tests that look behind the sockets.
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Ends every stream, lets calls finish, takes the sockets away and closes the store.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let drain = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN_TIMEOUT, drain).await.is_err() {
            tracing::warn!("some calls did not finish in time");
            self.tasks.shutdown().await;
        }
        self.files.clear();
        self.app.store().close().await;
    }
}

fn builder(streams_max: u32) -> Server {
    Server::builder()
        .timeout(CALL_TIMEOUT)
        .max_concurrent_streams(streams_max)
        .http2_keepalive_interval(Some(PING_INTERVAL))
        .http2_keepalive_timeout(Some(PING_TIMEOUT))
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // An error means that the sender is gone, which is a stop, too.
    if stop.wait_for(|stop| *stop).await.is_err() {
        tracing::debug!("stopped without being told");
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|problem| StartError::Listen { address, problem })
}

/// Where hosts reach this control plane, as far as anybody said.
fn reached_at(config: &Config, listener: &TcpListener, host: &HostId) -> String {
    let port = listener.local_addr().map_or(0, |address| address.port());
    let configured = config.network.address.clone();
    configured.unwrap_or_else(|| format!("{host}:{port}"))
}

/// The machine's name, which is also the id of its host.
fn this_host() -> Result<HostId, StartError> {
    let name =
        nix::unistd::gethostname().map_err(|errno| StartError::Machine(errno.to_string()))?;
    let name = name.to_string_lossy().to_ascii_lowercase();
    HostId::new(name).map_err(|problem| {
        StartError::Machine(format!("{problem}; set it with `hostnamectl hostname`"))
    })
}

/// The machine's boot.
fn boot_id() -> Result<Uuid, StartError> {
    const PATH: &str = "/proc/sys/kernel/random/boot_id";
    let text = std::fs::read_to_string(PATH)
        .map_err(|problem| StartError::Machine(format!("{PATH}: {problem}")))?;
    text.trim()
        .parse()
        .map_err(|problem| StartError::Machine(format!("{PATH}: {problem}")))
}
