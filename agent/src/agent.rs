//! The whole agent, wired: kernel first, then what was good last, then the network. Holds no decision.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::AtomicU64,
        mpsc::{Receiver, Sender, channel},
    },
    time::Duration,
};

use stayhand_agent_ebpf::abi::ABI_VERSION;
use stayhand_guardrail::{
    event::{AgentState, EventClass, EventKind, LossStage, Lost},
    id::HostId,
    redact::{Pattern, RedactConfig, Redactor},
};
use stayhand_proto::codec::encode_event;
use stayhand_proto::protocol::CONTROL_PROTOCOL_MIN;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use uuid::Uuid;

use crate::{
    catalog::Catalog,
    clock::{self, Now},
    config::Config,
    exit::{Code, Failure, chain},
    explain::Explanations,
    facts,
    floor::{self, Floor, FloorError},
    health::{Facts, Health, Part, kernel_release},
    holds::{self, Board, Inbox, Message},
    instance::Instance,
    kernel::{
        Kernel, LoadError, LoadOptions,
        image::{Installer, Published},
        loginuid,
        pins::Pins,
        settings::HoldLimits,
    },
    kernel_port::KernelMaps,
    local::{self, Answers},
    membership::IdentityFile,
    port::PortError,
    reconcile::{Outputs, Reconciler, Wake, wake},
    record::{Enricher, Identity, Recorder, unknown_hold},
    spool::{Entry, Setup, Spool},
    supervise,
    tell::Teller,
    uplink::{Beats, Holding, Route, Uplink},
    users::NameService,
};

/// How long the last events have at the end.
const DRAIN: Duration = Duration::from_millis(500);

/// Where everything is pinned.
pub fn pins(config: &Config) -> Pins {
    Pins::new(config.kernel.pins.join(format!("v{ABI_VERSION}")))
}

/// The locks of the one agent: beside its socket, on a file system that a reboot empties, and on the pins.
pub fn lock(config: &Config) -> Result<(Instance, Option<Instance>), Failure> {
    if !nix::unistd::geteuid().is_root() {
        return Err(Failure::new(
            Code::Privilege,
            "the agent loads programs into the kernel: run it as root",
        ));
    }
    let directory = config.local.socket.parent().unwrap_or(Path::new("/run"));
    std::fs::create_dir_all(directory)
        .map_err(|error| Failure::of("cannot make the run-time directory", &error))?;
    Ok((
        Instance::take(&directory.join("agent.lock"))?,
        Instance::of_pins(&config.kernel.pins)?,
    ))
}

/// Compiles the patterns of what never leaves the host.
pub fn redactor(config: &Config) -> Result<Redactor, Failure> {
    let plain = |argument: &String| Pattern {
        argument: argument.clone(),
        hides_next: false,
        program: None,
    };
    let plain = config.redact.arguments.iter().map(plain);
    let patterns = plain.chain(config.redact.patterns.clone()).collect();
    let redact = RedactConfig {
        defaults: true,
        patterns,
    };
    Redactor::new(&redact).map_err(|error| Failure::new(Code::Config, format!("`redact`: {error}")))
}

/// Reads what this host enforces whatever the control plane says.
pub fn floor(config: &Config) -> Result<Option<Floor>, FloorError> {
    let found = match &config.floor.directory {
        Some(directory) => floor::sources(directory).map(Some)?,
        None => floor::sources_if_there(Path::new(floor::DIRECTORY))?,
    };
    found.map(Floor::parse).transpose()
}

