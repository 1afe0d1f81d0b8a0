//! A policy's own tests, before it counts: one that fails them by itself is refused, and what comes out otherwise beside the
//! policies that count already is told.
//!
//! The second refuses nothing: nobody's policy is to wait until somebody else's has changed.

use stayhand_guardrail::{
    id::Revision,
    policy::{Diagnostic, Policy, Severity, Versioned, case},
};

use super::{Error, PolicySet};

/// Runs the tests; warnings are about what is otherwise beside the others.
pub(super) fn check(policy: &Policy, set: &PolicySet) -> Result<Vec<Diagnostic>, Error> {
    let (failed, findings) = case::alone(policy);
    if failed != 0 {
        return Err(Error::PolicyTests {
            failed,
            of: policy.tests.len(),
            findings,
        });
    }
    let others = set.standing().filter(|other| other.name != policy.name);
    let host: Vec<Versioned> = std::iter::once(policy)
        .chain(others)
        .map(|policy| Versioned {
            // Nobody sees it: judged is what they say.
            revision: Revision(0),
            policy: policy.clone(),
        })
        .collect();
    let problems = case::problems(&case::judge(&host, 0));
    let warnings = problems.into_iter().map(|problem| Diagnostic {
        severity: Severity::Warning,
        message: format!("beside the other policies, {}", problem.message),
        ..problem
    });
    Ok(warnings.collect())
}
