//! The report, for people and for programs.

use std::collections::BTreeMap;

use serde::Serialize;
use stayhand_guardrail::{
    policy::replay::{Change, Group, Report},
    time::UnixMs,
};

use super::super::files::many;
use crate::{
    render::{columns, defused},
    screen::{Screen, Tone},
    time::Moment,
    view::{Time, cut},
};

/// Names that a line shows.
const NAMES_MAX: usize = 5;
/// Reasons that people are told, the most frequent first; documents have all.
const REASONS_MAX: usize = 20;

/// What came out.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    /// Recorded decisions that were looked at
    decisions: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_time: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_time: Option<Time>,
    /// Of them, those that can be judged
    judged: usize,
    /// Of them, those that went through and would be stopped
    stopped: usize,
    outcomes: BTreeMap<&'static str, usize>,
    rules: Vec<ByRule>,
    changes: Vec<Turned>,
    /// Decisions that come out otherwise and are not among `changes`
    unlisted: usize,
    unjudged: Vec<Unjudged>,
    /// Decisions that left no event, counted by the hosts
    lost: u64,
    /// Times that hosts lost an unknown number of them
    lost_unknown: usize,
    /// Events of the store that cannot be read
    unreadable: usize,
}

#[derive(Debug, Serialize)]
struct ByRule {
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    times: usize,
}

#[derive(Debug, Serialize)]
struct Turned {
    change: &'static str,
    action: String,
    before: Before,
    after: After,
    times: usize,
    first_time: Option<Time>,
    last_time: Option<Time>,
    users: Vec<String>,
    hosts: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Before {
    verdict: &'static str,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
}

#[derive(Debug, Serialize)]
struct After {
    outcome: &'static str,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
}

#[derive(Debug, Serialize)]
struct Unjudged {
    why: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
    times: usize,
}

pub(super) fn time(unix: UnixMs) -> Option<Time> {
    let ms = i64::try_from(unix.0).ok()?;
    jiff::Timestamp::from_millisecond(ms).ok().map(Time)
}

impl Shown {
    pub(super) fn of(report: &Report, unreadable: usize) -> Self {
        let rules = report.rules.iter().map(|((rule, outcome), times)| ByRule {
            outcome,
            rule: rule.clone(),
            times: *times,
        });
        let mut rules: Vec<ByRule> = rules.collect();
        let rank = |one: &ByRule| {
            report
                .outcomes()
                .position(|(word, _)| word.as_str() == one.outcome)
        };
        rules.sort_by_key(|one| (rank(one), std::cmp::Reverse(one.times)));
        let unjudged = report.unjudged.iter().map(|(why, times)| Unjudged {
            why: why.to_string(),
            remedy: why.remedy(),
            times: *times,
        });
        let mut unjudged: Vec<Unjudged> = unjudged.collect();
        unjudged.sort_by_key(|one| std::cmp::Reverse(one.times));
        Self {
            decisions: report.decisions,
            first_time: report.span.and_then(|(first, _)| time(first)),
            last_time: report.span.and_then(|(_, last)| time(last)),
            judged: report.judged(),
            stopped: report.stopped,
            outcomes: report
                .outcomes()
                .map(|(outcome, times)| (outcome.as_str(), times))
                .collect(),
            rules,
            changes: report.groups().into_iter().map(Turned::of).collect(),
            unlisted: report.unlisted,
            unjudged,
            lost: report.lost,
            lost_unknown: report.lost_unknown,
            unreadable,
        }
    }

    /// The rules that would have stopped something.
    pub(super) fn names(&self) -> String {
        let stopping = self.changes.iter().filter(|one| one.change == "stopped");
        let mut names: Vec<&str> = stopping
            .filter_map(|one| one.after.rule.as_deref())
            .collect();
        names.sort_unstable();
        names.dedup();
        names.iter().map(|name| format!("{name}\n")).collect()
    }

    /// For people.
    pub(super) fn text(&self, screen: &Screen) -> String {
        if self.judged == 0 {
            return String::new();
        }
        let rows = self.rules.iter().map(|one| {
            let rule = one.rule.as_deref().unwrap_or("(no rule)");
            vec![
                one.outcome.to_owned(),
                rule.to_owned(),
                one.times.to_string(),
            ]
        });
        let mut text = columns(&["OUTCOME", "RULE", "TIMES"], rows, screen.headers());
        let heads = [
            (
                Change::Stopped,
                "went through, and would be stopped",
                Tone::Bad,
            ),
            (Change::Freed, "was stopped, and would go on", Tone::Good),
            (
                Change::Otherwise,
                "would come out in another way",
                Tone::Care,
            ),
        ];
        for (change, head, tone) in heads {
            let of_kind = self
                .changes
                .iter()
                .filter(|one| one.change == change.as_str());
            let lines: String = of_kind.map(|one| one.shown(&screen.moment())).collect();
            if !lines.is_empty() {
                text.push_str(&format!("\n{}\n{lines}", screen.paint(head, tone)));
            }
        }
        defused(&text)
    }