/// Loads, enforces, serves; returns what to say when it is asked to end.
pub fn run(config: &Config) -> Result<String, Failure> {
    let _one = lock(config)?;
    let redactor = redactor(config)?;
    let host = host(config)?;
    let kernel = Kernel::load(&options(config)).map_err(|error| not_loaded(config, &error))?;
    tracing::info!(
        hooks = kernel.programs().len(),
        taken_over = kernel.taken_over(),
        kept = kernel.kept(),
        "hooks are attached"
    );
    if config.kernel.lock_login_uid
        && let Err(error) = loginuid::lock()
    {
        tracing::warn!(
            error = chain(&error),
            "login uids are not locked; the pin decides all the same"
        );
    }
    let scan = kernel
        .scan()
        .map_err(|error| Failure::of("cannot pin the processes that are there", &error))?;
    tracing::info!(%scan, "processes were looked at");
    // On this thread: its labelling thread must be the first that is started.
    let labeller = kernel
        .labeller()
        .map_err(|error| Failure::of("cannot start the labelling thread", &error))?;
    let images: Arc<Published> = Arc::default();
    let installer = kernel
        .installer(&labeller, &images)
        .map_err(|error| Failure::of("cannot open the maps of images", &error))?;
    let (questions, answers) = kernel
        .questions()
        .map_err(|error| Failure::of("cannot open the maps of facts", &error))?;
    let facts = facts::start(questions, answers, images, labeller, kernel.secret())
        .map_err(|error| Failure::of("cannot start a thread", &error))?;
    #[cfg(feature = "trace")]
    crate::kernel::trace::start();
    let maps = KernelMaps::open(&kernel)
        .map_err(|error| Failure::of("cannot open the pinned maps", error.as_ref()))?;
    let boot_id =
        clock::boot_id().map_err(|error| Failure::of("cannot read the boot id", &error))?;
    let spool = Arc::new(spool(config, &host, boot_id)?);
    let (floor, unsettled) = floor::settle(floor(config), &spool)?;
    let floor = floor.with_services(config.floor.services.clone());
    let identity = Identity {
        host,
        boot_id,
        epoch: spool.epoch(),
    };
    let shared = Shared::new(config, &kernel, identity, spool, Arc::new(maps), &floor)?;
    shared.health.note(Part::Floor, unsettled);
    let mut agent = Agent::start(config, shared, installer, Arc::new(floor))?;
    agent.threads.push(("facts", facts));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::of("cannot start the runtime", &error))?;
    let ended = runtime.block_on(agent.serve(config, &kernel, redactor));
    runtime.shutdown_timeout(DRAIN);
    ended
}

fn options(config: &Config) -> LoadOptions {
    let limits = HoldLimits {
        holds_per_subject: config.holds.per_subject_max,
        restops_max: config.holds.restops_max,
    };
    LoadOptions {
        pins: pins(config),
        limits,
        ..LoadOptions::new(&config.kernel.object)
    }
}

/// Links that are still pinned are programs that still enforce: a failed load takes back only its own.
fn not_loaded(config: &Config, error: &LoadError) -> Failure {
    let earlier = pins(config).links().unwrap_or_default();
    let means = if earlier.is_empty() {
        "NOT ENFORCED"
    } else {
        "not taken over, the earlier programs go on enforcing"
    };
    Failure::new(error.code(), format!("{means}: {}", chain(error)))
}

/// Under which name this host reports.
pub fn host(config: &Config) -> Result<HostId, Failure> {
    if let Some(host) = &config.host {
        return Ok(host.clone());
    }
    let name = nix::unistd::gethostname()
        .map_err(|error| Failure::of("cannot read the host name", &error))?;
    let name = name.to_string_lossy().to_lowercase();
    HostId::new(name).map_err(|error| {
        Failure::new(
            Code::Config,
            format!("{error}; or set `host` in the configuration"),
        )
    })
}

/// What the threads share.
struct Shared {
    maps: Arc<KernelMaps>,
    spool: Arc<Spool>,
    board: Arc<Board>,
    catalog: Catalog,
    health: Arc<Health>,
    identity: Identity,
    stored: watch::Sender<u64>,
    teller: Teller,
}

