//! Values that parse but make no sense. Never touches the host: whether a path exists is found out in use.

use std::path::Path;

use stayhand_agent_ebpf::abi::hold::HOLDS_MAX;
use stayhand_guardrail::time::DurationMs;

use super::{Bytes, Config, ConfigError};

/// Smallest spool: room for a few thousand events.
const SPOOL_MIN: Bytes = Bytes(4 << 20);
/// Shortest interval between look-ups of users and groups: each asks the whole name service.
const RESOLVE_MIN: DurationMs = DurationMs::from_secs(1);
/// Longest: a user who was put into a guarded group is guarded after at most that long.
const RESOLVE_MAX: DurationMs = DurationMs::from_secs(3_600);
/// Patterns that every argument is held against.
const PATTERNS_MAX: usize = 100;

/// Checks every bound.
pub(super) fn check(path: &Path, config: &Config) -> Result<(), ConfigError> {
    let wrong = |key: &'static str, message: String| {
        Err(ConfigError::Value {
            path: path.to_owned(),
            key,
            message,
        })
    };
    let paths = [
        ("kernel.object", &config.kernel.object),
        ("kernel.pins", &config.kernel.pins),
        ("state.directory", &config.state.directory),
        ("control.socket", &config.control.socket),
        ("local.socket", &config.local.socket),
    ];
    let floor = config.floor.directory.iter();
    let floor = floor.map(|path| ("floor.directory", path));
    let mut paths = paths.into_iter().chain(floor);
    if let Some((key, _)) = paths.find(|(_, path)| !path.is_absolute()) {
        return wrong(key, "must be an absolute path".into());
    }
    if let Some(address) = &config.control.address
        && let Err(problem) = stayhand_transport::check_address(address)
    {
        return wrong("control.address", problem.to_string());
    }
    if config.state.spool_bytes_max < SPOOL_MIN {
        return wrong(
            "state.spool_bytes_max",
            format!("must be at least {SPOOL_MIN}"),
        );
    }
    let per_subject = config.holds.per_subject_max;
    if per_subject == 0 || per_subject > HOLDS_MAX {
        return wrong(
            "holds.per_subject_max",
            format!("must be from 1 to {HOLDS_MAX}"),
        );
    }
    if config.holds.restops_max == 0 {
        return wrong("holds.restops_max", "must be at least 1".into());
    }
    let every = config.subjects.resolve_every;
    if every < RESOLVE_MIN || every > RESOLVE_MAX {
        return wrong(
            "subjects.resolve_every",
            format!("must be from {RESOLVE_MIN} to {RESOLVE_MAX}"),
        );
    }
    if config.redact.arguments.len() + config.redact.patterns.len() > PATTERNS_MAX {
        return wrong("redact", format!("has more than {PATTERNS_MAX} patterns"));
    }
    Ok(())
}
