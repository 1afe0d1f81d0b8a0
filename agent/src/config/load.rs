//! Reads a configuration file: closed schema, errors with line and suggestion.

use std::{io::Read as _, path::Path};

use super::{Config, ConfigError, check};

/// Bytes of a configuration file: a hundred times what the full example has.
const FILE_BYTES_MAX: u64 = 256 << 10;

/// A configuration and what of it the file said.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The effective values
    pub config: Config,
    /// What the file sets; the rest is default
    pub file: toml::Table,
}

/// Reads `path`. A file that is missing at the default place means defaults; a file that was asked for must be
/// there.
pub fn load(path: &Path, may_be_missing: bool) -> Result<Loaded, ConfigError> {
    let unreadable = |cause: &std::io::Error| ConfigError::Unreadable {
        path: path.to_owned(),
        cause: cause.to_string(),
    };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if may_be_missing && error.kind() == std::io::ErrorKind::NotFound => {
            return parse(path, "");
        }
        Err(error) => return Err(unreadable(&error)),
    };
    let mut text = String::new();
    let read = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text);
    read.map_err(|error| unreadable(&error))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(ConfigError::TooLarge {
            path: path.to_owned(),
            max: FILE_BYTES_MAX,
        });
    }
    parse(path, &text)
}

/// Parses `text`; `path` is only named in errors.
pub fn parse(path: &Path, text: &str) -> Result<Loaded, ConfigError> {
    let config = toml::from_str(text).map_err(|error| located(path, text, &error))?;
    let file = toml::from_str(text).map_err(|error| located(path, text, &error))?;
    check::check(path, &config)?;
    Ok(Loaded { config, file })
}

fn located(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let start = error.span().map_or(0, |span| span.start.min(text.len()));
    let before = text.get(..start).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before
        .chars()
        .rev()
        .take_while(|character| *character != '\n')
        .count()
        + 1;
    let message = stayhand_guardrail::text::safe(error.message());
    let suggestion = suggest(&message);
    ConfigError::At {
        path: path.to_owned(),
        line,
        column,
        message,
        suggestion,
    }
}

/// serde words an unknown key or value as ``unknown field `a`, expected one of `b`, `c` ``.
fn suggest(message: &str) -> Option<String> {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let (given, known) = (quoted.next()?, quoted);
    if !message.starts_with("unknown ") {
        return None;
    }
    let close = known
        .map(|name| (strsim::damerau_levenshtein(given, name), name))
        .min()?;
    // A third of the word wrong is a slip; more is another word.
    (close.0 * 3 <= given.len().max(3)).then(|| close.1.to_owned())
}
