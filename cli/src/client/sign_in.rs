//! From somebody without a certificate to a session: at the identity provider, or with a token.

use stayhand_guardrail::text::safe;
use stayhand_proto::{
    convert::name,
    v1::{
        self, BeginSignInRequest, BeginSignInResponse, ExchangeTokenRequest, FinishSignInRequest,
        sign_in_service_client::SignInServiceClient,
    },
    view::SessionView,
};
use stayhand_transport::{
    AccessToken, Authorities, Credentials, Dialled, Dialling, Key, Pin, dial, signing_in,
    signing_in_again,
};

use super::ANSWER_BYTES_MAX;
use crate::{access::not_dialled, failure::Failure, session_file::SessionFile};

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
    let odd = |what: &str| Failure::general(format!("the control plane's answer is odd: {what}"));
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
