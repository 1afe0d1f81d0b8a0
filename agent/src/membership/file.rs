//! The one file of a host's membership. Written aside and moved into place, so that key, certificate and authorities always
//! belong together; readable for root only.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stayhand_guardrail::{
    id::{AuthoritiesRevision, HostId},
    time::UnixMs,
};
use stayhand_transport::{
    Authorities, AuthoritiesError, Credentials, Key, KeyError,
    private_file::{self, PrivateFileError},
};
use zeroize::Zeroizing;

use super::Member;

/// Its name within the state directory.
const NAME: &str = "membership.toml";
/// Where the file is.
#[derive(Clone, Debug)]
pub struct IdentityFile(PathBuf);

/// Why it cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// Its content.
    #[error("`{}` cannot be read: {problem}; move it away and join anew (stayhand-agent join)", path.display())]
    Content {
        /// The file
        path: PathBuf,
        /// What is wrong; never its content
        problem: String,
    },
}

/// What is written. A host that has begun to join has no certificate yet.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    host: HostId,
    address: String,
    bound_key: Zeroizing<String>,
    /// The one to which the host will be bound where it is joining anew
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next_bound_key: Option<Zeroizing<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    joined: Option<Joined>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Joined {
    renew_ms: u64,
    authorities_revision: AuthoritiesRevision,
    authorities: String,
    certificate: String,
    key: Zeroizing<String>,
}

/// What a host has that began to join.
pub(super) struct Begun {
    pub(super) host: HostId,
    pub(super) bound: Key,
}

/// What the file says.
pub(super) enum Found {
    Nothing,
    Begun(Box<Begun>),
    /// With the key of a joining anew that has not come to its end
    Member(Box<Member>, Option<Box<Key>>),
}

impl IdentityFile {
    /// That of a state directory.
    pub fn in_state(directory: &Path) -> Self {
        Self(directory.join(NAME))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The membership, where this host has joined.
    pub fn member(&self) -> Result<Option<Member>, FileError> {
        match self.find()? {
            Found::Member(member, _) => Ok(Some(*member)),
            Found::Nothing | Found::Begun(_) => Ok(None),
        }
    }

    pub(super) fn find(&self) -> Result<Found, FileError> {
        let Some(text) = private_file::read(&self.0)? else {
            return Ok(Found::Nothing);
        };
        let content = |problem: String| FileError::Content {
            path: self.0.clone(),
            problem,
        };
        // The library's own words quote what it reads, and here that is keys.
        let written: Written = toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(0, |span| {
                text.get(..span.start)
                    .map_or(0, |before| before.matches('\n').count() + 1)
            });
            content(format!("line {line} is not as it was written"))
        })?;
        let Written {
            host,
            address,
            bound_key,
            next_bound_key,
            joined,
        } = written;
        let bound = Key::from_pem(&bound_key).map_err(|error| content(error.to_string()))?;
        let Some(joined) = joined else {
            return Ok(Found::Begun(Box::new(Begun { host, bound })));
        };
        let member = joined.read(host, address, bound).map_err(content)?;
        let next = next_bound_key.map(|key| Key::from_pem(&key)).transpose();
        let next = next.map_err(|error| content(error.to_string()))?;
        Ok(Found::Member(Box::new(member), next.map(Box::new)))
    }

    /// Writes that a host begins to join: the key to which it will be bound is on disk before anybody hears of it.
    pub(super) fn begin(&self, host: &HostId, address: &str, bound: &Key) -> Result<(), FileError> {
        self.write(&Written {
            host: host.clone(),
            address: address.to_owned(),
            bound_key: bound.pem(),
            next_bound_key: None,
            joined: None,
        })
    }

    /// The same of a host that joins anew: what it has goes on until it has something else.
    pub(super) fn begin_anew(&self, member: &Member, bound: &Key) -> Result<(), FileError> {
        self.write(&Written {
            host: member.host.clone(),
            address: member.address.clone(),
            bound_key: member.bound.pem(),
            next_bound_key: Some(bound.pem()),
            joined: Some(Joined::of(member)),
        })
    }

    /// Writes what a host has.
    pub fn keep(&self, member: &Member) -> Result<(), FileError> {
        self.write(&Written {
            host: member.host.clone(),
            address: member.address.clone(),
            bound_key: member.bound.pem(),
            next_bound_key: None,
            joined: Some(Joined::of(member)),
        })
    }

    fn write(&self, written: &Written) -> Result<(), FileError> {
        let text = toml::to_string(written).map(Zeroizing::new);
        let text = text.map_err(|error| FileError::Content {
            path: self.0.clone(),
            problem: error.to_string(),
        })?;
        Ok(private_file::write(&self.0, &text)?)
    }
}

impl Joined {
    fn of(member: &Member) -> Self {
        Self {
            renew_ms: member.renew.0,
            authorities_revision: member.revision,
            authorities: member.authorities.pem(),
            certificate: stayhand_transport::pem(&member.credentials.certificate),
            key: member.credentials.key.pem(),
        }
    }

    fn read(self, host: HostId, address: String, bound: Key) -> Result<Member, String> {
        let authorities = Authorities::from_pem(&self.authorities)
            .map_err(|error: AuthoritiesError| error.to_string())?;
        let key = Key::from_pem(&self.key).map_err(|error: KeyError| error.to_string())?;
        let certificate = stayhand_transport::from_pem(&self.certificate)
            .ok_or_else(|| "its certificate is none".to_owned())?;
        Ok(Member {
            host,
            address,
            bound,
            authorities,
            revision: self.authorities_revision,
            credentials: Credentials { certificate, key },
            renew: UnixMs(self.renew_ms),
        })
    }
}
