//! The proposal as a document, with what it was made from in comments.

use std::{cmp::Reverse, collections::BTreeMap};

use super::{
    Evidence, Learner, Left, RULES_MAX,
    action::Action,
    directory::{Generalised, generalise},
    rule::{Says, fits, pattern, says, written},
};
use crate::{
    action::Operation,
    id::{HostId, PolicyName, UserName},
    policy::{check, parse, yaml::quoted},
    text::safe,
};

/// Names that a comment shows.
const NAMES_MAX: usize = 5;

/// A policy that was proposed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The document
    pub source: String,
    /// Decisions that it was made from
    pub learned: usize,
    /// Rules that it has
    pub rules: usize,
    /// Decisions that it does not allow, and why
    pub left: BTreeMap<Left, usize>,
    /// Directories whose names are listed one by one because they are sensitive, and how many those are
    pub kept: BTreeMap<String, usize>,
    /// Classes of actions that it does not deny by default, because nothing would start
    pub open: Vec<&'static str>,
}

/// What may be done in one place, and what was seen of it.
type What = (Vec<Operation>, Evidence);
/// By path or by pattern.
type Places = BTreeMap<String, What>;

impl Learner {
    /// The proposal; nothing where nothing was learned.
    pub fn proposal(mut self) -> Option<Proposal> {
        if self.seen.is_empty() {
            return None;
        }
        let seen = std::mem::take(&mut self.seen);
        let Generalised { actions, kept } = generalise(seen, self.options.names_min);
        let mut rules = rules(actions);
        self.keep(&mut rules, RULES_MAX);
        let mut open = Vec::new();
        let mut source = self.document(&rules, &kept, &open);
        // Long paths fill a host before there are so many.
        while !fits(&source) && rules.len() > 1 {
            let fewer = rules.len() / 2;
            self.keep(&mut rules, fewer);
            source = self.document(&rules, &kept, &open);
        }
        // What a check warns of is a policy with which nothing starts: the rules are right, and there are too few.
        for class in ["exec", "file"] {
            if warned(&source, class) {
                open.push(class);
            }
        }
        if !open.is_empty() {
            source = self.document(&rules, &kept, &open);
        }
        Some(Proposal {
            source,
            learned: self.learned,
            rules: rules.len(),
            left: self.left,
            kept,
            open,
        })
    }

    /// The most frequent ones; the rest is counted.
    fn keep(&mut self, rules: &mut Vec<Rule>, most: usize) {
        if rules.len() <= most {
            return;
        }
        rules.sort_by_key(|rule| Reverse(rule.evidence.times));
        let beyond = rules.split_off(most);
        let times: usize = beyond.iter().map(|rule| rule.evidence.times).sum();
        let count = self.left.entry(Left::TooMany).or_default();
        *count = count.saturating_add(times);
        rules.sort_by(|a, b| (a.class, &a.body).cmp(&(b.class, &b.body)));
    }

    fn document(
        &self,
        rules: &[Rule],
        kept: &BTreeMap<String, usize>,
        open: &[&'static str],
    ) -> String {
        let mut text = vec![self.head(kept, open, rules)];
        let users: Vec<String> = self
            .users
            .iter()
            .map(|user| quoted(user.as_str()))
            .collect();
        text.push(format!(
            "apiVersion: stayhand/v1\nkind: Policy\nmetadata: {{ name: {} }}\nspec:\n  mode: monitor\n  subjects: {{ users: [{}] }}\n",
            quoted(self.options.name.as_str()),
            users.join(", ")
        ));
        let denied: Vec<String> = classes(rules)
            .into_iter()
            .filter(|class| !open.contains(class))
            .map(|class| format!("{class}: deny"))
            .collect();
        if !denied.is_empty() {
            text.push(format!("  default: {{ {} }}\n", denied.join(", ")));
        }
        text.push("  rules:\n".to_owned());
        let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
        for rule in rules {
            let number = numbers.entry(rule.class).or_default();
            *number += 1;
            text.push(format!(
                "    # {}\n    - {{ id: {}-{number}, effect: allow, {}: {{ {} }} }}\n",
                seen(&rule.evidence),
                rule.class,
                rule.class,
                rule.body
            ));
        }
        text.concat()
    }

    fn head(
        &self,
        kept: &BTreeMap<String, usize>,
        open: &[&'static str],
        rules: &[Rule],
    ) -> String {
        let policies: Vec<String> = self.policies.iter().map(PolicyName::to_string).collect();
        let from = if policies.is_empty() {
            "policies in monitor mode".to_owned()
        } else {
            policies.join(", ")
        };
        let mut text = vec![format!(
            "# Proposed from {} that {from} would have stopped. Read each rule: what was done need not be right.\n\
             # What those policies allow themselves was not recorded, and is not in here.\n",
            many(self.learned, "recorded decision")
        )];
        let open = open.iter().filter(|class| classes(rules).contains(class));
        for remark in remarks(&self.left, kept, open) {
            text.push(format!("# {remark}\n"));
        }
        text.concat()
    }
}

impl Proposal {
    /// What the document says in its head, for who sends it to a file: what it does not allow, and why; safe to show.
    pub fn remarks(&self) -> Vec<String> {
        remarks(&self.left, &self.kept, &self.open)
    }
}

fn remarks<'a>(
    left: &BTreeMap<Left, usize>,
    kept: &BTreeMap<String, usize>,
    open: impl IntoIterator<Item = &'a &'static str>,
) -> Vec<String> {
    let left = left.iter().map(|(left, times)| left.remark(*times));
    let kept = kept.iter().map(|(directory, names)| {
        let directory = if directory.is_empty() { "/" } else { directory };
        let (names, shown) = (many(*names, "name"), safe(directory));
        format!("not taken together, {names}: {shown} is sensitive, or has a name that is")
    });
    let open = open.into_iter().map(|class| {
        format!(
            "without `default: {{ {class}: deny }}`: nothing would start, because what programs need was not recorded; put the \
             rules into the policy that recorded them"
        )
    });
    left.chain(kept).chain(open).collect()
}

impl Left {
    /// So often something was left out, and why.
    pub fn remark(self, times: usize) -> String {
        format!("left out, {}: {self}", many(times, "time"))
    }
}

fn classes(rules: &[Rule]) -> Vec<&'static str> {
    let mut classes: Vec<&'static str> = rules.iter().map(|rule| rule.class).collect();
    classes.dedup();
    classes
}

