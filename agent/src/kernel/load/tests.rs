//! Tests of loading, as far as they need no kernel.

use super::{
    super::probe::Problem,
    error::{VERIFIER_TAIL, tail},
    *,
};
use crate::exit::Code;

#[test]
fn problems_are_all_said_and_the_exit_code_is_the_deepest_causes() {
    let problems = vec![
        Problem::NoTypeInformation,
        Problem::Privilege(vec!["CAP_BPF"]),
    ];
    let error = LoadError::Problems(problems);
    assert_eq!(error.code(), Code::Privilege);
    assert!(
        error.to_string().contains("vmlinux") && error.to_string().contains("CAP_BPF"),
        "{error}"
    );
    assert_eq!(
        LoadError::Problems(vec![Problem::NoTypeInformation]).code(),
        Code::NotEnforced
    );
}

#[test]
fn a_kernel_that_cannot_enforce_loads_nothing() {
    let place = tempfile::tempdir().unwrap();
    let mut options = LoadOptions::new("/nonexistent.o");
    options.pins = Pins::new(place.path().join("product/v1"));
    options.places.lsm_list = place.path().join("lsm");
    let error = Kernel::load(&options).unwrap_err();
    assert!(matches!(error, LoadError::Problems(_)), "{error}");
    assert!(!options.pins.root().exists(), "nothing was made");
}

#[test]
fn uninstalling_removes_every_pin_and_only_pins() {
    let place = tempfile::tempdir().unwrap();
    let pins = Pins::new(place.path().join("product/v1"));
    pins.prepare().unwrap();
    for name in ["file_open-1", "file_open-2", "capable-2"] {
        std::fs::write(pins.links_dir().join(name), "").unwrap();
    }
    std::fs::write(pins.map("HOLDS"), "").unwrap();
    assert_eq!(Kernel::detach_all(&pins).unwrap(), 3);
    assert!(!pins.root().exists());
    assert_eq!(Kernel::detach_all(&pins).unwrap(), 0, "again is fine");
}

#[test]
fn what_another_version_pinned_goes_alone_or_with_everything() {
    let place = tempfile::tempdir().unwrap();
    let product = place.path().join("product");
    let all = ["v0", "v1", "v7"].map(|version| Pins::new(product.join(version)));
    let make = || {
        for pins in &all {
            pins.prepare().unwrap();
            std::fs::write(pins.link("file_open", 1), "").unwrap();
            std::fs::write(pins.map("HOLDS"), "").unwrap();
        }
    };
    let there = || all.clone().map(|pins| pins.root().exists());
    make();
    assert_eq!(Kernel::detach_others(&all[1]).unwrap(), 2);
    assert_eq!(there(), [false, true, false]);
    make();
    assert_eq!(Kernel::detach_all(&all[1]).unwrap(), 3);
    assert_eq!(there(), [false; 3]);
}

#[test]
fn a_long_verifier_log_shows_its_end() {
    let shown = tail(&format!("{}the reason", "x".repeat(10_000)));
    assert!(shown.ends_with("the reason") && shown.len() < VERIFIER_TAIL + 100);
    assert!(tail(" \n").contains("forbids"));
}
