//! Certificates of hosts: asked for as an agent asks, issued and looked at by the real control plane. They run out while a host is away or
//! while somebody's clock is wrong, answers with new ones get lost, and operators take them away.

use std::collections::{BTreeMap, BTreeSet};

use rand::RngExt as _;
use stayhand_agent::membership::Issued;
use stayhand_control::{
    app::{Certified, CreateToken, Error, Joining, NotAdmitted, NotCertified, Shown},
    operator::{HostAgent, NotAccepted, Operator},
};
use stayhand_guardrail::time::{DurationMs, UnixMs};
use stayhand_proto::v1::IssuedCertificate;
use stayhand_transport::{Certificate, EXPORTER_BYTES, JoinToken, Key, Occasion, Proof};

use crate::{
    oracle::{Violation, must},
    world::World,
};

/// How long certificates count; none where hosts use the socket of the machine. Short beside how long hosts are away.
pub(crate) const LIFETIMES_S: [Option<u64>; 4] = [None, None, Some(12), Some(24)];
/// How often a host may come back by its bound key.
pub(crate) const RECOVERY_PAUSE: DurationMs = DurationMs::from_secs(2);
/// How long tokens are worth something.
const TOKEN_TTL: DurationMs = DurationMs::from_secs(20);
/// There is one connection, and nobody else on it.
const CONNECTION: [u8; EXPORTER_BYTES] = [7; EXPORTER_BYTES];

/// What a host was told of its certificate when a connection ended (`Verdict` of the agent's uplink).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It does not count, and the bound key may get another
    Over,
    /// The host is out
    Revoked,
}

/// What a host has on disk of its membership.
pub(crate) struct Member {
    bound: Key,
    /// With what it joins
    token: Option<JoinToken>,
    /// It once had an answer
    joined: bool,
    pub(crate) shown: Option<Certificate>,
    renew: UnixMs,
    pub(crate) told: Option<Verdict>,
}

impl Member {
    pub(crate) fn new() -> Self {
        Self {
            bound: Key::generate().unwrap(),
            token: None,
            joined: false,
            shown: None,
            renew: UnixMs(0),
            told: None,
        }
    }
}

/// What is known of certificates by everybody together.
#[derive(Default)]
pub(crate) struct Certificates {
    /// Digests of those that each host has had since it joined
    of_hosts: BTreeMap<usize, Vec<[u8; 32]>>,
    /// Digests of those that were taken away, and somebody was told so
    taken_away: BTreeSet<[u8; 32]>,
    /// Hosts that somebody put out, or may have
    put_out: BTreeSet<usize>,
    /// What the control plane took for the time, at the most: it forgets what was over by then
    latest: UnixMs,
}

impl Certificates {
    /// The control plane may forget now what is over.
    pub(crate) fn looked_at_by(&mut self, now: UnixMs) {
        self.latest = self.latest.max(now);
    }

    fn came(&mut self, host: usize, digest: [u8; 32], is_joining: bool) {
        let of_host = self.of_hosts.entry(host).or_default();
        if is_joining {
            // Whoever joins anew has lost what it had before.
            self.taken_away.extend(of_host.drain(..));
        }
        of_host.push(digest);
    }

    fn put_out(&mut self, host: usize, is_told: bool) {
        self.put_out.insert(host);
        if is_told && let Some(all) = self.of_hosts.get(&host) {
            self.taken_away.extend(all);
        }
    }

    /// The control plane takes somebody who shows this for a host.
    fn accepted(&self, name: &str, shown: &Certificate, now: UnixMs) -> Result<(), Violation> {
        must!(
            shown.not_after > now,
            "{name} is heard by a certificate that is over"
        );
        must!(
            !self.taken_away.contains(&shown.digest),
            "{name} is heard by a certificate that was taken away"
        );
        Ok(())
    }

    /// It does not.
    fn refused(&self, name: &str, shown: &Certificate, why: &NotAccepted) -> Result<(), Violation> {
        let is_unknown = matches!(why, NotAccepted::Unknown(_));
        must!(
            !is_unknown || shown.not_after <= self.latest,
            "{name} shows a certificate that the control plane forgot"
        );
        Ok(())
    }
}

/// For what a host asks, and what goes with it.
enum Ask {
    Join(Shown),
    Recover,
    Renew(HostAgent),
}

