//! The rules that count, and what they say. Evaluates; reads no file and no clock.

use std::sync::Arc;

use cedar_policy::{
    ActionConstraint, Authorizer, Decision, Effect, EntityUid, Policy, PolicySet,
    PrincipalConstraint, ResourceConstraint, Response, Schema,
};
use stayhand_guardrail::{text::safe, time::UnixMs};

use super::{
    Action, Caller, Denied, Resource, Transport, Why,
    entities::{self, Put},
};

/// Annotation that says whom to ask where a rule is in the way.
const ASK: &str = "ask";

/// The rules. Cheap to copy.
#[derive(Clone, Debug)]
pub struct Authorization(Arc<Rules>);

#[derive(Debug)]
struct Rules {
    schema: Schema,
    set: PolicySet,
}

/// What somebody wants to do.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'r> {
    /// What
    pub action: Action,
    /// Of what
    pub resource: &'r Resource,
    /// Whether that is the caller's own: the own hold, the own proposal, a grant to the caller
    pub own: bool,
}

/// What rules say of an action, as far as that can be said before it is done to something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct May {
    /// The action
    pub action: Action,
    /// Rules that permit it
    pub rules: Vec<String>,
    /// Whether it also depends on what it is done to, or on when
    pub depends: bool,
}

impl Authorization {
    /// Counts by rules that were validated against the schema.
    pub(super) fn new(schema: Schema, set: PolicySet) -> Self {
        Self(Arc::new(Rules { schema, set }))
    }

    /// Whether the caller may. Whatever goes wrong is a refusal: Cedar passes over a rule that it cannot evaluate, and that may be
    /// the one that forbids.
    pub fn decide(
        &self,
        caller: &Caller,
        asked: &Asked<'_>,
        now: UnixMs,
    ) -> Result<(), Box<Denied>> {
        let failed = |cause| Why::Failed { cause };
        let resource = || Some(asked.resource.to_string());
        if let Some(why) = out_of_scope(caller, asked.action) {
            return Err(Box::new(self.denied(caller, asked.action, resource(), why)));
        }
        let why = match self.evaluate(caller, asked, now) {
            Err(cause) => failed(cause),
            Ok(response) => {
                let errors = response
                    .diagnostics()
                    .errors()
                    .map(|error| safe(&error.to_string()));
                let errors: Vec<String> = errors.collect();
                match response.decision() {
                    _ if !errors.is_empty() => failed(errors.join("; ")),
                    Decision::Allow => return Ok(()),
                    Decision::Deny => self.refused(&response, asked.action),
                }
            }
        };
        Err(Box::new(self.denied(caller, asked.action, resource(), why)))
    }

    /// Turns away whom no rule can permit the action, before anything is looked up: by the heads of rules, without what they say
    /// of the thing. Whoever passes is still to be asked about by [`Self::decide`].
    pub fn admit(&self, caller: &Caller, action: Action) -> Result<(), Box<Denied>> {
        if let Some(why) = out_of_scope(caller, action) {
            return Err(Box::new(self.denied(caller, action, None, why)));
        }
        let why = match self.naming(caller, Effect::Permit) {
            Err(cause) => Why::Failed { cause },
            Ok(naming) if naming.iter().any(|rule| is_about(rule, action)) => return Ok(()),
            Ok(naming) => {
                let rules = self.permitting(action);
                let is_known = |rule: &&Policy| !is_for_everybody(rule);
                if naming.iter().any(is_known) {
                    Why::NotPermitted { rules }
                } else {
                    Why::Stranger { rules }
                }
            }
        };
        Err(Box::new(self.denied(caller, action, None, why)))
    }

    /// What the caller may do, by the heads of rules.
    pub fn of(&self, caller: &Caller) -> Vec<May> {
        let permits = self.naming(caller, Effect::Permit).unwrap_or_default();
        let forbids = self.naming(caller, Effect::Forbid).unwrap_or_default();
        let said = Action::ALL.into_iter().filter_map(|action| {
            let about = |rules: &[&Policy]| -> Vec<Policy> {
                let about = rules.iter().filter(|rule| is_about(rule, action));
                about.map(|rule| (*rule).clone()).collect()
            };
            let (permits, mut forbids) = (about(&permits), about(&forbids));
            // Said anyway, and of no action in particular.
            forbids.retain(|rule| !is_always(rule));
            let is_possible = !permits.is_empty()
                && forbids.iter().all(is_conditional)
                && caller.out_of_scope(action).is_none()
                && !(action == Action::BreakGlassCreate && caller.transport != Transport::Socket);
            is_possible.then(|| May {
                action,
                depends: !forbids.is_empty() || permits.iter().all(is_conditional),
                rules: ids(permits.iter()),
            })
        });
        said.collect()
    }

