//! Findings as a forge shows them beside the lines of a change.

use clap::ValueEnum;

use crate::view::Finding;

/// Whose annotations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Annotations {
    /// Workflow commands of GitHub Actions
    Github,
}

impl Annotations {
    /// One line; standard input has no place in the tree.
    pub(super) fn finding(self, file: &str, found: &Finding) -> String {
        let Self::Github = self;
        let level = if found.severity == "error" {
            "error"
        } else {
            "warning"
        };
        let place = match file {
            "-" => String::new(),
            file => format!(
                " file={},line={},col={}",
                property(file),
                found.line,
                found.column
            ),
        };
        let remedy = found.suggestion.as_ref();
        let remedy = remedy.map_or_else(String::new, |text| format!("; {text}"));
        let message = data(&format!("{}{remedy}", found.message));
        format!("::{level}{place}::{message}")
    }

    /// What has no place.
    pub(super) fn problem(self, problem: &str) -> String {
        let Self::Github = self;
        format!("::error::{}", data(problem))
    }
}

/// A line is a command: what would end it is written as GitHub reads it, the rest as on a terminal.
fn data(text: &str) -> String {
    crate::view::prose(text)
        .replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// What would end a property, too. A path is kept as it is named, or nobody would find it.
fn property(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
        .replace(':', "%3A")
        .replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(message: &str) -> Finding {
        Finding {
            severity: "error",
            line: 3,
            column: 7,
            message: message.to_owned(),
            suggestion: Some("write `50%`".to_owned()),
        }
    }

    #[test]
    fn no_text_ends_its_command_or_begins_another() {
        let shown =
            Annotations::Github.finding("a,b:c%\n::error::x", &found("one\n::stop-commands::x\r"));
        assert_eq!(
            shown,
            "::error file=a%2Cb%3Ac%25%0A%3A%3Aerror%3A%3Ax,line=3,col=7::one%0A::stop-commands::x\\r; write `50%25`"
        );
        assert!(!shown.contains(['\n', '\r']));
        let problem = Annotations::Github.problem("a\nb");
        assert_eq!(problem, "::error::a%0Ab");
    }

    #[test]
    fn standard_input_has_no_place_and_a_warning_is_none_of_errors() {
        let warning = Finding {
            severity: "warning",
            suggestion: None,
            ..found("x")
        };
        assert_eq!(Annotations::Github.finding("-", &warning), "::warning::x");
    }
}
