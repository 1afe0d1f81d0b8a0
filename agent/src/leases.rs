//! Leases with absolute deadlines on this boot. Pure: time is an argument.
//!
//! INVARIANT: nothing that happens to a clock, to the agent or to the machine makes a lease longer. At receipt its
//! length is what the control plane says is left; afterwards deadlines only ever get earlier. One that is over stays known
//! for as long as states have it, so that it never begins again: a control plane whose clock went back, or a state that was
//! on its way for long, would say that something is left of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stayhand_guardrail::{
    host::Lease,
    id::{GrantId, UserName},
    key::PermissionRef,
    limits::GRANT_DURATION_MAX,
    time::{DurationMs, UnixMs},
};
use uuid::Uuid;

use crate::clock::{Deadlines, Now};

/// The same lease comes with every state, and its way here takes a little more or less time: no reason to touch
/// what is installed.
const JITTER_NS: u64 = 1_000_000_000;

/// One lease on this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostLease {
    /// The grant that it comes from
    pub grant: GrantId,
    /// Whose it is
    pub user: UserName,
    /// What it permits
    #[serde(flatten, with = "stayhand_guardrail::key::apart")]
    pub permissions: Vec<PermissionRef>,
    /// When it ends, on the control plane's clock
    pub expire_time: UnixMs,
    /// When it ends, on this boot's clocks
    pub deadlines: Deadlines,
    /// What was left of it when it came
    pub length: DurationMs,
    /// When that was, on this host's own wall clock; none in what was written before this was
    #[serde(default)]
    pub came: Option<UnixMs>,
}

impl HostLease {
    /// What is left of it on another boot than the one of its deadlines. By the control plane's end, and by what has passed on
    /// the host's own clock since: which of the two clocks is ahead says nothing about how long a lease is.
    fn left_by(&self, wall: UnixMs) -> DurationMs {
        let passed = self.came.map_or(DurationMs(0), |came| wall.since(came));
        let own = DurationMs(self.length.0.saturating_sub(passed.0));
        own.min(self.expire_time.since(wall))
    }
}

/// Every lease of this host, as it is journaled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseBook {
    /// The boot to which the deadlines belong
    pub boot_id: Uuid,
    /// Highest wall-clock time at which the book was written
    pub latest: UnixMs,
    /// By grant
    pub leases: BTreeMap<GrantId, HostLease>,
}

impl LeaseBook {
    /// Those that permit something at `now`.
    pub fn live(&self, now: &Now) -> impl Iterator<Item = &HostLease> {
        let all = self.leases.values();
        let now = *now;
        all.filter(move |lease| !lease.deadlines.passed(&now))
    }

    /// The leases of a desired state that came at `now`. One that is known keeps the earlier of its deadlines.
    #[must_use]
    pub fn received(&self, leases: &[Lease], now: &Now) -> Self {
        let renewed = leases
            .iter()
            .map(|lease| (lease.grant, self.one(lease, now)));
        let leases = renewed
            .filter(|(id, lease)| !lease.deadlines.passed(now) || self.leases.contains_key(id))
            .collect();
        Self {
            boot_id: self.boot_id,
            latest: self.latest.max(now.unix),
            leases,
        }
    }

    fn one(&self, lease: &Lease, now: &Now) -> HostLease {
        let length = lease.left().min(GRANT_DURATION_MAX);
        let mut deadlines = now.deadlines(length);
        let mut same = None;
        if let Some(known) = self.leases.get(&lease.grant)
            && known.expire_time == lease.expire_time
        {
            let sooner = deadlines.earlier(known.deadlines);
            let jitter = sooner.boot_ns.saturating_add(JITTER_NS) > known.deadlines.boot_ns
                && sooner.tai_ns.saturating_add(JITTER_NS) > known.deadlines.tai_ns;
            deadlines = if jitter { known.deadlines } else { sooner };
            // The very same lease, so that nothing has to be installed for it.
            same = Some(known).filter(|known| known.deadlines == deadlines);
        }
        let Lease {
            grant,
            user,
            permissions,
            expire_time,
            server_time: _,
        } = lease.clone();
        HostLease {
            grant,
            user,
            permissions,
            expire_time,
            deadlines,
            // Deadlines that were kept may leave less than the control plane says.
            length: same.map_or_else(|| deadlines.left(now), |known| known.length),
            came: same.map_or(Some(now.unix), |known| known.came),
        }
    }

    /// The book on the running boot. On the same one its deadlines stand; on another one they are made again from
    /// the wall clock, which must not have gone back, and from what was left at most. What is over stays over.
    #[must_use]
    pub fn restored(mut self, boot_id: Uuid, now: &Now) -> Self {
        if self.boot_id != boot_id {
            let wall = now.unix.max(self.latest);
            for lease in self.leases.values_mut() {
                lease.length = lease.left_by(wall);
                lease.came = Some(wall);
                lease.deadlines = now.deadlines(lease.length);
            }
            self.boot_id = boot_id;
        }
        self.latest = self.latest.max(now.unix);
        self
    }

