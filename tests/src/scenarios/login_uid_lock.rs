//! The shipped configuration locks the kernel's login uid. Nothing undoes that before the next boot, so this file
//! is the last in the registry.

use anyhow::{Result, ensure};

use super::service::{self, POLICY};
use crate::host::{Config, Host};
use crate::login::Session;
use crate::scenario::{Ctx, Scenario};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[Scenario::new(
    "a_set_login_uid_is_locked_even_for_root_whom_no_policy_guards",
    locked,
)
.bare()];

/// As root, whom `su` made of bob.
const CLEAR: &str = "su -c 'echo 4294967295 > /proc/self/loginuid; cat /proc/self/loginuid; echo'";

fn locked(ctx: &mut Ctx) -> Result<()> {
    service::programs()?;
    ctx.step("without the lock, root clears it");
    let mut bob = Session::login("bob")?;
    ensure!(
        bob.run(CLEAR)?.has_line("4294967295"),
        "root could not clear a login uid without the lock"
    );
    ctx.step("an agent with the shipped configuration");
    let config = Config {
        agent: String::new(),
        ..Config::policy(POLICY)
    };
    let host = Host::boot(&config)?;
    ensure!(
        bob.run(CLEAR)?.has_line("1002"),
        "root cleared a login uid in spite of the lock"
    );
    ctx.step("logins go on");
    service::denied(&mut Session::login("alice")?)?;
    drop(host);
    Ok(())
}
