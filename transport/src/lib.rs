//! Who is at the other end of a network connection: names in certificates, what a host proves when it joins, and how
//! the ends of a connection verify each other.
//!
//! TLS 1.3 only, one authority of our own, no name service: a certificate says who somebody is, whatever address was
//! dialled. Decides nothing about what anybody may do.

mod authorities;
mod certificate;
mod client;
mod crypto;
mod dial;
mod key;
mod name;
pub mod private_file;
mod proof;
mod token;
mod wait;

use stayhand_guardrail::time::DurationMs;

pub use authorities::{Authorities, AuthoritiesError, from_pem, pem};
pub use certificate::{Certificate, CertificateError, Serial};
pub use client::{
    Credentials, Dialling, joining, member, operator, recovering, signing_in, signing_in_again,
};
pub use crypto::provider;
pub use dial::{DialError, Dialled, NotAnAddress, check_address, dial, dial_again};
pub use token::{AccessToken, JoinToken, Pin, Secret, Token, TokenError, TokenKind};

pub use key::{Key, KeyError};
pub use name::{NameError, PeerName, Role, TrustDomain};
pub use proof::{Occasion, Proof, ProofError};
pub use wait::{WAIT_MAX, WAIT_MIN, Wait};

/// What a host speaks that has a certificate (ALPN, RFC 7301): the control plane demands one then.
pub const ALPN_HOST: &[u8] = b"stayhand-host/1";
/// What a host speaks that has none yet, or whose certificate is over: only joining is served then.
pub const ALPN_JOIN: &[u8] = b"stayhand-join/1";
/// What an operator speaks who has a certificate.
pub const ALPN_OPERATOR: &[u8] = b"stayhand-operator/1";
/// What an operator speaks who has none: only signing in is served then.
pub const ALPN_SIGN_IN: &[u8] = b"stayhand-sign-in/1";
/// Label of the secret that both ends of a connection derive from it (RFC 8446, 7.5), and that a proof is about.
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-stayhand-join";
/// Bytes of that secret: as many as the digest has that it goes into.
pub const EXPORTER_BYTES: usize = 32;
/// How far back certificates begin: the clock of whoever looks at one may be behind by that much.
pub const BACKDATE: DurationMs = DurationMs::from_secs(3_600);
/// Bytes of a request for a certificate: some three times what a key of ours makes of it.
pub const REQUEST_BYTES_MAX: usize = 1_024;