    fn evaluate(&self, caller: &Caller, asked: &Asked<'_>, now: UnixMs) -> Put<Response> {
        let (request, entities) = entities::put(&self.0.schema, caller, asked, now)?;
        Ok(Authorizer::new().is_authorized(&request, &self.0.set, &entities))
    }

    fn refused(&self, response: &Response, action: Action) -> Why {
        let mut rules: Vec<String> = response
            .diagnostics()
            .reason()
            .map(ToString::to_string)
            .collect();
        rules.sort();
        if rules.is_empty() {
            Why::NotPermitted {
                rules: self.permitting(action),
            }
        } else {
            Why::Forbidden { rules }
        }
    }

    fn denied(
        &self,
        caller: &Caller,
        action: Action,
        resource: Option<String>,
        why: Why,
    ) -> Denied {
        let mut denied = Denied {
            user: caller.user.clone(),
            action,
            resource,
            why,
            ask: vec![],
        };
        let named = self
            .0
            .set
            .policies()
            .filter(|rule| denied.rules().contains(&rule.id().to_string()));
        let mut ask: Vec<String> = named
            .filter_map(|rule| rule.annotation(ASK))
            .map(safe)
            .collect();
        ask.sort();
        ask.dedup();
        denied.ask = ask;
        denied
    }

    /// Rules in whose head the caller is named.
    fn naming(&self, caller: &Caller, effect: Effect) -> Put<Vec<&Policy>> {
        let heads = entities::heads(caller)?;
        let names = |uid: &EntityUid| heads.contains(uid);
        let own = entities::uid("User", caller.user.as_str())?;
        Ok(self
            .rules(effect)
            .filter(|rule| match rule.principal_constraint() {
                PrincipalConstraint::Any => true,
                PrincipalConstraint::In(uid) => names(&uid),
                PrincipalConstraint::Eq(uid) => uid == own,
                PrincipalConstraint::Is(kind) => kind == *own.type_name(),
                PrincipalConstraint::IsIn(kind, uid) => kind == *own.type_name() && names(&uid),
            })
            .collect())
    }

    fn permitting(&self, action: Action) -> Vec<String> {
        ids(self
            .rules(Effect::Permit)
            .filter(|rule| is_about(rule, action)))
    }

    fn rules(&self, effect: Effect) -> impl Iterator<Item = &Policy> {
        self.0
            .set
            .policies()
            .filter(move |rule| rule.effect() == effect)
    }
}

fn ids<'p>(rules: impl Iterator<Item = &'p Policy>) -> Vec<String> {
    let mut ids: Vec<String> = rules.map(|rule| rule.id().to_string()).collect();
    ids.sort();
    ids
}

/// Whether the head of a rule names the action, or a group of actions that it is in.
fn is_about(rule: &Policy, action: Action) -> bool {
    let names = |uid: &EntityUid| {
        let name = uid.id().unescaped();
        name == action.as_str() || action.groups().contains(&name)
    };
    match rule.action_constraint() {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(uid) => uid.id().unescaped() == action.as_str(),
        ActionConstraint::In(uids) => uids.iter().any(names),
    }
}

/// Whether a rule depends on what something is done to, or on when.
fn is_conditional(rule: &Policy) -> bool {
    rule.has_non_scope_constraint()
        || !matches!(rule.resource_constraint(), ResourceConstraint::Any)
}

/// What everybody may makes nobody an operator.
fn is_for_everybody(rule: &Policy) -> bool {
    super::FOR_EVERYBODY.contains(&rule.id().to_string().as_str())
}

fn out_of_scope(caller: &Caller, action: Action) -> Option<Why> {
    let purpose = safe(caller.out_of_scope(action)?);
    Some(Why::OutOfScope { purpose })
}

/// What always counts is said anyway, and says nothing about an action of its own.
fn is_always(rule: &Policy) -> bool {
    let said = [
        super::GUARDED_SUBJECTS,
        super::OWN_REQUESTS,
        super::BREAK_GLASS_BY_SOCKET,
        super::PROGRAMS_APPROVE_NOTHING,
    ];
    said.contains(&rule.id().to_string().as_str())
}
