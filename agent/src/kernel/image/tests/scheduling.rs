//! When rules count: a clock that goes on changes nothing, and one that was set is followed.

use std::sync::{Arc, Mutex};

use stayhand_agent_ebpf::{args::met, decide, schedule::counts};
use stayhand_guardrail::time::{DurationMs, UnixMs};

use super::{super::Relabelled, Maps, NOW, Now, desired, disk::Disk, installer_at};

const IN_THE_NIGHT: &str = "{ id: a, effect: deny, exec: { path: /usr/bin/nc }, when: { windows: \"daily 01:00-02:00 UTC\" } }";
const HOUR_NS: u64 = 3_600_000_000_000;

/// A moment so much later; by the boot clock so much less of it.
fn later(span_ns: u64, paused_ns: u64) -> Now {
    Now {
        boot_ns: NOW.boot_ns + span_ns - paused_ns,
        tai_ns: NOW.tai_ns + span_ns,
        unix: NOW.unix.plus(DurationMs(span_ns / 1_000_000)),
    }
}

struct Clock(Arc<Mutex<Now>>);

impl Clock {
    fn set(&self, now: Now) {
        *self.0.lock().unwrap() = now;
    }
}

fn ready(rule: &str) -> (Maps, Clock, super::Installer) {
    let (maps, disk) = (Maps::new(), Disk::new(&["/usr/bin/nc"]));
    let clock = Arc::new(Mutex::new(NOW));
    let read = Arc::clone(&clock);
    let mut installer = installer_at(&maps, &disk, move || *read.lock().unwrap());
    installer.install(desired(1, &[rule])).unwrap();
    (maps, Clock(clock), installer)
}

/// Whether the rule of the active image counts.
fn met_at(maps: &Maps, now: Now) -> u32 {
    let (_, slot) = maps.active();
    let schedule = maps.schedules.rows()[&(slot * 64 + 1)];
    let Now {
        boot_ns, tai_ns, ..
    } = now;
    counts(&schedule, decide::Now { boot_ns, tai_ns })
}

#[test]
fn a_schedule_needs_no_agent_for_a_week_and_then_may_count() {
    let (maps, ..) = ready(IN_THE_NIGHT);
    for day in 0..8 {
        let at = |hours: u64| met_at(&maps, later((day * 24 + hours) * HOUR_NS, 0));
        assert_eq!([at(0), at(1), at(2)], [met::NO, met::YES, met::NO], "{day}");
    }
    assert_eq!(met_at(&maps, later(8 * 24 * HOUR_NS, 0)), met::MAYBE);
}

#[test]
fn a_clock_that_is_kept_changes_nothing_and_a_new_day_does() {
    let (maps, clock, mut installer) = ready(IN_THE_NIGHT);
    let mut slewed = later(23 * HOUR_NS, 0);
    slewed.unix = UnixMs(slewed.unix.0 + 999);
    clock.set(slewed);
    assert!(matches!(installer.relabel(), Ok(Relabelled::Unchanged)));
    installer.verify().unwrap();
    clock.set(later(24 * HOUR_NS, 0));
    assert!(matches!(
        installer.relabel(),
        Ok(Relabelled::Reinstalled(_))
    ));
    assert_eq!(met_at(&maps, later((8 * 24 + 1) * HOUR_NS, 0)), met::YES);
}

#[test]
fn a_machine_that_stood_still_is_noticed_and_until_then_a_rule_may_count() {
    let (maps, clock, mut installer) = ready(IN_THE_NIGHT);
    // It is half past one, and the boot clock says half past midnight.
    let now = later(HOUR_NS + HOUR_NS / 2, HOUR_NS);
    assert_eq!(met_at(&maps, now), met::MAYBE);
    clock.set(now);
    assert!(matches!(
        installer.relabel(),
        Ok(Relabelled::Reinstalled(_))
    ));
    assert_eq!(met_at(&maps, now), met::YES);
}

#[test]
fn without_a_rule_that_asks_no_clock_matters() {
    let (_, clock, mut installer) = ready("{ id: a, effect: deny, exec: { path: /usr/bin/nc } }");
    clock.set(later(100 * HOUR_NS, HOUR_NS));
    assert!(matches!(installer.relabel(), Ok(Relabelled::Unchanged)));
}
