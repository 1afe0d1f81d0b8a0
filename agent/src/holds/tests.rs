//! Lost wake-ups, restarts and every order of facts, against a kernel and a process of a few lines.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use stayhand_agent_ebpf::abi::{
    code::answer,
    hold::{HoldEntry, HoldKey},
};
use stayhand_guardrail::{
    action::{Object, Operation, ProcessInfo},
    event::RuleRef,
    hold::{Approval, Hold, HoldPhase, HoldState},
    host::{Answer, HoldAnswer},
    id::{HoldId, Revision},
    reason::Reason,
    subject::Subject,
    time::UnixMs,
};
use uuid::Uuid;

use super::{
    Manager, World,
    row::{Row, Stage},
    step::{Look, Seen},
};
use crate::{clock::Now, kernel::holds::Pending};

const MS: u64 = 1_000_000;
const DEADLINE_NS: u64 = 60_000 * MS;
const KEY: HoldKey = HoldKey {
    task_cookie: 5,
    digest: [1, 2],
};

fn at(ms: u64) -> Now {
    Now {
        boot_ns: ms * MS,
        tai_ns: ms * MS,
        unix: UnixMs(1_000_000 + ms),
    }
}

fn row() -> Row {
    let hold = Hold {
        id: HoldId(0xabc),
        host: "web-1".parse().unwrap(),
        subject: Subject {
            auid: 1001,
            user: None,
            session: Some(3),
        },
        process: ProcessInfo {
            pid: 77,
            tid: 77,
            cookie: 9,
            ..ProcessInfo::default()
        },
        operation: Operation::Exec,
        object: Object::Path {
            bytes: b"/usr/bin/nc".to_vec(),
        },
        rule: RuleRef {
            policy: "p".parse().unwrap(),
            revision: Revision(1),
            rule: "r".parse().unwrap(),
        },
        message: None,
        sensitivity: None,
        permission: None,
        approval: Approval::Operators,
        create_time: at(0).unix,
        expire_time: at(60_000).unix,
        state: HoldState::Pending,
    };
    Row::new(hold, Uuid::nil(), KEY, DEADLINE_NS)
}

fn given(answer: Answer) -> Vec<HoldAnswer> {
    vec![HoldAnswer {
        hold: HoldId(0xabc),
        answer,
        by: Some("carol".parse().unwrap()),
        reason: "because".into(),
    }]
}

/// Where the held call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    /// In the hook, which has read the maps but not yet sent the signal
    Deciding,
    /// The stop signal is pending; the process is on its way out of the kernel
    Stopping,
    Stopped,
    /// Continued: enters the hook again
    Restarting,
    /// Never comes back to the call
    Elsewhere,
    Allowed,
    Denied,
    Gone,
}

/// Kernel, process and disk: everything that survives the agent.
struct Outside {
    call: Call,
    entry: bool,
    answer: Option<u32>,
    journal: BTreeMap<u64, Row>,
    outcomes: Vec<Reason>,
    fatal: bool,
    wakes: u32,
    approved_late: bool,
}

type Shared = Rc<RefCell<Outside>>;

fn outside() -> Shared {
    Rc::new(RefCell::new(Outside {
        call: Call::Deciding,
        entry: true,
        answer: None,
        journal: BTreeMap::new(),
        outcomes: vec![],
        fatal: false,
        wakes: 0,
        approved_late: false,
    }))
}

impl Outside {
    /// The process gets some time: one step of the hook, as `agent-ebpf/src/hold.rs` has it.
    fn run(&mut self, now: &Now) {
        self.call = match self.call {
            Call::Deciding => Call::Stopping,
            Call::Stopping => Call::Stopped,
            Call::Restarting if self.fatal => Call::Gone,
            Call::Restarting => self.reenter(now),
            other => other,
        };
    }

    fn reenter(&mut self, now: &Now) -> Call {
        if !self.entry {
            return Call::Elsewhere; // a new hold, another story
        }
        let (call, reason) = match self.answer {
            Some(answer::APPROVED) => (Call::Allowed, Reason::HoldApproved),
            Some(answer::REFUSED) => (Call::Denied, Reason::HoldRefused),
            Some(_) => (Call::Denied, Reason::HoldCancelled),
            None if now.boot_ns >= DEADLINE_NS => (Call::Denied, Reason::HoldTimedOut),
            None => return Call::Deciding,
        };
        self.approved_late |= call == Call::Allowed && now.boot_ns >= DEADLINE_NS + 30_000 * MS;
        self.entry = false;
        self.answer = None;
        self.outcomes.push(reason);
        call
    }

