//! Signing in at the identity provider: what the provider says becomes a person only where somebody linked the two, and a person a
//! session that counts for some hours. No word of the provider's stays with the caller.

use stayhand_guardrail::{
    event::{Door, EventKind, SessionChange, SessionChanged},
    id::UserName,
    text::safe_cut,
    time::DurationMs,
};

use super::{App, Error, Opened, Proved, sessions::changed};
use crate::{
    authority::Request,
    names::NamesError,
    oidc::{Begun, Code, Finish, Oidc, OidcError},
    people::PeopleError,
    seldom::with_count,
};

/// Characters of a subject that is shown: the standard lets one have 255.
const SUBJECT_CHARS_MAX: usize = 255;

/// What the record of a session says that was opened so: it is the one way in which somebody else can have talked a person into it.
const WITH_CODE: &str = "with a code that was entered elsewhere";

/// How people sign in.
#[derive(Clone, Debug, Default)]
pub struct SignIn {
    /// At which provider; none where nobody does
    pub oidc: Option<Oidc>,
    /// For how long that counts
    pub lifetime: DurationMs,
}

/// Why somebody is not signed in.
#[derive(Debug, thiserror::Error)]
pub enum NotSignedIn {
    /// Nobody does here.
    #[error(
        "nobody signs in here: `oidc.issuer` is not set in control.toml; use a token (--token-file) or a break-glass certificate \
         (--session-file)"
    )]
    NoProvider,
    /// At the provider, or between it and us.
    #[error(transparent)]
    Provider(#[from] OidcError),
    /// Nobody knows who that is.
    #[error(
        "nobody is linked to subject `{subject}` of {issuer}: whoever keeps `people.file` of control.toml adds `{line}` under \
         [subjects]"
    )]
    NotLinked {
        /// Who the provider says it is, shown safely
        subject: String,
        /// Which provider
        issuer: String,
        /// What to write there
        line: String,
    },
    /// Nobody can tell.
    #[error(transparent)]
    People(#[from] PeopleError),
    /// Nobody can tell whose other name it is.
    #[error(transparent)]
    Names(#[from] NamesError),
}

impl App {
    /// Begins to sign in.
    pub async fn begin_sign_in(
        &self,
        redirect: &str,
        challenge: &str,
        from: std::net::IpAddr,
    ) -> Result<Begun, Error> {
        let begun = self.oidc()?.begin(redirect, challenge, from).await;
        Ok(begun.map_err(NotSignedIn::from)?)
    }

    /// Ends it with a session.
    pub async fn finish_sign_in(
        &self,
        finish: Finish,
        request: &[u8],
        address: String,
    ) -> Result<Opened, Error> {
        let request = certificate_request(request)?;
        let subject = self.oidc()?.finish(finish).await;
        let subject = subject.map_err(NotSignedIn::from)?;
        self.sign_in(&subject, &request, address, None).await
    }

    /// Begins to sign in with a code that is entered elsewhere.
    pub async fn begin_device_sign_in(&self, from: std::net::IpAddr) -> Result<Code, Error> {
        let begun = self.oidc()?.begin_device(from).await;
        Ok(begun.map_err(NotSignedIn::from)?)
    }

    /// Ends it with a session, if the code was entered.
    pub async fn poll_device_sign_in(
        &self,
        sign_in: &str,
        request: &[u8],
        address: String,
    ) -> Result<Option<Opened>, Error> {
        let request = certificate_request(request)?;
        let subject = self.oidc()?.poll_device(sign_in);
        let Some(subject) = subject.map_err(NotSignedIn::from)? else {
            return Ok(None);
        };
        let opened = self.sign_in(&subject, &request, address, Some(WITH_CODE));
        opened.await.map(Some)
    }

    /// Whom the provider vouches for has a session, if they are linked to somebody.
    async fn sign_in(
        &self,
        subject: &str,
        request: &Request,
        address: String,
        how: Option<&str>,
    ) -> Result<Opened, Error> {
        let user = match self.linked(subject).await {
            Ok(user) => user,
            Err(why) => {
                // Whether it can be written down changes nothing about it.
                if let Err(error) = self.record_stranger(subject, &address, &why).await {
                    tracing::error!(%error, "that somebody was not signed in is not on record");
                }
                return Err(why.into());
            }
        };
        let now = self.now();
        let proved = Proved {
            user,
            door: Door::Oidc,
            subject: Some(safe_cut(subject.as_bytes(), SUBJECT_CHARS_MAX)),
            token: None,
            address: Some(address),
        };
        let lifetime = self.membership.sign_in.lifetime;
        let mut write = self.store().begin().await?;
        let opened = self
            .open_session(&mut write, proved, request, lifetime, now)
            .await?;
        let record = SessionChanged {
            reason: how.map(str::to_owned),
            ..changed(&opened.session, SessionChange::Opened)
        };
        write.record(EventKind::SessionChanged(record), now).await?;
        write.commit().await?;
        tracing::info!(user = %opened.session.user, session = %opened.session.id, "signed in");
        Ok(opened)
    }

    fn oidc(&self) -> Result<&Oidc, NotSignedIn> {
        let oidc = self.membership.sign_in.oidc.as_ref();
        oidc.ok_or(NotSignedIn::NoProvider)
    }

    /// The person to whom a subject is linked: by whoever keeps the file, never by a claim that somebody chooses. By the name that the
    /// name service itself uses where it knows them: it is the same person as on the socket. Whom it does not know has the name that is
    /// written.
    async fn linked(&self, subject: &str) -> Result<UserName, NotSignedIn> {
        let people = self.people.clone();
        let read = tokio::task::spawn_blocking(move || people.read()).await;
        let directory = read.unwrap_or_else(|_| {
            Err(PeopleError {
                path: std::path::PathBuf::new(),
                cause: "reading it broke off".to_owned(),
            })
        })?;
        if let Some(user) = directory.linked(subject) {
            let person = self.names.person(user).await?;
            return Ok(person.name().unwrap_or(user).clone());
        }
        let issuer = self.oidc()?.issuer();
        let shown = safe_cut(subject.as_bytes(), SUBJECT_CHARS_MAX);
        Err(NotSignedIn::NotLinked {
            line: format!("\"{shown}\" = \"LOGIN NAME\""),
            subject: shown,
            issuer: issuer.to_owned(),
        })
    }

    async fn record_stranger(
        &self,
        subject: &str,
        address: &str,
        why: &NotSignedIn,
    ) -> Result<(), Error> {
        let shown = safe_cut(subject.as_bytes(), SUBJECT_CHARS_MAX);
        // Not with every try: at some providers everybody has a subject, and as many as they like.
        let Some(passed_over) = self.strangers.next(shown.clone(), self.now()) else {
            return Ok(());
        };
        tracing::warn!(subject = shown, %address, passed_over, %why, "not signed in");
        let reason = match why {
            NotSignedIn::NotLinked { .. } => "nobody is linked to the subject".to_owned(),
            other => other.to_string(),
        };
        let record = SessionChanged {
            session: None,
            change: SessionChange::Refused,
            user: None,
            door: Door::Oidc,
            subject: Some(shown),
            token: None,
            by: None,
            expire_time: None,
            address: Some(address.to_owned()),
            reason: Some(with_count(reason, passed_over)),
        };
        let mut write = self.store().begin().await?;
        write
            .record(EventKind::SessionChanged(record), self.now())
            .await?;
        write.commit().await?;
        Ok(())
    }
}

fn certificate_request(der: &[u8]) -> Result<Request, Error> {
    Request::read(der).map_err(|error| Error::field("certificate_request", error))
}
