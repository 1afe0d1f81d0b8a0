//! Tests of the BTF reader on built type information, on damaged bytes and on this machine's own kernel.
#![expect(clippy::cast_possible_truncation, reason = "small numbers of tests")]

use super::*;

/// Writes type information type by type.
#[derive(Default)]
pub(crate) struct Builder {
    types: Vec<u8>,
    strings: Vec<u8>,
    count: u32,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            strings: vec![0],
            ..Self::default()
        }
    }

    fn string(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let at = self.strings.len() as u32;
        self.strings.extend_from_slice(text.as_bytes());
        self.strings.push(0);
        at
    }

    fn add(&mut self, name: &str, info: u32, size_or_type: u32, tail: &[u32]) -> u32 {
        let name = self.string(name);
        for word in [name, info, size_or_type].iter().chain(tail) {
            self.types.extend_from_slice(&word.to_ne_bytes());
        }
        self.count += 1;
        self.count
    }

    pub(crate) fn int(&mut self, name: &str, bytes: u32) -> u32 {
        self.add(name, INT << 24, bytes, &[bytes * 8])
    }

    pub(crate) fn pointer(&mut self, to: u32) -> u32 {
        self.add("", PTR << 24, to, &[])
    }

    fn array(&mut self, of: u32, elements: u32) -> u32 {
        self.add("", ARRAY << 24, 0, &[of, of, elements])
    }

    fn alias(&mut self, kind: u32, name: &str, of: u32) -> u32 {
        self.add(name, kind << 24, of, &[])
    }

    /// Members are (name, type, bit offset).
    pub(crate) fn structure(
        &mut self,
        kind: u32,
        name: &str,
        bytes: u32,
        members: &[(&str, u32, u32)],
    ) -> u32 {
        let mut tail = Vec::new();
        for (name, member, bits) in members {
            tail.extend([self.string(name), *member, *bits]);
        }
        self.add(name, (kind << 24) | members.len() as u32, bytes, &tail)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_ne_bytes().to_vec();
        bytes.extend([1, 0]);
        let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
        for word in [24, 0, types, types, strings] {
            bytes.extend_from_slice(&u32::to_ne_bytes(word));
        }
        bytes.extend_from_slice(&self.types);
        bytes.extend_from_slice(&self.strings);
        bytes
    }
}

/// `struct outer { int a; union { struct { short x; const kuid b; }; long c; }; struct inner in; char n[64]; }`
fn sample() -> Builder {
    let mut made = Builder::new();
    let (int, short, long, char) = (
        made.int("int", 4),
        made.int("short", 2),
        made.int("long", 8),
        made.int("char", 1),
    );
    let kuid = made.structure(STRUCT, "", 4, &[("val", int, 0)]);
    let kuid = made.alias(TYPEDEF, "kuid_t", kuid);
    let kuid = made.alias(CONST, "", kuid);
    let both = made.structure(STRUCT, "", 8, &[("x", short, 0), ("b", kuid, 32)]);
    let either = made.structure(UNION, "", 8, &[("", both, 0), ("c", long, 0)]);
    let pointer = made.pointer(0);
    let inner = made.structure(STRUCT, "inner", 16, &[("p", pointer, 0), ("q", int, 64)]);
    let text = made.array(char, 64);
    made.structure(
        STRUCT,
        "outer",
        96,
        &[
            ("a", int, 0),
            ("", either, 64),
            ("in", inner, 128),
            ("n", text, 256),
        ],
    );
    made
}

fn at(btf: &Btf, path: &str) -> Option<(u32, u32)> {
    btf.member("outer", path)
        .unwrap()
        .map(|found| (found.offset, found.size))
}

#[test]
fn a_member_that_is_not_there_is_not_found() {
    let btf = Btf::parse(sample().bytes()).unwrap();
    for path in ["", "b.nothing", "a.b", "in.p.q", "z", "outer"] {
        assert_eq!(at(&btf, path), None, "{path}");
    }
    assert_eq!(btf.member("nowhere", "a").unwrap(), None);
}