impl World {
    /// Sees to it that a host has something to show; says whether it tries to connect.
    pub(crate) async fn is_to_connect(&mut self, host: usize) -> Result<bool, Violation> {
        if self.lifetime.is_none() {
            return Ok(true);
        }
        let member = &self.hosts[host].member;
        let ask = match (member.joined, member.told) {
            (true, None) => return Ok(true),
            (true, Some(Verdict::Over)) => Some(Ask::Recover),
            (true, Some(Verdict::Revoked)) => {
                must!(
                    self.oracle.certificates.put_out.contains(&host),
                    "host-{} is told that it is out, and nobody put it out",
                    host + 1
                );
                // It comes and asks, and nobody is in a hurry to let it in again.
                if self.is_active && !self.chance(8) {
                    return Ok(self.chance(15));
                }
                self.hosts[host].member = Member::new();
                None
            }
            (false, _) => None,
        };
        let ask = match ask {
            Some(ask) => ask,
            None => match self.token(host).await {
                Some(shown) => Ask::Join(shown),
                None => return Ok(false),
            },
        };
        self.ask(host, ask).await?;
        Ok(false)
    }

    /// The token with which a host joins; an operator makes one.
    async fn token(&mut self, host: usize) -> Option<Shown> {
        if self.hosts[host].member.token.is_none() {
            self.control_maybe_ends();
            let control = self.control.as_ref()?;
            let ask = CreateToken {
                ttl: TOKEN_TTL,
                uses: 1,
                host: Some(self.hosts[host].place.host.clone()),
                replaces: true,
            };
            let made = control.app.create_token(&control.auditor, ask).await;
            let is_alive = !control.life.is_over();
            let name = self.hosts[host].name.clone();
            match made {
                Ok(made) if is_alive => self.hosts[host].member.token = Some(made.token),
                Ok(_) => self.say(format!("{name}: token (and the control plane died)")),
                Err(error) => self.say(format!("{name}: no token: {error}")),
            }
        }
        let member = &self.hosts[host].member;
        let token = member.token.as_ref()?;
        Some(Shown {
            token: token.id,
            secret: token.secret.clone(),
            bound_key: member.bound.public(),
        })
    }

    /// A host whose connection stands asks for another certificate, if it is time. Says whether it has one, which the next connection
    /// shows.
    pub(crate) async fn renew(&mut self, host: usize, index: usize) -> Result<bool, Violation> {
        let one = &self.hosts[host];
        if self.lifetime.is_none() || one.clocks.now().unix < one.member.renew {
            return Ok(false);
        }
        let now_ns = self.time.ns();
        let gets_through = self
            .links
            .get(&index)
            .is_some_and(|link| link.session.is_some() && link.stalled_until_ns <= now_ns);
        if !gets_through || self.misfortune(100) {
            return Ok(false);
        }
        let Some(agent) = self.admitted(index).await? else {
            return Ok(false);
        };
        self.ask(host, Ask::Renew(agent)).await
    }

    /// Asks for a certificate. Says whether it came.
    async fn ask(&mut self, host: usize, ask: Ask) -> Result<bool, Violation> {
        self.control_maybe_ends();
        let Some(control) = &self.control else {
            return Ok(false);
        };
        let one = &self.hosts[host];
        let key = Key::generate().unwrap();
        let request = key.request().unwrap();
        let joining = |occasion| Joining {
            host: one.place.host.clone(),
            request: request.clone(),
            proof: Proof {
                occasion,
                connection: &CONNECTION,
                host: &one.place.host,
                request: &request,
            }
            .sign(&one.member.bound)
            .unwrap(),
            connection: CONNECTION,
            address: "203.0.113.7".to_owned(),
        };
        let (what, answer) = match ask {
            Ask::Join(shown) => {
                let joining = joining(Occasion::Join);
                ("joins", control.app.join(joining, shown).await)
            }
            Ask::Recover => {
                let joining = joining(Occasion::Recover);
                ("comes back", control.app.recover(joining).await)
            }
            Ask::Renew(agent) => ("renews", control.app.renew(&agent, &request).await),
        };
        let is_alive = !control.life.is_over();
        let name = one.name.clone();
        match answer {
            Ok(certified) if is_alive && !self.misfortune(60) => {
                self.say(format!("{name}: {what}"));
                self.take(host, certified)?;
                Ok(true)
            }
            Ok(_) => {
                self.say(format!("{name}: {what}, and does not hear of it"));
                Ok(false)
            }
            Err(error) => {
                // What names a token is chosen outside of the story.
                let why = match &error {
                    Error::NotAdmitted(NotAdmitted::Token { why, .. }) => {
                        format!("its token {why}")
                    }
                    error => error.to_string(),
                };
                self.say(format!("{name}: {what}: refused: {why}"));
                self.refused(host, &error)?;
                Ok(false)
            }
        }
    }

