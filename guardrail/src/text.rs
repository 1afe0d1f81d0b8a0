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

    proptest! {
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
