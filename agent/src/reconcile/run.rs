//! The reconciler's thread.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Duration,
};

use stayhand_agent_ebpf::abi::image::GENERATION_MAX;
use stayhand_guardrail::{
    host::{Ack, HoldAnswer, HostState, Phase},
    id::{Generation, GrantId, UserName},
    time::{DurationMs, UnixMs},
};
use tokio::sync::watch;

use super::{
    Accepted, Images, Refused, Stored, Wake, accept, stored, wake::Queue, withdraw::Withdrawn,
};
use crate::{
    catalog::Catalog,
    clock::Now,
    floor::Floor,
    health::{Health, Part},
    holds::{Inbox, Message},
    kernel::image::{Desired, Relabelled},
    leases::{HostLease, LeaseBook},
    port::PortError,
    record::Identity,
    spool::Spool,
    users::{Directory, Resolved, resolve},
};

/// How often objects are looked at without being told to: paths come to exist without a sound. Their names are
/// matched from the first moment; a label only adds to that.
pub const LOOK: Duration = Duration::from_secs(3);
/// How often the live image is compared with what was written.
const VERIFY_LOOKS: u64 = 10;
/// How often a state is tried again that could not be installed.
const INSTALL_LOOKS: u64 = 3;
/// How often the lease book is written again, so that the highest wall-clock time in it is young.
const BOOK_LOOKS: u64 = 20;

/// Pins whatever runs as one of these users and is nobody's yet.
pub type Serve = Box<dyn Fn(&BTreeSet<u32>) -> Result<(), PortError> + Send>;

/// Who is told.
pub struct Outputs {
    /// How far the host is; the newest word stands for all before it
    pub acks: watch::Sender<Option<Ack>>,
    /// Answers to holds
    pub holds: Inbox,
    /// Rules and guarded subjects
    pub catalog: Catalog,
    /// Problems
    pub health: Arc<Health>,
    /// Events
    pub spool: Arc<Spool>,
    /// Told that the spool has more
    pub stored: watch::Sender<u64>,
    /// Whose events they are
    pub identity: Identity,
    /// Says which hooks are no longer pinned
    pub detached: Box<dyn Fn() -> Vec<String> + Send>,
    /// Told after every installation
    pub enforced: Box<dyn Fn() + Send>,
    /// Told which users are services, where they have changed
    pub serve: Serve,
    /// Incremented with every round, for the watchdog
    pub alive: Arc<AtomicU64>,
}

/// See the module.
pub struct Reconciler<I> {
    images: I,
    directory: Box<dyn Directory>,
    resolve_every: DurationMs,
    pub(super) out: Outputs,
    floor: Arc<Floor>,
    journaled: Stored,
    pub(super) book: LeaseBook,
    pub(super) current: Option<Current>,
    /// What was taken back and may still be in a state that is on its way
    pub(super) withdrawn: Withdrawn,
    /// As they were handed on last
    pub(super) answers: Vec<HoldAnswer>,
    /// A state whose leases the journal does not take
    pub(super) unjournaled: Option<(Accepted, LeaseBook)>,
    /// A state that could not be installed, perhaps only for a moment: nobody sends it again
    uninstalled: Option<Accepted>,
    resolved_at: UnixMs,
    looks: u64,
}

/// What is enforced.
pub(super) struct Current {
    pub(super) accepted: Accepted,
    resolved: Resolved,
    /// As installed: the book may be ahead of a kernel that refused
    pub(super) leases: BTreeMap<GrantId, HostLease>,
}

