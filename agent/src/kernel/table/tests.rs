//! Tests of listing and opening.

use super::{super::pins::Pins, maps::listed, *};

#[test]
fn a_listing_has_each_key_once_and_ends() {
    let endless = std::iter::repeat_with(|| Ok(7u32));
    assert_eq!(listed(endless, "X", 10).unwrap(), [7]);
    let failing = [Ok(1u32), Err(MapError::KeyNotFound)];
    assert!(listed(failing.into_iter(), "X", 10).is_err());
}

#[test]
fn what_is_not_pinned_is_an_error_naming_the_map() {
    let place = tempfile::tempdir().unwrap();
    let error = Hash::<u32, u32>::open(&Pins::new(place.path()), "HOLD_COUNTS")
        .err()
        .unwrap();
    assert!(error.to_string().contains("HOLD_COUNTS"), "{error}");
}
