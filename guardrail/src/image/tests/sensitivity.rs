//! How sensitive a rule is changes no row of the kernel's, and so no verdict.

use std::{cell::Cell, collections::BTreeSet};

use proptest::prelude::*;

use super::agreement::over;
use crate::{
    image::Image,
    policy::{Versioned, compile_beside},
    sensitivity::Sensitivity,
};

fn compiled(policies: &[Versioned]) -> Image {
    compile_beside(policies, &[], None, &BTreeSet::new()).unwrap()
}

#[test]
fn whatever_rules_say_of_their_sensitivity_the_image_is_the_same() {
    let said = Cell::new(0);
    over(300, false, |case| {
        let with = compiled(&case.policies);
        let all_of = |sensitivity: Option<Sensitivity>| {
            let mut policies = case.policies.clone();
            let rules = policies.iter_mut().flat_map(|one| &mut one.policy.rules);
            rules.for_each(|rule| rule.sensitivity = sensitivity);
            compiled(&policies)
        };
        for other in [all_of(None), all_of(Some(Sensitivity::Critical))] {
            let mut same = other.clone();
            for (key, info) in &mut same.rules {
                info.sensitivity = with.rules.get(key).and_then(|info| info.sensitivity);
            }
            prop_assert_eq!(&with, &same);
            said.set(said.get() + usize::from(with != other));
        }
        Ok(())
    });
    // Else nothing was shown.
    assert!(said.get() > 100, "{}", said.get());
}
