//! Windows: what is written is what is meant, also where a clock is changed, and points in time say the same.

use jiff::Timestamp;
use proptest::prelude::*;

use super::{FlagName, Flags, Met, Span, UnixMs, When, Window, WindowError, point};

fn window(text: &str) -> Window {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn unix(text: &str) -> UnixMs {
    let at: Timestamp = text.parse().unwrap();
    UnixMs(u64::try_from(at.as_millisecond()).unwrap())
}

fn contains(text: &str, at: &str) -> bool {
    window(text).contains(unix(at))
}

#[test]
fn what_is_no_window_is_refused_with_what_to_write_instead() {
    for (text, remedy) in [
        ("", "write `Mon-Fri"),
        ("UTC", "write `Mon-Fri"),
        ("sometimes UTC", "write `Mon-Fri"),
        ("Mon-Fri 09:00-17:00", "name a zone"),
        ("Fri 16:00 - Mon 08:00", "name a zone"),
        ("2026-12-24 - 2026-12-26", "name a zone"),
        ("Mon-Fri 9:00-17:00 UTC", "write `Mon-Fri"),
        ("Mon-Fri 09:00-24:01 UTC", "write `Mon-Fri"),
        ("Mon-Fri 09:60-17:00 UTC", "write `Mon-Fri"),
        ("Mon-Fri 24:00-01:00 UTC", "a whole day"),
        ("Mon-Fri 09:00-09:00 UTC", "a whole day"),
        ("Mon-Fri +9:00-17:00 UTC", "write `Mon-Fri"),
        ("Mo-Fr 09:00-17:00 UTC", "write `Mon-Fri"),
        ("Fri 16:00 - Fri 16:00 UTC", "a whole day"),
        ("2026-12-26 - 2026-12-24 UTC", "a whole day"),
        ("2026-02-30 - 2026-03-01 UTC", "write `Mon-Fri"),
        ("2026-12-24 18:00 - 2026-12-24 18:00 UTC", "a whole day"),
        (
            "daily 09:00-17:00 Europe/Berlim",
            "did you mean `Europe/Berlin`?",
        ),
        ("daily 09:00-17:00 Nowhere/Atall", "name a zone"),
        ("daily 09:00-17:00 ../../etc/passwd", "write `Mon-Fri"),
        ("daily 09:00-17:00 \u{1b}[2J", "write `Mon-Fri"),
    ] {
        let error = text.parse::<Window>().unwrap_err();
        assert!(error.remedy().contains(remedy), "{text:?}: {error:?}");
        assert!(!error.to_string().contains('\u{1b}'), "{text:?}");
    }
    assert!(matches!(
        "daily 09:00-17:00 Europe/Berlim".parse::<Window>(),
        Err(WindowError::Zone(..))
    ));
}

#[test]
fn a_window_has_its_beginning_and_not_its_end() {
    // 2026-11-27 is a Friday; Berlin is an hour ahead then.
    let freeze = "Fri 16:00 - Mon 08:00 Europe/Berlin";
    assert!(!contains(freeze, "2026-11-27T14:59:59.999Z"));
    assert!(contains(freeze, "2026-11-27T15:00:00Z"));
    assert!(contains(freeze, "2026-11-30T06:59:59.999Z"));
    assert!(!contains(freeze, "2026-11-30T07:00:00Z"));
    let office = "Mon-Fri 09:00-17:00 America/New_York";
    assert!(!contains(office, "2026-11-30T13:59:00Z"));
    assert!(contains(office, "2026-11-30T14:00:00Z"));
    assert!(!contains(office, "2026-11-30T22:00:00Z"));
    assert!(!contains(office, "2026-11-29T15:00:00Z"), "Sunday");
}

#[test]
fn a_window_over_midnight_belongs_to_the_day_on_which_it_begins() {
    let night = "Fri 22:00-06:00 UTC";
    assert!(contains(night, "2026-11-27T23:00:00Z"));
    assert!(contains(night, "2026-11-28T05:59:00Z"));
    assert!(
        !contains(night, "2026-11-27T05:00:00Z"),
        "of Thursday's night"
    );
    // The week ends in the middle of it.
    let sunday = "Sun 22:00-06:00 UTC";
    assert!(contains(sunday, "2026-11-30T01:00:00Z"));
    assert!(!contains(sunday, "2026-11-29T01:00:00Z"));
    assert!(contains("Sun 00:00-24:00 UTC", "2026-11-29T23:59:59Z"));
    assert!(!contains("Sun 00:00-24:00 UTC", "2026-11-30T00:00:00Z"));
}

#[test]
fn days_of_a_period_are_whole_and_the_last_is_among_them() {
    let days = "2026-12-24 - 2026-12-26 Europe/Berlin";
    assert!(!contains(days, "2026-12-23T22:59:59Z"));
    assert!(contains(days, "2026-12-23T23:00:00Z"));
    assert!(contains(days, "2026-12-26T22:59:59Z"));
    assert!(!contains(days, "2026-12-26T23:00:00Z"));
}

#[test]
fn what_the_clock_shows_counts_where_it_is_changed() {
    // Berlin: 2026-10-25 has the hour from 02:00 twice, 2026-03-29 has none.
    let twice = "daily 02:15-02:30 Europe/Berlin";
    assert!(contains(twice, "2026-10-25T00:20:00Z"));
    assert!(!contains(twice, "2026-10-25T00:40:00Z"));
    assert!(contains(twice, "2026-10-25T01:20:00Z"));
    assert!(!contains(twice, "2026-03-29T01:20:00Z"));
    assert!(contains(
        "daily 02:30-03:30 Europe/Berlin",
        "2026-03-29T01:00:00Z"
    ));
}

#[test]
fn clocks_that_differ_only_may_be_in_a_window() {
    let windows = vec![window("daily 09:00-17:00 UTC")];
    let (night, day) = (unix("2026-11-29T08:59:00Z"), unix("2026-11-29T09:00:00Z"));
    for (outside, of_night) in [(false, Met::No), (true, Met::Yes)] {
        let when = When {
            windows: windows.clone(),
            outside,
            ..When::default()
        };
        assert_eq!(when.met(Some([night, night]), None), of_night);
        assert_ne!(when.met(Some([day, day]), None), of_night);
        assert_eq!(when.met(Some([night, day]), None), Met::Maybe);
        assert_eq!(when.met(Some([day, night]), None), Met::Maybe);
        assert_eq!(when.met(None, None), Met::Maybe);
    }
}

#[test]
fn a_bound_on_spans_ends_what_is_known_and_loses_none() {
    let when = When {
        windows: vec![window("daily 09:00-17:00 UTC")],
        outside: false,
        ..When::default()
    };
    let known = Span {
        from: 0,
        to: 10 * 86_400,
    };
    let all = when.spans(known, 10);
    assert_eq!((all.counts.len(), all.known), (10, known));
    let some = when.spans(known, 3);
    assert_eq!(some.counts, all.counts[..3]);
    assert_eq!(some.known.to, all.counts[3].from);
}

const ZONES: [&str; 8] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe", // half an hour of summer
    "Asia/Kathmandu",
    "Pacific/Apia",
    "Africa/Casablanca", // changes around Ramadan
    "America/St_Johns",
];
const DAYS: [&str; 6] = ["daily", "Mon-Fri", "Sat,Sun", "Sun", "Fri-Mon", "Wed"];

