//! Hosts come in: with a token once, by their bound key after that. Whoever is here has no certificate, so nothing is
//! believed but what is proved: the token's secret, the bound key, and the key of the request.

use stayhand_guardrail::{
    event::{EventKind, JoinTokenChange, JoinTokenChanged, MembershipChange, MembershipChanged},
    id::{HostId, JoinTokenId},
    time::{DurationMs, UnixMs},
};
use stayhand_transport::{EXPORTER_BYTES, Occasion, Proof, ProofError, Secret};

use super::{App, Error, members::Certified};
use crate::{
    authority::{Request, RequestError},
    limits::{JOIN_REFUSAL_PAUSE, JOINS_AGAIN_MAX},
    seldom::with_count,
    store::{StoredMember, StoredToken, Write},
};

/// What a host says that wants to join or to come back.
pub struct Joining {
    /// Under which name
    pub host: HostId,
    /// The certificate that it asks for (PKCS #10, DER)
    pub request: Vec<u8>,
    /// Signature by its bound key
    pub proof: Vec<u8>,
    /// Secret of the connection
    pub connection: [u8; EXPORTER_BYTES],
    /// From where it came
    pub address: String,
}

/// What a host shows that joins.
pub struct Shown {
    /// Which token
    pub token: JoinTokenId,
    /// What makes it worth something
    pub secret: Secret,
    /// Public half of the key to which the host is bound
    pub bound_key: Vec<u8>,
}

/// Why a host does not get in.
#[derive(Debug, thiserror::Error)]
pub enum NotAdmitted {
    /// No such token, or not its secret: which of them nobody is told who does not have it.
    #[error("the join token is not known here; make another with `stayhand host token create`")]
    UnknownToken,
    /// Somebody has the secret, and it is worth nothing.
    #[error("join token {token} {why}; make another with `stayhand host token create`")]
    Token {
        /// The token
        token: JoinTokenId,
        /// What is wrong with it
        why: String,
    },
    /// Somebody else has the name.
    #[error(
        "a host `{0}` has joined already; give this one another name (`host` in agent.toml), or let it take the place of that one: \
         stayhand host token create --host {0} --replace"
    )]
    NameTaken(HostId),
    /// The name is that of the control plane's machine.
    #[error(
        "`{0}` is the control plane's own machine, whose agent uses the socket there; give this host another name (`host` in agent.toml)"
    )]
    OwnName(HostId),
    /// It does not have the key.
    #[error("{0}")]
    Proof(ProofError),
    /// It asks for no certificate of ours.
    #[error("the request for a certificate {0}")]
    Request(#[from] RequestError),
    /// It did not join, or has another key than the host that did: which of them nobody is told who has not proved the key.
    #[error(
        "no host of that name is bound to this key; join with a token: `stayhand host token create` prints the command"
    )]
    NotBound,
    /// Its certificates were taken away.
    #[error(
        "host `{host}` was revoked by {by}: {reason}; it can join again with a token that an operator makes for it: stayhand host token create --host {host} --replace"
    )]
    Revoked {
        /// The host
        host: HostId,
        /// Who did it
        by: String,
        /// Why
        reason: String,
    },
    /// Twice within a short time: a copy of the host, or a disk that forgets.
    #[error(
        "host `{host}` came back by its bound key only {ago} ago; it may do so once in {pause}: is there a copy of it?"
    )]
    TooSoon {
        /// The host
        host: HostId,
        /// How long ago
        ago: DurationMs,
        /// How often it may
        pause: DurationMs,
    },
}