    fn sigcont(&mut self) {
        self.wakes += 1;
        // Also takes a stop signal back that is pending.
        if matches!(self.call, Call::Stopping | Call::Stopped) {
            self.call = Call::Restarting;
        }
    }
}

struct Fake(Shared);

impl World for Fake {
    fn journal(&mut self, row: &Row) {
        self.0.borrow_mut().journal.insert(row.id(), row.clone());
    }
    fn forget(&mut self, row: &Row) {
        self.0.borrow_mut().journal.remove(&row.id());
    }
    fn write_answer(&mut self, row: &Row, answer: u32) {
        let mut outside = self.0.borrow_mut();
        let journaled = outside.journal.get(&row.id()).map(|row| row.stage);
        assert_eq!(
            journaled,
            Some(Stage::Answered { answer }),
            "the journal comes before the map"
        );
        if outside.entry {
            outside.answer = Some(answer);
        }
    }
    fn withdraw(&mut self, _: &Row) -> bool {
        let mut outside = self.0.borrow_mut();
        outside.answer = None;
        std::mem::take(&mut outside.entry)
    }
    fn release(&mut self, _: &Row) {}
    fn wake(&mut self, _: &Row) {
        self.0.borrow_mut().sigcont();
    }
    fn wake_ancestors(&mut self, _: &Row) {}
    fn wake_left_behind(&mut self, _: &Row) {}
    fn may_be_left_behind(&mut self, _: &Row) -> bool {
        false
    }
    fn look(&mut self, _: &Row) -> Look {
        let outside = self.0.borrow();
        let seen = match outside.call {
            Call::Gone => Seen::Gone,
            Call::Stopped => Seen::Stopped,
            _ => Seen::Running,
        };
        Look {
            seen,
            fatal: outside.fatal,
            entry: outside.entry,
        }
    }
}

fn manager(outside: &Shared) -> Manager<Fake> {
    let rows = outside.borrow().journal.values().cloned().collect();
    Manager::new(Fake(Rc::clone(outside)), rows, Uuid::nil(), &at(0))
}

fn pending(outside: &Shared) -> Vec<Pending> {
    let entry = HoldEntry {
        hold: 0xabc,
        boot_deadline_ns: DEADLINE_NS,
        ..HoldEntry::default()
    };
    outside
        .borrow()
        .entry
        .then_some(Pending { key: KEY, entry })
        .into_iter()
        .collect()
}

fn opened(outside: &Shared) -> Manager<Fake> {
    let mut manager = manager(outside);
    manager.opened(row(), &at(0));
    outside.borrow_mut().call = Call::Stopped;
    manager
}

/// Lets time pass: the process and the agent take turns.
fn pass(manager: &mut Manager<Fake>, outside: &Shared, from_ms: u64, to_ms: u64) {
    for ms in (from_ms..to_ms).step_by(5) {
        let now = at(ms);
        outside.borrow_mut().run(&now);
        let outcomes = std::mem::take(&mut outside.borrow_mut().outcomes);
        for reason in outcomes {
            manager.outcome(0xabc, reason, &now);
        }
        manager.tick(&now);
    }
}

fn state(manager: &Manager<Fake>) -> HoldState {
    manager.rows().next().unwrap().hold.state.clone()
}

#[test]
fn an_answer_after_the_deadline_is_not_carried_out() {
    let outside = outside();
    let mut manager = opened(&outside);
    manager.answers(given(Answer::Approved), &at(60_000));
    pass(&mut manager, &outside, 60_000, 61_000);
    assert_eq!(outside.borrow().call, Call::Denied);
    assert_eq!(state(&manager).phase(), HoldPhase::TimedOut);
}

#[test]
fn a_refusal_denies_and_names_who_refused() {
    let outside = outside();
    let mut manager = opened(&outside);
    manager.answers(given(Answer::Refused), &at(100));
    pass(&mut manager, &outside, 100, 500);
    assert_eq!(outside.borrow().call, Call::Denied);
    assert_eq!(state(&manager).decided().unwrap().by.as_str(), "carol");
}

