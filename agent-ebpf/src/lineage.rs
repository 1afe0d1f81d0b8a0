//! Which programs a task comes from: kept from one fork and one execution to the next, and read from the kernel's own
//! structures where a task is seen for the first time.
//!
//! What is kept are identities. Which of them a policy means is looked up when an execution is judged, and only then.

use core::ffi::{c_long, c_void};

use aya_ebpf::helpers::generated::bpf_loop;
use stayhand_agent_ebpf::abi::{
    image::{ACTIVE_SLOT_MASK, LabelKey},
    task::{
        ANCESTORS_MAX, DESCENT_MAX, OWN_PROGRAMS, PROGRAMS_MAX, Program, Scratch, TaskState,
        lineage,
    },
};

use crate::{
    hold::PF_KTHREAD,
    maps::{LABELS, task_state},
    offsets::{
        Addr, OFF_BPRM_FILE, OFF_FILE_INODE, OFF_INODE_GENERATION, OFF_INODE_INO, OFF_INODE_SB,
        OFF_MM_EXE_FILE, OFF_SB_DEV, OFF_TASK_FLAGS, OFF_TASK_GROUP_LEADER, OFF_TASK_MM,
        OFF_TASK_REAL_PARENT, load, peek,
    },
    walk::may_be_labelled,
    who::{current_task, own_state},
};

#[repr(C)]
struct Context {
    state: *mut TaskState,
}

type Callback = unsafe extern "C" fn(u64, *mut c_void) -> c_long;

/// An execution begins: the file that it names, before a loader puts an interpreter in its place. The task still runs its
/// old program, so that this is the last moment to read where an unknown one comes from.
///
/// # Safety
/// `bprm` must be a typed pointer and the state live.
#[inline(never)]
pub unsafe fn begin(state: *mut TaskState, bprm: Addr) {
    know(state);
    // SAFETY: by contract.
    unsafe {
        take(state, bprm);
        (*state).growth.called = (*state).growth.taken;
    }
}

/// The task runs another program: that and the file which was named for it are its own, and whatever it ran before has
/// started them.
///
/// # Safety
/// As for [`begin`].
#[inline(never)]
pub unsafe fn executed(state: *mut TaskState, bprm: Addr) {
    know(state);
    // SAFETY: by contract.
    unsafe {
        take(state, bprm);
        (*state).lineage.programs[1] = (*state).growth.taken;
        insert(state);
        let growth = &raw mut (*state).growth;
        (*state).lineage.programs[0] = (*growth).called;
        if !equal(&raw const (*growth).called, &raw const (*growth).taken) {
            (*growth).taken = (*growth).called;
            insert(state);
        }
    }
}

/// A child inherits everything; of a new process (and not of a thread) the program that forks it is the parent's.
///
/// # Safety
/// Both states must be live, and the child must not run yet.
#[inline(never)]
pub unsafe fn forked(child: *mut TaskState, parent: *mut TaskState, thread: bool) {
    know(parent);
    // SAFETY: by contract.
    unsafe {
        copy(child, parent);
        if !thread {
            let programs = &raw mut (*child).lineage.programs;
            for own in 0..OWN_PROGRAMS {
                (*programs)[OWN_PROGRAMS + own] = (*programs)[own];
            }
            // Its own program is the parent's, and that is known unless the parent's own was not.
            (*child).lineage.flags &= !lineage::PARENT_UNKNOWN;
            if (*programs)[0].ino == 0 {
                (*child).lineage.flags |= lineage::PARENT_UNKNOWN;
            }
        }
    }
}

/// Copies as many ancestors as there are. Written out: a round of a kernel loop costs more than what it would copy.
///
/// # Safety
/// Both states must be live.
#[inline(always)]
unsafe fn copy(to: *mut TaskState, from: *mut TaskState) {
    // SAFETY: by contract; both have that many programs. Volatile, so that this becomes no call of `memcpy`.
    unsafe {
        let count = &raw const (*from).lineage.count;
        (*to).lineage.count = core::ptr::read_volatile(count);
        let flags = (
            &raw const (*from).lineage.flags,
            &raw mut (*to).lineage.flags,
        );
        let from = (&raw const (*from).lineage.programs).cast::<u64>();
        let to = (&raw mut (*to).lineage.programs).cast::<u64>();
        for index in 0..PROGRAMS_MAX {
            // Read in each round: the verifier is to see an end that it knows, not the lesser of two numbers.
            let ancestor = index.wrapping_sub(2 * OWN_PROGRAMS);
            if index >= 2 * OWN_PROGRAMS && ancestor as u32 >= core::ptr::read_volatile(count) {
                break;
            }
            for word in [2 * index, 2 * index + 1] {
                core::ptr::write_volatile(to.add(word), core::ptr::read_volatile(from.add(word)));
            }
        }
        // At last: other threads go by it.
        core::ptr::write_volatile(flags.1, core::ptr::read_volatile(flags.0));
    }
}

