//! The hold: stop the process inside the call and have the kernel issue the very same call again.
//!
//! Order on a new hold: quota, record reserved, signal, publish, re-read, return. On re-entry the agent's
//! answer decides; without one the call stops again until its deadline. Nothing here waits.

use aya_ebpf::{
    bindings::{BPF_ANY, BPF_NOEXIST},
    helpers::generated::{bpf_get_prandom_u32, bpf_send_signal_thread},
};
use stayhand_agent_ebpf::{
    abi::{
        code::{answer, class, counter, op, reason, verdict},
        hold::{HoldEntry, HoldKey},
        image::{ACTIVE_AGENT, entry_flag},
        pulse::agent_lives,
        record::record_flag,
        task::{Said, Scratch, TaskState, plan},
    },
    deadline,
};

use crate::{
    answers::{keep_for_restart, used_before},
    arch::Call,
    delay,
    digest::digest,
    maps::{ACTIVE, ANSWERS, HOLD_COUNTS, HOLDS, add32, count, settings, task_scratch},
    offsets::{Addr, OFF_TASK_FLAGS, OFF_TASK_PID, OFF_TASK_TGID, load},
};

/// What a hook returns for a held call, `-ERESTARTNOINTR` (include/linux/errno.h): issue it again, always.
pub const RESTART: i32 = -513;
/// `-EPERM`
pub const EPERM: i32 = -1;

const A: u32 = class::A as u32;
/// Sent to the thread, never to the process: a stop that is already pending process-wide (of another held thread,
/// or anybody's) is not queued twice and would not wake this thread, and without a signal the kernel hands
/// `-ERESTARTNOINTR` to the program instead of issuing the call again. The whole group stops all the same.
const SIGSTOP: u32 = 19;
const SIGCONT: u32 = 18;

// Task flags (include/linux/sched.h) of contexts that cannot be stopped and restarted.
const PF_EXITING: u32 = 0x4;
const PF_IO_WORKER: u32 = 0x10;
const PF_DUMPCORE: u32 = 0x200;
const PF_USER_WORKER: u32 = 0x4000;
/// The kernel itself, which runs no program.
pub const PF_KTHREAD: u32 = 0x0020_0000;
const PF_UNHOLDABLE: u32 = PF_EXITING | PF_IO_WORKER | PF_DUMPCORE | PF_USER_WORKER | PF_KTHREAD;

/// The current call, if it can be stopped because of these operations and issued again.
#[inline(always)]
pub fn restartable(task: Addr, ops: u32) -> Option<Call> {
    let call = Call::current(task);
    // SAFETY: typed current task.
    let flags: u32 = unsafe { load(task, &OFF_TASK_FLAGS) };
    (flags & PF_UNHOLDABLE == 0 && call.in_body() && call.restartable(ops)).then_some(call)
}

/// Plans what to do about an action that a rule holds; changes nothing but what an answer or a deadline ends.
#[inline(always)]
pub fn hold<const PROGRAM: bool>(scratch: *mut Scratch, task: Addr) {
    // SAFETY: the scratch is live.
    let ops = unsafe { (*scratch).current.attempt.ops };
    let (Some(call), Some(settings)) = (restartable(task, ops), settings()) else {
        return deny(scratch, reason::HOLD_UNAVAILABLE);
    };
    if !digest::<PROGRAM>(scratch, task, call) {
        return deny(scratch, reason::HOLD_UNAVAILABLE);
    }
    // SAFETY: the scratch is live.
    unsafe {
        (*scratch).current.call = call.identity(scratch, settings.secret);
        (*scratch).current.key = HoldKey {
            task_cookie: (*scratch).task_cookie,
            digest: (*scratch).current.digest,
        };
        if used_before(scratch) {
            return plan(scratch, plan::GO_ON, Said::default());
        }
        match HOLDS.get_ptr_mut(&(*scratch).current.key) {
            Some(entry) if (*entry).call == (*scratch).current.call => {
                reenter(scratch, entry, settings.restops_max);
            }
            Some(entry) => abandon(scratch, (*entry).hold),
            None if would_wait_for_nobody(scratch) => deny(scratch, reason::NO_AGENT),
            None => quota(scratch, settings.holds_per_subject),
        }
    }
}

