//! How the end that dials verifies the other: whoever holds a certificate of the authority that says `control` is the
//! control plane, whatever name or address was dialled. There is nothing to configure and nothing to leave out.

use std::{net::IpAddr, sync::Arc};

use rustls::{
    CertificateError as Bad, ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{CryptoProvider, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
    version::TLS13,
};

use crate::{
    ALPN_HOST, ALPN_JOIN, ALPN_OPERATOR, ALPN_SIGN_IN, Authorities, Certificate, Key, Pin, Role,
    crypto::provider,
};

/// What somebody shows who has joined.
#[derive(Debug)]
pub struct Credentials {
    /// The certificate (DER)
    pub certificate: Vec<u8>,
    /// Its key
    pub key: Key,
}

/// How somebody dials: what is verified and shown, and which authority is asked for.
#[derive(Clone, Debug)]
pub struct Dialling {
    /// For the library
    pub config: ClientConfig,
    /// Whom the dialling end believes, see [`Pin::label`]
    pub label: String,
    /// From which address of this machine; none = from whichever leads there
    pub source: Option<IpAddr>,
}

impl Dialling {
    fn new(config: ClientConfig, label: String) -> Self {
        Self {
            config,
            label,
            source: None,
        }
    }

    /// The same from one address of this machine.
    #[must_use]
    pub fn from(self, source: IpAddr) -> Self {
        Self {
            source: Some(source),
            ..self
        }
    }
}

/// For a host that has a certificate.
pub fn member(authorities: Authorities, own: &Credentials) -> Result<Dialling, Error> {
    known(authorities, own, ALPN_HOST)
}

/// For a host that has none: the authority is whoever has this pin.
pub fn joining(pin: Pin) -> Result<Dialling, Error> {
    pinned(pin, ALPN_JOIN)
}

/// For a host that joined before and whose certificate does not count any more.
pub fn recovering(authorities: Authorities) -> Result<Dialling, Error> {
    unknown(authorities, ALPN_JOIN)
}

/// For an operator who has a certificate.
pub fn operator(authorities: Authorities, own: &Credentials) -> Result<Dialling, Error> {
    known(authorities, own, ALPN_OPERATOR)
}

/// For an operator who has none, or whose token says whom to believe: the authority is whoever has this pin.
pub fn signing_in(pin: Pin) -> Result<Dialling, Error> {
    pinned(pin, ALPN_SIGN_IN)
}

/// For an operator who signed in before.
pub fn signing_in_again(authorities: Authorities) -> Result<Dialling, Error> {
    unknown(authorities, ALPN_SIGN_IN)
}

fn known(authorities: Authorities, own: &Credentials, alpn: &[u8]) -> Result<Dialling, Error> {
    let label = newest(&authorities)?;
    let chain = vec![CertificateDer::from(own.certificate.clone())];
    let believed = Believed::Authorities(authorities);
    let mut config = verifying(believed)?.with_client_auth_cert(chain, own.key.for_tls())?;
    settle(&mut config, alpn);
    Ok(Dialling::new(config, label))
}

fn pinned(pin: Pin, alpn: &[u8]) -> Result<Dialling, Error> {
    let mut config = verifying(Believed::Pin(pin))?.with_no_client_auth();
    settle(&mut config, alpn);
    Ok(Dialling::new(config, pin.label()))
}

fn unknown(authorities: Authorities, alpn: &[u8]) -> Result<Dialling, Error> {
    let label = newest(&authorities)?;
    let mut config = verifying(Believed::Authorities(authorities))?.with_no_client_auth();
    settle(&mut config, alpn);
    Ok(Dialling::new(config, label))
}

fn newest(authorities: &Authorities) -> Result<String, Error> {
    let newest = authorities.newest();
    newest
        .map(|pin| pin.label())
        .map_err(|error| Error::General(error.to_string()))
}

fn verifying(
    believed: Believed,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>, Error> {
    let provider = provider();
    let verifier = ControlVerifier {
        believed,
        provider: Arc::clone(&provider),
    };
    Ok(ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier)))
}

fn settle(config: &mut ClientConfig, alpn: &[u8]) {
    config.alpn_protocols = vec![alpn.to_vec()];
    // Every connection proves everything anew.
    config.resumption = Resumption::disabled();
}

/// Whom the dialling end believes.
#[derive(Debug)]
enum Believed {
    /// These
    Authorities(Authorities),
    /// The one that the other end shows and that has this pin
    Pin(Pin),
}

#[derive(Debug)]
struct ControlVerifier {
    believed: Believed,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for ControlVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _dialled: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let unknown = || Error::InvalidCertificate(Bad::UnknownIssuer);
        let authorities = match &self.believed {
            Believed::Authorities(authorities) => authorities.clone(),
            Believed::Pin(pin) => Authorities::pinned(intermediates, *pin)
                .map_err(|_| unknown())?
                .ok_or_else(unknown)?,
        };
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(end_entity)?,
            &authorities.roots().map_err(|_| unknown())?,
            // None of ours has one between it and its authority.
            &[],
            now,
            self.provider.signature_verification_algorithms.all,
        )?;
        let read = Certificate::read(end_entity);
        let named = read.is_ok_and(|certificate| {
            certificate.name.role == Role::Control
                && certificate.name.domain == *authorities.domain()
        });
        if !named {
            return Err(Error::InvalidCertificate(Bad::NotValidForName));
        }
        Ok(ServerCertVerified::assertion())
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
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
