//! The authorities that somebody believes: one, or while a new one takes over, two.

use rustls::pki_types::pem::PemObject as _;
use rustls::{RootCertStore, pki_types::CertificateDer};
use stayhand_guardrail::time::UnixMs;

use crate::{Pin, certificate, name::TrustDomain};

/// Authorities at once: the one that issues, its successor, and one to spare for a change that was begun anew.
const AUTHORITIES_MAX: usize = 3;
/// Bytes of one authority's certificate: ours have some 500.
const CERTIFICATE_BYTES_MAX: usize = 4_096;

/// Authorities, all of one trust domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorities {
    domain: TrustDomain,
    certificates: Vec<CertificateDer<'static>>,
}

/// Why nobody could be believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthoritiesError {
    /// None, or too many.
    #[error("{0} authorities; there are 1 to {AUTHORITIES_MAX}")]
    Count(usize),
    /// One of them cannot be read.
    #[error("one of the authorities is no certificate of one")]
    Unreadable,
    /// They are of different trust domains.
    #[error("the authorities are of different trust domains")]
    Mixed,
}

impl Authorities {
    /// From certificates (DER).
    pub fn new(certificates: Vec<Vec<u8>>) -> Result<Self, AuthoritiesError> {
        if certificates.is_empty() || certificates.len() > AUTHORITIES_MAX {
            return Err(AuthoritiesError::Count(certificates.len()));
        }
        let mut domains = certificates.iter().map(|der| domain(der));
        let first = domains
            .next()
            .unwrap_or(Err(AuthoritiesError::Unreadable))?;
        for other in domains {
            if other? != first {
                return Err(AuthoritiesError::Mixed);
            }
        }
        let certificates = certificates.into_iter().map(CertificateDer::from);
        let all = Self {
            domain: first,
            certificates: certificates.collect(),
        };
        all.roots()?;
        Ok(all)
    }

    /// Reads what [`Self::pem`] wrote.
    pub fn from_pem(text: &str) -> Result<Self, AuthoritiesError> {
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes())
            .map(|one| one.map(|der| der.to_vec()))
            .collect();
        Self::new(certificates.map_err(|_| AuthoritiesError::Unreadable)?)
    }

    /// For a file.
    pub fn pem(&self) -> String {
        let blocks = self.certificates.iter().map(|der| pem(der));
        blocks.collect()
    }

    /// Whose names they sign.
    pub fn domain(&self) -> &TrustDomain {
        &self.domain
    }

    /// The certificates, oldest first.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }

    /// The pin of the newest one.
    pub fn newest(&self) -> Result<Pin, AuthoritiesError> {
        let newest = self.certificates.last();
        let newest = newest.ok_or(AuthoritiesError::Count(0))?;
        certificate::pin(newest).map_err(|_| AuthoritiesError::Unreadable)
    }

    /// When the newest one ends by itself.
    pub fn expires(&self) -> Result<UnixMs, AuthoritiesError> {
        let newest = self.certificates.last();
        let newest = newest.ok_or(AuthoritiesError::Count(0))?;
        certificate::end(newest).map_err(|_| AuthoritiesError::Unreadable)
    }

    /// For a verifier.
    pub fn roots(&self) -> Result<RootCertStore, AuthoritiesError> {
        let mut roots = RootCertStore::empty();
        for certificate in &self.certificates {
            let added = roots.add(certificate.clone());
            added.map_err(|_| AuthoritiesError::Unreadable)?;
        }
        Ok(roots)
    }

    /// The one that has this pin.
    pub fn pinned(
        presented: &[CertificateDer<'_>],
        pin: Pin,
    ) -> Result<Option<Self>, AuthoritiesError> {
        let matching = presented
            .iter()
            .find(|der| certificate::pin(der).is_ok_and(|found| found == pin));
        matching
            .map(|der| Self::new(vec![der.to_vec()]))
            .transpose()
    }
}

/// Reads the only certificate of what [`pem`] wrote.
pub fn from_pem(text: &str) -> Option<Vec<u8>> {
    let mut all = CertificateDer::pem_slice_iter(text.as_bytes());
    let only = all.next()?.ok()?;
    all.next().is_none().then(|| only.to_vec())
}

/// One certificate as PEM.
pub fn pem(der: &[u8]) -> String {
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    pem::encode_config(&pem::Pem::new("CERTIFICATE", der), config)
}

fn domain(der: &[u8]) -> Result<TrustDomain, AuthoritiesError> {
    if der.len() > CERTIFICATE_BYTES_MAX {
        return Err(AuthoritiesError::Unreadable);
    }
    let uri = certificate::uri(der).map_err(|_| AuthoritiesError::Unreadable)?;
    TrustDomain::from_uri(&uri).map_err(|_| AuthoritiesError::Unreadable)
}
