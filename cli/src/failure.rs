//! Failures of the command line: what failed, what to do next, and with which number the program exits.
//!
//! The only place that reads gRPC statuses and their details. Text from elsewhere is escaped line by line, so a
//! server's message cannot act on the terminal.

use std::{io, process::ExitCode};

use stayhand_guardrail::text::safe;
use stayhand_proto::failure::{self, AMBIGUOUS_ID, AMBIGUOUS_PERMISSION};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::view::prose;

/// Hints that one failure shows: more is a page, not a hint.
const HINTS_MAX: usize = 5;

/// What went wrong, by what a script does about it. Wrong usage (2) is clap's to report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Anything that has no number of its own
    General,
    /// There is no such thing
    NotFound,
    /// It is not in a state for that, or there are several
    Conflict,
    /// The caller may not
    Permission,
    /// Nobody answers, or not in time
    Unavailable,
    /// The reader of standard output went away: quiet, as `head` expects
    BrokenPipe,
}

impl From<Kind> for ExitCode {
    fn from(kind: Kind) -> Self {
        Self::from(match kind {
            Kind::BrokenPipe => 0,
            Kind::General => 1,
            Kind::NotFound => 3,
            Kind::Conflict => 4,
            Kind::Permission => 5,
            Kind::Unavailable => 6,
        })
    }
}

/// One failure, for a person.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Exit code
    pub(crate) kind: Kind,
    /// What failed, already safe to show; may have several lines
    pub(crate) error: String,
    /// What to do next, already safe to show
    pub(crate) hints: Vec<String>,
}

impl Failure {
    /// Makes one without hints.
    pub(crate) fn new(kind: Kind, error: impl Into<String>) -> Self {
        Self {
            kind,
            error: error.into(),
            hints: Vec::new(),
        }
    }

    /// Makes one that has no number of its own.
    pub(crate) fn general(error: impl Into<String>) -> Self {
        Self::new(Kind::General, error)
    }

    /// Says what to do next.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Reads the answer of a service to an attempt to `what` (`approve the hold`).
    pub(crate) fn of_status(what: &str, status: &Status) -> Self {
        let kind = kind_of(status);
        let said = if status.message().is_empty() {
            status.code().description().to_owned()
        } else {
            prose(status.message())
        };
        let mut failure = Self::new(kind, format!("could not {what}: {said}"));
        failure.add_details(status);
        failure.add_usual_hint(status);
        failure.hints.truncate(HINTS_MAX);
        failure
    }

    /// Takes hints and findings out of the error details (`ErrorInfo`, `BadRequest`, `PreconditionFailure`, `Help`).
    fn add_details(&mut self, status: &Status) {
        let details = status.get_error_details();
        let violations = details
            .bad_request()
            .map(|bad| bad.field_violations.as_slice())
            .unwrap_or_default();
        for violation in violations {
            let description = prose(&violation.description);
            if !self.error.contains(&description) {
                let field = safe(&violation.field);
                self.error.push_str(&format!("\n  {field}: {description}"));
            }
        }
        let failed = details
            .precondition_failure()
            .map(|failed| failed.violations.as_slice())
            .unwrap_or_default();
        for violation in failed {
            let description = prose(&violation.description);
            if !self.error.contains(&description) {
                self.error.push_str(&format!("\n  {description}"));
            }
        }
        let remedies = details.error_info().into_iter().flat_map(|info| {
            let metadata = &info.metadata;
            ["remedy", "hint"]
                .into_iter()
                .filter_map(|key| metadata.get(key))
        });
        self.hints.extend(remedies.map(|text| prose(text)));
        let links = details.help().map(|help| help.links.as_slice());
        for link in links.unwrap_or_default() {
            self.hints.push(prose(&link.description));
        }
    }

    /// A status without advice of its own gets what usually helps.
    fn add_usual_hint(&mut self, status: &Status) {
        if !self.hints.is_empty() {
            return;
        }
        let hint = match self.kind {
            Kind::Permission => {
                "you are known by the login of your process, not by its uid; \
                 `stayhand whoami` and `stayhand doctor` show who you are here"
            }
            Kind::Unavailable if status.code() == Code::ResourceExhausted => {
                "too much at once; try again in a moment"
            }
            Kind::Unavailable => "`stayhand doctor` shows what answers and what does not",
            _ => return,
        };
        self.hints.push(hint.to_owned());
    }
}

