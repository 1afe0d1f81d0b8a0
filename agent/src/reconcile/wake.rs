//! What wakes the reconciler, and the thread that watches mounts for it.

use std::{
    collections::VecDeque,
    fs::File,
    io::{Read as _, Seek as _},
    os::fd::AsFd as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender},
    },
    time::Duration,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use stayhand_guardrail::host::HostState;
use stayhand_proto::message::Withdrawal;

use crate::clock::Now;

/// A reason to look. Missing one costs time, never correctness: every look is at everything.
#[derive(Debug)]
pub enum Wake {
    /// The control plane sent a state, at that moment
    State(Box<HostState>, Now),
    /// The control plane took something back, at that moment: before any state that waits
    Withdrawal(Withdrawal, Now),
    /// Something was mounted or unmounted; to be taken back before looking, so that what changes later wakes again
    Mounts(Arc<AtomicBool>),
    /// End the thread
    Stop,
}

/// Wakes in the order in which they count: what is taken back first, and of several states that wait only the newest.
#[derive(Debug, Default)]
pub struct Queue(VecDeque<Wake>);

impl Queue {
    /// The next one, if there is one in that time.
    pub fn next(
        &mut self,
        wakes: &Receiver<Wake>,
        wait: Duration,
    ) -> Result<Wake, RecvTimeoutError> {
        if self.0.is_empty() {
            self.put(wakes.recv_timeout(wait)?);
        }
        while let Ok(wake) = wakes.try_recv() {
            self.put(wake);
        }
        self.0.pop_front().ok_or(RecvTimeoutError::Timeout)
    }

    fn put(&mut self, wake: Wake) {
        match wake {
            Wake::Withdrawal(..) => {
                let before = |one: &&Wake| matches!(one, Wake::Withdrawal(..));
                let at = self.0.iter().take_while(before).count();
                self.0.insert(at, wake);
            }
            Wake::State(..) => {
                // The newest word stands for all before it.
                self.0.retain(|one| !matches!(one, Wake::State(..)));
                self.0.push_back(wake);
            }
            Wake::Mounts(_) | Wake::Stop => self.0.push_back(wake),
        }
    }
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