/// Whether two programs are one. By words, and without a branch for each: the verifier would follow all of them.
///
/// # Safety
/// Both must be live.
#[inline(always)]
unsafe fn equal(left: *const Program, right: *const Program) -> bool {
    let (left, right) = (left.cast::<u64>(), right.cast::<u64>());
    // SAFETY: live by contract, and of two words each.
    unsafe {
        (core::ptr::read_volatile(left) ^ core::ptr::read_volatile(right))
            | (core::ptr::read_volatile(left.add(1)) ^ core::ptr::read_volatile(right.add(1)))
            == 0
    }
}

/// Reads where the current task comes from, if that is not known: one that was there before the hooks, or whoever has
/// just logged in.
#[inline(always)]
fn know(state: *mut TaskState) {
    // SAFETY: the state is live.
    if unsafe { (*state).lineage.flags } & lineage::KNOWN == 0 {
        read_descent(state);
    }
}

/// From the current task up to the kernel. What has ended meanwhile is not known, and so are those above too many.
#[inline(never)]
fn read_descent(state: *mut TaskState) {
    let mut context = Context { state };
    let callback: Callback = one_process;
    // SAFETY: the context outlives the loop; the state is live, the task typed. Through memory: what is read back is a
    // number.
    unsafe {
        let task = current_task();
        // A thread comes from where its process does, which may have lost its parent since that was read.
        let leader = task_state(load::<Addr>(task, &OFF_TASK_GROUP_LEADER));
        if !leader.is_null() && (*leader).lineage.flags & lineage::KNOWN != 0 {
            copy(state, leader);
            return;
        }
        core::ptr::write_volatile((&raw mut (*state).growth.at).cast::<Addr>(), task);
        bpf_loop(
            DESCENT_MAX as u32,
            callback as *mut c_void,
            (&raw mut context).cast(),
            0,
        );
        if (*state).growth.at != 0 {
            (*state).lineage.flags |= lineage::MORE;
        }
        // At last: other threads go by it.
        (*state).lineage.flags |= lineage::KNOWN;
    }
}

/// One process; 1 ends the loop.
unsafe extern "C" fn one_process(index: u64, context: *mut c_void) -> c_long {
    // SAFETY: the context is `read_descent`'s; the state is live.
    unsafe {
        let state = (*context.cast::<Context>()).state;
        let Some(next) = read_process(state, index) else {
            let of_parent = if index < 2 {
                lineage::PARENT_UNKNOWN
            } else {
                0
            };
            (*state).lineage.flags |= lineage::MORE | of_parent;
            return 1;
        };
        (*state).growth.at = next;
        c_long::from(next == 0)
    }
}

/// Takes in what a process runs, and yields its parent; 0 above the last one. What ends meanwhile may leave an address
/// that is something else's by now: the helper checks it, and what is read there is no program's identity.
#[inline(always)]
unsafe fn read_process(state: *mut TaskState, index: u64) -> Option<u64> {
    // SAFETY: live by contract.
    unsafe {
        let at = (*state).growth.at;
        let flags: u32 = peek(at, &OFF_TASK_FLAGS)?;
        if flags & PF_KTHREAD == 0 {
            let file: u64 = peek(peek(at, &OFF_TASK_MM)?, &OFF_MM_EXE_FILE)?;
            let inode: u64 = peek(file, &OFF_FILE_INODE)?;
            let taken = &raw mut (*state).growth.taken;
            (*taken).ino = peek(inode, &OFF_INODE_INO)?;
            (*taken).igen = peek(inode, &OFF_INODE_GENERATION)?;
            (*taken).dev = peek(peek(inode, &OFF_INODE_SB)?, &OFF_SB_DEV)?;
            if index == 0 {
                (*state).lineage.programs[0] = *taken;
            } else if index == 1 {
                (*state).lineage.programs[OWN_PROGRAMS] = *taken;
            }
            insert(state);
        }
        let parent: u64 = peek(at, &OFF_TASK_REAL_PARENT)?;
        Some(if parent == at { 0 } else { parent })
    }
}

