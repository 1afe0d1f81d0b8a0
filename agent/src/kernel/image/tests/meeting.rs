//! Which rules an object meets, under whatever name, mount or replacement: the rows that were installed, walked by
//! the kernel's own automaton.
#![expect(clippy::cast_possible_truncation, reason = "small numbers of tests")]

use std::collections::{BTreeMap, BTreeSet};

use stayhand_agent_ebpf::{
    abi::image::{EdgeKey, Entry, NODES_PER_SLOT, Node, Range},
    path::{Levels, States, and_hash, bit_of, step, wild_hash},
    siphash::hash_name,
};
use stayhand_guardrail::{
    id::{PolicyName, RuleId},
    key::RuleKey,
    policy::PathPattern,
};

use super::{SECRET, deny, desired, disk::Disk, installer, shared::Maps};
use crate::kernel::identity::ObjectId;

struct Walk<'a> {
    maps: &'a Maps,
    slot: u32,
    levels: Vec<(Vec<u8>, Option<ObjectId>)>,
    ranges: Vec<Range>,
}

impl Levels for Walk<'_> {
    fn label(&mut self, level: u32) -> u32 {
        let id = self.levels[level as usize].1;
        id.and_then(|id| {
            self.maps
                .labels
                .rows()
                .get(&id.label_key(self.slot))
                .copied()
        })
        .map_or(0, |label| label.node)
    }
    fn name_bit(&mut self, level: u32) -> Option<u64> {
        Some(bit_of(&self.levels[level as usize].0))
    }

    fn name_hash(&mut self, level: u32) -> Option<u64> {
        Some(hash_name(SECRET, &self.levels[level as usize].0))
    }
    fn edge(&mut self, node: u32, name_hash: u64) -> u32 {
        self.maps
            .edges
            .rows()
            .get(&EdgeKey {
                name_hash,
                node,
                slot: self.slot,
            })
            .copied()
            .unwrap_or(0)
    }
    fn wild(&mut self, node: u32, level: u32) -> Option<u32> {
        let name = self.levels[level as usize].0.clone();
        let shapes = self.node(node)?.shapes;
        let mut found = 0;
        for shape in shapes.into_iter().filter(|shape| !shape.is_none()) {
            let (start, end) = (usize::from(shape.start) - 1, usize::from(shape.end));
            let Some(behind) = name.len().checked_sub(end).filter(|at| *at >= start) else {
                continue;
            };
            let (start, end) = (
                hash_name(SECRET, &name[..start]),
                hash_name(SECRET, &name[behind..]),
            );
            match self.edge(node, wild_hash(start, end, shape)) {
                0 => {}
                single if found == 0 => found = single,
                single => {
                    found = Some(self.edge(found, and_hash(single))).filter(|both| *both != 0)?;
                }
            }
        }
        Some(found)
    }
    fn node(&mut self, node: u32) -> Option<Node> {
        self.maps
            .nodes
            .rows()
            .get(&(self.slot * NODES_PER_SLOT + node))
            .copied()
    }
    fn matched(&mut self, range: Range) -> bool {
        self.ranges.push(range);
        true
    }
}

/// Entries that an object meets; `None` if the walk cannot be judged.
pub(super) fn entries(maps: &Maps, disk: &Disk, path: &str) -> Option<Vec<Entry>> {
    let levels = disk.walk(path);
    let depth = levels.len() as u32;
    let mut walk = Walk {
        maps,
        slot: maps.active().1,
        levels,
        ranges: vec![],
    };
    let mut states = States::default();
    for level in (0..depth).rev() {
        states = step(&mut walk, states, level)?;
    }
    let rows = maps.entries.rows();
    let first = walk.slot * stayhand_agent_ebpf::abi::image::ENTRIES_PER_SLOT;
    Some(
        walk.ranges
            .iter()
            .flat_map(|range| range.start..range.start + u32::from(range.len))
            .map(|at| rows[&(first + at)])
            .collect(),
    )
}

/// Ids of the rules that an object meets.
pub(super) fn met(maps: &Maps, disk: &Disk, path: &str) -> Option<BTreeSet<&'static str>> {
    let policy: PolicyName = "p".parse().unwrap();
    let ids = ["a", "b", "c", "d"];
    let found = entries(maps, disk, path)?;
    let id = |entry: &Entry| {
        ids.into_iter()
            .find(|id| RuleKey::of(&policy, &id.parse::<RuleId>().unwrap()).get() == entry.rule)
    };
    Some(found.iter().filter_map(id).collect())
}

pub(super) fn install(disk: &Disk, rules: &[(&str, &str)]) -> Maps {
    let maps = Maps::new();
    let rules: Vec<String> = rules.iter().map(|(id, path)| deny(id, path)).collect();
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    installer(&maps, disk).install(desired(1, &rules)).unwrap();
    maps
}

