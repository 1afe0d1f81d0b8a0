//! The terminal as the commands see it: data on standard output, everything else on standard error.
//!
//! The only place that reads the clock, the zone and the terminal. Never prompts.

use std::io::{self, IsTerminal as _, Write as _};

use jiff::{Timestamp, tz::TimeZone};

use crate::{
    args::{Format, Global, When},
    failure::{Failure, Kind},
    render::defused,
    time::Moment,
};

/// Where output goes and how it looks.
#[derive(Debug)]
pub(crate) struct Screen {
    format: Option<Format>,
    headers: bool,
    zone: TimeZone,
    color: When,
    out: io::Stdout,
    err: io::Stderr,
}

/// A colour with a meaning.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tone {
    /// As it should be
    Good,
    /// Worth a look
    Care,
    /// Stopped, failed
    Bad,
    /// What matters in a line
    Strong,
}

impl Screen {
    /// Looks at the options and the environment.
    pub(crate) fn new(global: &Global) -> Self {
        Self {
            format: global.output,
            headers: !global.no_headers,
            // Without zone data there still is UTC, and it is named.
            zone: TimeZone::try_system().unwrap_or(TimeZone::UTC),
            color: global.color,
            out: io::stdout(),
            err: io::stderr(),
        }
    }

    /// The format, or what the command does by itself.
    pub(crate) fn format_or(&self, usual: Format) -> Format {
        self.format.unwrap_or(usual)
    }

    /// Whether tables have heads.
    pub(crate) fn headers(&self) -> bool {
        self.headers
    }

    /// The time now, and the zone to show it in.
    pub(crate) fn moment(&self) -> Moment {
        Moment {
            now: Timestamp::now(),
            zone: self.zone.clone(),
        }
    }

    /// Writes data and sees to it that it is out.
    pub(crate) fn data(&self, text: &str) -> Result<(), Failure> {
        let mut out = self.out.lock();
        out.write_all(text.as_bytes())?;
        if !text.is_empty() && !text.ends_with('\n') {
            out.write_all(b"\n")?;
        }
        Ok(out.flush()?)
    }

    /// Writes data byte for byte.
    pub(crate) fn exact(&self, text: &str) -> Result<(), Failure> {
        let mut out = self.out.lock();
        out.write_all(text.as_bytes())?;
        Ok(out.flush()?)
    }

    /// Says something beside the data. Standard error that is closed is nobody's problem.
    pub(crate) fn note(&self, text: &str) {
        let mut err = self.err.lock();
        // Nothing can be said about a closed standard error.
        drop(writeln!(err, "{}", defused(text)));
    }

    /// Says what could go wrong later.
    pub(crate) fn warning(&self, text: &str) {
        let word = self.paint_err("warning:", Tone::Care);
        self.note(&format!("{word} {text}"));
    }

    /// Says what failed and what to do next.
    pub(crate) fn failure(&self, failure: &Failure) {
        if failure.kind == Kind::BrokenPipe {
            return;
        }
        if !failure.error.is_empty() {
            let word = self.paint_err("error:", Tone::Bad);
            self.note(&format!("{word} {}", failure.error));
        }
        let word = self.paint_err("hint:", Tone::Strong);
        for hint in &failure.hints {
            self.note(&format!("{word} {hint}"));
        }
    }

    /// Whether standard output is a terminal.
    pub(crate) fn out_is_terminal(&self) -> bool {
        self.out.is_terminal()
    }

    /// Colours text for standard output.
    pub(crate) fn paint(&self, text: &str, tone: Tone) -> String {
        paint(text, tone, self.colors(self.out_is_terminal()))
    }

    /// Colours text for standard error.
    pub(crate) fn paint_err(&self, text: &str, tone: Tone) -> String {
        paint(text, tone, self.colors(self.err.is_terminal()))
    }

    fn colors(&self, terminal: bool) -> bool {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        match self.color {
            When::Always => true,
            When::Never => false,
            When::Auto => {
                terminal
                    && !set("NO_COLOR")
                    && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
            }
        }
    }
}

fn paint(text: &str, tone: Tone, on: bool) -> String {
    if !on {
        return text.to_owned();
    }
    let code = match tone {
        Tone::Good => "32",
        Tone::Care => "33",
        Tone::Bad => "1;31",
        Tone::Strong => "1",
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_is_off_unless_asked_for() {
        assert_eq!(paint("x", Tone::Bad, false), "x");
        assert_eq!(paint("x", Tone::Bad, true), "\x1b[1;31mx\x1b[0m");
    }
}
