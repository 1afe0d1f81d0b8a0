//! Policies and findings in them.

use stayhand_guardrail::{
    host::PolicyRevision,
    id::Revision,
    limits::SOURCE_BYTES_MAX,
    policy::{Diagnostic, Place, Severity},
};

use super::{
    Invalid,
    grant::enforcements,
    invalid::optional,
    name,
    scalar::{id, some_text, text, time, timestamp},
};
use crate::{v1, view::PolicyView};

impl From<PolicyView> for v1::Policy {
    fn from(view: PolicyView) -> Self {
        let PolicyView {
            name,
            revision,
            source,
            applied_by,
            create_time,
            enforcement,
            rollout,
            removed,
        } = view;
        Self {
            name: name::policy(&name),
            revision: revision.0,
            source,
            applied_by: applied_by.into(),
            create_time: Some(timestamp(create_time)),
            enforcement: enforcement.into_iter().map(Into::into).collect(),
            etag: revision.to_string(),
            rollout: rollout.map(Into::into),
            removed,
        }
    }
}

impl TryFrom<v1::Policy> for PolicyView {
    type Error = Invalid;
    fn try_from(wire: v1::Policy) -> Result<Self, Invalid> {
        // The etag is the revision in other words.
        let v1::Policy {
            name,
            revision,
            source,
            applied_by,
            create_time,
            enforcement,
            etag: _,
            rollout,
            removed,
        } = wire;
        Ok(Self {
            name: name::parse("name", name::POLICIES, &name)?,
            revision: Revision(revision),
            source: self::source(source)?,
            applied_by: id("applied_by", &applied_by)?,
            create_time: time("create_time", create_time)?,
            enforcement: enforcements(enforcement)?,
            rollout: optional("rollout", rollout)?,
            removed,
        })
    }
}

/// A document within its bound; what it says is the parser's business.
pub(super) fn source(source: String) -> Result<String, Invalid> {
    if source.len() > SOURCE_BYTES_MAX {
        let problem = format!(
            "has {} bytes, more than the {SOURCE_BYTES_MAX} that are allowed",
            source.len()
        );
        return Err(Invalid::new("source", problem));
    }
    Ok(source)
}

impl From<PolicyRevision> for v1::PolicySource {
    fn from(policy: PolicyRevision) -> Self {
        let PolicyRevision {
            name,
            revision,
            source,
        } = policy;
        Self {
            name: name.into(),
            revision: revision.0,
            source,
        }
    }
}

impl TryFrom<v1::PolicySource> for PolicyRevision {
    type Error = Invalid;
    fn try_from(wire: v1::PolicySource) -> Result<Self, Invalid> {
        let v1::PolicySource {
            name,
            revision,
            source,
        } = wire;
        Ok(Self {
            name: id("name", &name)?,
            revision: Revision(revision),
            source: self::source(source)?,
        })
    }
}

impl From<Diagnostic> for v1::Diagnostic {
    fn from(finding: Diagnostic) -> Self {
        // The severity shows in where it travels: errors as details of a failure, warnings in an answer. The
        // message already quotes the excerpt where that helps.
        let Diagnostic {
            severity: _,
            at: Place { line, column },
            message,
            excerpt: _,
            suggestion,
        } = finding;
        Self {
            line,
            column,
            message,
            suggestion: suggestion.unwrap_or_default(),
        }
    }
}

impl TryFrom<v1::Diagnostic> for Diagnostic {
    type Error = Invalid;
    fn try_from(wire: v1::Diagnostic) -> Result<Self, Invalid> {
        let v1::Diagnostic {
            line,
            column,
            message,
            suggestion,
        } = wire;
        Ok(Self {
            severity: Severity::Warning,
            at: Place { line, column },
            message: text("message", message)?,
            excerpt: String::new(),
            suggestion: some_text("suggestion", suggestion)?,
        })
    }
}
