//! One life of a host's agent: the real reconciler, recorder, hold manager, uplink and spool, over the stand-ins. Does what
//! its threads do, round by round; waits for nothing.

use std::{
    path::Path,
    sync::{
        Arc,
        mpsc::{Receiver, channel},
    },
};

use stayhand_agent::{
    catalog::Catalog,
    clock::Now,
    explain::Explanations,
    floor::Floor,
    health::{Facts, Health},
    holds::{
        Board, Journal, Manager, Message, Row, World,
        step::{Look, Seen},
    },
    kernel::{holds::KernelAnswer, mounts::Mounts, pidfd::PidFd, record::RawRecord},
    membership::IdentityFile,
    port::{Pinned, Pins, PortError},
    reconcile::{Outputs, Reconciler, Wake},
    record::{Enricher, Identity, Quiet, Recorder, Source, unknown_hold},
    spool::{Setup, Spool, SpoolError},
    tell::Teller,
    uplink::{Beats, Holding, Prove, Route, Uplink},
    users::Names,
};
use stayhand_agent_ebpf::abi::code::answer;
use stayhand_guardrail::{
    event::EventKind,
    host::Ack,
    id::HostId,
    policy::HostLabels,
    redact::{RedactConfig, Redactor},
    time::DurationMs,
};
use stayhand_proto::{codec::encode_event, protocol::CONTROL_PROTOCOL_MIN};
use tokio::sync::watch;
use uuid::Uuid;

use crate::{
    disk::HostDisk,
    kernel::{Call, Machine},
    life::Life,
    people::{NameServices, names},
    writer::Writer,
};

/// Bytes of the spool. Large: what is dropped for room has tests of its own.
const SPOOL_BYTES_MAX: u64 = 16 << 20;
/// Records that one round of the recorder takes of each ring.
const ROUND_RECORDS: usize = 8;
/// How often users are looked up again: they never change here.
const RESOLVE_EVERY: DurationMs = DurationMs::from_secs(3_600);

/// What stays while agents come and go.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) host: HostId,
    pub(crate) labels: HostLabels,
    pub(crate) machine: Machine,
    pub(crate) disk: HostDisk,
    pub(crate) boot_id: Uuid,
    pub(crate) new_epoch: Uuid,
}

pub(crate) struct Agent {
    pub(crate) life: Life,
    pub(crate) spool: Arc<Spool>,
    pub(crate) uplink: Uplink,
    pub(crate) acks: watch::Receiver<Option<Ack>>,
    machine: Machine,
    reconciler: Reconciler<Writer>,
    wakes: Receiver<Wake>,
    manager: Manager<Held>,
    inbox: Receiver<Message>,
    recorder: Recorder<Rings>,
    quiet: Quiet,
}

/// Words go over the simulated network and no socket.
fn nowhere(host: &HostId) -> Route {
    Route {
        socket: "/nonexistent".into(),
        server_uid: None,
        membership: IdentityFile::in_state(Path::new("/nonexistent")),
        address: None,
        host: host.clone(),
    }
}

