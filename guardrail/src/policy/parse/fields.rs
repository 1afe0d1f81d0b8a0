//! The keys of a mapping: a closed set, each at most once.

use super::{
    super::{
        Diagnostic,
        diagnostic::nearest,
        language::{self, Mapping},
        yaml::{Node, Value},
    },
    reader::{Reader, either},
};

/// The fields of a mapping with a closed set of keys.
pub(super) struct Fields<'n> {
    node: &'n Node,
    what: &'static str,
    pairs: Vec<(&'n str, &'n Node)>,
}

impl<'n> Fields<'n> {
    /// Checks the keys: unknown and repeated ones are findings, those of later builds say that this one cannot
    /// enforce them.
    pub(super) fn of(r: &mut Reader, node: &'n Node, mapping: &'static Mapping) -> Option<Self> {
        let Mapping { what, later, .. } = mapping;
        Self::among(r, node, what, &mapping.known(), later)
    }

    /// The same of a mapping that no policy has: that of a document that is shipped.
    pub(super) fn shipped(
        r: &mut Reader,
        node: &'n Node,
        what: &'static str,
        known: &[&str],
    ) -> Option<Self> {
        Self::among(r, node, what, known, &[])
    }

    fn among(
        r: &mut Reader,
        node: &'n Node,
        what: &'static str,
        known: &[&str],
        later: &[&str],
    ) -> Option<Self> {
        let Value::Map(map) = &node.value else {
            r.wrong_type(node, what, "a mapping");
            return None;
        };
        let mut pairs: Vec<(&str, &Node)> = Vec::new();
        for (key, value) in map {
            let name = key.text().unwrap_or_default();
            if later.contains(&name) {
                r.report(later_key(key, name, what));
            } else if !known.contains(&name) {
                r.report(unknown_key(key, name, what, known));
            } else if pairs.iter().any(|(earlier, _)| *earlier == name) {
                r.report(Diagnostic::error(
                    key.at,
                    name,
                    format!("`{name}` is there twice in {what}"),
                ));
            } else {
                pairs.push((name, value));
            }
        }
        Some(Self { node, what, pairs })
    }

    /// A value that may be missing.
    pub(super) fn take(&mut self, key: &str) -> Option<&'n Node> {
        self.pairs
            .iter()
            .find(|(name, _)| *name == key)
            .map(|(_, node)| *node)
    }

    /// A value that has to be there.
    pub(super) fn require(&mut self, r: &mut Reader, key: &str) -> Option<&'n Node> {
        let value = self.take(key);
        if value.is_none() {
            r.report(Diagnostic::error(
                self.node.at,
                "",
                format!("{} has no `{key}`", self.what),
            ));
        }
        value
    }

    /// Whether a key is there.
    pub(super) fn had(&self, key: &str) -> bool {
        self.pairs.iter().any(|(name, _)| *name == key)
    }
}

/// A key of the language that has no meaning here: it stands elsewhere, or later builds enforce it.
fn later_key(key: &Node, name: &str, what: &str) -> Diagnostic {
    if what == language::WHEN.what && language::RULE.known().contains(&name) {
        let message = format!("`{name}` is a key of the rule, and not of `{what}`");
        let error = Diagnostic::error(key.at, name, message);
        return error.suggest("write it beside `when`, in the rule itself");
    }
    let message = format!("`{name}` in {what} is not enforced by this build");
    let error = Diagnostic::error(key.at, name, message);
    error.suggest("take it out: a policy that is accepted is enforced as it is written")
}

fn unknown_key(key: &Node, name: &str, what: &str, known: &[&str]) -> Diagnostic {
    let shown = crate::text::safe_cut(name.as_bytes(), crate::limits::EXCERPT_BYTES_MAX);
    let error = Diagnostic::error(key.at, name, format!("unknown key `{shown}` in {what}"));
    match nearest(name, known.iter().copied()) {
        Some(word) => error.suggest(format!("did you mean `{word}`?")),
        None => error.suggest(format!(
            "known keys are {}",
            either(known).replace(" or ", " and ")
        )),
    }
}
