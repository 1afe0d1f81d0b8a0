//! `stayhand login` and `stayhand logout`: signing in at the identity provider, in a browser.
//!
//! The provider sends the browser back to this machine with a code, which the control plane redeems; or a code is entered in a browser
//! elsewhere, and the control plane asks the provider for what came of it. No token of the provider's is ever here.

mod browser;
mod loopback;

use std::path::PathBuf;

use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest as _, Sha256};
use stayhand_guardrail::text::safe;
use stayhand_transport::{Pin, check_address};

use crate::{
    args::Global,
    client::{Control, Ending, sign_in},
    failure::{Failure, Kind},
    screen::Screen,
    session_file::{self, SessionFile},
};
use loopback::Loopback;
use sign_in::{Believing, Redeem};

/// Sign in to a control plane over the network
///
/// Opens the identity provider in a browser and waits for it to come back. What you get is a certificate that counts for some hours;
/// commands use it by themselves. Where no browser can be opened, open the address that is printed in one on this machine; on a machine
/// without a browser use --device-code, if the control plane lets you.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stayhand login control.example:7443 --pin 0mG3…     the first time; `stayhand authority ls` there shows the pin
  stayhand login                                      again, where you did before
  stayhand login --device-code                        the browser is on another machine
  stayhand whoami                                     who you are there, and until when")]
pub(crate) struct Login {
    /// Where the control plane is, as NAME:PORT; left out: where you signed in before
    #[arg(value_name = "ADDRESS", value_parser = address)]
    address: Option<String>,
    /// Pin of the control plane's authority: whoever else answers there is not believed
    #[arg(long, value_name = "PIN")]
    pin: Option<Pin>,
    /// Only print the address to be opened
    #[arg(long)]
    no_browser: bool,
    /// Sign in with a code that you enter in a browser on any machine; off unless `oidc.device_flow` in control.toml turns it on
    #[arg(long, conflicts_with = "no_browser")]
    device_code: bool,
}

/// End the session of `stayhand login`, and forget it
#[derive(Debug, clap::Args)]
pub(crate) struct Logout {}

fn address(text: &str) -> Result<String, String> {
    check_address(text).map_err(|error| error.to_string())?;
    Ok(text.to_owned())
}

fn place(global: &Global) -> Result<PathBuf, Failure> {
    let place = global
        .session_file
        .clone()
        .or_else(session_file::usual_place);
    place.ok_or_else(|| {
        Failure::general(
            "there is no place for what you sign in with: neither HOME nor XDG_CONFIG_HOME is set",
        )
        .hint("name a file with --session-file")
    })
}

pub(crate) async fn login(
    arguments: &Login,
    global: &Global,
    screen: &Screen,
) -> Result<(), Failure> {
    let place = place(global)?;
    let before = match &arguments.pin {
        // Whatever is there is replaced, readable or not.
        Some(_) => None,
        None => SessionFile::read(&place)?,
    };
    let address = arguments.address.clone();
    let address = address.or_else(|| before.as_ref().map(|before| before.address.clone()));
    let address = address.ok_or_else(|| {
        Failure::general("you have not signed in anywhere from here yet")
            .hint("say where: stayhand login NAME:PORT --pin PIN")
    })?;
    let believing = match (arguments.pin, before) {
        (Some(pin), _) => Believing::Pin(pin),
        (None, Some(before)) => Believing::Known(before.authorities),
        (None, None) => {
            let error = format!("nothing says whom to believe at `{}`", safe(&address));
            return Err(Failure::general(error).hint(
                "add --pin PIN: `stayhand authority ls` on the control plane's machine shows it",
            ));
        }
    };
    let signed_in = if arguments.device_code {
        with_code(&address, &believing, screen).await?
    } else {
        in_browser(&address, &believing, arguments.no_browser, screen).await?
    };
    signed_in.keep(&place)?;
    screen.note(&format!(
        "signed in to {} as {} until {}",
        safe(&signed_in.address),
        signed_in.user,
        signed_in.expires
    ));
    Ok(())
}

async fn in_browser(
    address: &str,
    believing: &Believing,
    no_browser: bool,
    screen: &Screen,
) -> Result<SessionFile, Failure> {
    let loopback = Loopback::listen().await?;
    let code_verifier = BASE64URL_NOPAD.encode(&secret()?);
    let challenge = BASE64URL_NOPAD.encode(&Sha256::digest(&code_verifier));
    let begun = sign_in::begin(address, believing, loopback.uri(), challenge).await?;
    screen.note(&format!(
        "sign in here, in a browser on this machine:\n  {}",
        safe(&begun.authorization_uri)
    ));
    if !no_browser {
        browser::open(&begun.authorization_uri);
    }
    let code = loopback.code(&begun.state).await?;
    let redeem = Redeem {
        sign_in: begun.sign_in,
        code,
        code_verifier,
    };
    sign_in::finish(address, believing, redeem).await
}

async fn with_code(
    address: &str,
    believing: &Believing,
    screen: &Screen,
) -> Result<SessionFile, Failure> {
    let code = sign_in::begin_device(address, believing).await?;
    screen.note(&format!(
        "open this in a browser on any machine, and enter the code {} within {}:\n  {}\nwhoever enters it signs you in here as \
         themselves: enter only a code that you asked for yourself",
        code.user_code, code.lifetime, code.verification_uri
    ));
    sign_in::entered(address, believing, &code).await
}

fn secret() -> Result<[u8; 32], Failure> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::general(format!("this machine has no randomness: {error}")))?;
    Ok(bytes)
}

pub(crate) async fn logout(global: &Global, screen: &Screen) -> Result<(), Failure> {
    let place = place(global)?;
    let Some(file) = SessionFile::read(&place)? else {
        return Err(Failure::new(Kind::NotFound, "nobody is signed in here"));
    };
    let session = file.session;
    let ended = match Control::with_session(file, global.patience()).await {
        Ok(control) => {
            let reason = "stayhand logout".to_owned();
            let ended = control.revoke_sessions(Ending::One(session), reason).await;
            ended.map(|_| ())
        }
        Err(failure) => Err(failure),
    };
    std::fs::remove_file(&place).map_err(|error| {
        Failure::general(format!("cannot remove `{}`: {error}", place.display()))
    })?;
    match ended {
        Ok(()) => screen.note("signed out"),
        // Whoever copied the file meanwhile could still use it.
        Err(failure) => screen.warning(&format!(
            "signed out here only, the control plane was not told ({}); session {session} counts there until it is over",
            failure.error
        )),
    }
    Ok(())
}
