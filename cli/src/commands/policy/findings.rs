//! Findings in a policy source, for people: place, line, caret, remedy.

use stayhand_guardrail::{
    policy::{Diagnostic, Severity},
    text::{safe, safe_cut},
};

use crate::{
    screen::{Screen, Tone},
    view::Finding,
};

/// Characters of a source line that are shown: one terminal line.
const LINE_MAX: usize = 120;

impl Finding {
    /// A finding of the language's own check.
    pub(super) fn of_diagnostic(found: &Diagnostic) -> Self {
        Self {
            severity: match found.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            line: found.at.line,
            column: found.at.column,
            message: found.message.clone(),
            suggestion: found.suggestion.clone(),
        }
    }
}

/// ```text
/// prod.yaml:12:9: error: unknown key `efect`
///    12 |       efect: deny
///       |       ^
///       = write `effect`
/// ```
pub(super) fn shown(file: &str, source: &str, found: &Finding, screen: &Screen) -> String {
    let tone = if found.severity == "error" {
        Tone::Bad
    } else {
        Tone::Care
    };
    let severity = screen.paint_err(found.severity, tone);
    let place = format!("{}:{}:{}", safe(file), found.line, found.column);
    let message = crate::view::prose(&found.message);
    let mut text = format!("{place}: {severity}: {message}");
    if let Some((line, caret)) = excerpt(source, found.line, found.column) {
        let number = found.line;
        text.push_str(&format!("\n{number:>5} | {line}\n      | {caret}"));
    }
    if let Some(suggestion) = &found.suggestion {
        text.push_str(&format!("\n      = {}", crate::view::prose(suggestion)));
    }
    text
}

/// The line, safe to show, and a caret below the column. Characters before the caret are escaped one by one, so
/// that it stands below the right one.
fn excerpt(source: &str, line: u32, column: u32) -> Option<(String, String)> {
    let line = source
        .lines()
        .nth(usize::try_from(line.checked_sub(1)?).ok()?)?;
    let before: String = line
        .chars()
        .take(usize::try_from(column.saturating_sub(1)).ok()?)
        .collect();
    let width = safe(&before).chars().count();
    let shown = safe_cut(line.as_bytes(), LINE_MAX);
    (width < LINE_MAX).then(|| (shown, format!("{}^", " ".repeat(width))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_below_the_column_even_behind_escapes() {
        let source = "a: 1\n\t\u{1b}b: x\n";
        let (line, caret) = excerpt(source, 2, 3).unwrap();
        assert_eq!(line, "\\t\\x1bb: x");
        assert_eq!(caret, "      ^");
        assert_eq!(line.find('b'), line.rfind("b: x").map(|_| 5));
    }

    #[test]
    fn a_place_that_is_not_in_the_source_shows_no_line() {
        assert_eq!(excerpt("a: 1\n", 0, 1), None);
        assert_eq!(excerpt("a: 1\n", 7, 1), None);
        assert_eq!(excerpt(&"x".repeat(500), 1, 400), None);
    }
}