/// Whether the checker warns of the default of a class.
fn warned(source: &str, class: &str) -> bool {
    let rule = format!("default-{class}");
    parse(source).is_ok_and(|policy| check(&policy).iter().any(|warning| warning.excerpt == rule))
}

/// One rule to be.
struct Rule {
    class: &'static str,
    /// What stands behind the class
    body: String,
    evidence: Evidence,
}

/// In the order of classes and of what they say. What one place allows is one rule.
fn rules(actions: BTreeMap<Action, Evidence>) -> Vec<Rule> {
    let (mut files, mut others) = (Places::new(), BTreeMap::new());
    for (action, evidence) in actions {
        let Says {
            class,
            operations,
            object,
        } = says(&action);
        match &action {
            Action::File {
                path, directory, ..
            } => {
                let below = if *directory { "/*" } else { "" };
                let path = format!("{}{below}", pattern(path));
                place(&mut files, path, operations, &evidence);
            }
            _ => place(&mut others, (class, object), operations, &evidence),
        }
    }
    without_doubles(&mut files);
    let files = files.into_iter().map(|(path, what)| {
        let object = format!("path: {}", quoted(&path));
        (("file", object), what)
    });
    let each = files.chain(others).map(|((class, object), what)| {
        let (operations, evidence) = what;
        Rule {
            class,
            body: written(&operations, &object),
            evidence,
        }
    });
    let mut rules: Vec<Rule> = each.collect();
    rules.sort_by(|a, b| (a.class, &a.body).cmp(&(b.class, &b.body)));
    rules
}

fn place<K: Ord>(
    places: &mut BTreeMap<K, What>,
    at: K,
    operations: &[Operation],
    evidence: &Evidence,
) {
    let (all, joined) = places
        .entry(at)
        .or_insert_with(|| (vec![], Evidence::none()));
    all.extend(operations);
    all.sort_unstable();
    all.dedup();
    joined.join(evidence);
}

/// A name does not say again what its directory says.
fn without_doubles(files: &mut Places) {
    let directories: BTreeMap<String, Vec<Operation>> = files
        .iter()
        .filter_map(|(path, (operations, _))| {
            let directory = path.strip_suffix("/*")?;
            Some((directory.to_owned(), operations.clone()))
        })
        .collect();
    files.retain(|path, (operations, _)| {
        if path.ends_with("/*") {
            return true;
        }
        let directory = path.rsplit_once('/').map(|(directory, _)| directory);
        if let Some(said) = directory.and_then(|directory| directories.get(directory)) {
            operations.retain(|operation| !said.contains(operation));
        }
        !operations.is_empty()
    });
}

/// `12 times, last 2026-11-28T10:00:00.000Z; by alice; on db1, web1`.
fn seen(evidence: &Evidence) -> String {
    let users: Vec<&str> = evidence.users.iter().map(UserName::as_str).collect();
    let hosts: Vec<&str> = evidence.hosts.iter().map(HostId::as_str).collect();
    format!(
        "{}, last {}; by {}; on {}",
        many(evidence.times, "time"),
        evidence.last,
        some(&users),
        some(&hosts)
    )
}

fn some(names: &[&str]) -> String {
    let shown: Vec<String> = names
        .iter()
        .take(NAMES_MAX)
        .map(|name| safe(name))
        .collect();
    match names.len().saturating_sub(NAMES_MAX) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn many(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}
