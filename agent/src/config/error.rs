//! What is wrong with a configuration, where, and what to write instead.

use std::path::PathBuf;

/// Why a configuration is not accepted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read `{}`: {cause}", path.display())]
    Unreadable {
        /// The file
        path: PathBuf,
        /// Why
        cause: String,
    },
    /// More than anybody writes.
    #[error("`{}` has more than {max} bytes", path.display())]
    TooLarge {
        /// The file
        path: PathBuf,
        /// The bound
        max: u64,
    },
    /// Something in it.
    #[error("{}:{line}:{column}: {message}{}", path.display(), hint(suggestion.as_deref()))]
    At {
        /// The file
        path: PathBuf,
        /// From 1
        line: usize,
        /// From 1, in characters
        column: usize,
        /// What
        message: String,
        /// A key that exists and looks like it
        suggestion: Option<String>,
    },
    /// A value that is well formed but makes no sense.
    #[error("{}: `{key}` {message}", path.display())]
    Value {
        /// The file
        path: PathBuf,
        /// The key
        key: &'static str,
        /// What is wrong with its value
        message: String,
    },
}

fn hint(suggestion: Option<&str>) -> String {
    suggestion
        .map(|name| format!("; did you mean `{name}`?"))
        .unwrap_or_default()
}
