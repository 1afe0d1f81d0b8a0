//! `default`: what becomes of everything that no rule speaks of, by class of actions.

use super::{approval, fields::Fields, reader::Reader, rule};
use crate::{
    action::{Class, Operation},
    id::{ApprovalName, RuleId},
    limits::HOLD_TIMEOUT_DEFAULT,
    policy::{
        ArgCondition, Cidr, Diagnostic, NamePattern, PathPattern, Place, PortRange, Ranges, Rule,
        Scope, Target, VsockRange,
        language::{CLASSES, DEFAULT},
        yaml::{Node, Value},
    },
    reason::Effect,
    sensitivity::Sensitivity,
    time::DurationMs,
};

/// What the words of `default` mean; nothing restricts what nobody speaks of.
const WORDS: [(&str, Option<Effect>); 3] = [
    ("allow", None),
    ("deny", Some(Effect::DefaultDeny)),
    ("hold", Some(Effect::DefaultHold)),
];
/// What everybody is told whom the policy tells nothing else.
const MESSAGE: &str = "no rule allows it";

/// Reads it: one word for all classes, or a word for each. Adds a rule for each class that is restricted.
pub(super) fn defaults(r: &mut Reader, node: &Node, rules: &mut Vec<Rule>) {
    for rule in read(r, node).unwrap_or_default() {
        if let Some(other) = rules.iter().find(|other| other.id == rule.id) {
            let message = format!(
                "`{}` is the name of what `default` says, and of a rule in line {}",
                rule.id, other.at.line
            );
            let error = Diagnostic::error(node.at, rule.id.as_str(), message);
            r.report(error.suggest("give the rule another id"));
        }
        rules.push(rule);
    }
}

fn read(r: &mut Reader, node: &Node) -> Option<Vec<Rule>> {
    if let Value::Scalar { .. } = node.value {
        let effect = r.word(node, "default", &WORDS, &[])?;
        let each = effect.map(|effect| CLASSES.map(|class| (class, node.at, effect)));
        let said = Said::default();
        return rules(each.into_iter().flatten(), &said);
    }
    let mut fields = Fields::of(r, node, &DEFAULT)?;
    let mut each = Vec::new();
    for class in CLASSES {
        if let Some(node) = fields.take(class)
            && let Some(effect) = r.word(node, class, &WORDS, &[])?
        {
            each.push((class, node.at, effect));
        }
    }
    if CLASSES.iter().all(|class| !fields.had(class)) {
        let error = Diagnostic::error(node.at, "", "default says nothing of any class of actions");
        r.report(error.suggest("write one word for all of them, or `exec: deny` and the like"));
        return None;
    }
    let mut said = Said::default();
    if let Some(node) = fields.take("message") {
        said.message = rule::message(r, node)?;
    }
    let is_held = |(_, _, effect): &(_, _, Effect)| *effect == Effect::DefaultHold;
    let holds = each.iter().any(is_held);
    if let Some(node) = fields.take("timeout") {
        only_of_holds(r, node, "`timeout` says how long a hold waits", holds)?;
        said.timeout = rule::timeout(r, node)?;
    }
    if let Some(node) = fields.take("approval") {
        only_of_holds(r, node, "`approval` says who lets a hold go on", holds)?;
        said.approval = Some(approval::named(r, node)?);
    }
    if let Some(node) = fields.take("sensitivity") {
        of_what_is_restricted(r, node, !each.is_empty())?;
        said.sensitivity = Some(rule::sensitivity(r, node)?);
    }
    rules(each, &said)
}

fn only_of_holds(r: &mut Reader, node: &Node, what: &str, holds: bool) -> Option<()> {
    if !holds {
        let message = format!("{what}, and nothing is held by default");
        r.report(Diagnostic::error(node.at, node.excerpt(), message));
    }
    holds.then_some(())
}

/// What goes on by default yields no event and no hold that it could be said of.
fn of_what_is_restricted(r: &mut Reader, node: &Node, restricts: bool) -> Option<()> {
    if !restricts {
        let message = "`sensitivity` is of what is stopped, and nothing is restricted by default";
        r.report(Diagnostic::error(node.at, node.excerpt(), message));
    }
    restricts.then_some(())
}

/// What is said beside the words.
struct Said {
    message: String,
    timeout: DurationMs,
    approval: Option<ApprovalName>,
    sensitivity: Option<Sensitivity>,
}

impl Default for Said {
    fn default() -> Self {
        Self {
            message: MESSAGE.to_owned(),
            timeout: HOLD_TIMEOUT_DEFAULT,
            approval: None,
            sensitivity: None,
        }
    }
}

fn rules(
    each: impl IntoIterator<Item = (&'static str, Place, Effect)>,
    said: &Said,
) -> Option<Vec<Rule>> {
    let rule = |(class, at, effect): (&str, Place, Effect)| {
        let id: RuleId = format!("default-{class}").parse().ok()?;
        Some(Rule {
            id,
            effect,
            scope: Scope::All(everything(class)),
            message: Some(said.message.clone()),
            timeout: said.timeout,
            approval: said
                .approval
                .clone()
                .filter(|_| effect == Effect::DefaultHold),
            sensitivity: said.sensitivity,
            rate: None,
            record: false,
            when: None,
            included: false,
            at,
        })
    };
    each.into_iter().map(rule).collect()
}

/// Every action of a class.
fn everything(class: &str) -> Vec<Target> {
    let of_class = |class: Class| {
        let all = Operation::ALL.into_iter();
        all.filter(|operation| operation.class() == class).collect()
    };
    match class {
        "exec" => vec![Target::Exec {
            paths: PathPattern::everything().into(),
            args: ArgCondition::default(),
        }],
        "file" => vec![Target::File {
            operations: of_class(Class::File),
            paths: PathPattern::everything().into(),
        }],
        "system" => vec![Target::System {
            operations: of_class(Class::System),
        }],
        _ => sockets(),
    }
}

/// Every kind of socket, each with what can be done with it.
fn sockets() -> Vec<Target> {
    use Operation::{Bind, Connect, Listen, Netlink, Raw, Send};
    vec![
        Target::Net {
            operations: vec![Connect, Send, Bind, Listen],
            ranges: vec![Ranges {
                cidrs: vec![Cidr::EVERY],
                ports: vec![PortRange::ANY],
            }],
            protocols: vec![],
        },
        Target::Unix {
            operations: vec![Connect, Send],
            paths: PathPattern::everything().into(),
            names: vec![NamePattern::EVERY],
        },
        Target::Unix {
            operations: vec![Bind],
            paths: vec![],
            names: vec![NamePattern::EVERY],
        },
        Target::Vsock {
            operations: vec![Connect, Send, Bind],
            ranges: vec![VsockRange::EVERY],
        },
        Target::System {
            operations: vec![Raw, Netlink],
        },
    ]
}
