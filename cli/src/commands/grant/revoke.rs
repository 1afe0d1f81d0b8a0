//! `stayhand grant revoke`: takes a grant back and waits until it is out of every kernel.

use stayhand_guardrail::text::safe;

use super::read::listing;
use crate::{
    args::{Global, grant_id, reason},
    failure::Failure,
    screen::Screen,
    view::Grant,
};

/// Take a grant back at once
///
/// Waits until every online host has it out of its kernel. On a host that is not online it ends with its time box.
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

/// A revocation reaches a host that is not there only by time.
fn say_until_when(grant: &Grant, screen: &Screen) {
    let Some(end) = grant.expire_time else { return };
    let away = grant
        .enforcement
        .iter()
        .filter(|host| !host.online && !host.done());
    let away: Vec<String> = away.map(|host| safe(&host.host)).collect();
    let end = screen.moment().short(end);
    match away.as_slice() {
        [] => {}
        [host] => screen.warning(&format!(
            "{host} is not connected: its lease ends by {end} at the latest"
        )),
        [host, others @ ..] => screen.warning(&format!(
            "{host} and {} other hosts are not connected: their leases end by {end} at the latest",
            others.len()
        )),
    }
}