macro_rules! meets {
    ($maps:expr, $disk:expr, $path:expr, $($id:expr),*) => {
        assert_eq!(
            $crate::kernel::image::tests::meeting::met(&$maps, &$disk, $path),
            Some(std::collections::BTreeSet::from([$($id),*])),
            "{}",
            $path
        )
    };
}
pub(super) use meets;

#[test]
fn an_object_that_no_rule_names_meets_none() {
    let disk = Disk::new(&["/usr/bin/nc", "/usr/bin/cat"]);
    let maps = install(&disk, &[("a", "/usr/bin/nc")]);
    meets!(maps, disk, "/usr/bin/cat",);
    meets!(maps, disk, "/usr/bin/new",);
    meets!(maps, disk, "/usr/bin",);
    meets!(maps, disk, "/usr/bin/nc", "a");
}

#[test]
fn an_object_that_comes_later_meets_its_rule_at_once() {
    let disk = Disk::new(&["/opt"]);
    let maps = install(&disk, &[("a", "/opt/tools/**"), ("b", "/opt/tools/one")]);
    disk.add("/opt/tools/one");
    disk.add("/opt/tools/deep/er");
    meets!(maps, disk, "/opt/tools/one", "a", "b");
    meets!(maps, disk, "/opt/tools/deep/er", "a");
    meets!(maps, disk, "/opt/tools",);
}

#[test]
fn replaced_objects_and_directories_meet_their_rule() {
    let disk = Disk::new(&["/opt/tools/one"]);
    let maps = install(&disk, &[("a", "/opt/tools/one"), ("b", "/opt/tools/**")]);
    disk.replace("/opt/tools/one");
    meets!(maps, disk, "/opt/tools/one", "a", "b");
    disk.replace("/opt/tools");
    disk.replace("/opt");
    meets!(maps, disk, "/opt/tools/one", "a", "b");
}

#[test]
fn a_moved_object_keeps_its_rule() {
    let disk = Disk::new(&["/usr/bin/nc", "/tmp"]);
    let maps = install(&disk, &[("a", "/usr/bin/nc")]);
    disk.hard_link("/tmp/harmless", "/usr/bin/nc");
    disk.remove("/usr/bin/nc");
    meets!(maps, disk, "/tmp/harmless", "a");
}

#[test]
fn the_target_of_a_symbolic_link_meets_the_links_rule() {
    let disk = Disk::new(&["/usr/bin/nc.traditional"]);
    disk.symlink("/usr/bin/nc", "/usr/bin/nc.traditional");
    let maps = install(&disk, &[("a", "/usr/bin/nc")]);
    meets!(maps, disk, "/usr/bin/nc", "a");
    meets!(maps, disk, "/usr/bin/nc.traditional", "a");
}

#[test]
fn rules_through_a_linked_directory_are_one_with_those_on_its_target() {
    let disk = Disk::new(&["/usr/bin/x", "/usr/bin/y"]);
    disk.symlink("/bin", "/usr/bin");
    let maps = install(
        &disk,
        &[
            ("a", "/bin/x"),
            ("b", "/usr/bin/x"),
            ("c", "/bin/**"),
            ("d", "/usr/bin/z"),
        ],
    );
    meets!(maps, disk, "/usr/bin/x", "a", "b", "c");
    meets!(maps, disk, "/bin/y", "c");
    disk.add("/usr/bin/z");
    meets!(maps, disk, "/bin/z", "c", "d");
}

#[test]
fn hard_links_meet_the_rules_of_every_name() {
    let disk = Disk::new(&["/usr/bin/perl", "/srv/x"]);
    disk.hard_link("/usr/bin/perl5", "/usr/bin/perl");
    let maps = install(&disk, &[("a", "/usr/bin/perl"), ("b", "/usr/bin/perl5")]);
    meets!(maps, disk, "/usr/bin/perl", "a", "b");
    meets!(maps, disk, "/usr/bin/perl5", "a", "b");
}

#[test]
fn a_mount_below_a_directory_meets_the_directorys_rules() {
    let disk = Disk::new(&["/srv/data"]);
    disk.mount("/srv/data/vol", "xfs");
    disk.add("/srv/data/vol/x/y");
    let maps = install(
        &disk,
        &[
            ("a", "/srv/**"),
            ("b", "/srv/data/vol/x/y"),
            ("c", "/srv/other"),
        ],
    );
    meets!(maps, disk, "/srv/data/vol/x/y", "a", "b");
    meets!(maps, disk, "/srv/data/vol/z", "a");
    meets!(maps, disk, "/srv/data/vol", "a");
}

#[test]
fn a_mount_that_no_rule_names_meets_every_rule_above_it() {
    let disk = Disk::new(&["/home"]);
    disk.mount("/home/alice/usb", "vfat");
    disk.mount("/home/alice/usb/inner", "vfat");
    disk.add("/home/alice/usb/inner/run");
    let maps = install(
        &disk,
        &[("a", "/**"), ("b", "/home/**"), ("c", "/home/bob/**")],
    );
    meets!(maps, disk, "/home/alice/usb/run", "a", "b");
    meets!(maps, disk, "/home/alice/usb/inner/run", "a", "b");
}

