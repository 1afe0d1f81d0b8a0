//! What a certificate says, once its chain is verified: who, which one, and from when to when.

use std::fmt;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};
use stayhand_guardrail::time::UnixMs;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use crate::{Pin, name::PeerName};

/// Bytes of a serial number (RFC 5280, 4.1.2.2).
const SERIAL_BYTES_MAX: usize = 20;

/// Number of a certificate; made at random.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial(Vec<u8>);

impl Serial {
    /// From bytes, without leading zeros: as certificates have it.
    pub fn new(bytes: &[u8]) -> Self {
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        Self(bytes[zeros..].to_vec())
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

/// What a certificate says. Says nothing about whether it is to be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Whose it is
    pub name: PeerName,
    /// Which one it is
    pub serial: Serial,
    /// SHA-256 of all of it: two certificates with one number are two certificates
    pub digest: [u8; 32],
    /// From when it counts
    pub not_before: UnixMs,
    /// Until when
    pub not_after: UnixMs,
}

/// Why a certificate says nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// It is none.
    #[error("it is no certificate")]
    Unreadable,
    /// It has not exactly one name of ours.
    #[error("it does not name exactly one control plane, host or operator")]
    Unnamed,
}

impl Certificate {
    /// Reads one (DER).
    pub fn read(der: &[u8]) -> Result<Self, CertificateError> {
        let certificate = parse(der)?;
        let uri = only_uri(&certificate).ok_or(CertificateError::Unnamed)?;
        let serial = certificate.raw_serial();
        if serial.len() > SERIAL_BYTES_MAX {
            return Err(CertificateError::Unreadable);
        }
        Ok(Self {
            name: uri.parse().map_err(|_| CertificateError::Unnamed)?,
            serial: Serial::new(serial),
            digest: Sha256::digest(der).into(),
            not_before: time(certificate.validity().not_before),
            not_after: time(certificate.validity().not_after),
        })
    }
}

fn time(time: x509_parser::time::ASN1Time) -> UnixMs {
    let seconds = u64::try_from(time.timestamp()).unwrap_or(0);
    UnixMs(seconds.saturating_mul(1_000))
}

/// Until when a certificate counts.
pub(crate) fn end(der: &[u8]) -> Result<UnixMs, CertificateError> {
    Ok(time(parse(der)?.validity().not_after))
}

/// The pin of a certificate's key.
pub(crate) fn pin(der: &[u8]) -> Result<Pin, CertificateError> {
    Ok(Pin::of(parse(der)?.public_key().raw))
}

/// The only URI among the names of a certificate. Names of other kinds beside it would be somebody else's.
pub(crate) fn uri(der: &[u8]) -> Result<String, CertificateError> {
    let certificate = parse(der)?;
    let uri = only_uri(&certificate).ok_or(CertificateError::Unnamed)?;
    Ok(uri.to_owned())
}

fn only_uri<'a>(certificate: &'a X509Certificate<'_>) -> Option<&'a str> {
    let names = certificate.subject_alternative_name().ok()??;
    match names.value.general_names.as_slice() {
        [GeneralName::URI(uri)] => Some(uri),
        _ => None,
    }
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, CertificateError> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(CertificateError::Unreadable),
    }
}
