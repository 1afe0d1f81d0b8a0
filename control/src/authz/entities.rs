//! Callers and things as Cedar's entities. Names go in as data and are never read as Cedar.

use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request, RestrictedExpression,
    Schema,
};
use stayhand_guardrail::{
    sensitivity::Sensitivity,
    time::{DurationMs, UnixMs},
};

use super::{
    Asked, Caller,
    resource::{Resource, RuleResource},
};

/// Anything that keeps a request from being put, as text: there is nothing else to do about it.
pub(super) type Put<T> = Result<T, String>;

type Attributes = HashMap<String, RestrictedExpression>;

/// The schema's types, by name. Each name goes through Cedar's parser once and not with every question.
static TYPES: LazyLock<HashMap<&str, EntityTypeName>> = LazyLock::new(|| {
    let kinds = [
        "Action",
        "Arguments",
        "Control",
        "Flag",
        "Grant",
        "Group",
        "Hold",
        "Host",
        "Lock",
        "Policy",
        "Role",
        "Session",
        "Token",
        "User",
    ];
    let read = kinds
        .into_iter()
        .map(|kind| Some((kind, kind.parse().ok()?)));
    read.flatten().collect()
});

/// A request and what it is about, both checked against the schema.
pub(super) fn put(
    schema: &Schema,
    caller: &Caller,
    asked: &Asked<'_>,
    now: UnixMs,
) -> Put<(Request, Entities)> {
    let principal = principal(caller)?;
    let resource = resource(asked.resource)?;
    let action = uid("Action", asked.action.as_str())?;
    let context = Context::from_pairs([
        (
            "now".to_owned(),
            RestrictedExpression::new_datetime(now.to_string()),
        ),
        ("own".to_owned(), RestrictedExpression::new_bool(asked.own)),
    ])
    .map_err(told)?;
    let request = Request::new(
        principal.uid(),
        action,
        resource.uid(),
        context,
        Some(schema),
    );
    let entities = Entities::from_entities([principal, resource], Some(schema));
    Ok((request.map_err(told)?, entities.map_err(told)?))
}

/// What a caller is and belongs to: everything that the head of a rule can name.
pub(super) fn heads(caller: &Caller) -> Put<HashSet<EntityUid>> {
    let groups = caller
        .groups
        .iter()
        .map(|group| uid("Group", group.as_str()));
    let mut all = groups.collect::<Put<HashSet<_>>>()?;
    if caller.is_operator {
        all.insert(uid("Role", "operator")?);
    }
    all.insert(uid("User", caller.user.as_str())?);
    Ok(all)
}

/// An entity's id, from a type that the schema has and any name.
pub(super) fn uid(kind: &str, id: &str) -> Put<EntityUid> {
    let kind = match TYPES.get(kind) {
        Some(known) => known.clone(),
        None => kind.parse().map_err(told)?,
    };
    Ok(EntityUid::from_type_name_and_id(kind, EntityId::new(id)))
}

fn principal(caller: &Caller) -> Put<Entity> {
    let own = uid("User", caller.user.as_str())?;
    let mut parents = heads(caller)?;
    parents.remove(&own);
    let attributes = attributes([
        ("name", text(caller.user.as_str())),
        ("guarded", RestrictedExpression::new_bool(caller.is_guarded)),
        ("transport", text(caller.transport.as_str())),
    ]);
    Entity::new(own, attributes, parents).map_err(told)
}

fn resource(resource: &Resource) -> Put<Entity> {
    let (kind, id, attributes) = match resource {
        Resource::Control => ("Control", "control".to_owned(), attributes([])),
        Resource::Host { name, labels } => {
            let labels = texts(labels.shown());
            let about = attributes([("name", text(name.as_str())), ("labels", labels)]);
            ("Host", name.to_string(), about)
        }
        Resource::Policy { name, sensitivity } => {
            let about = attributes([
                ("name", text(name.as_str())),
                ("sensitivity", level(*sensitivity)),
            ]);
            ("Policy", name.to_string(), about)
        }
        Resource::Grant(grant) => {
            let id = grant.id.map_or_else(String::new, |id| id.to_string());
            let about = attributes([
                ("subject", text(&grant.subject)),
                ("permissions", texts(grant.permissions.iter().cloned())),
                ("policies", texts(grant.policies.iter().cloned())),
                (
                    "profile",
                    text(grant.profile.as_deref().unwrap_or_default()),
                ),
                ("hosts", texts(grant.hosts.iter().map(ToString::to_string))),
                ("seconds", seconds(grant.duration)),
                ("sensitivity", level(grant.sensitivity)),
            ]);
            ("Grant", id, about)
        }
        Resource::Hold { id, of } => ("Hold", id.to_string(), of_rule(of)),
        Resource::Flag { name } => (
            "Flag",
            name.to_string(),
            attributes([("name", text(name.as_str()))]),
        ),
        Resource::Lock(lock) => {
            let about = attributes([
                ("subject", text(&lock.subject)),
                ("host", text(&lock.host)),
                ("labels", texts(lock.labels.shown())),
            ]);
            ("Lock", String::new(), about)
        }
        Resource::Arguments(of) => ("Arguments", String::new(), of_rule(of)),
        Resource::Session { user, door } => {
            let about = attributes([
                ("user", text(user.as_str())),
                ("transport", text(door.as_str())),
            ]);
            ("Session", String::new(), about)
        }
        Resource::Token(token) => {
            let about = attributes([
                ("user", text(token.user.as_str())),
                ("actions", texts(token.actions.iter().cloned())),
                ("seconds", seconds(token.duration)),
            ]);
            ("Token", String::new(), about)
        }
    };
    Entity::new(uid(kind, &id)?, attributes, HashSet::new()).map_err(told)
}

fn of_rule(of: &RuleResource) -> Attributes {
    attributes([
        ("policy", text(&of.policy)),
        ("rule", text(&of.rule)),
        ("sensitivity", level(of.sensitivity)),
        ("subject", text(&of.subject)),
        ("host", text(of.host.as_str())),
        ("labels", texts(of.labels.shown())),
    ])
}

fn attributes<const N: usize>(all: [(&str, RestrictedExpression); N]) -> Attributes {
    let all = all.into_iter();
    all.map(|(name, value)| (name.to_owned(), value)).collect()
}

fn seconds(span: DurationMs) -> RestrictedExpression {
    RestrictedExpression::new_long(i64::try_from(span.0.div_ceil(1_000)).unwrap_or(i64::MAX))
}

fn text(text: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(text.to_owned())
}

fn texts(texts: impl Iterator<Item = String>) -> RestrictedExpression {
    RestrictedExpression::new_set(texts.map(RestrictedExpression::new_string))
}

/// A number, so that policies can ask for at least or at most.
fn level(sensitivity: Option<Sensitivity>) -> RestrictedExpression {
    RestrictedExpression::new_long(match sensitivity {
        None => 0,
        Some(Sensitivity::Low) => 1,
        Some(Sensitivity::Medium) => 2,
        Some(Sensitivity::High) => 3,
        Some(Sensitivity::Critical) => 4,
    })
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "errors come by value from `map_err`"
)]
fn told(error: impl ToString) -> String {
    stayhand_guardrail::text::safe(&error.to_string())
}
