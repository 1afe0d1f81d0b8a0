//! Who signs the certificates of hosts and of the control plane itself: an authority of our own, made at the first start.
//!
//! Its key is a file beside the database and never leaves it. Decides nothing about who gets a certificate, and what it
//! signs counts only once it is stored.

mod issue;
mod keys;

pub use issue::{Issued, Request, RequestError};
pub use keys::KeyFileError;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use stayhand_guardrail::{id::AuthoritiesRevision, time::UnixMs};
use stayhand_transport::{Authorities, AuthoritiesError, Key, KeyError, Pin, TrustDomain};

use crate::store::{Store, StoreError, StoredAuthority};
use keys::Keys;

/// Directory of the keys within the state directory.
const DIRECTORY: &str = "authority";

/// Why there is nobody to sign.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file of a key.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// A key that does not work.
    #[error("the authority's key: {0}")]
    Key(#[from] KeyError),
    /// What is stored of them.
    #[error("the stored authorities: {0}")]
    Stored(#[from] AuthoritiesError),
    /// None of them issues.
    #[error(
        "none of the stored authorities issues certificates; restore a whole copy of the store"
    )]
    NoneIssues,
    /// Signing failed.
    #[error("cannot sign a certificate: {0}")]
    Signing(#[from] rcgen::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The authorities of this control plane, with the key of the one that issues.
#[derive(Debug)]
pub struct Authority {
    keys: Keys,
    chain: RwLock<Arc<Chain>>,
}

/// The authorities that count at one time.
#[derive(Debug)]
pub struct Chain {
    revision: AuthoritiesRevision,
    authorities: Authorities,
    /// Oldest first; the last one issues
    signers: Vec<Signer>,
}

/// One of them, with its key.
#[derive(Debug)]
pub struct Signer {
    number: u32,
    domain: TrustDomain,
    certificate: Vec<u8>,
    key: Key,
}

impl Authority {
    /// Those of a store; makes the first one where there is none.
    pub async fn open(store: &Store, state: &Path, now: UnixMs) -> Result<Self, AuthorityError> {
        let keys = Keys::in_directory(directory(state));
        let (_, stored) = store.authorities().await?;
        if stored.is_empty() {
            let domain = new_domain();
            let mut write = store.begin().await?;
            write.add_authority(&make(&keys, &domain, 1, now)?).await?;
            write.commit().await?;
            tracing::info!(%domain, "made the authority of this control plane");
        }
        let chain = Chain::load(store, &keys).await?;
        Ok(Self {
            keys,
            chain: RwLock::new(Arc::new(chain)),
        })
    }

    /// Those that count now.
    pub fn chain(&self) -> Arc<Chain> {
        Arc::clone(&self.chain.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes a successor, which is not stored yet.
    pub fn successor(&self, number: u32, now: UnixMs) -> Result<StoredAuthority, AuthorityError> {
        let chain = self.chain();
        let domain = chain.domain();
        make(&self.keys, domain, number, now)
    }

    /// Takes in what was changed in the store.
    pub async fn reload(&self, store: &Store) -> Result<(), AuthorityError> {
        let chain = Chain::load(store, &self.keys).await?;
        let mut current = self.chain.write().unwrap_or_else(PoisonError::into_inner);
        // Two may be under way; the older set never comes after the newer one.
        if chain.revision > current.revision {
            *current = Arc::new(chain);
        }
        Ok(())
    }
}

impl Chain {
    async fn load(store: &Store, keys: &Keys) -> Result<Self, AuthorityError> {
        let (revision, stored) = store.authorities().await?;
        let certificates = stored.iter().map(|one| one.certificate.clone());
        let authorities = Authorities::new(certificates.collect())?;
        let domain = authorities.domain();
        let signers = stored.into_iter().map(|one| {
            let pin = Authorities::new(vec![one.certificate.clone()])?.newest()?;
            Ok(Signer {
                number: one.number,
                domain: domain.clone(),
                certificate: one.certificate,
                key: keys.read(pin)?,
            })
        });
        let signers: Result<_, AuthorityError> = signers.collect();
        Ok(Self {
            revision,
            signers: signers?,
            authorities,
        })
    }

    /// Number of this set.
    pub fn revision(&self) -> AuthoritiesRevision {
        self.revision
    }

    /// All of them: whom hosts are to believe.
    pub fn authorities(&self) -> &Authorities {
        &self.authorities
    }

    /// Whose names they sign.
    pub fn domain(&self) -> &TrustDomain {
        self.authorities.domain()
    }

    /// The one that issues.
    pub fn issuing(&self) -> Result<&Signer, AuthorityError> {
        self.signers.last().ok_or(AuthorityError::NoneIssues)
    }

    /// Every one that is believed by somebody: each signs for the control plane itself, towards whoever believes it alone.
    pub fn signers(&self) -> &[Signer] {
        &self.signers
    }
}

impl Signer {
    /// Which one it is.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// By what a host that joins tells it from every other.
    pub fn pin(&self) -> Pin {
        Pin::of(&self.key.public())
    }

    /// Its certificate (DER).
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }
}

fn directory(state: &Path) -> PathBuf {
    state.join(DIRECTORY)
}

fn make(
    keys: &Keys,
    domain: &TrustDomain,
    number: u32,
    now: UnixMs,
) -> Result<StoredAuthority, AuthorityError> {
    let key = Key::generate()?;
    let certificate = issue::authority(&key, domain, number, now)?;
    // ORDER: before its certificate is stored. A key that nobody refers to is harmless, the reverse is not.
    keys.write(Pin::of(&key.public()), &key)?;
    Ok(StoredAuthority {
        number,
        certificate,
        created: now,
    })
}

/// A name that no other control plane has, and that says nothing about anybody.
fn new_domain() -> TrustDomain {
    let random: [u8; 8] = rand::random();
    let random = u64::from_be_bytes(random);
    #[expect(clippy::expect_used, reason = "lower-case letters, digits and a dash")]
    format!("stayhand-{random:016x}")
        .parse()
        .expect("a trust domain")
}
