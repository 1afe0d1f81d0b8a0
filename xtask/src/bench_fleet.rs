//! `bench fleet`: what a fleet costs a control plane, by its number of hosts, and how soon hosts enforce what changes.
//!
//! Times are this machine's, which the control plane and all hosts share; nothing is ever compared with a limit in seconds.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use comfy_table::{CellAlignment, Table, presets};
use serde::{Deserialize, Serialize};

use crate::{paths, run};

/// What is built and run.
const CONTROL: &str = "stayhand-control";
const FLEET: &str = "stayhand-fleet";

/// What `--help` ends with.
pub const HELP: &str = "\
Builds the control plane and the generator for release, starts the control plane as a process of its own with an empty store,
lets simulated hosts join by tokens and connect over TLS 1.3 from 127.0.0.0/8, and measures, for each size:

  joining, memory with idle hosts, processors that idle hosts keep busy, a grant and its revocation on every host (until
  hosts say that they enforce it, from the moment that the request goes out), a grant on one host, and what it takes until
  all hosts are back after the control plane was restarted (SIGTERM) and killed (SIGKILL).

Hosts enforce nothing: they say so at once. They share the processors with the control plane, so that a fleet on other
machines is served sooner. 10,000 hosts take some 3 GiB, 15,512 open files and a quarter of an hour.

  cargo xtask bench fleet --sizes 100 --rounds 20       a look, in a minute
  cargo xtask bench fleet --below /var/tmp --json       the store on that file system";

/// What a person asked for.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Numbers of hosts, with commas between them
    #[arg(long, default_value = "100,1000,10000")]
    sizes: String,
    /// Grants and revocations of each kind
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Below which directory the store is; on a disk, or waiting for one is not measured
    #[arg(long, value_name = "DIRECTORY")]
    below: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Times of hosts, as the generator prints them.
