//! From failures to `google.rpc.Status`: one total function, so that every failure has one code, one reason for
//! programs, and a remedy for people.

use stayhand_guardrail::{hold, policy::Diagnostic, prefix::PrefixError, proposal, rollout};
use stayhand_proto::failure::{
    AGENT_TOO_OLD, AMBIGUOUS_ID, AMBIGUOUS_PERMISSION, CERTIFICATE_OVER, CERTIFICATE_UNKNOWN,
    Failure, HOST_REVOKED,
};
use tonic::{Code, Status};

use crate::{
    app::{
        Error, LockError, NoSession, NoToken, NotAdmitted, NotCertified, NotRotated, NotSignedIn,
    },
    authz::{Denied, GUARDED_SUBJECTS, OWN_REQUESTS, Why},
    identity::{PinError, Unidentified},
    names::NamesError,
    oidc::OidcError,
    operator::{NotAccepted, Refusal, SessionRefused},
    store::StoreError,
};

/// The status of a use case that did not happen.
pub(super) fn of(error: &Error) -> Status {
    let (code, reason) = code(error);
    let failure = Failure::new(code, reason, error.to_string());
    let failure = match error {
        Error::Field { field, problem } => failure.finding(field, problem),
        Error::Grant(problem) => failure.finding("grant", problem.to_string()),
        Error::Prefix { kind, .. } => failure.remedy(format!("`stayhand {kind} ls` shows the ids")),
        Error::AgentTooOld { .. } => failure.remedy(
            "install a newer stayhand-agent on the host; what it enforces stays enforced meanwhile",
        ),
        Error::Names(error) | Error::NotSignedIn(NotSignedIn::Names(error)) => {
            of_names(failure, error)
        }
        Error::NotSignedIn(NotSignedIn::Provider(
            OidcError::Unknown | OidcError::Refused(_) | OidcError::NotBelieved(_),
        )) => failure.remedy(
            "begin again: `stayhand login`, with --device-code where the browser is elsewhere",
        ),
        Error::UnknownUser(user) => failure.remedy(format!(
            "`getent passwd {user}` shows whether this host knows it"
        )),
        Error::Policy(findings) => at_their_places(
            failure.remedy("`stayhand policy check FILE` shows all of them"),
            findings,
        ),
        Error::PolicyTests { findings, .. } => at_their_places(
            failure.remedy("`stayhand policy test FILE` shows all of them"),
            findings,
        ),
        Error::PolicySet(problems) => problems.iter().fold(failure, |failure, problem| {
            failure.finding("source", problem.to_string())
        }),
        Error::Authority(problem) => {
            tracing::error!(%problem, "cannot sign certificates");
            failure.remedy("the control plane's log says why")
        }
        Error::Store(StoreError::Full | StoreError::Reserved) => {
            failure.remedy("free space on the control plane's disk, then repeat")
        }
        Error::Store(problem) => {
            tracing::error!(%problem, "store failed");
            failure.remedy("the control plane's log says more")
        }
        Error::Denied(denied) => of_denied(failure, denied),
        Error::OwnGrant(_)
        | Error::OwnHold(_)
        | Error::MaybeOwnHold { .. }
        | Error::Lock(LockError::Own(_))
        | Error::Proposal(proposal::Illegal::Own { .. }) => {
            failure.detail(RULES, OWN_REQUESTS).remedy(format!(
                "rule `{OWN_REQUESTS}` forbids it to whoever it is the own of; ask another operator"
            ))
        }
        _ => failure,
    };
    failure.into()
}

/// For programs: what was refused, and by which rules.
const ACTION: &str = "action";
/// See [`ACTION`].
const RESOURCE: &str = "resource";
/// See [`ACTION`].
const RULES: &str = "rules";

/// What keeps everybody out whom a policy might guard.
const NAMES_UNKNOWN: &str = "NAMES_UNKNOWN";

fn of_names(failure: Failure, error: &NamesError) -> Failure {
    tracing::error!(%error, "nobody can tell whom policies guard");
    failure.remedy(
        "try again when the directory service answers; `getent passwd` and `getent group` show whether it does, and /etc/nsswitch.conf \
         which one it is",
    )
}

fn of_denied(failure: Failure, denied: &Denied) -> Failure {
    let failure = failure
        .detail(ACTION, denied.action.as_str())
        .detail(RULES, denied.rules().join(","))
        .remedy(denied.remedy());
    match &denied.resource {
        Some(resource) => failure.detail(RESOURCE, resource.as_str()),
        None => failure,
    }
}

