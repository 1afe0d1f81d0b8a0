//! `stayhand policy presets`: what policies can include, and the document of one.
//!
//! Asks nobody: presets are part of the program.

use serde::Serialize;
use stayhand_guardrail::{
    policy::preset::{self, Contents},
    text::safe,
};

use crate::{
    args::Format,
    failure::{Failure, Kind},
    render::View,
    screen::Screen,
    time::Moment,
    view::prose,
};

/// List the presets that policies can include, or print the document of one
///
/// A policy includes one with `extends: [NAME@VERSION]`. A version never changes. Hosts and control plane need a Stayhand that has
/// it, too.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stayhand policy presets
  stayhand policy presets confined-root@1 | less")]
pub(crate) struct Presets {
    /// Name and version of one
    #[arg(value_name = "NAME@VERSION")]
    preset: Option<String>,
}

/// One preset, for people and for programs.
#[derive(Debug, Serialize)]
struct Preset {
    name: String,
    version: u32,
    summary: String,
    rules: Vec<String>,
    permissions: Vec<String>,
    parameters: Vec<Parameter>,
    source: &'static str,
}

/// What a policy can say of its site.
#[derive(Debug, Serialize)]
struct Parameter {
    name: String,
    about: String,
    optional: bool,
}

pub(super) fn run(presets: &Presets, screen: &Screen) -> Result<(), Failure> {
    let Some(name) = &presets.preset else {
        let all: Vec<Preset> = preset::ALL
            .iter()
            .map(Preset::of)
            .collect::<Result<_, _>>()?;
        return screen.list(&all, "this build has no presets");
    };
    let found = preset::find(name).or_else(|| preset::newest(name));
    let found = found.ok_or_else(|| {
        let message = format!("this build has no preset `{}`", safe(name));
        Failure::new(Kind::NotFound, message)
            .hint("`stayhand policy presets` lists those that it has")
    })?;
    match screen.format_or(Format::Table) {
        Format::Table if screen.out_is_terminal() => screen.data(&prose(found.source)),
        Format::Table => screen.exact(found.source),
        _ => screen.one(&Preset::of(found)?),
    }
}

impl Preset {
    fn of(preset: &preset::Preset) -> Result<Self, Failure> {
        let Contents {
            summary,
            parameters,
            policy,
        } = preset.contents().map_err(|_| {
            Failure::general(format!("preset `{preset}` of this build cannot be read"))
        })?;
        let parameters = parameters.into_iter();
        Ok(Self {
            name: preset.name.to_owned(),
            version: preset.version,
            summary,
            rules: policy
                .rules
                .iter()
                .map(|rule| rule.id.to_string())
                .collect(),
            permissions: policy
                .permissions
                .iter()
                .map(|permission| permission.name.to_string())
                .collect(),
            parameters: parameters
                .map(|one| Parameter {
                    name: one.name,
                    about: one.about,
                    optional: one.optional,
                })
                .collect(),
            source: preset.source,
        })
    }
}

impl View for Preset {
    const KIND: &'static str = "Preset";
    const HEADS: &'static [&'static str] = &["PRESET", "RULES", "PARAMETERS", "WHAT FOR"];

    fn id(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    fn row(&self, _: &Moment) -> Vec<String> {
        let parameters: Vec<&str> = self
            .parameters
            .iter()
            .map(|one| one.name.as_str())
            .collect();
        vec![
            self.id(),
            self.rules.len().to_string(),
            parameters.join(", "),
            self.summary.clone(),
        ]
    }

    fn details(&self, _: &Moment) -> Vec<(&'static str, String)> {
        vec![
            ("preset", self.id()),
            ("what for", self.summary.clone()),
            ("rules", self.rules.join(", ")),
            ("permissions", self.permissions.join(", ")),
        ]
    }
}
