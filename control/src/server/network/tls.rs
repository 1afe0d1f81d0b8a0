//! How connections are proved. The control plane's own certificate is made here, in memory, and replaced long before it is
//! over; its key is never on a disk.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    pki_types::{CertificateDer, UnixTime},
    server::{
        ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
    version::TLS13,
};
use stayhand_guardrail::time::{DurationMs, UnixMs};
use stayhand_transport::{
    ALPN_HOST, ALPN_JOIN, ALPN_OPERATOR, ALPN_SIGN_IN, Certificate, Key, Role, TrustDomain,
    provider,
};

use crate::authority::{Authority, AuthorityError, Chain, Signer};

/// Lifetime of the control plane's own certificate.
const OWN_LIFETIME: DurationMs = DurationMs::from_secs(24 * 3_600);

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    /// No certificate of our own.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// No key of our own.
    #[error(transparent)]
    Key(#[from] stayhand_transport::KeyError),
    /// The authorities.
    #[error(transparent)]
    Authorities(#[from] stayhand_transport::AuthoritiesError),
    /// The library refuses.
    #[error("TLS: {0}")]
    Tls(#[from] Error),
    /// It refuses to verify.
    #[error("TLS: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

/// One configuration for each of those that may come.
#[derive(Clone)]
pub(super) struct Configs {
    /// For whoever has a certificate
    pub(super) host: Arc<ServerConfig>,
    /// For whoever has none
    pub(super) join: Arc<ServerConfig>,
    /// For an operator who has one
    pub(super) operator: Arc<ServerConfig>,
    /// For one who has none
    pub(super) sign_in: Arc<ServerConfig>,
}

/// Makes configurations, and makes them anew in time.
pub(super) struct Tls(Mutex<Option<Made>>);

struct Made {
    chain: Arc<Chain>,
    since: UnixMs,
    renew: UnixMs,
    configs: Configs,
}

impl Tls {
    pub(super) fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// Those that count now.
    pub(super) fn configs(&self, authority: &Authority, now: UnixMs) -> Result<Configs, TlsError> {
        let chain = authority.chain();
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*made {
            // One from before a clock was set back is from the future.
            Some(made)
                if Arc::ptr_eq(&made.chain, &chain) && (made.since..made.renew).contains(&now) =>
            {
                Ok(made.configs.clone())
            }
            _ => {
                let configs = make(&chain, now)?;
                *made = Some(Made {
                    chain,
                    since: now,
                    renew: now.plus(DurationMs(OWN_LIFETIME.0 / 2)),
                    configs: configs.clone(),
                });
                Ok(configs)
            }
        }
    }
}

fn make(chain: &Chain, now: UnixMs) -> Result<Configs, TlsError> {
    let shown = Arc::new(Shown::by(chain, now)?);
    let builder =
        || ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13]);
    let known = |is_theirs: fn(&Role) -> bool, alpn| -> Result<_, TlsError> {
        let roots = Arc::new(chain.authorities().roots()?);
        let verifier = Arc::new(KnownVerifier {
            domain: chain.domain().clone(),
            is_theirs,
            chain: WebPkiClientVerifier::builder_with_provider(roots, provider()).build()?,
        });
        let config = builder()?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::clone(&shown) as _);
        Ok(settled(config, alpn))
    };
    let unknown = |alpn| -> Result<_, TlsError> {
        let config = builder()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&shown) as _);
        Ok(settled(config, alpn))
    };
    Ok(Configs {
        host: known(|role| matches!(role, Role::Host(_)), ALPN_HOST)?,
        join: unknown(ALPN_JOIN)?,
        operator: known(|role| matches!(role, Role::Operator(_)), ALPN_OPERATOR)?,
        sign_in: unknown(ALPN_SIGN_IN)?,
    })
}

/// Certificates of the control plane, one by each authority that somebody may believe.
#[derive(Debug)]
struct Shown {
    by_label: BTreeMap<String, Arc<CertifiedKey>>,
    newest: Arc<CertifiedKey>,
}

impl Shown {
    fn by(chain: &Chain, now: UnixMs) -> Result<Self, TlsError> {
        let key = Key::generate()?;
        let mut by_label = BTreeMap::new();
        for signer in chain.signers() {
            by_label.insert(signer.pin().label(), certified(signer, &key, now)?);
        }
        let newest = by_label.get(&chain.issuing()?.pin().label()).cloned();
        let newest = newest.ok_or(AuthorityError::NoneIssues)?;
        Ok(Self { by_label, newest })
    }
}

fn certified(signer: &Signer, key: &Key, now: UnixMs) -> Result<Arc<CertifiedKey>, TlsError> {
    let own = signer.issue_own(key, now, OWN_LIFETIME)?;
    // With its authority, which whoever joins knows by its pin alone.
    let chain = vec![own.certificate.into(), signer.certificate().to_vec().into()];
    let key = provider().key_provider.load_private_key(key.for_tls())?;
    Ok(Arc::new(CertifiedKey::new(chain, key)))
}

impl ResolvesServerCert for Shown {
    /// Whoever asks for an authority that is no more is shown the newest: what becomes of that is theirs to say.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let asked = hello
            .server_name()
            .and_then(|label| self.by_label.get(label));
        Some(Arc::clone(asked.unwrap_or(&self.newest)))
    }
}

fn settled(mut config: ServerConfig, alpn: &[u8]) -> Arc<ServerConfig> {
    config.alpn_protocols = vec![alpn.to_vec()];
    // Every connection proves everything anew.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;
    Arc::new(config)
}

/// Lets in whoever has the key of a certificate that we signed for one of theirs, be it over or not: who it is is known then, and
/// they can be told what is wrong. What they may do is asked with every call, and with a certificate that is over that is nothing.
#[derive(Debug)]
struct KnownVerifier {
    domain: TrustDomain,
    is_theirs: fn(&Role) -> bool,
    chain: Arc<dyn ClientCertVerifier>,
}

impl ClientCertVerifier for KnownVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // Whoever comes has one certificate; which authorities there are is nobody's business.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let wrong = || Error::InvalidCertificate(rustls::CertificateError::NotValidForName);
        let certificate = Certificate::read(end_entity).map_err(|_| wrong())?;
        let ours =
            certificate.name.domain == self.domain && (self.is_theirs)(&certificate.name.role);
        if !ours || !intermediates.is_empty() {
            return Err(wrong());
        }
        let time = |at: UnixMs| UnixTime::since_unix_epoch(std::time::Duration::from_millis(at.0));
        let (first, last) = (time(certificate.not_before), time(certificate.not_after));
        let at = if now.as_secs() > last.as_secs() {
            last
        } else if now.as_secs() < first.as_secs() {
            first
        } else {
            now
        };
        self.chain.verify_client_cert(end_entity, &[], at)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
