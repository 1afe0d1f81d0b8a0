//! The part of docs/performance.md on memory, from the layouts that kernel and agent share.

use std::{env, fmt::Write as _, fs, path::Path};

use stayhand_agent_ebpf::abi::{
    image::{
        ArgKey, ArgStep, EdgeKey, Entry, LEASES_PER_ROW, Label, LabelKey, LeaseKey, LeaseRow, Node,
        Range, Subject, SubjectKey,
    },
    net::NetKey,
    place::{PLACES_MAX, Place},
    task::{Scratch, TaskState},
};

/// `struct htab_elem` of 64-bit kernels (kernel/bpf/hashtab.c), before key and value.
const HASHED: usize = 48;
/// `struct lpm_trie_node` with its alignment (kernel/bpf/lpm_trie.c), before address and value.
const IN_TRIE: usize = 40;
/// The image in force and the one that is made beside it.
const IMAGES: usize = 2;

const BEGIN: &str = "<!-- made from the layouts by tests/src/actions/memory.rs -->\n";
const END: &str = "<!-- end -->\n";

#[test]
fn the_memory_in_docs_is_that_of_the_layouts() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/performance.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (kept, after) = rest.split_once(END).unwrap();
    let made = table();
    if env::var_os("STAYHAND_BLESS").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{made}{END}{after}")).unwrap();
        return;
    }
    assert!(
        kept == made,
        "docs/performance.md is not what the layouts are; write it with: STAYHAND_BLESS=1 cargo test -p stayhand-tests"
    );
}

fn hashed<K, V>() -> usize {
    HASHED + size_of::<K>().next_multiple_of(8) + size_of::<V>().next_multiple_of(8)
}

fn table() -> String {
    let mut text = "| for each | bytes, in both images together |\n|---|---|\n".to_owned();
    let mut row = |what: &str, bytes: usize| {
        writeln!(text, "| {what} | {} |", IMAGES * bytes).unwrap();
    };
    row(
        "entry: a rule or permission on one path or range, by class",
        size_of::<Entry>(),
    );
    row(
        "path component that no other rule has: node and edge",
        size_of::<Node>() + hashed::<EdgeKey, u32>(),
    );
    row(
        "label: an object that is there at a rule's path or above it",
        hashed::<LabelKey, Label>(),
    );
    row(
        "address range: at least one node of a trie",
        IN_TRIE + (size_of::<NetKey>() - 4) + size_of::<Range>(),
    );
    row(
        "pattern of arguments: a node of a trie",
        IN_TRIE + (size_of::<ArgKey>() - 4) + 4,
    );
    row(
        "condition on arguments or the process: a step",
        size_of::<ArgStep>(),
    );
    row("guarded subject", hashed::<SubjectKey, Subject>());
    row(
        &format!("subject and permission with 1 to {LEASES_PER_ROW} leases"),
        hashed::<LeaseKey, LeaseRow>(),
    );
    writeln!(
        text,
        "\nApart from images: {} KiB for known directories, {} bytes for a guarded task, and {} more for one of which \
         something was judged.",
        (size_of::<Place>() * PLACES_MAX as usize) >> 10,
        size_of::<TaskState>(),
        size_of::<Scratch>()
    )
    .unwrap();
    text
}