fn any_window() -> impl Strategy<Value = String> {
    let zone = prop::sample::select(ZONES.as_slice());
    let clock = || (0..24u8, prop::sample::select([0u8, 15, 30, 59].as_slice()));
    let times = (clock(), clock());
    let kind = prop_oneof![
        prop::sample::select(DAYS.as_slice()).prop_map(|days| (
            days.to_owned(),
            "-".to_owned(),
            String::new()
        )),
        (0..7usize, 0..7usize).prop_map(|(first, last)| {
            let names = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
            (
                names[first].to_owned(),
                " - ".to_owned(),
                format!("{} ", names[last]),
            )
        }),
        (1..29u8, 1..13u8, 0..9u8).prop_map(|(day, month, more)| {
            let last = (day + more).min(28);
            (
                format!("2026-{month:02}-{day:02}"),
                " - ".to_owned(),
                format!("2026-{month:02}-{last:02} "),
            )
        }),
    ];
    (kind, times, zone).prop_map(|((first, between, last), (from, to), zone)| {
        let ((h, m), (hh, mm)) = (from, to);
        format!("{first} {h:02}:{m:02}{between}{last}{hh:02}:{mm:02} {zone}")
    })
}

/// A year in which every zone changes its clock, and both ends of it.
fn any_time() -> impl Strategy<Value = i64> {
    let begin = unix("2026-01-01T00:00:00Z").0.cast_signed() / 1_000;
    begin..begin + 366 * 86_400
}

