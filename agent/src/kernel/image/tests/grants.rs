//! What a permission covers: the objects that its own path names, and nothing that a mount or a link shows there.

use stayhand_agent_ebpf::abi::image::Entry;

use super::{
    deny, desired_with,
    disk::Disk,
    installer,
    meeting::{entries, met},
    shared::Maps,
};

/// With a permission on these paths and rule `a` on everything below `/etc/site`.
fn install(disk: &Disk, permission: &[&str]) -> (Maps, super::Installer) {
    let maps = Maps::new();
    let mut installer = installer(&maps, disk);
    installer
        .install(desired_with(1, permission, &[&deny("a", "/etc/site/**")]))
        .unwrap();
    (maps, installer)
}

fn is_granted(maps: &Maps, disk: &Disk, path: &str) -> bool {
    let gives = |entry: &Entry| entry.permission != 0;
    entries(maps, disk, path).unwrap().iter().any(gives)
}

fn site() -> Disk {
    Disk::new(&[
        "/etc/site/f",
        "/etc/site/sub/f",
        "/srv/prod/x",
        "/srv/prod/y",
    ])
}

/// Restricted by its own rule, and not opened by the permission.
fn is_only_restricted(maps: &Maps, disk: &Disk, path: &str) {
    assert!(met(maps, disk, path).unwrap().contains("a"), "{path}");
    assert!(!is_granted(maps, disk, path), "{path}");
}

#[test]
fn a_bind_mount_below_a_granted_directory_moves_no_permission() {
    let disk = site();
    disk.bind("/srv/prod/x", "/etc/site");
    disk.bind("/srv/prod/sub", "/etc/site/sub");
    let (maps, _) = install(&disk, &["/srv/prod/**"]);
    for path in [
        "/etc/site/f",
        "/srv/prod/x/f",
        "/etc/site/sub/f",
        "/srv/prod/sub/f",
    ] {
        is_only_restricted(&maps, &disk, path);
    }
    assert!(is_granted(&maps, &disk, "/srv/prod/y"));
}

#[test]
fn a_bind_mount_that_comes_later_moves_no_permission() {
    let disk = site();
    let (maps, mut installer) = install(&disk, &["/srv/prod/**"]);
    disk.bind("/srv/prod/x", "/etc/site");
    installer.relabel().unwrap();
    is_only_restricted(&maps, &disk, "/etc/site/f");
    assert!(is_granted(&maps, &disk, "/srv/prod/y"));
}

#[test]
fn a_granted_directory_that_is_covered_by_another_gives_nothing() {
    let disk = site();
    disk.bind("/srv/prod", "/etc/site");
    let (maps, installer) = install(&disk, &["/srv/prod/**"]);
    is_only_restricted(&maps, &disk, "/etc/site/f");
    let concerns = installer.concerns().join("\n");
    assert!(
        concerns.contains("permissions on `/srv/prod` do not count"),
        "{concerns}"
    );
}

#[test]
fn a_link_in_a_granted_path_moves_no_permission() {
    let disk = site();
    disk.cut("/srv/prod");
    disk.symlink("/srv/prod", "/etc/site");
    let granted = ["/srv/prod/**", "/srv/prod/later", "/srv/prod/sub/**"];
    let (maps, installer) = install(&disk, &granted);
    disk.add("/etc/site/later");
    for path in ["/etc/site/f", "/etc/site/later", "/etc/site/sub/f"] {
        is_only_restricted(&maps, &disk, path);
    }
    assert!(!installer.concerns().is_empty());
}

#[test]
fn a_permission_counts_through_the_links_of_ordinary_distributions_and_only_to_their_targets() {
    for (link, target, granted) in [
        ("/var/run", "/run", true),
        ("/bin", "/usr/bin", true),
        ("/var/run", "/etc/site", false),
        ("/opt", "/run", false),
    ] {
        let disk = Disk::new(&["/run/prod/f", "/usr/bin/prod/f", "/etc/site/prod/f", "/var"]);
        disk.symlink(link, target);
        let (maps, _) = install(&disk, &[&format!("{link}/prod/**")]);
        let path = format!("{target}/prod/f");
        assert_eq!(is_granted(&maps, &disk, &path), granted, "{link} {target}");
    }
}

#[test]
fn a_disk_of_its_own_below_a_granted_directory_is_granted() {
    let disk = site();
    disk.mount("/srv/prod/disk", "xfs");
    disk.add("/srv/prod/disk/f");
    let (maps, _) = install(&disk, &["/srv/prod/**"]);
    assert!(is_granted(&maps, &disk, "/srv/prod/disk/f"));
}

#[test]
fn a_path_that_comes_to_exist_is_granted() {
    let disk = Disk::new(&["/srv"]);
    let (maps, _) = install(&disk, &["/srv/prod/**"]);
    disk.add("/srv/prod/new");
    assert!(is_granted(&maps, &disk, "/srv/prod/new"));
}

#[test]
fn an_object_with_two_names_is_granted_only_if_both_are() {
    let disk = Disk::new(&["/srv/prod/x", "/etc"]);
    disk.hard_link("/etc/y", "/srv/prod/x");
    let maps = Maps::new();
    let wanted = |permission: &[&str]| desired_with(1, permission, &[&deny("a", "/etc/y")]);
    let mut installer = installer(&maps, &disk);
    installer.install(wanted(&["/srv/prod/x"])).unwrap();
    is_only_restricted(&maps, &disk, "/etc/y");
    installer
        .install(wanted(&["/srv/prod/x", "/etc/y"]))
        .unwrap();
    assert!(is_granted(&maps, &disk, "/etc/y"));
}

#[test]
fn an_object_that_was_moved_to_another_ruled_path_takes_no_permission_along() {
    let disk = Disk::new(&["/srv/prod/x", "/etc"]);
    let maps = Maps::new();
    let mut installer = installer(&maps, &disk);
    let rules = [deny("a", "/etc/y")];
    installer
        .install(desired_with(1, &["/srv/prod/x"], &[&rules[0]]))
        .unwrap();
    disk.rename("/srv/prod/x", "/etc/y");
    installer.relabel().unwrap();
    // By its label; its name is judged besides.
    disk.rename("/etc/y", "/etc/z");
    is_only_restricted(&maps, &disk, "/etc/z");
}
