//! Prints what a kernel object with hook tracing says (feature `trace`, docs/toolchain.md). Never in a shipped agent.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use aya::Ebpf;
use aya_log::EbpfLogger;
use log::Log;

/// A ring of 128 KiB holds what a busy shell does in that time.
const EVERY: Duration = Duration::from_millis(50);

/// Taken out of the object while it is loaded, printed once other threads may be started.
static LOGGER: Mutex<Option<EbpfLogger<&'static dyn Log>>> = Mutex::new(None);

/// Takes the hooks' log out of the object. An object without tracing is only noted.
pub(super) fn take(ebpf: &mut Ebpf) {
    match EbpfLogger::init(ebpf) {
        Ok(logger) => *LOGGER.lock().unwrap_or_else(PoisonError::into_inner) = Some(logger),
        Err(error) => tracing::warn!(%error, "the kernel object has no hook tracing"),
    }
}

/// Prints it at debug level for as long as the process lives. The labelling thread must be there already.
pub fn start() {
    let taken = LOGGER.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(mut logger) = taken else { return };
    let printing = std::thread::Builder::new().name("trace".into());
    let started = printing.spawn(move || {
        loop {
            logger.flush();
            std::thread::sleep(EVERY);
        }
    });
    if let Err(error) = started {
        tracing::warn!(%error, "hook tracing is not printed");
    }
}
