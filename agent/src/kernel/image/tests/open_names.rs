//! Open components of paths: by name, by label, through links, on mounts, and what a permission on them opens.

use super::{
    super::{Relabelled, graph::EXPANDED_MAX},
    deny, desired, desired_with,
    disk::Disk,
    installer,
    meeting::{entries, install, meets},
    shared::Maps,
};

fn granted(maps: &Maps, disk: &Disk, path: &str) -> bool {
    let found = entries(maps, disk, path).unwrap();
    found.iter().any(|entry| entry.permission != 0)
}

#[test]
fn names_that_are_there_and_names_that_come_meet_the_rule() {
    let disk = Disk::new(&["/var/log/app-1.log", "/var/log/other", "/home/ann/.ssh/key"]);
    let maps = install(
        &disk,
        &[("a", "/var/log/app-*.log"), ("b", "/home/*/.ssh/**")],
    );
    disk.add("/var/log/app-2.log");
    disk.add("/home/bob/.ssh/deep/key");
    for path in [
        "/var/log/app-1.log",
        "/var/log/app-2.log",
        "/var/log/app-.log",
    ] {
        meets!(maps, disk, path, "a");
    }
    for path in ["/home/ann/.ssh/key", "/home/bob/.ssh/deep/key"] {
        meets!(maps, disk, path, "b");
    }
    for path in [
        "/var/log/other",
        "/var/log/app-2.lo",
        "/home/ann/notes",
        "/home/ann",
        "/home/.ssh/key",
    ] {
        meets!(maps, disk, path,);
    }
}

#[test]
fn a_name_meets_every_pattern_and_every_path_that_means_it() {
    let disk = Disk::new(&["/d/ab-there-ba"]);
    let rules = [
        ("a", "/d/ab*"),
        ("b", "/d/*ba"),
        ("c", "/d/ab*ba"),
        ("d", "/d/abba"),
    ];
    let maps = install(&disk, &rules);
    for path in ["/d/ab-there-ba", "/d/ab-new-ba"] {
        meets!(maps, disk, path, "a", "b", "c");
    }
    meets!(maps, disk, "/d/abba", "a", "b", "c", "d");
    meets!(maps, disk, "/d/aba", "a", "b");
    meets!(maps, disk, "/d/ab", "a");
    meets!(maps, disk, "/d/xba", "b");
}

#[test]
fn what_a_pattern_meant_keeps_its_rule_when_it_moves() {
    let disk = Disk::new(&["/var/log/app-1.log", "/tmp"]);
    let maps = Maps::new();
    let mut installer = installer(&maps, &disk);
    let rule = deny("a", "/var/log/app-*.log");
    installer.install(desired(1, &[&rule])).unwrap();
    disk.hard_link("/tmp/x", "/var/log/app-1.log");
    disk.remove("/var/log/app-1.log");
    meets!(maps, disk, "/tmp/x", "a");
    installer.relabel().unwrap();
    meets!(maps, disk, "/tmp/x", "a");
    installer.install(desired(2, &[&rule])).unwrap();
    meets!(maps, disk, "/tmp/x", "a");
}

#[test]
fn links_and_mounts_at_names_of_a_pattern_lead_to_its_rules() {
    let disk = Disk::new(&["/home", "/data/ann/.ssh/key"]);
    disk.symlink("/home/ann", "/data/ann");
    disk.mount("/home/bob", "nfs");
    disk.add("/home/bob/.ssh/key");
    let maps = install(&disk, &[("a", "/home/*/.ssh/**")]);
    meets!(maps, disk, "/data/ann/.ssh/key", "a");
    meets!(maps, disk, "/home/bob/.ssh/key", "a");
    meets!(maps, disk, "/home/bob/notes",);
}

#[test]
fn a_mount_that_comes_later_meets_the_rule_after_looking_again() {
    let disk = Disk::new(&["/home"]);
    let maps = Maps::new();
    let mut installer = installer(&maps, &disk);
    installer
        .install(desired(1, &[&deny("a", "/home/*/.ssh/**")]))
        .unwrap();
    disk.mount("/home/bob", "nfs");
    disk.add("/home/bob/.ssh/key");
    assert!(matches!(
        installer.relabel().unwrap(),
        Relabelled::Reinstalled(_)
    ));
    meets!(maps, disk, "/home/bob/.ssh/key", "a");
}

#[test]
fn a_name_that_one_of_two_names_of_a_directory_has_meets_the_patterns_of_the_other() {
    let disk = Disk::new(&["/srv/x"]);
    disk.symlink("/data", "/srv/x");
    let maps = install(&disk, &[("a", "/data/secret.txt"), ("b", "/srv/x/*.txt")]);
    // Not there yet, under either name.
    meets!(maps, disk, "/srv/x/secret.txt", "a", "b");
    disk.add("/srv/x/secret.txt");
    meets!(maps, disk, "/srv/x/secret.txt", "a", "b");
    meets!(maps, disk, "/srv/x/other.txt", "b");
}

#[test]
fn a_permission_on_a_pattern_opens_what_it_means_and_nothing_that_is_linked_there() {
    let disk = Disk::new(&["/srv/one/conf/f", "/etc/site/f"]);
    disk.symlink("/srv/two", "/etc/site");
    let maps = Maps::new();
    let mut installer = installer(&maps, &disk);
    let (rule, site) = (deny("a", "/srv/*/conf/**"), deny("b", "/etc/site/**"));
    let desired = desired_with(1, &["\"/srv/*/**\""], &[&rule, &site]);
    installer.install(desired).unwrap();
    assert!(granted(&maps, &disk, "/srv/one/conf/f"));
    assert!(granted(&maps, &disk, "/srv/new/conf/f"));
    assert!(!granted(&maps, &disk, "/etc/site/f"));
}

#[test]
fn two_permissions_that_mean_one_name_both_count() {
    let disk = Disk::new(&["/srv/ab"]);
    let maps = Maps::new();
    let desired = desired_with(
        1,
        &["\"/srv/a*\"", "\"/srv/*b\"", "/srv/ab"],
        &[&deny("a", "/x")],
    );
    installer(&maps, &disk).install(desired).unwrap();
    for path in ["/srv/ab", "/srv/anewb", "/srv/a", "/srv/b"] {
        assert!(granted(&maps, &disk, path), "{path}");
    }
}

#[test]
fn names_beyond_the_bound_are_met_by_name_and_said() {
    let paths: Vec<String> = (0..EXPANDED_MAX + 10)
        .map(|index| format!("/d/f{index}"))
        .collect();
    let disk = Disk::new(&paths.iter().map(String::as_str).collect::<Vec<_>>());
    disk.mount("/d/zz", "xfs");
    let maps = Maps::new();
    maps.labels.bound(2 * EXPANDED_MAX);
    maps.edges.bound(3 * EXPANDED_MAX);
    let mut installer = installer(&maps, &disk);
    installer
        .install(desired(1, &[&deny("a", "/d/*"), &deny("b", "/d/*/x")]))
        .unwrap();
    let said = installer.concerns().join("\n");
    assert!(said.contains("are matched by name only"), "{said}");
    for path in &paths {
        meets!(maps, disk, path.as_str(), "a");
    }
    disk.add("/d/zz/x");
    meets!(maps, disk, "/d/zz/x", "b");
}