    /// The leases that another book has, too, with the same or a later end: what can be kept without the journal.
    #[must_use]
    pub fn kept_from(&self, journaled: &Self) -> Self {
        let known = |lease: &&HostLease| {
            journaled.leases.get(&lease.grant).is_some_and(|old| {
                old.expire_time >= lease.expire_time
                    && lease
                        .permissions
                        .iter()
                        .all(|permission| old.permissions.contains(permission))
            })
        };
        let leases = self
            .leases
            .values()
            .filter(known)
            .map(|lease| (lease.grant, lease.clone()));
        Self {
            leases: leases.collect(),
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: Uuid = Uuid::from_u128(1);
    const OTHER: Uuid = Uuid::from_u128(2);
    const HOUR: u64 = 3_600_000;

    fn now(boot_ms: u64, tai_ms: u64, unix_ms: u64) -> Now {
        Now {
            boot_ns: boot_ms * 1_000_000,
            tai_ns: tai_ms * 1_000_000,
            unix: UnixMs(unix_ms),
        }
    }

    fn lease(left_ms: u64, server_ms: u64) -> Lease {
        Lease {
            grant: GrantId(Uuid::from_u128(7)),
            user: "alice".parse().unwrap(),
            permissions: vec!["p/db".parse().unwrap()],
            expire_time: UnixMs(server_ms + left_ms),
            server_time: UnixMs(server_ms),
        }
    }

    fn book(leases: &[Lease], at: &Now) -> LeaseBook {
        LeaseBook {
            boot_id: BOOT,
            ..LeaseBook::default()
        }
        .received(leases, at)
    }

    fn left(book: &LeaseBook, at: &Now) -> Option<u64> {
        let lease = book.live(at).next()?;
        Some(
            (lease.deadlines.boot_ns - at.boot_ns).min(lease.deadlines.tai_ns - at.tai_ns)
                / 1_000_000,
        )
    }

    #[test]
    fn a_lease_that_is_over_when_it_comes_is_none() {
        assert!(book(&[lease(0, 5)], &now(1, 1, 1)).leases.is_empty());
        let past = Lease {
            server_time: UnixMs(99),
            ..lease(10, 5)
        };
        assert!(book(&[past], &now(1, 1, 1)).leases.is_empty());
    }

    #[test]
    fn a_wrong_wall_clock_on_the_host_changes_nothing_at_receipt() {
        for unix in [0, 1_000_000 * HOUR] {
            let at = now(500, 900, unix);
            assert_eq!(left(&book(&[lease(HOUR, 77 * HOUR)], &at), &at), Some(HOUR));
        }
    }

    #[test]
    fn a_control_plane_whose_clock_went_back_lengthens_nothing() {
        let at = now(0, 0, 0);
        let first = book(&[lease(HOUR, 50 * HOUR)], &at);
        let stepped = Lease {
            server_time: UnixMs(20 * HOUR),
            ..lease(HOUR, 50 * HOUR)
        };
        let later = now(10 * 60_000, 10 * 60_000, 0);
        assert_eq!(
            left(&first.received(&[stepped], &later), &later),
            Some(HOUR - 10 * 60_000)
        );
    }

    #[test]
    fn a_corrected_clock_shortens_and_mere_delay_changes_nothing() {
        let at = now(0, 0, 0);
        let first = book(&[lease(HOUR, 50 * HOUR)], &at);
        let soon = Lease {
            server_time: UnixMs(50 * HOUR + HOUR / 2),
            ..lease(HOUR, 50 * HOUR)
        };
        assert_eq!(left(&first.received(&[soon], &at), &at), Some(HOUR / 2));
        let delayed = Lease {
            server_time: UnixMs(50 * HOUR + 30),
            ..lease(HOUR, 50 * HOUR)
        };
        assert_eq!(
            first.received(&[delayed], &at).leases[&GrantId(Uuid::from_u128(7))].deadlines,
            at.deadlines(DurationMs(HOUR))
        );
    }

    #[test]
    fn no_grant_lasts_longer_than_grants_can() {
        let at = now(0, 0, 0);
        let endless = Lease {
            expire_time: UnixMs(u64::MAX),
            ..lease(0, 5)
        };
        assert_eq!(
            left(&book(&[endless], &at), &at),
            Some(GRANT_DURATION_MAX.0)
        );
    }

    #[test]
    fn a_restart_of_the_agent_keeps_absolute_deadlines() {
        let first = book(&[lease(HOUR, 5)], &now(100, 100, 0));
        let later = now(HOUR / 2, HOUR / 2, 12 * HOUR);
        assert_eq!(first.clone().restored(BOOT, &later).leases, first.leases);
        assert!(
            left(
                &first.restored(BOOT, &now(2 * HOUR, 0, 0)),
                &now(2 * HOUR, 0, 0)
            )
            .is_none(),
            "past → none"
        );
    }

    #[test]
    fn what_is_over_never_begins_again_whatever_comes_and_whoever_restarts() {
        let first = book(&[lease(HOUR, 50 * HOUR)], &now(0, 0, 0));
        let over = now(HOUR, HOUR, 51 * HOUR);
        // A state that was sent earlier, or by a control plane whose clock went back.
        let again = lease(HOUR, 50 * HOUR);
        let expire_time = again.expire_time;
        let mut books = vec![first.received(std::slice::from_ref(&again), &over)];
        books.push(
            first
                .clone()
                .restored(BOOT, &over)
                .received(std::slice::from_ref(&again), &over),
        );
        let rebooted = now(1, HOUR + 1, expire_time.0);
        books.push(
            first
                .clone()
                .restored(OTHER, &rebooted)
                .received(std::slice::from_ref(&again), &rebooted),
        );
        for book in books {
            assert_eq!(book.live(&over).count(), 0, "{book:?}");
        }
        // No state has it any more: nothing has to be remembered.
        assert!(first.received(&[], &over).leases.is_empty());
    }

    #[test]
    fn a_reboot_never_lengthens_whatever_the_wall_clock_says() {
        let expire = 100 * HOUR;
        let first = book(
            &[lease(HOUR, expire - HOUR)],
            &now(5 * HOUR, 5 * HOUR, expire - HOUR),
        );
        for (unix, expected) in [
            (expire - HOUR / 2, Some(HOUR / 2)), // the clock went on
            (0, Some(HOUR)), // it went back to 1970: no more than was left when the book was written
            (expire - 90 * HOUR, Some(HOUR)), // it went back
            (expire, None),
            (expire + HOUR, None),
        ] {
            let at = now(1, 1, unix);
            let restored = first.clone().restored(OTHER, &at);
            assert_eq!(left(&restored, &at), expected, "wall clock {unix}");
            assert_eq!(restored.boot_id, OTHER);
        }
    }

    #[test]
    fn a_host_whose_clock_is_behind_the_control_planes_gains_nothing_by_a_reboot() {
        // The host is ten minutes behind.
        let behind = 10 * 60_000;
        let at = now(1, 1, 50 * HOUR - behind);
        let first = book(&[lease(HOUR, 50 * HOUR)], &at);
        let half = now(1, 1, 50 * HOUR - behind + HOUR / 2);
        assert_eq!(
            left(&first.clone().restored(OTHER, &half), &half),
            Some(HOUR / 2)
        );
        // Nor by a control plane whose clock was set back before.
        let stepped = Lease {
            server_time: UnixMs(10 * HOUR),
            ..lease(HOUR, 50 * HOUR)
        };
        let soon = now(HOUR / 2 + 1, HOUR / 2 + 1, 50 * HOUR - behind + HOUR / 2);
        let again = first.received(&[stepped], &soon);
        assert_eq!(left(&again.restored(OTHER, &half), &half), Some(HOUR / 2));
    }

    #[test]
    fn rebooting_again_and_again_with_a_clock_that_stands_still_gains_nothing_beyond_the_last_writing()
     {
        let expire = 100 * HOUR;
        let mut book = book(&[lease(HOUR, expire - HOUR)], &now(1, 1, expire - HOUR));
        // Written again after half of it had passed.
        let half = now(HOUR / 2, HOUR / 2, expire - HOUR / 2);
        book = book.restored(BOOT, &half);
        for boot in 3..10 {
            book = book.restored(Uuid::from_u128(boot), &now(1, 1, 0));
            assert_eq!(left(&book, &now(1, 1, 0)), Some(HOUR / 2));
        }
    }

    #[test]
    fn without_a_journal_only_known_leases_are_kept() {
        let at = now(0, 0, 0);
        let old = book(&[lease(HOUR, 5)], &at);
        let wider = Lease {
            permissions: vec!["p/db".parse().unwrap(), "p/x".parse().unwrap()],
            ..lease(HOUR, 5)
        };
        let fresh = Lease {
            grant: GrantId(Uuid::from_u128(8)),
            ..lease(HOUR, 5)
        };
        let new = old.received(&[wider, fresh], &at);
        assert!(
            new.kept_from(&old).leases.is_empty(),
            "wider and new ones are not"
        );
        assert_eq!(old.kept_from(&old), old);
    }
}
