//! The reconciler while the disk takes nothing: what a boot would take back is never called enforced.

use std::{
    io,
    sync::{Arc, Mutex},
};

use stayhand_guardrail::{host::Phase, id::Generation};

use super::tests::{at, begin_on, state};
use crate::{
    floor::Floor,
    spool::{Disk, Spool},
    testing,
};

/// In memory, and full when a test says so.
#[derive(Clone, Debug, Default)]
struct Memory(Arc<Mutex<(Vec<u8>, bool)>>);

impl Memory {
    fn fill(&self, full: bool) {
        self.0.lock().unwrap().1 = full;
    }

    fn change(&self, change: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        if state.1 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        change(&mut state.0);
        Ok(())
    }
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).unwrap()
}

impl Disk for Memory {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().0.len() as u64)
    }
    fn resize(&self, size: u64) -> io::Result<()> {
        self.change(|bytes| bytes.resize(place(size), 0))
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.0.lock().unwrap();
        let found = state.0.get(place(offset)..place(offset) + out.len());
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(|bytes| {
            let end = place(offset) + data.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[place(offset)..end].copy_from_slice(data);
        })
    }
    fn sync(&self) -> io::Result<()> {
        self.change(|_| ())
    }
}

#[test]
fn a_revocation_that_the_journal_does_not_have_is_enforced_and_not_said_to_last() {
    let disk = Memory::default();
    let handle = disk.clone();
    let open = Box::new(move || Box::new(handle.clone()) as Box<dyn Disk>);
    let spool = Arc::new(Spool::open_on(open, testing::setup()).unwrap());
    let (rig, mut reconciler) = begin_on(spool, Floor::default());
    let kept = || rig.health.now().kept;
    reconciler.desired(state(1, &[7]), &at(0));
    assert_eq!(kept(), Generation(1));
    disk.fill(true);
    reconciler.desired(state(2, &[]), &at(1));
    assert!(rig.last().leases.is_empty(), "revoked at once");
    assert_eq!(rig.health.now().generation, Generation(2));
    assert_eq!(kept(), Generation(1), "a boot would bring the lease back");
    let said = rig.acks.borrow().clone().unwrap();
    assert!(matches!(said.phase, Phase::Rejected { .. }), "{said:?}");
    disk.fill(false);
    reconciler.look(1, &at(4));
    assert_eq!(kept(), Generation(2));
    let said = rig.acks.borrow().clone().unwrap();
    assert_eq!(
        (said.generation, said.phase),
        (Generation(2), Phase::Enforced)
    );
}
