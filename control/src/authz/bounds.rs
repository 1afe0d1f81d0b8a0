//! Bounds of a text of rules, kept before it is parsed: the parser goes as deep as the text does, and its stack ends.
//!
//! Reads as much as that takes: strings, comments, brackets, and where a rule ends.

/// Brackets within brackets: more than anybody reads.
pub(super) const NESTING_MAX: usize = 32;
/// Bytes of one rule without comments: chains of operators nest without brackets, too.
pub(super) const RULE_BYTES_MAX: usize = 8 << 10;

/// Where the text is beyond a bound, and which.
pub(super) fn beyond(text: &str) -> Option<(usize, String)> {
    let (mut depth, mut of_rule, mut begun) = (0_usize, 0_usize, 0_usize);
    let mut scan = Scan::Plain;
    for (at, byte) in text.bytes().enumerate() {
        let before = scan;
        scan = scan.after(byte);
        if matches!(before, Scan::Plain | Scan::Slash) && scan == Scan::Plain {
            match byte {
                b'(' | b'[' | b'{' => depth += 1,
                b')' | b']' | b'}' => depth = depth.saturating_sub(1),
                b';' => (of_rule, depth) = (0, 0),
                _ => {}
            }
        }
        if scan == Scan::Comment || before == Scan::Comment || byte.is_ascii_whitespace() {
            continue;
        }
        if of_rule == 0 {
            begun = at;
        }
        of_rule += usize::from(byte != b';' || scan != Scan::Plain);
        if depth > NESTING_MAX {
            return Some((
                at,
                format!("brackets are nested more than {NESTING_MAX} deep"),
            ));
        }
        if of_rule > RULE_BYTES_MAX {
            return Some((
                begun,
                format!("a rule has more than {RULE_BYTES_MAX} bytes"),
            ));
        }
    }
    None
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scan {
    Plain,
    /// After one `/`
    Slash,
    Comment,
    Text,
    /// After a `\` in a text
    Escape,
}

impl Scan {
    fn after(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Text, b'"') | (Self::Comment, b'\n' | b'\r') => Self::Plain,
            (Self::Text, b'\\') => Self::Escape,
            (Self::Text | Self::Escape, _) | (Self::Plain | Self::Slash, b'"') => Self::Text,
            (Self::Slash, b'/') | (Self::Comment, _) => Self::Comment,
            (Self::Plain, b'/') => Self::Slash,
            (Self::Plain | Self::Slash, _) => Self::Plain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_and_rules_are_bounded_outside_of_strings_and_comments() {
        assert_eq!(beyond(&"(".repeat(NESTING_MAX)), None);
        let (at, _) = beyond(&"([{".repeat(NESTING_MAX)).unwrap();
        assert_eq!(at, NESTING_MAX);
        let many = "(".repeat(100);
        assert_eq!(beyond(&format!("\"{many}\\\"{many}\" // {many}\n")), None);
        assert!(beyond(&format!("\"a\\\\\" {many}")).is_some());
        assert!(beyond(&format!("// a\r{many}")).is_some());
        assert!(beyond(&format!("/{many}")).is_some());
        let long = "a".repeat(RULE_BYTES_MAX);
        assert_eq!(beyond(&format!("{long};\n{long}; // {long}")), None);
        let (at, _) = beyond(&format!("{long};\n  {long}a;")).unwrap();
        assert_eq!(at, RULE_BYTES_MAX + 4);
        assert!(beyond(&format!("\"{}\"", "a;".repeat(RULE_BYTES_MAX))).is_some());
    }
}
