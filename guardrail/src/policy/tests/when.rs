//! When rules count: what is refused, what is warned about, and what a permission is worth meanwhile.

use super::{Revision, Versioned, check, compile, document, lines, parse, refused};

fn source(calendar: &str, when: &str) -> String {
    document(&format!(
        "subjects: {{ groups: [dev] }}\n{calendar}permissions: {{ p: {{ exec: {{ path: /a }} }} }}\nrules:\n  - {{ id: a, effect: deny, \
         permission: p, when: {when} }}"
    ))
}

#[test]
fn what_no_rule_can_count_in_is_refused() {
    for (when, words) in [
        ("{}", "this one has none of them"),
        (
            "{ windows: [\"daily 01:00-02:00 UTC\"], outside: [\"daily 01:00-02:00 UTC\"] }",
            "`outside` stands alone",
        ),
        ("[]", "when is a list, not a mapping"),
        ("{ windows: [] }", "windows is an empty list"),
        ("{ windows: {} }", "a value or a list of values"),
        ("{ windows: holidays }", "did you mean `holiday`?"),
        ("{ windows: \"Mon-Fri 09:00-17:00\" }", "no time zone"),
        (
            "{ windows: \"Mon-Fri 09:00-17:00 Europe/Berlim\" }",
            "did you mean `Europe/Berlin`?",
        ),
        ("{ windows: \"Mon-Fri 17:00-17:00 UTC\" }", "a whole day is"),
        (
            "{ windows: [holiday, holiday, holiday, holiday, holiday] }",
            "10 windows, more than the 8",
        ),
        ("{ window: holiday }", "did you mean `windows`?"),
        ("{ flags: [] }", "flags is an empty list"),
        ("{ flags: [Busy] }", "is not a flag name"),
        ("{ flags: [busy, busy] }", "twice"),
        (
            "{ flags: busy, outside: [\"daily 01:00-02:00 UTC\"] }",
            "`outside` stands alone",
        ),
        ("{ flag: busy }", "did you mean `flags`?"),
    ] {
        let calendar = "calendar: { holiday: [\"2026-12-24 - 2026-12-26 UTC\", \"2027-01-01 - 2027-01-01 UTC\"] }\n";
        refused(&source(calendar, when), words);
    }
    for (calendar, words) in [
        ("calendar: []\n", "calendar is a list"),
        ("calendar: {}\n", "not between 1 and 100"),
        ("calendar: { a: tomorrow }\n", "`tomorrow` is no window"),
        (
            "calendar: { A: \"daily 01:00-02:00 UTC\" }\n",
            "not a period name",
        ),
        (
            "calendar: { a: \"daily 01:00-02:00 UTC\", a: \"daily 01:00-03:00 UTC\" }\n",
            "twice",
        ),
    ] {
        let when = "{ windows: \"daily 01:00-02:00 UTC\" }";
        refused(&source(calendar, when), words);
    }
}

#[test]
fn a_period_that_no_rule_names_is_warned_about() {
    let calendar = "calendar: { idle: \"2026-12-24 - 2026-12-26 UTC\", used: \"2027-01-01 - 2027-01-01 UTC\" }\n";
    let policy = parse(&source(calendar, "{ windows: used }")).unwrap();
    let about: Vec<String> = check(&policy).iter().map(ToString::to_string).collect();
    let periods = about
        .iter()
        .filter(|text| text.contains("no rule names period"));
    assert_eq!(periods.count(), 1, "{about:?}");
    assert!(
        about.iter().any(|text| text.contains("`idle`")),
        "{about:?}"
    );
}

#[test]
fn more_different_times_than_the_kernel_has_room_for_are_refused() {
    let policy = |count: usize| {
        let rule = |index: usize| {
            let (hour, minute) = (index / 60, index % 60);
            format!(
                "{{ id: r{index}, effect: deny, exec: {{ path: /p{index} }}, when: {{ windows: \"daily {hour:02}:{minute:02}-23:59 UTC\" }} }}"
            )
        };
        let rules = lines("  - ", (0..count).map(rule));
        let source = document(&format!("subjects: {{ groups: [dev] }}\nrules:\n{rules}"));
        let policy = parse(&source).unwrap();
        compile(&[Versioned {
            revision: Revision(1),
            policy,
        }])
    };
    assert!(policy(63).is_ok());
    let errors = policy(64).unwrap_err();
    assert!(
        errors[0].to_string().contains("64 different `when`s"),
        "{errors:?}"
    );
}