impl Agent {
    /// Starts as `agent::run` does: spool, holds, reconciler, and only then the network.
    pub(crate) fn start(place: &Place, life: Life, now: &Now) -> Result<Self, SpoolError> {
        let machine = place.machine.clone();
        let spool = Arc::new(open_spool(place, &life, now)?);
        let identity = Identity {
            host: place.host.clone(),
            boot_id: place.boot_id,
            epoch: spool.epoch(),
        };
        let health = Arc::new(health(place));
        let (board, catalog) = (Arc::<Board>::default(), Catalog::default());
        let (stored, to_send) = watch::channel(0);
        let journal = Journal::new(Arc::clone(&spool), Arc::clone(&board));
        let rows = journal.load()?;
        let held = Held {
            machine: machine.clone(),
            life: life.clone(),
            journal,
        };
        let manager = Manager::new(held, rows, place.boot_id, now);
        let (holds, inbox) = channel();
        let (wake, wakes) = channel();
        let (said, acks) = watch::channel(None);
        let writer = Writer {
            machine: machine.clone(),
            life: life.clone(),
        };
        let out = Outputs {
            acks: said,
            holds: holds.clone(),
            catalog: catalog.clone(),
            health: Arc::clone(&health),
            spool: Arc::clone(&spool),
            stored: stored.clone(),
            identity: identity.clone(),
            detached: Box::new(Vec::new),
            enforced: Box::new(|| ()),
            serve: Box::new(|_| Ok(())),
            alive: Arc::default(),
        };
        let directory = Box::new(NameServices);
        let floor = Arc::new(Floor::default());
        let mut reconciler = Reconciler::new(writer, directory, RESOLVE_EVERY, floor, out, now);
        reconciler.start(now);
        let recover = {
            let (identity, catalog, machine) = (identity.clone(), catalog.clone(), machine.clone());
            Message::Recover(Box::new(move |pending| {
                unknown_hold(&identity, &catalog, pending, &machine_now(&machine))
            }))
        };
        let enricher = Enricher::new(
            identity.clone(),
            catalog,
            Arc::clone(&board),
            redactor(),
            Arc::new(Nobody),
            Arc::clone(&health),
        );
        let recorder = Recorder {
            source: Rings,
            counters: Arc::new(machine.clone()),
            enricher: enricher.with_names(Names::only(names())),
            spool: Arc::clone(&spool),
            stored: stored.clone(),
            holds,
            recover: Some(recover),
            teller: Teller::silent(),
            explanations: Arc::<Explanations>::default(),
            alive: Arc::default(),
        };
        let uplink = Uplink {
            route: nowhere(&identity.host),
            authorities: watch::Sender::default(),
            health,
            board,
            acks: acks.clone(),
            spool: Arc::clone(&spool),
            stored: to_send,
            identity,
            oldest_protocol: CONTROL_PROTOCOL_MIN,
            held: Holding::journaled(&spool),
            beats: Beats::default(),
            prove: prove(&machine, &life),
            wakes: wake,
        };
        Ok(Self {
            life,
            spool,
            uplink,
            acks,
            machine,
            reconciler,
            wakes,
            manager,
            inbox,
            recorder,
            quiet: Quiet::default(),
        })
    }

    /// One round of the reconciler: a state that came, or the regular look.
    /// Says whether there was one, so that there may be more.
    pub(crate) fn reconcile(&mut self, now: &Now) -> bool {
        let wake = self.wakes.try_recv().ok();
        let came = wake.is_some();
        self.reconciler.step(wake, now);
        came
    }

    /// One round of the recorder.
    pub(crate) fn record(&mut self, now: &Now) {
        let batch = self.machine.read_rings(ROUND_RECORDS);
        // Read is gone: what the agent has in its hands when it ends is lost with it.
        if !batch.is_empty() && !self.life.goes_on() {
            return;
        }
        let nothing_came = batch.is_empty();
        if !nothing_came {
            self.recorder
                .take(&batch, &mut self.quiet, &Mounts::default(), now);
        }
        self.recorder.look(&mut self.quiet, nothing_came, now);
    }

    /// Says to the kernel that it lives.
    pub(crate) fn speak(&self, now: &Now) {
        if self.life.goes_on() {
            self.machine.speak(now);
        }
    }

    /// One round of the hold manager; when it wants to come again, on the boot clock.
    pub(crate) fn hold(&mut self, now: &Now) -> u64 {
        self.speak(now);
        while let Ok(message) = self.inbox.try_recv() {
            match message {
                Message::Opened(row, _) => self.manager.opened(*row, now),
                Message::Outcome(id, reason) => self.manager.outcome(id, reason, now),
                Message::Answers(answers) => self.manager.answers(answers, now),
                Message::Recover(unknown) => {
                    let pending = self.machine.pending();
                    self.manager.recover(pending, unknown, now);
                }
                Message::Continue(..) | Message::Stop => {}
            }
        }
        self.manager.tick(now)
    }
}

/// As shipped.
fn redactor() -> Redactor {
    Redactor::new(&RedactConfig {
        defaults: true,
        patterns: vec![],
    })
    .unwrap()
}

