//! Conditions that the kernel asks the agent about: regular expressions and hashes. The call waits without being
//! stopped, is judged by the answer, and by *perhaps* where there is none.

mod files;
mod machine;
mod nobody;
mod words;

use crate::scenario::Scenario;

/// This directory's scenarios. They share one host; the last ones kill its agent.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new(
        "a_regular_expression_is_met_wherever_its_text_stands",
        words::judged,
    )
    .group("facts"),
    Scenario::new(
        "a_hold_by_a_regular_expression_waits_for_a_person_as_any_other",
        words::held,
    )
    .group("facts"),
    Scenario::new(
        "nobody_sees_a_stop_of_a_call_that_waits_for_a_fact",
        words::unseen,
    )
    .group("facts"),
    Scenario::new(
        "arguments_changed_while_they_are_asked_about_never_reach_a_program",
        words::changed,
    )
    .group("facts"),
    Scenario::new(
        "a_flood_of_questions_makes_nobody_elses_facts_unknown",
        words::flood,
    )
    .group("facts"),
    Scenario::new(
        "a_program_is_denied_by_its_content_under_every_name",
        files::by_content,
    )
    .group("facts"),
    Scenario::new(
        "a_loader_maps_no_program_that_is_denied_by_its_content",
        files::mapped,
    )
    .group("facts"),
    Scenario::new(
        "a_grant_on_one_build_of_a_program_covers_no_other",
        files::granted,
    )
    .group("facts"),
    Scenario::new(
        "a_denied_content_never_runs_however_often_the_file_is_rewritten",
        files::rewritten,
    )
    .group("facts"),
    Scenario::new(
        "without_an_agent_what_it_would_tell_restricts_and_the_rest_goes_on",
        nobody::killed,
    )
    .group("facts"),
    Scenario::new(
        "a_signal_ends_a_call_that_waits_for_a_fact",
        nobody::signalled,
    )
    .group("facts")
    .on_any_kernel(),
];
