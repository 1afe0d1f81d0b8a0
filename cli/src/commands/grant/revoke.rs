//! `stayhand grant revoke`: takes a grant back and waits until it is out of every kernel.

use stayhand_guardrail::text::safe;

use super::read::listing;
use crate::{
    args::{Global, grant_id, reason},
    failure::Failure,
    screen::Screen,
    view::{Grant, Time},
};

/// Take a grant back at once
///
/// Waits until every online host has it out of its kernel. On a host that is not online it ends with its time box, or
/// earlier where the control plane says for how long grants count on a host that hears nothing (delivery.freshness).
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  stayhand grant revoke 0192f0c1 --reason 'INC-17 is closed'")]
pub(crate) struct Revoke {
    /// Id, or a unique beginning of it
    #[arg(value_name = "ID", value_parser = grant_id)]
    id: String,
    /// Why; kept with the grant
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: Option<String>,
    /// Do not wait for the hosts
    #[arg(long)]
    no_wait: bool,
}

pub(super) async fn run(revoke: &Revoke, global: &Global, screen: &Screen) -> Result<(), Failure> {
    let control = global.control().await?;
    // A beginning is resolved first, so that what is revoked is what was found.
    let found = control
        .grant(&revoke.id, "revoke the grant")
        .await
        .map_err(listing)?;
    let why = revoke.reason.clone().unwrap_or_default();
    let grant = control.revoke_grant(&found.id, why).await?;
    if revoke.no_wait {
        return screen.one(&grant);
    }
    let remedy = format!("look again with: stayhand grant show {}", grant.id);
    let (grant, outcome) =
        super::wait(grant, "the revocation", remedy, &control, (global, screen)).await;
    say_until_when(&grant, screen);
    screen.one(&grant)?;
    outcome
}

/// A revocation reaches a host that is not there only by time: the grant's own, or the end of what counts on a host that hears nothing.
fn say_until_when(grant: &Grant, screen: &Screen) {
    let away = grant.enforcement.iter().filter(|host| !host.online);
    let now = screen.moment().now;
    let away: Vec<(String, Time)> = away
        .filter_map(|host| Some((safe(&host.host), host.counts_until.filter(|by| by.0 > now)?)))
        .collect();
    let Some(last) = away.iter().map(|(_, by)| *by).max() else {
        return;
    };
    let last = screen.moment().short(last);
    match away.as_slice() {
        [] => {}
        [(host, _)] => screen.warning(&format!(
            "{host} is not connected: its lease ends by {last} at the latest"
        )),
        [(host, _), others @ ..] => screen.warning(&format!(
            "{host} and {} other hosts are not connected: their leases end by {last} at the latest",
            others.len()
        )),
    }
}
