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
    cut(Safe(bytes).to_string(), max)
}

/// At most `max` characters of text that is safe already, and a sign when there was more.
pub fn cut(text: String, max: usize) -> String {
    if text.chars().count() <= max {
        return text;
    }
    text.chars()
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

/// The bytes that [`Safe`] shows so; nothing if it never does.
pub fn read_safe(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        bytes.extend_from_slice(before.as_bytes());
        let mut chars = escape.chars();
        let kind = chars.nth(1)?;
        rest = chars.as_str();
        match kind {
            '\\' => bytes.push(b'\\'),
            'n' => bytes.push(b'\n'),
            'r' => bytes.push(b'\r'),
            't' => bytes.push(b'\t'),
            'x' => {
                let (digits, after) = rest.split_at_checked(2)?;
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                rest = after;
            }
            'u' => {
                let (digits, after) = rest.strip_prefix('{')?.split_once('}')?;
                let character = char::from_u32(u32::from_str_radix(digits, 16).ok()?)?;
                bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                rest = after;
            }
            _ => return None,
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    // What is written in another way than we write it is not ours.
    (Safe(&bytes).to_string() == text).then_some(bytes)
}

/// The arguments that [`safe_args`] shows so; nothing if it never does.
pub fn read_safe_args(line: &str) -> Option<Vec<Vec<u8>>> {
    let mut arguments = Vec::new();
    let mut rest = Some(line).filter(|line| !line.is_empty());
    while let Some(text) = rest {
        let (argument, after) = if let Some(quoted) = text.strip_prefix('\'') {
            let (inside, after) = quoted.split_at_checked(end_of_quote(quoted)?)?;
            let inside = inside.replace("\\'", "'");
            (read_safe(&inside)?, after.strip_prefix('\'')?)
        } else {
            let end = text.find(' ').unwrap_or(text.len());
            let (word, after) = text.split_at_checked(end)?;
            (read_safe(word)?, after)
        };
        arguments.push(argument);
        rest = match after {
            "" => None,
            after => Some(after.strip_prefix(' ')?),
        };
    }
    (safe_args(&arguments) == line).then_some(arguments)
}

/// Where the first quote stands that no backslash is in front of.
fn end_of_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, character)| {
        let ends = character == '\'' && !escaped;
        escaped = character == '\\' && !escaped;
        ends.then_some(at)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_that_acts_on_a_terminal_gets_through() {
        let hostile =
            "a\u{1b}[31m\nb\r\tc\u{7f}\u{9b}\u{202e}d\u{2066}\u{200b}\u{2028}\u{feff}\u{e000}\\"
                .as_bytes();
        let wanted =
            r"a\x1b[31m\nb\r\tc\x7f\u{9b}\u{202e}d\u{2066}\u{200b}\u{2028}\u{feff}\u{e000}\\";
        assert_eq!(Safe(hostile).to_string(), wanted);
    }

    #[test]
    fn invalid_utf8_is_shown_as_bytes_and_told_from_the_text_of_an_escape() {
        assert_eq!(Safe(b"a\xffb\xc3").to_string(), r"a\xffb\xc3");
        assert_eq!(Safe(br"a\xffb").to_string(), r"a\\xffb");
    }

    #[test]
    fn ordinary_text_of_any_script_is_untouched() {
        for text in [
            "plain-1.2_3",
            "it's \"quoted\"",
            "größe",
            "日本語",
            "данные",
            "📦",
        ] {
            assert_eq!(safe(text), text);
        }
    }

    #[test]
    fn long_text_is_cut_and_says_so() {
        assert_eq!(safe_cut(b"abcdef", 6), "abcdef");
        assert_eq!(safe_cut(b"abcdefg", 6), "abcde…");
    }

    #[test]
    fn arguments_with_blanks_are_quoted() {
        assert_eq!(safe_args(&["a", "b c", "", "d\ne"]), r"a 'b c' '' d\ne");
    }

    #[test]
    fn what_is_never_shown_so_is_not_read() {
        for bad in [
            "\\",
            "\\q",
            "\\x4",
            "\\x41",
            "\\u{41}",
            "\\u{zz}",
            "\\u{d800}",
            "\n",
            "\u{202e}",
        ] {
            assert_eq!(read_safe(bad), None, "{bad:?}");
        }
        for bad in ["'a b", "'ab'", "a  b", "a ", " ", "'a b'c", "a'b"] {
            assert_eq!(read_safe_args(bad), None, "{bad:?}");
        }
        assert_eq!(read_safe_args(""), Some(vec![]));
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(bytes in proptest::collection::vec(any::<u8>(), 0..40), text in ".{0,12}") {
            for bytes in [bytes, text.into_bytes()] {
                prop_assert_eq!(read_safe(&Safe(&bytes).to_string()), Some(bytes));
            }
        }

        #[test]
        fn arguments_that_are_shown_read_back(args in proptest::collection::vec("[ab '\"\\\\\n\u{7}\u{e9}\u{202e}]{0,6}", 0..5)) {
            let args: Vec<Vec<u8>> = args.into_iter().map(String::into_bytes).collect();
            prop_assert_eq!(read_safe_args(&safe_args(&args)), Some(args));
        }

        #[test]
        fn no_text_breaks_the_reader(text in ".{0,20}") {
            drop((read_safe(&text), read_safe_args(&text)));
        }

        #[test]
        fn whatever_comes_in_only_printable_text_comes_out(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let shown = Safe(&bytes).to_string();
            let acts = |c: char| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c) || ('\u{2028}'..='\u{2029}').contains(&c);
            prop_assert!(!shown.chars().any(acts), "{shown:?}");
        }

        #[test]
        fn two_different_texts_never_look_the_same(a in proptest::collection::vec(any::<u8>(), 0..12), b in proptest::collection::vec(any::<u8>(), 0..12)) {
            prop_assert_eq!(a == b, Safe(&a).to_string() == Safe(&b).to_string());
        }
    }
}
