//! `bprm_check_security(struct linux_binprm *bprm)`: every loader pass of `execve`, the script and then its
//! interpreter, each judged as the execution of that object.

use aya_ebpf::{macros::lsm, programs::LsmContext};
use stayhand_agent_ebpf::{
    abi::{
        code::{hook, op, verdict},
        image::step_flag,
        task::{Scratch, TaskState, compare},
    },
    args::met,
};

use crate::{
    arch::Call,
    digest::digested,
    emit::terminal,
    facts::{ask, recall},
    hold::RESTART,
    hooks::{act_on_program, judged_of},
    judge::{Begun, begin_at, judge, judge_with_arguments},
    lineage::{begin, resolve},
    offsets::{
        Addr, OFF_BPRM_FILE, OFF_BPRM_FILENAME, OFF_BPRM_INTERP, OFF_FILE_DENTRY, OFF_FILE_INODE,
        OFF_INODE_CTIME_NSEC, OFF_INODE_CTIME_SEC, OFF_INODE_SIZE, OFF_INODE_VERSION, load,
    },
    tokens::collect as collect_arguments,
    walk::{collect, here, identity_here},
    who::{Who, current_task, serving, user, who},
};

#[lsm(hook = "bprm_check_security")]
pub fn exec_check(ctx: LsmContext) -> i32 {
    let task = current_task();
    let mut found = who(task);
    if let Who::Unguarded = found {
        // Whoever takes a service's user on is pinned there: this is for what ran as it before an image named it.
        found = match user(task) {
            Some(uid) => serving(task, uid),
            None => Who::Failed,
        };
    }
    judged_of(&ctx, "bprm_check_security", task, found, |state, task| {
        execute(state, task, ctx.arg(0))
    })
}

#[inline(always)]
fn execute(state: *mut TaskState, task: Addr, bprm: Addr) -> i32 {
    first_pass(state, bprm);
    // SAFETY: hook argument and pointers walked from it, typed by the verifier; a program being checked has a file.
    unsafe {
        let file: Addr = load(bprm, &OFF_BPRM_FILE);
        let inode: Addr = load(file, &OFF_FILE_INODE);
        let dentry: Addr = load(file, &OFF_FILE_DENTRY);
        let Begun { scratch, subject } = match begin_at(state, hook::EXEC, op::EXEC, dentry, inode)
        {
            Ok(begun) => begun,
            Err(verdict) => return verdict,
        };
        // Before anything is read that has to be compared: this cannot be forgotten.
        (*state).compared = 1;
        let current = &raw mut (*scratch).current;
        (*current).object = identity_here(here(scratch), inode);
        (*current).content = [
            load::<u64>(inode, &OFF_INODE_SIZE),
            load::<u64>(inode, &OFF_INODE_CTIME_SEC),
            u64::from(load::<u32>(inode, &OFF_INODE_CTIME_NSEC)),
            load::<u64>(inode, &OFF_INODE_VERSION),
        ];
        let walked = collect(scratch, dentry, inode);
        // Written out twice: left to itself LLVM would choose between the callbacks.
        if (*current).conditions == 0 {
            judge(scratch, subject, walked);
        } else {
            collect_arguments(scratch, Call::current(task));
            collect_process(scratch, task);
            recall(scratch, inode);
            judge_with_arguments(scratch, subject, walked);
            if ask(scratch, task, op::EXEC) {
                return RESTART;
            }
        }
        let verdict = act_on_program(scratch, task);
        if verdict == 0 && (*scratch).current.decision.verdict == verdict::HELD {
            approve(scratch);
        }
        verdict
    }
}

/// The first pass of a call begins without arguments, and with the program that the caller named: another one may have
/// read some and then failed. Each loader that comes in puts its own interpreter in the name's place.
#[inline(always)]
fn first_pass(state: *mut TaskState, bprm: Addr) {
    // SAFETY: typed hook argument; the state is live.
    unsafe {
        if load::<u64>(bprm, &OFF_BPRM_INTERP) == load::<u64>(bprm, &OFF_BPRM_FILENAME) {
            (*state).compared = 0;
            begin(state, bprm);
        }
    }
}

/// What conditions ask of the process, as far as the image has such conditions: a terminal, and the programs that it
/// comes from.
#[inline(always)]
unsafe fn collect_process(scratch: *mut Scratch, task: Addr) {
    // SAFETY: live and typed by contract; nothing is read of what the terminal's address points to.
    unsafe {
        let asked = (*scratch).args.flags;
        if asked & u32::from(step_flag::TERMINAL) != 0 {
            (*scratch).args.terminal = match terminal(task as u64) {
                None => met::MAYBE,
                Some(0) => met::NO,
                Some(_) => met::YES,
            };
        }
        if asked & u32::from(step_flag::LINEAGE) != 0 {
            resolve(scratch);
        }
    }
}

/// Keeps what an approval was for. Of two approvals in one call, for a script and its interpreter, both have to be for
/// what the program gets: if they differ, nothing can be.
#[inline(always)]
unsafe fn approve(scratch: *mut Scratch) {
    // SAFETY: live by contract.
    unsafe {
        let approved = &raw mut (*scratch).args.approved;
        let now = digested(scratch);
        if (*approved).compare == compare::NOTHING {
            *approved = now;
        } else if (*approved).hash != now.hash {
            (*approved).hash = !(*approved).hash;
        }
    }
}
