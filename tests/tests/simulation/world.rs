//! One world: a control plane, some hosts, people and a network, and what happens to them. One seed says all of it: one
//! thing happens at a time, to its end, in the order of a queue whose times come from the seed.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    path::PathBuf,
    sync::{Arc, Mutex, atomic::AtomicBool},
};

use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::StdRng};
use stayhand_guardrail::{policy::Label, time::DurationMs};
use uuid::Uuid;

use crate::{
    agent::{Agent, Place},
    clock::{Clocks, MS, Machine as ControlMachine, SECOND, TrueTime},
    control::Control,
    disk::HostDisk,
    kernel::Machine,
    members::{LIFETIMES_S, Member},
    mutant::Mutant,
    network::Link,
    oracle::{Oracle, Violation},
    trace::Trace,
};

/// For how many seconds faults happen and people act. Short stories differ as much and cost less; what takes a long time to
/// come about needs the others.
const ACTIVE_S: [u64; 4] = [5, 12, 25, 25];
/// How long a world has afterwards to come to rest: the longest hold and grant, and what retries take.
const REST_NS: u64 = 38 * SECOND;
/// How many hosts worlds have.
const HOSTS: [usize; 5] = [1, 1, 2, 2, 3];
/// For how many seconds grants count on hosts that hear nothing. Short beside the lives of grants; with the shortest they also stop
/// between two proofs.
const FRESH_FOR_S: [Option<u64>; 4] = [None, None, Some(2), Some(7)];

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Next {
    ControlStarts,
    ControlTicks,
    AgentStarts(usize),
    Reconcile(usize),
    Record(usize),
    Hold(usize),
    Talk(usize),
    Up(usize),
    Down(usize),
    EventsUp(usize),
    EventsDown(usize),
    /// The control plane's side of a connection looks whether there is something to say
    Serve(usize),
    /// It looks by itself, now and then, should a signal have been missed
    Bookmark(usize),
    /// The agent notices that a connection is broken
    Hangup(usize),
    Process(usize, u64),
    User,
    Operator,
    Fault,
    DiskHasRoom(usize),
    ControlHasRoom,
    Resume(usize),
}

impl Next {
    /// The machine on which it happens.
    fn host(self) -> Option<usize> {
        match self {
            Self::AgentStarts(host)
            | Self::Reconcile(host)
            | Self::Record(host)
            | Self::Hold(host)
            | Self::Talk(host)
            | Self::Process(host, _) => Some(host),
            _ => None,
        }
    }
}

pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) clocks: Clocks,
    /// On its disk, where it has to show who it is
    pub(crate) member: Member,
    pub(crate) agent: Option<Agent>,
    pub(crate) link: Option<usize>,
    pub(crate) boots: u32,
    /// It is a virtual machine that is not run before this time
    pub(crate) paused_until_ns: u64,
}

pub(crate) struct World {
    pub(crate) random: StdRng,
    pub(crate) time: TrueTime,
    queue: BinaryHeap<Reverse<(u64, u64, Next)>>,
    queued: u64,
    pub(crate) hosts: Vec<Host>,
    pub(crate) links: BTreeMap<usize, Link>,
    pub(crate) links_made: usize,
    pub(crate) control: Option<Control>,
    pub(crate) control_clocks: Clocks,
    outside: Arc<ControlMachine>,
    pub(crate) control_is_full: Arc<AtomicBool>,
    pub(crate) directory: tempfile::TempDir,
    pub(crate) oracle: Oracle,
    pub(crate) trace: Trace,
    pub(crate) mutant: Option<Mutant>,
    /// Faults and people
    pub(crate) is_active: bool,
    /// For how long
    active_ns: u64,
    /// How eager faults are in this world, in percent of their usual frequency
    pub(crate) faultiness: u32,
    pub(crate) versions: u32,
    /// For how long grants count on hosts that hear nothing
    pub(crate) fresh_for: Option<DurationMs>,
    /// The policy lets things go on, or ends them, when something is lost
    pub(crate) lax: bool,
    /// How long certificates count; none where hosts show none
    pub(crate) lifetime: Option<DurationMs>,
}

