//! The kernel's own guards, taken on by the puppet itself: what Stayhand's cost is compared with.

use landlock::{
    ABI, Access as _, AccessFs, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetError,
    RulesetStatus, path_beneath_rules,
};

use super::sys::Ret;

/// The first kernels that are measured on have this one.
const LANDLOCK: ABI = ABI::V2;

/// Changes to a loaded AppArmor profile.
pub fn apparmor(profile: &str) -> Ret {
    let words = format!("changeprofile {profile}");
    match std::fs::write("/proc/thread-self/attr/apparmor/current", words) {
        Ok(()) => 0,
        Err(error) => -Ret::from(error.raw_os_error().unwrap_or(libc::EIO)),
    }
}

/// Gives up everything but what lies on or below these paths.
pub fn landlock(paths: &[&str]) -> Ret {
    match restrict(paths) {
        Ok(RulesetStatus::FullyEnforced) => 0,
        Ok(_) => -Ret::from(libc::EOPNOTSUPP),
        Err(_) => -Ret::from(libc::EINVAL),
    }
}

fn restrict(paths: &[&str]) -> Result<RulesetStatus, RulesetError> {
    let all = AccessFs::from_all(LANDLOCK);
    let ruleset = Ruleset::default().handle_access(all)?.create()?;
    let ruleset = ruleset.add_rules(path_beneath_rules(paths, all))?;
    Ok(ruleset.restrict_self()?.ruleset)
}
