//! A wrong configuration is refused with place and remedy; the shipped example is right.

use std::path::Path;

use super::*;

fn refused(text: &str) -> String {
    parse(Path::new("agent.toml"), text)
        .expect_err("must be refused")
        .to_string()
}

#[test]
fn unknown_key_is_refused_with_line_and_suggestion() {
    let said = refused("[kernel]\nlock_login_id = true\n");
    assert!(said.starts_with("agent.toml:2:1: unknown field"), "{said}");
    assert!(said.ends_with("did you mean `lock_login_uid`?"), "{said}");
}

#[test]
fn unknown_section_far_from_any_gets_no_suggestion() {
    let said = refused("[telemetry]\nx = 1\n");
    assert!(
        said.contains("unknown field") && !said.contains("did you mean"),
        "{said}"
    );
}

#[test]
fn wrong_type_broken_syntax_and_hostile_keys_are_refused_with_a_line() {
    for text in [
        "[holds]\nper_subject_max = \"many\"",
        "\n[holds",
        "\"a\\u001b[2J\" = 1",
    ] {
        let said = refused(text);
        assert!(said.starts_with("agent.toml:"), "{said}");
        assert!(!said.contains('\u{1b}'), "{said:?}");
    }
}

#[test]
fn senseless_values_are_refused_by_key() {
    let cases = [
        ("[kernel]\nobject = \"hooks.o\"", "kernel.object"),
        (
            "[state]\nspool_bytes_max = \"1KiB\"",
            "state.spool_bytes_max",
        ),
        ("[holds]\nper_subject_max = 0", "holds.per_subject_max"),
        ("[holds]\nper_subject_max = 100000", "holds.per_subject_max"),
        ("[holds]\nrestops_max = 0", "holds.restops_max"),
        (
            "[subjects]\nresolve_every = \"1ms\"",
            "subjects.resolve_every",
        ),
    ];
    for (text, key) in cases {
        let said = refused(text);
        assert!(said.contains(&format!("`{key}`")), "{said}");
    }
}

#[test]
fn sizes_without_a_unit_or_beyond_the_range_are_refused() {
    for text in ["", "12", "1.5MiB", "-1B", "9999999999999GiB", "1MB"] {
        assert!(text.parse::<Bytes>().is_err(), "{text}");
    }
    assert_eq!("4MiB".parse(), Ok(Bytes(4 << 20)));
    assert_eq!(Bytes(4 << 20).to_string(), "4MiB");
}

#[test]
fn a_file_that_was_asked_for_must_exist() {
    let missing = Path::new("/nonexistent/agent.toml");
    assert!(matches!(
        load(missing, false),
        Err(ConfigError::Unreadable { .. })
    ));
    assert_eq!(load(missing, true).unwrap().config, Config::default());
}

#[test]
fn a_pattern_with_conditions_is_read_and_an_unknown_condition_is_refused() {
    let text = "[redact]\npatterns = [{ argument = \"^--pin$\", hides_next = true, program = \"vault\" }]\n";
    let loaded = parse(Path::new("agent.toml"), text).unwrap();
    let pattern = &loaded.config.redact.patterns[0];
    assert!(pattern.hides_next && pattern.program.as_deref() == Some("vault"));
    let printed = print(&loaded);
    assert_eq!(
        parse(Path::new("printed"), &printed).unwrap().config,
        loaded.config,
        "{printed}"
    );
    let said = refused(&text.replace("hides_next", "hide_next"));
    assert!(said.starts_with("agent.toml:2:"), "{said}");
    assert!(said.ends_with("did you mean `hides_next`?"), "{said}");
}

#[test]
fn what_is_printed_is_read_back_the_same_and_names_origins() {
    let text = "[holds]\nrestops_max = 7\n";
    let loaded = parse(Path::new("agent.toml"), text).unwrap();
    let printed = print(&loaded);
    assert!(printed.contains("restops_max = 7 # file"), "{printed}");
    assert!(
        printed.contains("per_subject_max = 32 # default"),
        "{printed}"
    );
    assert_eq!(
        parse(Path::new("printed"), &printed).unwrap().config,
        loaded.config
    );
}

#[test]
fn the_shipped_example_says_exactly_the_defaults() {
    let example = include_str!("../../../packaging/agent.toml");
    let loaded = parse(Path::new("packaging/agent.toml"), example).unwrap();
    assert_eq!(loaded.config, Config::default());
}
