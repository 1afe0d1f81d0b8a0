//! `stayhand grant create`: issues a grant and waits until it is enforced, not merely accepted.

use stayhand_guardrail::{
    id::{HostId, PermissionName, UserName},
    key::PermissionRef,
    limits::{GRANT_DURATION_MAX, GRANT_DURATION_MIN},
    time::DurationMs,
};
use uuid::Uuid;

use crate::{
    args::{Global, profile_name, profile_value, reason},
    client::NewGrant,
    failure::Failure,
    screen::Screen,
};

/// Give somebody a permission or a profile for a while
///
/// Waits until every online host has it in its kernel; exits 6 and names the hosts when that takes longer than
/// --timeout. The grant is there all the same, and ends by itself even with no agent and no control plane alive.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stayhand grant create --user alice --permission prod-db --for 30m --reason 'INC-17: slow query'
  stayhand grant create --user alice --permission baseline/nginx --for 1h30m --reason INC-18 -o name
  stayhand grant create --user alice --profile care --with service=nginx --for 2h --reason INC-19")]
pub(crate) struct Create {
    /// Login name of the person
    #[arg(long, value_name = "NAME")]
    user: UserName,
    /// What to permit: NAME, or POLICY/NAME where several policies have that name; repeatable
    #[arg(long, required_unless_present = "profile", value_name = "NAME", value_parser = permission)]
    permission: Vec<String>,
    /// In the place of permissions, what a profile gives: NAME, or POLICY/NAME where several policies have that name
    #[arg(long, conflicts_with = "permission", value_name = "NAME", value_parser = profile_name)]
    profile: Option<String>,
    /// A value of one of the profile's parameters; repeatable
    // Beside permissions clap would not ask for the profile.
    #[arg(
        long = "with",
        requires = "profile",
        conflicts_with = "permission",
        value_name = "NAME=VALUE",
        value_parser = profile_value
    )]
    values: Vec<String>,
    /// Only on this host; repeatable [default: every host that has the permission's policy]
    #[arg(long, value_name = "HOST")]
    host: Vec<HostId>,
    /// For how long, such as 15s, 30m or 1h30m
    #[arg(long = "for", value_name = "DURATION", value_parser = length)]
    length: DurationMs,
    /// Why; kept with the grant and in every event about it
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
    /// Do not wait for the hosts
    #[arg(long)]
    no_wait: bool,
    /// Check everything, change nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(create: &Create, global: &Global, screen: &Screen) -> Result<(), Failure> {
    let control = global.control().await?;
    let new = NewGrant {
        user: create.user.to_string(),
        permissions: create.permission.clone(),
        profile: create.profile.clone(),
        values: create.values.clone(),
        hosts: create.host.iter().map(ToString::to_string).collect(),
        length: create.length,
        reason: create.reason.clone(),
        request_id: Uuid::new_v4().to_string(),
        dry_run: create.dry_run,
    };
    let grant = control.create_grant(new).await?;
    if create.dry_run {
        screen.note("dry run: nothing was changed");
        return screen.one(&grant);
    }
    if create.no_wait {
        return screen.one(&grant);
    }
    let remedy = format!("take it back with: stayhand grant revoke {}", grant.id);
    let (grant, outcome) =
        super::wait(grant, "the grant", remedy, &control, (global, screen)).await;
    screen.one(&grant)?;
    outcome
}

/// Both spellings are checked here, so that a typing error costs no round trip.
fn permission(text: &str) -> Result<String, String> {
    if text.contains('(') {
        return Err("values are given by a profile: --profile NAME --with NAME=VALUE".to_owned());
    }
    let checked = if text.contains('/') {
        text.parse::<PermissionRef>().map(|name| name.to_string())
    } else {
        text.parse::<PermissionName>().map(|name| name.to_string())
    };
    checked.map_err(|error| error.to_string())
}

fn length(text: &str) -> Result<DurationMs, String> {
    let length: DurationMs = text
        .parse()
        .map_err(|error: stayhand_guardrail::time::DurationError| error.to_string())?;
    if length < GRANT_DURATION_MIN {
        return Err(format!("a grant lasts at least {GRANT_DURATION_MIN}"));
    }
    if length > GRANT_DURATION_MAX {
        return Err(format!(
            "a grant lasts at most {GRANT_DURATION_MAX}; a longer need is a change of policy"
        ));
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absurd_durations_are_refused_before_anybody_is_asked() {
        for bad in ["0s", "999ms", "8d", "15", "-5m", "1e9s", "", "366d"] {
            assert!(length(bad).is_err(), "{bad}");
        }
        assert_eq!(length("15s"), Ok(DurationMs::from_secs(15)));
    }

    #[test]
    fn a_permission_is_a_name_with_or_without_its_policy() {
        assert_eq!(permission("prod-db").as_deref(), Ok("prod-db"));
        assert_eq!(permission("base/prod-db").as_deref(), Ok("base/prod-db"));
        for bad in [
            "",
            "/",
            "base/",
            "Prod DB",
            "a/b/c",
            "a\nb",
            "base/logs(service=nginx)",
        ] {
            assert!(permission(bad).is_err(), "{bad:?}");
        }
    }
}
