//! What is said to the provider and what it answers.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use data_encoding::BASE64URL_NOPAD;
use openidconnect::{
    AdditionalProviderMetadata, AuthenticationFlow, AuthorizationCode, ClaimsVerificationError,
    ClientId, ClientSecret, CsrfToken, DeviceAuthorizationUrl, EndpointMaybeSet, EndpointNotSet,
    EndpointSet, ErrorResponse, IssuerUrl, Nonce, NonceVerifier, PkceCodeVerifier,
    ProviderMetadata, RedirectUrl, RequestTokenError, SignatureVerificationError,
    TokenResponse as _,
    core::{
        CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClient, CoreClientAuthMethod,
        CoreGrantType, CoreIdToken, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm,
        CoreJweKeyManagementAlgorithm, CoreJwsSigningAlgorithm, CoreResponseMode, CoreResponseType,
        CoreSubjectIdentifierType,
    },
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use stayhand_guardrail::text::safe_cut;
use stayhand_transport::private_file;
use subtle::ConstantTimeEq as _;
use tokio::sync::Mutex;

use super::{
    OidcError, OidcSetupError,
    device::{self, Waiting},
    http::{Http, HttpError},
    pending::{AllPending, Bounds},
};
use crate::config;

/// How long is believed what the provider says of itself. Its keys change, so a signature that none of them made asks anew.
const KNOWN_FOR: Duration = Duration::from_mins(5);
/// Characters of what a provider says that are shown.
const SAID_CHARS_MAX: usize = 300;
/// Characters of a code: the longest of known providers has some 2,000.
const CODE_CHARS_MAX: usize = 4_096;
/// Begun at once.
const BOUNDS: Bounds = Bounds {
    all: 1_024,
    per_address: 32,
    silence: None,
};
/// Characters of a verifier (RFC 7636, 4.1).
const VERIFIER_CHARS: std::ops::RangeInclusive<usize> = 43..=128;
/// Signatures that anybody can check and only the provider can make; `none` and shared secrets are not among them.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

pub(super) type Client = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// What a provider says of itself, with what RFC 8628 (4) adds.
pub(super) type Metadata = ProviderMetadata<
    DeviceMetadata,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

/// See [`Metadata`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct DeviceMetadata {
    pub(super) device_authorization_endpoint: Option<DeviceAuthorizationUrl>,
}

impl AdditionalProviderMetadata for DeviceMetadata {}

/// The provider. Cheap to copy.
#[derive(Clone, Debug)]
pub struct Oidc(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    issuer: IssuerUrl,
    client_id: ClientId,
    client_secret: Option<ClientSecret>,
    pub(super) http: Http,
    known: Mutex<Option<(Instant, Arc<Metadata>)>>,
    pending: AllPending<Pending>,
    /// None where nobody signs in with a code
    pub(super) device: Option<AllPending<Waiting>>,
}

/// One that was begun in a browser.
#[derive(Debug)]
struct Pending {
    redirect: RedirectUrl,
    challenge: String,
    nonce: Nonce,
}

/// What was begun.
#[derive(Clone, Debug)]
pub struct Begun {
    /// Names it, for whoever ends it
    pub sign_in: String,
    /// For a browser
    pub authorization_uri: String,
    /// What has to come back with the code
    pub state: String,
}

/// What ends it.
#[derive(Clone, Debug)]
pub struct Finish {
    /// Which one
    pub sign_in: String,
    /// From the provider
    pub code: String,
    /// Of the challenge that it began with
    pub code_verifier: String,
}

impl Oidc {
    /// The one that the configuration names, if it names one. Asks nobody yet.
    pub fn new(config: &config::Oidc) -> Result<Option<Self>, OidcSetupError> {
        let Some(issuer) = &config.issuer else {
            return Ok(None);
        };
        let issuer = IssuerUrl::new(issuer.clone())
            .map_err(|error| OidcSetupError::Issuer(error.to_string()))?;
        let client_secret = match &config.client_secret_file {
            None => None,
            Some(file) => {
                let text = private_file::read(file)?;
                let text = text.ok_or_else(|| OidcSetupError::NoSecret(file.clone()))?;
                Some(ClientSecret::new(text.trim().to_owned()))
            }
        };
        Ok(Some(Self(Arc::new(Inner {
            issuer,
            client_id: ClientId::new(config.client_id.clone()),
            client_secret,
            http: Http::new(config.authority_file.as_deref())?,
            known: Mutex::default(),
            pending: AllPending::new(BOUNDS),
            device: config.device_flow.then(|| AllPending::new(device::BOUNDS)),
        }))))
    }