#[expect(clippy::struct_field_names, reason = "units are in names")]
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Spread {
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Wave {
    enforced: Spread,
    answered: Spread,
    counted: Spread,
    cpu_ms: f64,
    own_cpu_ms: f64,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct OneHost {
    enforced: Spread,
    others_woken: u64,
    cpu_ms: f64,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Storm {
    down_ms: f64,
    back: Spread,
    counted_ms: f64,
    refused: u64,
    cpu_ms: f64,
}

/// One size.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Size {
    hosts: u32,
    file_system: String,
    joined_per_second: f64,
    connect: Storm,
    empty_rss_kib: u64,
    idle_rss_kib: u64,
    empty_pss_kib: u64,
    idle_pss_kib: u64,
    last_pss_kib: u64,
    idle_processors: f64,
    grant: Wave,
    revocation: Wave,
    one_host: OneHost,
    restart: Storm,
    crash: Storm,
}

/// A figure: how it is called, with how many digits it is shown, and what it is.
struct Figure(&'static str, usize, fn(&Size) -> f64);

const FIGURES: [Figure; 40] = [
    Figure("joining: hosts/s", 0, |s| s.joined_per_second),
    Figure("first connection, p50, ms", 0, |s| s.connect.back.p50_ms),
    Figure("first connection, p99, ms", 0, |s| s.connect.back.p99_ms),
    Figure("first connection, last, ms", 0, |s| s.connect.back.max_ms),
    Figure("memory without hosts (PSS), MiB", 1, |s| {
        mib(s.empty_pss_kib)
    }),
    Figure("memory, hosts idle (PSS), MiB", 1, |s| mib(s.idle_pss_kib)),
    Figure("memory, hosts idle (RSS), MiB", 1, |s| mib(s.idle_rss_kib)),
    Figure("memory for each host (PSS), KiB", 1, per_host),
    Figure("memory in the end (PSS), MiB", 1, |s| mib(s.last_pss_kib)),
    Figure("processors busy, hosts idle", 3, |s| s.idle_processors),
    Figure("grant enforced, p50, ms", 0, |s| s.grant.enforced.p50_ms),
    Figure("grant enforced, p99, ms", 0, |s| s.grant.enforced.p99_ms),
    Figure("grant enforced, last, ms", 0, |s| s.grant.enforced.max_ms),
    Figure("grant answered, p50, ms", 0, |s| s.grant.answered.p50_ms),
    Figure("grant counted on all, p50, ms", 0, |s| {
        s.grant.counted.p50_ms
    }),
    Figure("grant counted on all, max, ms", 0, |s| {
        s.grant.counted.max_ms
    }),
    Figure("grant, processor time, ms", 0, |s| s.grant.cpu_ms),
    Figure("revocation enforced, p50, ms", 0, |s| {
        s.revocation.enforced.p50_ms
    }),
    Figure("revocation enforced, p99, ms", 0, |s| {
        s.revocation.enforced.p99_ms
    }),
    Figure("revocation enforced, last, ms", 0, |s| {
        s.revocation.enforced.max_ms
    }),
    Figure("revocation answered, p50, ms", 0, |s| {
        s.revocation.answered.p50_ms
    }),
    Figure("revocation counted on all, p50, ms", 0, |s| {
        s.revocation.counted.p50_ms
    }),
    Figure("revocation counted on all, max, ms", 0, |s| {
        s.revocation.counted.max_ms
    }),
    Figure("revocation, processor time, ms", 0, |s| s.revocation.cpu_ms),
    Figure("revocation, the hosts' own, ms", 0, |s| {
        s.revocation.own_cpu_ms
    }),
    Figure("grant on one host, p50, ms", 1, |s| {
        s.one_host.enforced.p50_ms
    }),
    Figure("grant on one host, max, ms", 1, |s| {
        s.one_host.enforced.max_ms
    }),
    Figure("other hosts woken by it", 0, |s| {
        count(s.one_host.others_woken)
    }),
    Figure("grant on one host, processor time, ms", 0, |s| {
        s.one_host.cpu_ms
    }),
    Figure("restart: away, ms", 0, |s| s.restart.down_ms),
    Figure("restart: back, p50, ms", 0, |s| s.restart.back.p50_ms),
    Figure("restart: back, p99, ms", 0, |s| s.restart.back.p99_ms),
    Figure("restart: back, last, ms", 0, |s| s.restart.back.max_ms),
    Figure("restart: counted on all, ms", 0, |s| s.restart.counted_ms),
    Figure("restart: handshakes refused", 0, |s| {
        count(s.restart.refused)
    }),
    Figure("restart: processor time, ms", 0, |s| s.restart.cpu_ms),
    Figure("killed: back, p50, ms", 0, |s| s.crash.back.p50_ms),
    Figure("killed: back, p99, ms", 0, |s| s.crash.back.p99_ms),
    Figure("killed: back, last, ms", 0, |s| s.crash.back.max_ms),
    Figure("killed: handshakes refused", 0, |s| count(s.crash.refused)),
];

fn mib(kib: u64) -> f64 {
    count(kib) / 1024.0
}

fn per_host(size: &Size) -> f64 {
    let more = size.idle_pss_kib.saturating_sub(size.empty_pss_kib);
    count(more) / f64::from(size.hosts)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "memory and hosts are far below 2^53"
)]
fn count(number: u64) -> f64 {
    number as f64
}

/// Measures, and prints a table or JSON.
pub fn fleet(options: &Options) -> Result<()> {
    let mut build = run::cargo();
    build.args(["build", "--release", "-p", CONTROL, "-p", FLEET]);
    run::watched("bench  build", &mut build, run::cargo_view)?;
    let release = paths::target().join("release");
    let mut measure = std::process::Command::new(release.join(FLEET));
    measure.arg("--server").arg(release.join(CONTROL));
    measure.args(["--sizes", &options.sizes]);
    measure.args(["--rounds", &options.rounds.to_string()]);
    // A directory in memory is common for temporary files; the build's is on a disk.
    measure.arg("--below");
    measure.arg(options.below.clone().unwrap_or_else(paths::target));
    measure.stderr(std::process::Stdio::inherit());
    let output = measure.output().context("cannot start the generator")?;
    if !output.status.success() {
        bail!("the generator failed ({})", output.status);
    }
    let sizes: Vec<Size> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
        .collect::<Result<_>>()?;
    let Some(first) = sizes.first() else {
        bail!("nothing was measured");
    };
    if options.json {
        println!("{}", serde_json::to_string_pretty(&sizes)?);
        return Ok(());
    }
    println!("store on {}, {} rounds", first.file_system, options.rounds);
    println!("{}", table(&sizes));
    Ok(())
}

/// A column for each size, and one for how much a figure grows with each time that the hosts do: 1.00 is linear.
fn table(sizes: &[Size]) -> Table {
    let mut head = vec!["hosts".to_owned()];
    head.extend(sizes.iter().map(|size| size.hosts.to_string()));
    let pairs = || sizes.iter().zip(sizes.iter().skip(1));
    head.extend(pairs().map(|(small, large)| format!("{} to {}", small.hosts, large.hosts)));
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY);
    table.set_header(head);
    table.add_rows(FIGURES.map(|Figure(name, digits, of)| {
        let mut row = vec![name.to_owned()];
        row.extend(sizes.iter().map(|size| format!("{:.digits$}", of(size))));
        row.extend(pairs().map(|(small, large)| growth(of(small), of(large), small, large)));
        row
    }));
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn growth(before: f64, after: f64, small: &Size, large: &Size) -> String {
    if before <= 0.0 || after <= 0.0 {
        return "–".to_owned();
    }
    let hosts = f64::from(large.hosts) / f64::from(small.hosts);
    format!("{:.2}", after / before / hosts)
}
