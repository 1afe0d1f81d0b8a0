//! What lets a host join: a secret that is worth something once, and the pin of the authority to whom alone it is
//! shown. Never printed by accident: only [`JoinToken::reveal`] writes it.

use std::{fmt, str::FromStr};

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use sha2::{Digest as _, Sha256};
use stayhand_guardrail::id::JoinTokenId;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroize;

/// So that scanners for secrets, and people, know what they see.
const PREFIX: &str = "shj1";
/// Bytes of a secret: more than anybody guesses.
const SECRET_BYTES: usize = 32;

/// Which authority somebody expects: SHA-256 of its public key (`SubjectPublicKeyInfo`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pin([u8; 32]);

impl Pin {
    /// Of a public key.
    pub fn of(public: &[u8]) -> Self {
        Self(Sha256::digest(public).into())
    }
}

impl Pin {
    /// How the dialling end says which authority it believes, in the place of a server's name (RFC 6066): whoever has certificates of
    /// several shows the right one. It is no secret, and half of the digest tells authorities apart.
    pub fn label(&self) -> String {
        let half = self.0.get(..16).unwrap_or_default();
        format!("{}.stayhand.invalid", HEXLOWER.encode(half))
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64URL_NOPAD.encode(&self.0))
    }
}

/// The secret part.
#[derive(Clone)]
pub struct Secret([u8; SECRET_BYTES]);

impl Secret {
    /// From somebody's randomness.
    pub fn new(bytes: [u8; SECRET_BYTES]) -> Self {
        Self(bytes)
    }

    /// Reads bytes from the wire.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// For the wire, over a connection to the pinned authority.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }

    /// What is stored of it. A plain digest is enough: nobody guesses 256 bits.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.0).into()
    }

    /// Whether it is the one of that digest; takes the same time whatever the answer is.
    pub fn has_digest(&self, stored: &[u8]) -> bool {
        self.digest().ct_eq(stored).into()
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What an operator hands to a host that shall join.
#[derive(Clone, Debug)]
pub struct JoinToken {
    /// To whom it may be shown
    pub pin: Pin,
    /// Which one it is; no secret
    pub id: JoinTokenId,
    /// What makes it worth something
    pub secret: Secret,
}

/// Why a text is no token. Says nothing of what the text was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Something else.
    #[error(
        "this is no join token; it begins with `shj1.` and `stayhand host token create` prints it"
    )]
    NotAToken,
    /// Part of one.
    #[error(
        "this join token is cut short or changed; copy the whole of it, it is one word of {} characters",
        JoinToken::CHARS
    )]
    Damaged,
}

impl JoinToken {
    /// Characters of a token.
    pub const CHARS: usize = PREFIX.len() + 1 + 43 + 1 + 16 + 1 + 43;

    /// The token itself: for whoever made it, once.
    pub fn reveal(&self) -> String {
        let secret = BASE64URL_NOPAD.encode(&self.secret.0);
        format!("{PREFIX}.{}.{}.{secret}", self.pin, self.id)
    }
}

impl FromStr for JoinToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let parts: Vec<&str> = text.trim().split('.').collect();
        let Some((&PREFIX, parts)) = parts.split_first() else {
            return Err(TokenError::NotAToken);
        };
        let [pin, id, secret] = parts else {
            return Err(TokenError::Damaged);
        };
        let bytes = |text: &str| -> Result<[u8; 32], TokenError> {
            let bytes = BASE64URL_NOPAD.decode(text.as_bytes());
            let bytes = bytes.map_err(|_| TokenError::Damaged)?;
            bytes.try_into().map_err(|_| TokenError::Damaged)
        };
        Ok(Self {
            pin: Pin(bytes(pin)?),
            id: id.parse().map_err(|_| TokenError::Damaged)?,
            secret: Secret(bytes(secret)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> JoinToken {
        JoinToken {
            pin: Pin::of(b"key"),
            id: JoinTokenId(0x3f2a),
            secret: Secret::new([7; 32]),
        }
    }

    #[test]
    fn every_part_of_a_token_that_is_cut_short_is_refused() {
        let whole = token().reveal();
        assert_eq!(whole.len(), JoinToken::CHARS);
        for len in 0..whole.len() {
            assert!(whole[..len].parse::<JoinToken>().is_err(), "{len}");
        }
        assert!(format!("{whole}a").parse::<JoinToken>().is_err());
    }

    #[test]
    fn a_token_reads_back_whatever_is_around_it() {
        let again: JoinToken = format!(" {}\n", token().reveal()).parse().unwrap();
        assert_eq!(again.pin, token().pin);
        assert_eq!(again.id, token().id);
        assert!(again.secret.has_digest(&token().secret.digest()));
        assert!(!again.secret.has_digest(&Secret::new([8; 32]).digest()));
    }

    #[test]
    fn nothing_but_reveal_shows_the_secret() {
        let secret = BASE64URL_NOPAD.encode(&[7; 32]);
        assert!(token().reveal().contains(&secret));
        assert!(!format!("{:?}", token()).contains(&secret));
        let damaged = format!("shj1.x.{secret}").parse::<JoinToken>().unwrap_err();
        assert!(!damaged.to_string().contains(&secret));
    }
}
