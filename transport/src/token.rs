//! What lets a host join, and what lets a program act for an operator: a secret, and the pin of the authority to whom alone it
//! is shown. Never printed by accident: only [`Token::reveal`] writes it.

use std::{fmt, marker::PhantomData, str::FromStr};

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use sha2::{Digest as _, Sha256};
use stayhand_guardrail::id::{AccessTokenId, JoinTokenId};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroize;

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

/// A text that is no pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "is no pin of an authority: use the word of 43 characters that `stayhand authority ls` shows"
)]
pub struct NotAPin;

impl FromStr for Pin {
    type Err = NotAPin;

    fn from_str(text: &str) -> Result<Self, NotAPin> {
        bytes(text).map(Self).ok_or(NotAPin)
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

/// What a token is for.
pub trait TokenKind: Clone + fmt::Debug {
    /// Names a token, and is no secret
    type Id: Copy + fmt::Debug + fmt::Display + FromStr;
    /// How it begins, so that scanners for secrets, and people, know what they see
    const PREFIX: &'static str;
    /// What it is
    const WHAT: &'static str;
    /// What prints one
    const MADE_BY: &'static str;
}

/// Lets a host join.
#[derive(Clone, Copy, Debug)]
pub enum Joins {}

impl TokenKind for Joins {
    type Id = JoinTokenId;
    const PREFIX: &'static str = "shj1";
    const WHAT: &'static str = "join token";
    const MADE_BY: &'static str = "stayhand host token create";
}

/// Lets a program act for an operator.
#[derive(Clone, Copy, Debug)]
pub enum Acts {}

impl TokenKind for Acts {
    type Id = AccessTokenId;
    const PREFIX: &'static str = "sha1";
    const WHAT: &'static str = "access token";
    const MADE_BY: &'static str = "stayhand token create";
}

/// What an operator hands to a host that shall join.
pub type JoinToken = Token<Joins>;
/// What an operator hands to a program.
pub type AccessToken = Token<Acts>;

/// A token.
#[derive(Clone, Debug)]
pub struct Token<K: TokenKind> {
    /// To whom it may be shown
    pub pin: Pin,
    /// Which one it is; no secret
    pub id: K::Id,
    /// What makes it worth something
    pub secret: Secret,
    /// What it is for
    pub kind: PhantomData<K>,
}

/// Why a text is no token. Says nothing of what the text was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Something else.
    #[error("this is no {what}; it begins with `{prefix}.` and `{made_by}` prints it")]
    NotAToken {
        /// What it should have been
        what: &'static str,
        /// How that begins
        prefix: &'static str,
        /// Where it comes from
        made_by: &'static str,
    },
    /// Part of one.
    #[error(
        "this {what} is cut short or changed; copy the whole of it, it is one word of {chars} characters"
    )]
    Damaged {
        /// What it should have been
        what: &'static str,
        /// How many it has
        chars: usize,
    },
}

impl<K: TokenKind> Token<K> {
    /// Characters of a token.
    pub const CHARS: usize = K::PREFIX.len() + 1 + 43 + 1 + 16 + 1 + 43;

    /// Puts one together.
    pub fn new(pin: Pin, id: K::Id, secret: Secret) -> Self {
        Self {
            pin,
            id,
            secret,
            kind: PhantomData,
        }
    }

    /// The token itself: for whoever made it, once.
    pub fn reveal(&self) -> String {
        let secret = BASE64URL_NOPAD.encode(&self.secret.0);
        format!("{}.{}.{}.{secret}", K::PREFIX, self.pin, self.id)
    }
}

impl<K: TokenKind> FromStr for Token<K> {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let damaged = TokenError::Damaged {
            what: K::WHAT,
            chars: Self::CHARS,
        };
        let parts: Vec<&str> = text.trim().split('.').collect();
        let parts = match parts.split_first() {
            Some((prefix, parts)) if *prefix == K::PREFIX => parts,
            _ => {
                return Err(TokenError::NotAToken {
                    what: K::WHAT,
                    prefix: K::PREFIX,
                    made_by: K::MADE_BY,
                });
            }
        };
        let [pin, id, secret] = parts else {
            return Err(damaged);
        };
        Ok(Self::new(
            pin.parse().map_err(|_| damaged)?,
            id.parse().map_err(|_| damaged)?,
            Secret(bytes(secret).ok_or(damaged)?),
        ))
    }
}

fn bytes(text: &str) -> Option<[u8; 32]> {
    let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
    bytes.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> JoinToken {
        JoinToken::new(Pin::of(b"key"), JoinTokenId(0x3f2a), Secret::new([7; 32]))
    }

    #[test]
    fn every_part_of_a_token_that_is_cut_short_is_refused() {
        let whole = token().reveal();
        assert_eq!(whole.len(), JoinToken::CHARS);
        for len in 0..whole.len() {
            assert!(whole[..len].parse::<JoinToken>().is_err(), "{len}");
        }
        assert!(format!("{whole}a").parse::<JoinToken>().is_err());
        // One for something else is no worse than a wrong word.
        assert!(whole.parse::<AccessToken>().is_err());
        assert!(whole.replace("shj1", "sha1").parse::<AccessToken>().is_ok());
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