/// What an agent that has ended says reaches no kernel.
fn prove(machine: &Machine, life: &Life) -> Prove {
    let (machine, life) = (machine.clone(), life.clone());
    Box::new(move |at| {
        if life.goes_on() {
            machine.prove(at);
        }
        Ok(())
    })
}

fn health(place: &Place) -> Health {
    Health::new(Facts {
        version: "0.1.0".into(),
        kernel_release: "6.12.0".into(),
        boot_id: place.boot_id,
        labels: place.labels.clone(),
        floor: vec![],
        hooks: vec![("socket_connect".into(), None)],
    })
}

fn machine_now(machine: &Machine) -> Now {
    machine.clocks().now()
}

fn open_spool(place: &Place, life: &Life, now: &Now) -> Result<Spool, SpoolError> {
    let epoch: Arc<std::sync::OnceLock<Uuid>> = Arc::default();
    let (known, host, boot_id) = (Arc::clone(&epoch), place.host.clone(), place.boot_id);
    let encode_lost = Box::new(move |lost: &stayhand_guardrail::event::Lost| {
        let epoch = known.get().copied().unwrap_or_default();
        let identity = Identity {
            host: host.clone(),
            boot_id,
            epoch,
        };
        encode_event(identity.event(lost.since, EventKind::Lost(lost.clone())))
    });
    let setup = Setup {
        boot_id,
        new_epoch: place.new_epoch,
        bytes_max: SPOOL_BYTES_MAX,
        encode_lost,
        now: now.unix,
    };
    let spool = Spool::open_on(place.disk.opener(life), setup)?;
    epoch.set(spool.epoch()).unwrap();
    Ok(spool)
}

/// Nothing in /proc is anybody's here.
struct Nobody;

impl Pins for Nobody {
    fn pinned(&self, _: &PidFd) -> Result<Option<Pinned>, PortError> {
        Ok(None)
    }
}

/// Stepped from outside, so that it never waits.
struct Rings;

impl Source for Rings {
    async fn next(&mut self) -> Option<RawRecord> {
        std::future::pending().await
    }

    fn malformed(&self) -> [u64; 3] {
        [0; 3]
    }
}

/// The processes and the maps that the hold manager acts on.
struct Held {
    machine: Machine,
    life: Life,
    journal: Journal,
}

fn cookie(row: &Row) -> u64 {
    row.hold.process.cookie
}

impl World for Held {
    fn journal(&mut self, row: &Row) {
        self.journal.put(row);
    }

    fn forget(&mut self, row: &Row) {
        self.journal.forget(row);
    }

    fn write_answer(&mut self, row: &Row, code: u32) {
        if !self.life.goes_on() {
            return;
        }
        let answer = match code {
            answer::APPROVED => KernelAnswer::Approved,
            answer::CANCELLED => KernelAnswer::Cancelled,
            answer::VOID => KernelAnswer::Void,
            _ => KernelAnswer::Refused,
        };
        self.machine.answer(&row.key(), row.id(), answer);
    }

    fn withdraw(&mut self, row: &Row) -> bool {
        self.write_answer(row, answer::VOID);
        self.life.goes_on() && self.machine.remove(&row.key(), row.id())
    }

    fn release(&mut self, _: &Row) {}

    fn wake(&mut self, row: &Row) {
        if self.life.goes_on() {
            self.machine.wake(cookie(row));
        }
    }

    fn wake_ancestors(&mut self, _: &Row) {}

    fn wake_left_behind(&mut self, _: &Row) {}

    fn may_be_left_behind(&mut self, _: &Row) -> bool {
        false
    }

    fn look(&mut self, row: &Row) -> Look {
        let kernel = self.machine.kernel();
        let process = kernel.processes.get(&cookie(row));
        let (seen, fatal) = match process.map(|one| (one.call, one.fatal)) {
            None | Some((Call::Gone, _)) => (Seen::Gone, false),
            Some((Call::Stopped, fatal)) => (Seen::Stopped, fatal),
            Some((Call::Returned, fatal)) => (Seen::Asleep, fatal),
            Some((_, fatal)) => (Seen::Running, fatal),
        };
        let entry = kernel.holds.get(&row.key());
        let entry = entry.is_some_and(|entry| entry.hold == row.id());
        Look { seen, fatal, entry }
    }
}
