//! Requests to the provider: HTTPS and nothing else, no redirects, little time, and no more bytes than an answer has.

use std::{future::Future, path::Path, pin::Pin, time::Duration};

use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse, http::StatusCode};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use stayhand_transport::provider;

use super::OidcSetupError;

/// Time for one answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of one answer: the keys of a large provider have some 20 KiB.
const ANSWER_BYTES_MAX: usize = 256 << 10;

/// Asks.
#[derive(Clone, Debug)]
pub(super) struct Http {
    client: reqwest::Client,
    /// That the other end, or what stands before it, cannot answer now is no answer
    patient: bool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    /// The network, or TLS.
    #[error("{}", chain(.0))]
    Failed(#[from] reqwest::Error),
    /// Far more than an answer has.
    #[error("its answer has more than {ANSWER_BYTES_MAX} bytes")]
    TooLong,
    /// It cannot answer now.
    #[error("it answers {0}")]
    Busy(StatusCode),
    /// The answer is none.
    #[error("its answer is not HTTP: {0}")]
    Malformed(#[from] openidconnect::http::Error),
}

/// The library says what it was about, and not why it failed.
fn chain(error: &reqwest::Error) -> String {
    let mut said = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        said = format!("{said}: {inner}");
        cause = inner.source();
    }
    said
}

impl Http {
    /// Believes these certificates, or those of this machine.
    pub(super) fn new(authority_file: Option<&Path>) -> Result<Self, OidcSetupError> {
        let roots = match authority_file {
            Some(file) => from_file(file),
            None => of_this_machine(),
        };
        let roots = roots.map_err(OidcSetupError::Roots)?;
        let failed = |error: String| OidcSetupError::Client(error);
        let tls = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = reqwest::Client::builder()
            .use_preconfigured_tls(tls)
            .https_only(true)
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIMEOUT)
            .build();
        Ok(Self {
            client: client.map_err(|error| failed(error.to_string()))?,
            patient: false,
        })
    }

    /// The same for whoever asks again and again.
    pub(super) fn patient(&self) -> Self {
        Self {
            client: self.client.clone(),
            patient: true,
        }
    }

    async fn ask(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let mut answer = self.client.execute(request.try_into()?).await?;
        let status = answer.status();
        let is_busy = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
        if self.patient && is_busy {
            return Err(HttpError::Busy(status));
        }
        let mut said = openidconnect::http::Response::builder().status(status);
        if let Some(headers) = said.headers_mut() {
            headers.clone_from(answer.headers());
        }
        let mut body = vec![];
        while let Some(part) = answer.chunk().await? {
            if body.len() + part.len() > ANSWER_BYTES_MAX {
                return Err(HttpError::TooLong);
            }
            body.extend_from_slice(&part);
        }
        Ok(said.body(body)?)
    }
}

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.ask(request))
    }
}

fn from_file(file: &Path) -> Result<RootCertStore, String> {
    let failed = |error: String| format!("`{}`: {error}", file.display());
    let text = std::fs::read(file).map_err(|error| failed(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| failed(error.to_string()))?;
        let added = roots.add(certificate);
        added.map_err(|error| failed(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(failed("it holds no certificate (PEM)".to_owned()));
    }
    Ok(roots)
}

fn of_this_machine() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map(ToString::to_string);
        let why = why.map_or_else(String::new, |why| format!(" ({why})"));
        return Err(format!(
            "this machine has none{why}: install ca-certificates, or name a file as `oidc.authority_file` in control.toml"
        ));
    }
    Ok(roots)
}
