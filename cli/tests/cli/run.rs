//! Runs the program as a person would, with an environment that is the same everywhere.

use std::process::{Command, Stdio};

use serde_json::Value;

/// Winter is an hour ahead of UTC; no zone data needed.
const ZONE: &str = "CET-1CEST,M3.5.0,M10.5.0/3";

/// What the program did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// The program with nothing of this machine's environment.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stayhand"));
    command
        .args(arguments)
        .env_clear()
        .env("TZ", ZONE)
        .stdin(Stdio::null());
    command
}

/// Runs it to its end.
pub(crate) fn finish(mut command: Command) -> Ran {
    let output = command
        .output()
        .expect("the program was built for this test");
    Ran {
        code: output.status.code().expect("it ended by itself"),
        out: String::from_utf8(output.stdout).expect("data is UTF-8"),
        err: String::from_utf8(output.stderr).expect("messages are UTF-8"),
    }
}

/// Runs it without any server.
pub(crate) fn alone(arguments: &[&str]) -> Ran {
    finish(command(arguments))
}

impl Ran {
    /// Standard output as one JSON document.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.err.contains(text), "no `{text}` in {self:#?}");
        self
    }

    #[track_caller]
    pub(crate) fn prints(self, text: &str) -> Self {
        assert!(self.out.contains(text), "no `{text}` in {self:#?}");
        self
    }

    /// Nothing that acts on a terminal anywhere.
    #[track_caller]
    pub(crate) fn stays_harmless(self) -> Self {
        let acting = |character: char| {
            character != '\n'
                && (character.is_control() || ('\u{200b}'..='\u{202e}').contains(&character))
        };
        assert!(
            !self.out.chars().any(acting) && !self.err.chars().any(acting),
            "{self:?}"
        );
        self
    }
}
