//! `extends`: what a policy takes over from shipped presets, put in as a tree before anything of it is read.
//!
//! Everything that is put in has an id with the preset's name before it and the place of the item that includes it, so
//! that it is read, checked and told like what the policy says itself.

use std::collections::BTreeSet;

use super::{fields::Fields, reader::Reader, rule};
use crate::{
    limits::{LIST_MAX, PRESETS_MAX},
    policy::{
        Diagnostic, Place,
        diagnostic::nearest,
        language,
        preset::{self, Preset},
        yaml::{self, Node, Value},
    },
};

/// What begins a scalar that stands for a parameter's value.
const PARAMETER: char = '$';

/// What one item includes.
#[derive(Clone, Debug)]
pub(in crate::policy) struct Included {
    /// What comes before its ids
    pub(in crate::policy) name: &'static str,
    /// Sections of a policy by their keys, each as a policy has it
    sections: Vec<(&'static str, Node)>,
    /// The item
    pub(super) at: Place,
}

/// The sections that a policy takes over, in the order in which they are read.
pub(in crate::policy) const SECTIONS: [&str; 4] = ["sets", "calendar", "permissions", "rules"];

impl Included {
    /// One of [`SECTIONS`].
    pub(in crate::policy) fn section(&self, key: &str) -> Option<&Node> {
        let mut all = self.sections.iter();
        all.find(|(one, _)| *one == key).map(|(_, node)| node)
    }
}

/// Reads the list. Nothing of an item that has a finding is included.
pub(in crate::policy) fn extends(r: &mut Reader, node: &Node) -> Vec<Included> {
    let items = match &node.value {
        Value::List(_) => r.list_up_to(node, "extends", PRESETS_MAX).unwrap_or(&[]),
        Value::Scalar { .. } | Value::Map(_) => std::slice::from_ref(node),
    };
    let mut all: Vec<Included> = Vec::new();
    for item in items {
        let Some(one) = item_of(r, item) else {
            continue;
        };
        if let Some(other) = all.iter().find(|other| other.name == one.name) {
            let message = format!(
                "preset `{}` is included twice, first in line {}",
                one.name, other.at.line
            );
            r.report(Diagnostic::error(item.at, one.name, message));
            continue;
        }
        all.push(one);
    }
    all
}

fn item_of(r: &mut Reader, node: &Node) -> Option<Included> {
    if let Value::Scalar { .. } = node.value {
        let preset = reference(r, node)?;
        return included(r, preset, node.at, Wishes::default());
    }
    let mut fields = Fields::of(r, node, &language::INCLUDED)?;
    let preset = fields
        .require(r, "preset")
        .and_then(|node| reference(r, node))?;
    let wishes = Wishes {
        except: fields.take("except"),
        with: fields.take("with"),
        approval: fields.take("approval"),
        sensitivity: fields.take("sensitivity"),
    };
    included(r, preset, node.at, wishes)
}

/// What an item says beside its preset.
#[derive(Clone, Copy, Default)]
struct Wishes<'n> {
    except: Option<&'n Node>,
    with: Option<&'n Node>,
    approval: Option<&'n Node>,
    sensitivity: Option<&'n Node>,
}

/// `NAME@VERSION`, of those that are shipped.
fn reference(r: &mut Reader, node: &Node) -> Option<&'static Preset> {
    let text = r.text(node, "a preset")?;
    let (name, version) = match text.split_once('@') {
        Some((name, version)) => (name, Some(version)),
        None => (text, None),
    };
    let shown = crate::text::safe_cut(name.as_bytes(), crate::limits::EXCERPT_BYTES_MAX);
    let Some(newest) = preset::newest(name) else {
        let message = format!("this build has no preset `{shown}`");
        let error = Diagnostic::error(node.at, text, message);
        let names = preset::ALL.iter().map(|one| one.name);
        let known = || {
            let known: Vec<String> = preset::ALL.iter().map(ToString::to_string).collect();
            format!(
                "it has {}; one that a newer Stayhand has needs a newer Stayhand here and on every host",
                known.join(", ")
            )
        };
        r.report(match nearest(name, names).and_then(preset::newest) {
            Some(near) => error.suggest(format!("did you mean `{near}`?")),
            None => error.suggest(known()),
        });
        return None;
    };
    let Some(version) = version else {
        let message = format!("preset `{shown}` is named without its version");
        let error = Diagnostic::error(node.at, text, message);
        r.report(error.suggest(format!(
            "write `{newest}`: what a version says never changes"
        )));
        return None;
    };
    let found = preset::ALL
        .iter()
        .find(|one| one.name == name && one.version.to_string() == version);
    if found.is_none() {
        let shown = crate::text::safe_cut(version.as_bytes(), crate::limits::EXCERPT_BYTES_MAX);
        let message = format!("this build has no version `{shown}` of preset `{name}`");
        let versions = preset::ALL.iter().filter(|one| one.name == name);
        let versions: Vec<String> = versions.map(|one| format!("`{one}`")).collect();
        let error = Diagnostic::error(node.at, text, message);
        r.report(error.suggest(format!(
            "it has {}; a newer one needs a newer Stayhand here and on every host",
            versions.join(", ")
        )));
    }
    found
}

