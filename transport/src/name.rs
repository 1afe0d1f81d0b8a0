//! Names in certificates: SPIFFE ids (`spiffe://TRUST-DOMAIN/host/db1`), one in each certificate.

use std::{fmt, str::FromStr};

use stayhand_guardrail::{
    id::{HostId, UserName},
    text::safe_cut,
};

/// Longest trust domain (SPIFFE-ID 2.1).
const DOMAIN_BYTES_MAX: usize = 255;
/// Characters of a wrong name that an error shows.
const SHOWN_MAX: usize = 200;
const SCHEME: &str = "spiffe://";

/// Whose names they are: every control plane has its own, so that a name of another never counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrustDomain(String);

/// What somebody is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The control plane
    Control,
    /// The agent of a host
    Host(HostId),
    /// A person, or a program that acts for one
    Operator(UserName),
}

impl Role {
    /// Whether a name of SPIFFE can say it: user names may have characters that those cannot.
    pub fn is_sayable(&self) -> bool {
        match self {
            Self::Control | Self::Host(_) => true,
            Self::Operator(user) => is_segment(user.as_str()),
        }
    }
}

/// Letters, digits, `.`, `-` and `_` (SPIFFE-ID 2.2); not a relative path.
fn is_segment(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    !text.is_empty() && text.bytes().all(allowed) && !matches!(text, "." | "..")
}

/// Who somebody is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerName {
    /// Whose name it is
    pub domain: TrustDomain,
    /// What it says
    pub role: Role,
}

/// Why a text is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no name of a control plane, a host or an operator")]
pub struct NameError(String);

impl NameError {
    fn of(text: &str) -> Self {
        Self(safe_cut(text.as_bytes(), SHOWN_MAX))
    }
}

impl TrustDomain {
    /// Its name as the authority itself has it.
    pub fn uri(&self) -> String {
        format!("{SCHEME}{self}")
    }

    /// Reads what [`Self::uri`] wrote.
    pub fn from_uri(text: &str) -> Result<Self, NameError> {
        let domain = text.strip_prefix(SCHEME);
        domain.ok_or_else(|| NameError::of(text))?.parse()
    }
}

impl FromStr for TrustDomain {
    type Err = NameError;

    /// Lower-case letters, digits, `.`, `-` and `_` (SPIFFE-ID 2.1).
    fn from_str(text: &str) -> Result<Self, NameError> {
        let allowed = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_')
        };
        let valid = !text.is_empty() && text.len() <= DOMAIN_BYTES_MAX && text.bytes().all(allowed);
        valid
            .then(|| Self(text.to_owned()))
            .ok_or_else(|| NameError::of(text))
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.domain)?;
        match &self.role {
            Role::Control => f.write_str("/control"),
            Role::Host(host) => write!(f, "/host/{host}"),
            Role::Operator(user) => write!(f, "/operator/{user}"),
        }
    }
}

impl FromStr for PeerName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let wrong = || NameError::of(text);
        let rest = text.strip_prefix(SCHEME).ok_or_else(wrong)?;
        let (domain, path) = rest.split_once('/').ok_or_else(wrong)?;
        let role = match path.split_once('/') {
            None if path == "control" => Role::Control,
            Some(("host", host)) => Role::Host(HostId::new(host).map_err(|_| wrong())?),
            Some(("operator", user)) if is_segment(user) => {
                Role::Operator(UserName::new(user).map_err(|_| wrong())?)
            }
            _ => return Err(wrong()),
        };
        Ok(Self {
            domain: domain.parse().map_err(|_| wrong())?,
            role,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_name_of_ours_is_refused() {
        for bad in [
            "",
            "spiffe://",
            "spiffe://d",
            "spiffe://d/",
            "spiffe:///control",
            "spiffe://d/control/",
            "spiffe://d/control/x",
            "spiffe://d/host",
            "spiffe://d/host/",
            "spiffe://d/host/a/b",
            "spiffe://d/host/A",
            "spiffe://D/control",
            "spiffe://d:1/control",
            "spiffe://u@d/control",
            "spiffe://d/control?x",
            "spiffe://d/host/a#b",
            "spiffe://d/host/a%2fb",
            "https://d/control",
            "SPIFFE://d/control",
            "spiffe://d/operator/",
            "spiffe://d/operator/a@b",
            "spiffe://d/operator/..",
            "spiffe://d/operator/a/b",
            "spiffe://d/person/x",
        ] {
            assert!(bad.parse::<PeerName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn names_print_as_they_are_read() {
        for text in [
            "spiffe://a-b_c.d/control",
            "spiffe://d/host/db-1.example",
            "spiffe://d/operator/Carol_2.x",
        ] {
            assert_eq!(text.parse::<PeerName>().unwrap().to_string(), text);
        }
        let domain: TrustDomain = "d.example".parse().unwrap();
        assert_eq!(TrustDomain::from_uri(&domain.uri()), Ok(domain));
    }
}
