//! The reconciler against a kernel of a few lines: never backwards, never a lease that the journal does not have,
//! the last good image stays.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::AtomicU64,
        mpsc::{Receiver, channel},
    },
};

use stayhand_guardrail::{
    host::{Answer, HoldAnswer, HostState, Lease, Phase, PolicyRevision},
    id::{Generation, GrantId, GroupName, HoldId, Revision, UserName},
    time::{DurationMs, UnixMs},
};
use tokio::sync::watch;
use uuid::Uuid;

use super::*;
use crate::{
    catalog::Catalog,
    clock::Now,
    floor::Floor,
    health::{Health, Part},
    holds::Message,
    leases::LeaseBook,
    spool::{Key, Spool},
    testing::{NOW, identity, spool},
    users::{Directory, NoUsers, User},
};

const HOUR: u64 = 3_600_000;
const POLICY: &str = "apiVersion: stayhand/v1
kind: Policy
metadata: { name: prod }
spec:
  subjects: { groups: [dev] }
  permissions:
    db: { net: { ops: [connect], cidr: 10.0.0.0/8, ports: [5432] } }
  rules:
    - { id: no-nc, effect: deny, exec: { path: /usr/bin/nc } }
    - { id: db, effect: require-grant, permission: db }
";

/// What survives the agent.
#[derive(Default)]
pub(super) struct Kernel {
    pub(super) active: Option<Generation>,
    installs: Vec<Desired>,
    pub(super) refuses: Option<&'static str>,
    /// Refuses whatever has a generation
    pub(super) only_floors: bool,
    concerns: Vec<String>,
    served: Vec<BTreeSet<u32>>,
    detached: Vec<String>,
    tampered: bool,
}

pub(super) struct Fake(Arc<Mutex<Kernel>>);

impl Images for Fake {
    fn active(&self) -> Result<Option<Active>, PortError> {
        Ok(self.0.lock().unwrap().active.map(|generation| Active {
            generation,
            slot: 0,
        }))
    }
    fn install(&mut self, desired: Desired) -> Result<InstallReport, PortError> {
        let mut kernel = self.0.lock().unwrap();
        if let Some(reason) = kernel.refuses {
            return Err(reason.into());
        }
        if kernel.only_floors && desired.generation != Generation(0) {
            return Err("no room".into());
        }
        assert!(kernel.active <= Some(desired.generation), "backwards");
        kernel.active = Some(desired.generation);
        let report = InstallReport {
            generation: desired.generation,
            slot: 0,
            digest: 0,
            rows: [("", 0); 7],
            missing: 0,
            by_name: 0,
            problems: vec![],
        };
        kernel.installs.push(desired);
        kernel.tampered = false;
        Ok(report)
    }
    fn relabel(&mut self) -> Result<Relabelled, PortError> {
        Ok(Relabelled::Unchanged)
    }
    fn concerns(&self) -> Vec<String> {
        self.0.lock().unwrap().concerns.clone()
    }
    fn verify(&self) -> Result<(), PortError> {
        if self.0.lock().unwrap().tampered {
            Err("map `ENTRIES` does not read back".into())
        } else {
            Ok(())
        }
    }
}

struct People(Arc<Mutex<Vec<User>>>);

impl Directory for People {
    fn users(&self, _: &BTreeSet<GroupName>, _: &BTreeSet<UserName>) -> Result<Vec<User>, NoUsers> {
        let people = self.0.lock().unwrap().clone();
        if people.is_empty() {
            Err(NoUsers)
        } else {
            Ok(people)
        }
    }
}

fn person(uid: u32, name: &str, group: &str) -> User {
    User {
        uid,
        name: Some(name.parse().unwrap()),
        groups: vec![group.parse().unwrap()],
    }
}

pub(super) struct Rig {
    pub(super) kernel: Arc<Mutex<Kernel>>,
    people: Arc<Mutex<Vec<User>>>,
    spool: Arc<Spool>,
    pub(super) health: Arc<Health>,
    pub(super) acks: watch::Receiver<Option<stayhand_guardrail::host::Ack>>,
    pub(super) holds: Receiver<Message>,
    place: tempfile::TempDir,
}