#[test]
fn a_stage_that_had_its_time_denies_names_nobody_and_approves_nothing() {
    let nobodys = |answer| {
        let mut all = given(answer);
        all[0].by = None;
        all
    };
    let outside = outside();
    let mut manager = opened(&outside);
    manager.answers(nobodys(Answer::Approved), &at(100));
    pass(&mut manager, &outside, 100, 500);
    assert_eq!(outside.borrow().call, Call::Stopped);
    manager.answers(nobodys(Answer::Refused), &at(500));
    manager.answers(given(Answer::Approved), &at(500));
    pass(&mut manager, &outside, 500, 1_000);
    assert_eq!(outside.borrow().call, Call::Denied);
    let state = state(&manager);
    assert_eq!((state.phase(), state.decided()), (HoldPhase::Lapsed, None));
    assert_eq!(state.why(), Some("because"));
}

#[test]
fn a_hold_that_nobody_answers_is_continued_at_its_deadline_and_not_before() {
    let outside = outside();
    let mut manager = opened(&outside);
    pass(&mut manager, &outside, 0, 59_990);
    assert_eq!(
        (outside.borrow().call, outside.borrow().wakes),
        (Call::Stopped, 0)
    );
    pass(&mut manager, &outside, 59_990, 61_000);
    assert_eq!(outside.borrow().call, Call::Denied);
    assert_eq!(state(&manager).phase(), HoldPhase::TimedOut);
}

#[test]
fn a_fatal_signal_takes_effect_and_cancels() {
    let outside = outside();
    let mut manager = opened(&outside);
    outside.borrow_mut().fatal = true;
    pass(&mut manager, &outside, 100, 3_000);
    assert_eq!(outside.borrow().call, Call::Gone);
    assert_eq!(state(&manager).phase(), HoldPhase::Cancelled);
    assert!(!outside.borrow().entry, "nothing is left in the kernel");
}

#[test]
fn a_process_that_ends_while_held_cancels_and_frees_its_place() {
    let outside = outside();
    let mut manager = opened(&outside);
    outside.borrow_mut().call = Call::Gone;
    pass(&mut manager, &outside, 100, 3_000);
    assert_eq!(state(&manager).phase(), HoldPhase::Cancelled);
    assert!(!outside.borrow().entry);
}

#[test]
fn an_approval_that_the_call_never_takes_becomes_void_and_is_withdrawn() {
    let outside = outside();
    let mut manager = opened(&outside);
    outside.borrow_mut().call = Call::Elsewhere;
    manager.answers(given(Answer::Approved), &at(100));
    pass(&mut manager, &outside, 100, 9_000);
    assert_eq!(state(&manager).phase(), HoldPhase::Approved, "not yet");
    pass(&mut manager, &outside, 9_000, 12_000);
    assert_eq!(state(&manager).phase(), HoldPhase::Void);
    assert_eq!(
        (outside.borrow().entry, outside.borrow().answer),
        (false, None)
    );
}

#[test]
fn a_call_that_was_left_while_it_waited_becomes_void_and_cannot_be_approved() {
    let outside = outside();
    let mut manager = opened(&outside);
    outside.borrow_mut().call = Call::Elsewhere;
    pass(&mut manager, &outside, 100, 9_000);
    assert_eq!(state(&manager).phase(), HoldPhase::Pending, "not yet");
    pass(&mut manager, &outside, 9_000, 12_000);
    assert_eq!(state(&manager).phase(), HoldPhase::Void);
    assert!(!outside.borrow().entry);
    manager.answers(given(Answer::Approved), &at(12_100));
    pass(&mut manager, &outside, 12_100, 13_000);
    assert_eq!(state(&manager).phase(), HoldPhase::Void);
    assert_eq!(outside.borrow().answer, None);
}

#[test]
fn stray_continues_of_a_call_that_waits_do_not_make_it_void() {
    let outside = outside();
    let mut manager = opened(&outside);
    for ms in (0..30_000).step_by(30) {
        outside.borrow_mut().sigcont();
        pass(&mut manager, &outside, ms, ms + 30);
    }
    assert_eq!(state(&manager).phase(), HoldPhase::Pending);
    assert!(outside.borrow().entry);
}

#[test]
fn a_program_that_took_its_answer_and_ended_at_once_was_released() {
    let outside = outside();
    let mut manager = opened(&outside);
    manager.answers(given(Answer::Approved), &at(100));
    outside.borrow_mut().run(&at(101));
    assert_eq!(outside.borrow().call, Call::Allowed);
    outside.borrow_mut().call = Call::Gone;
    pass(&mut manager, &outside, 105, 3_000);
    assert!(state(&manager).is_released(), "{:?}", state(&manager));
}