/// The file that is being executed.
#[inline(always)]
unsafe fn take(state: *mut TaskState, bprm: Addr) {
    // SAFETY: typed pointers walked from one by contract; a program that is executed has a file.
    unsafe {
        let file: Addr = load(bprm, &OFF_BPRM_FILE);
        let inode: Addr = load(file, &OFF_FILE_INODE);
        let sb: Addr = load(inode, &OFF_INODE_SB);
        (*state).growth.taken = Program {
            ino: load(inode, &OFF_INODE_INO),
            dev: load(sb, &OFF_SB_DEV),
            igen: load(inode, &OFF_INODE_GENERATION),
        };
    }
}

/// Makes `taken` one of the ancestors. Written out: see [`copy`].
#[inline(always)]
unsafe fn insert(state: *mut TaskState) {
    // SAFETY: the state is live by contract; indexes are checked.
    unsafe {
        let taken = &raw const (*state).growth.taken;
        let kept = &raw mut (*state).lineage;
        let ancestors = (&raw mut (*kept).programs)
            .cast::<Program>()
            .add(2 * OWN_PROGRAMS);
        // Through memory: how the search ended is one number to the verifier, not one way for each round.
        let found = &raw mut (*state).growth.found;
        core::ptr::write_volatile(found, u64::from((*taken).ino == 0));
        for index in 0..ANCESTORS_MAX {
            if index as u32 >= core::ptr::read_volatile(&raw const (*kept).count) {
                break;
            }
            if equal(ancestors.add(index), taken) {
                core::ptr::write_volatile(found, 1);
                break;
            }
        }
        if core::ptr::read_volatile(found) != 0 {
            return;
        }
        let count = core::ptr::read_volatile(&raw const (*kept).count);
        if count >= ANCESTORS_MAX as u32 {
            (*kept).flags |= lineage::MORE;
            return;
        }
        *ancestors.add(count as usize) = *taken;
        (*kept).count = count + 1;
    }
}

/// Looks up which of the programs the image at hand names.
///
/// # Safety
/// The scratch must be live.
#[inline(never)]
pub unsafe fn resolve(scratch: *mut Scratch) {
    let state = own_state();
    let mut context = Naming { scratch, state };
    let callback: Callback = one_program;
    // SAFETY: the context outlives the loop; the scratch is live by contract, the state checked for null.
    unsafe {
        (*scratch).descent.count = 0;
        (*scratch).descent.parents = 0;
        (*scratch).descent.flags = 0; // nobody looked
        if state.is_null() {
            return;
        }
        (*scratch).descent.flags = (*state).lineage.flags;
        bpf_loop(
            PROGRAMS_MAX as u32,
            callback as *mut c_void,
            (&raw mut context).cast(),
            0,
        );
    }
}

#[repr(C)]
struct Naming {
    scratch: *mut Scratch,
    state: *mut TaskState,
}

/// One program; 1 ends the loop.
unsafe extern "C" fn one_program(index: u64, context: *mut c_void) -> c_long {
    // SAFETY: the context is `resolve`'s; scratch and state are live and both indexes checked; the label is copied at
    // once.
    unsafe {
        let (scratch, state) = {
            let naming = context.cast::<Naming>();
            ((*naming).scratch, (*naming).state)
        };
        if index >= PROGRAMS_MAX as u64 {
            return 1;
        }
        let program = (&raw const (*state).lineage.programs)
            .cast::<Program>()
            .add(index as usize);
        let key = LabelKey {
            ino: (*program).ino,
            dev: (*program).dev,
            igen: (*program).igen,
            slot: ((*scratch).current.here.active & ACTIVE_SLOT_MASK) as u32,
            pad: 0,
        };
        if key.ino == 0 || !may_be_labelled(&key) {
            return 0;
        }
        let node = LABELS.get(key).map_or(0, |label| label.node);
        if node == 0 {
            return 0;
        }
        // Read where it is used: the verifier forgets a bound across a call.
        let descent = &raw mut (*scratch).descent;
        let count = core::ptr::read_volatile(&raw const (*descent).count);
        if count >= PROGRAMS_MAX as u32 {
            return 1;
        }
        *(&raw mut (*descent).nodes)
            .cast::<u32>()
            .add(count as usize) = node;
        (*descent).count = count + 1;
        if index < 2 * OWN_PROGRAMS as u64 {
            (*descent).parents = count + 1;
        }
    }
    0
}
