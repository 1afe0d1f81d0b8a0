//! Shipped presets: rules that a policy takes over with `extends`.
//!
//! A version of a preset is a document that never changes, because a revision of a policy is to mean the same for ever:
//! what has to be said otherwise is a new version, and the old one stays.

#[cfg(test)]
mod tests;

use std::fmt;

use super::{Diagnostic, Policy, parse, yaml};

/// One version of a preset.
pub struct Preset {
    /// What policies call it, and what comes before the ids of its rules
    pub name: &'static str,
    /// Which version
    pub version: u32,
    /// The document
    pub source: &'static str,
}

/// What a preset says, by itself.
#[derive(Clone, Debug)]
pub struct Contents {
    /// What it is for, in one line
    pub summary: String,
    /// What a policy can say of its site
    pub parameters: Vec<Parameter>,
    /// Its rules, permissions and tests, for the one user whom the tests name
    pub policy: Policy,
}

/// What a policy can say of its site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name
    pub name: String,
    /// What it stands for
    pub about: String,
    /// Whether it has a value if a policy gives none
    pub optional: bool,
}

macro_rules! shipped {
    ($($name:literal @ $version:literal),+ $(,)?) => {
        /// Every version of every preset; the versions of one stand together, the newest last.
        pub const ALL: &[Preset] = &[$(Preset {
            name: $name,
            version: $version,
            source: include_str!(concat!("../../presets/", $name, "@", $version, ".yaml")),
        }),+];
    };
}

shipped!(
    "accident-prevention" @ 1,
    "ai-agent" @ 1,
    "confined-root" @ 1,
    "destructive-commands" @ 1,
    "prod-database" @ 1,
    "ssh-keys-and-sudoers" @ 1,
);

/// The newest version of a preset.
pub fn newest(name: &str) -> Option<&'static Preset> {
    ALL.iter().rev().find(|one| one.name == name)
}

/// By `NAME@VERSION`.
pub fn find(reference: &str) -> Option<&'static Preset> {
    ALL.iter().find(|one| one.to_string() == reference)
}

impl Preset {
    /// What it says.
    pub fn contents(&self) -> Result<Contents, Vec<Diagnostic>> {
        parse::preset(self.source)
    }
}

/// `NAME@VERSION`.
impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}@{}", self.name, self.version))
    }
}

/// Without the document.
impl fmt::Debug for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The document of a policy with everything written out that it includes, which means the same. Comments are not kept.
pub fn expand(source: &str) -> Result<String, Vec<Diagnostic>> {
    parse(source)?;
    let root = yaml::read(source).map_err(|finding| vec![finding])?;
    Ok(yaml::write(&parse::expanded(root)))
}
