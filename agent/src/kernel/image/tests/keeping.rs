//! Objects keep their rules for as long as they live, wherever they are moved to, through every look, every generation
//! and every agent.

use super::{
    super::{
        super::mounts::Mounts,
        Relabelled,
        graph::{Graph, MOUNT_NODES_MAX},
    },
    deny, desired,
    disk::Disk,
    installer,
    meeting::met,
    shared::Maps,
};

fn rules(rules: &[(&str, &str)]) -> Vec<String> {
    rules.iter().map(|(id, path)| deny(id, path)).collect()
}

fn install(installer: &mut super::Installer, generation: u64, all: &[(&str, &str)]) {
    let all = rules(all);
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    installer.install(desired(generation, &all)).unwrap();
}

macro_rules! meets {
    ($maps:expr, $disk:expr, $path:expr, $($id:expr),*) => {
        assert_eq!(
            met(&$maps, &$disk, $path),
            Some(std::collections::BTreeSet::from([$($id),*])),
            "{}",
            $path
        )
    };
}

#[test]
fn a_moved_object_keeps_its_rule_through_looks_generations_and_agents() {
    let (maps, disk) = (Maps::new(), Disk::new(&["/srv/app/cfg", "/tmp"]));
    let mut first = installer(&maps, &disk);
    install(&mut first, 1, &[("a", "/srv/app/cfg")]);
    disk.rename("/srv/app/cfg", "/tmp/x");
    assert_eq!(first.relabel().unwrap(), Relabelled::Unchanged);
    meets!(maps, disk, "/tmp/x", "a");
    disk.add("/srv/app/cfg");
    first.relabel().unwrap();
    meets!(maps, disk, "/tmp/x", "a");
    meets!(maps, disk, "/srv/app/cfg", "a");
    install(&mut first, 2, &[("b", "/other"), ("a", "/srv/app/cfg")]);
    meets!(maps, disk, "/tmp/x", "a");
    drop(first);
    let mut second = installer(&maps, &disk);
    install(&mut second, 3, &[("c", "/a/b"), ("a", "/srv/app/cfg")]);
    second.relabel().unwrap();
    meets!(maps, disk, "/tmp/x", "a");
    install(&mut second, 4, &[("c", "/a/b")]);
    meets!(maps, disk, "/tmp/x",); // no rule names that path any more
    install(&mut second, 5, &[("a", "/srv/app/cfg")]);
    meets!(maps, disk, "/tmp/x",);
}

#[test]
fn an_object_that_ended_is_given_up_and_so_is_its_label() {
    let (maps, disk) = (Maps::new(), Disk::new(&["/opt/x"]));
    let mut installer = installer(&maps, &disk);
    install(&mut installer, 1, &[("a", "/opt/x")]);
    let old = disk.id("/opt/x");
    disk.replace("/opt/x");
    maps.log.lock().unwrap().clear();
    assert_eq!(
        installer.relabel().unwrap(),
        Relabelled::Labels { set: 1, removed: 0 }
    );
    let written: Vec<&str> = maps
        .log
        .lock()
        .unwrap()
        .iter()
        .map(|(map, _)| *map)
        .collect();
    assert_eq!(
        written,
        ["LABEL_BITS", "LABELS", "ACTIVE", "LABEL_BITS"],
        "a label has its bit; what the kernel keeps of places is void once labels are written"
    );
    disk.end(old);
    assert_eq!(
        installer.relabel().unwrap(),
        Relabelled::Labels { set: 0, removed: 1 }
    );
    assert!(!maps.labels.rows().contains_key(&old.label_key(0)));
    meets!(maps, disk, "/opt/x", "a");
}

#[test]
fn a_renamed_directory_takes_its_rules_along_and_its_old_name_keeps_them() {
    let (maps, disk) = (Maps::new(), Disk::new(&["/srv/tree/deep/f", "/tmp"]));
    let mut installer = installer(&maps, &disk);
    install(
        &mut installer,
        1,
        &[("a", "/srv/tree/**"), ("b", "/srv/tree/deep/new")],
    );
    disk.rename("/srv/tree", "/tmp/tree");
    disk.add("/srv/tree/deep/f");
    installer.relabel().unwrap();
    disk.add("/tmp/tree/deep/new");
    for tree in ["/tmp/tree", "/srv/tree"] {
        meets!(maps, disk, &format!("{tree}/deep/f"), "a");
    }
    meets!(maps, disk, "/tmp/tree/deep/new", "a", "b");
}

#[test]
fn an_object_that_was_at_two_paths_meets_both_rules_and_others_meet_only_their_own() {
    let (maps, disk) = (Maps::new(), Disk::new(&["/opt/x/in", "/opt/y/in", "/tmp"]));
    let all = [
        ("a", "/opt/x/**"),
        ("b", "/opt/y/**"),
        ("c", "/opt/x/one"),
        ("d", "/opt/y/one"),
    ];
    let mut first = installer(&maps, &disk);
    install(&mut first, 1, &all);
    disk.rename("/opt/y", "/tmp/y");
    disk.rename("/opt/x", "/opt/y");
    first.relabel().unwrap();
    disk.rename("/opt/y", "/tmp/x");
    disk.rename("/tmp/y", "/opt/y");
    disk.add("/opt/x/in");
    disk.add("/tmp/x/one");
    let holds = |disk: &Disk| {
        meets!(maps, disk, "/tmp/x/in", "a", "b");
        meets!(maps, disk, "/tmp/x/one", "a", "b", "c", "d");
        meets!(maps, disk, "/opt/x/in", "a");
        meets!(maps, disk, "/opt/y/in", "b");
    };
    first.relabel().unwrap();
    holds(&disk);
    drop(first);
    // The next agent reads from the image that it was both.
    let mut second = installer(&maps, &disk);
    install(&mut second, 2, &all);
    holds(&disk);
    second.relabel().unwrap();
    holds(&disk);
}

