//! What wakes the reconciler, and the thread that watches mounts for it.

use std::{
    fs::File,
    io::{Read as _, Seek as _},
    os::fd::AsFd as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::Sender,
    },
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use stayhand_guardrail::host::HostState;

use crate::clock::Now;

/// A reason to look. Missing one costs time, never correctness: every look is at everything.
#[derive(Debug)]
pub enum Wake {
    /// The control plane sent a state, at that moment
    State(Box<HostState>, Now),
    /// Something was mounted or unmounted; to be taken back before looking, so that what changes later wakes again
    Mounts(Arc<AtomicBool>),
    /// End the thread
    Stop,
}

/// Watches `/proc/self/mountinfo`, which is ready with an exceptional condition after every change.
pub fn watch_mounts(wakes: Sender<Wake>) -> std::io::Result<()> {
    let mut file = File::open("/proc/self/mountinfo")?;
    let told = Arc::new(AtomicBool::new(false));
    let watch = move || {
        loop {
            // Reading it takes the condition back.
            let mut text = Vec::new();
            let read = file.rewind().and_then(|()| file.read_to_end(&mut text));
            let mut polled = [PollFd::new(file.as_fd(), PollFlags::POLLPRI)];
            let waited = poll(&mut polled, PollTimeout::NONE);
            if read.is_err() || !matches!(waited, Ok(_) | Err(Errno::EINTR)) {
                tracing::error!("mounts are not watched any more; they are looked at now and then");
                return;
            }
            // One wake-up for a storm of mounts.
            let waiting = told.swap(true, Ordering::SeqCst);
            if !waiting && wakes.send(Wake::Mounts(Arc::clone(&told))).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new()
        .name("mounts".into())
        .spawn(watch)
        .map(drop)
}
