//! The identity provider (`OpenID` Connect): authorization code with PKCE, and where it is turned on a code that is entered elsewhere.
//! Both are redeemed here and not by the caller, so that no token of the provider's ever is on somebody's machine.
//!
//! Says which subject the provider vouches for, and nothing else: who that is here, and what they may, is asked elsewhere. No claim
//! but the subject is looked at, because people choose the others.

mod device;
mod http;
mod pending;
mod provider;

pub use device::Code;
pub use provider::{Begun, Finish, Oidc};

use std::path::PathBuf;

use stayhand_transport::private_file::PrivateFileError;

/// Why the provider cannot be asked at all.
#[derive(Debug, thiserror::Error)]
pub enum OidcSetupError {
    /// The issuer is no address.
    #[error("`oidc.issuer` in control.toml: {0}")]
    Issuer(String),
    /// The file with the client's secret.
    #[error("`oidc.client_secret_file` in control.toml: {0}")]
    Secret(#[from] PrivateFileError),
    /// It is not there.
    #[error("`oidc.client_secret_file` in control.toml: there is no `{}`", .0.display())]
    NoSecret(PathBuf),
    /// Whom to believe.
    #[error("cannot tell which certificates of the provider to believe: {0}")]
    Roots(String),
    /// The library.
    #[error("cannot speak to the provider: {0}")]
    Client(String),
}

/// Why signing in came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    /// Nobody answers, or not as a provider does.
    #[error("the identity provider {issuer} cannot be asked: {problem}")]
    Unreachable {
        /// Which
        issuer: String,
        /// Why, shown safely
        problem: String,
    },
    /// A field of the request.
    #[error("{field}: {problem}")]
    Field {
        /// The field
        field: &'static str,
        /// What is wrong with it
        problem: &'static str,
    },
    /// As many as may be at once.
    #[error(
        "too many people are signing in at the moment, all together or from your address; try again in some minutes"
    )]
    Busy,
    /// It was not begun here, or too long ago, or ended already.
    #[error("this signing in is not known (any more)")]
    Unknown,
    /// Nobody signs in with a code that is entered elsewhere.
    #[error(
        "signing in with a code is turned off here (`oidc.device_flow` in control.toml): use `stayhand login` where a browser can be \
         opened"
    )]
    NoDeviceFlow,
    /// The provider has no such thing.
    #[error(
        "the identity provider {0} has no signing in with a code: use `stayhand login` where a browser can be opened"
    )]
    NoDeviceEndpoint(String),
    /// The provider gives us none.
    #[error(
        "the identity provider gives this control plane no code to be entered: {0}; its client there needs the grant \
         `urn:ietf:params:oauth:grant-type:device_code`, until then use `stayhand login` where a browser can be opened"
    )]
    NoCode(String),
    /// The provider does not take the code.
    #[error("the identity provider does not confirm it: {0}")]
    Refused(String),
    /// What it says cannot be believed.
    #[error("what the identity provider says cannot be believed: {0}")]
    NotBelieved(String),
}
