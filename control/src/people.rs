//! Who is on call, who manages whom, and who is who at the identity provider: a file that whoever knows it keeps up to date. Read anew for each approval that
//! asks for it and whenever somebody signs in, since that is what changes.
//!
//! Never cached, never guessed: a file that cannot be read is an error that says so, and nobody is on call.

use std::{
    collections::BTreeMap,
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::Deserialize;
use stayhand_guardrail::id::{ScheduleName, UserName};

/// Bytes of the file: some fifty thousand people.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Where it is written; nobody is on call and nobody manages anybody without.
#[derive(Clone, Debug, Default)]
pub struct People(Option<Arc<Path>>);

/// What it says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Directory {
    /// Who is on call for what
    #[serde(rename = "on-call")]
    on_call: BTreeMap<ScheduleName, Vec<UserName>>,
    /// Everybody's manager
    managers: BTreeMap<UserName, UserName>,
    /// Whom subjects of the identity provider are linked to
    subjects: BTreeMap<String, UserName>,
}

/// Why it cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot tell who is on call and who manages whom: `{}`: {cause}; see `people.file` in control.toml", path.display())]
pub struct PeopleError {
    /// The file
    pub path: PathBuf,
    /// What is wrong
    pub cause: String,
}

impl People {
    /// From this file.
    pub fn new(file: Option<&Path>) -> Self {
        Self(file.map(Arc::from))
    }

    /// What it says now. Blocks for as long as reading a file does.
    pub fn read(&self) -> Result<Directory, PeopleError> {
        let Some(path) = self.0.as_deref() else {
            return Ok(Directory::default());
        };
        let failed = |cause: String| PeopleError {
            path: path.to_owned(),
            cause,
        };
        let file = std::fs::File::open(path).map_err(|error| failed(error.to_string()))?;
        let mut text = String::new();
        file.take(FILE_BYTES_MAX + 1)
            .read_to_string(&mut text)
            .map_err(|error| failed(error.to_string()))?;
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(failed(format!("it has more than {FILE_BYTES_MAX} bytes")));
        }
        toml::from_str(&text)
            .map_err(|error| failed(stayhand_guardrail::text::safe(&error.to_string())))
    }
}

impl Directory {
    /// For what somebody is on call.
    pub fn on_call(&self, user: &UserName) -> Vec<ScheduleName> {
        let on_call = self.on_call.iter().filter(|(_, who)| who.contains(user));
        on_call.map(|(schedule, _)| schedule.clone()).collect()
    }

    /// The person to whom a subject of the identity provider is linked.
    pub fn linked(&self, subject: &str) -> Option<&UserName> {
        self.subjects.get(subject)
    }

    /// Whose manager somebody is.
    pub fn manages(&self, user: &UserName) -> Vec<UserName> {
        let managed = self.managers.iter().filter(|(_, manager)| *manager == user);
        managed.map(|(managed, _)| managed.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Directory, PeopleError> {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("people.toml");
        std::fs::write(&file, text).unwrap();
        People::new(Some(&file)).read()
    }

    #[test]
    fn what_cannot_be_read_names_file_and_key() {
        for text in [
            "[on-call]\nops = [\"a b\"]",
            "[oncall]\nops = []",
            "[managers]\nalice = 1",
            "nonsense",
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(
                error.contains("people.toml") && error.contains("people.file"),
                "{error}"
            );
        }
        let missing = People::new(Some(Path::new("/nonexistent/people.toml")));
        assert!(missing.read().is_err());
    }

    #[test]
    fn the_shipped_example_can_be_read_and_says_who() {
        let example = include_str!("../../packaging/people.toml");
        let directory = read(example).unwrap();
        let user = |name: &str| -> UserName { name.parse().unwrap() };
        assert_eq!(
            directory.on_call(&user("olaf")),
            ["ops".parse::<ScheduleName>().unwrap()]
        );
        assert_eq!(
            directory.manages(&user("mia")),
            [user("alice"), user("dora")]
        );
        assert!(directory.on_call(&user("mia")).is_empty());
        assert_eq!(People::default().read(), Ok(Directory::default()));
    }
}
