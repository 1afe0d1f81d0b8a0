//! Windows as points in time, for who can only compare numbers: between two changes of a clock it runs as UTC does.
//!
//! Does not use [`Window::contains`], which it is tested against.

use jiff::{Timestamp, civil::DateTime};

use super::{MINUTES_PER_WEEK, Moment, Period, When, Window};
use crate::time::UnixMs;

const WEEK_S: i64 = MINUTES_PER_WEEK as i64 * 60;
/// 1970 began on a Thursday: the Monday before it.
const MONDAY_S: i64 = -3 * 86_400;

/// Seconds since 1970 (UTC): from the first on, before the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// First second
    pub from: i64,
    /// No longer then
    pub to: i64,
}

/// When a rule counts within a range of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spans {
    /// What is known
    pub known: Span,
    /// In order, apart from each other
    pub counts: Vec<Span>,
}

impl When {
    /// When the rule counts within `known`. At most `most` spans: what is known ends before one more would begin.
    pub fn spans(&self, known: Span, most: usize) -> Spans {
        let mut spans: Vec<Span> = self
            .windows
            .iter()
            .flat_map(|window| window.spans(known))
            .collect();
        spans = merged(spans);
        if self.outside {
            spans = others(&spans, known);
        }
        if let Some(flagged) = self.until.and_then(|until| before(until, known)) {
            spans.push(flagged);
            spans = merged(spans);
        }
        let end = spans.get(most).map_or(known.to, |next| next.from);
        spans.truncate(most);
        Spans {
            known: Span {
                from: known.from,
                to: end,
            },
            counts: spans,
        }
    }
}

/// What of a range is before this, in whole seconds: the last one counts as a whole.
fn before(until: UnixMs, known: Span) -> Option<Span> {
    let end = i64::try_from(until.0.div_ceil(1_000)).unwrap_or(i64::MAX);
    let span = Span {
        from: known.from,
        to: end.min(known.to),
    };
    (span.from < span.to).then_some(span)
}

/// A Monday at midnight, 2024-01-01 (UTC): what comes every week comes in any.
const SOME_MONDAY_S: i64 = 1_704_067_200;
const DAY_S: i64 = 86_400;

impl When {
    /// Times at which the rule counts, and at which it does not: of what comes again in some week, of what comes once around
    /// it.
    pub fn examples(&self) -> Vec<UnixMs> {
        // Its ends, however far they are apart.
        let around = |window: &Window| match window.period {
            Period::Once { from, to } => vec![near(from), near(to)],
            Period::Days { .. } | Period::Week { .. } => vec![],
        };
        let week = Span {
            from: SOME_MONDAY_S,
            to: SOME_MONDAY_S + 8 * DAY_S,
        };
        let ranges = std::iter::once(week).chain(self.windows.iter().flat_map(around));
        let times = ranges.flat_map(|known| {
            let counts = self.spans(known, usize::MAX).counts;
            let inside = counts.first().map(|span| span.from);
            let outside = others(&counts, known).first().map(|span| span.from);
            inside.into_iter().chain(outside)
        });
        let in_ms = |time: i64| Some(UnixMs(u64::try_from(time).ok()?.checked_mul(1_000)?));
        times.filter_map(in_ms).collect()
    }
}

/// Two days before and behind it, in whatever zone it is.
fn near(shown: DateTime) -> Span {
    let at = seconds(shown);
    Span {
        from: at.saturating_sub(2 * DAY_S),
        to: at.saturating_add(2 * DAY_S),
    }
}

impl Window {
    fn spans(&self, known: Span) -> Vec<Span> {
        let mut spans = Vec::new();
        let mut from = known.from;
        while from < known.to {
            let Ok(at) = Timestamp::from_second(from) else {
                break;
            };
            let change = self.zone.next_change(at).map(Timestamp::as_second);
            let to = change.unwrap_or(known.to).min(known.to);
            let part = Span { from, to };
            spans.extend(self.period.spans(part, self.zone.offset(at)));
            from = to;
        }
        spans
    }
}

impl Period {
    /// Within a part in which the clock is ahead by `offset`.
    fn spans(&self, part: Span, offset: i64) -> Vec<Span> {
        let shown = Span {
            from: part.from + offset,
            to: part.to + offset,
        };
        let spans = match self {
            Self::Once { from, to } => vec![Span {
                from: seconds(*from),
                to: seconds(*to),
            }],
            Self::Week { from, to } => weekly(*from, *to, shown),
            Self::Days { days, from, to } => days
                .each()
                .flat_map(|day| {
                    let ends = if from < to { day } else { day.next() };
                    weekly(Moment::new(day, *from), Moment::new(ends, *to), shown)
                })
                .collect(),
        };
        let clipped = spans.into_iter().map(|span| Span {
            from: span.from.max(shown.from) - offset,
            to: span.to.min(shown.to) - offset,
        });
        clipped.filter(|span| span.from < span.to).collect()
    }
}

/// Each week's part that reaches into what is shown.
fn weekly(from: Moment, to: Moment, shown: Span) -> Vec<Span> {
    let first = i64::from(from.minutes()) * 60;
    let mut last = i64::from(to.minutes()) * 60;
    if last <= first {
        last += WEEK_S;
    }
    let week = (shown.from - MONDAY_S).div_euclid(WEEK_S) - 1;
    let weeks = (shown.to - shown.from) / WEEK_S + 3;
    (week..week + weeks)
        .map(|week| {
            let monday = MONDAY_S + week * WEEK_S;
            Span {
                from: monday + first,
                to: monday + last,
            }
        })
        .collect()
}

fn seconds(shown: DateTime) -> i64 {
    shown
        .to_zoned(jiff::tz::TimeZone::UTC)
        .map_or(i64::MAX / 4, |shown| shown.timestamp().as_second())
}

fn merged(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort();
    let mut merged: Vec<Span> = Vec::new();
    for span in spans {
        match merged.last_mut() {
            Some(last) if span.from <= last.to => last.to = last.to.max(span.to),
            _ => merged.push(span),
        }
    }
    merged
}

/// What lies between them.
fn others(spans: &[Span], known: Span) -> Vec<Span> {
    let ends = spans.iter().map(|span| span.to);
    let begins = spans.iter().map(|span| span.from);
    let gaps = std::iter::once(known.from)
        .chain(ends)
        .zip(begins.chain(std::iter::once(known.to)));
    gaps.map(|(from, to)| Span { from, to })
        .filter(|span| span.from < span.to)
        .collect()
}