    /// Which provider.
    pub fn issuer(&self) -> &str {
        self.0.issuer.as_str()
    }

    /// Begins to sign in.
    pub async fn begin(
        &self,
        redirect: &str,
        challenge: &str,
        from: IpAddr,
    ) -> Result<Begun, OidcError> {
        let redirect = loopback(redirect)?;
        check_challenge(challenge)?;
        let client = self.client(&*self.provider().await?);
        let (url, state, nonce) = client
            .set_redirect_uri(redirect.clone())
            .authorize_url(
                AuthenticationFlow::<CoreResponseType>::AuthorizationCode,
                CsrfToken::new_random,
                Nonce::new_random,
            )
            .add_extra_param("code_challenge", challenge)
            .add_extra_param("code_challenge_method", "S256")
            .url();
        let sign_in = self.0.pending.keep(from, || Pending {
            redirect,
            challenge: challenge.to_owned(),
            nonce,
        })?;
        Ok(Begun {
            sign_in,
            authorization_uri: url.into(),
            state: state.into_secret(),
        })
    }

    /// Redeems a code. Returns the subject. Only whoever has the verifier can; whoever guesses has used it up.
    pub async fn finish(&self, finish: Finish) -> Result<String, OidcError> {
        let pending = self.0.pending.take(&finish.sign_in)?;
        if !is_of(&finish.code_verifier, &pending.challenge) {
            return Err(OidcError::Unknown);
        }
        if finish.code.is_empty() || finish.code.len() > CODE_CHARS_MAX {
            return Err(field("code", "is none of a provider"));
        }
        if !VERIFIER_CHARS.contains(&finish.code_verifier.len()) {
            return Err(field("code_verifier", "has 43 to 128 characters"));
        }
        let client = self.client(&*self.provider().await?);
        let client = client.set_redirect_uri(pending.redirect);
        let exchange = client.exchange_code(AuthorizationCode::new(finish.code));
        let exchange = exchange.map_err(|error| self.unreachable(&error))?;
        let redeemed = exchange
            .set_pkce_verifier(PkceCodeVerifier::new(finish.code_verifier))
            .request_async(&self.0.http)
            .await
            .map_err(|error| self.not_redeemed(&error))?;
        let token = redeemed.id_token();
        let token = token.ok_or_else(|| not_believed("it sends no ID token"))?;
        self.subject(token, &pending.nonce).await
    }

    /// Whom a token names, if it is to be believed. The provider's keys change: by one that is not known it is asked anew.
    pub(super) async fn subject(
        &self,
        token: &CoreIdToken,
        nonce: impl NonceVerifier + Copy,
    ) -> Result<String, OidcError> {
        let client = self.client(&*self.provider().await?);
        match subject(&client, token, nonce) {
            Err(ClaimsVerificationError::SignatureVerification(
                SignatureVerificationError::NoMatchingKey,
            )) => {
                self.0.known.lock().await.take();
                let client = self.client(&*self.provider().await?);
                subject(&client, token, nonce)
            }
            said => said,
        }
        .map_err(|error| not_believed(&error.to_string()))
    }

    pub(super) fn client(&self, provider: &Metadata) -> Client {
        let secret = self.0.client_secret.clone();
        CoreClient::from_provider_metadata(provider.clone(), self.0.client_id.clone(), secret)
    }

    /// What the provider says of itself, its keys among it.
    pub(super) async fn provider(&self) -> Result<Arc<Metadata>, OidcError> {
        // Held while it is asked: whoever comes meanwhile needs the same answer.
        let mut known = self.0.known.lock().await;
        if let Some((since, provider)) = &*known
            && since.elapsed() < KNOWN_FOR
        {
            return Ok(Arc::clone(provider));
        }
        let asked = Metadata::discover_async(self.0.issuer.clone(), &self.0.http).await;
        let provider = Arc::new(asked.map_err(|error| match error {
            openidconnect::DiscoveryError::Request(error) => self.unreachable(&error),
            other => self.unreachable(&other),
        })?);
        *known = Some((Instant::now(), Arc::clone(&provider)));
        Ok(provider)
    }