/// The sections of a preset as a policy would have written them.
fn included(
    r: &mut Reader,
    preset: &'static Preset,
    at: Place,
    wishes: Wishes<'_>,
) -> Option<Included> {
    // What is shipped is read by a test.
    let mut spec = preset_spec(preset)?;
    place(&mut spec, at);
    let values = values(r, preset, &spec, wishes.with, at)?;
    substitute(&mut spec, &values);
    let left_out = wishes.except.map_or(Some(BTreeSet::new()), |node| {
        left_out(r, preset, &spec, node)
    })?;
    let mut sections = Vec::new();
    for key in SECTIONS {
        let Some(mut node) = take(&mut spec, key) else {
            continue;
        };
        if let (true, Value::List(rules)) = (key == "rules", &mut node.value) {
            rules.retain(|rule| {
                let id = field(rule, "id").and_then(Node::text);
                id.is_none_or(|id| !left_out.contains(id))
            });
            if let Some(node) = wishes.approval {
                approved_by(r, preset, rules, node)?;
            }
            if let Some(node) = wishes.sensitivity {
                of_sensitivity(r, preset, rules, node)?;
            }
        }
        prefix(&mut node, key, preset.name);
        sections.push((key, node));
    }
    Some(Included {
        name: preset.name,
        sections,
        at,
    })
}

/// The `spec` of a preset as it is shipped.
fn preset_spec(preset: &Preset) -> Option<Node> {
    let mut root = yaml::read(preset.source).ok()?;
    take(&mut root, "spec")
}

/// Rules that are not wanted, by the ids that they have in the preset.
fn left_out(r: &mut Reader, preset: &Preset, spec: &Node, node: &Node) -> Option<BTreeSet<String>> {
    let rules = field(spec, "rules");
    let rules = rules.map_or(&[][..], |node| match &node.value {
        Value::List(items) => items,
        _ => &[],
    });
    let ids = || rules.iter().filter_map(|rule| field(rule, "id")?.text());
    let mut left_out = BTreeSet::new();
    let mut complete = true;
    for item in r.one_or_list(node, "except") {
        let Some(text) = r.text(item, "except") else {
            complete = false;
            continue;
        };
        if ids().any(|id| id == text) {
            left_out.insert(text.to_owned());
            continue;
        }
        complete = false;
        let shown = crate::text::safe_cut(text.as_bytes(), crate::limits::EXCERPT_BYTES_MAX);
        let message = format!("preset `{preset}` has no rule `{shown}`");
        let error = Diagnostic::error(item.at, text, message);
        let bare = text
            .strip_prefix(preset.name)
            .and_then(|rest| rest.strip_prefix('.'))
            .unwrap_or(text);
        r.report(match nearest(bare, ids()) {
            Some(near) => error.suggest(format!("did you mean `{near}`?")),
            None => error.suggest(format!("it has {}", ids().collect::<Vec<_>>().join(", "))),
        });
    }
    complete.then_some(left_out)
}

/// Has everything that a preset's rules hold be approved as the policy says.
fn approved_by(r: &mut Reader, preset: &Preset, rules: &mut [Node], by: &Node) -> Option<()> {
    let word = |rule: &Node, key: &str, hold: &str| {
        field(rule, key)
            .and_then(Node::text)
            .is_some_and(|word| word == hold)
    };
    let holds = |rule: &Node| {
        word(rule, "effect", "hold")
            || field(rule, "rate").is_some_and(|rate| word(rate, "then", "hold"))
    };
    let mut held = rules.iter_mut().filter(|rule| holds(rule)).peekable();
    if held.peek().is_none() {
        let message = format!("no rule of preset `{preset}` holds anything");
        r.report(Diagnostic::error(by.at, by.excerpt(), message));
        return None;
    }
    for rule in held {
        say(rule, "approval", by);
    }
    Some(())
}

