//! One life of the control plane: the real use cases on their real store. Ends at a commit, before it or right after it.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use stayhand_control::{
    app::{App, Error, Membership, SignIn, Ticker},
    authority::Authority,
    authz::{Action, Authorization},
    clock::Outside,
    identity::{Identifier, PeerProcess, Pins},
    limits::CERTIFICATE_LIFETIME,
    names::Names,
    operator::{
        HostAgent, NotAccepted, Operator, Operators, Refusal, authorize, authorize_agent,
        authorize_member,
    },
    people::People,
    store::{Commits, Standing, StateDir, Store, StoreError},
};
use stayhand_guardrail::{id::HostId, subject::Subject, time::DurationMs};
use stayhand_proto::message::Identity;
use stayhand_transport::Certificate;
use tokio::net::UnixStream;
use uuid::Uuid;

use crate::{
    life::Life,
    members::RECOVERY_PAUSE,
    mutant::Mutant,
    people::{NameServices, OPERATORS, uid},
};

/// Commits of one control plane, and its disk.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    life: Life,
    is_full: Arc<AtomicBool>,
}

impl Commits for Disk {
    fn before(&self) -> Result<(), StoreError> {
        if self.is_full.load(Ordering::SeqCst) || !self.life.goes_on() {
            return Err(StoreError::Full);
        }
        Ok(())
    }

    fn after(&self) -> Result<(), StoreError> {
        if self.life.goes_on() {
            Ok(())
        } else {
            Err(StoreError::Full)
        }
    }
}

pub(crate) struct Control {
    pub(crate) app: Arc<App>,
    pub(crate) ticker: Ticker,
    pub(crate) life: Life,
    /// Somebody who may look at everything
    pub(crate) auditor: Operator,
    identifier: Identifier,
    names: Names,
    operators: Operators,
    process: PeerProcess,
    who: Arc<Mutex<Identity>>,
    _stream: UnixStream,
}

/// The shipped ones, read once: every world has the same.
fn rules() -> Authorization {
    static RULES: OnceLock<Authorization> = OnceLock::new();
    RULES
        .get_or_init(|| Authorization::shipped().unwrap())
        .clone()
}

impl Control {
    /// Opens what an earlier one left in `directory`.
    pub(crate) async fn start(
        directory: &Path,
        outside: Arc<dyn Outside>,
        is_full: &Arc<AtomicBool>,
        fresh_for: Option<DurationMs>,
        lifetime: Option<DurationMs>,
    ) -> Self {
        let life = Life::default();
        let disk = Disk {
            life: life.clone(),
            is_full: Arc::clone(is_full),
        };
        let state = StateDir::acquire(directory).unwrap();
        let host = "control".parse().unwrap();
        let store = Store::open_simulated(state, host, Uuid::from_u128(1), Arc::new(disk));
        let names = Names::new(NameServices);
        let store = store.await.unwrap();
        let authority = Authority::open(&store, directory, outside.now()).await;
        let membership = Membership {
            authority: authority.unwrap(),
            address: Some("control:7443".to_owned()),
            certificate_lifetime: lifetime.unwrap_or(CERTIFICATE_LIFETIME),
            recovery_pause: RECOVERY_PAUSE,
            sign_in: SignIn::default(),
        };
        let people = People::default();
        let app = App::new(store, names.clone(), people, None, membership);
        let app = Arc::new(app.await.unwrap().with_outside(outside));
        // A disk that is full then is a control plane that does not start.
        while app.keep_fresh_for(fresh_for).await.is_err() {
            is_full.store(false, Ordering::SeqCst);
        }
        let who = Arc::new(Mutex::new(Identity {
            subject: None,
            guarded: false,
        }));
        let told = Arc::clone(&who);
        let pins = Pins::Told(Arc::new(move |_| told.lock().unwrap().clone()));
        let (stream, other) = UnixStream::pair().unwrap();
        let process = PeerProcess::of(&other).unwrap();
        let identifier = Identifier::new(pins, names.clone(), Arc::clone(&app));
        let operators = Operators {
            users: OPERATORS.iter().map(|name| name.parse().unwrap()).collect(),
            groups: vec![],
            rules: rules(),
        };
        *who.lock().unwrap() = by_pin("carol");
        let peer = identifier.identify(&process).await.unwrap();
        let auditor = authorize(&peer, &operators, &names, Action::GrantCreate)
            .await
            .unwrap();
        Self {
            app,
            ticker: Ticker::default(),
            life,
            auditor,
            identifier,
            names,
            operators,
            process,
            who,
            _stream: stream,
        }
    }

    /// Somebody calls: the real check of who that is and whether they may.
    pub(crate) async fn operator(&self, name: &str) -> Result<Operator, Refusal> {
        *self.who.lock().unwrap() = by_pin(name);
        let peer = self.identifier.identify(&self.process).await.unwrap();
        authorize(&peer, &self.operators, &self.names, Action::GrantCreate).await
    }

    /// Whether what a host showed counts.
    pub(crate) async fn member(
        &self,
        shown: &Certificate,
        mutant: Option<Mutant>,
    ) -> Result<Result<HostAgent, NotAccepted>, Error> {
        let standing = match mutant {
            Some(Mutant::RevokedHostIsHeard) => Standing::Good { used: true },
            Some(Mutant::CertificateIsForgotten) => Standing::Unknown,
            _ => self.app.certificate_standing(shown).await?,
        };
        let now = match mutant {
            Some(Mutant::CertificatesNeverEnd) => shown.not_before,
            _ => self.app.now(),
        };
        let own = &self.app.store().origin().host;
        Ok(authorize_member(shown, standing, own, now))
    }

    /// A host's agent calls over the socket.
    pub(crate) async fn agent(&self, host: &HostId) -> HostAgent {
        *self.who.lock().unwrap() = Identity {
            subject: None,
            guarded: false,
        };
        let peer = self.identifier.identify(&self.process).await.unwrap();
        authorize_agent(&peer, host).unwrap()
    }

    /// Ends; what was committed stays.
    pub(crate) async fn end(self) {
        self.life.end();
        self.app.store().close().await;
    }
}

fn by_pin(name: &str) -> Identity {
    Identity {
        subject: Some(Subject {
            auid: uid(name),
            user: Some(name.parse().unwrap()),
            session: Some(9),
        }),
        guarded: false,
    }
}

/// An empty store of this version, made once: most of a start is making tables.
pub(crate) async fn template(directory: PathBuf) -> PathBuf {
    let state = StateDir::acquire(&directory).unwrap();
    let host = "control".parse().unwrap();
    let store = Store::open_simulated(state, host, Uuid::from_u128(1), Arc::new(Disk::default()));
    store.await.unwrap().close().await;
    directory.join("control.db")
}