    pub(super) fn unreachable(&self, problem: &dyn std::error::Error) -> OidcError {
        let problem = shown(&problem.to_string());
        tracing::error!(issuer = self.issuer(), problem, "identity provider");
        OidcError::Unreachable {
            issuer: self.issuer().to_owned(),
            problem,
        }
    }

    pub(super) fn not_redeemed<E>(&self, error: &RequestTokenError<HttpError, E>) -> OidcError
    where
        E: ErrorResponse + std::fmt::Display + 'static,
    {
        match error {
            RequestTokenError::ServerResponse(said) => OidcError::Refused(shown(&said.to_string())),
            RequestTokenError::Request(error) => self.unreachable(error),
            other => self.unreachable(other),
        }
    }
}

fn subject(
    client: &Client,
    token: &CoreIdToken,
    nonce: impl NonceVerifier,
) -> Result<String, ClaimsVerificationError> {
    let verifier = client.id_token_verifier().set_allowed_algs(ALGORITHMS);
    let claims = token.claims(&verifier, nonce)?;
    Ok(claims.subject().as_str().to_owned())
}

/// Back to the machine that asks and to nobody else: a loopback address, not a name that somebody could give another meaning
/// (RFC 8252, 7.3 and 8.3).
fn loopback(redirect: &str) -> Result<RedirectUrl, OidcError> {
    const FIELD: &str = "redirect_uri";
    const WANTED: &str = "must be http://127.0.0.1:PORT/PATH or http://[::1]:PORT/PATH";
    let parsed = RedirectUrl::new(redirect.to_owned()).map_err(|_| field(FIELD, WANTED))?;
    let url = parsed.url();
    let is_loopback = match url.host() {
        Some(openidconnect::url::Host::Ipv4(address)) => address == std::net::Ipv4Addr::LOCALHOST,
        Some(openidconnect::url::Host::Ipv6(address)) => address.is_loopback(),
        Some(openidconnect::url::Host::Domain(_)) | None => false,
    };
    let plain = url.scheme() == "http"
        && url.port().is_some()
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if is_loopback && plain {
        Ok(parsed)
    } else {
        Err(field(FIELD, WANTED))
    }
}

fn check_challenge(challenge: &str) -> Result<(), OidcError> {
    let decoded = BASE64URL_NOPAD.decode(challenge.as_bytes());
    if decoded.is_ok_and(|digest| digest.len() == 32) {
        Ok(())
    } else {
        Err(field("code_challenge", "is no challenge of PKCE (S256)"))
    }
}

/// Whether a challenge was made of this verifier (RFC 7636, 4.6).
fn is_of(verifier: &str, challenge: &str) -> bool {
    let made = BASE64URL_NOPAD.encode(&Sha256::digest(verifier));
    made.as_bytes().ct_eq(challenge.as_bytes()).into()
}

fn field(field: &'static str, problem: &'static str) -> OidcError {
    OidcError::Field { field, problem }
}

pub(super) fn not_believed(problem: &str) -> OidcError {
    OidcError::NotBelieved(shown(problem))
}

pub(super) fn shown(text: &str) -> String {
    safe_cut(text.as_bytes(), SAID_CHARS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_comes_back_to_the_own_machine_and_nowhere_else() {
        for bad in [
            "https://127.0.0.1:1/",
            "http://localhost:1/",
            "http://127.0.0.1/",
            "http://10.0.0.1:1/",
            "http://127.0.0.1:1/?x=1",
            "http://127.0.0.1:1/#x",
            "http://u@127.0.0.1:1/",
            "http://127.0.0.1.example:1/",
            "http://[::2]:1/",
            "app:/x",
            "",
        ] {
            assert!(loopback(bad).is_err(), "{bad}");
        }
        for good in ["http://127.0.0.1:40111/back", "http://[::1]:40111/"] {
            assert!(loopback(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn only_whoever_has_the_verifier_ends_it() {
        // RFC 7636, appendix B.
        let (verifier, challenge) = (
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        );
        assert!(is_of(verifier, challenge));
        assert!(!is_of(&format!("{verifier} "), challenge));
        assert!(!is_of(challenge, challenge));
        assert!(!is_of("", challenge));
    }

    #[test]
    fn a_challenge_is_a_digest() {
        assert!(check_challenge("plain").is_err());
        assert!(check_challenge(&"A".repeat(44)).is_err());
        assert!(check_challenge(&"A".repeat(43)).is_ok());
    }
}
