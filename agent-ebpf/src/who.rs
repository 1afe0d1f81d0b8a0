//! Who acts: the pin in task storage, set at first sight and inherited at fork. A service, for which nobody logs in, is pinned
//! where it takes its user on, and where it executes something as that user.
//!
//! Unguarded tasks leave here after a few loads. Never trusts the login uid of a task that is pinned.

use aya_ebpf::helpers::generated::{
    bpf_get_current_task_btf, bpf_get_prandom_u32, bpf_ktime_get_boot_ns,
};
use stayhand_agent_ebpf::abi::{
    UNSET,
    code::counter,
    image::{ACTIVE_IMAGE, ACTIVE_SLOT_MASK, SERVICE_ROW, SubjectKey},
    task::{Scratch, TaskState, compare, pin},
};

use crate::{
    maps::{ACTIVE, SUBJECTS, count, task_scratch_or_new, task_state, task_state_or_new},
    offsets::{
        Addr, OFF_CRED_UID, OFF_TASK_CRED, OFF_TASK_GROUP_LEADER, OFF_TASK_LOGINUID,
        OFF_TASK_SESSIONID, PROGRAM_GENERATION, load, peek,
    },
};

/// Outcome of asking who acts.
pub enum Who {
    /// Neither a person nor a service: nothing is judged.
    Unguarded,
    /// The agent's labelling thread.
    Agent,
    /// Pinned; the state may be used until the hook returns.
    Pinned(*mut TaskState),
    /// A person, but the pin could not be stored: refuse.
    Failed,
}

/// The current task, typed.
#[inline(always)]
pub fn current_task() -> Addr {
    // SAFETY: always succeeds in a tracing-capable program.
    unsafe { bpf_get_current_task_btf() as Addr }
}

/// Who the current task is; pins it at first sight.
#[inline(always)]
pub fn who(task: Addr) -> Who {
    // SAFETY: the current task, typed.
    let state = unsafe { task_state(task) };
    if state.is_null() {
        return first_sight(task);
    }
    // SAFETY: checked for null; the value lives as long as the task.
    known(state, unsafe { (*state).pin })
}

/// Whose state it is. A state without a pin is none of ours: only the task itself and `task_alloc` make states, and
/// both pin at once.
#[inline(always)]
fn known(state: *mut TaskState, kind: u32) -> Who {
    match kind {
        pin::LOGIN => Who::Pinned(state),
        pin::AGENT => Who::Agent,
        _ => Who::Failed,
    }
}

#[inline(always)]
fn first_sight(task: Addr) -> Who {
    // SAFETY: typed task pointer.
    let auid: u32 = unsafe { load(task, &OFF_TASK_LOGINUID) };
    // SAFETY: typed task pointer; a live task always has a leader.
    let leader: Addr = unsafe { load(task, &OFF_TASK_GROUP_LEADER) };
    if leader != task {
        return thread_of(task, leader, auid);
    }
    if auid == UNSET {
        return Who::Unguarded;
    }
    // SAFETY: typed task pointer.
    pin_new(task, auid, unsafe { load(task, &OFF_TASK_SESSIONID) }, 0)
}

/// A thread that was there before the agent takes over its leader's pin, which the scan set.
#[inline(always)]
fn thread_of(task: Addr, leader: Addr, auid: u32) -> Who {
    // SAFETY: typed task pointer.
    let state = unsafe { task_state(leader) };
    if state.is_null() {
        if auid == UNSET {
            return Who::Unguarded;
        }
        // SAFETY: typed task pointer.
        return pin_new(task, auid, unsafe { load(task, &OFF_TASK_SESSIONID) }, 0);
    }
    // SAFETY: checked for null; the leader outlives its threads' hooks.
    let (kind, pinned, session, process) = unsafe {
        (
            (*state).pin,
            (*state).auid,
            (*state).session,
            (*state).process_cookie,
        )
    };
    match kind {
        pin::LOGIN => pin_new(task, pinned, session, process),
        pin::AGENT => Who::Agent,
        _ if auid == UNSET => Who::Failed,
        // The leader is pinning itself at this moment.
        // SAFETY: typed task pointer.
        _ => pin_new(task, auid, unsafe { load(task, &OFF_TASK_SESSIONID) }, 0),
    }
}

/// Who a task is for which nobody logged in and whose user is `uid`, or is about to be: pinned from here on, if an image
/// names that user as a service.
#[inline(always)]
pub fn serving(task: Addr, uid: u32) -> Who {
    let active = ACTIVE.get(ACTIVE_IMAGE).copied().unwrap_or(0);
    if active == 0 {
        return Who::Unguarded;
    }
    let key = SubjectKey {
        auid: uid,
        slot: SERVICE_ROW | (active & ACTIVE_SLOT_MASK) as u32,
    };
    // SAFETY: only whether there is such a row counts.
    if unsafe { SUBJECTS.get(key) }.is_none() {
        return Who::Unguarded;
    }
    pin_new(task, uid, UNSET, process_of(task))
}

