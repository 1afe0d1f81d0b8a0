//! docs/filesystems.md: what is shown on which kind of file system, from the tables of the scenarios.

use std::fmt::Write as _;

use crate::scenarios::{
    self,
    filesystems::{KINDS, PROPERTIES},
};

const INTRODUCTION: &str = "\
# File systems

Rules name paths; the kernel compares identities (device, number, generation) and names on the way up to the root of the
file system. How well that works depends on the file system. Made by a test (`tests/src/actions/filesystems.rs`) from the
tables of `tests/src/scenarios/filesystems.rs`; not edited by hand.

On each of these, on every tested kernel, one scenario shows:

";

/// Others, by what shows them.
const OTHERS: &[(&str, &str, &[&str])] = &[
    (
        "overlayfs",
        "Both files are judged, each by its own path: an overlay above a protected directory opens nothing. Until Linux 6.7 \
         the one underneath is walked from its own name. A mapping through an overlay is judged by the overlay's path only.",
        &[
            "a_denied_file_is_not_written_through_an_overlay_above_it",
            "a_denied_file_is_not_read_deleted_or_moved_through_an_overlay_above_it",
            "a_denied_program_does_not_run_through_an_overlay_above_it",
            "a_creation_on_overlayfs_is_one_question",
        ],
    ),
    (
        "bind mounts, private mount namespaces, chroot",
        "The walk knows no mounts: a place is where it is on its file system, however it is shown.",
        &[
            "a_bind_mount_of_a_denied_directory_is_denied",
            "a_private_mount_namespace_changes_nothing",
            "chroot_changes_nothing",
            "a_protected_directory_stays_protected_where_it_is_bound",
        ],
    ),
    (
        "a new file system below a protected directory",
        "Covered once its root is labelled, which follows the mount; a file system on a device that was used before is not \
         taken for the old one.",
        &[
            "a_new_mount_below_a_protected_directory_is_protected",
            "a_new_file_system_with_a_reused_device_is_not_mistaken_for_the_old_one",
        ],
    ),
    (
        "proc, sysfs, cgroup",
        "Names are looked at again by the file system itself, so that each access is walked. A link of /proc leads to the \
         object, which is judged.",
        &[
            "proc_self_root_and_proc_self_fd_change_nothing",
            "a_directory_that_its_file_system_looks_at_again_is_never_known",
        ],
    ),
];

const NOT_SHOWN: &str = "\
## Not shown here

NFS, SMB and FUSE: names may change on the server without a rename here, so each access is walked by the names that this
kernel has; who controls the server controls names and numbers. A server that does not answer keeps its labels
(docs/agent.md). Files that such a system creates while opening are denied where a rule holds creations. vfat and exfat:
numbers are given again after the last close; a rule by name holds. f2fs, zfs, bcachefs: never tried.
";

#[test]
fn the_document_on_file_systems_is_what_the_scenarios_show() {
    super::is_kept("docs/filesystems.md", &document());
}

#[test]
fn every_scenario_that_the_document_names_runs() {
    let named = KINDS.iter().map(|kind| kind.scenario);
    for name in named.chain(
        OTHERS
            .iter()
            .flat_map(|(_, _, shown)| shown.iter().copied()),
    ) {
        assert!(scenarios::all().any(|one| one.name == name), "{name}");
    }
}

fn document() -> String {
    let mut text = INTRODUCTION.to_owned();
    for (property, _) in PROPERTIES {
        writeln!(text, "- {property}").unwrap();
    }
    text.push_str("\n| file system | objects are known by | shown by |\n|---|---|---|\n");
    for kind in KINDS {
        writeln!(
            text,
            "| {} | {} | `{}` |",
            kind.name, kind.known_by, kind.scenario
        )
        .unwrap();
    }
    text.push_str(
        "\nA snapshot of a btrfs subvolume has the numbers of what it was made of: it keeps those rules \
         (`a_snapshot_keeps_the_rules_of_what_it_was_made_of`),\nand a grant on the original covers it, too. `btrfs subvolume create` \
         and `snapshot` make names by `ioctl`, which no rule on\n`create` sees.\n\n## Others\n\n",
    );
    for (what, how, shown) in OTHERS {
        let shown: Vec<String> = shown.iter().map(|name| format!("`{name}`")).collect();
        writeln!(text, "**{what}.** {how} ({})\n", shown.join(", ")).unwrap();
    }
    text.push_str(NOT_SHOWN);
    text
}