fn reason_of(denied: &Denied) -> &'static str {
    match denied.why {
        Why::Forbidden { .. } => "FORBIDDEN",
        Why::NotPermitted { .. } => "NOT_PERMITTED",
        Why::Stranger { .. } => "NOT_AN_OPERATOR",
        Why::OutOfScope { .. } => "OUT_OF_SCOPE",
        Why::Failed { .. } => "RULES_FAILED",
    }
}

fn at_their_places(failure: Failure, findings: &[Diagnostic]) -> Failure {
    findings.iter().fold(failure, |failure, finding| {
        let at = format!("source:{}:{}", finding.at.line, finding.at.column);
        let suggestion = finding.suggestion.as_ref();
        let suggestion = suggestion.map_or_else(String::new, |text| format!("; {text}"));
        failure.finding(at, format!("{}{suggestion}", finding.message))
    })
}

fn code(error: &Error) -> (Code, &'static str) {
    match error {
        Error::Field { .. }
        | Error::Proposal(proposal::Illegal::Reason)
        | Error::Rollout(rollout::Illegal::Reason) => (Code::InvalidArgument, "INVALID_FIELD"),
        Error::Grant(_) => (Code::InvalidArgument, "INVALID_GRANT"),
        Error::Prefix {
            error: PrefixError::Malformed { .. },
            ..
        } => (Code::InvalidArgument, "INVALID_ID"),
        Error::Prefix {
            error: PrefixError::Unknown { .. },
            ..
        } => (Code::NotFound, "UNKNOWN_ID"),
        Error::Prefix {
            error: PrefixError::Ambiguous { .. },
            ..
        } => (Code::InvalidArgument, AMBIGUOUS_ID),
        Error::Names(_) => (Code::Unavailable, NAMES_UNKNOWN),
        Error::UnknownUser(_) => (Code::NotFound, "UNKNOWN_USER"),
        Error::UnknownHost(_) => (Code::NotFound, "UNKNOWN_HOST"),
        Error::UnknownPolicy { .. } => (Code::NotFound, "UNKNOWN_POLICY"),
        Error::UnknownPermission { .. } => (Code::NotFound, "UNKNOWN_PERMISSION"),
        Error::AmbiguousPermission { .. } => (Code::InvalidArgument, AMBIGUOUS_PERMISSION),
        Error::NeedsProfile { .. } => (Code::FailedPrecondition, "NEEDS_PROFILE"),
        Error::UnknownProfile { .. } => (Code::NotFound, "UNKNOWN_PROFILE"),
        Error::AmbiguousProfile { .. } => (Code::InvalidArgument, "AMBIGUOUS_PROFILE"),
        Error::Values(_) => (Code::InvalidArgument, "INVALID_VALUE"),
        Error::TooLongForProfile { .. } | Error::ExcludesItsHosts { .. } => {
            (Code::InvalidArgument, "INVALID_GRANT")
        }
        Error::Excluded { .. } => (Code::FailedPrecondition, "EXCLUDED"),
        Error::NoRoom(_) => (Code::ResourceExhausted, "NO_ROOM"),
        Error::ProfileInUse { .. } => (Code::FailedPrecondition, "PROFILE_IN_USE"),
        Error::NotASubject { .. } => (Code::FailedPrecondition, "NOT_A_SUBJECT"),
        Error::Denied(denied) => (Code::PermissionDenied, reason_of(denied)),
        Error::OwnGrant(_) => (Code::PermissionDenied, "OWN_GRANT"),
        Error::OwnHold(_) | Error::MaybeOwnHold { .. } => (Code::PermissionDenied, "OWN_HOLD"),
        Error::Lock(refusal) => of_lock(refusal),
        Error::UnknownFlag(_) => (Code::NotFound, "UNKNOWN_FLAG"),
        Error::TooManyFlags(_) => (Code::ResourceExhausted, "TOO_MANY_FLAGS"),
        Error::UnknownProposal(_) => (Code::NotFound, "UNKNOWN_PROPOSAL"),
        Error::TooManyProposals(_) => (Code::ResourceExhausted, "TOO_MANY_PROPOSALS"),
        Error::Proposal(proposal::Illegal::Over { .. }) => {
            (Code::FailedPrecondition, "PROPOSAL_OVER")
        }
        Error::Proposal(proposal::Illegal::Own { .. }) => (Code::PermissionDenied, "OWN_PROPOSAL"),
        Error::NoRollout(_) => (Code::NotFound, "UNKNOWN_ROLLOUT"),
        Error::Rollout(rollout::Illegal::State { .. }) => {
            (Code::FailedPrecondition, "ROLLOUT_OVER")
        }
        Error::Rollout(rollout::Illegal::Refused { .. }) => {
            (Code::FailedPrecondition, "ROLLOUT_REFUSED")
        }
        Error::RolloutRuns { .. } => (Code::FailedPrecondition, "ROLLOUT_RUNS"),
        Error::RolloutStopped { .. } => (Code::FailedPrecondition, "ROLLOUT_STOPPED"),
        Error::RolloutApproved(_) => (Code::PermissionDenied, "ROLLOUT_APPROVED"),
        Error::TooManyRollouts(_) => (Code::ResourceExhausted, "TOO_MANY_ROLLOUTS"),
        Error::People(_) => (Code::Unavailable, "PEOPLE_UNKNOWN"),
        Error::Proposal(proposal::Illegal::NotCounted { .. }) => {
            (Code::PermissionDenied, "NOT_AN_APPROVER")
        }
        Error::RequestIdReused(_) => (Code::AlreadyExists, "REQUEST_ID_REUSED"),
        Error::Etag { .. } | Error::RolloutMoved { .. } => (Code::Aborted, "VERSION_CHANGED"),
        Error::GrantOver(_) => (Code::FailedPrecondition, "GRANT_OVER"),
        Error::HoldOver(illegal) => hold_over(illegal),
        Error::Policy(_) => (Code::InvalidArgument, "INVALID_POLICY"),
        Error::PolicyTests { .. } => (Code::InvalidArgument, "POLICY_TESTS_FAILED"),
        Error::FloorName(_) => (Code::InvalidArgument, "FLOOR_NAME"),
        Error::PermissionInUse { .. } => (Code::FailedPrecondition, "PERMISSION_IN_USE"),
        Error::PolicyInUse { .. } | Error::PolicyHolds { .. } => {
            (Code::FailedPrecondition, "POLICY_IN_USE")
        }
        Error::PolicySet(_) => (Code::InvalidArgument, "POLICY_SET_OVER_LIMIT"),
        Error::PoliciesTooLarge { .. } => (Code::InvalidArgument, "POLICIES_TOO_LARGE"),
        Error::ImplausibleGeneration(_) => (Code::FailedPrecondition, "IMPLAUSIBLE_GENERATION"),
        Error::AgentTooOld { .. } => (Code::FailedPrecondition, AGENT_TOO_OLD),
        Error::NotAdmitted(refusal) => not_admitted(refusal),
        Error::NotCertified(refusal) => not_certified(refusal),
        Error::NoToken(refusal) => no_token(refusal),
        Error::NoSession(refusal) => no_session(refusal),
        Error::NotSignedIn(refusal) => not_signed_in(refusal),
        Error::NotRotated(refusal) => not_rotated(refusal),
        Error::Authority(_) => (Code::Internal, "AUTHORITY_FAILED"),
        Error::Store(StoreError::Full | StoreError::Reserved) => {
            (Code::ResourceExhausted, "STORE_FULL")
        }
        Error::Store(StoreError::Corrupt { .. }) => (Code::DataLoss, "STORE_CORRUPT"),
        Error::Store(
            StoreError::Newer(_)
            | StoreError::TooLarge(_)
            | StoreError::Directory { .. }
            | StoreError::AlreadyRunning { .. }
            | StoreError::BrokeOff
            | StoreError::Sql(_),
        ) => (Code::Internal, "STORE_FAILED"),
    }
}

