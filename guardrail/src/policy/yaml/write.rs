//! A tree as YAML text, which reads as the same tree. Places and comments are not kept.

use super::{Node, Value, is_null};

/// Columns of a line, within which something is written in one line.
const WIDTH: usize = 110;
/// Levels that are always written in lines of their own: a document, its `spec`, the sections of that.
const OPEN_LEVELS: usize = 3;

/// Writes a document.
pub(in crate::policy) fn write(root: &Node) -> String {
    let mut text = String::new();
    block(&mut text, root, 0, 0);
    text
}

/// Lines at this indentation; the first one is begun already if the last line is not ended.
fn block(text: &mut String, node: &Node, indent: usize, level: usize) {
    match &node.value {
        Value::Map(pairs) if !pairs.is_empty() => {
            for (index, (key, value)) in pairs.iter().enumerate() {
                begin(text, indent, index);
                text.push_str(&scalar_of(key));
                text.push(':');
                below(text, value, indent, level);
            }
        }
        Value::List(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                begin(text, indent, index);
                text.push('-');
                below(text, item, indent, level);
            }
        }
        _ => {
            text.push_str(&flow(node));
            text.push('\n');
        }
    }
}

/// An entry of a list within a list begins behind the dash of that one.
fn begin(text: &mut String, indent: usize, index: usize) {
    if index > 0 || text.is_empty() || text.ends_with('\n') {
        text.push_str(&" ".repeat(indent));
    }
}

/// What stands behind a key or a dash: in this line if it has room there.
fn below(text: &mut String, node: &Node, indent: usize, level: usize) {
    let line = flow(node);
    let simple = matches!(node.value, Value::Scalar { .. }) || line.len() <= 2;
    if simple || level >= OPEN_LEVELS - 1 && indent + line.len() <= WIDTH {
        text.push(' ');
        text.push_str(&line);
        text.push('\n');
        return;
    }
    if text.ends_with('-') {
        text.push(' ');
    } else {
        text.push('\n');
    }
    block(text, node, indent + 2, level + 1);
}

/// In one line.
fn flow(node: &Node) -> String {
    let joined = |items: Vec<String>, open: &str, close: &str| {
        if items.is_empty() {
            format!("{}{}", open.trim(), close.trim())
        } else {
            format!("{open}{}{close}", items.join(", "))
        }
    };
    match &node.value {
        Value::Scalar { .. } => scalar_of(node),
        Value::List(items) => joined(items.iter().map(flow).collect(), "[", "]"),
        Value::Map(pairs) => {
            let pair = |(key, value): &(Node, Node)| format!("{}: {}", scalar_of(key), flow(value));
            joined(pairs.iter().map(pair).collect(), "{ ", " }")
        }
    }
}

fn scalar_of(node: &Node) -> String {
    match &node.value {
        Value::Scalar { text, plain } => scalar(text, *plain),
        Value::List(_) | Value::Map(_) => String::new(),
    }
}

/// A text, which reads as the same text wherever it stands.
pub(in crate::policy) fn quoted(text: &str) -> String {
    scalar(text, !is_null(text))
}

/// Without quotes only where that is read as the same in every place.
fn scalar(text: &str, plain: bool) -> String {
    if plain && is_null(text) {
        return "null".to_owned();
    }
    let first = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '$');
    let inside = |c: char| {
        c.is_ascii_alphanumeric()
            || matches!(
                c,
                '/' | '.' | '_' | '-' | '*' | '+' | '@' | '=' | ' ' | '$' | '(' | ')'
            )
    };
    let safe = text.starts_with(first)
        && !text.ends_with(' ')
        && !text.starts_with("...")
        && text.chars().all(inside);
    if plain && safe {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            ' '..='~' => quoted.push(c),
            c if c.is_alphanumeric() && u32::from(c) <= 0xffff => quoted.push(c),
            c => {
                quoted.push_str("\\U");
                let code = format!("{:08x}", u32::from(c));
                quoted.push_str(&code);
            }
        }
    }
    quoted.push('"');
    quoted
}
