//! Policy documents from files: each read by itself, then all of them as one host would have them.
//!
//! Asks nobody: what is known is what the documents say.

use clap::Args;
use stayhand_guardrail::{
    id::Revision,
    policy::{self, Policy, Versioned},
};

use super::{annotate::Annotations, findings, read};
use crate::{args::Format, failure::Failure, screen::Screen, view::Finding};

/// Which documents, and how findings in them are told.
#[derive(Debug, Args)]
pub(super) struct Files {
    /// Policy documents; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// Also write findings as annotations that a forge shows beside the lines
    #[arg(long, value_name = "FORGE")]
    annotations: Option<Annotations>,
}

/// One document, and what is wrong with it.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) file: String,
    pub(super) source: String,
    /// None if it does not parse
    pub(super) policy: Option<Policy>,
    pub(super) findings: Vec<Finding>,
}

impl Files {
    /// These, for people alone.
    pub(super) fn named(files: &[String]) -> Self {
        Self {
            files: files.to_vec(),
            annotations: None,
        }
    }

    /// Whether standard input is one of them.
    pub(super) fn has_stdin(&self) -> bool {
        self.files.iter().any(|file| file == "-")
    }

    /// Reads them all; the first that cannot be read ends it.
    pub(super) fn read(&self) -> Result<Vec<Document>, Failure> {
        let each = self.files.iter();
        each.map(|file| Ok(Document::of(file, read(file)?)))
            .collect()
    }

    /// Tells all findings in the documents, and what is wrong with them taken together.
    pub(super) fn tell_all(&self, documents: &[Document], together: &[String], screen: &Screen) {
        for document in documents {
            for found in &document.findings {
                self.tell(document, found, screen);
            }
        }
        for problem in together {
            let problem = format!("together: {problem}");
            if for_people(screen) {
                screen.note(&crate::view::prose(&problem));
            }
            if let Some(annotations) = self.annotations {
                screen.note(&annotations.problem(&problem));
            }
        }
    }

    /// Tells a finding in a document.
    pub(super) fn tell(&self, document: &Document, finding: &Finding, screen: &Screen) {
        let (file, source) = (&document.file, &document.source);
        if for_people(screen) {
            screen.note(&findings::shown(file, source, finding, screen));
        }
        if let Some(annotations) = self.annotations {
            screen.note(&annotations.finding(file, finding));
        }
    }
}

/// Documents for programs have the findings in them.
fn for_people(screen: &Screen) -> bool {
    screen.format_or(Format::Table) == Format::Table
}

impl Document {
    /// A policy that does not parse has no warnings yet.
    pub(super) fn of(file: &str, source: String) -> Self {
        let (policy, found) = match policy::parse(&source) {
            Ok(policy) => {
                let warnings = policy::check(&policy);
                (Some(policy), warnings)
            }
            Err(errors) => (None, errors),
        };
        Self {
            file: file.to_owned(),
            source,
            policy,
            findings: found.iter().map(Finding::of_diagnostic).collect(),
        }
    }
}

/// The policies as one host has them, in the order of the documents.
pub(super) fn host(documents: &[Document]) -> Vec<Versioned> {
    let policies = documents.iter().filter_map(|one| one.policy.clone());
    policies
        .map(|policy| Versioned {
            revision: Revision(1),
            policy,
        })
        .collect()
}

/// Why the kernel has no room for them, together on one host.
pub(super) fn together(host: &[Versioned]) -> Vec<String> {
    match policy::compile(host) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

/// `1 rule`, `2 rules`.
pub(super) fn many(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}
