//! The fuzzer of policy documents: libFuzzer drives `policy::fuzz`. `cargo xtask fuzz policy` builds it with instrumentation
//! and gives it the tree's own policies; by itself it sees no coverage.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use stayhand_guardrail::policy::fuzz::{Random, examine, mutated};

fuzz_target!(|document: &[u8]| {
    examine(document);
});

// Every other time by the document's structure, else by its bytes.
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut random = Random::of(seed.into());
    let source = data
        .get(..size)
        .and_then(|bytes| std::str::from_utf8(bytes).ok());
    if let Some(source) = source
        && random.below(2) == 0
    {
        let made = mutated(source, &[], &mut random);
        if let Some(place) = data.get_mut(..made.len())
            && made.len() <= max_size
        {
            place.copy_from_slice(&made);
            return made.len();
        }
    }
    fuzzer_mutate(data, size, max_size)
});