impl Shared {
    fn new(
        config: &Config,
        kernel: &Kernel,
        identity: Identity,
        spool: Arc<Spool>,
        maps: Arc<KernelMaps>,
        floor: &Floor,
    ) -> Result<Self, Failure> {
        let teller = if config.local.tell_terminal {
            let pins: Arc<dyn crate::port::Pins> = Arc::clone(&maps) as _;
            Teller::start(pins).map_err(|error| Failure::of("cannot start a thread", &error))?
        } else {
            Teller::silent()
        };
        let hooks = kernel
            .programs()
            .iter()
            .map(|one| (one.hook.to_owned(), one.verified_instructions))
            .collect();
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let health = Health::new(Facts {
            version,
            kernel_release: kernel_release(),
            boot_id: identity.boot_id,
            labels: config.labels.clone(),
            floor: floor.shown(),
            hooks,
        });
        let unread = |error: PortError| Failure::of("cannot read the map `ACTIVE`", error.as_ref());
        let proven = maps.proven(&Now::read()).map_err(unread)?;
        let fresh_for = maps.fresh_for().map_err(unread)?;
        health.change(|health| (health.proven, health.fresh_for) = (proven, fresh_for));
        Ok(Self {
            maps,
            spool,
            board: Arc::default(),
            catalog: Catalog::default(),
            health: Arc::new(health),
            identity,
            stored: watch::Sender::new(0),
            teller,
        })
    }

    fn record(&self, kind: EventKind) {
        let now = Now::read().unix;
        let payload = encode_event(self.identity.event(now, kind));
        if let Err(error) = self.spool.append(
            vec![Entry {
                class: EventClass::A,
                recorded: false,
                payload,
            }],
            now,
        ) {
            tracing::error!(error = chain(&error), "an event waits in memory");
        }
        self.stored.send_modify(|count| *count += 1);
    }

    fn state(&self, detail: String) -> AgentState {
        AgentState {
            version: self.health.facts().version.clone(),
            enforced: true,
            detail,
        }
    }
}

/// The spool of this host's events; one process has it at a time.
pub fn spool(config: &Config, host: &HostId, boot_id: Uuid) -> Result<Spool, Failure> {
    // Events of losses are made by the spool itself, whose epoch is only known once it is open.
    let epoch: Arc<std::sync::OnceLock<Uuid>> = Arc::default();
    let (known, host) = (Arc::clone(&epoch), host.clone());
    let encode_lost = Box::new(move |lost: &Lost| {
        let epoch = known.get().copied().unwrap_or_default();
        let identity = Identity {
            host: host.clone(),
            boot_id,
            epoch,
        };
        let time = if lost.stage == LossStage::Crash {
            lost.since
        } else {
            Now::read().unix
        };
        encode_event(identity.event(time, EventKind::Lost(lost.clone())))
    });
    let setup = Setup {
        boot_id,
        new_epoch: Uuid::new_v4(),
        bytes_max: config.state.spool_bytes_max.0,
        encode_lost,
        now: Now::read().unix,
    };
    let spool = Spool::open(&config.state.directory, setup)
        .map_err(|error| Failure::of("cannot open the spool", &error))?;
    let _first = epoch.set(spool.epoch());
    Ok(spool)
}

/// Threads that run without the runtime.
struct Agent {
    shared: Shared,
    holds: Inbox,
    wakes: Sender<Wake>,
    acks: watch::Receiver<Option<stayhand_guardrail::host::Ack>>,
    threads: Vec<(&'static str, Arc<AtomicU64>)>,
    /// Whether there was a last good state to enforce
    has_state: bool,
}

impl Agent {
    fn start(
        config: &Config,
        shared: Shared,
        installer: Installer,
        floor: Arc<Floor>,
    ) -> Result<Self, Failure> {
        let Shared {
            maps,
            spool,
            board,
            teller,
            ..
        } = &shared;
        let started = holds::run::start(
            Arc::clone(maps) as _,
            Arc::clone(spool),
            Arc::clone(board),
            teller.clone(),
            shared.identity.boot_id,
        );
        let (holds, holding) =
            started.map_err(|error| Failure::of("cannot start the hold manager", &error))?;
        let (wakes, woken) = channel();
        let (acks, acked) = watch::channel(None);
        let alive = Arc::new(AtomicU64::new(0));
        let out = Outputs {
            acks,
            holds: holds.clone(),
            catalog: shared.catalog.clone(),
            health: Arc::clone(&shared.health),
            spool: Arc::clone(spool),
            stored: shared.stored.clone(),
            identity: shared.identity.clone(),
            detached: detached(config, shared.health.facts()),
            enforced: supersede(config),
            serve: {
                let maps = Arc::clone(maps);
                Box::new(move |services| maps.serve(services))
            },
            alive: Arc::clone(&alive),
        };
        let now = Now::read();
        let every = config.subjects.resolve_every;
        let mut reconciler =
            Reconciler::new(installer, Box::new(NameService), every, floor, out, &now);
        // Before the socket and before the network: the host enforces from here on.
        let has_state = reconciler.start(&now);
        start_reconciler(reconciler, woken)?;
        wake::watch_mounts(wakes.clone())
            .map_err(|error| Failure::of("cannot watch mounts", &error))?;
        Ok(Self {
            shared,
            holds,
            wakes,
            acks: acked,
            threads: vec![("reconcile", alive), ("holds", holding)],
            has_state,
        })
    }

