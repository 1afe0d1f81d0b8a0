//! How this host is known to a control plane elsewhere: its certificate, the key to which it is bound, and whom it believes.
//!
//! All of it is made here and one file holds it. Never decides what is enforced: a host whose certificate is over goes on
//! enforcing what it has.

mod ask;
mod file;
mod join;
mod renewal;
#[cfg(test)]
mod tests;

pub use ask::AskError;
pub use file::{FileError, IdentityFile};
pub use join::{Join, JoinError, join};

use std::fmt;

use stayhand_guardrail::{
    id::{AuthoritiesRevision, HostId},
    time::UnixMs,
};
use stayhand_proto::v1::IssuedCertificate;
use stayhand_transport::{Authorities, Credentials, Key};

/// A host that joined.
pub struct Member {
    /// Under which name
    pub host: HostId,
    /// Where the control plane is
    pub address: String,
    /// To which the host is bound
    pub bound: Key,
    /// Whom it believes
    pub authorities: Authorities,
    /// Number of that set
    pub revision: AuthoritiesRevision,
    /// What it shows
    pub credentials: Credentials,
    /// When it asks for another certificate
    pub renew: UnixMs,
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Member({} of {})", self.host, self.address)
    }
}

/// What the control plane issued, once it was looked at.
#[derive(Debug)]
pub struct Issued {
    certificate: Vec<u8>,
    authorities: Authorities,
    revision: AuthoritiesRevision,
    renew: UnixMs,
}

/// Why what the control plane issued is not taken.
#[derive(Debug, thiserror::Error)]
#[error("the control plane issued something that is no certificate of this host: {0}")]
pub struct NotTaken(String);

impl Issued {
    /// Looks at what came: it has to be for this host, by an authority that came along.
    /// `random` is when within the time for it another one is asked for.
    pub fn read(
        wire: Option<IssuedCertificate>,
        host: &HostId,
        now: UnixMs,
        random: u32,
    ) -> Result<Self, NotTaken> {
        let wrong = |why: String| NotTaken(why);
        let IssuedCertificate {
            certificate,
            authorities,
            authorities_revision,
        } = wire.ok_or_else(|| wrong("nothing".to_owned()))?;
        let authorities =
            Authorities::new(authorities).map_err(|error| wrong(error.to_string()))?;
        let read = stayhand_transport::Certificate::read(&certificate)
            .map_err(|error| wrong(error.to_string()))?;
        let named = stayhand_transport::Role::Host(host.clone());
        if read.name.domain != *authorities.domain() || read.name.role != named {
            return Err(wrong(format!("it is for {}", read.name)));
        }
        Ok(Self {
            certificate,
            authorities,
            revision: AuthoritiesRevision(authorities_revision),
            renew: renewal::due(now, &read, random),
        })
    }

    /// The certificate (DER).
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// When another one is asked for.
    pub fn renew(&self) -> UnixMs {
        self.renew
    }
}

impl Member {
    /// Whether this is the same joining as another: a host may have joined anew meanwhile, elsewhere even.
    pub(crate) fn is_of_the_same_joining(&self, other: &Self) -> bool {
        self.bound.public() == other.bound.public()
            && self.authorities.domain() == other.authorities.domain()
    }

    /// The same host with what was issued for `key`.
    fn with(self, issued: Issued, key: Key) -> Self {
        Self {
            authorities: issued.authorities,
            revision: issued.revision,
            credentials: Credentials {
                certificate: issued.certificate,
                key,
            },
            renew: issued.renew,
            ..self
        }
    }
}
