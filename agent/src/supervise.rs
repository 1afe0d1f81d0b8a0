//! The service manager: says when the agent is ready, that it is alive, and that it ends. Without one, says
//! nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sd_notify::NotifyState;

/// A thread that has not come round for so long is wedged. Labelling many objects on a slow disk takes seconds.
const WEDGED: Duration = Duration::from_mins(1);

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

/// Tells the service manager's watchdog that the agent is alive, for as long as every thread comes round.
pub async fn watch(threads: Vec<(&'static str, Arc<AtomicU64>)>) {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return;
    };
    let every = (limit / 3).max(Duration::from_millis(100));
    let mut rounds = vec![(0, Duration::ZERO); threads.len()];
    loop {
        tokio::time::sleep(every).await;
        if all_alive(&threads, &mut rounds, every) {
            tell(&[NotifyState::Watchdog]);
        }
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
            tracing::error!(thread = name, "wedged: the watchdog is no longer fed");
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
