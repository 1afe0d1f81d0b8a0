//! Says to the service manager when the agent is ready, that it is alive, and that it ends, and to the kernel that it is alive.
//! Without a service manager, says nothing to it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sd_notify::NotifyState;
use stayhand_agent_ebpf::abi::pulse::AGENT_SPEAKS_MS;

/// A thread that has not come round for so long is wedged. Labelling many objects on a slow disk takes seconds.
const WEDGED: Duration = Duration::from_mins(1);

/// The kernel takes an agent for dead that it has not heard of for some of these.
const SPEAKS: Duration = Duration::from_millis(AGENT_SPEAKS_MS);

/// Says that everything is attached and enforced.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Says that the agent ends.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager was not told");
    }
}

/// Tells the kernel, and the service manager's watchdog, that the agent is alive, for as long as every thread comes round.
pub async fn watch(
    threads: Vec<(&'static str, Arc<AtomicU64>)>,
    speak: impl Fn() + Send + 'static,
) {
    let limit = sd_notify::watchdog_enabled().unwrap_or(Duration::MAX);
    let every = (limit / 3).clamp(Duration::from_millis(100), SPEAKS);
    let mut rounds = vec![(0, Duration::ZERO); threads.len()];
    loop {
        if all_alive(&threads, &mut rounds, every) {
            speak();
            tell(&[NotifyState::Watchdog]);
        }
        tokio::time::sleep(every).await;
    }
}

fn all_alive(
    threads: &[(&'static str, Arc<AtomicU64>)],
    rounds: &mut [(u64, Duration)],
    every: Duration,
) -> bool {
    let mut alive = true;
    for ((name, counter), (last, still)) in threads.iter().zip(rounds) {
        let now = counter.load(Ordering::Relaxed);
        *still = if now == *last {
            *still + every
        } else {
            Duration::ZERO
        };
        *last = now;
        if *still > WEDGED {
            if still.saturating_sub(every) <= WEDGED {
                tracing::error!(
                    thread = name,
                    "wedged: kernel and watchdog are no longer told that the agent is alive"
                );
            }
            alive = false;
        }
    }
    alive
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wedged_thread_starves_the_watchdog() {
        let (well, ill) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(5)));
        let threads = [("well", Arc::clone(&well)), ("ill", ill)];
        let mut rounds = vec![(0, Duration::ZERO); 2];
        let every = Duration::from_secs(10);
        let fed: Vec<bool> = (0..9)
            .map(|_| {
                well.fetch_add(1, Ordering::Relaxed);
                all_alive(&threads, &mut rounds, every)
            })
            .collect();
        assert_eq!(
            fed,
            [true, true, true, true, true, true, true, false, false]
        );
    }
}
