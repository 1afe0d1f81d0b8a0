//! What to do about a hold, as data: every fact about it is one call, and effects are returned in order.
//!
//! Facts can come late, twice or never: an answer after the deadline, an outcome before the answer was noticed, a
//! process that ends at any point. The kernel's word overrules everything that was concluded without it.

use stayhand_agent_ebpf::abi::code::answer;
use stayhand_guardrail::{
    approval::Reviewer,
    hold::{Fact, HoldPhase, HoldState},
    host::{Answer, HoldAnswer},
    reason::Reason,
    time::UnixMs,
};

use super::row::{Others, Row, Stage};
use crate::clock::Now;

const NS_PER_MS: u64 = 1_000_000;
/// Between looks at a hold that waits: how long a fatal signal has to wait before it takes effect.
const WAITING_LOOK_NS: u64 = 100 * NS_PER_MS;
/// First look after a wake-up; doubles with every look.
const WAKE_LOOK_NS: u64 = 2 * NS_PER_MS;
/// Longest time between two wake-ups.
const WAKE_LOOK_MAX_NS: u64 = 500 * NS_PER_MS;
/// A process that has been runnable that long with an answer it never took has left the call for good. Generous: a
/// guest on a busy machine gives a runnable process no time for seconds.
const NEVER_RESTARTED_NS: u64 = 10_000 * NS_PER_MS;
/// One that sleeps does something else: on its way back into the call it is stopped or runnable.
const ELSEWHERE_NS: u64 = 2_000 * NS_PER_MS;
/// How long the kernel's own word is waited for after its entry is gone; the record is in the ring by then.
const OUTCOME_WAIT_NS: u64 = 1_000 * NS_PER_MS;

/// Looks after others that a hold stopped, when it is over,
const LINGER_LOOKS: u32 = 10;
/// and the time between two of them.
const LINGER_NS: u64 = 200 * NS_PER_MS;
/// Afterwards only programs that stop themselves are looked after: `sudo` may come to a stop that was reported to it
/// long ago whenever its turn comes on a busy machine. Until about two minutes after the end,
const WATCH_LOOKS: u32 = 120;
/// once in so long.
const WATCH_NS: u64 = 1_000 * NS_PER_MS;

/// The process as it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Gone, or its number belongs to somebody else
    Gone,
    /// Stopped by a signal: cannot take an answer
    Stopped,
    /// Runnable
    Running,
    /// Waits for something in another call
    Asleep,
    /// In a debugger's or a freezer's hands, or not readable: says nothing
    Unclear,
}

/// One look: at the process first and at the kernel's entry after that, so that a process that took its answer and
/// ended is never mistaken for one that ended without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// The process
    pub seen: Seen,
    /// Whether a signal waits that must take effect
    pub fatal: bool,
    /// Whether the kernel still has the entry
    pub entry: bool,
}

/// Something about one hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Somebody answered
    Answer(HoldAnswer),
    /// A look
    Look(Look),
    /// The kernel said what became of it
    Outcome(Reason),
    /// The hold is over; others may still stop because of it. Whether one is there that stops itself
    Linger(bool),
    /// What taking the entry out of the map came to: whether it was there
    Withdrew(bool),
}

/// What to do, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Put the row into the journal, then where the control plane and the person can see it
    Journal,
    /// Write this answer into the kernel's map
    WriteAnswer(u32),
    /// Continue the process, and ancestors that stopped because of it
    Wake,
    /// Continue ancestors that stopped because of it
    WakeAncestors,
    /// Continue ancestors that stopped themselves although nothing below them is stopped
    WakeLeftBehind,
    /// Withdraw the entry: answer `void`, remove it, remove the answer; then say [`Event::Withdrew`]
    Withdraw,
    /// Let go of the process
    Release,
}

/// Lets one fact happen.
#[must_use]
pub fn step(row: &mut Row, event: Event, now: &Now) -> Vec<Effect> {
    match (row.stage, event) {
        (Stage::Over, Event::Outcome(reason)) => correct(row, reason, now),
        (Stage::Over, Event::Linger(watched)) => linger(row, watched, now),
        (Stage::Over, _) => vec![],
        (_, Event::Outcome(reason)) => outcome(row, reason, now),
        (_, Event::Look(look)) => looked(row, look, now),
        (Stage::Waiting, Event::Answer(answer)) => answered(row, answer, now),
        (Stage::Withdrawn, Event::Withdrew(was_there)) => withdrew(row, was_there, now),
        // Answered already, or never withdrawn.
        (_, Event::Answer(_) | Event::Withdrew(_) | Event::Linger(_)) => vec![],
    }
}

