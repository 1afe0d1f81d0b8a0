//! Why a message of the wire means nothing, with the path of the field.

use std::fmt::Display;

/// A field that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("field `{field}`: {problem}")]
pub struct Invalid {
    /// Path of the field such as `decision.subject.user`
    pub field: String,
    /// What is wrong with it
    pub problem: String,
}

impl Invalid {
    /// A field and its problem, which shows input safely or not at all.
    pub fn new(field: impl Into<String>, problem: impl Display) -> Self {
        Self {
            field: field.into(),
            problem: problem.to_string(),
        }
    }

    /// Something that has to be there.
    pub fn missing(field: impl Into<String>) -> Self {
        Self::new(field, "is missing")
    }

    /// The same as seen from the message around it.
    #[must_use]
    pub fn inside(mut self, parent: impl Display) -> Self {
        self.field = format!("{parent}.{}", self.field);
        self
    }
}

/// Names the field of a value.
pub(super) fn leaf<T, E: Display>(field: &str, value: Result<T, E>) -> Result<T, Invalid> {
    value.map_err(|problem| Invalid::new(field, problem))
}

/// Names the field of a message.
pub(super) fn inside<T>(field: &str, value: Result<T, Invalid>) -> Result<T, Invalid> {
    value.map_err(|invalid| invalid.inside(field))
}

/// A message that has to be there.
pub(super) fn message<W, T: TryFrom<W, Error = Invalid>>(
    field: &str,
    wire: Option<W>,
) -> Result<T, Invalid> {
    inside(
        field,
        wire.ok_or_else(|| Invalid::new("", "is missing"))
            .and_then(T::try_from),
    )
    .map_err(trimmed)
}

/// A message that may be left out.
pub fn optional<W, T: TryFrom<W, Error = Invalid>>(
    field: &str,
    wire: Option<W>,
) -> Result<Option<T>, Invalid> {
    inside(field, wire.map(T::try_from).transpose())
}

fn trimmed(mut invalid: Invalid) -> Invalid {
    let len = invalid.field.trim_end_matches('.').len();
    invalid.field.truncate(len);
    invalid
}
