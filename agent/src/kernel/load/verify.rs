//! Has the kernel verify the programs, several at a time: each is a tenth of a second of one processor, and there are dozens of them
//! between a start and the first enforced action. Attaches nothing.

use std::{
    collections::{HashMap, VecDeque},
    panic::resume_unwind,
    sync::{Mutex, PoisonError},
    thread,
};

use aya::{
    Btf, Ebpf,
    programs::{Lsm, Program},
};

use super::{LoadError, LoadedProgram, error::not_loaded, loading::not_there};

/// Verifications at a time. One takes up to some tens of MiB of the kernel's memory, and a host that starts has other work as well.
const AT_ONCE_MAX: usize = 4;

/// A program that is not verified yet.
struct Waiting<'e> {
    /// Its place among the hooks
    place: usize,
    program: &'static str,
    hook: &'static str,
    lsm: &'e mut Lsm,
}

/// All of them, in the order of `hooks`; the error is that of the first one that the kernel refuses.
pub(super) fn all(
    ebpf: &mut Ebpf,
    hooks: &[(&'static str, &'static str)],
    btf: &Btf,
) -> Result<Vec<LoadedProgram>, LoadError> {
    let waiting = Mutex::new(waiting(ebpf, hooks)?);
    let at_once = thread::available_parallelism().map_or(1, usize::from);
    let work = || one_after_the_other(&waiting, btf);
    let mut verified = thread::scope(|scope| {
        // Where another cannot be started, those that are there take its part.
        let others: Vec<_> = (1..at_once.min(AT_ONCE_MAX))
            .map_while(|_| thread::Builder::new().spawn_scoped(scope, work).ok())
            .collect();
        let mut verified = work();
        // Joined one by one: what comes after a load relies on being the only thread.
        for other in others {
            verified.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        verified
    });
    verified.sort_by_key(|(place, _)| *place);
    verified.into_iter().map(|(_, result)| result).collect()
}

fn waiting<'e>(
    ebpf: &'e mut Ebpf,
    hooks: &[(&'static str, &'static str)],
) -> Result<VecDeque<Waiting<'e>>, LoadError> {
    let mut programs: HashMap<&str, &mut Program> = ebpf.programs_mut().collect();
    let found = hooks.iter().enumerate().map(|(place, (program, hook))| {
        let found = programs
            .remove(program)
            .and_then(|found| found.try_into().ok());
        let lsm = found.ok_or_else(|| not_there(program, hook))?;
        Ok(Waiting {
            place,
            program,
            hook,
            lsm,
        })
    });
    found.collect()
}

/// What one thread does. They take from the front, so that whatever stands before a refused program is verified, too.
fn one_after_the_other(
    waiting: &Mutex<VecDeque<Waiting<'_>>>,
    btf: &Btf,
) -> Vec<(usize, Result<LoadedProgram, LoadError>)> {
    let locked = || waiting.lock().unwrap_or_else(PoisonError::into_inner);
    let mut done = Vec::new();
    loop {
        let next = locked().pop_front();
        let Some(next) = next else { return done };
        let place = next.place;
        let result = one(next, btf);
        if result.is_err() {
            locked().clear();
        }
        done.push((place, result));
    }
}

fn one(next: Waiting<'_>, btf: &Btf) -> Result<LoadedProgram, LoadError> {
    let Waiting {
        program, hook, lsm, ..
    } = next;
    lsm.load(hook, btf)
        .map_err(|error| not_loaded(hook, "load", &error))?;
    let info = lsm.info().ok();
    Ok(LoadedProgram {
        program,
        hook,
        verified_instructions: info.and_then(|info| info.verified_instruction_count()),
    })
}
