//! `stayhand policy expand`: a policy with everything written out that it includes.

use stayhand_guardrail::policy::{Diagnostic, preset};

use super::{files::many, findings, read};
use crate::{
    failure::{Failure, Kind},
    screen::Screen,
    view::{Finding, prose},
};

/// Write out what a policy includes, offline
///
/// The document that goes to standard output includes no preset and means the same: what `extends` brings is written where it
/// would be if the policy said it itself. Comments are not kept. Tests of presets are not part of it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stayhand policy expand prod.yaml
  stayhand policy expand prod.yaml > written-out.yaml")]
pub(crate) struct Expand {
    /// Policy document; - is standard input
    #[arg(value_name = "FILE")]
    file: String,
}

pub(super) fn run(expand: &Expand, screen: &Screen) -> Result<(), Failure> {
    let source = read(&expand.file)?;
    let expanded = preset::expand(&source).map_err(|errors| {
        tell(&expand.file, &source, &errors, screen);
        Failure::new(Kind::General, many(errors.len(), "error"))
    })?;
    if screen.out_is_terminal() {
        return screen.data(&prose(&expanded));
    }
    screen.exact(&expanded)
}

fn tell(file: &str, source: &str, errors: &[Diagnostic], screen: &Screen) {
    for error in errors {
        let found = Finding::of_diagnostic(error);
        screen.note(&findings::shown(file, source, &found, screen));
    }
}