#[test]
fn an_approval_that_a_reboot_overtook_is_void_and_a_waiting_hold_is_cancelled() {
    for (answer, expected) in [
        (Some(Answer::Approved), HoldPhase::Void),
        (None, HoldPhase::Cancelled),
    ] {
        let outside = outside();
        let mut before = opened(&outside);
        before.answers(answer.map(given).unwrap_or_default(), &at(100));
        let rows = outside.borrow().journal.values().cloned().collect();
        let mut after = Manager::new(Fake(Rc::clone(&outside)), rows, Uuid::from_u128(2), &at(5));
        assert_eq!(state(&after).phase(), expected);
        after.tick(&at(3_000));
        assert_eq!(state(&after).phase(), expected);
    }
}

#[test]
fn a_lost_outcome_is_concluded_from_what_is_known() {
    let outside = outside();
    let mut manager = opened(&outside);
    manager.answers(given(Answer::Approved), &at(100));
    outside.borrow_mut().run(&at(101));
    outside.borrow_mut().outcomes.clear();
    pass(&mut manager, &outside, 105, 3_000);
    assert!(state(&manager).is_released(), "{:?}", state(&manager));
}

#[test]
fn an_unknown_entry_is_taken_over_and_an_unknown_answer_disturbs_nothing() {
    let outside = outside();
    outside.borrow_mut().call = Call::Stopped;
    let mut manager = manager(&outside);
    manager.answers(given(Answer::Approved), &at(50));
    manager.recover(pending(&outside), |_| Some(row()), &at(100));
    pass(&mut manager, &outside, 100, 1_000);
    assert_eq!(
        outside.borrow().call,
        Call::Allowed,
        "the answer was there before the row"
    );
}

#[test]
fn a_running_process_is_not_signalled_over_and_over() {
    let outside = outside();
    let mut manager = opened(&outside);
    outside.borrow_mut().call = Call::Elsewhere;
    manager.answers(given(Answer::Refused), &at(100));
    pass(&mut manager, &outside, 100, 20_000);
    assert_eq!(outside.borrow().wakes, 1);
}

#[test]
fn finished_holds_are_kept_for_a_while_and_then_forgotten() {
    let outside = outside();
    let mut manager = opened(&outside);
    outside.borrow_mut().call = Call::Gone;
    pass(&mut manager, &outside, 0, 5_000);
    assert_eq!(manager.rows().count(), 1);
    manager.tick(&at(2 * 3_600_000));
    assert_eq!(manager.rows().count(), 0);
    assert!(outside.borrow().journal.is_empty());
}

/// A random life: the process gets its turns at random, the answer comes at random, and the agent is killed at
/// random and started again with nothing but journal and kernel.
fn live(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let outside = outside();
    let mut agent = manager(&outside);
    agent.opened(row(), &at(0));
    let approved = random.random_bool(0.5);
    let answered_at = random.random_range(0..3_000);
    let mut ms = 0;
    while ms < 30_000 {
        ms += random.random_range(1..40);
        let now = at(ms);
        for _ in 0..random.random_range(0..4) {
            outside.borrow_mut().run(&now);
        }
        // Somebody's stray SIGCONT; none after the answer, which must not depend on it.
        if ms < answered_at && random.random_bool(0.05) {
            outside.borrow_mut().sigcont();
        }
        if random.random_bool(0.02) {
            agent = manager(&outside);
            agent.recover(pending(&outside), |_| Some(row()), &now);
        }
        if ms >= answered_at && random.random_bool(0.5) {
            let answer = if approved {
                Answer::Approved
            } else {
                Answer::Refused
            };
            agent.answers(given(answer), &now);
        }
        if random.random_bool(0.8) {
            let outcomes = std::mem::take(&mut outside.borrow_mut().outcomes);
            for reason in outcomes {
                agent.outcome(0xabc, reason, &now);
            }
        }
        agent.tick(&now);
        let call = outside.borrow().call;
        assert!(
            call != Call::Allowed || approved,
            "seed {seed}: allowed without an approval"
        );
    }
    let expected = if approved {
        Call::Allowed
    } else {
        Call::Denied
    };
    assert_eq!(
        outside.borrow().call,
        expected,
        "seed {seed}: the process was left behind"
    );
    assert!(state(&agent).is_over(), "seed {seed}: {:?}", state(&agent));
    assert_eq!(
        state(&agent).is_released(),
        approved,
        "seed {seed}: {:?}",
        state(&agent)
    );
}

#[test]
fn no_wake_up_is_lost_whatever_the_order_and_however_often_the_agent_dies() {
    let base: u64 = rand::random();
    println!("seed {base}");
    for offset in 0..1_000 {
        live(base.wrapping_add(offset));
    }
}
