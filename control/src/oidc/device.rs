//! Signing in with a code that is entered in a browser anywhere (RFC 8628), for whoever has none on their machine. Off by default:
//! somebody who talks another person into entering a code is signed in as that person.

use std::{net::IpAddr, time::Duration};

use openidconnect::{
    DeviceAuthorizationUrl, Nonce, RequestTokenError, TokenResponse as _,
    core::CoreDeviceAuthorizationResponse,
};
use stayhand_guardrail::{text::safe_cut, time::DurationMs};
use tokio::sync::oneshot;

use super::{
    Oidc, OidcError,
    pending::{Bounds, TIME},
    provider::{Metadata, not_believed, shown},
};

/// At once: for each of them the provider is asked every few seconds, until nobody asks us any more.
pub(super) const BOUNDS: Bounds = Bounds {
    all: 256,
    per_address: 8,
    // Whoever waits asks several times as often.
    silence: Some(Duration::from_mins(1)),
};
/// How often the provider is asked at most, whatever it says; the standard's own is 5 seconds (3.2).
const INTERVAL_MIN: Duration = Duration::from_secs(1);
/// How often we are asked at least: that costs the provider nothing.
const POLL_INTERVAL_MAX: Duration = Duration::from_secs(10);
/// The library goes by the wall clock, which can be set; ours ends it.
const NEVER: Duration = Duration::from_hours(24);
/// Characters of a code that people type: those of known providers have 8 or 9.
const USER_CODE_CHARS_MAX: usize = 64;

/// One that waits for its code to be entered. Whoever lets go of it ends the asking.
#[derive(Debug)]
pub(super) struct Waiting(oneshot::Receiver<Result<String, OidcError>>);

/// A code for somebody to enter.
#[derive(Clone, Debug)]
pub struct Code {
    /// Names the signing in, for whoever asks what came of it
    pub sign_in: String,
    /// Where it is entered
    pub verification_uri: String,
    /// The code, shown safely
    pub user_code: String,
    /// How long it is worth something
    pub lifetime: DurationMs,
    /// How long to wait before it is asked for again
    pub poll_interval: DurationMs,
}

impl Oidc {
    /// Begins to sign in with a code.
    ///
    /// # Errors
    ///
    /// It is turned off here or at the provider, the provider cannot be asked, or too many have begun.
    pub async fn begin_device(&self, from: IpAddr) -> Result<Code, OidcError> {
        let waiting = self.0.device.as_ref().ok_or(OidcError::NoDeviceFlow)?;
        let provider = self.provider().await?;
        let endpoint = &provider.additional_metadata().device_authorization_endpoint;
        let endpoint = endpoint.clone();
        let endpoint =
            endpoint.ok_or_else(|| OidcError::NoDeviceEndpoint(self.issuer().to_owned()))?;
        // Before the provider is asked, so that nobody makes us ask it more often than that.
        let (tell, told) = oneshot::channel();
        let sign_in = waiting.keep(from, || Waiting(told))?;
        let code = match self.code(&provider, endpoint).await {
            Ok(code) => code,
            Err(error) => {
                drop(waiting.take(&sign_in));
                return Err(error);
            }
        };
        let lifetime = code.expires_in().min(TIME);
        let begun = Code {
            sign_in,
            verification_uri: code.verification_uri().url().to_string(),
            user_code: safe_cut(code.user_code().secret().as_bytes(), USER_CODE_CHARS_MAX),
            lifetime: span(lifetime),
            poll_interval: span(code.interval().clamp(INTERVAL_MIN, POLL_INTERVAL_MAX)),
        };
        tokio::spawn(self.clone().wait(code, lifetime, tell));
        Ok(begun)
    }

    /// Whom the provider named since then, if the code was entered.
    ///
    /// # Errors
    ///
    /// It was not begun here or ended already, or somebody said no, or what the provider says is not to be believed.
    pub fn poll_device(&self, sign_in: &str) -> Result<Option<String>, OidcError> {
        let waiting = self.0.device.as_ref().ok_or(OidcError::NoDeviceFlow)?;
        let ended = waiting.end(sign_in, |one| match one.0.try_recv() {
            Ok(ended) => Some(ended),
            Err(oneshot::error::TryRecvError::Empty) => None,
            Err(oneshot::error::TryRecvError::Closed) => Some(Err(OidcError::Unknown)),
        });
        ended?.transpose()
    }

