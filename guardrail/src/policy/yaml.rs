//! YAML text to a plain tree in which every node and every key knows its place.
//!
//! Built on parser events and not on a loader, because a loader drops repeated keys and the places of keys.
//! Refuses what a policy never needs and an attacker likes: anchors, aliases, tags, several documents, deep
//! nesting. Types are not guessed: a scalar stays text until the schema asks for something.

mod write;

pub(super) use write::{quoted, write};

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};

use super::diagnostic::{Diagnostic, Place};
use crate::limits::{DOCUMENT_NODES_MAX, NESTING_MAX, SOURCE_BYTES_MAX};

/// A node of the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) at: Place,
    pub(super) value: Value,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// Text; `plain` if it was written without quotes
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// The text of a scalar that says something.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, plain } if !(*plain && is_null(text)) => Some(text),
            _ => None,
        }
    }

    /// What it is, for error messages.
    pub(super) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Scalar { text, plain: true } if is_null(text) => "nothing",
            Value::Scalar { .. } => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// Items of a list; none of anything else.
    pub(super) fn len(&self) -> usize {
        match &self.value {
            Value::List(items) => items.len(),
            Value::Scalar { .. } | Value::Map(_) => 0,
        }
    }

    /// Something of it to show.
    pub(super) fn excerpt(&self) -> &str {
        match &self.value {
            Value::Scalar { text, .. } => text,
            _ => "",
        }
    }
}

fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// A collection that is being read.
enum Open {
    List(Place, Vec<Node>),
    Map(Place, Vec<(Node, Node)>, Option<Node>),
}

/// Reads the one document of `source`. A syntax error ends the reading, so it is always the only finding.
pub(super) fn read(source: &str) -> Result<Node, Diagnostic> {
    if source.len() > SOURCE_BYTES_MAX {
        let message = format!(
            "the document has {} bytes, more than the {SOURCE_BYTES_MAX} that are allowed",
            source.len()
        );
        return Err(Diagnostic::error(Place { line: 1, column: 1 }, "", message));
    }
    let end = end(source);
    let mut parser = Parser::new_from_str(source);
    let mut builder = Builder::default();
    while let Some(next) = parser.next_event() {
        let (event, span) = next.map_err(|error| syntax(&error, end))?;
        builder.take(event, place(span).min(end))?;
    }
    builder
        .root
        .ok_or_else(|| Diagnostic::error(Place { line: 1, column: 1 }, "", "the document is empty"))
}

fn place(span: Span) -> Place {
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Place {
        line: number(span.start.line()),
        column: number(span.start.col().saturating_add(1)),
    }
}

fn syntax(error: &ScanError, end: Place) -> Diagnostic {
    let at = place(Span::empty(*error.marker())).min(end);
    let message = format!("not YAML: {}", crate::text::safe(error.info()));
    Diagnostic::error(at, "", message).suggest("check indentation, colons and quotes around here")
}

/// As YAML tells them: by `\n`, `\r\n` and `\r`.
pub(super) fn lines(source: &str) -> impl DoubleEndedIterator<Item = &str> {
    source.split('\n').flat_map(|line| {
        let line = line.strip_suffix('\r').unwrap_or(line);
        line.split('\r')
    })
}

/// The end of the document: the parser's place of what is missing there is a line further than there is one.
fn end(source: &str) -> Place {
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let last = lines(source).next_back().unwrap_or_default();
    Place {
        line: number(lines(source).count()),
        column: number(last.chars().count().saturating_add(1)),
    }
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    root: Option<Node>,
    nodes: usize,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, at: Place) -> Result<(), Diagnostic> {
        match event {
            Event::Alias(_) => Err(refused(at, "aliases")),
            Event::Scalar(text, style, anchor, tag) => {
                plainly_written(at, anchor, tag.is_some())?;
                let plain = style == ScalarStyle::Plain;
                self.add(Node {
                    at,
                    value: Value::Scalar {
                        text: text.into_owned(),
                        plain,
                    },
                })
            }
            Event::SequenceStart(anchor, tag) => {
                plainly_written(at, anchor, tag.is_some())?;
                self.enter(at, Open::List(at, Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                plainly_written(at, anchor, tag.is_some())?;
                self.enter(at, Open::Map(at, Vec::new(), None))
            }
            Event::SequenceEnd | Event::MappingEnd => self.leave(),
            Event::DocumentStart(_) if self.root.is_some() => {
                let error = Diagnostic::error(at, "---", "a second document begins here");
                Err(error
                    .suggest("one file holds one policy; put the other one into a file of its own"))
            }
            _ => Ok(()),
        }
    }

    fn enter(&mut self, at: Place, open: Open) -> Result<(), Diagnostic> {
        if self.open.len() >= NESTING_MAX {
            return Err(Diagnostic::error(
                at,
                "",
                format!("nested deeper than {NESTING_MAX} levels"),
            ));
        }
        self.open.push(open);
        Ok(())
    }

    fn leave(&mut self) -> Result<(), Diagnostic> {
        match self.open.pop() {
            Some(Open::List(at, items)) => self.add(Node {
                at,
                value: Value::List(items),
            }),
            Some(Open::Map(at, pairs, _)) => self.add(Node {
                at,
                value: Value::Map(pairs),
            }),
            None => Ok(()),
        }
    }

    fn add(&mut self, node: Node) -> Result<(), Diagnostic> {
        self.nodes = self.nodes.saturating_add(1);
        if self.nodes > DOCUMENT_NODES_MAX {
            let message =
                format!("the document has more than {DOCUMENT_NODES_MAX} keys and values");
            return Err(Diagnostic::error(node.at, "", message));
        }
        match self.open.last_mut() {
            Some(Open::List(_, items)) => items.push(node),
            Some(Open::Map(_, pairs, key)) => match key.take() {
                Some(key) => pairs.push((key, node)),
                None if node.text().is_none() => {
                    return Err(Diagnostic::error(
                        node.at,
                        "",
                        format!("a key is {}", node.kind()),
                    ));
                }
                None => *key = Some(node),
            },
            None => self.root = Some(node),
        }
        Ok(())
    }
}

fn refused(at: Place, what: &str) -> Diagnostic {
    Diagnostic::error(
        at,
        "",
        format!("{what} are not part of the policy language"),
    )
    .suggest("write the value out")
}

fn plainly_written(at: Place, anchor: usize, tagged: bool) -> Result<(), Diagnostic> {
    if anchor != 0 {
        return Err(refused(at, "anchors"));
    }
    if tagged {
        return Err(refused(at, "tags"));
    }
    Ok(())
}
