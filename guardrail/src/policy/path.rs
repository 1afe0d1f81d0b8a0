//! Paths in rules: absolute, normalised, with one `*` at most in each component, and an optional trailing `/**` for
//! everything strictly below.

use std::fmt;

use super::component::{Component, NotAComponent};
use crate::limits::{DEPTH_MAX, NAME_BYTES_MAX, PATH_BYTES_MAX};

/// Which objects a rule names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathPattern {
    components: Vec<Component>,
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
    /// Has a wildcard that is neither one star in a component nor a trailing `/**`.
    #[error(
        "a component has one `*` at most, for any part of one name; `/**` stands at the end only, for everything below; \
         `?` and `*` themselves are `\\?` and `\\*`"
    )]
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
        let texts: Vec<&str> = inside.split('/').collect();
        if texts.iter().any(|text| matches!(*text, "" | "." | "..")) {
            return Err(PathError::NotNormal {
                normal: normal(&texts, below),
            });
        }
        let components: Vec<Component> = texts
            .iter()
            .map(|text| component(text))
            .collect::<Result<_, _>>()
            .map_err(|NotAComponent| PathError::Wildcard)?;
        if text.len() > PATH_BYTES_MAX || texts.iter().any(|text| text.len() > NAME_BYTES_MAX) {
            return Err(PathError::TooLong);
        }
        if components.len() > DEPTH_MAX {
            return Err(PathError::TooDeep);
        }
        Ok(Self { components, below })
    }

    /// All objects: the root directory, which no policy can write, and everything below it.
    pub fn everything() -> [Self; 2] {
        [false, true].map(|below| Self {
            components: vec![],
            below,
        })
    }

    /// The components from the root down.
    pub fn components(&self) -> &[Component] {
        &self.components
    }

    /// Whether it means everything strictly below the directory, and not the object itself.
    pub fn is_below(&self) -> bool {
        self.below
    }

    /// Whether it names one object.
    pub fn is_plain(&self) -> bool {
        !self.below && self.components.iter().all(|one| one.name().is_some())
    }

    /// The one path that it names, as it is on a disk.
    pub fn plain(&self) -> Option<String> {
        if self.below {
            return None;
        }
        let names: Option<Vec<&str>> = self.components.iter().map(Component::name).collect();
        names.map(|names| format!("/{}", names.join("/")))
    }

    /// Whether a normalised absolute path is meant. The specification: component by component, nothing else. The first
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
                .all(|(wanted, name)| wanted.matches(name))
    }

    /// Whether everything that `other` means is meant by this, too.
    pub fn covers(&self, other: &Self) -> bool {
        let (own, others) = (self.components.len(), other.components.len());
        let deep_enough = if self.below {
            others + usize::from(other.below) > own
        } else {
            !other.below && others == own
        };
        let mut pairs = self.components.iter().zip(&other.components);
        deep_enough && pairs.all(|(a, b)| a.covers(b))
    }

    /// Whether some component is open.
    pub fn is_wild(&self) -> bool {
        self.components
            .iter()
            .any(|component| component.name().is_none())
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.components.is_empty() && !self.below {
            return f.write_str("/");
        }
        for component in &self.components {
            write!(f, "/{}", crate::text::safe(&component.to_string()))?;
        }
        f.write_str(if self.below { "/**" } else { "" })
    }
}

/// A name, or a pattern. `?` is a wildcard elsewhere: here it is refused rather than misunderstood.
fn component(text: &str) -> Result<Component, NotAComponent> {
    if text.replace("\\?", "").contains('?') {
        return Err(NotAComponent);
    }
    text.parse()
}

fn normal(components: &[&str], below: bool) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for component in components {
        match *component {
            "" | "." => {}
            ".." => drop(kept.pop()),
            name => kept.push(name),
        }
    }
    format!("/{}{}", kept.join("/"), if below { "/**" } else { "" })
}
