//! Certificates: what is in them. All of it is said here; what a request for one says counts for nothing but its key.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyUsagePurpose, PublicKey, PublicKeyData,
    SanType, SerialNumber,
};
use sha2::{Digest as _, Sha256};
use stayhand_guardrail::time::{DurationMs, UnixMs};
use stayhand_transport::{BACKDATE, Key, PeerName, REQUEST_BYTES_MAX, Role, Serial, TrustDomain};

use super::{AuthorityError, Signer};

/// How long an authority lives. Its successor takes over before, by `stayhand authority rotate`.
const AUTHORITY_LIFETIME: DurationMs = DurationMs(10 * 365 * 24 * 3_600 * 1_000);
/// Bytes of a serial number: nobody guesses one, and it fits the 20 of RFC 5280.
const SERIAL_BYTES: usize = 16;

/// A request for a certificate that was looked at: somebody has the key in it.
pub struct Request(PublicKey);

/// Why a request is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Far more than a key makes.
    #[error("has more than the {REQUEST_BYTES_MAX} bytes that a request of ours has")]
    TooLong,
    /// No request, or one whose signature is not that of its key.
    #[error("is no request for a certificate (PKCS #10), or is not signed by its own key")]
    Unreadable,
    /// Another kind of key.
    #[error("is for another kind of key than ECDSA on P-256")]
    Kind,
}

/// A signed certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The certificate (DER)
    pub certificate: Vec<u8>,
    /// Its number
    pub serial: Serial,
    /// SHA-256 of it
    pub digest: [u8; 32],
    /// Which authority signed it
    pub authority: u32,
    /// Until when it counts
    pub expires: UnixMs,
}

impl Request {
    /// Reads one (PKCS #10 in DER).
    pub fn read(der: &[u8]) -> Result<Self, RequestError> {
        if der.len() > REQUEST_BYTES_MAX {
            return Err(RequestError::TooLong);
        }
        let read = CertificateSigningRequestParams::from_der(&der.to_vec().into());
        let key = read.map_err(|_| RequestError::Unreadable)?.public_key;
        if *key.algorithm() != rcgen::PKCS_ECDSA_P256_SHA256 {
            return Err(RequestError::Kind);
        }
        Ok(Self(key))
    }
}

impl Signer {
    /// Signs a certificate for whoever made a request.
    pub fn issue(
        &self,
        role: Role,
        request: &Request,
        now: UnixMs,
        lifetime: DurationMs,
    ) -> Result<Issued, AuthorityError> {
        self.sign(role, &request.0, now, lifetime)
    }

    /// Signs a certificate of the control plane itself.
    pub fn issue_own(
        &self,
        key: &Key,
        now: UnixMs,
        lifetime: DurationMs,
    ) -> Result<Issued, AuthorityError> {
        self.sign(Role::Control, key.pair(), now, lifetime)
    }

    fn sign(
        &self,
        role: Role,
        key: &impl PublicKeyData,
        now: UnixMs,
        lifetime: DurationMs,
    ) -> Result<Issued, AuthorityError> {
        let (purpose, what) = match role {
            Role::Control => (
                ExtendedKeyUsagePurpose::ServerAuth,
                "Stayhand control plane",
            ),
            Role::Host(_) => (ExtendedKeyUsagePurpose::ClientAuth, "Stayhand host"),
            Role::Operator(_) => (ExtendedKeyUsagePurpose::ClientAuth, "Stayhand operator"),
        };
        let name = PeerName {
            domain: self.domain.clone(),
            role,
        };
        let (serial, expires) = (serial(), now.plus(lifetime));
        let mut params = params(what, &name.to_string(), now, expires)?;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![purpose];
        params.use_authority_key_identifier_extension = true;
        let own = self.certificate.clone().into();
        let issuer = Issuer::from_ca_cert_der(&own, self.key.pair())?;
        let certificate = params.signed_by(key, &issuer)?.der().to_vec();
        Ok(Issued {
            digest: Sha256::digest(&certificate).into(),
            certificate,
            serial: Serial::new(&serial),
            authority: self.number,
            expires,
        })
    }
}

/// A new authority's own certificate.
pub(super) fn authority(
    key: &Key,
    domain: &TrustDomain,
    number: u32,
    now: UnixMs,
) -> Result<Vec<u8>, AuthorityError> {
    let what = format!("Stayhand authority {number}");
    let mut params = params(&what, &domain.uri(), now, now.plus(AUTHORITY_LIFETIME))?;
    params.serial_number = Some(SerialNumber::from_slice(&serial()));
    // Nobody below it signs anything.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    Ok(params.self_signed(key.pair())?.der().to_vec())
}

fn params(
    what: &str,
    uri: &str,
    now: UnixMs,
    expires: UnixMs,
) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, what);
    params.subject_alt_names = vec![SanType::URI(uri.try_into()?)];
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(now.0.saturating_sub(BACKDATE.0) / 1_000);
    // Up to the second that was promised, never beyond.
    params.not_after = epoch + Duration::from_secs(expires.0 / 1_000);
    Ok(params)
}

/// Positive and of full length, so that it is written as it is.
fn serial() -> [u8; SERIAL_BYTES] {
    let mut serial: [u8; SERIAL_BYTES] = rand::random();
    serial[0] = serial[0] & 0x7f | 0x40;
    serial
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_request_for_our_kind_of_key_is_refused() {
        let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let params = CertificateParams::default();
        let other = params.serialize_request(&other).unwrap();
        assert_eq!(Request::read(other.der()).err(), Some(RequestError::Kind));
        assert_eq!(
            Request::read(b"nonsense").err(),
            Some(RequestError::Unreadable)
        );
        let long = vec![0; REQUEST_BYTES_MAX + 1];
        assert_eq!(Request::read(&long).err(), Some(RequestError::TooLong));
        // Signed by its key, and then for another.
        let mut forged = Key::generate().unwrap().request().unwrap();
        let at = forged.len() / 2;
        forged[at] ^= 1;
        assert!(Request::read(&forged).is_err());
    }
}