    async fn serve(
        mut self,
        config: &Config,
        kernel: &Kernel,
        redactor: Redactor,
    ) -> Result<String, Failure> {
        let records = kernel
            .records()
            .map_err(|error| Failure::of("cannot read the rings", &error))?;
        let explanations: Arc<Explanations> = Arc::default();
        let alive = Arc::new(AtomicU64::new(0));
        self.threads.push(("records", Arc::clone(&alive)));
        let shared = &self.shared;
        let enricher = Enricher::new(
            shared.identity.clone(),
            shared.catalog.clone(),
            Arc::clone(&shared.board),
            redactor,
            Arc::clone(&shared.maps) as _,
            Arc::clone(&shared.health),
        );
        let recorder = Recorder {
            source: records,
            counters: Arc::clone(&shared.maps) as _,
            enricher,
            spool: Arc::clone(&shared.spool),
            stored: shared.stored.clone(),
            holds: self.holds.clone(),
            recover: Some(self.recover()),
            teller: shared.teller.clone(),
            explanations: Arc::clone(&explanations),
            alive,
        };
        let hooks = shared.health.facts().hooks.len();
        let generation = shared.health.now().generation;
        let floor = match shared.health.facts().floor.join(", ") {
            none if none.is_empty() => none,
            shown => format!(", floor: {shown}"),
        };
        shared.record(EventKind::AgentStarted(shared.state(format!(
            "{hooks} hooks attached, generation {generation}{floor}"
        ))));
        tokio::spawn(recorder.run());
        tokio::spawn(self.uplink(config).run());
        let listener = local::bind(&config.local.socket)
            .map_err(|error| Failure::of("cannot serve", &error))?;
        let serving = tokio::spawn(local::serve(listener, self.answers(config, explanations)));
        tokio::spawn(say_ready(Arc::clone(&shared.health), self.has_state));
        let maps = Arc::clone(&shared.maps);
        tokio::spawn(supervise::watch(self.threads.clone(), move || {
            if let Err(error) = maps.speak(Now::read().boot_ns) {
                tracing::error!(error = %chain(&*error), "the kernel was not told that the agent is alive");
            }
        }));
        tokio::select! {
            asked = asked_to_end() => asked.map_err(|error| Failure::of("cannot wait for signals", &error))?,
            served = serving => {
                let why = match served {
                    Ok(Err(error)) => chain(&error),
                    other => format!("{other:?}"),
                };
                return Err(Failure::new(Code::Failure, format!("the local service ended: {why}")));
            }
        }
        supervise::stopping();
        if let Err(error) = shared.maps.end() {
            tracing::error!(error = %chain(&*error), "the kernel was not told that the agent ends");
        }
        Ok(self.farewell().await)
    }

    fn recover(&self) -> Message {
        let (identity, catalog) = (self.shared.identity.clone(), self.shared.catalog.clone());
        Message::Recover(Box::new(move |pending| {
            unknown_hold(&identity, &catalog, pending, &Now::read())
        }))
    }

    fn uplink(&self, config: &Config) -> Uplink {
        let shared = &self.shared;
        Uplink {
            route: Route {
                socket: config.control.socket.clone(),
                server_uid: control_uid(config),
                membership: IdentityFile::in_state(&config.state.directory),
                address: config.control.address.clone(),
                host: shared.identity.host.clone(),
            },
            authorities: watch::Sender::default(),
            health: Arc::clone(&shared.health),
            board: Arc::clone(&shared.board),
            acks: self.acks.clone(),
            spool: Arc::clone(&shared.spool),
            stored: shared.stored.subscribe(),
            identity: shared.identity.clone(),
            oldest_protocol: CONTROL_PROTOCOL_MIN,
            held: Holding::journaled(&shared.spool),
            beats: Beats::default(),
            prove: {
                let maps = Arc::clone(&shared.maps);
                Box::new(move |at| maps.prove(at))
            },
            wakes: self.wakes.clone(),
        }
    }

