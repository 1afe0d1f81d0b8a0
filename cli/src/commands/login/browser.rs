//! Opens an address in whatever browser somebody has. It is printed anyway, so nothing depends on this.

use std::process::{Command, Stdio};

/// What opens addresses on a desktop (xdg-utils).
const OPENER: &str = "xdg-open";

/// Tries, where there is a desktop; says nothing.
pub(super) fn open(uri: &str) {
    let desktop = ["DISPLAY", "WAYLAND_DISPLAY"];
    if !desktop.iter().any(|name| std::env::var_os(name).is_some()) || !uri.starts_with("https://")
    {
        return;
    }
    let started = Command::new(OPENER)
        .arg(uri)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    // Not waited for: it may be the browser itself.
    drop(started);
}
