//! Exit codes and the one error that ends the agent. Never decides whether something is an error.

use std::fmt;

/// Why the agent ends, as a process exit code (`sysexits.h` where it has one).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// Anything that has no code of its own.
    Failure = 1,
    /// The kernel lacks BPF LSM, or a hook does not attach.
    NotEnforced = 69,
    /// Another agent runs on this host.
    AnotherAgent = 75,
    /// A privilege is missing.
    Privilege = 77,
    /// The configuration is wrong.
    Config = 78,
    /// A pinned map has another layout.
    OtherLayout = 79,
}

/// What `--help` teaches about exit codes.
pub const HELP: &str = "\
Exit codes:
  0   stopped on request; what is pinned stays enforced
  1   failure
  2   usage
  69  the kernel lacks BPF LSM, or a hook does not attach: NOT ENFORCED, or not taken over where an earlier
      agent's programs go on enforcing
  75  another agent runs on this host
  77  a privilege is missing (run as root)
  78  the configuration is wrong (try --check-config)
  79  a pinned map has another layout (an agent of another version left it; see --uninstall)";

/// The end of the agent: a code and what to say.
#[derive(Debug)]
pub struct Failure {
    code: Code,
    text: String,
}

impl Failure {
    /// Ends with `code` and says `text`.
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
        }
    }

    /// Ends with the general code, saying what was being done and every cause.
    pub fn of(doing: &str, error: &dyn std::error::Error) -> Self {
        Self::new(Code::Failure, format!("{doing}: {}", chain(error)))
    }

    /// The code.
    pub fn code(&self) -> Code {
        self.code
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<Code> for std::process::ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

/// An error with every cause, each once: causes that are already in their effect's text are not repeated.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}