    fn answers(&self, config: &Config, explanations: Arc<Explanations>) -> Answers {
        let shared = &self.shared;
        Answers {
            health: Arc::clone(&shared.health),
            explanations,
            board: Arc::clone(&shared.board),
            catalog: shared.catalog.clone(),
            spool: Arc::clone(&shared.spool),
            counters: Arc::clone(&shared.maps) as _,
            pins: Arc::clone(&shared.maps) as _,
            control_uid: control_uid(config),
        }
    }

    /// Says what stays, and stores it.
    async fn farewell(self) -> String {
        let hooks = self.shared.health.facts().hooks.len();
        let generation = self.shared.health.now().generation;
        let pending = self.shared.board.pending();
        let text = format!(
            "stopped; {hooks} hooks stay attached, generation {generation} stays enforced and leases end on time; \
             {pending} pending holds stay stopped until an agent runs again"
        );
        self.shared
            .record(EventKind::AgentStopped(self.shared.state(text.clone())));
        for ended in [
            self.wakes.send(Wake::Stop).is_err(),
            self.holds.send(Message::Stop).is_err(),
        ] {
            if ended {
                tracing::error!("a thread had ended before");
            }
        }
        // What is in the rings by now is stored; what comes later waits there for the next agent.
        tokio::time::sleep(DRAIN).await;
        text
    }
}

/// Looks for the pinned link of every hook: whoever removes one takes its enforcement away.
fn detached(config: &Config, facts: &Facts) -> Box<dyn Fn() -> Vec<String> + Send> {
    let pins = pins(config);
    let hooks: Vec<String> = facts.hooks.iter().map(|(hook, _)| hook.clone()).collect();
    Box::new(move || {
        let links = pins.links().unwrap_or_default();
        let gone = |hook: &&String| !links.iter().any(|link| link.hook == **hook);
        hooks.iter().filter(gone).cloned().collect()
    })
}

/// Once an image of ours is enforced, what agents of other layout versions pinned goes; before that it stands in.
fn supersede(config: &Config) -> Box<dyn Fn() + Send> {
    let pins = pins(config);
    Box::new(move || match Kernel::detach_others(&pins) {
        Ok(0) => {}
        Ok(links) => tracing::warn!(
            links,
            "hooks of another version of the agent were taken over from; processes that it held stay stopped: continue \
             them with kill -CONT, and they are judged anew"
        ),
        Err(error) => tracing::error!(
            error = chain(&error),
            "what another version of the agent pinned goes on being enforced"
        ),
    })
}

fn start_reconciler(
    reconciler: Reconciler<Installer>,
    woken: Receiver<Wake>,
) -> Result<(), Failure> {
    let builder = std::thread::Builder::new().name("reconcile".into());
    let started = builder.spawn(move || reconciler.run(&woken));
    started
        .map(drop)
        .map_err(|error| Failure::of("cannot start a thread", &error))
}

/// Ready means enforcing: where a last good state could not be enforced, not before one is.
async fn say_ready(health: Arc<Health>, has_state: bool) {
    while has_state && health.now().generation.0 == 0 {
        tokio::time::sleep(DRAIN).await;
    }
    let (hooks, generation) = (health.facts().hooks.len(), health.now().generation);
    supervise::ready(&format!(
        "{hooks} hooks attached, generation {generation} enforced"
    ));
}

fn control_uid(config: &Config) -> Option<u32> {
    let user = config.control.user.as_deref()?;
    let found = uzers::get_user_by_name(user).map(|user| user.uid());
    if found.is_none() {
        tracing::warn!(user, "nobody on this host has the name in `control.user`");
    }
    found
}

async fn asked_to_end() -> std::io::Result<()> {
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