#[test]
fn members_are_found_through_anonymous_parts_and_modifiers() {
    let btf = Btf::parse(sample().bytes()).unwrap();
    assert_eq!(at(&btf, "a"), Some((0, 4)));
    assert_eq!(at(&btf, "x"), Some((8, 2)));
    assert_eq!(at(&btf, "b"), Some((12, 4)));
    assert_eq!(at(&btf, "b.val"), Some((12, 4)));
    assert_eq!(at(&btf, "c"), Some((8, 8)));
    assert_eq!(at(&btf, "in.p"), Some((16, 8)));
    assert_eq!(at(&btf, "in.q"), Some((24, 4)));
    assert_eq!(at(&btf, "in"), Some((16, 16)));
    assert_eq!(at(&btf, "n"), Some((32, 64)));
}

#[test]
fn a_bit_field_is_not_found() {
    let mut made = Builder::new();
    let int = made.int("int", 4);
    let name = made.string("flag");
    let plain = made.string("plain");
    made.add(
        "outer",
        (1 << 31) | (STRUCT << 24) | 2,
        8,
        &[name, int, (3 << 24) | 5, plain, int, 32],
    );
    let btf = Btf::parse(made.bytes()).unwrap();
    assert_eq!(at(&btf, "flag"), None);
    assert_eq!(at(&btf, "plain"), Some((4, 4)));
}

#[test]
fn structures_of_one_name_that_disagree_are_not_found() {
    let mut made = sample();
    let int = made.int("int", 4);
    made.structure(STRUCT, "outer", 8, &[("a", int, 32)]);
    let btf = Btf::parse(made.bytes()).unwrap();
    assert_eq!(at(&btf, "a"), None, "two places");
    assert_eq!(at(&btf, "c"), Some((8, 8)), "only one has it");
}

#[test]
fn circles_are_errors_and_not_endless() {
    let mut made = Builder::new();
    made.alias(TYPEDEF, "a", 2);
    made.alias(TYPEDEF, "b", 1);
    made.structure(STRUCT, "outer", 8, &[("a", 1, 0), ("", 4, 0)]);
    made.structure(STRUCT, "", 8, &[("", 4, 0)]);
    let btf = Btf::parse(made.bytes()).unwrap();
    assert!(btf.member("outer", "a").is_err());
    assert!(btf.member("outer", "z").is_err());
}

#[test]
fn damaged_bytes_never_panic() {
    let whole = sample().bytes();
    for len in 0..whole.len() {
        let cut = whole[..len].to_vec();
        assert!(Btf::parse(cut).is_err(), "cut at {len}");
    }
    for position in 0..whole.len() {
        for value in [0x00, 0x7f, 0xff] {
            let mut bytes = whole.clone();
            bytes[position] = value;
            if let Ok(btf) = Btf::parse(bytes) {
                for path in ["a", "b.val", "in.p", "n", "z"] {
                    drop(btf.member("outer", path));
                }
            }
        }
    }
    assert!(Btf::parse(vec![0; 4096]).is_err());
}

#[test]
fn this_machines_own_kernel_has_what_every_kernel_has() {
    let Ok(btf) = Btf::of_running_kernel() else {
        eprintln!("skipped: no {KERNEL_BTF} here");
        return;
    };
    let pid = btf.member("task_struct", "pid").unwrap().unwrap();
    let tgid = btf.member("task_struct", "tgid").unwrap().unwrap();
    assert_eq!((pid.size, tgid.size), (4, 4));
    assert_eq!(
        tgid.offset,
        pid.offset + 4,
        "include/linux/sched.h declares them next to each other"
    );
    let len = btf
        .member("dentry", "d_name.len")
        .unwrap()
        .or(btf.member("dentry", "__d_name.len").unwrap());
    assert_eq!(len.unwrap().size, 4);
}
