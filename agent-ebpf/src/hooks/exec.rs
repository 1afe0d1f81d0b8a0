//! `bprm_check_security(struct linux_binprm *bprm)`: every loader pass of `execve`, the script and then its
//! interpreter, each judged as the execution of that object.

use aya_ebpf::{macros::lsm, programs::LsmContext};
use stayhand_agent_ebpf::{
    abi::{
        code::{hook, op, verdict},
        image::step_flag,
        task::{TaskState, compare},
    },
    args::met,
};

use crate::{
    arch::Call,
    digest::digested,
    emit::terminal,
    facts::{ask, recall},
    hold::RESTART,
    hooks::{act_on_program, judged},
    judge::{begin_at, judge, judge_with_arguments},
    lineage::{begin, resolve},
    offsets::{
        Addr, OFF_BPRM_FILE, OFF_BPRM_FILENAME, OFF_BPRM_INTERP, OFF_FILE_DENTRY, OFF_FILE_INODE,
        OFF_INODE_CTIME_NSEC, OFF_INODE_CTIME_SEC, OFF_INODE_SIZE, OFF_INODE_VERSION, load,
    },
    tokens::collect as collect_arguments,
    walk::{collect, identity_here},
};

#[lsm(hook = "bprm_check_security")]
pub fn exec_check(ctx: LsmContext) -> i32 {
    judged(&ctx, "bprm_check_security", |state, task| {
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
        let Some(subject) = begin_at(state, hook::EXEC, op::EXEC, dentry, inode) else {
            return 0;
        };
        let current = &raw mut (*state).current;
        (*current).object = identity_here(state, inode);
        (*current).content = [
            load::<u64>(inode, &OFF_INODE_SIZE),
            load::<u64>(inode, &OFF_INODE_CTIME_SEC),
            u64::from(load::<u32>(inode, &OFF_INODE_CTIME_NSEC)),
            load::<u64>(inode, &OFF_INODE_VERSION),
        ];
        let walked = collect(state, dentry, inode);
        // Written out twice: left to itself LLVM would choose between the callbacks.
        if (*current).conditions == 0 {
            judge(state, subject, walked);
        } else {
            collect_arguments(state, Call::current(task));
            collect_process(state, task);
            recall(state, inode);
            judge_with_arguments(state, subject, walked);
            if ask(state, task, op::EXEC) {
                return RESTART;
            }
        }
    }
    let verdict = act_on_program(state, task);
    // SAFETY: the state is live.
    unsafe {
        if verdict == 0 && (*state).current.decision.verdict == verdict::HELD {
            approve(state);
        }
    }
    verdict
}

/// The first pass of a call begins without arguments, and with the program that the caller named: another one may have read some and then failed. Each loader that
/// comes in puts its own interpreter in the name's place.
#[inline(always)]
fn first_pass(state: *mut TaskState, bprm: Addr) {
    // SAFETY: typed hook argument; the state is live.
    unsafe {
        if load::<u64>(bprm, &OFF_BPRM_INTERP) == load::<u64>(bprm, &OFF_BPRM_FILENAME) {
            (*state).args.judged.compare = compare::NOTHING;
            (*state).args.approved.compare = compare::NOTHING;
            begin(state, bprm);
        }
    }
}

/// What conditions ask of the process, as far as the image has such conditions: a terminal, and the programs that it
/// comes from.
#[inline(always)]
unsafe fn collect_process(state: *mut TaskState, task: Addr) {
    // SAFETY: live and typed by contract; nothing is read of what the terminal's address points to.
    unsafe {
        let asked = (*state).args.flags;
        if asked & u32::from(step_flag::TERMINAL) != 0 {
            (*state).args.terminal = match terminal(task as u64) {
                None => met::MAYBE,
                Some(0) => met::NO,
                Some(_) => met::YES,
            };
        }
        if asked & u32::from(step_flag::LINEAGE) != 0 {
            resolve(state);
        }
    }
}

/// Keeps what an approval was for. Of two approvals in one call, for a script and its interpreter, both have to be for
/// what the program gets: if they differ, nothing can be.
#[inline(always)]
unsafe fn approve(state: *mut TaskState) {
    // SAFETY: live by contract.
    unsafe {
        let approved = &raw mut (*state).args.approved;
        let now = digested(state);
        if (*approved).compare == compare::NOTHING {
            *approved = now;
        } else if (*approved).hash != now.hash {
            (*approved).hash = !(*approved).hash;
        }
    }
}
