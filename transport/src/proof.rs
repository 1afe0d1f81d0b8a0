//! A host proves that it has the key it is bound to, over one connection and for one request: the signed text
//! contains a secret of that connection, so that it is worth nothing over another.

use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use sha2::{Digest as _, Sha256};
use stayhand_guardrail::id::HostId;
use x509_parser::prelude::{FromDer as _, SubjectPublicKeyInfo};

use crate::{
    EXPORTER_BYTES,
    key::{Key, KeyError},
};

/// Bytes of a public key (`SubjectPublicKeyInfo` of P-256 has 91).
const PUBLIC_BYTES_MAX: usize = 128;

/// For what a proof is given: one for the first is none for the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// A host joins with a token
    Join,
    /// A host that joined has no certificate that counts any more
    Recover,
}

/// What is proved.
#[derive(Clone, Copy, Debug)]
pub struct Proof<'a> {
    /// For what
    pub occasion: Occasion,
    /// Secret of the connection, [`crate::EXPORTER_LABEL`]
    pub connection: &'a [u8; EXPORTER_BYTES],
    /// Who the host says it is
    pub host: &'a HostId,
    /// The certificate that it asks for
    pub request: &'a [u8],
}

/// A proof that does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// No key of ours.
    #[error("the bound key is no ECDSA key on P-256")]
    Key,
    /// Signed by another key, for another connection, host or request.
    #[error("the proof is not that of the bound key over this connection")]
    Signature,
}

impl Proof<'_> {
    /// Made by the host.
    pub fn sign(&self, key: &Key) -> Result<Vec<u8>, KeyError> {
        key.sign(&self.text())
    }

    /// Checked by the control plane. `public` is the bound key's public half.
    pub fn verify(&self, public: &[u8], signature: &[u8]) -> Result<(), ProofError> {
        let point = point(public)?;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point)
            .verify(&self.text(), signature)
            .map_err(|_| ProofError::Signature)
    }

    /// Every part has a fixed length or is a digest, so no two proofs have the same text.
    fn text(&self) -> Vec<u8> {
        let occasion: &[u8] = match self.occasion {
            Occasion::Join => b"stayhand-proof-1 join   ",
            Occasion::Recover => b"stayhand-proof-1 recover",
        };
        let mut text = occasion.to_vec();
        text.extend_from_slice(self.connection);
        text.extend_from_slice(&Sha256::digest(self.host.as_str().as_bytes()));
        text.extend_from_slice(&Sha256::digest(self.request));
        text
    }
}

/// The bytes that are the key itself.
fn point(public: &[u8]) -> Result<Vec<u8>, ProofError> {
    if public.len() > PUBLIC_BYTES_MAX {
        return Err(ProofError::Key);
    }
    let (rest, parsed) = SubjectPublicKeyInfo::from_der(public).map_err(|_| ProofError::Key)?;
    let point = parsed.subject_public_key.data.to_vec();
    // An uncompressed point (SEC 1, 2.3.3).
    let ours = rest.is_empty() && point.len() == 65 && point.first() == Some(&4);
    ours.then_some(point).ok_or(ProofError::Key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_counts_for_its_occasion_connection_host_request_and_key_only() {
        let (key, other) = (Key::generate().unwrap(), Key::generate().unwrap());
        let (db1, db2) = (HostId::new("db1").unwrap(), HostId::new("db2").unwrap());
        let (here, there) = ([1; 32], [2; 32]);
        let proof = Proof {
            occasion: Occasion::Join,
            connection: &here,
            host: &db1,
            request: b"request",
        };
        let signature = proof.sign(&key).unwrap();
        assert_eq!(proof.verify(&key.public(), &signature), Ok(()));
        assert_eq!(
            proof.verify(&other.public(), &signature),
            Err(ProofError::Signature)
        );
        let others = [
            Proof {
                occasion: Occasion::Recover,
                ..proof
            },
            Proof {
                connection: &there,
                ..proof
            },
            Proof {
                host: &db2,
                ..proof
            },
            Proof {
                request: b"another",
                ..proof
            },
        ];
        for other in others {
            let refused = other.verify(&key.public(), &signature);
            assert_eq!(refused, Err(ProofError::Signature), "{other:?}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let host = HostId::new("db1").unwrap();
        let proof = Proof {
            occasion: Occasion::Recover,
            connection: &[0; 32],
            host: &host,
            request: b"",
        };
        let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let other = rcgen::PublicKeyData::subject_public_key_info(&other);
        for public in [vec![], vec![0; 91], vec![0x30; 4_000], other] {
            assert_eq!(proof.verify(&public, &[]), Err(ProofError::Key));
        }
    }
}