#[test]
fn a_link_that_is_turned_leaves_its_old_target_restricted_and_nothing_else() {
    let (maps, disk) = (Maps::new(), Disk::new(&["/opt/app-1", "/opt/app-2"]));
    disk.symlink("/opt/app", "/opt/app-1");
    let mut installer = installer(&maps, &disk);
    install(&mut installer, 1, &[("a", "/opt/app"), ("b", "/opt/app-1")]);
    disk.symlink("/opt/app", "/opt/app-2");
    installer.relabel().unwrap();
    meets!(maps, disk, "/opt/app-1", "a", "b");
    meets!(maps, disk, "/opt/app-2", "a");
}

#[test]
fn a_file_system_that_is_unmounted_here_but_lives_elsewhere_keeps_the_rules_above_it() {
    let (maps, disk) = (Maps::new(), Disk::new(&["/srv/data"]));
    disk.mount("/srv/data/vol", "xfs");
    let mut installer = installer(&maps, &disk);
    install(&mut installer, 1, &[("a", "/srv/**")]);
    let root = disk.id("/srv/data/vol");
    let label = || {
        let (_, slot) = maps.active();
        let rows = maps.labels.rows();
        rows.contains_key(&root.label_key(slot))
    };
    disk.unmount("/srv/data/vol");
    disk.cut("/srv/data/vol");
    installer.relabel().unwrap();
    assert!(label());
    disk.end(root);
    installer.relabel().unwrap();
    assert!(!label());
}

#[test]
fn of_too_many_moved_objects_the_later_ones_go_and_it_is_said() {
    let (maps, disk) = (Maps::new(), Disk::new(&["/opt/x", "/tmp"]));
    let mut installer = installer(&maps, &disk);
    installer.keep_at_most(2);
    install(&mut installer, 1, &[("a", "/opt/x")]);
    for name in ["/tmp/1", "/tmp/2", "/tmp/3"] {
        disk.rename("/opt/x", name);
        disk.add("/opt/x");
        assert!(installer.concerns().is_empty());
        installer.relabel().unwrap();
    }
    meets!(maps, disk, "/tmp/1", "a");
    meets!(maps, disk, "/tmp/2", "a");
    meets!(maps, disk, "/tmp/3",);
    meets!(maps, disk, "/opt/x", "a");
    assert!(
        installer.concerns()[0].contains("1 moved or replaced objects lost their rules"),
        "{:?}",
        installer.concerns()
    );
}

#[test]
fn a_silent_file_system_keeps_its_labels_and_keeps_nothing_from_being_installed() {
    let (maps, disk) = (Maps::new(), Disk::new(&["/srv/data", "/opt/x"]));
    disk.mount("/srv/data/vol", "nfs4");
    disk.add("/srv/data/vol/f");
    let mut installer = installer(&maps, &disk);
    install(&mut installer, 1, &[("a", "/srv/**")]);
    disk.hang("/srv/data/vol");
    disk.mount("/srv/data/other", "fuse.x");
    disk.hang("/srv/data/other");
    installer.relabel().unwrap();
    install(&mut installer, 2, &[("a", "/srv/**"), ("b", "/opt/x")]);
    meets!(maps, disk, "/srv/data/vol/f", "a");
    meets!(maps, disk, "/opt/x", "b");
    let concerns = installer.concerns().join("\n");
    assert!(
        concerns.contains("/srv/data/vol") && concerns.contains("/srv/data/other"),
        "{concerns}"
    );
}

#[test]
fn a_silent_root_that_was_never_labelled_is_refused() {
    let (maps, disk) = (Maps::new(), Disk::new(&["/opt/x"]));
    disk.hang("/");
    let all = rules(&[("a", "/opt/x")]);
    assert!(
        installer(&maps, &disk)
            .install(desired(1, &[&all[0]]))
            .is_err()
    );
}

#[test]
fn mounts_beyond_the_bound_are_counted_and_leave_room() {
    let mut graph = Graph::new(&desired(1, &[&deny("a", "/srv/**")]).image);
    let before = graph.nodes().count();
    let all = MOUNT_NODES_MAX + 7;
    let lines: String = (0..all)
        .map(|index| format!("{index} 1 0:{index} / /srv/m{index} rw - tmpfs x rw\n"))
        .chain(["9 1 0:9 / /elsewhere rw - tmpfs x rw\n".to_owned()])
        .collect();
    graph.add_mounts(&Mounts::parse(lines.as_bytes()));
    let added = graph.nodes().count() - before;
    assert!(added <= MOUNT_NODES_MAX, "{added}");
    assert_eq!(added + graph.mounts_left_out(), all);
}