/// Whether no agent is alive to take an answer, and a rule says that nothing waits for one.
#[inline(always)]
fn would_wait_for_nobody(scratch: *mut Scratch) -> bool {
    // SAFETY: the scratch is live.
    let (on_loss, now_ns) = unsafe {
        let current = &raw const (*scratch).current;
        ((*current).decision.on_loss, (*current).now.boot_ns)
    };
    let spoke_ns = ACTIVE.get(ACTIVE_AGENT).copied().unwrap_or_default();
    on_loss & u32::from(entry_flag::WAITS_WITHOUT_AGENT) == 0 && !agent_lives(spoke_ns, now_ns)
}

/// Identity of the current call; 0 if there is no secret to make it with.
#[inline(always)]
pub fn identity_of_call(scratch: *mut Scratch, task: Addr) -> u64 {
    settings().map_or(0, |settings| {
        Call::current(task).identity(scratch, settings.secret)
    })
}

/// Whether this call is to be issued again before anything is said about it, because what it names is not looked
/// up yet. Once per call: what is unknown after a look-up does not exist (file systems that keep no dentry for
/// that), and is judged.
#[inline(always)]
pub fn look_up_first(state: *mut TaskState, scratch: *mut Scratch, task: Addr) -> bool {
    let (Some(call), Some(settings)) = (restartable(task, op::CREATE), settings()) else {
        return false;
    };
    let call = call.identity(scratch, settings.secret);
    // SAFETY: the state is live.
    unsafe {
        if (*state).looked_up == call {
            return false;
        }
        (*state).looked_up = call;
    }
    again()
}

/// Whether this very call asks about a creation; it finds the file there now. For
/// [`end_question_about_creation`], when the attempt is known.
#[inline(always)]
pub fn asked_about_creation(state: *mut TaskState, task: Addr) -> bool {
    // SAFETY: the state is live. Volatile: see `plan`.
    unsafe {
        let given_up = &raw mut (*state).given_up;
        core::ptr::write_volatile(given_up, 0);
        if (*state).creation.task_cookie == 0 {
            return false;
        }
        // Who asked has one.
        let scratch = task_scratch(task);
        if !scratch.is_null()
            && let (Some(call), Some(settings)) = (restartable(task, op::CREATE), settings())
            && let Some(entry) = HOLDS.get_ptr(&(*state).creation)
            && (*entry).call == call.identity(scratch, settings.secret)
        {
            core::ptr::write_volatile(given_up, 1);
        }
        core::ptr::read_volatile(given_up) != 0
    }
}

/// Ends the question that [`asked_about_creation`] found, if it did: it is void, and the call is issued again to
/// ask what it is about now.
#[inline(always)]
pub fn end_question_about_creation(state: *mut TaskState, scratch: *mut Scratch) -> bool {
    // SAFETY: state and scratch are live. Volatile: see `plan`.
    unsafe {
        if core::ptr::read_volatile(&raw const (*scratch).current.given_up) == 0 {
            return false;
        }
        core::ptr::write_volatile(&raw mut (*scratch).current.given_up, 0);
        (*state).given_up = 0;
        (*scratch).current.key = (*state).creation;
        (*state).creation.task_cookie = 0;
        if let Some(entry) = HOLDS.get_ptr(&(*scratch).current.key) {
            abandon(scratch, (*entry).hold);
            return true;
        }
    }
    false
}

/// Writes the plan where [`crate::hooks`] carries it out.
#[inline(always)]
pub fn plan(scratch: *mut Scratch, plan: u32, said: Said) {
    // SAFETY: the scratch is live. Volatile: in memory all plans look alike to the verifier.
    unsafe {
        core::ptr::write_volatile(&raw mut (*scratch).current.plan, plan);
        core::ptr::write_volatile(&raw mut (*scratch).current.said.class, said.class);
        core::ptr::write_volatile(&raw mut (*scratch).current.said.verdict, said.verdict);
        core::ptr::write_volatile(&raw mut (*scratch).current.said.reason, said.reason);
        core::ptr::write_volatile(&raw mut (*scratch).current.said.flags, said.flags);
    }
}

