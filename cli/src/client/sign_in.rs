//! From somebody without a certificate to a session: at the identity provider, or with a token.

use std::time::{Duration, Instant};

use stayhand_guardrail::{text::safe, time::DurationMs};
use stayhand_proto::{
    convert::{duration, name},
    v1::{
        self, BeginDeviceSignInRequest, BeginSignInRequest, BeginSignInResponse,
        ExchangeTokenRequest, FinishSignInRequest, PollDeviceSignInRequest,
        sign_in_service_client::SignInServiceClient,
    },
    view::SessionView,
};
use stayhand_transport::{
    AccessToken, Authorities, Credentials, Dialled, Dialling, Key, Pin, dial, signing_in,
    signing_in_again,
};

use tonic::Status;
use tonic_types::StatusExt as _;

use super::ANSWER_BYTES_MAX;
use crate::{
    access::not_dialled,
    failure::{Failure, Kind},
    session_file::SessionFile,
};

/// How often it is asked at most whether a code was entered, whatever the other end says.
const POLL_PAUSE_MIN: Duration = Duration::from_secs(1);
/// The same at least: whoever is not heard of for a minute is given up.
const POLL_PAUSE_MAX: Duration = Duration::from_secs(15);

/// Whom to believe at the other end.
#[derive(Clone, Debug)]
pub(crate) enum Believing {
    /// Whoever has this pin
    Pin(Pin),
    /// Those whom the last session knew
    Known(Authorities),
}

impl Believing {
    fn dialling(&self) -> Result<Dialling, Failure> {
        let dialling = match self {
            Self::Pin(pin) => signing_in(*pin),
            Self::Known(authorities) => signing_in_again(authorities.clone()),
        };
        dialling.map_err(|error| Failure::general(error.to_string()))
    }
}

/// Each step on a connection of its own: people take minutes in between.
async fn client(
    address: &str,
    believing: &Believing,
) -> Result<SignInServiceClient<tonic::transport::Channel>, Failure> {
    let dialled = dial(address, believing.dialling()?).await;
    let Dialled { channel, .. } = dialled.map_err(|error| not_dialled(&error))?;
    Ok(SignInServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX))
}

/// Begins.
pub(crate) async fn begin(
    address: &str,
    believing: &Believing,
    redirect_uri: String,
    code_challenge: String,
) -> Result<BeginSignInResponse, Failure> {
    let ask = BeginSignInRequest {
        redirect_uri,
        code_challenge,
    };
    let begun = client(address, believing).await?.begin_sign_in(ask).await;
    let begun = begun.map_err(|status| Failure::of_status("sign in", &status));
    begun.map(tonic::Response::into_inner)
}

/// What the provider sent back.
#[derive(Debug)]
pub(crate) struct Redeem {
    pub(crate) sign_in: String,
    pub(crate) code: String,
    pub(crate) code_verifier: String,
}

/// Ends it with a session.
pub(crate) async fn finish(
    address: &str,
    believing: &Believing,
    redeem: Redeem,
) -> Result<SessionFile, Failure> {
    let key = generated()?;
    let Redeem {
        sign_in,
        code,
        code_verifier,
    } = redeem;
    let ask = FinishSignInRequest {
        sign_in,
        code,
        code_verifier,
        certificate_request: requested(&key)?,
    };
    let finished = client(address, believing).await?.finish_sign_in(ask).await;
    let finished = finished.map_err(|status| Failure::of_status("sign in", &status))?;
    session(finished.into_inner().opened, key, address)
}

/// A code to be entered elsewhere, in safe text.
#[derive(Debug)]
pub(crate) struct ShownCode {
    pub(crate) verification_uri: String,
    pub(crate) user_code: String,
    pub(crate) lifetime: DurationMs,
    pub(crate) poll_interval: Duration,
    sign_in: String,
}

