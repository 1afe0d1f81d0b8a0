//! The hold: stop the process inside the call and have the kernel issue the very same call again.
//!
//! Order on a new hold: quota, record reserved, signal, publish, re-read, return. On re-entry the agent's
//! answer decides; without one the call stops again until its deadline. Nothing here waits.

use aya_ebpf::{
    bindings::BPF_ANY,
    helpers::generated::{bpf_get_prandom_u32, bpf_send_signal},
};
use stayhand_agent_ebpf::abi::{
    code::{answer, class, counter, reason, verdict},
    hold::{HoldEntry, HoldKey},
    record::record_flag,
    task::{ANSWERS_MAX, Answered, TaskState},
};

use crate::{
    arch::Call,
    digest::digest,
    emit::{Said, emit, reserve, submit},
    maps::{ANSWERS, HOLD_COUNTS, HOLDS, SETTINGS, add32, count},
    offsets::{Addr, OFF_TASK_FLAGS, OFF_TASK_PID, OFF_TASK_TGID, load},
};

/// What a hook returns for a held call, `-ERESTARTNOINTR` (include/linux/errno.h): issue it again, always.
pub const RESTART: i32 = -513;
/// `-EPERM`
pub const EPERM: i32 = -1;

const SIGSTOP: u32 = 19;

// Task flags (include/linux/sched.h) of contexts that cannot be stopped and restarted.
const PF_EXITING: u32 = 0x4;
const PF_IO_WORKER: u32 = 0x10;
const PF_DUMPCORE: u32 = 0x200;
const PF_USER_WORKER: u32 = 0x4000;
const PF_KTHREAD: u32 = 0x0020_0000;
const PF_UNHOLDABLE: u32 = PF_EXITING | PF_IO_WORKER | PF_DUMPCORE | PF_USER_WORKER | PF_KTHREAD;

/// What the caller of [`hold`] returns to the kernel.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// Approved: go on.
    GoOn,
    /// Stopped: restart.
    Stopped,
    /// Denied and recorded.
    Denied,
}

/// Holds the current action, or finds that it was answered.
#[inline(always)]
pub fn hold(state: *mut TaskState, task: Addr) -> Held {
    let call = Call::current(task);
    // SAFETY: typed current task.
    let flags: u32 = unsafe { load(task, &OFF_TASK_FLAGS) };
    let Some(settings) = SETTINGS.get(0) else { return deny(state, reason::HOLD_UNAVAILABLE) };
    if flags & PF_UNHOLDABLE != 0 || !call.in_body() || !call.restartable() || !digest(state, call) {
        return deny(state, reason::HOLD_UNAVAILABLE);
    }
    // SAFETY: the state is live.
    let key = unsafe {
        (*state).current.call = call.identity(settings.secret);
        HoldKey { task_cookie: (*state).task_cookie, digest: (*state).current.digest }
    };
    if used_before(state) {
        return Held::GoOn;
    }
    // SAFETY: entries are written by this task and its agent only; all fields are read at once.
    match unsafe { HOLDS.get_ptr_mut(key) } {
        Some(entry) => reenter(state, &key, entry, settings.restops_max),
        None => open(state, task, &key, settings.holds_per_subject),
    }
}

/// Looks for the answer among those of this call. A used answer seen again means a new call: start empty.
#[inline(always)]
fn used_before(state: *mut TaskState) -> bool {
    // SAFETY: the state is live; indices are below the array's length.
    unsafe {
        let (digest, call) = ((*state).current.digest, (*state).current.call);
        let answers = (&raw mut (*state).answered).cast::<Answered>();
        let mut fresh = false;
        for index in 0..ANSWERS_MAX {
            let answered = answers.add(index);
            if (*answered).hold == 0 {
                continue;
            }
            if (*answered).call != call {
                if (*answered).seen != 0 {
                    (*answered).hold = 0; // used up by an earlier call
                }
                continue;
            }
            if (*answered).digest[0] == digest[0] && (*answered).digest[1] == digest[1] {
                if (*answered).seen == 0 {
                    (*answered).seen = 1;
                    (*state).current.hold = (*answered).hold;
                    return true;
                }
                fresh = true;
            }
        }
        if fresh {
            forget(state);
        }
    }
    false
}

/// Drops every answer of the current call.
#[inline(always)]
unsafe fn forget(state: *mut TaskState) {
    // SAFETY: the state is live; indices are below the array's length.
    unsafe {
        let call = (*state).current.call;
        let answers = (&raw mut (*state).answered).cast::<Answered>();
        for index in 0..ANSWERS_MAX {
            if (*answers.add(index)).call == call {
                (*answers.add(index)).hold = 0;
            }
        }
    }
}

/// The attempt stops: what it used so far stays good for the restart of the same call.
#[inline(always)]
unsafe fn rewind(state: *mut TaskState) {
    // SAFETY: the state is live; indices are below the array's length.
    unsafe {
        let call = (*state).current.call;
        let answers = (&raw mut (*state).answered).cast::<Answered>();
        for index in 0..ANSWERS_MAX {
            if (*answers.add(index)).call == call {
                (*answers.add(index)).seen = 0;
            }
        }
    }
}

/// Keeps an approval for the rest of this call. Without a free place the action goes on but asks again later.
#[inline(always)]
unsafe fn keep(state: *mut TaskState, hold: u64) {
    // SAFETY: the state is live; indices are below the array's length.
    unsafe {
        let (digest, call) = ((*state).current.digest, (*state).current.call);
        let answers = (&raw mut (*state).answered).cast::<Answered>();
        for index in 0..ANSWERS_MAX {
            let answered = answers.add(index);
            if (*answered).hold == 0 {
                *answered = Answered { digest, hold, call, seen: 1, pad: 0 };
                return;
            }
        }
    }
}

