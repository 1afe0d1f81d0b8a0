//! Conditions on programs: a step names the label of the file that is at the program's path, under whatever it is labelled.

use stayhand_agent_ebpf::{
    abi::{
        image::{ARG_STEPS_PER_SLOT, ArgStep, LabelKey, Token, step_flag},
        task::lineage,
    },
    args::{Arguments, Matcher, met},
};

use super::{
    super::super::identity::ObjectId, Installer, deny, desired, disk::Disk, installer, meeting,
    shared::Maps,
};

/// A process that descends from one program.
struct From<'m> {
    maps: &'m Maps,
    node: u32,
}

impl Arguments for From<'_> {
    fn step(&self, index: u32) -> Option<ArgStep> {
        let (_, slot) = self.maps.active();
        let steps = self.maps.arg_steps.rows();
        steps.get(&(slot * ARG_STEPS_PER_SLOT + index)).copied()
    }

    fn token(&self, _: u32) -> Option<Token> {
        None
    }

    fn count(&self) -> u32 {
        0
    }

    fn known(&self) -> bool {
        true
    }

    fn terminal(&self) -> u32 {
        met::NO
    }

    fn program(&self, index: u32) -> Option<u32> {
        (index == 0 && self.node != 0).then_some(self.node)
    }

    fn parents(&self) -> u32 {
        u32::from(self.node != 0)
    }

    fn lineage(&self) -> u32 {
        lineage::KNOWN
    }

    fn fact(&self, _: u32) -> u32 {
        met::MAYBE
    }
}

/// Whether the condition on `/bin/tool` is met by a process that descends from this object.
fn met_from(maps: &Maps, disk: &Disk, program: ObjectId) -> u32 {
    let (_, slot) = maps.active();
    let key: LabelKey = program.label_key(slot);
    let label = maps.labels.rows().get(&key).map_or(0, |label| label.node);
    let entries = meeting::entries(maps, disk, "/bin/tool").unwrap();
    let [entry] = entries.as_slice() else {
        panic!("{entries:?}")
    };
    let from = From { maps, node: label };
    let mut matcher = Matcher::default();
    loop {
        match matcher.advance(&from, entry.args_first, entry.args_len) {
            met::OPEN => {}
            decided => return decided,
        }
    }
}

const CONDITION: &str =
    "{ id: a, effect: deny, exec: { path: /bin/tool, ancestor: [/opt/agent, /opt/other] } }";

fn site() -> (Maps, Disk) {
    let disk = Disk::new(&[
        "/bin/tool",
        "/opt/agent",
        "/opt/other",
        "/opt/free",
        "/etc/site/f",
    ]);
    (Maps::new(), disk)
}

fn install(maps: &Maps, disk: &Disk, rules: &[&str]) -> Installer {
    let mut installer = installer(maps, disk);
    installer.install(desired(1, rules)).unwrap();
    installer
}

#[test]
fn a_program_meets_a_condition_that_names_its_path_and_no_other() {
    let (maps, disk) = site();
    let _installer = install(&maps, &disk, &[CONDITION]);
    assert_eq!(met_from(&maps, &disk, disk.id("/opt/agent")), met::YES);
    assert_eq!(met_from(&maps, &disk, disk.id("/opt/other")), met::YES);
    assert_eq!(met_from(&maps, &disk, disk.id("/opt/free")), met::NO);
    assert_eq!(met_from(&maps, &disk, disk.id("/bin/tool")), met::NO);
}

#[test]
fn a_program_under_two_rules_names_meets_both_and_other_steps_keep_their_places() {
    let (maps, disk) = site();
    disk.symlink("/usr/agent", "/opt/agent");
    let rules = [
        "{ id: b, effect: deny, exec: { path: /etc/site/f, anyArg: [x, y], parent: /usr/agent } }",
        CONDITION,
        "{ id: c, effect: deny, exec: { path: /etc/site/g, anyArg: [z] } }",
    ];
    let _installer = install(&maps, &disk, &rules);
    assert_eq!(met_from(&maps, &disk, disk.id("/opt/agent")), met::YES);
    assert_eq!(met_from(&maps, &disk, disk.id("/opt/free")), met::NO);
}

#[test]
fn a_replaced_program_counts_with_the_one_that_took_its_place() {
    let (maps, disk) = site();
    let mut installer = install(&maps, &disk, &[CONDITION]);
    let old = disk.id("/opt/agent");
    disk.replace("/opt/agent");
    assert_eq!(met_from(&maps, &disk, disk.id("/opt/agent")), met::NO);
    installer.relabel().unwrap();
    for program in [old, disk.id("/opt/agent")] {
        assert_eq!(met_from(&maps, &disk, program), met::YES);
    }
    disk.end(old);
    installer.relabel().unwrap();
    assert_eq!(met_from(&maps, &disk, old), met::NO);
}

#[test]
fn a_program_that_was_moved_onto_another_rules_path_restricts_and_permits_nothing() {
    let (maps, disk) = site();
    let rules = [CONDITION, &deny("b", "/opt/free")];
    let mut installer = install(&maps, &disk, &rules);
    let agent = disk.id("/opt/agent");
    disk.remove("/opt/free");
    disk.rename("/opt/agent", "/opt/free");
    installer.relabel().unwrap();
    assert_eq!(met_from(&maps, &disk, agent), met::MAYBE);
    installer.verify().unwrap();
}

#[test]
fn a_program_that_a_link_shows_restricts_and_permits_nothing() {
    let (maps, disk) = site();
    disk.remove("/opt/agent");
    disk.symlink("/opt/agent", "/opt/free");
    let _installer = install(&maps, &disk, &[CONDITION]);
    assert_eq!(met_from(&maps, &disk, disk.id("/opt/free")), met::MAYBE);
    assert_eq!(met_from(&maps, &disk, disk.id("/opt/other")), met::YES);
}

#[test]
fn a_program_that_cannot_be_labelled_may_be_any_and_is_said() {
    let (maps, disk) = site();
    disk.mount("/opt/mount", "fuse.x");
    disk.shut("/opt/mount");
    let condition =
        "{ id: a, effect: deny, exec: { path: /bin/tool, ancestor: [/opt/mount, /opt/agent] } }";
    let installer = install(&maps, &disk, &[condition]);
    assert_eq!(met_from(&maps, &disk, disk.id("/opt/free")), met::MAYBE);
    assert_eq!(met_from(&maps, &disk, disk.id("/opt/agent")), met::YES);
    let concerns = installer.concerns().join("\n");
    assert!(
        concerns.contains("`/opt/mount` is no program that can be told"),
        "{concerns}"
    );
}

#[test]
fn a_program_that_is_not_there_is_nobodys_ancestor() {
    let (maps, disk) = site();
    disk.remove("/opt/agent");
    let installer = install(&maps, &disk, &[CONDITION]);
    assert_eq!(met_from(&maps, &disk, disk.id("/opt/free")), met::NO);
    assert_eq!(installer.concerns(), Vec::<String>::new());
}

#[test]
fn every_step_on_the_process_is_said_by_the_first_one() {
    let (maps, disk) = site();
    let _installer = install(&maps, &disk, &[CONDITION]);
    let (_, slot) = maps.active();
    let first = maps.arg_steps.rows()[&(slot * ARG_STEPS_PER_SLOT)];
    assert_eq!(first.flags, step_flag::ANCESTOR);
}
