//! Sign-ins that were begun: kept in memory for some minutes, each for one ending. After a restart people begin again.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest as _, Sha256};

use super::OidcError;
use crate::identity::place_of;

/// Time to sign in: a password, a second factor, and somebody who looks for their telephone.
pub(super) const TIME: Duration = Duration::from_mins(10);

/// How many may be begun at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// By all together
    pub(super) all: usize,
    /// From one address (of IPv6 one /64), so that one cannot keep everybody out
    pub(super) per_address: usize,
    /// For how long somebody may not ask what came of it; for ever where it is said when it ends
    pub(super) silence: Option<Duration>,
}

/// Those that were begun, by the digest of what names them: whoever reads our memory by its timing learns nothing.
#[derive(Debug)]
pub(super) struct AllPending<T> {
    bounds: Bounds,
    begun: Mutex<BTreeMap<[u8; 32], Pending<T>>>,
}

#[derive(Debug)]
struct Pending<T> {
    what: T,
    from: IpAddr,
    until: Instant,
    asked: Instant,
}

impl<T> Pending<T> {
    fn is_live(&self, silence: Option<Duration>, now: Instant) -> bool {
        let silent = now.duration_since(self.asked);
        self.until > now && silence.is_none_or(|silence| silent < silence)
    }
}

impl<T> AllPending<T> {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            begun: Mutex::default(),
        }
    }

    /// Keeps one and names it. What it is, is asked for only where there is room for it.
    pub(super) fn keep(&self, from: IpAddr, what: impl FnOnce() -> T) -> Result<String, OidcError> {
        let from = place_of(from);
        let mut begun = self.live();
        let own = begun.values().filter(|one| one.from == from).count();
        if begun.len() >= self.bounds.all || own >= self.bounds.per_address {
            return Err(OidcError::Busy);
        }
        let name = BASE64URL_NOPAD.encode(&rand::random::<[u8; 32]>());
        let now = Instant::now();
        let pending = Pending {
            what: what(),
            from,
            until: now + TIME,
            asked: now,
        };
        begun.insert(digest(&name), pending);
        Ok(name)
    }

    /// Takes one out: whatever comes of it, it is not ended twice.
    pub(super) fn take(&self, name: &str) -> Result<T, OidcError> {
        let pending = self.live().remove(&digest(name));
        pending.map(|one| one.what).ok_or(OidcError::Unknown)
    }

    /// What came of one, which is taken out then; nothing as long as nothing came of it.
    pub(super) fn end<R>(
        &self,
        name: &str,
        came_of: impl FnOnce(&mut T) -> Option<R>,
    ) -> Result<Option<R>, OidcError> {
        let (mut begun, name) = (self.live(), digest(name));
        let pending = begun.get_mut(&name).ok_or(OidcError::Unknown)?;
        pending.asked = Instant::now();
        let ended = came_of(&mut pending.what);
        if ended.is_some() {
            begun.remove(&name);
        }
        Ok(ended)
    }

    /// Lets go of those whose time is over, or of which nobody asks any more.
    pub(super) fn tidy(&self) {
        drop(self.live());
    }

    /// Without those that [`Self::tidy`] lets go of.
    fn live(&self) -> MutexGuard<'_, BTreeMap<[u8; 32], Pending<T>>> {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        begun.retain(|_, one| one.is_live(self.bounds.silence, now));
        begun
    }
}

fn digest(name: &str) -> [u8; 32] {
    Sha256::digest(name).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const BOUNDS: Bounds = Bounds {
        all: 64,
        per_address: 4,
        silence: None,
    };

    fn all() -> AllPending<u32> {
        AllPending::new(BOUNDS)
    }

    fn keep(all: &AllPending<u32>, from: IpAddr) -> Result<String, OidcError> {
        all.keep(from, || 7)
    }

    #[test]
    fn what_was_begun_is_ended_once_and_by_its_name() {
        let all = all();
        assert!(all.take("").is_err());
        let (begun, other) = (keep(&all, FROM).unwrap(), keep(&all, FROM).unwrap());
        assert_ne!(begun, other);
        assert_eq!(all.take(&begun).unwrap(), 7);
        assert!(matches!(all.take(&begun), Err(OidcError::Unknown)));
    }

    #[test]
    fn what_nothing_came_of_stays_and_what_something_came_of_does_not() {
        let all = all();
        let begun = keep(&all, FROM).unwrap();
        let later = |count: &mut u32| {
            *count += 1;
            (*count == 9).then_some(*count)
        };
        assert_eq!(all.end(&begun, later).unwrap(), None);
        assert_eq!(all.end(&begun, later).unwrap(), Some(9));
        assert!(matches!(all.end(&begun, later), Err(OidcError::Unknown)));
    }

    #[test]
    fn what_nobody_asks_of_any_more_is_let_go_of() {
        let (asked, second) = (Instant::now(), Duration::from_secs(1));
        let pending = Pending {
            what: (),
            from: FROM,
            until: asked + TIME,
            asked,
        };
        let is_live = |silence, after| pending.is_live(silence, asked + after);
        assert!(is_live(Some(second), second / 2) && !is_live(Some(second), second));
        assert!(is_live(None, TIME / 2) && !is_live(None, TIME));
        assert!(!is_live(Some(Duration::MAX), TIME));
    }

    #[test]
    fn one_address_leaves_room_for_others_and_all_together_are_bounded() {
        let all = all();
        // Each in a network of its own.
        let address = |at: usize| IpAddr::from(((at as u128) << 64).to_be_bytes());
        for _ in 0..BOUNDS.per_address {
            keep(&all, FROM).unwrap();
        }
        let no_more = all.keep(FROM, || panic!("there is no room for it"));
        assert!(matches!(no_more, Err(OidcError::Busy)));
        let taken = (1..=BOUNDS.all).filter(|at| keep(&all, address(*at)).is_ok());
        assert_eq!(taken.count(), BOUNDS.all - BOUNDS.per_address);
    }

    #[test]
    fn one_network_of_ipv6_has_no_more_than_one_address() {
        let all = all();
        let own: IpAddr = "2001:db8::".parse().unwrap();
        let IpAddr::V6(own) = own else {
            panic!("{own}")
        };
        let address = |at: usize| IpAddr::from((own.to_bits() | at as u128).to_be_bytes());
        let kept = (0..BOUNDS.all).filter(|at| keep(&all, address(*at)).is_ok());
        assert_eq!(kept.count(), BOUNDS.per_address);
        keep(&all, FROM).expect("another address is kept out");
        // One of IPv4 is one address, however it is written.
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        keep(&all, mapped).unwrap();
        assert_eq!(place_of(mapped), IpAddr::from([192, 0, 2, 1]));
    }
}
