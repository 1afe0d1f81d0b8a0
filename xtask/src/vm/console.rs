//! Signs of a sick kernel on the guest's console.
//!
//! Only kernel text counts; programs in the guest report on the other port.

/// What the kernel prints when something is broken beyond one process.
const MARKERS: [&str; 12] = [
    "Kernel panic - not syncing",
    "BUG: ",
    "Oops: ",
    "general protection fault",
    "Unable to handle kernel",
    "unable to handle page fault",
    "WARNING: CPU: ",
    "soft lockup",
    "hard LOCKUP",
    "rcu: INFO: rcu_",
    "blocked for more than",
    "verifier bug",
];

/// The marker in this line, if any.
pub fn marker(line: &str) -> Option<&'static str> {
    MARKERS.into_iter().find(|m| line.contains(m))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_warnings_are_seen_and_plain_words_are_not() {
        assert_eq!(
            marker("[   3.1] WARNING: CPU: 1 PID: 7 at kernel/bpf/x.c:1 y+0x1/0x2"),
            Some("WARNING: CPU: ")
        );
        assert_eq!(marker("[   3.1] audit: warning level"), None);
    }
}