    /// What was judged and what was not, so that silence is not taken for more than it is.
    pub(super) fn remarks(&self, moment: &Moment) -> String {
        let mut lines = Vec::new();
        let unjudged = self.decisions.saturating_sub(self.judged);
        for one in self.unjudged.iter().take(REASONS_MAX) {
            let remedy = one.remedy.as_ref();
            let remedy = remedy.map_or_else(String::new, |text| format!("; say it with {text}"));
            let times = many(one.times, "time");
            lines.push(format!("not judged, {times}: {}{remedy}", one.why));
        }
        if self.unjudged.len() > REASONS_MAX {
            let more = many(self.unjudged.len() - REASONS_MAX, "more reason");
            lines.push(format!("not judged: {more}, see -o json"));
        }
        if self.unlisted > 0 {
            let more = many(self.unlisted, "more decision");
            lines.push(format!("not listed: {more} that would come out otherwise"));
        }
        if self.lost > 0 || self.lost_unknown > 0 {
            let unknown = match self.lost_unknown {
                0 => String::new(),
                times => format!(", and {} an unknown number", many(times, "time")),
            };
            lines.push(format!(
                "not recorded: hosts lost {}{unknown}",
                many(usize::try_from(self.lost).unwrap_or(usize::MAX), "decision")
            ));
        }
        if self.unreadable > 0 {
            lines.push(format!(
                "not judged: {} that cannot be read",
                many(self.unreadable, "event")
            ));
        }
        let throttled = self.outcomes.get("throttle").copied().unwrap_or(0);
        if throttled > 0 {
            lines.push(format!(
                "{} would be counted by a rate; whether it would be used up is not judged",
                many(throttled, "decision")
            ));
        }
        lines.push(self.summary(unjudged, moment));
        lines.join("\n")
    }

    fn summary(&self, unjudged: usize, moment: &Moment) -> String {
        let (Some(first), Some(last)) = (self.first_time, self.last_time) else {
            return "there is no recorded decision to judge; what goes on by default is not recorded"
                .to_owned();
        };
        format!(
            "{} from {} to {}: {} judged, {unjudged} not, {} would be stopped; what went on by default was not recorded",
            many(self.decisions, "recorded decision"),
            moment.clock(first),
            moment.clock(last),
            self.judged,
            self.stopped,
        )
    }
}

impl Turned {
    fn of(group: &Group) -> Self {
        Self {
            change: group.change.as_str(),
            action: group.action.clone(),
            before: Before {
                verdict: group.before.verdict.as_str(),
                reason: group.before.reason.as_str(),
                rule: group.before.rule.clone(),
            },
            after: After {
                outcome: group.after.outcome.as_str(),
                reason: group.after.reason.as_str(),
                rule: group.after.rule.clone(),
            },
            times: group.times,
            first_time: time(group.first),
            last_time: time(group.last),
            users: group.users.iter().map(ToString::to_string).collect(),
            hosts: group.hosts.iter().map(ToString::to_string).collect(),
        }
    }

    /// `exec /usr/bin/nc: allowed (base/look, rule-alert) -> deny (draft/nc)`, and below how often, when, who and where.
    fn shown(&self, moment: &Moment) -> String {
        let Before {
            verdict,
            reason,
            rule,
        } = &self.before;
        let by = rule.as_ref();
        let by = by.map_or_else(String::new, |rule| format!("{rule}, "));
        let after = self.after.rule.as_deref().unwrap_or("no rule");
        let clock = |time: Option<Time>| time.map(|time| moment.clock(time)).unwrap_or_default();
        let (first, last) = (clock(self.first_time), clock(self.last_time));
        let when = if self.times == 1 {
            format!("once, {first}")
        } else {
            format!("{} times, {first} to {last}", self.times)
        };
        format!(
            "  {}: {verdict} ({by}{reason}) -> {} ({after})\n    {when}; by {}; on {}\n",
            cut(&self.action),
            self.after.outcome,
            some(&self.users),
            some(&self.hosts),
        )
    }
}

/// `alice, bob and 3 more`.
pub(super) fn some(names: &[String]) -> String {
    let shown: Vec<&str> = names.iter().take(NAMES_MAX).map(String::as_str).collect();
    match names.len().saturating_sub(NAMES_MAX) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