/// The host was rebooted: the process is gone, and an approval that nobody took is void.
pub fn rebooted(row: &mut Row, now: &Now) {
    if row.stage != Stage::Over {
        apply(row, Fact::ProcessGone, now.unix);
        enter(row, Stage::Over, now);
    }
    row.others = Others::default();
    row.over_at_ns = Some(now.boot_ns);
}

fn answered(row: &mut Row, given: HoldAnswer, now: &Now) -> Vec<Effect> {
    if now.boot_ns >= row.boot_deadline_ns {
        return late(row, now);
    }
    let reason = given.reason;
    let (fact, code) = match (given.answer, given.by) {
        // Whether it counts, the control plane has asked: here every answer is whole.
        (Answer::Approved, Some(by)) => {
            let by = Reviewer::named(by);
            (Fact::Approve { by, reason }, answer::APPROVED)
        }
        // Nobody approves nothing: it goes on waiting.
        (Answer::Approved, None) => return vec![],
        (Answer::Refused, Some(by)) => (Fact::Refuse { by, reason }, answer::REFUSED),
        (Answer::Refused, None) => (Fact::Lapsed { why: reason }, answer::REFUSED),
    };
    // The kernel's clock is asked above; the wall clock, which may have been set, has no say.
    let at = UnixMs(now.unix.0.min(row.hold.expire_time.0.saturating_sub(1)));
    if !apply(row, fact, at) {
        return vec![];
    }
    enter(row, Stage::Answered { answer: code }, now);
    vec![Effect::Journal, Effect::WriteAnswer(code), Effect::Wake]
}

fn looked(row: &mut Row, look: Look, now: &Now) -> Vec<Effect> {
    row.looks = row.looks.saturating_add(1);
    schedule(row, now);
    if !look.entry {
        return missing(row, look, now);
    }
    row.missing_since_ns = None;
    if look.seen == Seen::Gone {
        apply(row, Fact::ProcessGone, now.unix);
        enter(row, Stage::Withdrawn, now);
        return vec![Effect::Withdraw];
    }
    match row.stage {
        Stage::Waiting if now.boot_ns >= row.boot_deadline_ns => late(row, now),
        Stage::Waiting if look.fatal => {
            apply(row, Fact::FatalSignal, now.unix);
            enter(
                row,
                Stage::Answered {
                    answer: answer::CANCELLED,
                },
                now,
            );
            vec![
                Effect::Journal,
                Effect::WriteAnswer(answer::CANCELLED),
                Effect::Wake,
            ]
        }
        // It could not be removed: again.
        Stage::Withdrawn => vec![Effect::Withdraw],
        Stage::Over => vec![],
        Stage::Waiting | Stage::Answered { .. } | Stage::Late => wake(row, look, now),
    }
}

/// The deadline passed: the kernel will say so when the call comes back.
fn late(row: &mut Row, now: &Now) -> Vec<Effect> {
    apply(row, Fact::Deadline, now.unix.max(row.hold.expire_time));
    enter(row, Stage::Late, now);
    vec![Effect::Journal, Effect::Wake]
}

/// Wakes until the kernel has taken the answer, if there is one. Only a stopped process is signalled: a running one
/// may have a handler for `SIGCONT`. A call that waits is stopped, too, but for a moment after a stray continue.
fn wake(row: &mut Row, look: Look, now: &Now) -> Vec<Effect> {
    if left_for_good(row, look, now) {
        enter(row, Stage::Withdrawn, now);
        return vec![Effect::Withdraw];
    }
    match (look.seen, row.stage) {
        // Again, because the last write may have failed.
        (Seen::Stopped, Stage::Answered { answer }) => {
            vec![Effect::WriteAnswer(answer), Effect::Wake]
        }
        (Seen::Stopped, Stage::Late) => vec![Effect::Wake],
        _ => vec![],
    }
}

/// Whether the process has gone on for so long that it will not come back to the call.
fn left_for_good(row: &mut Row, look: Look, now: &Now) -> bool {
    let enough_ns = match look.seen {
        Seen::Stopped => {
            row.running_since_ns = None;
            return false;
        }
        Seen::Gone | Seen::Unclear => return false,
        Seen::Running => NEVER_RESTARTED_NS,
        Seen::Asleep => ELSEWHERE_NS,
    };
    let since_ns = *row.running_since_ns.get_or_insert(now.boot_ns);
    now.boot_ns.saturating_sub(since_ns) >= enough_ns
}

