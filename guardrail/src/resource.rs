//! What a host's state is made of, as it travels: resources by name, and one digest over all of them. Never what they mean.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Bytes of a digest.
pub const DIGEST_BYTES: usize = 32;

/// SHA-256 of the resources of a host, or of the bytes of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StateDigest(pub [u8; DIGEST_BYTES]);

impl StateDigest {
    /// Of the bytes of one resource.
    pub fn of_body(body: &[u8]) -> Self {
        Self(Sha256::digest(body).into())
    }

    /// Of resources in the order of their names, each with the digest of its bytes. A length stands before each name, so that
    /// no two lists yield the same bytes.
    pub fn of_all<'a>(sorted: impl IntoIterator<Item = (&'a str, &'a Self)>) -> Self {
        let mut hash = Sha256::new_with_prefix(b"stayhand state 1\n");
        for (name, body) in sorted {
            hash.update((name.len() as u64).to_be_bytes());
            hash.update(name);
            hash.update(body.0);
        }
        Self(hash.finalize().into())
    }

    /// As it travels.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for StateDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A text that is no digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a digest is 64 hexadecimal digits")]
pub struct NoDigest;

impl FromStr for StateDigest {
    type Err = NoDigest;
    fn from_str(text: &str) -> Result<Self, NoDigest> {
        let is_hex =
            text.len() == 2 * DIGEST_BYTES && text.bytes().all(|one| one.is_ascii_hexdigit());
        let mut digest = [0; DIGEST_BYTES];
        if !is_hex {
            return Err(NoDigest);
        }
        for (at, byte) in digest.iter_mut().enumerate() {
            let pair = text.get(2 * at..2 * at + 2).ok_or(NoDigest)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| NoDigest)?;
        }
        Ok(Self(digest))
    }
}

impl TryFrom<String> for StateDigest {
    type Error = NoDigest;
    fn try_from(text: String) -> Result<Self, NoDigest> {
        text.parse()
    }
}

impl From<StateDigest> for String {
    fn from(digest: StateDigest) -> Self {
        digest.to_string()
    }
}

/// What is wrong with one resource of a state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceError {
    /// collection/name
    pub name: String,
    /// Why
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(all: &[(&str, &[u8])]) -> StateDigest {
        let bodies: Vec<_> = all
            .iter()
            .map(|(name, body)| (*name, StateDigest::of_body(body)))
            .collect();
        StateDigest::of_all(bodies.iter().map(|(name, body)| (*name, body)))
    }

    /// Agents that are out there compute this one: another would send every host its whole state at every change.
    #[test]
    fn the_digest_of_what_is_known_never_changes() {
        assert_eq!(
            of(&[]).to_string(),
            "0be4a579526b32b6b491b5e0e053451d716dd79046ecb083e8bf160e693206d3"
        );
        assert_eq!(
            of(&[("leases/7", b"x"), ("policies/prod", b"a: b\n")]).to_string(),
            "35b3fd6c8cdd66474c8c27a96d2886f859422ae6162150639600c03063da590b"
        );
    }

    #[test]
    fn what_moves_from_a_name_to_its_neighbour_is_another_state() {
        assert_ne!(of(&[("a", b""), ("b", b"")]), of(&[("ab", b"")]));
        assert_ne!(of(&[("a", b"b")]), of(&[("ab", b"")]));
        assert_ne!(of(&[("a", b"b")]), of(&[("a", b"c")]));
    }

    #[test]
    fn a_digest_is_read_as_it_is_shown_and_nothing_else_is_one() {
        let one = StateDigest::of_body(b"x");
        assert_eq!(one.to_string().parse(), Ok(one));
        for wrong in ["", "00", &"g".repeat(64), &"é".repeat(32), &"+f".repeat(32)] {
            assert_eq!(wrong.parse::<StateDigest>(), Err(NoDigest), "{wrong}");
        }
    }
}