/// The call came back: answered, late, or continued by somebody else.
#[inline(always)]
fn reenter(scratch: *mut Scratch, entry: *mut HoldEntry, restops_max: u32) {
    // SAFETY: live map value and scratch.
    unsafe {
        let hold = (*entry).hold;
        (*scratch).current.hold = hold;
        (*scratch).current.boot_deadline_ns = (*entry).boot_deadline_ns;
        let late = deadline::is_over((*entry).boot_deadline_ns, (*scratch).current.now.boot_ns);
        if let Some(answer) = answer_to(hold, scratch)
            && !(late && answer == answer::APPROVED)
        {
            return answered(scratch, answer);
        }
        if late {
            return over(scratch, reason::HOLD_TIMED_OUT);
        }
        if (*entry).restops >= restops_max {
            return over(scratch, reason::HOLD_RESTOPS);
        }
        delay::here(); // an answer may come now
        add32(&raw mut (*entry).restops, 1);
        count(counter::RESTOPPED);
        if bpf_send_signal_thread(SIGSTOP) != 0 {
            return over(scratch, reason::HOLD_UNAVAILABLE);
        }
        delay::here(); // a SIGCONT may take the stop back now
        keep_for_restart(scratch);
    }
    plan(scratch, plan::STOPPED, Said::default());
}

/// The hold under the current key is of a call that this task gave up: it is void, whatever its answer, and the
/// present call is issued again to ask for itself.
#[inline(always)]
fn abandon(scratch: *mut Scratch, hold: u64) {
    // SAFETY: the scratch is live.
    unsafe { (*scratch).current.hold = hold };
    let _agent_may_have_removed_it = close(scratch);
    plan(
        scratch,
        plan::AGAIN,
        Said {
            class: A,
            verdict: verdict::DENIED,
            reason: reason::HOLD_CANCELLED,
            flags: 0,
        },
    );
}

/// Has the kernel issue this call again without a stop in between: the stop signal marks the task as having a
/// signal to look at, the continue signal takes the stop away and leaves the mark (kernel/signal.c,
/// `prepare_signal`), and without any signal to deliver the kernel goes straight to the restart. False if the
/// task cannot be signalled.
#[inline(always)]
pub fn again() -> bool {
    // SAFETY: helpers without pointers. The second cannot fail where the first did not.
    unsafe { bpf_send_signal_thread(SIGSTOP) == 0 && bpf_send_signal_thread(SIGCONT) == 0 }
}

/// The agent's answer to this hold. The hold's id is compared before and after: the place of an answer that is
/// removed at this moment may be given to another one.
#[inline(always)]
fn answer_to(hold: u64, scratch: *mut Scratch) -> Option<u32> {
    // SAFETY: the scratch is live; a live map value, each member of which is written in one piece.
    unsafe {
        let found = ANSWERS.get_ptr(&(*scratch).current.key)?;
        let before = core::ptr::read_volatile(&raw const (*found).hold);
        let answer = core::ptr::read_volatile(&raw const (*found).answer);
        let after = core::ptr::read_volatile(&raw const (*found).hold);
        (before == hold && after == hold).then_some(answer)
    }
}

#[inline(always)]
fn answered(scratch: *mut Scratch, answer: u32) {
    match answer {
        // Only who really removes the hold has its answer: it may be withdrawn at this moment.
        answer::APPROVED if !close(scratch) => over(scratch, reason::HOLD_CANCELLED),
        answer::APPROVED => {
            let reason = reason::HOLD_APPROVED;
            plan(
                scratch,
                plan::APPROVED,
                Said {
                    class: A,
                    verdict: verdict::ALLOWED,
                    reason,
                    flags: 0,
                },
            );
        }
        answer::CANCELLED | answer::VOID => over(scratch, reason::HOLD_CANCELLED),
        _ => over(scratch, reason::HOLD_REFUSED),
    }
}

/// The hold ends without an approval; its outcome is class A.
#[inline(always)]
fn over(scratch: *mut Scratch, reason: u32) {
    let _agent_may_have_removed_it = close(scratch);
    plan(
        scratch,
        plan::DENY,
        Said {
            class: A,
            verdict: verdict::DENIED,
            reason,
            flags: 0,
        },
    );
}

