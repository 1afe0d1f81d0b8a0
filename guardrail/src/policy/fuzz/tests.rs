//! The properties over the tree's own policies and what is made of them; `cargo xtask fuzz policy` looks further.

use super::*;
use crate::{policy::tests::corpus, seeded};

/// Documents that are made of the corpus: some seconds. The fuzzer makes more.
const MUTATIONS: usize = 2_000;

#[test]
fn every_policy_of_the_tree_keeps_every_property_and_is_judged() {
    for (name, source) in corpus::policies() {
        let seen = examine(source.as_bytes());
        assert!(matches!(seen, Seen::Judged(1..)), "{name}: {seen:?}");
    }
    for (name, source) in corpus::refused() {
        assert_eq!(examine(source.as_bytes()), Seen::Refused, "{name}");
    }
}

#[test]
fn what_is_made_of_policies_keeps_every_property() {
    let corpus = corpus::policies();
    let sources: Vec<&str> = corpus.iter().map(|(_, source)| source.as_str()).collect();
    let seed = seeded::seed();
    let mut judged = 0;
    for number in 0..MUTATIONS as u64 {
        let mut random = Random::of(seed.wrapping_add(number));
        let source = random.of_these(&sources).unwrap();
        let bytes = mutated(source, &sources, &mut random);
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        let found = std::panic::catch_unwind(|| examine(&bytes))
            .unwrap_or_else(|_| panic!("STAYHAND_SEED={seed}, document {number}:\n{shown}"));
        judged += usize::from(matches!(found, Seen::Judged(_)));
    }
    // Documents that are all refused would show half of the properties.
    assert!(judged > MUTATIONS / 20, "only {judged} were policies");
}

#[test]
fn a_document_is_written_out_as_it_was_read() {
    for (name, source) in corpus::policies() {
        let tree = Tree::read(&source).unwrap();
        assert_eq!(Tree::read(&tree.write()), Some(tree.clone()), "{name}");
        let count = tree.count();
        let mut tree = tree;
        assert!(tree.at(count - 1).is_some() && tree.at(count).is_none());
    }
}

/// What is looked at of an argument ends somewhere, and not at the same place for letters, beginnings and ends.
#[test]
fn arguments_of_any_length_are_judged_alike() {
    for (name, source) in corpus::policies() {
        let tree = Tree::read(&source).unwrap();
        for number in 0..tree.count() {
            let mut tree = tree.clone();
            let Some(Tree::Scalar(text, _)) = tree.at(number) else {
                continue;
            };
            if !text.starts_with('-') {
                continue;
            }
            let word = text.clone();
            for length in [60, 64, 65, 123, 124, 125, 255, 256, 4_000, 5_000] {
                let Some(Tree::Scalar(text, _)) = tree.at(number) else {
                    continue;
                };
                *text = word.repeat(length / word.len() + 1);
                let document = tree.write();
                let examined = std::panic::catch_unwind(|| examine(document.as_bytes()));
                assert!(examined.is_ok(), "{name}, `{word}` to {length}");
            }
        }
    }
}