/// What a world came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) steps: u64,
    pub(crate) hash: u64,
    pub(crate) crashes: u64,
    pub(crate) permitted: u64,
}

impl World {
    /// Makes the world of a seed. `template` is an empty store.
    pub(crate) fn new(seed: u64, template: &PathBuf, mutant: Option<Mutant>) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let time = TrueTime::default();
        let directory = tempfile::tempdir_in(ram()).unwrap();
        std::fs::copy(template, directory.path().join("control.db")).unwrap();
        let count = HOSTS[random.random_range(0..HOSTS.len())];
        let hosts = (0..count).map(|index| host(index, &time, &mut random, mutant));
        let hosts: Vec<Host> = hosts.collect();
        let control_clocks = Clocks::new(&time);
        let outside = Arc::new(ControlMachine {
            clocks: control_clocks.clone(),
            random: Mutex::new(StdRng::seed_from_u64(random.next_u64())),
        });
        // Some worlds are quiet, so that long stories are told to their end, too.
        let faultiness = [0, 20, 100, 100, 200][random.random_range(0..5)];
        let active_ns = ACTIVE_S[random.random_range(0..ACTIVE_S.len())] * SECOND;
        let fresh_for = FRESH_FOR_S[random.random_range(0..FRESH_FOR_S.len())];
        let lifetime = LIFETIMES_S[random.random_range(0..LIFETIMES_S.len())];
        let lax = random.random();
        let mut world = Self {
            random,
            time,
            queue: BinaryHeap::new(),
            queued: 0,
            oracle: Oracle::new(hosts.len()),
            hosts,
            links: BTreeMap::new(),
            links_made: 0,
            control: None,
            control_clocks,
            outside,
            control_is_full: Arc::default(),
            directory,
            trace: Trace::default(),
            mutant,
            is_active: true,
            active_ns,
            faultiness,
            versions: 0,
            fresh_for: fresh_for.map(DurationMs::from_secs),
            lax,
            lifetime: lifetime.map(DurationMs::from_secs),
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        self.after(0, Next::ControlStarts);
        for host in 0..self.hosts.len() {
            for next in [
                Next::AgentStarts(host),
                Next::Reconcile(host),
                Next::Record(host),
                Next::Hold(host),
                Next::Talk(host),
            ] {
                self.soon(1_000, next);
            }
        }
        self.after(2 * MS, Next::ControlTicks);
        self.soon(800, Next::Operator);
        self.soon(2_000, Next::User);
        self.soon(3_000, Next::Fault);
    }

    /// Lets it happen, until it has come to rest.
    pub(crate) async fn run(&mut self) -> Result<Summary, Violation> {
        let active_ns = self.active_ns;
        self.until(active_ns).await?;
        self.calm();
        self.until(active_ns + REST_NS).await?;
        self.at_rest().await?;
        Ok(Summary {
            steps: self.trace.steps,
            hash: self.trace.hash(),
            crashes: self.oracle.crashes,
            permitted: self.oracle.permitted,
        })
    }

    async fn until(&mut self, end_ns: u64) -> Result<(), Violation> {
        while let Some(Reverse((at_ns, _, next))) = self.queue.pop() {
            if at_ns >= end_ns {
                self.queue.push(Reverse((at_ns, 0, next)));
                break;
            }
            self.time.set(at_ns);
            self.trace.steps += 1;
            self.happen(next).await?;
            self.watch()?;
        }
        self.time.set(end_ns);
        Ok(())
    }

    async fn happen(&mut self, next: Next) -> Result<(), Violation> {
        if let Some(host) = next.host() {
            let until_ns = self.hosts[host].paused_until_ns;
            if until_ns > self.time.ns() {
                self.after(until_ns - self.time.ns() + MS, next);
                return Ok(());
            }
        }
        match next {
            Next::ControlStarts => self.control_starts().await?,
            Next::ControlTicks => self.control_ticks().await?,
            Next::AgentStarts(host) => self.agent_starts(host),
            Next::Reconcile(host) => self.reconcile(host)?,
            Next::Record(host) => self.record(host),
            Next::Hold(host) => self.hold(host),
            Next::Talk(host) => self.talk(host).await?,
            Next::Up(link) => self.up(link).await?,
            Next::Down(link) => self.down(link),
            Next::EventsUp(link) => self.events_up(link).await?,
            Next::EventsDown(link) => self.events_down(link).await?,
            Next::Serve(link) => self.serve(link).await?,
            Next::Bookmark(link) => self.bookmark(link).await?,
            Next::Resume(host) => self.resume(host),
            Next::Hangup(link) => self.hang_up(link),
            Next::Process(host, cookie) => self.process(host, cookie)?,
            Next::User => self.user()?,
            Next::Operator => self.operate().await?,
            Next::Fault => self.fault(),
            Next::DiskHasRoom(host) => self.disk_has_room(host),
            Next::ControlHasRoom => self.control_has_room(),
        }
        self.bury_control().await;
        Ok(())
    }