#[test]
fn points_in_time_say_what_the_clocks_say() {
    let cases = (
        prop::collection::vec(any_window(), 1..4),
        any::<bool>(),
        any_time(),
        prop::collection::vec(0i64..9 * 86_400, 30),
    );
    crate::seeded::over(3_000, &cases, |(texts, outside, from, offsets)| {
        let windows: Vec<Window> = texts.iter().filter_map(|text| text.parse().ok()).collect();
        prop_assume!(!windows.is_empty());
        for window in &windows {
            prop_assert_eq!(window, &self::window(&window.to_string()));
        }
        let when = When {
            windows,
            outside,
            ..When::default()
        };
        let known = Span {
            from,
            to: from + 9 * 86_400,
        };
        let spans = when.spans(known, usize::MAX);
        prop_assert_eq!(spans.known, known);
        prop_assert!(spans.counts.windows(2).all(|two| two[0].to < two[1].from));
        let ends = spans
            .counts
            .iter()
            .flat_map(|span| [span.from - 1, span.from, span.to - 1, span.to]);
        let times = offsets.iter().map(|offset| from + offset).chain(ends);
        for at in times.filter(|at| known.from <= *at && *at < known.to) {
            let inside = spans
                .counts
                .iter()
                .any(|span| span.from <= at && at < span.to);
            let unix = UnixMs(at.cast_unsigned() * 1_000);
            let expected = if inside { Met::Yes } else { Met::No };
            prop_assert_eq!(
                when.met(Some([unix; 2]), None),
                expected,
                "{} at {}",
                texts.join("; "),
                at
            );
        }
        Ok(())
    });
}

#[test]
fn a_point_in_time_is_read_with_its_zone_and_shown_nowhere_where_a_clock_skips_it() {
    let utc = |text: &str| point(text).map(|at| at.to_string());
    assert_eq!(
        utc("2026-11-27 18:00 Europe/Berlin").as_deref(),
        Ok("2026-11-27T17:00:00.000Z")
    );
    assert_eq!(
        utc("2026-11-27 24:00 UTC").as_deref(),
        Ok("2026-11-28T00:00:00.000Z")
    );
    for text in [
        "",
        "2026-11-27 18:00",
        "2026-11-27 UTC",
        "Fri 18:00 UTC",
        "2026-11-27 18:00 Nowhere/Atall",
        "2026-03-29 02:30 Europe/Berlin", // skipped
        "1969-12-31 23:00 UTC",
        "2026-11-27 18:00 UTC UTC",
    ] {
        assert!(point(text).is_err(), "{text}");
    }
}

#[test]
fn examples_of_a_rule_that_does_not_always_count_have_both() {
    for text in [
        "daily 09:00-17:00 UTC",
        "Fri 16:00 - Mon 08:00 Europe/Berlin",
        "2026-12-24 - 2026-12-26 Pacific/Apia",
        "Sun 00:00-00:01 America/St_Johns",
    ] {
        for outside in [false, true] {
            let when = When {
                windows: vec![window(text)],
                outside,
                ..When::default()
            };
            let met: Vec<Met> = when
                .examples()
                .iter()
                .map(|at| when.met(Some([*at; 2]), None))
                .collect();
            assert!(met.contains(&Met::Yes), "{text} {outside} {met:?}");
            assert!(met.contains(&Met::No), "{text} {outside} {met:?}");
        }
    }
}

