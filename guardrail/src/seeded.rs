//! Properties over generated cases, from a seed that is printed and can be given (`STAYHAND_SEED`).

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use proptest::{
    strategy::Strategy,
    test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner},
};

/// The seed that is given, or a new one.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("STAYHAND_SEED").ok();
    let seed = given
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| RandomState::new().build_hasher().finish());
    println!("seed: STAYHAND_SEED={seed}");
    seed
}

/// Fails with the seed and the smallest case that was found.
pub(crate) fn over<S: Strategy>(
    cases: u32,
    strategy: &S,
    property: impl Fn(S::Value) -> Result<(), TestCaseError>,
) {
    let seed = seed();
    let mut bytes = [0u8; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..Config::default()
    };
    let outcome = TestRunner::new_with_rng(config, rng).run(strategy, property);
    if let Err(failure) = outcome {
        panic!("STAYHAND_SEED={seed}: {failure}");
    }
}