fn hold_over(illegal: &hold::Illegal) -> (Code, &'static str) {
    match illegal {
        hold::Illegal::Reason => (Code::InvalidArgument, "INVALID_FIELD"),
        hold::Illegal::AlreadyDecided { .. } => (Code::FailedPrecondition, "HOLD_ANSWERED"),
        hold::Illegal::NotCounted { .. } => (Code::PermissionDenied, "NOT_AN_APPROVER"),
        hold::Illegal::UnknownRule { .. } => (Code::FailedPrecondition, "UNKNOWN_RULE"),
        hold::Illegal::Over { .. }
        | hold::Illegal::Lapsed { .. }
        | hold::Illegal::NoStageOver { .. }
        | hold::Illegal::PastDeadline { .. }
        | hold::Illegal::NotYet { .. }
        | hold::Illegal::NotApproved { .. } => (Code::FailedPrecondition, "HOLD_OVER"),
    }
}

fn of_lock(refusal: &LockError) -> (Code, &'static str) {
    match refusal {
        LockError::Locked(_) => (Code::FailedPrecondition, "LOCKED"),
        LockError::Unknown(_) => (Code::NotFound, "UNKNOWN_LOCK"),
        LockError::Own(_) => (Code::PermissionDenied, "OWN_LOCK"),
        LockError::TooMany(_) => (Code::ResourceExhausted, "TOO_MANY_LOCKS"),
    }
}

