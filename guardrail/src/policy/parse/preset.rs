//! The document of a shipped preset: what a policy's `spec` has, without subjects and mode, and with parameters.

use super::{Fields, Reader, extends, permissions, rules};
use crate::{
    id::{PolicyName, UserName},
    policy::{
        HostSelector, Mode, OnLoss, Policy, Subjects,
        preset::{Contents, Parameter},
        yaml::Node,
    },
};

const KIND: &str = "Preset";
/// Whom the tests of presets call the guarded person.
const GUARDED: &str = "alice";

/// Reads the document, with the values that parameters have by themselves.
pub(super) fn document(r: &mut Reader, root: &Node) -> Option<Contents> {
    let keys = ["apiVersion", "kind", "metadata", "spec"];
    let mut fields = Fields::shipped(r, root, "a preset", &keys)?;
    let version = fields.require(r, "apiVersion")?;
    super::version(r, version)?;
    let kind = fields.require(r, "kind")?;
    r.word(kind, "kind", &[(KIND, ())], &[])?;
    let node = fields.require(r, "metadata")?;
    let keys = ["name", "version", "summary"];
    let mut metadata = Fields::shipped(r, node, "metadata", &keys)?;
    let name: PolicyName = metadata
        .require(r, "name")
        .and_then(|node| r.parsed(node, "name"))?;
    let _: u32 = metadata
        .require(r, "version")
        .and_then(|node| r.parsed(node, "version"))?;
    let summary = metadata
        .require(r, "summary")
        .and_then(|node| r.text(node, "summary"))?;
    let node = fields.require(r, "spec")?;
    let (parameters, policy) = spec(r, node, name)?;
    Some(Contents {
        summary: summary.to_owned(),
        parameters,
        policy,
    })
}

fn spec(r: &mut Reader, node: &Node, name: PolicyName) -> Option<(Vec<Parameter>, Policy)> {
    let mut node = node.clone();
    let keys = [["parameters", "tests"].as_slice(), &extends::SECTIONS].concat();
    let (mut parameters, mut values) = (Vec::new(), Vec::new());
    if let Some(declared) = Fields::shipped(r, &node, "spec", &keys)?.take("parameters") {
        for (key, value) in r.named(declared, "parameters", "what they are", 16) {
            let mut fields = Fields::shipped(r, value, "a parameter", &["about", "default"])?;
            let about = fields.require(r, "about")?;
            let name = r.text(key, "parameter")?.to_owned();
            let default = fields.take("default");
            values.extend(default.map(|value| (name.clone(), value.clone())));
            parameters.push(Parameter {
                name,
                about: r.text(about, "about")?.to_owned(),
                optional: default.is_some(),
            });
        }
    }
    extends::substitute(&mut node, &values);
    let mut fields = Fields::shipped(r, &node, "spec", &keys)?;
    super::destinations_and_times(r, &mut fields, &[]);
    let mut all = Vec::new();
    if let Some(node) = fields.take("permissions") {
        permissions(r, node, false, &mut all);
    }
    let rules = fields
        .require(r, "rules")
        .and_then(|node| rules(r, node, &all))?;
    let names = super::case::Names {
        permissions: &all,
        profiles: &[],
        rules: Some(&rules),
    };
    let tests = fields
        .require(r, "tests")
        .map(|node| super::case::cases(r, node, &names))?;
    let user: UserName = GUARDED.parse().ok()?;
    let policy = Policy {
        name,
        mode: Mode::Enforce,
        hosts: HostSelector::default(),
        subjects: Subjects {
            groups: vec![],
            users: vec![user],
            services: vec![],
        },
        on_loss: OnLoss::default(),
        sets: std::mem::take(&mut r.sets),
        calendar: std::mem::take(&mut r.calendar),
        approvals: vec![],
        permissions: all,
        profiles: vec![],
        rules,
        tests,
    };
    Some((parameters, policy))
}
