//! The registry: every scenario of every file below this directory, in the order in which they run.

mod acceptance;
mod agreement;
mod ancestry;
mod approvals;
mod bypass_agent;
mod bypass_files;
mod bypass_identity;
mod bypass_labels;
mod bypass_net;
mod bypass_paths;
mod defaults;
mod exec_args;
mod facts;
pub mod filesystems;
mod flags;
mod floor;
mod freshness;
mod guest;
mod hold_agent;
mod hold_calls;
mod hold_changes;
mod hold_changes_files;
mod hold_context;
mod hold_creation;
mod hold_files;
mod hold_moments;
mod hold_other_calls;
mod hold_signals;
mod hold_unlisted;
mod hold_wakeups;
mod kernel_bounds;
mod kernel_clocks;
mod kernel_flip;
mod locks;
mod login_uid_lock;
mod losses;
mod members;
mod mounts;
mod not_enforced;
mod open_names;
mod overlay;
mod places;
mod presets;
mod profiles;
mod rates;
mod removal;
mod rollouts;
mod schedules;
mod service;
mod service_agent;
mod service_errors;
mod service_ready;
mod service_restart;
mod service_state;
mod service_text;
mod services;
mod sockets;
mod story;
mod stress;
mod system;
mod workloads;

use crate::scenario::{Boot, Scenario};

/// One list per file; a file that is not named here fails the check of the tree.
const LISTS: &[&[Scenario]] = &[
    freshness::SCENARIOS,
    guest::SCENARIOS,
    story::SCENARIOS,
    service::SCENARIOS,
    service_errors::SCENARIOS,
    service_ready::SCENARIOS,
    service_restart::SCENARIOS,
    service_state::SCENARIOS,
    service_text::SCENARIOS,
    not_enforced::SCENARIOS,
    service_agent::SCENARIOS,
    open_names::SCENARIOS,
    hold_calls::SCENARIOS,
    hold_files::SCENARIOS,
    hold_other_calls::SCENARIOS,
    hold_unlisted::SCENARIOS,
    hold_changes::SCENARIOS,
    hold_changes_files::SCENARIOS,
    hold_context::SCENARIOS,
    hold_creation::SCENARIOS,
    overlay::SCENARIOS,
    filesystems::SCENARIOS,
    flags::SCENARIOS,
    floor::SCENARIOS,
    profiles::SCENARIOS,
    acceptance::SCENARIOS,
    places::SCENARIOS,
    presets::SCENARIOS,
    schedules::SCENARIOS,
    rates::SCENARIOS,
    removal::SCENARIOS,
    rollouts::SCENARIOS,
    losses::SCENARIOS,
    defaults::SCENARIOS,
    services::SCENARIOS,
    sockets::SCENARIOS,
    hold_signals::SCENARIOS,
    kernel_bounds::SCENARIOS,
    bypass_files::SCENARIOS,
    bypass_net::SCENARIOS,
    bypass_paths::SCENARIOS,
    hold_wakeups::SCENARIOS,
    bypass_identity::SCENARIOS,
    agreement::SCENARIOS,
    kernel_flip::SCENARIOS,
    kernel_clocks::SCENARIOS,
    system::SCENARIOS,
    members::SCENARIOS,
    locks::SCENARIOS,
    mounts::SCENARIOS,
    bypass_agent::SCENARIOS,
    bypass_labels::SCENARIOS,
    exec_args::SCENARIOS,
    facts::SCENARIOS,
    ancestry::SCENARIOS,
    approvals::SCENARIOS,
    stress::SCENARIOS,
    workloads::SCENARIOS,
    hold_agent::SCENARIOS,
    hold_moments::SCENARIOS,
    // Last: it locks what others change, until the next boot.
    login_uid_lock::SCENARIOS,
];

/// All of them.
pub fn all() -> impl Iterator<Item = &'static Scenario> {
    LISTS.iter().copied().flatten()
}

/// The names that fall to this part of how many, of those that one kernel is enough for. Dealt out one by one, as the
/// host does (xtask/src/vm/suite.rs), so that neighbours of about the same length are spread; those that need the boot
/// with programs fall to the last part together.
pub fn shared((part, of): (usize, usize)) -> Vec<&'static str> {
    let any = || all().filter(|scenario| scenario.any_kernel);
    let with_programs = |scenario: &&Scenario| scenario.boot == Boot::WithPrograms;
    let dealt = any()
        .filter(|scenario| !with_programs(scenario))
        .enumerate()
        .filter(|(index, _)| index % of.max(1) == part)
        .map(|(_, scenario)| scenario);
    let together = any().filter(|scenario| with_programs(scenario) && part + 1 == of.max(1));
    dealt
        .chain(together)
        .map(|scenario| scenario.name)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn names_are_unique_words() {
        let mut seen = BTreeSet::new();
        for scenario in all() {
            let words = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            assert!(scenario.name.chars().all(words), "{}", scenario.name);
            assert!(seen.insert(scenario.name), "twice: {}", scenario.name);
        }
    }

    #[test]
    fn every_file_of_scenarios_is_in_the_registry() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/scenarios");
        let source = std::fs::read_to_string(here.join("mod.rs")).unwrap();
        for entry in std::fs::read_dir(here).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let stem = name.strip_suffix(".rs").unwrap_or(&name);
            assert!(
                stem == "mod" || source.contains(&format!("{stem}::SCENARIOS")),
                "{stem} is not registered"
            );
        }
    }
}