impl<I: Images> Reconciler<I> {
    /// Starts with what the journal has; installs nothing yet.
    pub fn new(
        images: I,
        directory: Box<dyn Directory>,
        resolve_every: DurationMs,
        floor: Arc<Floor>,
        out: Outputs,
        now: &Now,
    ) -> Self {
        let (journaled, book) = Stored::load(&out.spool).unwrap_or_else(|error| {
            out.health
                .note(Part::Spool, Some(crate::exit::chain(&error)));
            Default::default()
        });
        let before = book.boot_id;
        let book = book.restored(out.identity.boot_id, now);
        // Deadlines of this boot are made once: the next agent is to find these, and not to make its own from a wall clock that
        // may stand where it stood.
        if before != book.boot_id
            && !book.leases.is_empty()
            && let Err(error) = stored::journal(&out.spool, None, &book)
        {
            out.health
                .note(Part::Spool, Some(crate::exit::chain(&error)));
        }
        Self {
            images,
            directory,
            resolve_every,
            out,
            floor,
            journaled,
            book,
            current: None,
            withdrawn: Withdrawn::default(),
            answers: vec![],
            unjournaled: None,
            uninstalled: None,
            resolved_at: UnixMs(0),
            looks: 0,
        }
    }

    /// Installs the last good state, before the network is there. Without one the kernel keeps what it has; if that is
    /// nothing, the floor stands alone. Says whether there was a state.
    pub fn start(&mut self, now: &Now) -> bool {
        let active = self
            .images
            .active()
            .ok()
            .flatten()
            .map(|active| active.generation);
        if let Some(active) = active {
            self.out.health.change(|health| health.generation = active);
        }
        let states = self.journaled.to_try(active);
        if let Some(newest) = states.first() {
            self.answer(newest.answers.clone());
        }
        let any = !states.is_empty();
        for state in states {
            let generation = state.generation;
            match self
                .accept(state)
                .map_err(|refused| refused.reasons.join("; "))
                .and_then(|accepted| self.install(accepted, now))
            {
                Ok(()) => {
                    tracing::info!(%generation, "the last good state is enforced");
                    self.out.health.change(|health| health.kept = generation);
                    self.say(generation, Phase::Enforced, now);
                    break;
                }
                Err(reason) => self.out.health.note(
                    Part::State,
                    Some(format!("generation {generation}: {reason}")),
                ),
            }
        }
        match active {
            _ if self.current.is_some() => {}
            None | Some(Generation(0)) => self.floor_alone(active.is_some(), now),
            Some(older) if !self.floor.is_empty() => self.out.health.note(
                Part::State,
                Some(format!(
                    "generation {older} goes on being enforced, with the floor as it was then: no state that can be \
                     enforced is on disk, the control plane has to send one"
                )),
            ),
            Some(_) => {}
        }
        any
    }

    /// What the host says itself, before the control plane ever said something. `again` if an earlier agent did the same:
    /// what has left the floor since then is to go.
    fn floor_alone(&mut self, again: bool, now: &Now) {
        if self.floor.is_empty() && !again {
            return;
        }
        let installed = self
            .accept(HostState::default())
            .map_err(|refused| refused.reasons.join("; "))
            .and_then(|accepted| self.install(accepted, now));
        match installed {
            Ok(()) => tracing::info!("the floor is enforced; no state came yet"),
            Err(reason) => self.out.health.note(Part::Floor, Some(reason)),
        }
    }

    /// Runs until it is told to stop.
    pub fn run(mut self, wakes: &Receiver<Wake>) {
        let mut queue = Queue::default();
        loop {
            self.out.alive.fetch_add(1, Ordering::Relaxed);
            let wake = match queue.next(wakes, LOOK) {
                Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(wake) => Some(wake),
                Err(RecvTimeoutError::Timeout) => None,
            };
            self.step(wake, &Now::read());
        }
    }

    /// One round: what woke it, or the regular look if nothing did for [`LOOK`].
    pub fn step(&mut self, wake: Option<Wake>, now: &Now) {
        match wake {
            Some(Wake::State(state, at)) => self.desired(*state, &at),
            Some(Wake::Withdrawal(withdrawal, at)) => self.withdrawn(withdrawal, &at),
            Some(Wake::Mounts(told)) => {
                told.store(false, Ordering::SeqCst);
                self.relabel();
            }
            Some(Wake::Stop) => {}
            None => {
                self.looks += 1;
                self.look(self.looks, now);
            }
        }
    }

