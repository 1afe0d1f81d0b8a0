//! The one provider of cryptography, named where it is used: nothing depends on what a process has installed.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

/// The provider of every TLS configuration.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