fn rig() -> (Rig, Reconciler<Fake>) {
    begin(Floor::default())
}

pub(super) fn begin(floor: Floor) -> (Rig, Reconciler<Fake>) {
    let place = tempfile::tempdir().unwrap();
    let spool = spool(place.path());
    begin_in(spool, place, floor)
}

/// The same with a spool of its own.
pub(super) fn begin_on(spool: Arc<Spool>, floor: Floor) -> (Rig, Reconciler<Fake>) {
    begin_in(spool, tempfile::tempdir().unwrap(), floor)
}

fn begin_in(spool: Arc<Spool>, place: tempfile::TempDir, floor: Floor) -> (Rig, Reconciler<Fake>) {
    let kernel = Arc::default();
    let people = Arc::new(Mutex::new(vec![
        person(1001, "alice", "dev"),
        person(1002, "bob", "ops"),
    ]));
    start(spool, kernel, people, place, floor, at(0))
}

fn start(
    spool: Arc<Spool>,
    kernel: Arc<Mutex<Kernel>>,
    people: Arc<Mutex<Vec<User>>>,
    place: tempfile::TempDir,
    floor: Floor,
    now: Now,
) -> (Rig, Reconciler<Fake>) {
    let (acks, acked) = watch::channel(None);
    let (inbox, holds) = channel();
    let health = Arc::new(Health::default());
    let out = Outputs {
        acks,
        holds: inbox,
        catalog: Catalog::default(),
        health: Arc::clone(&health),
        spool: Arc::clone(&spool),
        stored: watch::Sender::new(0),
        identity: identity(),
        detached: {
            let kernel = Arc::clone(&kernel);
            Box::new(move || kernel.lock().unwrap().detached.clone())
        },
        enforced: Box::new(|| ()),
        serve: {
            let kernel = Arc::clone(&kernel);
            Box::new(move |services| {
                kernel.lock().unwrap().served.push(services.clone());
                Ok(())
            })
        },
        alive: Arc::new(AtomicU64::new(0)),
    };
    let directory = Box::new(People(Arc::clone(&people)));
    let every = DurationMs::from_secs(30);
    let fake = Fake(Arc::clone(&kernel));
    let reconciler = Reconciler::new(fake, directory, every, Arc::new(floor), out, &now);
    (
        Rig {
            kernel,
            people,
            spool,
            health,
            acks: acked,
            holds,
            place,
        },
        reconciler,
    )
}

/// The agent is killed and started again.
fn restart(rig: Rig, now: Now) -> (Rig, Reconciler<Fake>) {
    restart_with(rig, Floor::default(), now)
}

pub(super) fn restart_with(rig: Rig, floor: Floor, now: Now) -> (Rig, Reconciler<Fake>) {
    let Rig {
        kernel,
        people,
        spool,
        place,
        ..
    } = rig;
    start(spool, kernel, people, place, floor, now)
}

pub(super) fn at(ms: u64) -> Now {
    Now {
        boot_ns: ms * 1_000_000 + 1,
        tai_ns: ms * 1_000_000 + 1,
        unix: UnixMs(NOW.0 + ms),
    }
}

pub(super) fn state(generation: u64, leases: &[u128]) -> HostState {
    let policy = PolicyRevision {
        name: "prod".parse().unwrap(),
        revision: Revision(1),
        source: POLICY.into(),
    };
    let lease = |grant: &u128| Lease {
        grant: GrantId(Uuid::from_u128(*grant)),
        user: "alice".parse().unwrap(),
        permissions: vec!["prod/db".parse().unwrap()],
        expire_time: UnixMs(NOW.0 + HOUR),
        server_time: NOW,
    };
    HostState {
        generation: Generation(generation),
        policies: vec![policy],
        leases: leases.iter().map(lease).collect(),
        answers: vec![],
        shadows: vec![],
        flags: stayhand_guardrail::policy::Flags::default(),
        fresh_for: None,
        digest: None,
    }
}