    /// A desired state came.
    pub(super) fn desired(&mut self, mut state: HostState, at: &Now) {
        let generation = state.generation;
        let enforced = self.out.health.now().generation;
        if generation < enforced {
            let reason =
                format!("generation {generation} is older than the enforced generation {enforced}");
            return self.say(
                generation,
                Phase::Rejected {
                    reasons: vec![reason],
                },
                at,
            );
        }
        // Answers are for processes that wait now; nothing about policies can hold them up.
        self.answer(state.answers.clone());
        self.withdrawn.take_from(&mut state);
        self.take_back(&state, at);
        let accepted = match self.accept(state) {
            Ok(accepted) => accepted,
            Err(Refused { reasons, errors }) => {
                self.out.health.note(
                    Part::State,
                    Some(format!("generation {generation}: {}", reasons.join("; "))),
                );
                return self.say_about(generation, Phase::Rejected { reasons }, errors, at);
            }
        };
        self.out.health.note(Part::State, None);
        self.say(generation, Phase::Received, at);
        let book = self.book.received(&accepted.state.leases, at);
        self.go_to(accepted, book, at);
    }

    pub(super) fn answer(&mut self, answers: Vec<HoldAnswer>) {
        self.answers.clone_from(&answers);
        if self.out.holds.send(Message::Answers(answers)).is_err() {
            tracing::error!("the hold manager has ended");
        }
    }

    /// The same policies mean the same image.
    fn accept(&self, state: HostState) -> Result<Accepted, Refused> {
        if state.generation.0 > GENERATION_MAX {
            return Err(Refused::because(format!(
                "generation {} is more than a host takes ({GENERATION_MAX}): the control plane's counter is wrong",
                state.generation
            )));
        }
        match &self.current {
            Some(current) if current.accepted.state.compiles_as(&state) => Ok(Accepted {
                state,
                image: Arc::clone(&current.accepted.image),
            }),
            _ => accept(state, &self.out.health.facts().labels, &self.floor),
        }
    }

    /// Journal, then install. Leases that the journal does not take are not installed.
    fn go_to(&mut self, accepted: Accepted, book: LeaseBook, now: &Now) {
        let generation = accepted.state.generation;
        let stored = Stored {
            candidate: Some(accepted.state.clone()),
            ..self.journaled.clone()
        };
        let journaled = stored::journal(&self.out.spool, Some(&stored), &book);
        let phase = match &journaled {
            Ok(()) => {
                self.journaled = stored;
                self.book = book;
                self.unjournaled = None;
                self.out.health.note(Part::Spool, None);
                Phase::Enforced
            }
            Err(error) => {
                let reason = format!(
                    "new leases are not installed: {}",
                    crate::exit::chain(error)
                );
                self.out.health.note(Part::Spool, Some(reason.clone()));
                self.book = book.kept_from(&self.book);
                self.unjournaled = Some((accepted.clone(), book));
                Phase::Rejected {
                    reasons: vec![reason],
                }
            }
        };
        let again = accepted.clone();
        let installed = if self.is_live(&accepted) {
            self.adopt(accepted);
            Ok(())
        } else {
            self.install(accepted, now)
        };
        self.uninstalled = installed.is_err().then_some(again);
        match installed {
            Ok(()) => {
                if journaled.is_ok() {
                    self.out.health.change(|health| health.kept = generation);
                }
                self.say(generation, phase, now);
            }
            Err(reason) => self.say(
                generation,
                Phase::Rejected {
                    reasons: vec![reason],
                },
                now,
            ),
        }
    }

