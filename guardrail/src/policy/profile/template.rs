//! A permission with parameters: its tree, in which values take the place of `${name}`.
//!
//! The tree is what YAML was read to, so that no value is ever read as YAML; and no value has a character that means
//! something to what reads the tree (see `domain`), so that none is more than a part of one name, word or number.

use std::collections::BTreeSet;

use super::super::{
    NamedSet, Target,
    parse::instance,
    yaml::{Node, Value},
};
use crate::{id::ParameterName, values::Values};

/// What begins a parameter in a text.
const OPEN: &str = "${";

/// The tree of a permission that uses parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pub(in crate::policy) node: Node,
    pub(in crate::policy) uses: BTreeSet<ParameterName>,
    /// Its actions with the first values that were tried, for whoever warns
    pub(in crate::policy) sample: Vec<Target>,
}

/// What a text is part of, which decides what may be put into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::policy) enum Spot {
    Path,
    Argument,
    /// Words that blanks part
    Words,
    Address,
    Ports,
    Name,
}

/// Where parameters may stand.
const SPOTS: [(&str, &str, Spot); 10] = [
    ("exec", "path", Spot::Path),
    ("exec", "args", Spot::Argument),
    ("exec", "anyArg", Spot::Argument),
    ("exec", "allArgs", Spot::Argument),
    ("exec", "subcommand", Spot::Words),
    ("file", "path", Spot::Path),
    ("net", "path", Spot::Path),
    ("net", "cidr", Spot::Address),
    ("net", "ports", Spot::Ports),
    ("net", "abstract", Spot::Name),
];

/// A text, or a parameter in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::policy) enum Piece<'t> {
    Text(&'t str),
    Parameter(ParameterName),
    /// Begins like a parameter and is none
    Broken(&'t str),
}

/// The pieces of a text, in order.
pub(in crate::policy) fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once(OPEN) {
        if !before.is_empty() {
            found.push(Piece::Text(before));
        }
        let Some((name, after)) = behind.split_once('}') else {
            found.push(Piece::Broken(behind));
            return found;
        };
        found.push(name.parse().map_or(Piece::Broken(name), Piece::Parameter));
        rest = after;
    }
    if !rest.is_empty() {
        found.push(Piece::Text(rest));
    }
    found
}

/// Every text of a permission, with what it is part of where parameters may stand there.
pub(in crate::policy) fn texts<'n>(
    node: &'n Node,
    each: &mut dyn FnMut(Option<Spot>, &'n Node, &'n str),
) {
    let Value::Map(classes) = &node.value else {
        return;
    };
    for (class, value) in classes {
        let Value::Map(keys) = &value.value else {
            continue;
        };
        for (key, value) in keys {
            let spot = SPOTS
                .iter()
                .find(|(of, one, _)| class.text() == Some(of) && key.text() == Some(one))
                .map(|(.., spot)| *spot);
            scalars(value, &mut |node, text| each(spot, node, text));
        }
    }
}

fn scalars<'n>(node: &'n Node, each: &mut dyn FnMut(&'n Node, &'n str)) {
    match &node.value {
        Value::Scalar { text, .. } => each(node, text),
        Value::List(items) => items.iter().for_each(|item| scalars(item, each)),
        Value::Map(pairs) => pairs.iter().for_each(|(_, value)| scalars(value, each)),
    }
}

impl Template {
    /// The actions with these values, if that is something; not whether the values are allowed.
    pub(in crate::policy) fn targets(
        &self,
        sets: &[NamedSet],
        values: &Values,
    ) -> Option<Vec<Target>> {
        instance(&self.with(values)?, sets)
    }

    /// The tree with these values; nothing if one is missing.
    pub(in crate::policy) fn with(&self, values: &Values) -> Option<Node> {
        let mut node = self.node.clone();
        put(&mut node, values)?;
        Some(node)
    }

    /// What it says, a line for each text: `exec path /usr/bin/systemctl`.
    pub fn words(&self) -> BTreeSet<String> {
        let mut lines = BTreeSet::new();
        let Value::Map(classes) = &self.node.value else {
            return lines;
        };
        for (class, value) in classes {
            let Value::Map(keys) = &value.value else {
                continue;
            };
            for (key, value) in keys {
                let class = class.text().unwrap_or_default();
                let key = key.text().unwrap_or_default();
                scalars(value, &mut |_, text| {
                    lines.insert(format!("{class} {key} {}", crate::text::safe(text)));
                });
            }
        }
        lines
    }
}

fn put(node: &mut Node, values: &Values) -> Option<()> {
    match &mut node.value {
        Value::Scalar { text, plain } if text.contains(OPEN) => {
            // Whatever the value is, it is text.
            *plain = false;
            let mut whole = String::new();
            for piece in pieces(text) {
                whole.push_str(match &piece {
                    Piece::Text(text) => text,
                    Piece::Parameter(name) => values.get(name)?,
                    Piece::Broken(_) => return None,
                });
            }
            *text = whole;
        }
        Value::Scalar { .. } => {}
        Value::List(items) => {
            for item in items {
                put(item, values)?;
            }
        }
        Value::Map(pairs) => {
            for (_, value) in pairs {
                put(value, values)?;
            }
        }
    }
    Some(())
}
