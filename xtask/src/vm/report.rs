//! What a suite run showed, and the count that everything ends with.
//!
//! A scenario that was listed but never reported has failed; silence is never green.

use std::collections::BTreeMap;
use std::time::Instant;

use super::protocol::Line;

/// Passed, failed, skipped: of tests, checks or scenarios.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Shown to hold.
    pub passed: u64,
    /// Shown not to hold, or not shown.
    pub failed: u64,
    /// Declared as not run.
    pub skipped: u64,
}

impl Counts {
    /// Sums two counts.
    pub fn plus(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            skipped: self.skipped + other.skipped,
        }
    }

    /// Something passed and nothing failed.
    pub fn is_green(self) -> bool {
        self.passed > 0 && self.failed == 0
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}

/// Counts, and each failure in a line of its own, so that the end of a long output says what failed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub counts: Counts,
    /// What failed, and how; may be shorter than the count where a tool says only how many.
    pub failures: Vec<String>,
}

impl Tally {
    /// Sums two tallies.
    pub fn plus(mut self, other: Self) -> Self {
        self.counts = self.counts.plus(other.counts);
        self.failures.extend(other.failures);
        self
    }
}

impl From<Counts> for Tally {
    fn from(counts: Counts) -> Self {
        Self {
            counts,
            failures: Vec::new(),
        }
    }
}

/// One scenario's result.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

/// Scenarios that may be skipped, each with the kernel series where it may.
type Skips = &'static [(&'static str, &'static [&'static str])];

/// None at present. Any other skip fails the run, so that a program that is missing in the guest cannot take a
/// property with it.
const SKIPS: Skips = &[];

/// Collects outcomes of the scenarios that were asked for.
pub struct Report {
    label: String,
    series: String,
    skips: Skips,
    wanted: Vec<String>,
    outcomes: BTreeMap<String, Outcome>,
    began: Option<(String, Instant)>,
    step: String,
}

impl Report {
    /// For these scenarios on a kernel of this series; `label` starts every printed line.
    pub fn new(label: &str, series: &str, wanted: &[String]) -> Self {
        Self {
            label: label.to_owned(),
            series: series.to_owned(),
            skips: SKIPS,
            wanted: wanted.to_vec(),
            outcomes: BTreeMap::new(),
            began: None,
            step: String::new(),
        }
    }

    /// Takes one line and prints what a person wants to see of it.
    pub fn take(&mut self, line: &Line) {
        match line {
            Line::Begin(name) => {
                self.began = Some((name.clone(), Instant::now()));
                self.step.clear();
            }
            Line::Step(text) => self.step.clone_from(text),
            Line::Pass(name) => self.record(name, Outcome::Passed),
            Line::Fail(name, text) => {
                let at = if self.step.is_empty() {
                    String::new()
                } else {
                    format!(" (at: {})", self.step)
                };
                self.record(name, Outcome::Failed(format!("{text}{at}")));
            }
            Line::Skip(name, reason) if self.may_skip(name) => {
                self.record(name, Outcome::Skipped(reason.clone()));
            }
            Line::Skip(name, reason) => {
                let text = format!("skipped, and nobody expects that here: {reason}");
                self.record(name, Outcome::Failed(text));
            }
            Line::Log(_) | Line::Out(_) | Line::Bench(_) | Line::Done => {}
        }
    }

    /// Whether a skip of this scenario is expected on this kernel.
    fn may_skip(&self, name: &str) -> bool {
        let here = |on: &[&str]| on.contains(&self.series.as_str());
        self.skips
            .iter()
            .any(|(scenario, on)| *scenario == name && here(on))
    }

    fn record(&mut self, name: &str, outcome: Outcome) {
        let seconds = match &self.began {
            Some((began, at)) if began == name => format!(" ({:.1} s)", at.elapsed().as_secs_f64()),
            _ => String::new(),
        };
        let text = match &outcome {
            Outcome::Passed => format!("pass  {name}{seconds}"),
            Outcome::Failed(text) => format!("FAIL  {name}{seconds}: {text}"),
            Outcome::Skipped(reason) => format!("skip  {name}: {reason}"),
        };
        println!("{}  {text}", self.label);
        // A failure stays one, whatever is said later.
        if !matches!(self.outcomes.get(name), Some(Outcome::Failed(_))) {
            self.outcomes.insert(name.to_owned(), outcome);
        }
    }

    /// Scenarios that nothing was heard of count as failed, with the reason why the run ended.
    pub fn close(&mut self, ending: &str) {
        let unheard: Vec<_> = self
            .wanted
            .iter()
            .filter(|w| !self.outcomes.contains_key(*w))
            .cloned()
            .collect();
        for name in unheard {
            let during = self.began.as_ref().is_some_and(|(began, _)| *began == name);
            let text = match (during, self.step.is_empty()) {
                (true, true) => format!("never finished: {ending}"),
                (true, false) => format!("never finished: {ending} (at: {})", self.step),
                (false, _) => format!("never reported: {ending}"),
            };
            self.record(&name, Outcome::Failed(text));
        }
    }

    /// Every failure again, with the kernel it was seen on.
    pub fn failures(&self) -> Vec<String> {
        let failed = |(name, outcome): (&String, &Outcome)| match outcome {
            Outcome::Failed(text) => Some(format!("{}  {name}: {text}", self.label)),
            Outcome::Passed | Outcome::Skipped(_) => None,
        };
        self.outcomes.iter().filter_map(failed).collect()
    }

    /// The totals.
    pub fn counts(&self) -> Counts {
        let count =
            |want: fn(&Outcome) -> bool| self.outcomes.values().filter(|o| want(o)).count() as u64;
        Counts {
            passed: count(|o| matches!(o, Outcome::Passed)),
            failed: count(|o| matches!(o, Outcome::Failed(_))),
            skipped: count(|o| matches!(o, Outcome::Skipped(_))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|s| (*s).to_owned()).collect()
    }

    #[test]
    fn a_scenario_that_never_reports_has_failed() {
        let mut report = Report::new("t", "6.1", &names(&["a", "b", "c"]));
        report.take(&Line::Pass("a".into()));
        report.take(&Line::Begin("b".into()));
        report.close("crashed");
        assert_eq!(
            report.counts(),
            Counts {
                passed: 1,
                failed: 2,
                skipped: 0
            }
        );
    }

    #[test]
    fn a_failure_is_not_undone_by_a_later_pass() {
        let mut report = Report::new("t", "6.1", &names(&["a"]));
        report.take(&Line::Fail("a".into(), "x".into()));
        report.take(&Line::Pass("a".into()));
        assert!(!report.counts().is_green());
        assert_eq!(report.failures(), ["t  a: x"]);
    }

    #[test]
    fn nothing_passed_is_not_green() {
        let mut report = Report::new("t", "6.1", &names(&["a"]));
        report.skips = &[("a", &["6.1"])];
        report.take(&Line::Skip("a".into(), "known".into()));
        report.close("done");
        assert_eq!(
            report.counts(),
            Counts {
                passed: 0,
                failed: 0,
                skipped: 1
            }
        );
        assert!(!report.counts().is_green());
    }

    #[test]
    fn a_skip_that_nobody_expects_is_a_failure() {
        let mut report = Report::new("t", "6.1", &names(&["a"]));
        report.skips = &[("a", &["6.12"]), ("b", &["6.1"])];
        report.take(&Line::Skip("a".into(), "no strace in this guest".into()));
        assert_eq!((report.counts().failed, report.counts().skipped), (1, 0));
    }
}