    fn take(&mut self, host: usize, certified: Certified) -> Result<(), Violation> {
        let random = self.random.random();
        let one = &mut self.hosts[host];
        let wire = IssuedCertificate {
            certificate: certified.certificate,
            authorities: certified.authorities,
            authorities_revision: certified.revision.0,
        };
        let now = one.clocks.now().unix;
        let issued = Issued::read(Some(wire), &one.place.host, now, random)
            .map_err(|error| Violation(format!("{}: {error}", one.name)))?;
        let shown = Certificate::read(issued.certificate())
            .map_err(|error| Violation(format!("{}: {error}", one.name)))?;
        let member = &mut one.member;
        let known = &mut self.oracle.certificates;
        known.came(host, shown.digest, !member.joined);
        member.renew = issued.renew();
        member.shown = Some(shown);
        (member.joined, member.told) = (true, None);
        Ok(())
    }

    fn refused(&mut self, host: usize, error: &Error) -> Result<(), Violation> {
        let name = self.hosts[host].name.clone();
        let member = &mut self.hosts[host].member;
        match error {
            Error::NotAdmitted(NotAdmitted::Token { .. }) => member.token = None,
            Error::NotAdmitted(NotAdmitted::Revoked { .. }) => {
                member.told = Some(Verdict::Revoked);
            }
            Error::NotCertified(NotCertified::TakenAway(_)) => member.told = Some(Verdict::Over),
            // What was answered was committed before.
            Error::NotAdmitted(NotAdmitted::NotBound | NotAdmitted::UnknownToken) => {
                let what = format!("{name} had an answer that the control plane forgot: {error}");
                return Err(Violation(what));
            }
            _ => {}
        }
        Ok(())
    }

    /// Whose words come over a connection; nobody's where what was shown for it does not count any more. The control plane ends it then.
    pub(crate) async fn admitted(&mut self, index: usize) -> Result<Option<HostAgent>, Violation> {
        let (Some(link), Some(control)) = (self.links.get(&index), &self.control) else {
            return Ok(None);
        };
        let host = &self.hosts[link.host];
        let Some(shown) = link.shown.clone() else {
            must!(
                self.lifetime.is_none(),
                "{} connected and showed nothing",
                host.name
            );
            return Ok(Some(control.agent(&host.place.host).await));
        };
        let accepted = control.member(&shown, self.mutant).await;
        let (name, now) = (host.name.clone(), control.app.now());
        match accepted {
            Ok(Ok(agent)) => {
                self.oracle.certificates.accepted(&name, &shown, now)?;
                Ok(Some(agent))
            }
            Ok(Err(refusal)) => {
                let known = &self.oracle.certificates;
                known.refused(&name, &shown, &refusal)?;
                self.say(format!("control plane: {refusal}"));
                if let Some(link) = self.links.get_mut(&index) {
                    link.verdict = verdict(&refusal);
                }
                self.close_at_control(index);
                Ok(None)
            }
            Err(error) => {
                self.say(format!("control plane cannot tell who {name} is: {error}"));
                self.close_at_control(index);
                Ok(None)
            }
        }
    }

    /// Whether a connection whose host was greeted still counts; one on which nobody was yet is not asked.
    pub(crate) async fn still_counts(&mut self, index: usize) -> Result<bool, Violation> {
        let link = self.links.get(&index);
        let is_greeted = link.is_some_and(|link| link.session.is_some());
        Ok(!is_greeted || self.admitted(index).await?.is_some())
    }

    /// Somebody takes a host's certificates away.
    pub(crate) async fn revoke_host(&mut self, operator: &Operator) -> Result<String, String> {
        let host = self.random_host();
        let id = self.hosts[host].place.host.clone();
        let Some(control) = &self.control else {
            return Err("nobody there".into());
        };
        let revoked = control
            .app
            .revoke_host(operator, id, "simulated".to_owned())
            .await;
        let is_alive = !control.life.is_over();
        let name = self.hosts[host].name.clone();
        match revoked {
            Ok(_) => {
                self.oracle.certificates.put_out(host, is_alive);
                Ok(format!("{name} is out"))
            }
            Err(error) => {
                // It may have been committed all the same.
                if !is_alive {
                    self.oracle.certificates.put_out(host, false);
                }
                Err(format!("{name} is not put out: {error}"))
            }
        }
    }
}

fn verdict(refusal: &NotAccepted) -> Option<Verdict> {
    match refusal {
        NotAccepted::Revoked { .. } => Some(Verdict::Revoked),
        NotAccepted::Over(..) | NotAccepted::Unknown(_) => Some(Verdict::Over),
        NotAccepted::OwnName(_) | NotAccepted::NotAHost => None,
    }
}
