//! Paths in rules: absolute, literal, normalised, with an optional trailing `/**` for everything strictly below.

use std::fmt;

use crate::limits::{DEPTH_MAX, NAME_BYTES_MAX, PATH_BYTES_MAX};

/// Which objects a rule names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathPattern {
    components: Vec<String>,
    below: bool,
}

/// Why a text is not a path of a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Does not start at the root.
    #[error("a path starts with `/`")]
    Relative,
    /// Has `.`, `..`, an empty component or a slash at its end.
    #[error("a path has no `.`, `..`, `//` or `/` at its end")]
    NotNormal {
        /// What was probably meant
        normal: String,
    },
    /// Has a wildcard that is not a trailing `/**`.
    #[error("a path is literal; the only wildcard is `/**` at its end, for everything below")]
    Wildcard,
    /// Names the root directory itself, which is never executed or written.
    #[error("`/` is a directory; write `/**` for everything below it")]
    Root,
    /// Has a character that no sensible path has.
    #[error("a path has no control characters")]
    Control,
    /// Longer than the kernel allows.
    #[error("a path has at most {PATH_BYTES_MAX} bytes, and {NAME_BYTES_MAX} in one component")]
    TooLong,
    /// Deeper than the kernel's walk.
    #[error("a path has at most {DEPTH_MAX} components")]
    TooDeep,
}

impl PathPattern {
    /// Reads a path.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let Some(inside) = text.strip_prefix('/') else {
            return Err(PathError::Relative);
        };
        if text.chars().any(char::is_control) {
            return Err(PathError::Control);
        }
        let (inside, below) = match inside {
            "**" => ("", true),
            other => other
                .strip_suffix("/**")
                .map_or((other, false), |directory| (directory, true)),
        };
        if inside.contains(['*', '?']) {
            return Err(PathError::Wildcard);
        }
        if inside.is_empty() {
            return if below {
                Ok(Self {
                    components: vec![],
                    below,
                })
            } else {
                Err(PathError::Root)
            };
        }
        let components: Vec<String> = inside.split('/').map(str::to_owned).collect();
        if components
            .iter()
            .any(|component| matches!(component.as_str(), "" | "." | ".."))
        {
            return Err(PathError::NotNormal {
                normal: normal(&components, below),
            });
        }
        if text.len() > PATH_BYTES_MAX
            || components
                .iter()
                .any(|component| component.len() > NAME_BYTES_MAX)
        {
            return Err(PathError::TooLong);
        }
        if components.len() > DEPTH_MAX {
            return Err(PathError::TooDeep);
        }
        Ok(Self { components, below })
    }

    /// The components from the root down.
    pub fn components(&self) -> &[String] {
        &self.components
    }

    /// Whether it means everything strictly below the directory, and not the object itself.
    pub fn is_below(&self) -> bool {
        self.below
    }

    /// Whether a normalised absolute path is meant. The specification: literal components, nothing else. The first
    /// `anchor` components are a label's, above which no directory's rules count (0 where nothing was moved).
    pub fn matches(&self, path: &[u8], anchor: usize) -> bool {
        let actual: Vec<&[u8]> = path
            .split(|byte| *byte == b'/')
            .filter(|component| !component.is_empty())
            .collect();
        let (own, names) = (self.components.len(), actual.len());
        let deep_enough = if self.below {
            anchor <= own && own < names
        } else {
            own == names
        };
        deep_enough
            && self
                .components
                .iter()
                .zip(&actual)
                .all(|(wanted, name)| wanted.as_bytes() == *name)
    }

    /// Whether everything that `other` means is meant by this, too.
    pub fn covers(&self, other: &Self) -> bool {
        if !self.below {
            return self == other;
        }
        let deep_enough = other.components.len() + usize::from(other.below) > self.components.len();
        deep_enough
            && self
                .components
                .iter()
                .zip(&other.components)
                .all(|(a, b)| a == b)
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for component in &self.components {
            write!(f, "/{}", crate::text::safe(component))?;
        }
        f.write_str(if self.below { "/**" } else { "" })
    }
}

fn normal(components: &[String], below: bool) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for component in components {
        match component.as_str() {
            "" | "." => {}
            ".." => drop(kept.pop()),
            name => kept.push(name),
        }
    }
    format!("/{}{}", kept.join("/"), if below { "/**" } else { "" })
}