/// Has every rule of a preset be as sensitive as the policy says, also one that says something itself: whose site it is
/// knows better. Looked at here, so that a wrong word is one finding and not one for each rule.
fn of_sensitivity(r: &mut Reader, preset: &Preset, rules: &mut [Node], by: &Node) -> Option<()> {
    rule::sensitivity(r, by)?;
    if rules.is_empty() {
        let message = format!("no rule of preset `{preset}` is left that could be sensitive");
        r.report(Diagnostic::error(by.at, by.excerpt(), message));
        return None;
    }
    for rule in rules {
        take(rule, "sensitivity");
        say(rule, "sensitivity", by);
    }
    Some(())
}

/// Adds a key to a rule.
fn say(rule: &mut Node, key: &str, by: &Node) {
    if let Value::Map(pairs) = &mut rule.value {
        let text = key.to_owned();
        let value = Value::Scalar { text, plain: true };
        pairs.push((Node { at: by.at, value }, by.clone()));
    }
}

/// Each parameter of a preset with its value: what the policy says, or what it is otherwise.
fn values(
    r: &mut Reader,
    preset: &Preset,
    spec: &Node,
    with: Option<&Node>,
    at: Place,
) -> Option<Vec<(String, Node)>> {
    let declared: Vec<(&str, Option<&Node>)> =
        match field(spec, "parameters").map(|node| &node.value) {
            Some(Value::Map(pairs)) => pairs
                .iter()
                .filter_map(|(key, value)| Some((key.text()?, field(value, "default"))))
                .collect(),
            _ => vec![],
        };
    let mut complete = true;
    let mut given: Vec<(&str, &Node)> = Vec::new();
    if let Some(node) = with {
        for (key, value) in r.named(node, "with", "values", LIST_MAX) {
            let name = key.text().unwrap_or_default();
            let shown = crate::text::safe_cut(name.as_bytes(), crate::limits::EXCERPT_BYTES_MAX);
            if declared.iter().all(|(one, _)| *one != name) {
                let message = format!("preset `{preset}` has no parameter `{shown}`");
                let error = Diagnostic::error(key.at, name, message);
                let names: Vec<&str> = declared.iter().map(|(one, _)| *one).collect();
                r.report(match nearest(name, names.iter().copied()) {
                    Some(near) => error.suggest(format!("did you mean `{near}`?")),
                    None if names.is_empty() => error.suggest("it has none"),
                    None => error.suggest(format!("it has {}", names.join(", "))),
                });
                complete = false;
            } else if given.iter().any(|(one, _)| *one == name) {
                let message = format!("`{shown}` is there twice in with");
                r.report(Diagnostic::error(key.at, name, message));
                complete = false;
            } else {
                given.push((name, value));
            }
        }
    }
    let mut values = Vec::new();
    for (name, default) in declared {
        let value = given.iter().find(|(one, _)| *one == name);
        let Some(value) = value.map(|(_, value)| *value).or(default) else {
            let message = format!("preset `{preset}` needs the parameter `{name}`");
            let error = Diagnostic::error(at, preset.name, message);
            r.report(error.suggest(format!(
                "write `{{ preset: {preset}, with: {{ {name}: [...] }} }}`"
            )));
            complete = false;
            continue;
        };
        values.push((name.to_owned(), value.clone()));
    }
    complete.then_some(values)
}

/// A name of the policy's own that only what a preset includes can have.
pub(super) fn taken(r: &mut Reader, all: &[Included], what: &str, name: &str, at: Place) {
    let of = |one: &&Included| {
        let rest = name.strip_prefix(one.name);
        rest.is_some_and(|rest| rest.starts_with('.'))
    };
    let Some(one) = all.iter().find(of) else {
        return;
    };
    let message = format!(
        "{what} `{name}` begins like what the preset in line {} includes",
        one.at.line
    );
    let error = Diagnostic::error(at, name, message);
    r.report(error.suggest(format!(
        "a name of one's own does not begin with `{}.`",
        one.name
    )));
}

/// Gives all of a tree one place.
fn place(node: &mut Node, at: Place) {
    node.at = at;
    match &mut node.value {
        Value::Scalar { .. } => {}
        Value::List(items) => items.iter_mut().for_each(|item| place(item, at)),
        Value::Map(pairs) => {
            for (key, value) in pairs {
                place(key, at);
                place(value, at);
            }
        }
    }
}

