//! A document as a tree that can be changed and written out again, valid or not.

use crate::policy::yaml::{self, Node, Value};

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::policy) enum Tree {
    /// Text, and whether it stands without quotes
    Scalar(String, bool),
    List(Vec<Tree>),
    /// Keys may be there twice
    Map(Vec<(Tree, Tree)>),
}

impl Tree {
    /// What a document says, if it is YAML at all.
    pub(in crate::policy) fn read(source: &str) -> Option<Self> {
        yaml::read(source).ok().as_ref().map(Self::of)
    }

    fn of(node: &Node) -> Self {
        match &node.value {
            // What is empty without quotes means the same as `~`, which can be written anywhere.
            Value::Scalar { text, plain } if *plain && text.is_empty() => {
                Self::Scalar("~".to_owned(), true)
            }
            Value::Scalar { text, plain } => Self::Scalar(text.clone(), *plain && is_plain(text)),
            Value::List(items) => Self::List(items.iter().map(Self::of).collect()),
            Value::Map(pairs) => {
                let pairs = pairs.iter();
                Self::Map(pairs.map(|(k, v)| (Self::of(k), Self::of(v))).collect())
            }
        }
    }

    /// Nodes of it, itself among them, without keys.
    pub(in crate::policy) fn count(&self) -> usize {
        1 + match self {
            Self::Scalar(..) => 0,
            Self::List(items) => items.iter().map(Self::count).sum(),
            Self::Map(pairs) => pairs.iter().map(|(_, value)| value.count()).sum(),
        }
    }

    /// The node of this number, from 0 for itself.
    pub(in crate::policy) fn at(&mut self, number: usize) -> Option<&mut Self> {
        fn find<'t>(tree: &'t mut Tree, number: &mut usize) -> Option<&'t mut Tree> {
            let Some(rest) = number.checked_sub(1) else {
                return Some(tree);
            };
            *number = rest;
            match tree {
                Tree::Scalar(..) => None,
                Tree::List(items) => items.iter_mut().find_map(|item| find(item, number)),
                Tree::Map(pairs) => pairs.iter_mut().find_map(|(_, value)| find(value, number)),
            }
        }
        find(self, &mut { number })
    }

    /// As YAML.
    pub(in crate::policy) fn write(&self) -> String {
        let mut text = String::new();
        self.write_to(&mut text, 1);
        text.push('\n');
        text
    }

    fn write_to(&self, text: &mut String, depth: usize) {
        let line = |text: &mut String| {
            text.push('\n');
            text.extend(std::iter::repeat_n(' ', depth));
        };
        match self {
            Self::Scalar(word, plain) if *plain && is_plain(word) => text.push_str(word),
            Self::Scalar(word, _) => {
                // A JSON string is a YAML string.
                text.push_str(&serde_json::Value::from(word.as_str()).to_string());
            }
            Self::List(items) => {
                text.push('[');
                for item in items {
                    line(text);
                    item.write_to(text, depth + 1);
                    text.push(',');
                }
                text.push(']');
            }
            Self::Map(pairs) => {
                text.push('{');
                for (key, value) in pairs {
                    line(text);
                    key.write_to(text, depth + 1);
                    text.push_str(": ");
                    value.write_to(text, depth + 1);
                    text.push(',');
                }
                text.push('}');
            }
        }
    }
}

/// Whether a word can stand without quotes anywhere.
fn is_plain(word: &str) -> bool {
    let inside = |c: char| c.is_alphanumeric() || "_./+ ~-".contains(c);
    let ends = |c: char| c == ' ' || c == '-';
    !word.is_empty() && word.chars().all(inside) && !word.starts_with(ends) && !word.ends_with(ends)
}