    /// Whether the kernel has exactly these policies and the book's leases, read back just now.
    fn is_live(&self, accepted: &Accepted) -> bool {
        let same = |current: &Current| {
            current.accepted.state.compiles_as(&accepted.state)
                && current.accepted.state.fresh_for == accepted.state.fresh_for
                && current.leases == self.book.leases
        };
        self.current.as_ref().is_some_and(same) && self.images.verify().is_ok()
    }

    /// Only answers are new: the live image stands for this generation, too.
    fn adopt(&mut self, accepted: Accepted) {
        self.out
            .health
            .change(|health| health.generation = accepted.state.generation);
        self.remember_good(&accepted.state);
        if let Some(current) = &mut self.current {
            current.accepted = accepted;
        }
    }

    /// Resolves names, builds, flips.
    pub(super) fn install(&mut self, accepted: Accepted, now: &Now) -> Result<(), String> {
        let generation = accepted.state.generation;
        let users: Vec<UserName> = self
            .book
            .leases
            .values()
            .map(|lease| lease.user.clone())
            .collect();
        let resolved = resolve(self.directory.as_ref(), &accepted.image, users)
            .map_err(|error| error.to_string())?;
        self.resolved_at = now.unix;
        for name in &resolved.unknown {
            tracing::warn!(user = %name, "nobody on this host has that name");
        }
        let desired = Desired {
            generation,
            image: Arc::clone(&accepted.image),
            subjects: resolved.subjects.clone(),
            services: resolved.services.clone(),
            leases: self.book.rows(&resolved.uids, now),
            fresh_for: accepted.state.fresh_for,
        };
        // Before the flip: a record may come with the first decision after it.
        self.out.catalog.announce(generation, &accepted.image);
        let report = self.images.install(desired).map_err(|error| {
            let reason = crate::exit::chain(error.as_ref());
            self.out.health.note(Part::Image, Some(reason.clone()));
            reason
        })?;
        tracing::info!(%report, "installed");
        (self.out.enforced)();
        self.serve(&resolved);
        self.out.catalog.guard(resolved.subjects.clone());
        self.out.health.change(|health| {
            health.generation = generation;
            health.fresh_for = accepted.state.fresh_for;
        });
        self.out.health.note(Part::Image, None);
        self.note_concerns();
        self.remember_good(&accepted.state);
        self.current = Some(Current {
            accepted,
            resolved,
            leases: self.book.leases.clone(),
        });
        Ok(())
    }

    /// What runs already as a service that is new here is one from now on.
    fn serve(&self, resolved: &Resolved) {
        let known = self.current.as_ref().map(|one| &one.resolved.services);
        let services = &resolved.services;
        let failed = if services.is_empty() || known == Some(services) {
            None
        } else {
            (self.out.serve)(services).err()
        };
        let root = resolved.root_services.first().map(|name| {
            format!("service `{name}` has uid 0 on this host and is not guarded: it would be every daemon")
        });
        let failed = failed.map(|error| crate::exit::chain(error.as_ref()));
        // A failed look is not repeated: it is said until the services change.
        if root.is_some() || failed.is_some() || known != Some(services) {
            self.out.health.note(Part::Services, root.or(failed));
        }
    }

    fn remember_good(&mut self, state: &HostState) {
        let known = self.journaled.good.as_ref() == Some(state);
        // What stands in for a state is none, and must not take the place of one.
        let stands_in = state.generation == Generation(0);
        if known || stands_in || self.unjournaled.is_some() {
            return;
        }
        let stored = Stored {
            good: Some(state.clone()),
            candidate: None,
        };
        match stored::journal(&self.out.spool, Some(&stored), &self.book) {
            Ok(()) => self.journaled = stored,
            // The candidate is on disk; it is tried first at the next start.
            Err(error) => tracing::warn!(
                error = crate::exit::chain(&error),
                "cannot note the good state"
            ),
        }
    }