impl Rig {
    pub(super) fn installs(&self) -> usize {
        self.kernel.lock().unwrap().installs.len()
    }

    pub(super) fn last(&self) -> Desired {
        self.kernel.lock().unwrap().installs.last().unwrap().clone()
    }

    pub(super) fn word(&self) -> (u64, Phase) {
        let ack = self.acks.borrow().clone().unwrap();
        (ack.generation.0, ack.phase)
    }

    pub(super) fn rejected(&self) -> String {
        match self.word() {
            (_, Phase::Rejected { reasons }) => reasons.join("; "),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_older_generation_is_refused_and_nothing_changes() {
    let (rig, mut reconciler) = rig();
    reconciler.desired(state(5, &[]), &at(0));
    reconciler.desired(state(4, &[7]), &at(1));
    assert!(rig.rejected().contains("older than"), "{}", rig.rejected());
    assert_eq!(
        (rig.installs(), rig.health.now().generation),
        (1, Generation(5))
    );
}

#[test]
fn a_bad_policy_leaves_the_last_good_one_and_names_every_reason_with_its_place() {
    let (rig, mut reconciler) = rig();
    reconciler.desired(state(1, &[]), &at(0));
    let mut bad = state(2, &[]);
    bad.policies[0].source = POLICY
        .replace("effect: deny", "effect: denny")
        .replace("rules:", "rules:\n    - { id: x }");
    reconciler.desired(bad, &at(1));
    assert!(
        rig.rejected().contains("policy prod@1:") && rig.rejected().contains("denny"),
        "{}",
        rig.rejected()
    );
    assert_eq!(
        (rig.installs(), rig.health.now().generation),
        (1, Generation(1))
    );
    let mut renamed = state(3, &[]);
    renamed.policies[0].name = "other".parse().unwrap();
    reconciler.desired(renamed, &at(2));
    assert!(
        rig.rejected().contains("says that it is `prod`"),
        "{}",
        rig.rejected()
    );
}

#[test]
fn a_kernel_that_refuses_is_reported_and_not_called_enforced() {
    let (rig, mut reconciler) = rig();
    rig.kernel.lock().unwrap().refuses = Some("map `NODES` is full");
    reconciler.desired(state(1, &[]), &at(0));
    assert!(rig.rejected().contains("`NODES` is full"));
    assert_eq!(rig.health.now().generation, Generation(0));
}

#[test]
fn a_lease_is_in_the_journal_before_it_is_in_the_kernel() {
    let (rig, mut reconciler) = rig();
    rig.kernel.lock().unwrap().refuses = Some("no");
    reconciler.desired(state(1, &[7]), &at(0));
    let book: LeaseBook =
        serde_json::from_slice(&rig.spool.document(Key::Leases).unwrap().unwrap()).unwrap();
    assert_eq!(book.leases.len(), 1, "the map refused, the journal had it");
}

/// Killed anywhere on the way, the next agent knows of every lease that the kernel may still have.
#[test]
fn a_revoked_lease_is_in_the_journal_until_the_kernel_has_let_go_of_it() {
    let (rig, mut reconciler) = rig();
    let recorded = |rig: &Rig| {
        let (stored, _) = stored::Stored::load(&rig.spool).unwrap();
        stored.good.is_some_and(|good| !good.leases.is_empty())
    };
    reconciler.desired(state(1, &[7]), &at(0));
    rig.kernel.lock().unwrap().refuses = Some("no");
    reconciler.desired(state(2, &[]), &at(1));
    assert_eq!(rig.last().leases.len(), 1, "the kernel still has it");
    assert!(recorded(&rig), "its record went before it did");
    rig.kernel.lock().unwrap().refuses = None;
    reconciler.desired(state(3, &[]), &at(2));
    assert!(rig.last().leases.is_empty());
    assert!(!recorded(&rig), "the record stayed behind");
}

#[test]
fn subjects_and_leases_reach_the_image_by_uid_with_both_deadlines() {
    let (rig, mut reconciler) = rig();
    let mut wanted = state(1, &[7]);
    wanted.leases.push(Lease {
        user: "nobody-here".parse().unwrap(),
        grant: GrantId(Uuid::from_u128(8)),
        ..wanted.leases[0].clone()
    });
    reconciler.desired(wanted, &at(0));
    let installed = rig.last();
    assert_eq!(
        installed.subjects,
        [(1001, 1)].into(),
        "bob is in no guarded group"
    );
    assert_eq!(installed.leases.len(), 1, "nobody has that name");
    assert_eq!(installed.leases[0].auid, 1001);
    assert_eq!(
        installed.leases[0].deadlines,
        at(0).deadlines(DurationMs(HOUR))
    );
    assert_eq!(rig.word(), (1, Phase::Enforced));
}

#[test]
fn a_revoked_lease_is_gone_and_a_known_one_is_never_lengthened() {
    let (rig, mut reconciler) = rig();
    reconciler.desired(state(1, &[7, 8]), &at(0));
    let mut later = state(2, &[8]);
    later.leases[0].server_time = UnixMs(NOW.0 - HOUR); // the control plane's clock went back
    reconciler.desired(later, &at(HOUR / 2));
    let leases = rig.last().leases;
    assert_eq!(leases.len(), 1);
    assert_eq!(leases[0].deadlines, at(0).deadlines(DurationMs(HOUR)));
}

#[test]
fn an_answer_alone_flips_nothing_and_is_passed_on_before_anything_else() {
    let (rig, mut reconciler) = rig();
    reconciler.desired(state(1, &[7]), &at(0));
    let mut next = state(2, &[7]);
    let by = Some("carol".parse().unwrap());
    next.answers = vec![HoldAnswer {
        hold: HoldId(5),
        answer: Answer::Approved,
        by,
        reason: "ok".into(),
    }];
    reconciler.desired(next, &at(100));
    assert_eq!((rig.installs(), rig.word()), (1, (2, Phase::Enforced)));
    let passed = rig
        .holds
        .try_iter()
        .filter(|message| matches!(message, Message::Answers(all) if all.len() == 1));
    assert_eq!(passed.count(), 1);
    assert_eq!(rig.health.now().generation, Generation(2));
}

#[test]
fn a_restart_enforces_the_last_good_state_with_the_same_absolute_deadlines() {
    let (rig, mut reconciler) = rig();
    reconciler.desired(state(3, &[7]), &at(0));
    let before = rig.last().leases;
    let (rig, mut reconciler) = restart(rig, at(HOUR / 2));
    reconciler.start(&at(HOUR / 2));
    assert_eq!(rig.last().leases, before);
    assert_eq!(rig.word(), (3, Phase::Enforced));
    let (rig, mut reconciler) = restart(rig, at(2 * HOUR));
    reconciler.start(&at(2 * HOUR));
    assert!(rig.last().leases.is_empty(), "past → none");
}

/// An agent that is started again and again must not make them again each time.
#[test]
fn deadlines_of_a_boot_are_made_once_even_if_the_wall_clock_stands() {
    let (rig, mut reconciler) = rig();
    reconciler.desired(state(3, &[7]), &at(0));
    let bytes = rig.spool.document(Key::Leases).unwrap().unwrap();
    let mut book: LeaseBook = serde_json::from_slice(&bytes).unwrap();
    book.boot_id = Uuid::from_u128(99);
    let other_boot = (Key::Leases, serde_json::to_vec(&book).unwrap());
    rig.spool.put_documents(&[other_boot]).unwrap();
    rig.kernel.lock().unwrap().active = None;
    let stands = |ms| Now {
        unix: NOW,
        ..at(ms)
    };
    let (rig, mut reconciler) = restart(rig, stands(0));
    reconciler.start(&stands(0));
    let before = rig.last().leases;
    let (rig, mut reconciler) = restart(rig, stands(HOUR / 2));
    reconciler.start(&stands(HOUR / 2));
    assert_eq!(rig.last().leases, before);
}

#[test]
fn a_journal_that_is_older_than_the_kernel_is_not_gone_back_to() {
    let (rig, mut reconciler) = rig();
    reconciler.desired(state(3, &[7]), &at(0));
    rig.kernel.lock().unwrap().active = Some(Generation(9));
    let installs = rig.installs();
    let (rig, mut reconciler) = restart(rig, at(1));
    reconciler.start(&at(1));
    assert_eq!(rig.installs(), installs);
    assert_eq!(rig.health.now().generation, Generation(9));
}

#[test]
fn killed_between_journal_and_kernel_the_candidate_is_tried_and_else_the_good_one() {
    let (rig, mut reconciler) = rig();
    reconciler.desired(state(1, &[]), &at(0));
    rig.kernel.lock().unwrap().refuses = Some("killed here");
    reconciler.desired(state(2, &[7]), &at(1));
    rig.kernel.lock().unwrap().refuses = None;
    let (rig, mut reconciler) = restart(rig, at(2));
    reconciler.start(&at(2));
    assert_eq!(rig.last().generation, Generation(2));
}

#[test]
fn users_that_join_a_guarded_group_are_guarded_and_a_broken_name_service_frees_nobody() {
    let (rig, mut reconciler) = rig();
    reconciler.desired(state(1, &[]), &at(0));
    rig.people.lock().unwrap().clear();
    reconciler.look(1, &at(60_000));
    assert_eq!(rig.installs(), 1, "the old subjects stay");
    assert!(!rig.health.now().problems.is_empty());
    *rig.people.lock().unwrap() = vec![person(1001, "alice", "dev"), person(1002, "bob", "dev")];
    reconciler.look(2, &at(120_000));
    assert_eq!(rig.last().subjects, [(1001, 1), (1002, 1)].into());
    assert!(
        rig.health.now().problems.is_empty(),
        "{:?}",
        rig.health.now().problems
    );
}

#[test]
fn an_image_that_somebody_else_wrote_to_is_recorded_and_put_right() {
    let (rig, mut reconciler) = rig();
    reconciler.desired(state(1, &[]), &at(0));
    rig.kernel.lock().unwrap().tampered = true;
    let events = rig.spool.stats().spooled;
    reconciler.look(10, &at(100));
    assert_eq!(rig.installs(), 2);
    assert_eq!(rig.spool.stats().spooled, events + 1, "a tamper event");
}

#[test]
fn a_file_system_that_is_silent_is_a_problem_while_it_is_and_revokes_all_the_same() {
    let (rig, mut reconciler) = rig();
    reconciler.desired(state(1, &[7]), &at(0));
    rig.kernel.lock().unwrap().concerns = vec!["`/srv/dead` does not answer".into()];
    reconciler.look(1, &at(3_000));
    let problems = rig.health.now().problems;
    assert!(
        problems[&Part::Labels].contains("/srv/dead"),
        "{problems:?}"
    );
    reconciler.desired(state(2, &[]), &at(3_100));
    assert!(rig.last().leases.is_empty());
    assert_eq!(rig.word(), (2, Phase::Enforced));
    rig.kernel.lock().unwrap().concerns.clear();
    reconciler.look(2, &at(6_000));
    assert!(rig.health.now().problems.is_empty());
}

#[test]
fn hooks_that_are_taken_away_are_one_event_and_a_problem_until_they_are_back() {
    let (rig, mut reconciler) = rig();
    reconciler.desired(state(1, &[]), &at(0));
    let events = rig.spool.stats().spooled;
    rig.kernel.lock().unwrap().detached = vec!["file_open".into()];
    reconciler.look(1, &at(3_000));
    reconciler.look(2, &at(6_000));
    let health = rig.health.now();
    assert!(
        health.problems[&Part::Hooks]
            .contains("NOT ENFORCED: hooks without a pinned link: file_open")
    );
    assert_eq!(health.hooks_gone, ["file_open"]);
    assert_eq!(rig.spool.stats().spooled, events + 1, "said once");
    rig.kernel.lock().unwrap().detached.clear();
    reconciler.look(3, &at(9_000));
    assert!(rig.health.now().hooks_gone.is_empty() && rig.health.now().problems.is_empty());
}