impl App {
    /// Lets a host join with a token.
    pub async fn join(&self, joining: Joining, shown: Shown) -> Result<Certified, Error> {
        // ORDER: cheapest first, and nothing of the only writer for whoever has no secret: anybody may ask.
        let known = self.store().token(shown.token).await?;
        known
            .filter(|token| shown.secret.has_digest(&token.digest))
            .ok_or(NotAdmitted::UnknownToken)?;
        let request = Request::read(&joining.request).map_err(NotAdmitted::from)?;
        proved(&joining, Occasion::Join, &shown.bound_key).map_err(NotAdmitted::Proof)?;
        let now = self.now();
        let mut write = self.store().begin_for_host().await?;
        let token = write.token(shown.token).await?;
        let token = token.ok_or(NotAdmitted::UnknownToken)?;
        let member = write.member(&joining.host).await?;
        let lost = write.unused_certificates_of(&joining.host, now).await?;
        let admission = self.admission(&token, &joining.host, member.as_ref(), &shown, now);
        let admission = admission.and_then(|how| how.unless_too_often(&token, lost));
        match admission {
            Ok(Admission::Again) => write.revoke_unused(&joining.host).await?,
            Ok(Admission::First) => {
                write.use_token(token.id).await?;
                let host = &joining.host;
                write
                    .put_member(host, &shown.bound_key, token.id, now)
                    .await?;
                write.expect_host(host).await?;
                let record = change(&joining, MembershipChange::Joined, Some(token.id));
                write.record(record, now).await?;
            }
            Err(why) => {
                record_refusal(&mut write, &token, &joining, &why, now).await?;
                write.commit().await?;
                return Err(why.into());
            }
        }
        let issued = self
            .certify(&mut write, &joining.host, &request, now)
            .await?;
        write.commit().await?;
        tracing::info!(host = %joining.host, from = joining.address, token = %token.id, "host joined");
        Ok(issued)
    }

    /// Whether somebody with the token's secret gets in.
    fn admission(
        &self,
        token: &StoredToken,
        host: &HostId,
        member: Option<&StoredMember>,
        shown: &Shown,
        now: UnixMs,
    ) -> Result<Admission, NotAdmitted> {
        let no = |why: &str| {
            let (token, why) = (token.id, why.to_owned());
            Err(NotAdmitted::Token { token, why })
        };
        if token.revoked.is_some() {
            return no("was revoked");
        }
        if token.expires <= now {
            return no("has expired");
        }
        if let Some(only) = token.host.as_ref().filter(|only| *only != host) {
            return no(&format!("is for host `{only}` and not for `{host}`"));
        }
        // Before its uses: an answer that was lost on the way may be asked for again, by whoever has the key.
        let same = |member: &&StoredMember| {
            member.token == token.id
                && member.bound_key == shown.bound_key
                && member.revoked.is_none()
        };
        if member.as_ref().is_some_and(same) {
            return Ok(Admission::Again);
        }
        if token.uses_left == 0 {
            return no("was used");
        }
        if *host == self.store().origin().host {
            return Err(NotAdmitted::OwnName(host.clone()));
        }
        if member.is_some() && !token.replaces {
            return Err(NotAdmitted::NameTaken(host.clone()));
        }
        Ok(Admission::First)
    }

    /// Gives a host that joined before another certificate, by the key to which it is bound.
    pub async fn recover(&self, joining: Joining) -> Result<Certified, Error> {
        let host = &joining.host;
        // ORDER: the same.
        let known = self.store().member(host).await?;
        let known = known.ok_or(NotAdmitted::NotBound)?;
        proved(&joining, Occasion::Recover, &known.bound_key).map_err(|_| NotAdmitted::NotBound)?;
        let request = Request::read(&joining.request).map_err(NotAdmitted::from)?;
        let now = self.now();
        let mut write = self.store().begin_for_host().await?;
        let member = write.member(host).await?.ok_or(NotAdmitted::NotBound)?;
        // It may have joined anew since, with another key.
        proved(&joining, Occasion::Recover, &member.bound_key)
            .map_err(|_| NotAdmitted::NotBound)?;
        if let Some(why) = self.why_not_recovered(&member, now) {
            // Whether it can be written down changes nothing about it.
            let recorded = self.record_not_recovered(write, &member, &joining, &why, now);
            if let Err(error) = recorded.await {
                tracing::error!(host = %member.host, %error, "that a host was not let back in is not on record");
            }
            return Err(why.into());
        }
        write.revoke_unused(host).await?;
        write.count_recovery(host, now).await?;
        let record = change(&joining, MembershipChange::Recovered, None);
        write.record(record, now).await?;
        let issued = self.certify(&mut write, host, &request, now).await?;
        write.commit().await?;
        tracing::warn!(%host, from = joining.address, "host came back by its bound key");
        Ok(issued)
    }

