//! Failures of calls with their details: a reason for programs, findings with their places, and a remedy for
//! people. The same shape on both ends; which failure gets which code is the control plane's business.

use std::collections::{BTreeMap, HashMap};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// Names the product in `google.rpc.ErrorInfo`.
pub const DOMAIN: &str = "stayhand";
/// Reason of a failure that the beginning of several ids causes: a client asks for more of the id.
pub const AMBIGUOUS_ID: &str = "AMBIGUOUS_ID";
/// The same of a permission's bare name.
pub const AMBIGUOUS_PERMISSION: &str = "AMBIGUOUS_PERMISSION";
/// Reason for a host: its certificate is over, and its bound key gets it another.
pub const CERTIFICATE_OVER: &str = "CERTIFICATE_OVER";
/// Reason for a host: nobody knows its certificate, and its bound key gets it another if it is still bound.
pub const CERTIFICATE_UNKNOWN: &str = "CERTIFICATE_UNKNOWN";
/// Reason for a host: it is out until somebody lets it in again.
pub const HOST_REVOKED: &str = "HOST_REVOKED";
/// Reason for a host: its agent speaks a protocol that the control plane does not know any more.
pub const AGENT_TOO_OLD: &str = "AGENT_TOO_OLD";
/// Reason on a host: the control plane speaks a protocol that its agent does not know any more.
pub const CONTROL_TOO_OLD: &str = "CONTROL_TOO_OLD";
/// Longest message: details travel in a header, and whole headers are bounded at 16 KiB by many peers.
const MESSAGE_CHARS_MAX: usize = 1_000;
/// Findings of one failure, for the same reason.
const FINDINGS_MAX: usize = 20;
/// Longest text of one finding, for the same reason.
const FINDING_CHARS_MAX: usize = 200;

/// A failed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What a client may do about it
    pub code: Code,
    /// `UPPER_SNAKE`, stable
    pub reason: String,
    /// For people
    pub message: String,
    /// What to do; empty where there is nothing to say
    pub remedy: String,
    /// Places in the input and what is wrong there
    pub findings: Vec<Finding>,
    /// What it is about, for programs
    pub details: BTreeMap<String, String>,
}

/// One place in the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Field, or `source:LINE:COLUMN` in a policy
    pub field: String,
    /// What is wrong there
    pub problem: String,
}

impl Failure {
    /// A failure without findings and remedy.
    pub fn new(code: Code, reason: &str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.to_owned(),
            message: message.into(),
            remedy: String::new(),
            findings: vec![],
            details: BTreeMap::new(),
        }
    }

    /// Adds what to do.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = remedy.into();
        self
    }

    /// Adds what it is about, for programs.
    #[must_use]
    pub fn detail(mut self, name: &str, value: impl Into<String>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a place.
    #[must_use]
    pub fn finding(mut self, field: impl Into<String>, problem: impl Into<String>) -> Self {
        self.findings.push(Finding {
            field: field.into(),
            problem: problem.into(),
        });
        self
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        let Failure {
            code,
            reason,
            message,
            remedy,
            findings,
            details,
        } = failure;
        let details = details.into_iter();
        let about: HashMap<_, _> = details
            .map(|(name, value)| (name, cut(value, FINDING_CHARS_MAX)))
            .collect();
        let mut details = ErrorDetails::with_error_info(reason, DOMAIN, about);
        for Finding { field, problem } in findings.into_iter().take(FINDINGS_MAX) {
            details.add_bad_request_violation(field, cut(problem, FINDING_CHARS_MAX));
        }
        if !remedy.is_empty() {
            details.add_help_link(cut(remedy, FINDING_CHARS_MAX), "");
        }
        Status::with_error_details(code, cut(message, MESSAGE_CHARS_MAX), details)
    }
}

/// At most `max` characters. Escaping is done where text from outside enters a message, and only once.
fn cut(text: String, max: usize) -> String {
    if text.chars().nth(max).is_none() {
        return text;
    }
    text.chars()
        .take(max.saturating_sub(1))
        .chain(['…'])
        .collect()
}

/// Reads a failure; one that is not Stayhand's (the transport's, another server's) has an empty reason.
impl From<&Status> for Failure {
    fn from(status: &Status) -> Self {
        let details = status.get_error_details();
        let reason = details
            .error_info()
            .filter(|info| info.domain == DOMAIN)
            .map(|info| (info.reason.clone(), info.metadata.clone()));
        let findings = details.bad_request().map(|bad| {
            let found = bad.field_violations.iter();
            found
                .map(|one| Finding {
                    field: one.field.clone(),
                    problem: one.description.clone(),
                })
                .collect()
        });
        let remedy = details
            .help()
            .and_then(|help| help.links.first())
            .map(|link| link.description.clone());
        let (reason, about) = reason.unwrap_or_default();
        Self {
            code: status.code(),
            reason,
            message: status.message().to_owned(),
            remedy: remedy.unwrap_or_default(),
            findings: findings.unwrap_or_default(),
            details: about.into_iter().collect(),
        }
    }
}