/// Puts values where `$NAME` stands; each keeps its own place, so that what is wrong with it is found there.
pub(in crate::policy) fn substitute(node: &mut Node, values: &[(String, Node)]) {
    match &mut node.value {
        Value::Scalar { text, plain: true } => {
            let name = text.strip_prefix(PARAMETER);
            let found = name.and_then(|name| values.iter().find(|(one, _)| one == name));
            if let Some((_, value)) = found {
                *node = value.clone();
            }
        }
        Value::Scalar { .. } => {}
        Value::List(items) => {
            for item in items {
                substitute(item, values);
            }
        }
        Value::Map(pairs) => {
            for (_, value) in pairs {
                substitute(value, values);
            }
        }
    }
}

/// Puts the preset's name before every name in one of its sections.
fn prefix(node: &mut Node, section: &str, name: &str) {
    match (&mut node.value, section) {
        (Value::Map(pairs), _) => {
            for (key, value) in pairs {
                named(key, name);
                destinations(value, name);
            }
        }
        (Value::List(rules), "rules") => {
            for rule in rules {
                for key in ["id", "permission"] {
                    if let Some(node) = field_mut(rule, key) {
                        named(node, name);
                    }
                }
                destinations(rule, name);
                let Some(when) = field_mut(rule, "when") else {
                    continue;
                };
                for key in ["windows", "outside"] {
                    if let Some(node) = field_mut(when, key) {
                        each(node, |one| periods(one, name));
                    }
                }
            }
        }
        _ => {}
    }
}

/// Names of sets below a rule or a permission.
fn destinations(node: &mut Node, name: &str) {
    if let Some(to) = field_mut(node, "net").and_then(|net| field_mut(net, "to")) {
        each(to, |one| named(one, name));
    }
}

/// A window has blanks, a name has none.
fn periods(node: &mut Node, name: &str) {
    if node
        .text()
        .is_some_and(|text| !text.contains(char::is_whitespace))
    {
        named(node, name);
    }
}

fn named(node: &mut Node, name: &str) {
    if let Value::Scalar { text, .. } = &mut node.value {
        *text = format!("{name}.{text}");
    }
}

fn each(node: &mut Node, change: impl Fn(&mut Node)) {
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(change),
        _ => change(node),
    }
}

fn field<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    let Value::Map(pairs) = &node.value else {
        return None;
    };
    let mut pairs = pairs.iter();
    pairs
        .find(|(one, _)| one.text() == Some(key))
        .map(|(_, value)| value)
}

fn field_mut<'n>(node: &'n mut Node, key: &str) -> Option<&'n mut Node> {
    let Value::Map(pairs) = &mut node.value else {
        return None;
    };
    let mut pairs = pairs.iter_mut();
    pairs
        .find(|(one, _)| one.text() == Some(key))
        .map(|(_, value)| value)
}

fn take(node: &mut Node, key: &str) -> Option<Node> {
    let Value::Map(pairs) = &mut node.value else {
        return None;
    };
    let index = pairs.iter().position(|(one, _)| one.text() == Some(key))?;
    Some(pairs.remove(index).1)
}

/// The document of a policy with everything written out that it includes.
pub(in crate::policy) fn expanded(mut root: Node) -> Node {
    let Some(spec) = field_mut(&mut root, "spec") else {
        return root;
    };
    let Some(node) = take(spec, "extends") else {
        return root;
    };
    // It was read before, without a finding.
    let included = extends(&mut Reader::default(), &node);
    let at = node.at;
    for key in SECTIONS {
        for one in &included {
            if let Some(section) = one.section(key) {
                merge(spec, key, section.clone(), at);
            }
        }
    }
    root
}

/// Adds a section to the one of that key, or makes one before the tests.
fn merge(spec: &mut Node, key: &str, section: Node, at: Place) {
    if let Some(own) = field_mut(spec, key) {
        match (&mut own.value, section.value) {
            (Value::List(own), Value::List(more)) => own.extend(more),
            (Value::Map(own), Value::Map(more)) => own.extend(more),
            _ => {}
        }
        return;
    }
    let Value::Map(pairs) = &mut spec.value else {
        return;
    };
    let after = ["tests", "rules", "approvals", "permissions"];
    let later = after.iter().take_while(|one| **one != key);
    let before = later
        .filter_map(|one| {
            pairs
                .iter()
                .position(|(other, _)| other.text() == Some(one))
        })
        .min()
        .unwrap_or(pairs.len());
    let name = Node {
        at,
        value: Value::Scalar {
            text: key.to_owned(),
            plain: true,
        },
    };
    pairs.insert(before, (name, section));
}
