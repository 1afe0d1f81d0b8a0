//! Private keys: ECDSA on P-256, made where they are used and never sent anywhere.

use std::fmt;

use rcgen::{CertificateParams, DistinguishedName, KeyPair, PublicKeyData as _, SigningKey as _};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

/// A private key.
pub struct Key(KeyPair);

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The text is none.
    #[error("it holds no private key of ours (PKCS #8, ECDSA on P-256)")]
    Unreadable,
    /// The system has no randomness, or refuses to sign.
    #[error("the key does not work: {0}")]
    Failed(String),
}

impl KeyError {
    fn failed(error: impl fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }
}

impl Key {
    /// A new one, from the system's randomness.
    pub fn generate() -> Result<Self, KeyError> {
        KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)
            .map(Self)
            .map_err(KeyError::failed)
    }

    /// Reads what [`Self::pem`] wrote.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        KeyPair::from_pkcs8_pem_and_sign_algo(text, &rcgen::PKCS_ECDSA_P256_SHA256)
            .map(Self)
            .map_err(|_| KeyError::Unreadable)
    }

    /// For a file that only its owner may read.
    pub fn pem(&self) -> Zeroizing<String> {
        Zeroizing::new(self.0.serialize_pem())
    }

    /// Its public half (`SubjectPublicKeyInfo`, DER).
    pub fn public(&self) -> Vec<u8> {
        self.0.subject_public_key_info()
    }

    /// Asks for a certificate (PKCS #10, DER). It carries no name: whoever issues the certificate says who this is.
    pub fn request(&self) -> Result<Vec<u8>, KeyError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&self.0);
        Ok(request.map_err(KeyError::failed)?.der().to_vec())
    }

    /// Signs (ECDSA with SHA-256, ASN.1 form).
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.0.sign(message).map_err(KeyError::failed)
    }

    /// For a TLS configuration.
    pub fn for_tls(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.0.serialize_der()).into()
    }

    /// For signing certificates.
    pub fn pair(&self) -> &KeyPair {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_and_shows_nothing_of_itself() {
        let key = Key::generate().unwrap();
        let again = Key::from_pem(&key.pem()).unwrap();
        assert_eq!(key.public(), again.public());
        assert_eq!(format!("{key:?}"), "Key(..)");
        assert_ne!(key.public(), Key::generate().unwrap().public());
    }

    #[test]
    fn another_kind_of_key_is_refused() {
        let other = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        for text in [other.serialize_pem(), String::new(), "nonsense".to_owned()] {
            assert!(matches!(Key::from_pem(&text), Err(KeyError::Unreadable)));
        }
    }
}
