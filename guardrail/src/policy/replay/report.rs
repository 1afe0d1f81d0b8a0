//! What came out of all recorded decisions: counts, and what would have been otherwise.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Answer, Why};
use crate::{
    action::Object,
    event::{Arguments, Decided, Recorded},
    id::{HostId, UserName},
    policy::Outcome,
    reason::{Reason, Verdict},
    text::{Safe, safe_args},
    time::UnixMs,
};

/// Different actions that are listed: more is not read, and each is counted all the same.
const GROUPS_MAX: usize = 10_000;

/// What came out.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Recorded decisions
    pub decisions: usize,
    /// Time of the first and the last one
    pub span: Option<(UnixMs, UnixMs)>,
    /// What becomes of those that can be judged, and how often; strictest first
    outcomes: [usize; Outcome::ALL.len()],
    /// By which rule, and how often; none where no rule decides
    pub rules: BTreeMap<(Option<String>, &'static str), usize>,
    /// What cannot be judged, and how often
    pub unjudged: BTreeMap<Why, usize>,
    /// What would have been otherwise
    groups: HashMap<Action, Group>,
    /// Of it, decisions on actions that are not listed
    pub unlisted: usize,
    /// Decisions that went through and would have been stopped
    pub stopped: usize,
    /// Decisions that left no event
    pub lost: u64,
    /// Times that an unknown number of them left none
    pub lost_unknown: usize,
}

/// Equal actions with an equal answer.
type Action = (String, Before, Answer);

/// One action whose outcome would have been otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// In which way
    pub change: Change,
    /// What was attempted; safe to show
    pub action: String,
    /// What became of it
    pub before: Before,
    /// What would have become of it
    pub after: Answer,
    /// How often
    pub times: usize,
    /// When first
    pub first: UnixMs,
    /// When last
    pub last: UnixMs,
    /// By whom
    pub users: BTreeSet<UserName>,
    /// Where
    pub hosts: BTreeSet<HostId>,
}

/// What was recorded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Before {
    /// What became of it
    pub verdict: Verdict,
    /// Why
    pub reason: Reason,
    /// By which rule, as `policy/rule`
    pub rule: Option<String>,
}

/// How an answer differs from what was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// It went through, and would be stopped
    Stopped,
    /// It was stopped, and would go on
    Freed,
    /// It went through or was stopped, and would again, in another way
    Otherwise,
}

impl Change {
    /// As documents write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Freed => "freed",
            Self::Otherwise => "otherwise",
        }
    }

    /// An approval that was given would be asked for again.
    fn between(decision: &Decided, after: Outcome) -> Option<Self> {
        let before = outcome_of(decision);
        if before == after {
            return None;
        }
        let went = decision.verdict == Verdict::Allowed;
        let stops = matches!(after, Outcome::Deny | Outcome::Hold);
        Some(match (went, stops) {
            (true, true) => Self::Stopped,
            (false, false) => Self::Freed,
            _ => Self::Otherwise,
        })
    }
}

/// A recorded decision in the words of tests; what became of a hold later is not its rule's.
fn outcome_of(decision: &Decided) -> Outcome {
    match (decision.verdict, decision.reason) {
        (Verdict::Held, _)
        | (
            _,
            Reason::HoldPending
            | Reason::HoldApproved
            | Reason::HoldRefused
            | Reason::HoldTimedOut
            | Reason::HoldLapsed
            | Reason::HoldCancelled
            | Reason::HoldUnavailable
            | Reason::HoldQuota
            | Reason::NoAgent
            | Reason::HoldRestops,
        ) => Outcome::Hold,
        (Verdict::Denied, _) => Outcome::Deny,
        (Verdict::Allowed, Reason::RuleAlert) => Outcome::Alert,
        (Verdict::Allowed, Reason::WithinRate) => Outcome::Throttle,
        (Verdict::Allowed, _) => Outcome::Allow,
    }
}

impl Report {
    /// How often what can be judged comes out in each way, strictest first.
    pub fn outcomes(&self) -> impl Iterator<Item = (Outcome, usize)> {
        Outcome::ALL.into_iter().zip(self.outcomes)
    }

    /// Decisions that can be judged.
    pub fn judged(&self) -> usize {
        self.outcomes.iter().sum()
    }

    /// What would have been otherwise: what is stopped first, the most frequent first.
    pub fn groups(&self) -> Vec<&Group> {
        let mut groups: Vec<&Group> = self.groups.values().collect();
        groups.sort_by(|a, b| {
            let key = |one: &Group| (one.change, std::cmp::Reverse(one.times), one.first);
            key(a)
                .cmp(&key(b))
                .then_with(|| (&a.action, &a.after.rule).cmp(&(&b.action, &b.after.rule)))
        });
        groups
    }

    pub(super) fn lose(&mut self, count: u64) {
        if count == 0 {
            self.lost_unknown = self.lost_unknown.saturating_add(1);
        }
        self.lost = self.lost.saturating_add(count);
    }

    pub(super) fn add(&mut self, recorded: &Recorded, answer: Result<Answer, Why>) {
        let Recorded { time, decision } = recorded;
        add(&mut self.decisions);
        let (first, last) = self.span.unwrap_or((*time, *time));
        self.span = Some((first.min(*time), last.max(*time)));
        let answer = match answer {
            Ok(answer) => answer,
            Err(why) => return add(self.unjudged.entry(why).or_default()),
        };
        let mut counted = Outcome::ALL.into_iter().zip(&mut self.outcomes);
        if let Some((_, count)) = counted.find(|(outcome, _)| *outcome == answer.outcome) {
            add(count);
        }
        let by = (answer.rule.clone(), answer.outcome.as_str());
        add(self.rules.entry(by).or_default());
        if let Some(change) = Change::between(decision, answer.outcome) {
            self.differs(recorded, change, answer);
        }
    }

    fn differs(&mut self, recorded: &Recorded, change: Change, after: Answer) {
        let Recorded { time, decision } = recorded;
        if change == Change::Stopped {
            add(&mut self.stopped);
        }
        let before = Before {
            verdict: decision.verdict,
            reason: decision.reason,
            rule: decision.rule.as_ref().map(ToString::to_string),
        };
        let action = shown(decision);
        let key = (action, before, after);
        if self.groups.len() >= GROUPS_MAX && !self.groups.contains_key(&key) {
            return add(&mut self.unlisted);
        }
        let group = self.groups.entry(key.clone()).or_insert_with(|| {
            let (action, before, after) = key;
            Group {
                change,
                action,
                before,
                after,
                times: 0,
                first: *time,
                last: *time,
                users: BTreeSet::new(),
                hosts: BTreeSet::new(),
            }
        });
        add(&mut group.times);
        group.first = group.first.min(*time);
        group.last = group.last.max(*time);
        group.users.extend(decision.user.clone());
        group.hosts.insert(decision.host.clone());
    }
}

fn add(count: &mut usize) {
    *count = count.saturating_add(1);
}

/// `exec /usr/bin/nc -h`, `write /etc/x`, `rename /a -> /b`; safe to show.
fn shown(decision: &Decided) -> String {
    let Decided {
        operation, object, ..
    } = decision;
    let text = match (object, &decision.arguments) {
        (Object::Path { bytes }, Arguments::Known(all)) => {
            let behind = safe_args(all.get(1..).unwrap_or_default());
            format!("{operation} {} {behind}", Safe(bytes))
        }
        (_, Arguments::Redacted) => format!("{operation} {object} (arguments redacted)"),
        (_, Arguments::Cut) => format!("{operation} {object} (arguments cut)"),
        _ => format!("{operation} {object}"),
    };
    text.trim_end().to_owned()
}
