//! Certificates of a host while its agent runs: renewed in time, and got anew by the bound key where the one it has does not
//! count any more. A refusal changes nothing of what is enforced.

#[cfg(test)]
mod tests;

use std::{convert::Infallible, time::Duration};

use rand::RngExt as _;
use stayhand_guardrail::id::AuthoritiesRevision;
use stayhand_proto::failure::{CERTIFICATE_OVER, CERTIFICATE_UNKNOWN, Failure, HOST_REVOKED};
use tokio::sync::watch;
use tonic::transport::Channel;

use super::{Uplink, UplinkError};
use crate::{
    clock::Now,
    health::Part,
    membership::{AskError, Member},
};

/// How often the clock is looked at: it may be set while somebody waits.
const LOOK: Duration = Duration::from_secs(30);
/// How often a host that has not joined looks whether it has.
const JOIN_LOOK: Duration = Duration::from_secs(5);
/// After a renewal that failed: the certificate counts for as long as it had, at the least, when it was due.
const RETRY: Duration = Duration::from_mins(1);
/// Within this a fleet asks for new certificates when other authorities count.
const SPREAD: Duration = Duration::from_secs(10);
/// Between tries of a host that is told that it is out: nobody is in a hurry to refuse it again.
pub(super) const REFUSED_WAIT: Duration = Duration::from_mins(1);

/// What a connection that ended says about the certificate that was shown for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing
    Nothing,
    /// It does not count any more, and the bound key may get another
    Over,
    /// The host is out
    Revoked,
}

impl Verdict {
    pub(super) fn of(error: &UplinkError) -> Self {
        let (UplinkError::Call(status) | UplinkError::Ask(AskError::Refused(status))) = error
        else {
            return Self::Nothing;
        };
        match Failure::from(&**status).reason.as_str() {
            CERTIFICATE_OVER | CERTIFICATE_UNKNOWN => Self::Over,
            HOST_REVOKED => Self::Revoked,
            _ => Self::Nothing,
        }
    }
}

impl Uplink {
    /// Waits until another certificate is due, and gets it. Ends the connection then: the next one shows it.
    pub(super) async fn renew(
        &self,
        member: Option<Member>,
        channel: Channel,
    ) -> Result<Infallible, UplinkError> {
        let Some(member) = member else {
            return self.joined().await;
        };
        let mut authorities = self.authorities.subscribe();
        loop {
            self.due(&member, &mut authorities).await?;
            // Read anew: the next one may have been written since.
            let current = match self.route.member()? {
                Some(current) if current.is_of_the_same_joining(&member) => current,
                // This connection is to whom the host belonged before.
                _ => return Err(UplinkError::Renewed),
            };
            match current.renewed(channel.clone(), Now::read().unix).await {
                Ok(renewed) => {
                    let still = self.route.member()?;
                    if still.is_some_and(|still| still.is_of_the_same_joining(&renewed)) {
                        self.route.membership.keep(&renewed)?;
                    }
                    tracing::info!("this host's certificate was renewed");
                    return Err(UplinkError::Renewed);
                }
                Err(AskError::Refused(status))
                    if Verdict::of(&UplinkError::Call(status.clone())) != Verdict::Nothing =>
                {
                    return Err(UplinkError::Call(status));
                }
                Err(error) => {
                    tracing::warn!(
                        error = crate::exit::chain(&error),
                        "this host's certificate was not renewed"
                    );
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// Waits until this host has joined: the socket of this machine is no more the way then.
    async fn joined(&self) -> Result<Infallible, UplinkError> {
        loop {
            tokio::time::sleep(JOIN_LOOK).await;
            if self.route.member()?.is_some() {
                return Err(UplinkError::Renewed);
            }
        }
    }

    async fn due(
        &self,
        member: &Member,
        authorities: &mut watch::Receiver<AuthoritiesRevision>,
    ) -> Result<(), UplinkError> {
        while Now::read().unix < member.renew {
            let others = async {
                let seen = authorities.wait_for(|counts| *counts > member.revision);
                // Without anybody who says so there are none.
                let nobody = seen.await.is_err();
                if nobody {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = others => {
                    let part = rand::rng().random_range(0.0..=1.0);
                    tokio::time::sleep(SPREAD.mul_f64(part)).await;
                    return Ok(());
                }
                () = tokio::time::sleep(LOOK) => {}
            }
            let current = self.route.member()?;
            if !current.is_some_and(|current| current.is_of_the_same_joining(member)) {
                return Err(UplinkError::Renewed);
            }
        }
        Ok(())
    }

    /// After a connection ended because its certificate does not count: gets another by the bound key.
    pub(super) async fn recover(&self) -> Result<(), UplinkError> {
        let Some(member) = self.route.member()? else {
            return Ok(());
        };
        let recovered = member.recovered(Now::read().unix).await?;
        self.route.membership.keep(&recovered)?;
        tracing::warn!("this host got another certificate by its bound key");
        Ok(())
    }

    /// Says on this host what is wrong with its membership.
    pub(super) fn note(&self, problem: Option<String>) {
        self.health.note(Part::Membership, problem);
    }
}