    /// The regular look at everything.
    pub(super) fn look(&mut self, looks: u64, now: &Now) {
        if let Some((accepted, book)) = self.unjournaled.take() {
            self.go_to(accepted, book, now);
        }
        if looks.is_multiple_of(INSTALL_LOOKS)
            && let Some(accepted) = self.uninstalled.take()
        {
            let book = self.book.clone();
            self.go_to(accepted, book, now);
        }
        self.take_back_again(now);
        if now.unix.since(self.resolved_at) >= self.resolve_every || now.unix < self.resolved_at {
            self.resolve_again(now);
        }
        self.watch_hooks(now);
        self.watch_freshness(now);
        self.relabel();
        if looks.is_multiple_of(VERIFY_LOOKS) {
            self.verify(now);
        }
        if looks.is_multiple_of(BOOK_LOOKS) && !self.book.leases.is_empty() {
            self.book.latest = self.book.latest.max(now.unix);
            if let Err(error) = stored::journal(&self.out.spool, None, &self.book) {
                tracing::warn!(
                    error = crate::exit::chain(&error),
                    "cannot write the lease book again"
                );
            }
        }
    }

    fn resolve_again(&mut self, now: &Now) {
        let Some(current) = &self.current else { return };
        let users: Vec<UserName> = self
            .book
            .leases
            .values()
            .map(|lease| lease.user.clone())
            .collect();
        self.resolved_at = now.unix;
        match resolve(self.directory.as_ref(), &current.accepted.image, users) {
            Ok(resolved) if resolved == current.resolved => self.out.health.note(Part::Users, None),
            Ok(_) => {
                tracing::info!("users or groups changed");
                let accepted = current.accepted.clone();
                let failed = self.install(accepted, now).err();
                self.out.health.note(Part::Users, failed);
            }
            Err(error) => self.out.health.note(Part::Users, Some(error.to_string())),
        }
    }

    fn relabel(&mut self) {
        match self.images.relabel() {
            Ok(Relabelled::Nothing | Relabelled::Unchanged) => {}
            Ok(Relabelled::Labels { set, removed }) => {
                tracing::info!(set, removed, "labels changed");
            }
            Ok(Relabelled::Reinstalled(report)) => {
                tracing::info!(%report, "installed again, names changed");
            }
            Err(error) => {
                let problem = crate::exit::chain(error.as_ref());
                self.out.health.note(Part::Mounts, Some(problem));
                return;
            }
        }
        self.out.health.note(Part::Mounts, None);
        self.note_concerns();
    }

    fn note_concerns(&self) {
        let concerns = self.images.concerns();
        let labels = (!concerns.is_empty()).then(|| concerns.join("; "));
        self.out.health.note(Part::Labels, labels);
    }

    /// Hooks that were taken away: said and recorded, once for each set of them.
    fn watch_hooks(&self, now: &Now) {
        let gone = (self.out.detached)();
        let said = || {
            let gone = gone.join(", ");
            format!("NOT ENFORCED: hooks without a pinned link: {gone}")
        };
        let what = (!gone.is_empty()).then(said);
        if let Some(what) = &what
            && self.out.health.now().hooks_gone != gone
        {
            self.tampered(what.clone(), now);
        }
        self.out.health.note(Part::Hooks, what);
        self.out.health.change(|health| health.hooks_gone = gone);
    }

    /// Leases that count no more because nothing proves that they should: said as long as there are any.
    fn watch_freshness(&self, now: &Now) {
        let any = self.book.live(now).next().is_some();
        let stale = self.out.health.now().stale(now).filter(|_| any);
        self.out.health.note(Part::Freshness, stale);
    }

    /// Somebody else wrote into the live image: said, recorded, and put right.
    fn verify(&mut self, now: &Now) {
        let Err(error) = self.images.verify() else {
            return;
        };
        self.tampered(crate::exit::chain(error.as_ref()), now);
        if let Some(current) = self.current.take() {
            let failed = self.install(current.accepted, now).err();
            self.out.health.note(Part::Image, failed);
        }
    }
}
