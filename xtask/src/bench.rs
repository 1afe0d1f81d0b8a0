//! `bench`: instructions per action, counted in a guest whose clock counts instructions.
//!
//! Independent of how busy this machine is; never compared with wall-clock times.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use comfy_table::{CellAlignment, Table, presets};
use serde::{Deserialize, Serialize};

use crate::paths;
use crate::rootfs::project::Initrd;
use crate::setup::Ready;
use crate::vm::machine::{Ending, LSM, Limits, Machine, Pace};
use crate::vm::protocol::Line;

/// Counting is a single thread and slower: ten thousand rules are compiled for minutes, and longer on a busy machine.
const SILENCE: Duration = Duration::from_mins(30);
/// Far above what all rows take.
const OVERALL: Duration = Duration::from_hours(2);
/// Two runs may differ by this share.
const AGREEMENT: f64 = 0.005;
/// Console lines quoted after a bad end.
const CONSOLE_LINES: usize = 30;

/// Modes of the guest, see `tests/src/cmdline.rs`.
const HOOKS: &str = "bench";
const FACTS: &str = "bench-facts";

/// One measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What was done.
    pub action: String,
    /// Under which circumstances.
    pub scenario: String,
    /// Guest instructions for one action.
    pub instructions: f64,
}

/// Runs it once, or twice with a comparison, and prints a table or JSON.
pub fn hooks(ready: &Ready, json: bool, check: bool) -> Result<()> {
    let rows = measure(ready, HOOKS, None)?;
    print(&rows, json)?;
    if check {
        let missed = crate::bars::missed(&rows);
        if !missed.is_empty() {
            bail!("over the bar:\n{}", missed.join("\n"));
        }
        let again = measure(ready, HOOKS, None)?;
        let apart = disagreements(&rows, &again);
        if !apart.is_empty() {
            bail!(
                "two runs differ by more than {} %:\n{}",
                AGREEMENT * 100.0,
                apart.join("\n")
            );
        }
        eprintln!(
            "bench  two runs agree within {} % in {} rows",
            AGREEMENT * 100.0,
            rows.len()
        );
    }
    Ok(())
}

/// Whole commands under a question each, in a guest that has a compiler; a second table has the ratios.
pub fn facts(ready: &Ready, json: bool) -> Result<()> {
    let programs = crate::setup::programs(&ready.base)?;
    let rows = measure(ready, FACTS, Some(&programs))?;
    print(&rows, json)?;
    if !json {
        println!("{}", table(&ratios(&rows), "ratio to no agent", 3));
    }
    Ok(())
}

fn print(rows: &[Row], json: bool) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(rows)?);
    } else {
        println!("{}", table(rows, "instructions per action", 0));
    }
    Ok(())
}

/// Each figure by that of the same action in the first circumstances.
fn ratios(rows: &[Row]) -> Vec<Row> {
    let first = |row: &Row| {
        let same = rows.iter().find(|other| other.action == row.action)?;
        Some(same.instructions)
    };
    let ratio = |row: &Row| Row {
        instructions: first(row).map_or(f64::NAN, |first| row.instructions / first),
        ..row.clone()
    };
    rows.iter().map(ratio).collect()
}

fn measure(ready: &Ready, mode: &str, programs: Option<&Path>) -> Result<Vec<Row>> {
    let kernel = ready.kernel()?;
    let initrd = Initrd::write(&ready.base, programs, std::slice::from_ref(kernel), None)?;
    let machine = Machine {
        kernel,
        initrd: initrd.path(),
        lsm: LSM,
        dir: paths::vm_dir(&format!("bench-{}", kernel.series)),
        append: format!("stayhand.mode={mode}"),
        smp: 1,
        pace: Pace::Counting,
        interactive: false,
        limits: Limits {
            silence: SILENCE,
            overall: OVERALL,
        },
    };
    eprintln!(
        "bench  Linux {}, one processor, counting instructions",
        kernel.release
    );
    let mut rows = Vec::new();
    let mut bad = Vec::new();
    let ending = machine.run(&mut |line| match line {
        Line::Bench(json) => match serde_json::from_str::<Row>(json) {
            Ok(row) => {
                eprintln!(
                    "bench  {} / {}: {:.0}",
                    row.action, row.scenario, row.instructions
                );
                rows.push(row);
            }
            Err(e) => bad.push(format!("{json}: {e}")),
        },
        Line::Fail(name, text) => bad.push(format!("{name} {text}")),
        Line::Step(text) => eprintln!("bench  {text}"),
        _ => {}
    })?;
    if ending != Ending::Done {
        bail!(
            "{ending}; the console ended with:\n{}",
            machine.console_end(CONSOLE_LINES)
        );
    }
    if !bad.is_empty() {
        bail!(
            "the guest could not measure everything:\n{}",
            bad.join("\n")
        );
    }
    if rows.is_empty() {
        return Err(anyhow::anyhow!("see {}", machine.guest_log().display()))
            .context("the guest measured nothing");
    }
    Ok(rows)
}

