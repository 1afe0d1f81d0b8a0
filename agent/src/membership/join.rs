//! `stayhand-agent join`: makes this host one of a control plane's, with a token that an operator made.

use std::path::PathBuf;

use stayhand_guardrail::{id::HostId, time::UnixMs};
use stayhand_transport::{Credentials, JoinToken, Key};

use super::{AskError, FileError, IdentityFile, Member, ask, file::Found};

/// What is asked for.
pub struct Join {
    /// Where the control plane is, as `NAME:PORT`
    pub address: String,
    /// What lets this host in
    pub token: JoinToken,
    /// Under which name it joins
    pub host: HostId,
    /// Whether it leaves another control plane, or its own earlier membership, for that
    pub replace: bool,
}

/// Why the host did not join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// It has joined before.
    #[error(
        "this host joined `{address}` as `{host}` before (`{}`); to join anew, with a token that was made with --host {host} --replace where \
         that is the same control plane, say so: --replace",
        file.display()
    )]
    Before {
        /// Where
        address: String,
        /// Under which name
        host: HostId,
        /// Where that is written
        file: PathBuf,
    },
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The control plane.
    #[error(transparent)]
    Ask(#[from] AskError),
}

/// Joins. What was there before is only replaced when the control plane has let the host in.
pub async fn join(file: &IdentityFile, ask: Join, now: UnixMs) -> Result<Member, JoinError> {
    let Join {
        address,
        token,
        host,
        replace,
    } = ask;
    let bound = match file.find()? {
        Found::Member(member, _) if !replace => {
            return Err(JoinError::Before {
                address: member.address,
                host: member.host,
                file: file.path().to_owned(),
            });
        }
        // An answer may have been lost: the same key makes it the same joining.
        Found::Member(_, Some(bound)) => *bound,
        Found::Member(member, None) => {
            let bound = Key::generate().map_err(AskError::from)?;
            file.begin_anew(&member, &bound)?;
            bound
        }
        Found::Begun(begun) if begun.host == host => begun.bound,
        Found::Begun(_) | Found::Nothing => {
            let bound = Key::generate().map_err(AskError::from)?;
            // ORDER: on disk before the control plane hears of it.
            file.begin(&host, &address, &bound)?;
            bound
        }
    };
    let (issued, key) = ask::first(&address, &token, &host, &bound, now).await?;
    let member = Member {
        host,
        address,
        bound,
        authorities: issued.authorities,
        revision: issued.revision,
        credentials: Credentials {
            certificate: issued.certificate,
            key,
        },
        renew: issued.renew,
    };
    file.keep(&member)?;
    Ok(member)
}
