//! The generator of `cargo xtask bench fleet` against the real program, with a few hosts: that it measures at all. No time is
//! compared with anything.

use std::time::Duration;

use stayhand_fleet::{Plan, measure};

/// Fewer than one token lets in, and more than join at once.
const HOSTS: u32 = 40;

#[tokio::test(flavor = "multi_thread")]
async fn a_small_fleet_joins_enforces_what_changes_and_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let plan = Plan {
        program: env!("CARGO_BIN_EXE_stayhand-control").into(),
        below: directory.path().to_owned(),
        hosts: HOSTS,
        rounds: 2,
        idle: Duration::from_millis(200),
        quiet: true,
    };
    let report = measure(&plan).await.unwrap();
    assert_eq!(report.hosts, HOSTS);
    assert_ne!(report.file_system, "unknown");
    for wave in [report.grant, report.revocation] {
        assert!(wave.enforced.p50_ms > 0.0, "{wave:?}");
        assert!(wave.enforced.p50_ms <= wave.enforced.max_ms, "{wave:?}");
        assert!(wave.counted.max_ms > 0.0, "{wave:?}");
    }
    assert_eq!(report.one_host.others_woken, 0, "{:?}", report.one_host);
    for storm in [report.connect, report.restart, report.crash] {
        assert!(storm.back.max_ms > 0.0, "{storm:?}");
    }
    assert!(report.pss_per_host_kib() > 0.0, "{report:?}");
}
