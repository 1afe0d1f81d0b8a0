//! What `/proc` adds to a record, as long as it is about the same process. Hostile bytes, never interpreted.

use std::{fs, os::unix::ffi::OsStrExt as _, path::Path};

use crate::{kernel::pidfd::PidFd, kernel::record::RawRecord, port::Pins};

/// Bytes of a link that are kept; `PATH_MAX` is the kernel's own bound.
const LINK_BYTES_MAX: usize = 4_096;

/// Paths that the record has no room for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Program that runs
    pub(super) exe: Option<Vec<u8>>,
    /// Working directory
    pub(super) cwd: Option<Vec<u8>>,
}

/// Looks at the process of a record. Nothing if it is gone, another one by now, or runs another program than when
/// it acted: a wrong path is worse than none.
pub(super) fn look(record: &RawRecord, pins: &dyn Pins) -> Seen {
    let Ok(Some(process)) = PidFd::open(record.tgid) else {
        return Seen::default();
    };
    let pinned = pins.pinned(&process).ok().flatten();
    if pinned.is_none_or(|pinned| pinned.process_cookie != record.process_cookie) {
        return Seen::default();
    }
    let directory = format!("/proc/{}", record.tgid);
    let link = |name: &str| {
        let target = fs::read_link(Path::new(&directory).join(name)).ok()?;
        let bytes = target.as_os_str().as_bytes();
        (bytes.len() <= LINK_BYTES_MAX).then(|| bytes.to_vec())
    };
    let seen = Seen {
        exe: link("exe"),
        cwd: link("cwd"),
    };
    // Read last: if the name is still the one that acted, no other program was started before.
    let comm = fs::read(format!("{directory}/task/{}/comm", record.tid)).unwrap_or_default();
    let same = comm.strip_suffix(b"\n").unwrap_or(&comm) == record.comm;
    if same && process.is_alive() {
        seen
    } else {
        Seen::default()
    }
}
