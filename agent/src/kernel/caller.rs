//! Who runs this process, by the pins and the image that are in force. Only reads.

use std::io;

use stayhand_agent_ebpf::abi::image::{ACTIVE_IMAGE, ACTIVE_SLOT_MASK, Subject, SubjectKey};

use super::{
    pidfd::PidFd,
    pins::{Pins, PinsError},
    table::{Hash, Slots, Table, TableError},
    task_storage::{TaskPin, Tasks, TasksError},
};

/// Why it is not known.
#[derive(Debug, thiserror::Error)]
pub enum CallerError {
    /// The pins.
    #[error(transparent)]
    Pins(#[from] PinsError),
    /// The task storage.
    #[error(transparent)]
    Tasks(#[from] TasksError),
    /// The image.
    #[error(transparent)]
    Table(#[from] TableError),
    /// This process.
    #[error("cannot look at this process itself")]
    Itself(#[from] io::Error),
}

/// The login uid of this process, if a policy guards it. What a build with another layout pinned cannot be read:
/// then nobody is known to be guarded, because ending it must stay possible.
pub fn guarded(pins: &Pins) -> Result<Option<u32>, CallerError> {
    if pins.links()?.is_empty() {
        return Ok(None);
    }
    let tasks = match Tasks::open(pins) {
        Err(TasksError::OtherLayout) => return Ok(None),
        other => other?,
    };
    let own = PidFd::open(std::process::id())?.ok_or(io::Error::from(io::ErrorKind::NotFound))?;
    let Some(pin) = tasks.get(&own)?.filter(TaskPin::is_person) else {
        return Ok(None);
    };
    let active = Slots::open(pins, "ACTIVE")?;
    let subjects = Hash::open(pins, "SUBJECTS")?;
    Ok(is_guarded(&active, &subjects, pin.auid)?.then_some(pin.auid))
}

fn is_guarded(
    active: &dyn Table<u32, u64>,
    subjects: &dyn Table<SubjectKey, Subject>,
    auid: u32,
) -> Result<bool, TableError> {
    let Some(image) = active.get(&ACTIVE_IMAGE)?.filter(|image| *image != 0) else {
        return Ok(false);
    };
    let slot = u32::from(image & ACTIVE_SLOT_MASK != 0);
    let row = subjects.get(&SubjectKey { auid, slot })?;
    Ok(row.is_some_and(|row| row.sets != 0))
}

#[cfg(test)]
mod tests {
    use super::{super::table::fake::Fake, *};

    #[test]
    fn who_is_in_the_active_image_is_guarded_and_nobody_else() {
        let mut active = Fake::new("ACTIVE", 2);
        let mut subjects = Fake::new("SUBJECTS", 10);
        let row = |sets| Subject {
            sets,
            ..Subject::default()
        };
        for (auid, slot, sets) in [(1001, 1, 1), (1002, 0, 1), (1003, 1, 0)] {
            subjects
                .put(&SubjectKey { auid, slot }, &row(sets))
                .unwrap();
        }
        let guarded = |active: &Fake<u32, u64>| {
            [1001, 1002, 1003, 1004].map(|auid| is_guarded(active, &subjects, auid).unwrap())
        };
        assert_eq!(guarded(&active), [false; 4], "nothing was ever installed");
        active.put(&ACTIVE_IMAGE, &(7 << 1 | 1)).unwrap();
        assert_eq!(guarded(&active), [true, false, false, false]);
    }

    #[test]
    fn where_nothing_is_pinned_nobody_is_guarded() {
        let place = tempfile::tempdir().unwrap();
        assert_eq!(guarded(&Pins::new(place.path())).unwrap(), None);
    }
}