/// The entry is gone: the kernel took it out and its record says why. Without the record for a while, what is
/// known must do.
fn missing(row: &mut Row, look: Look, now: &Now) -> Vec<Effect> {
    let since = *row.missing_since_ns.get_or_insert(now.boot_ns);
    if now.boot_ns.saturating_sub(since) < OUTCOME_WAIT_NS {
        return vec![];
    }
    let fact = match row.stage {
        Stage::Answered {
            answer: answer::APPROVED,
        } => Fact::Consumed,
        _ if now.boot_ns >= row.boot_deadline_ns => Fact::Deadline,
        _ if look.seen == Seen::Gone => Fact::ProcessGone,
        _ => Fact::NeverRestarted,
    };
    finish(row, Some(fact), now)
}

fn outcome(row: &mut Row, reason: Reason, now: &Now) -> Vec<Effect> {
    let fact = match reason {
        Reason::HoldApproved => Some(Fact::Consumed),
        Reason::HoldTimedOut => Some(Fact::Deadline),
        // Answered by the agent, which knows; anything else is an answer that overtook the journal.
        Reason::HoldRefused | Reason::HoldCancelled => match row.hold.state.phase() {
            HoldPhase::Approved | HoldPhase::Pending => Some(Fact::NeverRestarted),
            _ => None,
        },
        Reason::HoldRestops | Reason::NoRecord | Reason::HoldUnavailable => {
            Some(Fact::NeverRestarted)
        }
        _ => return vec![],
    };
    finish(row, fact, now)
}

/// The kernel's word came after the agent had concluded something else.
fn correct(row: &mut Row, reason: Reason, now: &Now) -> Vec<Effect> {
    let (before, decided) = (row.hold.state.phase(), row.hold.state.decided().cloned());
    match (reason, decided) {
        (Reason::HoldApproved, Some(decided)) if !row.hold.state.is_released() => {
            row.hold.state = HoldState::Approved {
                decided,
                released: Some(now.unix),
            };
        }
        (Reason::HoldTimedOut, _) if before != HoldPhase::TimedOut => {
            row.hold.state = HoldState::TimedOut { at: now.unix };
        }
        _ => return vec![],
    }
    vec![Effect::Journal]
}

fn withdrew(row: &mut Row, was_there: bool, now: &Now) -> Vec<Effect> {
    if was_there {
        return finish(row, Some(Fact::NeverRestarted), now);
    }
    // The kernel was quicker: its record says what it made of it, and `missing` ends the wait for that.
    row.missing_since_ns = Some(now.boot_ns);
    vec![Effect::Journal]
}

/// Nothing is left to do. A fact that the state has no step for changes nothing: it was known.
fn finish(row: &mut Row, fact: Option<Fact>, now: &Now) -> Vec<Effect> {
    if let Some(fact) = fact {
        let at = if fact == Fact::Deadline {
            now.unix.max(row.hold.expire_time)
        } else {
            now.unix
        };
        apply(row, fact, at);
    }
    enter(row, Stage::Over, now);
    row.over_at_ns = Some(now.boot_ns);
    // Ancestors may have stopped meanwhile, so they are woken once more at the end.
    vec![Effect::Journal, Effect::WakeAncestors, Effect::Release]
}

/// Others are continued for a while after the end: they can have seen the stop late.
fn linger(row: &mut Row, watched: bool, now: &Now) -> Vec<Effect> {
    row.looks = row.looks.saturating_add(1);
    schedule(row, now);
    if row.looks <= LINGER_LOOKS {
        return vec![Effect::WakeAncestors];
    }
    if !watched {
        row.look_at_ns = u64::MAX;
    }
    vec![Effect::WakeLeftBehind]
}

fn apply(row: &mut Row, fact: Fact, at: UnixMs) -> bool {
    match row.hold.clone().step(fact, at) {
        Ok(step) => {
            row.hold = step.hold;
            true
        }
        Err(_) => false,
    }
}

fn enter(row: &mut Row, stage: Stage, now: &Now) {
    row.stage = stage;
    row.looks = 0;
    row.running_since_ns = None;
    row.missing_since_ns = None;
    schedule(row, now);
}

fn schedule(row: &mut Row, now: &Now) {
    let wait = match row.stage {
        Stage::Waiting => WAITING_LOOK_NS.min(row.boot_deadline_ns.saturating_sub(now.boot_ns)),
        Stage::Answered { .. } | Stage::Late | Stage::Withdrawn => {
            (WAKE_LOOK_NS << row.looks.min(16)).min(WAKE_LOOK_MAX_NS)
        }
        Stage::Over if row.others == Others::default() => u64::MAX,
        Stage::Over if row.looks < LINGER_LOOKS => LINGER_NS,
        Stage::Over if row.looks < LINGER_LOOKS + WATCH_LOOKS => WATCH_NS,
        Stage::Over => u64::MAX,
    };
    row.look_at_ns = now.boot_ns.saturating_add(wait);
}
