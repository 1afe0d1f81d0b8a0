//! Looking again: objects and mounts that came, went or were replaced after the installation.

use super::{super::Relabelled, deny, desired, disk::Disk, installer, meeting::met, shared::Maps};

fn installed(paths: &[&str], rules: &[(&str, &str)]) -> (Maps, Disk, super::Installer) {
    let (maps, disk) = (Maps::new(), Disk::new(paths));
    let mut installer = installer(&maps, &disk);
    let rules: Vec<String> = rules.iter().map(|(id, path)| deny(id, path)).collect();
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    installer.install(desired(1, &rules)).unwrap();
    (maps, disk, installer)
}

#[test]
fn nothing_new_writes_nothing() {
    let (maps, _disk, mut installer) = installed(&["/opt/x"], &[("a", "/opt/x")]);
    maps.log.lock().unwrap().clear();
    assert_eq!(installer.relabel().unwrap(), Relabelled::Unchanged);
    assert!(maps.log.lock().unwrap().is_empty());
}

#[test]
fn before_the_first_installation_there_is_nothing_to_do() {
    let (maps, disk) = (Maps::new(), Disk::new(&[]));
    assert_eq!(
        installer(&maps, &disk).relabel().unwrap(),
        Relabelled::Nothing
    );
}

#[test]
fn a_replaced_object_is_labelled_in_place_and_one_that_is_not_there_keeps_its_label() {
    let (maps, disk, mut installer) =
        installed(&["/opt/x", "/opt/y"], &[("a", "/opt/x"), ("b", "/opt/y")]);
    disk.replace("/opt/x");
    disk.remove("/opt/y");
    assert_eq!(
        installer.relabel().unwrap(),
        Relabelled::Labels { set: 1, removed: 0 }
    );
    assert_eq!(maps.active(), (1, 0), "no flip");
    disk.hard_link("/moved", "/opt/x");
    disk.remove("/opt/x");
    assert!(met(&maps, &disk, "/moved").unwrap().contains("a"));
    installer.verify().unwrap();
}

#[test]
fn a_new_mount_meets_the_rules_above_it_after_looking_again() {
    let (maps, disk, mut installer) = installed(&["/srv/data"], &[("a", "/srv/**")]);
    disk.mount("/srv/data/late", "xfs");
    disk.add("/srv/data/late/x");
    assert!(
        met(&maps, &disk, "/srv/data/late/x").unwrap().is_empty(),
        "the walk ends at the mount's root"
    );
    assert!(
        matches!(installer.relabel().unwrap(), Relabelled::Reinstalled(report) if report.generation.0 == 1)
    );
    assert!(met(&maps, &disk, "/srv/data/late/x").unwrap().contains("a"));
    assert_eq!(maps.active(), (1, 1));
    assert_eq!(installer.relabel().unwrap(), Relabelled::Unchanged);
}

#[test]
fn a_link_that_makes_two_names_one_is_installed_anew() {
    let (maps, disk, mut installer) =
        installed(&["/opt/x", "/opt/y"], &[("a", "/opt/x"), ("b", "/opt/y")]);
    disk.remove("/opt/y");
    disk.symlink("/opt/y", "/opt/x");
    assert!(matches!(
        installer.relabel().unwrap(),
        Relabelled::Reinstalled(_)
    ));
    let rules = met(&maps, &disk, "/opt/x").unwrap();
    assert!(rules.contains("a") && rules.contains("b"));
}
