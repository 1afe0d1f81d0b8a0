//! On which hosts a policy counts: by labels, which each host has from its own configuration.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::id::{IdError, LabelName, LabelValue};

/// Labels of one host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HostLabels(pub BTreeMap<LabelName, LabelValue>);

impl HostLabels {
    /// `env=prod`, each.
    pub fn shown(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(name, value)| format!("{name}={value}"))
    }
}

impl FromIterator<Label> for HostLabels {
    fn from_iter<I: IntoIterator<Item = Label>>(labels: I) -> Self {
        Self(
            labels
                .into_iter()
                .map(|one| (one.name, one.value))
                .collect(),
        )
    }
}

/// One label: `env=prod`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// What it is about
    pub name: LabelName,
    /// What it says
    pub value: LabelValue,
}

impl FromStr for Label {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let Some((name, value)) = text.split_once('=') else {
            return Err(IdError::Malformed {
                what: "label",
                shown: crate::text::Safe(text.as_bytes()).to_string(),
                rule: "write it as `name=value`",
            });
        };
        Ok(Self {
            name: name.parse()?,
            value: value.parse()?,
        })
    }
}

/// The hosts on which a policy counts: those that have all of these labels, each with one of the values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostSelector(pub Vec<(LabelName, Vec<LabelValue>)>);

impl HostSelector {
    /// Whether it counts on a host with these labels.
    pub fn selects(&self, labels: &HostLabels) -> bool {
        let has = |(name, values): &(LabelName, Vec<LabelValue>)| {
            let own = labels.0.get(name);
            own.is_some_and(|own| values.contains(own))
        };
        self.0.iter().all(has)
    }

    /// `env=prod`, each with one value.
    pub fn labels(&self) -> impl Iterator<Item = String> {
        self.0
            .iter()
            .flat_map(|(name, values)| values.iter().map(move |value| format!("{name}={value}")))
    }
}

/// Several values of one name: any of them.
impl FromIterator<Label> for HostSelector {
    fn from_iter<I: IntoIterator<Item = Label>>(labels: I) -> Self {
        let mut names: BTreeMap<LabelName, Vec<LabelValue>> = BTreeMap::new();
        for Label { name, value } in labels {
            let values = names.entry(name).or_default();
            if !values.contains(&value) {
                values.push(value);
            }
        }
        Self(names.into_iter().collect())
    }
}

/// `env=canary,region=eu,region=us`.
impl FromStr for HostSelector {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        text.split(',').map(str::parse::<Label>).collect()
    }
}

/// `env=prod, region=eu or us`; `every host`.
impl fmt::Display for HostSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("every host");
        }
        for (index, (name, values)) in self.0.iter().enumerate() {
            let values: Vec<&str> = values.iter().map(LabelValue::as_str).collect();
            let before = if index == 0 { "" } else { ", " };
            write!(f, "{before}{name}={}", values.join(" or "))?;
        }
        Ok(())
    }
}
