//! `hosts`: labels that a host has to have, and those that a host has in a test.

use super::{reader::Reader, target::list_of};
use crate::{
    id::{LabelName, LabelValue},
    limits::LABELS_MAX,
    policy::{Diagnostic, HostLabels, HostSelector, yaml::Node},
};

/// `{ env: prod, region: [eu, us] }`.
pub(super) fn selector(r: &mut Reader, node: &Node) -> HostSelector {
    let mut wanted: Vec<(LabelName, Vec<LabelValue>)> = Vec::new();
    for (key, value) in r.named(node, "hosts", "values", LABELS_MAX) {
        let values = list_of(r, value, "label value", |r, node| {
            r.parsed::<LabelValue>(node, "label value")
        });
        let Some(name) = r.parsed::<LabelName>(key, "label name") else {
            continue;
        };
        if wanted.iter().any(|(known, _)| *known == name) {
            let message = format!("label `{name}` is there twice");
            r.report(Diagnostic::error(key.at, name.as_str(), message));
            continue;
        }
        wanted.push((name, values));
    }
    HostSelector(wanted)
}

/// `{ env: prod }`: the labels of one host.
pub(super) fn labels(r: &mut Reader, node: &Node) -> HostLabels {
    let mut labels = HostLabels::default();
    for (key, value) in r.named(node, "hosts", "a value", LABELS_MAX) {
        let value = r.parsed::<LabelValue>(value, "label value");
        let name = r.parsed::<LabelName>(key, "label name");
        let (Some(name), Some(value)) = (name, value) else {
            continue;
        };
        if labels.0.insert(name.clone(), value).is_some() {
            let message = format!("label `{name}` is there twice");
            r.report(Diagnostic::error(key.at, name.as_str(), message));
        }
    }
    labels
}
