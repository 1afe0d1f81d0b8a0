//! Sign-ins that were begun: kept in memory for some minutes, each for one ending. After a restart people begin again.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use data_encoding::BASE64URL_NOPAD;
use openidconnect::{Nonce, RedirectUrl};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::OidcError;
use crate::identity::place_of;

/// Time to sign in: a password, a second factor, and somebody who looks for their telephone.
const TIME: Duration = Duration::from_mins(10);
/// At once.
const PENDING_MAX: usize = 1_024;
/// At once from one address (of IPv6 one /64), so that one cannot keep everybody out.
const PENDING_PER_ADDRESS_MAX: usize = 32;

/// What ends it.
#[derive(Clone, Debug)]
pub struct Finish {
    /// Which one
    pub sign_in: String,
    /// From the provider
    pub code: String,
    /// Of the challenge that it began with
    pub code_verifier: String,
}

/// One that was begun.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) redirect: RedirectUrl,
    pub(super) challenge: String,
    pub(super) nonce: Nonce,
    from: IpAddr,
    until: Instant,
}

/// Those that were begun, by the digest of what names them: whoever reads our memory by its timing learns nothing.
#[derive(Debug, Default)]
pub(super) struct AllPending(Mutex<BTreeMap<[u8; 32], Pending>>);

impl AllPending {
    /// Keeps one and names it.
    pub(super) fn keep(
        &self,
        redirect: RedirectUrl,
        challenge: &str,
        nonce: Nonce,
        from: IpAddr,
    ) -> Result<String, OidcError> {
        let (from, now) = (place_of(from), Instant::now());
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, one| one.until > now);
        let own = all.values().filter(|one| one.from == from).count();
        if all.len() >= PENDING_MAX || own >= PENDING_PER_ADDRESS_MAX {
            return Err(OidcError::Busy);
        }
        let name = BASE64URL_NOPAD.encode(&rand::random::<[u8; 32]>());
        let pending = Pending {
            redirect,
            challenge: challenge.to_owned(),
            nonce,
            from,
            until: now + TIME,
        };
        all.insert(digest(&name), pending);
        Ok(name)
    }

    /// Takes one out: whatever comes of it, it is not ended twice. Only whoever has the verifier ends it.
    pub(super) fn take(&self, finish: &Finish) -> Result<Pending, OidcError> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pending = all.remove(&digest(&finish.sign_in));
        let live = pending.filter(|one| one.until > Instant::now());
        let pending = live.ok_or(OidcError::Unknown)?;
        let challenge = challenge(&finish.code_verifier);
        let same = challenge.as_bytes().ct_eq(pending.challenge.as_bytes());
        bool::from(same)
            .then_some(pending)
            .ok_or(OidcError::Unknown)
    }
}

fn digest(name: &str) -> [u8; 32] {
    Sha256::digest(name).into()
}

/// The challenge of a verifier (RFC 7636, 4.2).
fn challenge(verifier: &str) -> String {
    BASE64URL_NOPAD.encode(&Sha256::digest(verifier))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn keep(all: &AllPending, from: IpAddr) -> Result<String, OidcError> {
        let redirect = RedirectUrl::new("http://127.0.0.1:1/".to_owned()).unwrap();
        all.keep(
            redirect,
            &challenge("verifier"),
            Nonce::new("n".to_owned()),
            from,
        )
    }

    fn finish(sign_in: &str, verifier: &str) -> Finish {
        Finish {
            sign_in: sign_in.to_owned(),
            code: "code".to_owned(),
            code_verifier: verifier.to_owned(),
        }
    }

    #[test]
    fn what_was_begun_is_ended_once_and_only_by_whoever_began_it() {
        let all = AllPending::default();
        assert!(all.take(&finish("", "verifier")).is_err());
        let begun = keep(&all, FROM).unwrap();
        assert!(all.take(&finish(&begun, "verifier ")).is_err());
        // Whoever guessed has used it up.
        assert!(all.take(&finish(&begun, "verifier")).is_err());
        let begun = keep(&all, FROM).unwrap();
        assert!(all.take(&finish(&begun, "verifier")).is_ok());
        assert!(all.take(&finish(&begun, "verifier")).is_err());
    }

    #[test]
    fn one_address_leaves_room_for_others_and_all_together_are_bounded() {
        let all = AllPending::default();
        // Each in a network of its own.
        let address = |at: usize| IpAddr::from(((at as u128) << 64).to_be_bytes());
        for _ in 0..PENDING_PER_ADDRESS_MAX {
            keep(&all, FROM).unwrap();
        }
        assert!(matches!(keep(&all, FROM), Err(OidcError::Busy)));
        let taken = (1..=PENDING_MAX).filter(|at| keep(&all, address(*at)).is_ok());
        assert_eq!(taken.count(), PENDING_MAX - PENDING_PER_ADDRESS_MAX);
    }

    #[test]
    fn one_network_of_ipv6_has_no_more_than_one_address() {
        let all = AllPending::default();
        let own: IpAddr = "2001:db8::".parse().unwrap();
        let IpAddr::V6(own) = own else {
            panic!("{own}")
        };
        let address = |at: usize| IpAddr::from((own.to_bits() | at as u128).to_be_bytes());
        let kept = (0..PENDING_MAX).filter(|at| keep(&all, address(*at)).is_ok());
        assert_eq!(kept.count(), PENDING_PER_ADDRESS_MAX);
        keep(&all, FROM).expect("another address is kept out");
        // One of IPv4 is one address, however it is written.
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        keep(&all, mapped).unwrap();
        assert_eq!(place_of(mapped), IpAddr::from([192, 0, 2, 1]));
    }
}