    /// Why a host that has its bound key does not come back by it.
    fn why_not_recovered(&self, member: &StoredMember, now: UnixMs) -> Option<NotAdmitted> {
        let host = member.host.clone();
        if let Some(revoked) = &member.revoked {
            let (by, reason) = (revoked.by.to_string(), revoked.reason.clone());
            return Some(NotAdmitted::Revoked { host, by, reason });
        }
        let pause = self.membership.recovery_pause;
        let last = member.recovered.filter(|last| last.is_within(pause, now))?;
        let ago = now.since(last);
        Some(NotAdmitted::TooSoon { host, ago, pause })
    }

    /// Somebody has the bound key of a host and is not let in by it: a copy of the host, or a thief. Told as of the token with which that
    /// host joined, and not with every try.
    async fn record_not_recovered(
        &self,
        mut write: Write<'_>,
        member: &StoredMember,
        joining: &Joining,
        why: &NotAdmitted,
        now: UnixMs,
    ) -> Result<(), Error> {
        let Some(passed_over) = self.not_recovered.next(member.host.clone(), now) else {
            return Ok(());
        };
        tracing::warn!(host = %member.host, from = joining.address, passed_over, %why, "not let back in");
        let token = write.token(member.token).await?;
        let record = JoinTokenChanged {
            token: member.token,
            change: JoinTokenChange::Refused,
            by: None,
            member: Some(member.host.clone()),
            // One that was forgotten since is over.
            expire_time: token.as_ref().map_or(member.joined, |token| token.expires),
            uses_left: token.map_or(0, |token| token.uses_left),
            address: Some(joining.address.clone()),
            reason: Some(with_count(why.to_string(), passed_over)),
        };
        write
            .record(EventKind::JoinTokenChanged(record), now)
            .await?;
        write.commit().await?;
        Ok(())
    }
}

/// How somebody gets in.
enum Admission {
    /// For the first time with this token
    First,
    /// The same joining, said again
    Again,
}

impl Admission {
    /// A token that is asked for the same again and again would fill the store with certificates that nobody uses.
    fn unless_too_often(self, token: &StoredToken, lost: u32) -> Result<Self, NotAdmitted> {
        match self {
            Self::Again if lost >= JOINS_AGAIN_MAX => Err(NotAdmitted::Token {
                token: token.id,
                why: format!(
                    "let this host in already and gave it {lost} certificates that it never used; its agent comes back by its bound key, \
                     without a token"
                ),
            }),
            how => Ok(how),
        }
    }
}

fn proved(joining: &Joining, occasion: Occasion, bound_key: &[u8]) -> Result<(), ProofError> {
    Proof {
        occasion,
        connection: &joining.connection,
        host: &joining.host,
        request: &joining.request,
    }
    .verify(bound_key, &joining.proof)
}

fn change(joining: &Joining, change: MembershipChange, token: Option<JoinTokenId>) -> EventKind {
    EventKind::MembershipChanged(MembershipChanged {
        member: joining.host.clone(),
        change,
        by: None,
        token,
        address: Some(joining.address.clone()),
        reason: None,
    })
}

/// Somebody has a secret that lets nobody in: a mistake, or a thief. Not with every try, or it would fill the record.
async fn record_refusal(
    write: &mut Write<'_>,
    token: &StoredToken,
    joining: &Joining,
    why: &NotAdmitted,
    now: UnixMs,
) -> Result<(), Error> {
    tracing::warn!(token = %token.id, host = %joining.host, from = joining.address, %why, "join refused");
    let recently = token
        .refused
        .is_some_and(|last| last.is_within(JOIN_REFUSAL_PAUSE, now));
    if recently {
        return Ok(());
    }
    write.refuse_token(token.id, now).await?;
    let record = JoinTokenChanged {
        token: token.id,
        change: JoinTokenChange::Refused,
        by: None,
        member: Some(joining.host.clone()),
        expire_time: token.expires,
        uses_left: token.uses_left,
        address: Some(joining.address.clone()),
        reason: Some(why.to_string()),
    };
    write
        .record(EventKind::JoinTokenChanged(record), now)
        .await?;
    Ok(())
}