fn not_certified(refusal: &NotCertified) -> (Code, &'static str) {
    match refusal {
        NotCertified::NotAMember(_) => (Code::NotFound, "NOT_A_MEMBER"),
        NotCertified::TakenAway(_) => (Code::Unauthenticated, CERTIFICATE_UNKNOWN),
        NotCertified::AlreadyRevoked(_) => (Code::FailedPrecondition, "ALREADY_REVOKED"),
        NotCertified::TooMany(_) => (Code::ResourceExhausted, "TOO_MANY_CERTIFICATES"),
    }
}

fn no_token(refusal: &NoToken) -> (Code, &'static str) {
    match refusal {
        NoToken::NoNetwork => (Code::FailedPrecondition, "NO_NETWORK"),
        NoToken::TooMany => (Code::ResourceExhausted, "TOO_MANY_JOIN_TOKENS"),
        NoToken::Unknown(_) => (Code::NotFound, "UNKNOWN_JOIN_TOKEN"),
        NoToken::UnknownAccess(_) => (Code::NotFound, "UNKNOWN_TOKEN"),
        NoToken::TooManyAccess(_) => (Code::ResourceExhausted, "TOO_MANY_TOKENS"),
        NoToken::NotKnown => (Code::PermissionDenied, "UNKNOWN_TOKEN"),
        NoToken::Worthless { .. } => (Code::PermissionDenied, "TOKEN_REFUSED"),
    }
}

fn no_session(refusal: &NoSession) -> (Code, &'static str) {
    match refusal {
        NoSession::Unsayable(_) => (Code::FailedPrecondition, "UNSAYABLE_NAME"),
        NoSession::TooMany { .. } => (Code::ResourceExhausted, "TOO_MANY_SESSIONS"),
        NoSession::Unknown(_) => (Code::NotFound, "UNKNOWN_SESSION"),
    }
}

fn not_rotated(refusal: &NotRotated) -> (Code, &'static str) {
    match refusal {
        NotRotated::Busy(_) | NotRotated::Issues(_) => {
            (Code::FailedPrecondition, "AUTHORITY_IN_USE")
        }
        NotRotated::Unknown(_) => (Code::NotFound, "UNKNOWN_AUTHORITY"),
    }
}

fn not_signed_in(refusal: &NotSignedIn) -> (Code, &'static str) {
    match refusal {
        NotSignedIn::NoProvider => (Code::FailedPrecondition, "NO_PROVIDER"),
        NotSignedIn::NotLinked { .. } => (Code::PermissionDenied, "NOT_LINKED"),
        NotSignedIn::People(_) => (Code::Unavailable, "PEOPLE_UNKNOWN"),
        NotSignedIn::Names(_) => (Code::Unavailable, NAMES_UNKNOWN),
        NotSignedIn::Provider(error) => match error {
            OidcError::Unreachable { .. } => (Code::Unavailable, "PROVIDER_UNAVAILABLE"),
            OidcError::Field { .. } => (Code::InvalidArgument, "INVALID_FIELD"),
            OidcError::Busy => (Code::ResourceExhausted, "TOO_MANY_SIGN_INS"),
            OidcError::Unknown => (Code::FailedPrecondition, "UNKNOWN_SIGN_IN"),
            OidcError::NoDeviceFlow | OidcError::NoDeviceEndpoint(_) | OidcError::NoCode(_) => {
                (Code::FailedPrecondition, "NO_DEVICE_FLOW")
            }
            OidcError::Refused(_) | OidcError::NotBelieved(_) => {
                (Code::PermissionDenied, "SIGN_IN_REFUSED")
            }
        },
    }
}