/// Begins with a code.
pub(crate) async fn begin_device(
    address: &str,
    believing: &Believing,
) -> Result<ShownCode, Failure> {
    let ask = BeginDeviceSignInRequest {};
    let mut client = client(address, believing).await?;
    let begun = client.begin_device_sign_in(ask).await;
    let begun = begun.map_err(|status| Failure::of_status("sign in", &status))?;
    let begun = begun.into_inner();
    let read = |field, wire| duration(field, wire).map_err(|error| odd(&safe(&error.to_string())));
    let poll_interval = read("poll_interval", begun.poll_interval)?;
    Ok(ShownCode {
        verification_uri: safe(&begun.verification_uri),
        user_code: safe(&begun.user_code),
        lifetime: read("lifetime", begun.lifetime)?,
        poll_interval: Duration::from_millis(poll_interval.0).clamp(POLL_PAUSE_MIN, POLL_PAUSE_MAX),
        sign_in: begun.sign_in,
    })
}

/// Waits until the code is entered: a session then.
pub(crate) async fn entered(
    address: &str,
    believing: &Believing,
    code: &ShownCode,
) -> Result<SessionFile, Failure> {
    let key = generated()?;
    let ask = PollDeviceSignInRequest {
        sign_in: code.sign_in.clone(),
        certificate_request: requested(&key)?,
    };
    let end = Instant::now() + Duration::from_millis(code.lifetime.0);
    loop {
        tokio::time::sleep(code.poll_interval).await;
        let mut client = match client(address, believing).await {
            Ok(client) => client,
            // Somebody is entering the code meanwhile.
            Err(failure) if failure.kind == Kind::Unavailable && Instant::now() < end => continue,
            Err(failure) => return Err(failure),
        };
        match client.poll_device_sign_in(ask.clone()).await {
            Ok(polled) => {
                if let Some(opened) = polled.into_inner().opened {
                    return session(Some(opened), key, address);
                }
            }
            // Of the connection and not of the control plane, which says why.
            Err(status) if is_of_transport(&status) && Instant::now() < end => continue,
            Err(status) => return Err(Failure::of_status("sign in", &status)),
        }
        if Instant::now() >= end {
            return Err(Failure::general("sign in: nobody entered the code in time")
                .hint("begin again: stayhand login --device-code"));
        }
    }
}

fn is_of_transport(status: &Status) -> bool {
    status.get_error_details().error_info().is_none()
}

/// A token becomes a session.
pub(crate) async fn exchange(token: &AccessToken, address: &str) -> Result<SessionFile, Failure> {
    let key = generated()?;
    let ask = ExchangeTokenRequest {
        token: name::access_token(token.id),
        secret: token.secret.reveal().to_vec(),
        certificate_request: requested(&key)?,
    };
    let mut client = client(address, &Believing::Pin(token.pin)).await?;
    let exchanged = client.exchange_token(ask).await;
    let exchanged = exchanged.map_err(|status| Failure::of_status("use the token", &status))?;
    session(exchanged.into_inner().opened, key, address)
}

/// A new key, which never leaves this machine.
pub(crate) fn generated() -> Result<Key, Failure> {
    Key::generate().map_err(|error| Failure::general(error.to_string()))
}

/// What asks for a certificate for it.
pub(crate) fn requested(key: &Key) -> Result<Vec<u8>, Failure> {
    key.request()
        .map_err(|error| Failure::general(error.to_string()))
}

/// What was opened, with the key that it was opened for.
pub(crate) fn session(
    opened: Option<v1::OpenedSession>,
    key: Key,
    address: &str,
) -> Result<SessionFile, Failure> {
    let opened = opened.ok_or_else(|| odd("it opened nothing"))?;
    let session = opened.session.ok_or_else(|| odd("it names no session"))?;
    let session = SessionView::try_from(session).map_err(|error| odd(&safe(&error.to_string())))?;
    let authorities = Authorities::new(opened.authorities);
    Ok(SessionFile {
        address: address.to_owned(),
        user: session.user,
        session: session.id,
        expires: session.expires,
        authorities: authorities.map_err(|error| odd(&error.to_string()))?,
        credentials: Credentials {
            certificate: opened.certificate,
            key,
        },
    })
}

fn odd(what: &str) -> Failure {
    Failure::general(format!("the control plane's answer is odd: {what}"))
}
