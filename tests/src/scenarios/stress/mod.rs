//! Under load: while names, directories, mounts and policies change all the time, nothing that is restricted is ever
//! reached, and what is free is never denied where that is sure.
//!
//! Invariants, never times. Every run has a seed of its own, which it prints; `cargo xtask vm --seed N` repeats the order
//! of its steps (not the moments at which processors take turns).

mod known;
mod machine;
mod mounts;
mod names;
mod nowhere;
mod policies;

use crate::scenario::{LIMIT_LONG, Scenario};

/// This directory's scenarios. They share one host, whose agent is alive.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new(
        "a_known_directory_that_moves_under_load_is_restricted_exactly_where_it_is",
        known::moves,
    )
    .group("stress")
    .limit(LIMIT_LONG),
    Scenario::new(
        "names_and_links_that_change_under_load_never_open_a_denied_file",
        names::replaced,
    )
    .group("stress"),
    Scenario::new(
        "what_appears_under_load_below_a_denied_directory_is_denied_at_once",
        names::appears,
    )
    .group("stress"),
    Scenario::new(
        "mounts_that_come_and_go_under_load_never_open_a_denied_file",
        mounts::come_and_go,
    )
    .group("stress")
    .limit(LIMIT_LONG),
    Scenario::new(
        "policies_that_change_under_load_restrict_exactly_what_they_name",
        policies::change,
    )
    .group("stress")
    .limit(LIMIT_LONG),
    Scenario::new(
        "another_node_of_a_denied_device_is_another_file",
        nowhere::device,
    )
    .group("stress"),
    Scenario::new(
        "a_program_in_memory_is_met_by_rules_on_everything",
        nowhere::program,
    )
    .group("stress"),
];