/// A reader that went away is the only quiet failure of writing.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::new(Kind::BrokenPipe, "");
        }
        Self::general(format!("could not write the output: {error}"))
    }
}

/// Mirrors the control plane's table from errors to codes. A name that fits several things is a conflict for a
/// script, although the server rightly calls it an invalid argument: the reason tells them apart.
fn kind_of(status: &Status) -> Kind {
    let reason = failure::Failure::from(status).reason;
    if [AMBIGUOUS_ID, AMBIGUOUS_PERMISSION].contains(&reason.as_str()) {
        return Kind::Conflict;
    }
    match status.code() {
        Code::NotFound => Kind::NotFound,
        Code::AlreadyExists | Code::Aborted | Code::FailedPrecondition => Kind::Conflict,
        Code::PermissionDenied | Code::Unauthenticated => Kind::Permission,
        Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted => Kind::Unavailable,
        // A connection that breaks under a call is reported as unknown or cancelled, with the cause attached.
        Code::Unknown | Code::Cancelled | Code::Internal
            if std::error::Error::source(status).is_some() =>
        {
            Kind::Unavailable
        }
        _ => Kind::General,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn a_hostile_message_cannot_act_on_the_terminal() {
        let status = Status::not_found("no hold `\x1b[2J\u{202e}\x07`\nsecond line");
        let failure = Failure::of_status("show the hold", &status);
        assert_eq!(failure.kind, Kind::NotFound);
        assert!(!failure.error.contains(['\x1b', '\u{202e}', '\x07']));
        assert!(
            failure.error.ends_with("\nsecond line"),
            "{}",
            failure.error
        );
    }

    #[test]
    fn findings_and_remedies_of_the_server_are_shown() {
        let mut details = ErrorDetails::new();
        details.add_bad_request_violation("ttl", "a grant lasts at least 1s, not 0s");
        let remedy = HashMap::from([("remedy".to_owned(), "use --for 1s or more".to_owned())]);
        details.set_error_info("GRANT_TOO_SHORT", "stayhand", remedy);
        let status = tonic::Status::with_error_details(Code::InvalidArgument, "bad grant", details);
        let failure = Failure::of_status("create the grant", &status);
        assert_eq!(
            failure.error,
            "could not create the grant: bad grant\n  ttl: a grant lasts at least 1s, not 0s"
        );
        assert_eq!(failure.hints, ["use --for 1s or more"]);
    }

    #[test]
    fn every_code_has_the_exit_code_of_the_contract() {
        let table = [
            (Code::NotFound, Kind::NotFound),
            (Code::AlreadyExists, Kind::Conflict),
            (Code::Aborted, Kind::Conflict),
            (Code::FailedPrecondition, Kind::Conflict),
            (Code::PermissionDenied, Kind::Permission),
            (Code::Unauthenticated, Kind::Permission),
            (Code::Unavailable, Kind::Unavailable),
            (Code::DeadlineExceeded, Kind::Unavailable),
            (Code::InvalidArgument, Kind::General),
            (Code::Internal, Kind::General),
        ];
        for (code, kind) in table {
            assert_eq!(kind_of(&Status::new(code, "")), kind, "{code:?}");
        }
    }

    #[test]
    fn several_things_of_a_name_are_a_conflict_and_other_bad_input_is_none() {
        let kind = |reason| {
            let failure = failure::Failure::new(Code::InvalidArgument, reason, "`3f2a`");
            kind_of(&failure.into())
        };
        assert_eq!(kind(AMBIGUOUS_ID), Kind::Conflict);
        assert_eq!(kind(AMBIGUOUS_PERMISSION), Kind::Conflict);
        assert_eq!(kind("INVALID_ID"), Kind::General);
    }

    #[test]
    fn a_refused_caller_is_told_how_they_are_known() {
        let failure = Failure::of_status("approve the hold", &Status::permission_denied("no"));
        assert!(failure.hints.iter().any(|hint| hint.contains("doctor")));
    }

    #[test]
    fn a_closed_pipe_is_no_error() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(failure.kind, Kind::BrokenPipe);
    }
}