/// The call came back: answered, late, or continued by somebody else.
#[inline(always)]
fn reenter(state: *mut TaskState, key: &HoldKey, entry: *mut HoldEntry, restops_max: u32) -> Held {
    // SAFETY: live map value and state.
    unsafe {
        let hold = (*entry).hold;
        (*state).current.hold = hold;
        (*state).current.boot_deadline_ns = (*entry).boot_deadline_ns;
        if let Some(found) = ANSWERS.get(key)
            && found.hold == hold
        {
            return answered(state, key, found.answer);
        }
        if (*state).current.now.boot_ns >= (*entry).boot_deadline_ns {
            close(state, key);
            return deny(state, reason::HOLD_TIMED_OUT);
        }
        if (*entry).restops >= restops_max {
            close(state, key);
            return deny(state, reason::HOLD_RESTOPS);
        }
        add32(&raw mut (*entry).restops, 1);
        count(counter::RESTOPPED);
        if bpf_send_signal(SIGSTOP) != 0 {
            close(state, key);
            return deny(state, reason::HOLD_UNAVAILABLE);
        }
        rewind(state);
    }
    Held::Stopped
}

#[inline(always)]
fn answered(state: *mut TaskState, key: &HoldKey, answer: u32) -> Held {
    // SAFETY: the state is live.
    let hold = unsafe { (*state).current.hold };
    match answer {
        answer::APPROVED => {
            close(state, key);
            let said = Said { class: class::A, verdict: verdict::ALLOWED, reason: reason::HOLD_APPROVED, flags: 0 };
            if !emit(state, said) {
                return deny(state, reason::NO_RECORD);
            }
            // SAFETY: the state is live.
            unsafe { keep(state, hold) };
            Held::GoOn
        }
        answer::CANCELLED | answer::VOID => {
            close(state, key);
            deny(state, reason::HOLD_CANCELLED)
        }
        _ => {
            close(state, key);
            deny(state, reason::HOLD_REFUSED)
        }
    }
}

/// Removes the hold and its answer; whoever really removes it takes it off the subject's count.
#[inline(always)]
fn close(state: *mut TaskState, key: &HoldKey) {
    let removed = HOLDS.remove(key).is_ok();
    let _answer_may_be_missing = ANSWERS.remove(key);
    // SAFETY: the state is live.
    let auid = unsafe { (*state).auid };
    if removed && let Some(pending) = HOLD_COUNTS.get_ptr_mut(auid) {
        add32(pending, u32::MAX);
    }
}

/// A new hold.
#[inline(always)]
fn open(state: *mut TaskState, task: Addr, key: &HoldKey, quota: u32) -> Held {
    // SAFETY: live state, typed current task, live map values.
    unsafe {
        let auid = (*state).auid;
        if HOLD_COUNTS.get_ptr_mut(auid).is_none() {
            let _lost_race_is_fine = HOLD_COUNTS.insert(auid, 0, 1);
        }
        let Some(pending) = HOLD_COUNTS.get_ptr_mut(auid) else { return deny(state, reason::HOLD_QUOTA) };
        if core::ptr::read_volatile(pending) >= quota {
            return deny(state, reason::HOLD_QUOTA);
        }
        let Some(room) = reserve(class::A) else { return deny(state, reason::NO_RECORD) };
        let current = &raw mut (*state).current;
        let now_ns = (*current).now.boot_ns;
        let deadline_ns = now_ns + u64::from((*current).decision.by.timeout_ms) * 1_000_000;
        let hold = (u64::from(bpf_get_prandom_u32()) << 32) | u64::from(bpf_get_prandom_u32()) | 1;
        (*current).hold = hold;
        (*current).boot_deadline_ns = deadline_ns;
        if bpf_send_signal(SIGSTOP) != 0 {
            (*current).hold = 0;
            let said = Said { class: class::A, verdict: verdict::DENIED, reason: reason::HOLD_UNAVAILABLE, flags: 0 };
            submit(state, room, said);
            return Held::Denied;
        }
        let entry = HoldEntry {
            hold,
            boot_deadline_ns: deadline_ns,
            opened_boot_ns: now_ns,
            rule: (*current).decision.by.rule,
            process_cookie: (*state).process_cookie,
            tgid: load(task, &OFF_TASK_TGID),
            tid: load(task, &OFF_TASK_PID),
            auid,
            session: (*state).session,
            restops: 0,
            op: (*current).attempt.ops,
        };
        let _checked_by_the_next_read = HOLDS.insert(key, entry, u64::from(BPF_ANY));
        if HOLDS.get_ptr(key).is_none() {
            count(counter::HOLD_UNPUBLISHED);
            let flags = record_flag::STOPPED_WITHOUT_HOLD;
            submit(state, room, Said { class: class::A, verdict: verdict::DENIED, reason: reason::HOLD_UNAVAILABLE, flags });
            return Held::Denied;
        }
        add32(pending, 1);
        submit(state, room, Said { class: class::A, verdict: verdict::HELD, reason: reason::HOLD_PENDING, flags: 0 });
        rewind(state);
    }
    Held::Stopped
}

/// Records a denial of class A or B and denies. Outcomes of holds are class A.
#[inline(always)]
fn deny(state: *mut TaskState, reason: u32) -> Held {
    let of_a_hold = matches!(
        reason,
        reason::HOLD_REFUSED | reason::HOLD_TIMED_OUT | reason::HOLD_CANCELLED | reason::HOLD_RESTOPS
    );
    let class = if of_a_hold { class::A } else { class::B };
    let _counted_if_lost = emit(state, Said { class, verdict: verdict::DENIED, reason, flags: 0 });
    Held::Denied
}