#[test]
fn examples_of_a_period_of_thousands_of_years_are_found_at_once() {
    let daily = (0..7).map(|hour| window(&format!("daily 0{hour}:00-0{hour}:01 UTC")));
    let when = When {
        windows: std::iter::once(window("1900-01-01 - 9999-12-30 America/New_York"))
            .chain(daily)
            .collect(),
        outside: false,
        ..When::default()
    };
    assert!(when.examples().len() <= 6);
}

fn flagged(windows: &[&str]) -> When {
    When {
        windows: windows.iter().map(|text| window(text)).collect(),
        flags: vec!["busy".parse().unwrap(), "incident".parse().unwrap()],
        ..When::default()
    }
}

fn flags(set: &[(&str, u64)]) -> Flags {
    let each = set.iter();
    each.map(|(name, until)| (name.parse().unwrap(), UnixMs(*until)))
        .collect()
}

#[test]
fn a_flag_counts_while_it_is_set_and_perhaps_where_nobody_says() {
    let (night, day) = (unix("2026-11-29T03:00:00Z"), unix("2026-11-29T12:00:00Z"));
    let set = |names: &[&str]| -> Vec<FlagName> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    };
    let (none, other, one) = (set(&[]), set(&["other"]), set(&["other", "incident"]));
    let only = flagged(&[]);
    let nightly = flagged(&["daily 00:00-06:00 UTC"]);
    for (when, at, of_none) in [
        (&only, night, Met::No),
        (&only, day, Met::No),
        (&nightly, night, Met::Yes),
        (&nightly, day, Met::No),
    ] {
        let met = |flags| when.met(Some([at; 2]), flags);
        assert_eq!(met(Some(&none[..])), of_none);
        assert_eq!(met(Some(&other[..])), of_none);
        assert_eq!(met(Some(&one[..])), Met::Yes);
        assert_eq!(met(None), Met::Maybe);
    }
    assert_eq!(only.met(None, Some(&none)), Met::No, "no clock is asked");
    assert_eq!(only.met(None, Some(&one)), Met::Yes);
    assert_eq!(
        nightly.to_string(),
        "daily 00:00-06:00 UTC, or while `busy` or `incident` is set"
    );
}

#[test]
fn a_flag_ends_by_itself_and_the_last_of_several_counts() {
    let noon = unix("2026-11-29T12:00:00Z");
    let seconds = noon.0 / 1_000;
    let set = flags(&[
        ("busy", noon.0 + 5_000),
        ("incident", noon.0 + 9_001),
        ("other", u64::MAX),
    ]);
    let when = flagged(&["daily 00:00-06:00 UTC"]).resolved(&set);
    assert_eq!(when.until, Some(UnixMs(noon.0 + 9_001)));
    let met = |at: u64| when.met(Some([UnixMs(at); 2]), None);
    assert_eq!(met(noon.0 + 9_000), Met::Yes);
    assert_eq!(met(noon.0 + 9_001), Met::No);
    let from = i64::try_from(seconds).unwrap();
    let known = Span {
        from,
        to: from + 86_400,
    };
    let spans = when.spans(known, usize::MAX).counts;
    let midnight = from + 12 * 3_600;
    let expected = [(from, from + 10), (midnight, midnight + 6 * 3_600)];
    let expected = expected.map(|(from, to)| Span { from, to });
    assert_eq!(spans, expected, "the second in which it ends counts");
    let unset = flagged(&[]).resolved(&flags(&[("other", u64::MAX)]));
    assert_eq!(unset.met(Some([noon; 2]), None), Met::No);
    assert!(unset.spans(known, usize::MAX).counts.is_empty());
}
