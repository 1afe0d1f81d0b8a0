//! Where somebody signed in: the control plane's address, whom to believe there, and a certificate that counts for some hours. One
//! file, readable for its owner only.
//!
//! Holds no password and no token of the identity provider's: there never is one on this machine.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stayhand_guardrail::{
    id::{SessionId, UserName},
    time::UnixMs,
};
use stayhand_transport::{
    Authorities, Credentials, Key,
    private_file::{self, PrivateFileError},
};
use zeroize::Zeroizing;

use crate::failure::{Failure, Kind};

/// Its place within the directory for configurations.
const NAME: &str = "stayhand/session.toml";

/// What it says.
#[derive(Debug)]
pub(crate) struct SessionFile {
    /// Where the control plane is (`NAME:PORT`)
    pub(crate) address: String,
    /// Who one is there
    pub(crate) user: UserName,
    /// The session
    pub(crate) session: SessionId,
    /// Until when it counts
    pub(crate) expires: UnixMs,
    /// Whom to believe
    pub(crate) authorities: Authorities,
    /// What is shown there
    pub(crate) credentials: Credentials,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    address: String,
    user: UserName,
    session: SessionId,
    expire_ms: u64,
    authorities: String,
    certificate: String,
    key: Zeroizing<String>,
}

/// `$XDG_CONFIG_HOME`, or `~/.config`; none for whoever has no home.
pub(crate) fn usual_place() -> Option<PathBuf> {
    let absolute = |name: &str| {
        let path = PathBuf::from(std::env::var_os(name)?);
        path.is_absolute().then_some(path)
    };
    let directory = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")));
    Some(directory?.join(NAME))
}

impl SessionFile {
    /// Reads one; none where there is none.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, Failure> {
        let Some(text) = private_file::read(path).map_err(unusable)? else {
            return Ok(None);
        };
        let broken = |problem: &str| {
            let error = format!("session `{}` cannot be read: {problem}", path.display());
            Failure::general(error).hint("sign in anew: stayhand login NAME:PORT --pin PIN")
        };
        // The library's own words quote what it reads, and here that is a key.
        let written: Written =
            toml::from_str(&text).map_err(|_| broken("it is not as it was written"))?;
        let Written {
            address,
            user,
            session,
            expire_ms,
            authorities,
            certificate,
            key,
        } = written;
        let authorities =
            Authorities::from_pem(&authorities).map_err(|error| broken(&error.to_string()))?;
        let certificate = stayhand_transport::from_pem(&certificate)
            .ok_or_else(|| broken("its certificate is none"))?;
        let key = Key::from_pem(&key).map_err(|error| broken(&error.to_string()))?;
        Ok(Some(Self {
            address,
            user,
            session,
            expires: UnixMs(expire_ms),
            authorities,
            credentials: Credentials { certificate, key },
        }))
    }

    /// Writes it, in the place of what was there.
    pub(crate) fn keep(&self, path: &Path) -> Result<(), Failure> {
        let text = toml::to_string(&Written {
            address: self.address.clone(),
            user: self.user.clone(),
            session: self.session,
            expire_ms: self.expires.0,
            authorities: self.authorities.pem(),
            certificate: stayhand_transport::pem(&self.credentials.certificate),
            key: self.credentials.key.pem(),
        });
        let text = text
            .map(Zeroizing::new)
            .map_err(|_| Failure::general("the session cannot be written as text"))?;
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory).map_err(|error| {
                Failure::general(format!("cannot make `{}`: {error}", directory.display()))
            })?;
        }
        private_file::write(path, &text).map_err(unusable)
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "errors come by value from `map_err`"
)]
fn unusable(error: PrivateFileError) -> Failure {
    Failure::new(Kind::General, error.to_string())
}