/// Actions down, circumstances across, both in the order in which they came.
fn table(rows: &[Row], what: &str, decimals: usize) -> String {
    let actions = in_order(rows.iter().map(|r| &r.action));
    let scenarios = in_order(rows.iter().map(|r| &r.scenario));
    let cells: BTreeMap<_, _> = rows
        .iter()
        .map(|r| ((&r.action, &r.scenario), r.instructions))
        .collect();
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY);
    let mut head = vec![what.to_owned()];
    head.extend(scenarios.iter().map(|s| (*s).clone()));
    table.set_header(head);
    for action in &actions {
        let mut line = vec![(*action).clone()];
        line.extend(scenarios.iter().map(|s| {
            cells
                .get(&(*action, *s))
                .map_or(String::new(), |n| format!("{n:.decimals$}"))
        }));
        table.add_row(line);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

fn in_order<'a>(names: impl Iterator<Item = &'a String>) -> Vec<&'a String> {
    let mut seen = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen
}

/// Rows of two runs that are further apart than allowed, or that only one of them has.
fn disagreements(first: &[Row], second: &[Row]) -> Vec<String> {
    let key = |r: &Row| (r.action.clone(), r.scenario.clone());
    let again: BTreeMap<_, _> = second.iter().map(|r| (key(r), r.instructions)).collect();
    let mut apart: Vec<String> = first
        .iter()
        .filter_map(|row| match again.get(&key(row)) {
            Some(other)
                if (row.instructions - other).abs() <= row.instructions.abs() * AGREEMENT =>
            {
                None
            }
            Some(other) => Some(format!(
                "{} / {}: {:.0} and {other:.0}",
                row.action, row.scenario, row.instructions
            )),
            None => Some(format!(
                "{} / {}: only in the first run",
                row.action, row.scenario
            )),
        })
        .collect();
    if second.len() > first.len() {
        apart.push("the second run has more rows than the first".to_owned());
    }
    apart
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(action: &str, scenario: &str, instructions: f64) -> Row {
        Row {
            action: action.into(),
            scenario: scenario.into(),
            instructions,
        }
    }

    #[test]
    fn runs_that_are_apart_or_incomplete_do_not_agree() {
        let first = [row("open", "none", 1000.0), row("exec", "none", 1000.0)];
        assert_eq!(
            disagreements(
                &first,
                &[row("open", "none", 1006.0), row("exec", "none", 1005.0)]
            )
            .len(),
            1
        );
        assert_eq!(disagreements(&first, &first[..1]).len(), 1);
        assert!(disagreements(&first, &first).is_empty());
    }

    #[test]
    fn the_table_has_a_line_per_action_and_a_column_per_scenario() {
        let rows = [
            row("open", "none", 10.0),
            row("open", "agent", 20.0),
            row("exec", "agent", 30.0),
        ];
        let text = table(&rows, "instructions", 0);
        assert_eq!(
            text.lines()
                .filter(|l| l.contains("open") || l.contains("exec"))
                .count(),
            2
        );
        assert!(
            text.contains("none") && text.contains("agent") && text.contains("30"),
            "{text}"
        );
        let ratio = |action: &str| {
            let found = ratios(&rows).into_iter().filter(|row| row.action == action);
            found.map(|row| row.instructions).collect::<Vec<_>>()
        };
        assert_eq!((ratio("open"), ratio("exec")), (vec![1.0, 2.0], vec![1.0]));
    }
}