/// What the threads of the task's process have in common; 0 where nobody has made it yet.
#[inline(always)]
fn process_of(task: Addr) -> u64 {
    // SAFETY: typed task pointer; a live task always has a leader.
    let leader: Addr = unsafe { load(task, &OFF_TASK_GROUP_LEADER) };
    // SAFETY: typed task pointer.
    let state = unsafe { task_state(leader) };
    if state.is_null() {
        return 0;
    }
    // SAFETY: checked for null; the leader outlives its threads' hooks.
    unsafe { (*state).process_cookie }
}

/// The user as whom the current task runs, whatever it does for the moment as another one; none if it cannot be read.
#[inline(always)]
pub fn user(task: Addr) -> Option<u32> {
    // SAFETY: the helper checks the addresses.
    unsafe {
        let credentials = peek::<u64>(task as u64, &OFF_TASK_CRED)?;
        peek::<u32>(credentials, &OFF_CRED_UID)
    }
}

#[inline(always)]
fn pin_new(task: Addr, auid: u32, session: u32, process_cookie: u64) -> Who {
    let state = task_state_or_new(task);
    if state.is_null() {
        count(counter::STORAGE_FAILED);
        return Who::Failed;
    }
    // SAFETY: checked for null.
    let kind = unsafe { (*state).pin };
    if kind != pin::NONE {
        // It was there, and the look-up before failed: kernels before 6.2 give none while another task on this
        // processor is inside the storage. What is pinned stays.
        return known(state, kind);
    }
    let cookie = cookie();
    // SAFETY: checked for null; only this task writes its own state.
    unsafe {
        (*state).auid = auid;
        (*state).session = session;
        (*state).task_cookie = cookie;
        (*state).process_cookie = if process_cookie == 0 {
            cookie
        } else {
            process_cookie
        };
        (*state).pin = pin::LOGIN;
    }
    Who::Pinned(state)
}

/// Unique on this boot: nanoseconds of the boot clock in the low bits, randomness against two at once above.
#[inline(always)]
pub fn cookie() -> u64 {
    // SAFETY: helpers without arguments.
    unsafe { bpf_ktime_get_boot_ns() ^ (u64::from(bpf_get_prandom_u32()) << 40) }
}

/// False if a newer program that runs before this one has just judged and allowed the same attempt.
#[inline(always)]
pub fn my_turn(state: *mut TaskState) -> bool {
    // SAFETY: live state of the current task.
    unsafe {
        if (*state).judged_by > PROGRAM_GENERATION.load() {
            (*state).judged_by = 0;
            return false;
        }
        (*state).judged_by = 0;
    }
    true
}

/// Passes on what a hook returns. Where it let the attempt go on, that is noted, so that an older program behind this one
/// stands back.
#[inline(always)]
pub fn concluded(state: *mut TaskState, verdict: i32) -> i32 {
    if verdict != 0 {
        return verdict;
    }
    // SAFETY: live state of the current task.
    unsafe { (*state).judged_by = PROGRAM_GENERATION.load() };
    0
}

/// State of the current task, which is pinned, where only its scratch is at hand. Kernels before 6.2 may give none at
/// this moment, see [`pin_new`].
#[inline(always)]
pub fn own_state() -> *mut TaskState {
    // SAFETY: the current task, typed.
    unsafe { task_state(current_task()) }
}

/// What the current task, which is pinned, is judged with: made where something of it is judged for the first time. Null
/// if that failed, which is counted: whoever asks refuses.
#[inline(never)]
pub fn scratch_of(state: *mut TaskState) -> *mut Scratch {
    let scratch = task_scratch_or_new(current_task());
    if scratch.is_null() {
        count(counter::STORAGE_FAILED);
        return scratch;
    }
    // SAFETY: checked for null; both are the current task's, and nobody else writes them while it is in a hook.
    unsafe {
        (*scratch).auid = (*state).auid;
        (*scratch).session = (*state).session;
        (*scratch).task_cookie = (*state).task_cookie;
        (*scratch).process_cookie = (*state).process_cookie;
        (*scratch).current.given_up = (*state).given_up;
        if (*state).compared == 0 {
            // What an earlier execution had to be compared with.
            (*scratch).args.judged.compare = compare::NOTHING;
            (*scratch).args.approved.compare = compare::NOTHING;
        }
    }
    scratch
}
