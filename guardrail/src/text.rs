//! Hostile bytes made safe to show: file names, arguments, command names, answers of other programs.
//!
//! Never lets through a control character, an escape, a newline, a character that prints nothing or one that
//! turns the direction of text; never loses a byte either: the escaping is unambiguous because a backslash is
//! doubled.

use std::fmt;

/// Shows bytes on a terminal, in a table, in JSON and in a log without letting them act.
#[derive(Clone, Copy)]
pub struct Safe<'a>(pub &'a [u8]);

impl fmt::Display for Safe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                write_safe(f, character)?;
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Safe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

fn write_safe(f: &mut fmt::Formatter<'_>, character: char) -> fmt::Result {
    match character {
        // Quotes are harmless here and names full of `\'` are hard to read.
        '\'' | '"' => write!(f, "{character}"),
        '\n' | '\r' | '\t' | '\\' => write!(f, "{}", character.escape_default()),
        control if control.is_ascii_control() => write!(f, "\\x{:02x}", u32::from(control)),
        // `escape_debug` escapes what is not printable by Unicode: format characters (bidi, zero width), other
        // separators than the space, unassigned and private ones, and combining marks.
        other => write!(f, "{}", other.escape_debug()),
    }
}

/// The same for text that is known to be UTF-8.
pub fn safe(text: &str) -> String {
    Safe(text.as_bytes()).to_string()
}

/// Shows at most `max` characters, and says when there was more.
pub fn safe_cut(bytes: &[u8], max: usize) -> String {
    let whole = Safe(bytes).to_string();
    if whole.chars().count() <= max {
        return whole;
    }
    whole
        .chars()
        .take(max.saturating_sub(1))
        .chain(['…'])
        .collect()
}

/// A command line for reading, never for a shell to run: arguments with blanks or quotes are quoted.
pub fn safe_args<A: AsRef<[u8]>>(args: &[A]) -> String {
    let shown = args.iter().map(|arg| {
        let text = Safe(arg.as_ref()).to_string();
        if text.is_empty() || text.contains([' ', '\'', '"']) {
            format!("'{}'", text.replace('\'', "\\'"))
        } else {
            text
        }
    });
    shown.collect::<Vec<_>>().join(" ")
}