#[test]
fn a_bind_mount_meets_the_rules_of_both_places() {
    let disk = Disk::new(&["/data/one/tool", "/srv/shown/sub"]);
    disk.bind("/srv/shown", "/data/one");
    let maps = install(
        &disk,
        &[
            ("a", "/srv/**"),
            ("b", "/data/one/tool"),
            ("c", "/srv/shown/tool"),
        ],
    );
    meets!(maps, disk, "/srv/shown/tool", "a", "b", "c");
    meets!(maps, disk, "/data/one/tool", "a", "b", "c");
    meets!(maps, disk, "/data/one/other", "a");
}

#[test]
fn links_in_a_circle_end() {
    let disk = Disk::new(&["/a/b", "/a/x"]);
    disk.symlink("/a/b", "/a");
    let maps = install(&disk, &[("a", "/a/b/b/b/x"), ("b", "/a/x")]);
    meets!(maps, disk, "/a/x", "a", "b");
}

#[test]
fn a_mount_below_a_linked_directory_meets_the_rules_of_the_link() {
    let disk = Disk::new(&["/run", "/var"]);
    disk.mount("/run/user/1000", "tmpfs");
    disk.add("/run/user/1000/x");
    disk.symlink("/var/run", "/run");
    let maps = install(&disk, &[("a", "/var/run/**")]);
    meets!(maps, disk, "/run/user/1000/x", "a");
    meets!(maps, disk, "/run/y", "a");
    meets!(maps, disk, "/var/x",);
}

/// Every path of up to so many components.
fn names(deepest: usize) -> Vec<String> {
    let mut names = vec![String::new()];
    let mut all = Vec::new();
    for _ in 0..deepest {
        names = names
            .iter()
            .flat_map(|above| ["a", "b", "c"].map(|name| format!("{above}/{name}")))
            .collect();
        all.extend(names.clone());
    }
    all
}

/// Over random trees with links, mounts and bind mounts: an object meets exactly the rules that one of its names
/// matches. What the automaton says is held against plain matching of paths.
#[test]
fn an_object_meets_exactly_the_rules_of_its_names() {
    let first: u64 = std::env::var("STAYHAND_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(rand::random);
    let all = names(4);
    for seed in first..first + 150 {
        println!("STAYHAND_SEED={seed}");
        let mut dice = Dice(seed);
        let (disk, rules) = dice.case(&all);
        let maps = install(
            &disk,
            &rules
                .iter()
                .map(|(id, path)| (*id, path.as_str()))
                .collect::<Vec<_>>(),
        );
        let means = |name: &str| {
            let own = rules.iter().filter(|(_, rule)| {
                PathPattern::parse(rule)
                    .unwrap()
                    .matches(name.as_bytes(), 0)
            });
            own.map(|(id, _)| *id).collect::<Vec<_>>()
        };
        // A link leads at most two levels down, so that every name of an object of four has at most six.
        let mut expected: BTreeMap<String, BTreeSet<&'static str>> = BTreeMap::new();
        for name in names(6) {
            expected
                .entry(disk.dentry(&name))
                .or_default()
                .extend(means(&name));
        }
        for path in &all {
            let wanted = expected.get(&disk.dentry(path)).cloned();
            assert_eq!(
                met(&maps, &disk, path),
                wanted,
                "STAYHAND_SEED={seed} {path} {rules:?}\n{disk:?}"
            );
        }
    }
}

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        // SplitMix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % sides as u64) as usize
    }

    fn pick<'a>(&mut self, all: &'a [String]) -> &'a str {
        &all[self.roll(all.len())]
    }

    /// Links and binds lead from the first level to places below another first-level directory, so that names of at
    /// most four components reach every object that a rule can mean.
    fn case(&mut self, all: &[String]) -> (Disk, Vec<(&'static str, String)>) {
        let disk = Disk::new(&[]);
        for _ in 0..6 {
            disk.add(self.pick(all));
        }
        let mut mounted = "";
        if self.roll(2) == 0 {
            mounted = ["/b/b", "/b/c", "/c"][self.roll(3)];
            disk.mount(mounted, "xfs");
        }
        let target = ["/b", "/b/a", "/c", "/b/c"][self.roll(4)];
        disk.add(target);
        match self.roll(3) {
            0 => {
                disk.cut("/a");
                disk.symlink("/a", target);
            }
            // A bind mount does not show what is mounted below its target; this disk's would.
            1 if !mounted.starts_with(&format!("{target}/")) => {
                disk.cut("/a");
                disk.bind("/a", target);
            }
            _ => {}
        }
        let rule = |dice: &mut Self| {
            let path = dice.pick(all).to_owned();
            if dice.roll(2) == 0 {
                path
            } else {
                format!("{path}/**")
            }
        };
        let rules = ["a", "b", "c", "d"].map(|id| (id, rule(self))).to_vec();
        (disk, rules)
    }
}