    async fn code(
        &self,
        provider: &Metadata,
        endpoint: DeviceAuthorizationUrl,
    ) -> Result<CoreDeviceAuthorizationResponse, OidcError> {
        let client = self.client(provider);
        let code: CoreDeviceAuthorizationResponse = client
            .set_device_authorization_url(endpoint)
            .exchange_device_code()
            .request_async(&self.0.http)
            .await
            .map_err(|error| match error {
                RequestTokenError::ServerResponse(said) => {
                    OidcError::NoCode(shown(&said.to_string()))
                }
                other => self.not_redeemed(&other),
            })?;
        is_usable(&code).map(|()| code)
    }

    async fn wait(
        self,
        code: CoreDeviceAuthorizationResponse,
        lifetime: Duration,
        mut tell: oneshot::Sender<Result<String, OidcError>>,
    ) {
        let entered = tokio::time::timeout(lifetime, self.entered(&code));
        let ended = tokio::select! {
            ended = entered => ended.unwrap_or_else(|_| {
                Err(OidcError::Refused("nobody entered the code in time".to_owned()))
            }),
            // Nobody asks for it any more.
            () = tell.closed() => return,
        };
        // It is over in this moment.
        let _told = tell.send(ended);
    }

    async fn entered(&self, code: &CoreDeviceAuthorizationResponse) -> Result<String, OidcError> {
        let client = self.client(&*self.provider().await?);
        let http = self.0.http.patient();
        let exchange = client.exchange_device_access_token(code);
        let exchange = exchange.map_err(|error| self.unreachable(&error))?;
        let redeemed = exchange
            .set_max_backoff_interval(code.interval().max(POLL_INTERVAL_MAX))
            .request_async(&http, |interval| self.pause(interval), Some(NEVER))
            .await
            .map_err(|error| self.not_redeemed(&error))?;
        let token = redeemed.id_token();
        let token = token.ok_or_else(|| not_believed("it sends no ID token"))?;
        self.subject(token, no_nonce).await
    }

    async fn pause(&self, interval: Duration) {
        tokio::time::sleep(interval.max(INTERVAL_MIN)).await;
        // Whoever has gone away meanwhile is noticed here, and so is this one.
        if let Some(waiting) = &self.0.device {
            waiting.tidy();
        }
    }
}

/// Whether somebody can be told to enter it, and we can ask what came of it.
fn is_usable(code: &CoreDeviceAuthorizationResponse) -> Result<(), OidcError> {
    // People enter a password there.
    if code.verification_uri().url().scheme() != "https" {
        return Err(not_believed("the code is to be entered without TLS"));
    }
    if code.interval() > TIME {
        return Err(not_believed(
            "it is to be asked less often than a code is worth something",
        ));
    }
    Ok(())
}

fn span(time: Duration) -> DurationMs {
    DurationMs(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// None was sent (the standard has no place for one), so none can come back: what ties the token to this signing in is the code of the
/// device, which nobody but us and the provider knows.
fn no_nonce(nonce: Option<&Nonce>) -> Result<(), String> {
    match nonce {
        None => Ok(()),
        Some(_) => Err("it has a nonce that nobody sent".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_entered_over_tls_and_asked_for_while_it_is_worth_something() {
        let usable = |uri: &str, interval: u64| {
            let code = format!(
                r#"{{"device_code": "d", "user_code": "u", "verification_uri": "{uri}", "expires_in": 600, "interval": {interval}}}"#
            );
            is_usable(&serde_json::from_str(&code).unwrap()).is_ok()
        };
        assert!(usable("https://idp/device", 0) && usable("https://idp/device", 60));
        assert!(!usable("http://idp/device", 5));
        assert!(!usable("https://idp/device", u64::MAX));
    }

    #[test]
    fn a_token_of_another_signing_in_is_not_taken() {
        assert!(no_nonce(None).is_ok());
        assert!(no_nonce(Some(&Nonce::new("of a browser".to_owned()))).is_err());
    }
}