/// Removes the hold and its answer; whoever really removes it, which it says, takes it off the subject's count.
#[inline(never)]
fn close(scratch: *mut Scratch) -> bool {
    // SAFETY: the scratch is live.
    let (key, auid) = unsafe { (&(*scratch).current.key, (*scratch).auid) };
    let removed = HOLDS.remove(key).is_ok();
    let _answer_may_be_missing = ANSWERS.remove(key);
    if removed && let Some(pending) = HOLD_COUNTS.get_ptr_mut(auid) {
        add32(pending, u32::MAX);
    }
    removed
}

/// Room for one more hold of this subject?
#[inline(always)]
fn quota(scratch: *mut Scratch, quota: u32) {
    // SAFETY: the scratch is live.
    let auid = unsafe { (*scratch).auid };
    if HOLD_COUNTS.get_ptr_mut(auid).is_none() {
        let _lost_race_is_fine = HOLD_COUNTS.insert(auid, 0, u64::from(BPF_NOEXIST));
    }
    let Some(pending) = HOLD_COUNTS.get_ptr_mut(auid) else {
        return deny(scratch, reason::HOLD_QUOTA);
    };
    // SAFETY: live map value, changed by others while we look: the bound is approximate by the number of CPUs.
    let pending = unsafe { core::ptr::read_volatile(pending) };
    // Less than none, from a count that was set while it was changed, is none: the agent counts again.
    if pending >= quota && pending.cast_signed() >= 0 {
        return deny(scratch, reason::HOLD_QUOTA);
    }
    plan(
        scratch,
        plan::OPEN,
        Said {
            class: A,
            ..Said::default()
        },
    );
}

/// Opens a new hold, its record being reserved: signal first, then publish. Says what the record is to say.
#[inline(always)]
pub fn open(scratch: *mut Scratch, task: Addr) {
    let unavailable = Said {
        class: A,
        verdict: verdict::DENIED,
        reason: reason::HOLD_UNAVAILABLE,
        flags: 0,
    };
    // SAFETY: live scratch, typed current task.
    unsafe {
        let current = &raw mut (*scratch).current;
        let now_ns = (*current).now.boot_ns;
        let deadline_ns = deadline::after(now_ns, (*current).decision.by.timeout_ms);
        if bpf_send_signal_thread(SIGSTOP) != 0 {
            return plan(scratch, plan::DENY, unavailable);
        }
        delay::here(); // a SIGCONT may take the stop back before anybody can know of the hold
        let hold = (u64::from(bpf_get_prandom_u32()) << 32) | u64::from(bpf_get_prandom_u32()) | 1;
        (*current).hold = hold;
        (*current).boot_deadline_ns = deadline_ns;
        let entry = HoldEntry {
            hold,
            boot_deadline_ns: deadline_ns,
            opened_boot_ns: now_ns,
            rule: (*current).decision.by.rule,
            process_cookie: (*scratch).process_cookie,
            call: (*current).call,
            tgid: load(task, &OFF_TASK_TGID),
            tid: load(task, &OFF_TASK_PID),
            auid: (*scratch).auid,
            session: (*scratch).session,
            restops: 0,
            op: (*current).attempt.ops,
        };
        let _checked_by_the_next_read = HOLDS.insert(&(*current).key, entry, u64::from(BPF_ANY));
        delay::here(); // answer and SIGCONT may come before the stop takes effect
        if HOLDS.get_ptr(&(*current).key).is_none() {
            count(counter::HOLD_UNPUBLISHED);
            let flags = record_flag::STOPPED_WITHOUT_HOLD;
            return plan(
                scratch,
                plan::DENY,
                Said {
                    flags,
                    ..unavailable
                },
            );
        }
        if let Some(pending) = HOLD_COUNTS.get_ptr_mut((*scratch).auid) {
            add32(pending, 1);
        }
        keep_for_restart(scratch);
    }
    let reason = reason::HOLD_PENDING;
    plan(
        scratch,
        plan::OPEN,
        Said {
            class: A,
            verdict: verdict::HELD,
            reason,
            flags: 0,
        },
    );
}

/// A denial of what never became a hold is class B.
#[inline(always)]
fn deny(scratch: *mut Scratch, reason: u32) {
    plan(
        scratch,
        plan::DENY,
        Said {
            class: class::B as u32,
            verdict: verdict::DENIED,
            reason,
            flags: 0,
        },
    );
}
