//! `bench policy`: what policies cost before a kernel has them, by their number of rules.
//!
//! Times are this machine's, and only their ratios within one run mean anything elsewhere; nothing is ever compared with a
//! limit in seconds.

use anyhow::{Context, Result, bail};
use comfy_table::{CellAlignment, Table, presets};
use serde::{Deserialize, Serialize};

use crate::{paths, run};

/// What is built and run.
const PACKAGE: &str = "stayhand-guardrail";
const EXAMPLE: &str = "bench-policy";
/// Compiling may take so many times what parsing takes.
const COMPILE_TO_PARSE_MAX: f64 = 3.0;

/// One size, as the program prints it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Size {
    rules: u64,
    policies: u64,
    document_bytes: u64,
    parse_us: f64,
    compile_us: f64,
    explain_us: f64,
    image_bytes: u64,
}

/// A figure by its name.
type Figure = (&'static str, fn(&Size) -> f64);

const FIGURES: [Figure; 5] = [
    ("document", |size| as_float(size.document_bytes)),
    ("parse", |size| size.parse_us),
    ("compile", |size| size.compile_us),
    ("explain", |size| size.explain_us),
    ("image", |size| as_float(size.image_bytes)),
];

/// Measures, and prints tables or JSON.
pub fn policy(json: bool) -> Result<()> {
    let mut build = run::cargo();
    build.args(["build", "--release", "-p", PACKAGE]);
    build.args(["--example", EXAMPLE]);
    run::watched("bench  build", &mut build, run::cargo_view)?;
    let program = paths::target()
        .join("release")
        .join("examples")
        .join(EXAMPLE);
    let output = run::output(&mut std::process::Command::new(program))?;
    let sizes: Vec<Size> = output
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
        .collect::<Result<_>>()?;
    if sizes.is_empty() {
        bail!("nothing was measured");
    }
    if json {
        println!("{}", serde_json::to_string_pretty(&sizes)?);
        return Ok(());
    }
    println!("{}\n{}", costs(&sizes), growth(&sizes));
    for size in sizes
        .iter()
        .filter(|size| ratio(size) > COMPILE_TO_PARSE_MAX)
    {
        eprintln!(
            "bench  compiling {} rules takes {:.1} times as long as parsing them, more than {COMPILE_TO_PARSE_MAX}",
            size.rules,
            ratio(size)
        );
    }
    Ok(())
}

fn ratio(size: &Size) -> f64 {
    size.compile_us / size.parse_us
}

#[expect(
    clippy::cast_precision_loss,
    reason = "sizes of documents and images are far below 2^53"
)]
fn as_float(number: u64) -> f64 {
    number as f64
}

fn costs(sizes: &[Size]) -> Table {
    let head = [
        "rules",
        "policies",
        "document, KiB",
        "parse, ms",
        "compile, ms",
        "compile / parse",
        "explain, ms",
        "image, KiB",
    ];
    let rows = sizes.iter().map(|size| {
        let kib = |bytes: u64| format!("{:.1}", as_float(bytes) / 1024.0);
        let ms = |us: f64| format!("{:.3}", us / 1000.0);
        vec![
            size.rules.to_string(),
            size.policies.to_string(),
            kib(size.document_bytes),
            ms(size.parse_us),
            ms(size.compile_us),
            format!("{:.2}", ratio(size)),
            ms(size.explain_us),
            kib(size.image_bytes),
        ]
    });
    table(&head, rows)
}

/// How much each figure grows by for each time that the rules do: 1.00 is linear, less is what small ones pay once.
fn growth(sizes: &[Size]) -> Table {
    let mut head = vec!["growth by growth of rules"];
    head.extend(FIGURES.map(|(name, _)| name));
    let rows = sizes.windows(2).filter_map(|pair| {
        let [small, large] = pair else { return None };
        let rules = as_float(large.rules) / as_float(small.rules);
        let mut row = vec![format!("{} to {}", small.rules, large.rules)];
        row.extend(FIGURES.map(|(_, of)| format!("{:.2}", of(large) / of(small) / rules)));
        Some(row)
    });
    table(&head, rows)
}

fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY);
    table.set_header(head.to_vec());
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_as_the_rules_do_is_one_and_what_is_paid_once_is_less() {
        let size = |rules: u64, compile_us: f64| Size {
            rules,
            policies: 1,
            document_bytes: 100 * rules,
            parse_us: 10.0,
            compile_us,
            explain_us: as_float(rules * rules),
            image_bytes: 64 * rules,
        };
        let text = growth(&[size(10, 40.0), size(1_000, 4_000.0)]).to_string();
        let row = text
            .lines()
            .find(|line| line.contains("10 to 1000"))
            .unwrap();
        let cells: Vec<&str> = row
            .split_whitespace()
            .filter(|word| word.contains('.'))
            .collect();
        assert_eq!(cells, ["1.00", "0.01", "1.00", "100.00", "1.00"]);
        assert!((ratio(&size(10, 40.0)) - 4.0).abs() < f64::EPSILON);
    }
}