    /// Queues something at an exact distance.
    pub(crate) fn after(&mut self, ns: u64, next: Next) {
        self.queued += 1;
        let at_ns = self.time.ns().saturating_add(ns);
        self.queue.push(Reverse((at_ns, self.queued, next)));
    }

    /// Queues something for some time within so many milliseconds.
    pub(crate) fn soon(&mut self, within_ms: u64, next: Next) {
        let ns = self.random.random_range(MS..=within_ms.max(2) * MS);
        self.after(ns, next);
    }

    /// Something that happens again and again, more or less so often.
    pub(crate) fn again(&mut self, about_ms: u64, next: Next) {
        // At rest nobody is in a hurry.
        let about_ms = if self.is_active {
            about_ms
        } else {
            about_ms * 2
        };
        let ns = self
            .random
            .random_range(about_ms * MS / 2..about_ms * MS * 3 / 2);
        self.after(ns, next);
    }

    pub(crate) fn chance(&mut self, of_hundred: u32) -> bool {
        self.random.random_range(0..100) < of_hundred
    }

    /// The same for faults, which some worlds have less of.
    pub(crate) fn misfortune(&mut self, of_thousand: u32) -> bool {
        let luck = self.random.random_range(0..100_000);
        self.is_active && luck < of_thousand * self.faultiness
    }

    pub(crate) fn say(&mut self, what: impl AsRef<str>) {
        self.trace.say(self.time.ns(), what.as_ref());
    }

    pub(crate) async fn open_control(&self) -> Control {
        let outside = Arc::clone(&self.outside);
        let full = &self.control_is_full;
        Control::start(
            self.directory.path(),
            outside,
            full,
            self.fresh_for,
            self.lifetime,
        )
        .await
    }

    pub(crate) fn random_host(&mut self) -> usize {
        self.random.random_range(0..self.hosts.len())
    }
}

fn host(index: usize, time: &TrueTime, random: &mut StdRng, mutant: Option<Mutant>) -> Host {
    let name = format!("host-{}", index + 1);
    let clocks = Clocks::new(time);
    // Few clocks are right.
    clocks.step([0, 0, -3_000, 4_000][random.random_range(0..4)]);
    clocks.boot();
    let labels: [Label; 2] = ["env=prod", "env=test"].map(|one| one.parse().unwrap());
    let label = labels[usize::from(index % 2 == 1)].clone();
    let machine = Machine::new(
        clocks.clone(),
        StdRng::seed_from_u64(random.next_u64()),
        mutant,
    );
    let id = |random: &mut StdRng| {
        let bits: u128 = random.random();
        uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid()
    };
    let (boot_id, new_epoch): (Uuid, Uuid) = (id(random), id(random));
    let disk = if mutant == Some(Mutant::DiskLies) {
        HostDisk::that_lies()
    } else {
        HostDisk::default()
    };
    Host {
        place: Place {
            host: name.parse().unwrap(),
            labels: [label].into_iter().collect(),
            machine,
            disk,
            boot_id,
            new_epoch,
        },
        name,
        clocks,
        member: Member::new(),
        agent: None,
        link: None,
        boots: 0,
        paused_until_ns: 0,
    }
}

/// Memory where there is a file system of it: a store that syncs to a disk would make a seed ten times as long.
pub(crate) fn ram() -> PathBuf {
    let shared = PathBuf::from("/dev/shm");
    if shared.is_dir() {
        shared
    } else {
        std::env::temp_dir()
    }
}
