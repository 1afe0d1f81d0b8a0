//! Hosts that joined: their certificates, and how they lose them. The transport says who they are; whether that still counts
//! is asked here.

use std::sync::Arc;

use stayhand_guardrail::{
    event::{EventKind, MembershipChange, MembershipChanged},
    id::{AuthoritiesRevision, HostId},
    time::UnixMs,
};
use stayhand_proto::view::MembershipView;
use stayhand_transport::{Certificate, Role};

use super::{App, Error, NotAdmitted, ids, view};
use crate::{
    authority::Request,
    authz::Action,
    limits::{CERTIFICATES_PER_HOST_MAX, TOKEN_MEMORY},
    operator::{HostAgent, Operator},
    store::{Revoked, Standing, StoredCertificate, StoredMember, Write},
};

/// A certificate with what its host is to believe.
#[derive(Clone, Debug)]
pub struct Certified {
    /// The certificate (DER)
    pub certificate: Vec<u8>,
    /// Every authority that counts (DER)
    pub authorities: Vec<Vec<u8>>,
    /// Number of that set
    pub revision: AuthoritiesRevision,
}

/// Why a host does not get another certificate, or does not lose those that it has.
#[derive(Debug, thiserror::Error)]
pub enum NotCertified {
    /// It never joined.
    #[error("host `{0}` has not joined: it has no certificate; `stayhand host ls` shows the hosts")]
    NotAMember(HostId),
    /// The one that it shows counts no more.
    #[error("the certificate of host `{0}` was taken away; nobody gets another by it")]
    TakenAway(HostId),
    /// It has lost them.
    #[error("host `{0}` was revoked already")]
    AlreadyRevoked(HostId),
    /// It asks again and again.
    #[error(
        "host `{0}` has {CERTIFICATES_PER_HOST_MAX} certificates that count; it gets another when one is over"
    )]
    TooMany(HostId),
}

impl App {
    /// Whether a certificate whose chain was verified counts. Notes that its host has it.
    pub async fn certificate_standing(
        self: &Arc<Self>,
        certificate: &Certificate,
    ) -> Result<Standing, Error> {
        let Role::Host(host) = &certificate.name.role else {
            return Ok(Standing::Unknown);
        };
        let standing = self.store().standing(certificate, host).await?;
        if standing == (Standing::Good { used: false }) {
            self.certificate_used(host, &certificate.serial).await?;
        }
        Ok(standing)
    }

    /// Gives a host another certificate.
    pub async fn renew(&self, agent: &HostAgent, request: &[u8]) -> Result<Certified, Error> {
        let request = Request::read(request).map_err(NotAdmitted::from)?;
        let now = self.now();
        let mut write = self.store().begin_for_host().await?;
        // It may have been taken away since its connection was looked at.
        let counts = match agent.serial() {
            Some(serial) => write.counts(serial).await?,
            None => false,
        };
        if !counts {
            return Err(NotCertified::TakenAway(agent.host().clone()).into());
        }
        let issued = self
            .certify(&mut write, agent.host(), &request, now)
            .await?;
        write.commit().await?;
        tracing::debug!(host = %agent.host(), "certificate renewed");
        Ok(issued)
    }

    /// Takes a host's certificates away. Its connections end, and it gets no other but with a new token.
    pub async fn revoke_host(
        &self,
        operator: &Operator,
        host: HostId,
        reason: String,
    ) -> Result<MembershipView, Error> {
        let resource = self.named_host(&host).await?;
        self.allows(operator, Action::HostAdminister, &resource)?;
        ids::reason(&reason)?;
        let now = self.now();
        let mut write = self.store().begin().await?;
        let member = write.member(&host).await?;
        let member = member.ok_or_else(|| NotCertified::NotAMember(host.clone()))?;
        if member.revoked.is_some() {
            return Err(NotCertified::AlreadyRevoked(host).into());
        }
        let revoked = Revoked {
            at: now,
            by: operator.user().clone(),
            reason,
        };
        write.revoke_member(&host, &revoked).await?;
        let record = MembershipChanged {
            member: host.clone(),
            change: MembershipChange::Revoked,
            by: Some(revoked.by.clone()),
            token: None,
            address: None,
            reason: Some(revoked.reason.clone()),
        };
        write
            .record(EventKind::MembershipChanged(record), now)
            .await?;
        write.commit().await?;
        tracing::warn!(%host, by = %revoked.by, "host revoked");
        Ok(view::membership(StoredMember {
            revoked: Some(revoked),
            certificate_end: None,
            ..member
        }))
    }

    /// Which set of authorities counts.
    pub fn authorities_revision(&self) -> AuthoritiesRevision {
        self.membership.authority.chain().revision()
    }

    /// Signs a certificate and writes it down, which belongs together: it counts with the commit.
    pub(super) async fn certify(
        &self,
        write: &mut Write<'_>,
        host: &HostId,
        request: &Request,
        now: UnixMs,
    ) -> Result<Certified, Error> {
        if write.certificates_of(host, now).await? >= CERTIFICATES_PER_HOST_MAX {
            return Err(NotCertified::TooMany(host.clone()).into());
        }
        let chain = self.membership.authority.chain();
        let lifetime = self.membership.certificate_lifetime;
        let signer = chain.issuing()?;
        let issued = signer.issue(Role::Host(host.clone()), request, now, lifetime)?;
        write
            .add_certificate(&StoredCertificate {
                serial: issued.serial,
                digest: issued.digest,
                host: host.clone(),
                authority: issued.authority,
                authorities: chain.revision(),
                expires: issued.expires,
            })
            .await?;
        let authorities = chain.authorities().certificates().iter();
        Ok(Certified {
            certificate: issued.certificate,
            authorities: authorities.map(|der| der.to_vec()).collect(),
            revision: chain.revision(),
        })
    }

    /// Forgets what is over and says nothing to anybody any more.
    pub(super) async fn drop_old_credentials(&self, now: UnixMs) -> Result<(), Error> {
        let mut write = self.store().begin().await?;
        write.drop_old_certificates(now).await?;
        let before = UnixMs(now.0.saturating_sub(TOKEN_MEMORY.0));
        write.drop_old_tokens(before).await?;
        write.drop_old_sessions(now).await?;
        write.drop_old_access_tokens(before).await?;
        write.commit().await?;
        Ok(())
    }
}
