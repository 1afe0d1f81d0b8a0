//! `stayhand policy learn`: rules for what the defaults of policies in monitor mode would have stopped.
//!
//! Prints a proposal for a person to read, and applies nothing.

use stayhand_guardrail::{
    event::ocsf::Line,
    id::PolicyName,
    policy::learn::{Learner, NAMES_MIN_DEFAULT, Options, Proposal},
};

use super::{files::many, recorded::Source};
use crate::{args::Global, failure::Failure, render::defused, screen::Screen};

/// Propose rules that allow what a default in monitor mode would have stopped
///
/// Writes a policy in `mode: monitor` to standard output: an `allow` for each program by its path, each file or directory, each
/// address and port that was seen, with how often, by whom and when in comments. What cannot be named without allowing more
/// is left out and said. Read it before it counts: whoever was there may have done what nobody should.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stayhand policy learn --since 14d --user ai-agent > draft.yaml
  stayhand policy learn --from only-listed --name deployers --subcommands
  stayhand policy learn --events events.jsonl --names-min 20")]
pub(crate) struct Learn {
    #[command(flatten)]
    source: Source,
    /// Name of the proposed policy
    #[arg(long, value_name = "NAME", default_value = "learned")]
    name: PolicyName,
    /// Only from what this policy would have stopped
    #[arg(long, value_name = "POLICY")]
    from: Option<PolicyName>,
    /// Distinct names in one directory from which on all names in it are allowed
    #[arg(long, value_name = "N", default_value_t = NAMES_MIN_DEFAULT, value_parser = names_min)]
    names_min: usize,
    /// Allow programs with the first argument that was seen only
    #[arg(long)]
    subcommands: bool,
}

/// One name says nothing of others.
fn names_min(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number > 1 => Ok(number),
        _ => Err("write a number of 2 or more".to_owned()),
    }
}

pub(super) async fn run(learn: &Learn, global: &Global, screen: &Screen) -> Result<(), Failure> {
    let mut learner = Learner::new(Options {
        name: learn.name.clone(),
        from: learn.from.clone(),
        names_min: learn.names_min,
        subcommands: learn.subcommands,
    });
    let mut lost = false;
    let each = learn.source.each(global, screen, |line| match line {
        Line::Decision(recorded) => {
            learner.add(&recorded);
        }
        Line::Lost { .. } => lost = true,
        Line::Other => {}
    });
    each.await?;
    let left = learner.left().clone();
    let Some(proposal) = learner.proposal() else {
        for (why, times) in left {
            screen.note(&why.remark(times));
        }
        return Err(
            Failure::general("nothing was recorded that can be learned from").hint(
                "apply a policy with `mode: monitor` and `default: deny` or `hold`, and let it watch for a while",
            ),
        );
    };
    // The same text for every reader: in quotes, what replaces a runner's command is that text.
    screen.exact(&defused(&proposal.source))?;
    screen.note(&remarks(&proposal, lost));
    Ok(())
}

/// What the document says in its head, for who sends it to a file.
fn remarks(proposal: &Proposal, lost: bool) -> String {
    let mut lines = proposal.remarks();
    if lost {
        lines.push(
            "hosts lost decisions in this time; what was not recorded is not allowed".to_owned(),
        );
    }
    lines.push(format!(
        "{} from {}; read each before it counts",
        many(proposal.rules, "rule"),
        many(proposal.learned, "recorded decision")
    ));
    lines.join("\n")
}
