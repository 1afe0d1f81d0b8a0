//! The operational log on standard error. Audit events are elsewhere, and no secret is in either.

use tracing_subscriber::{EnvFilter, fmt};

use crate::config::{Format, Level, Log};

/// Starts logging. Only this product's own words from `info` down; of libraries only what is wrong.
pub fn start(log: &Log) {
    let level = match log.level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
    };
    let others = if log.level == Level::Error {
        "error"
    } else {
        "warn"
    };
    // What hooks say is under the name of their object.
    let hooks = if cfg!(feature = "trace") {
        ",stayhand_hooks=debug"
    } else {
        ""
    };
    let filter = EnvFilter::new(format!("{others},stayhand_agent={level}{hooks}"));
    let lines = fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false);
    let started = match log.format {
        Format::Json => lines.json().try_init(),
        Format::Text => lines.with_target(false).try_init(),
    };
    // Only a second start fails, and then the first one is there.
    drop(started);
}
