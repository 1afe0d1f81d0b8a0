//! `stayhand policy roll-out`, and what `apply` takes for one: revisions that do not come to every host at once.

use stayhand_guardrail::{
    id::PolicyName,
    policy::HostSelector,
    rollout::{CANARY_DEFAULT, Factor, Phase, Plan},
    time::DurationMs,
};
use stayhand_proto::v1::change_rollout_request::Change;

use crate::{
    args::{Global, reason},
    failure::Failure,
    screen::Screen,
};

/// How a revision comes to every host.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Not to every host at once: first watched (--monitor), then on some hosts (--canary), then on all; stopped by itself where it
    /// restricts much more than the revision before
    #[arg(long, requires = "canary")]
    roll_out: bool,
    /// Watch it on every host for so long first, beside the revision before, as in `mode: monitor`
    #[arg(long, value_name = "TIME", requires = "roll_out")]
    monitor: Option<DurationMs>,
    /// Labels of the hosts that get it before the others; several values of one name: any of them
    #[arg(long, value_name = "NAME=VALUE,...", requires = "roll_out")]
    canary: Option<HostSelector>,
    /// How long they have it before the others
    #[arg(long, value_name = "TIME", requires = "roll_out", default_value_t = CANARY_DEFAULT)]
    canary_for: DurationMs,
    /// Stop when it restricts more than so many times as often as the revision before
    #[arg(long, value_name = "FACTOR", requires = "roll_out", default_value_t = Factor::default())]
    stop_at: Factor,
}

impl Options {
    /// None where every host gets it at once.
    pub(super) fn plan(&self) -> Result<Option<Plan>, Failure> {
        let Some(canary) = &self.canary else {
            return Ok(None);
        };
        Plan::new(self.monitor, canary.clone(), self.canary_for, self.stop_at)
            .map(Some)
            .map_err(|problem| Failure::general(problem.to_string()))
    }
}

/// Stop, resume or advance the roll-out of a policy
///
/// A stopped one leaves every host with the revision before; the revision stays in the history, and the reason with it. --resume
/// begins the stopped phase once more, --advance goes on with the next one at once. Where changes of policies take several
/// people, a roll-out goes as it was approved: then there is only --stop.
#[derive(Debug, clap::Args)]
#[command(
    group = clap::ArgGroup::new("change").required(true),
    after_help = "\
Examples:
  stayhand policy roll-out prod --stop --reason 'breaks the nightly backup'
  stayhand policy roll-out prod --advance canary --reason 'incident 4711 needs it everywhere'
  stayhand policy status prod"
)]
pub(crate) struct RollOut {
    /// Name of the policy
    #[arg(value_name = "NAME")]
    name: PolicyName,
    /// Give every host the revision before
    #[arg(long, group = "change")]
    stop: bool,
    /// Begin the phase in which it was stopped once more
    #[arg(long, group = "change")]
    resume: bool,
    /// Go on with the next phase now; PHASE is the one that ends by that (monitor or canary), so that whoever does it twice skips none
    #[arg(long, value_name = "PHASE", group = "change")]
    advance: Option<Phase>,
    /// Why; it is kept in the events
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
}

pub(super) async fn run(asked: &RollOut, global: &Global, screen: &Screen) -> Result<(), Failure> {
    let control = global.control().await?;
    let change = match (asked.stop, asked.resume) {
        (true, _) => Change::Stop,
        (_, true) => Change::Resume,
        _ => Change::Advance,
    };
    let changed = control
        .change_rollout(
            asked.name.as_str(),
            change,
            asked.advance,
            asked.reason.clone(),
        )
        .await?;
    screen.one(&changed)
}
