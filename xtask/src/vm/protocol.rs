//! The line protocol that the guest speaks on its second serial port.
//!
//! `@begin NAME` `@pass NAME` `@fail NAME text` `@skip NAME reason` `@log text` `@step text` `@out text`
//! `@bench {json}` `@done`. Anything else on that port is kept in the log and otherwise ignored.

/// One line from the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A scenario starts.
    Begin(String),
    /// It held.
    Pass(String),
    /// It did not, and why.
    Fail(String, String),
    /// It was not run, and why.
    Skip(String, String),
    /// Detail for the log.
    Log(String),
    /// What a scenario is doing now.
    Step(String),
    /// One line of the demo's transcript.
    Out(String),
    /// One benchmark row.
    Bench(String),
    /// Everything was reported.
    Done,
}

impl Line {
    /// Reads one line; nothing if it is not of the protocol.
    pub fn parse(line: &str) -> Option<Self> {
        let line = line.trim_end_matches(['\r', '\n']);
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let named = || {
            rest.split_once(' ')
                .map_or((rest.to_owned(), String::new()), |(n, t)| {
                    (n.to_owned(), t.to_owned())
                })
        };
        Some(match verb {
            "@begin" => Self::Begin(rest.to_owned()),
            "@pass" => Self::Pass(rest.to_owned()),
            "@fail" => {
                let (name, text) = named();
                Self::Fail(name, text)
            }
            "@skip" => {
                let (name, reason) = named();
                Self::Skip(name, reason)
            }
            "@log" => Self::Log(rest.to_owned()),
            "@step" => Self::Step(rest.to_owned()),
            "@out" => Self::Out(rest.to_owned()),
            "@bench" => Self::Bench(rest.to_owned()),
            "@done" => Self::Done,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_without_text_is_still_a_failure() {
        assert_eq!(
            Line::parse("@fail hold_exec\r\n"),
            Some(Line::Fail("hold_exec".into(), String::new()))
        );
    }

    #[test]
    fn transcript_lines_keep_their_spaces() {
        assert_eq!(
            Line::parse("@out   indented"),
            Some(Line::Out("  indented".into()))
        );
        assert_eq!(Line::parse("@out"), Some(Line::Out(String::new())));
    }

    #[test]
    fn other_text_is_not_of_the_protocol() {
        assert_eq!(Line::parse("@passed x"), None);
        assert_eq!(Line::parse("pass x"), None);
    }
}
