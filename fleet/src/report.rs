//! What was measured at one size, as it is printed for programs.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One size.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Hosts
    pub hosts: u32,
    /// File system of the store
    pub file_system: String,
    /// Hosts that joined in a second
    pub joined_per_second: f64,
    /// All of them connect for the first time, from the moment that the first one dials
    pub connect: Storm,
    /// Resident memory of the control plane before any host, KiB
    pub empty_rss_kib: u64,
    /// With all hosts connected and idle, KiB
    pub idle_rss_kib: u64,
    /// The same by parts of shared pages, KiB
    pub empty_pss_kib: u64,
    /// With all hosts connected and idle, KiB
    pub idle_pss_kib: u64,
    /// After everything else, KiB
    pub last_pss_kib: u64,
    /// Processors that idle hosts keep busy in the control plane
    pub idle_processors: f64,
    /// A grant on every host
    pub grant: Wave,
    /// Its revocation
    pub revocation: Wave,
    /// A grant on one host
    pub one_host: OneHost,
    /// After `SIGTERM`
    pub restart: Storm,
    /// After `SIGKILL`
    pub crash: Storm,
}

impl Report {
    /// What one host takes of the control plane's memory, KiB.
    pub fn pss_per_host_kib(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "memory is far below 2^53 KiB")]
        let more = self.idle_pss_kib.saturating_sub(self.empty_pss_kib) as f64;
        more / f64::from(self.hosts.max(1))
    }
}

/// How something that every host does is spread over time, ms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Half of the hosts are not later
    pub p50_ms: f64,
    /// 99 of 100 are not later
    pub p99_ms: f64,
    /// The last one
    pub max_ms: f64,
}

impl Spread {
    /// Of so many times; nearest rank.
    pub fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |percent: usize| {
            let rank = (times.len() * percent).div_ceil(100).saturating_sub(1);
            times.get(rank).copied().unwrap_or_default().as_secs_f64() * 1_000.0
        };
        Self {
            p50_ms: at(50),
            p99_ms: at(99),
            max_ms: at(100),
        }
    }
}

/// A change that every host enforces.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Wave {
    /// Until a host says that it enforces it, from the moment that the request went out, over hosts and rounds
    pub enforced: Spread,
    /// Until the operator has an answer, over rounds
    pub answered: Spread,
    /// Until the control plane shows that every host enforces it, over rounds
    pub counted: Spread,
    /// Processor time of the control plane for one, ms
    pub cpu_ms: f64,
    /// Processor time of the generator for one, ms
    pub own_cpu_ms: f64,
}

/// A change that one host enforces.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct OneHost {
    /// Until it does, over rounds
    pub enforced: Spread,
    /// Other hosts that were sent something for it, the most of any round
    pub others_woken: usize,
    /// Processor time of the control plane for one, ms
    pub cpu_ms: f64,
}

/// Every host connects at once.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Storm {
    /// From the end of the old process to the start of the new one, ms
    pub down_ms: f64,
    /// Until a host is served again and has said what it enforces, from the start of the new process
    pub back: Spread,
    /// Until the control plane shows all of them online and enforcing
    pub counted_ms: f64,
    /// Handshakes that came to nothing: there were too many at once
    pub refused: u64,
    /// Processor time of the control plane for it, ms
    pub cpu_ms: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_names_times_that_were_measured() {
        let of = |count: u64| Spread::of((1..=count).rev().map(Duration::from_millis).collect());
        let spread = |p50_ms, p99_ms, max_ms| Spread {
            p50_ms,
            p99_ms,
            max_ms,
        };
        assert_eq!(of(100), spread(50.0, 99.0, 100.0));
        assert_eq!(of(1), spread(1.0, 1.0, 1.0));
        assert_eq!(of(3), spread(2.0, 3.0, 3.0));
        assert_eq!(of(0), Spread::default());
    }
}
