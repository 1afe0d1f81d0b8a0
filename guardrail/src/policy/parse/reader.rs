//! Reading typed values out of the tree, and collecting findings while doing so.

use std::{fmt::Display, str::FromStr};

use super::super::{
    Approval, Diagnostic, NamedSet, Periods,
    diagnostic::nearest,
    yaml::{Node, Value},
};
use crate::limits::{DIAGNOSTICS_MAX, LIST_MAX};

/// Collects findings.
#[derive(Default)]
pub(super) struct Reader {
    findings: Vec<Diagnostic>,
    /// Sets of destinations that were read so far
    pub(super) sets: Vec<NamedSet>,
    /// Named periods that were read so far
    pub(super) calendar: Vec<Periods>,
    /// Approvals that were read so far
    pub(super) approvals: Vec<Approval>,
}

impl Reader {
    pub(super) fn report(&mut self, finding: Diagnostic) {
        // One more than is shown, so that the cut shows.
        if !self.is_full() {
            self.findings.push(finding);
        }
    }

    /// Whether nothing more that is found will be shown.
    pub(super) fn is_full(&self) -> bool {
        self.findings.len() > DIAGNOSTICS_MAX
    }

    /// The result, or the findings in document order. A missing result always has a finding.
    pub(super) fn finish<T>(mut self, result: Option<T>) -> Result<T, Vec<Diagnostic>> {
        match result {
            Some(result) if self.findings.is_empty() => Ok(result),
            _ => {
                self.findings.sort_by_key(|finding| finding.at);
                // A value that a preset uses in several places is wrong once.
                self.findings.dedup();
                if self.is_full() {
                    self.findings.truncate(DIAGNOSTICS_MAX);
                    let last = self
                        .findings
                        .last()
                        .map_or_else(Default::default, |finding| finding.at);
                    let message = format!(
                        "there is more; only the first {DIAGNOSTICS_MAX} findings are shown"
                    );
                    self.findings.push(Diagnostic::error(last, "", message));
                }
                Err(self.findings)
            }
        }
    }

    pub(super) fn wrong_type(&mut self, node: &Node, what: &str, wanted: &str) {
        let message = format!("{what} is {}, not {wanted}", node.kind());
        self.report(Diagnostic::error(node.at, node.excerpt(), message));
    }

    /// Text.
    pub(super) fn text<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        let text = node.text();
        if text.is_none() {
            self.wrong_type(node, what, "text");
        }
        text
    }

    /// Text that reads as a `T`.
    pub(super) fn parsed<T: FromStr<Err: Display>>(
        &mut self,
        node: &Node,
        what: &str,
    ) -> Option<T> {
        let text = self.text(node, what)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.report(Diagnostic::error(node.at, text, error.to_string()));
                None
            }
        }
    }

    /// One of some words; `later` are words of the language that this build cannot enforce.
    pub(super) fn word<T: Copy>(
        &mut self,
        node: &Node,
        what: &str,
        known: &[(&str, T)],
        later: &[&str],
    ) -> Option<T> {
        let text = self.text(node, what)?;
        if let Some((_, value)) = known.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
        let shown = crate::text::safe_cut(text.as_bytes(), crate::limits::EXCERPT_BYTES_MAX);
        let error = if later.contains(&text) {
            Diagnostic::error(
                node.at,
                text,
                format!("{what} `{shown}` is not enforced by this build"),
            )
            .suggest(format!("use {}", either(&words)))
        } else {
            let error = Diagnostic::error(node.at, text, format!("unknown {what} `{shown}`"));
            match nearest(text, words.iter().copied()) {
                Some(word) => error.suggest(format!("did you mean `{word}`?")),
                None => error.suggest(format!("use {}", either(&words))),
            }
        };
        self.report(error);
        None
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, node: &Node, what: &str) -> Option<bool> {
        match &node.value {
            Value::Scalar { text, plain: true } if text == "true" => Some(true),
            Value::Scalar { text, plain: true } if text == "false" => Some(false),
            _ => {
                self.wrong_type(node, what, "`true` or `false`");
                None
            }
        }
    }

    /// The items of a list that is not empty and not too long.
    pub(super) fn list_up_to<'n>(
        &mut self,
        node: &'n Node,
        what: &str,
        max: usize,
    ) -> Option<&'n [Node]> {
        let Value::List(items) = &node.value else {
            self.wrong_type(node, what, "a list");
            return None;
        };
        if items.is_empty() {
            self.report(Diagnostic::error(
                node.at,
                "[]",
                format!("{what} is an empty list"),
            ));
        }
        if items.len() > max {
            let message = format!(
                "{what} has {} items, more than the {max} that are allowed",
                items.len()
            );
            self.report(Diagnostic::error(node.at, "", message));
        }
        Some(items.get(..max).unwrap_or(items))
    }

    /// The entries of a mapping from names, which is not empty and not too large.
    pub(super) fn named<'n>(
        &mut self,
        node: &'n Node,
        what: &str,
        of: &str,
        max: usize,
    ) -> &'n [(Node, Node)] {
        let Value::Map(pairs) = &node.value else {
            self.wrong_type(node, what, &format!("a mapping of names to {of}"));
            return &[];
        };
        if pairs.is_empty() || pairs.len() > max {
            let message = format!(
                "{what} has {} entries, which is not between 1 and {max}",
                pairs.len()
            );
            let error = Diagnostic::error(node.at, "", message);
            self.report(error.suggest("leave the key out if there are none"));
        }
        pairs.get(..max).unwrap_or(pairs)
    }

    pub(super) fn list<'n>(&mut self, node: &'n Node, what: &str) -> &'n [Node] {
        self.list_up_to(node, what, LIST_MAX).unwrap_or(&[])
    }

    /// One value, or a list of them.
    pub(super) fn one_or_list<'n>(&mut self, node: &'n Node, what: &str) -> &'n [Node] {
        self.one_or_list_up_to(node, what, LIST_MAX)
    }

    /// One value, or a list of up to so many.
    pub(super) fn one_or_list_up_to<'n>(
        &mut self,
        node: &'n Node,
        what: &str,
        max: usize,
    ) -> &'n [Node] {
        match &node.value {
            Value::List(_) => self.list_up_to(node, what, max).unwrap_or(&[]),
            Value::Scalar { .. } => std::slice::from_ref(node),
            Value::Map(_) => {
                self.wrong_type(node, what, "a value or a list of values");
                &[]
            }
        }
    }

    pub(super) fn unless_repeated<T: PartialEq>(
        &mut self,
        list: &mut Vec<T>,
        item: T,
        node: &Node,
        what: &str,
    ) {
        if list.contains(&item) {
            let shown = crate::text::safe(node.excerpt());
            self.report(Diagnostic::error(
                node.at,
                node.excerpt(),
                format!("`{shown}` is in {what} twice"),
            ));
        } else {
            list.push(item);
        }
    }
}

/// `a`, `b` or `c`.
pub(super) fn either(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => String::new(),
    }
}