fn not_admitted(refusal: &NotAdmitted) -> (Code, &'static str) {
    match refusal {
        NotAdmitted::UnknownToken => (Code::PermissionDenied, "UNKNOWN_JOIN_TOKEN"),
        NotAdmitted::Token { .. } => (Code::PermissionDenied, "JOIN_TOKEN_REFUSED"),
        NotAdmitted::NameTaken(_) => (Code::AlreadyExists, "HOST_NAME_TAKEN"),
        NotAdmitted::OwnName(_) => (Code::AlreadyExists, "HOST_NAME_OWN"),
        NotAdmitted::Proof(_) => (Code::PermissionDenied, "PROOF_REFUSED"),
        NotAdmitted::Request(_) => (Code::InvalidArgument, "INVALID_REQUEST"),
        NotAdmitted::NotBound => (Code::PermissionDenied, "NOT_BOUND"),
        NotAdmitted::Revoked { .. } => (Code::PermissionDenied, HOST_REVOKED),
        NotAdmitted::TooSoon { .. } => (Code::ResourceExhausted, "RECOVERY_TOO_SOON"),
    }
}

/// The status of a caller that may not.
pub(super) fn refused(refusal: &Refusal) -> Status {
    let (code, reason) = match refusal {
        Refusal::Session(refused) => (Code::Unauthenticated, session_reason(refused)),
        Refusal::Names(_) => (Code::Unavailable, NAMES_UNKNOWN),
        other => (Code::PermissionDenied, refusal_reason(other)),
    };
    let failure = Failure::new(code, reason, refusal.to_string());
    let failure = match refusal {
        Refusal::Denied(denied) => of_denied(failure, denied),
        Refusal::Guarded { action, .. } => failure
            .detail(ACTION, action.as_str())
            .detail(RULES, GUARDED_SUBJECTS),
        Refusal::Session(_) => failure.remedy("stayhand login"),
        Refusal::Names(error) => of_names(failure, error),
        Refusal::Nameless(_) | Refusal::NotAgent(_) => failure,
    };
    failure.into()
}

fn session_reason(refused: &SessionRefused) -> &'static str {
    match refused {
        SessionRefused::Over(_) => "SESSION_OVER",
        SessionRefused::Unknown => "SESSION_UNKNOWN",
        SessionRefused::Revoked(_) => "SESSION_REVOKED",
    }
}

fn refusal_reason(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Session(refused) => session_reason(refused),
        Refusal::Names(_) => NAMES_UNKNOWN,
        Refusal::Guarded { .. } => "GUARDED",
        Refusal::Nameless(_) => "NAMELESS",
        Refusal::Denied(denied) => reason_of(denied),
        Refusal::NotAgent(_) => "NOT_AN_AGENT",
    }
}

/// The status of a host whose certificate does not count. The agent goes by the reason.
pub(super) fn not_accepted(refusal: &NotAccepted) -> Status {
    let (reason, remedy) = match refusal {
        NotAccepted::Over(..) => (CERTIFICATE_OVER, ""),
        NotAccepted::Unknown(_) => (CERTIFICATE_UNKNOWN, ""),
        NotAccepted::Revoked { .. } => (
            HOST_REVOKED,
            "it can join again with a token that an operator makes for it: stayhand host token create --host HOST --replace",
        ),
        NotAccepted::OwnName(_) => ("HOST_NAME_OWN", ""),
        NotAccepted::NotAHost => ("NOT_A_HOST", ""),
    };
    Failure::new(Code::Unauthenticated, reason, refusal.to_string())
        .remedy(remedy)
        .into()
}

/// The status of a caller whom nobody can name.
pub(super) fn unidentified(error: &Unidentified) -> Status {
    let failure = match error {
        Unidentified::Guard(error) => return of(error),
        Unidentified::Pin(PinError::Names(error)) => {
            let failure = Failure::new(Code::Unavailable, NAMES_UNKNOWN, error.to_string());
            of_names(failure, error)
        }
        Unidentified::Gone => Failure::new(Code::Unauthenticated, "PEER_GONE", error.to_string()),
        Unidentified::Pin(PinError::Agent { .. }) => {
            Failure::new(Code::Unavailable, "IDENTITY_UNAVAILABLE", format!("cannot tell who you are: {error}")).remedy(
                "start stayhand-agent on the control plane's machine; without one there, set `identity.pins = \"loginuid\"` in control.toml",
            )
        }
        Unidentified::Pin(PinError::LoginUid { .. }) => {
            Failure::new(Code::Unavailable, "IDENTITY_UNAVAILABLE", format!("cannot tell who you are: {error}"))
                .remedy("the control plane needs to read /proc; look at its unit's restrictions")
        }
    };
    failure.into()
}
