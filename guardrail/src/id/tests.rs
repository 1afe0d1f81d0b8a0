//! What is an identifier, what is not, and what the kernel sees of it.

use uuid::Uuid;

use super::*;
use crate::key::{PermissionKey, PermissionRef, RuleKey};

#[test]
fn names_that_could_be_mistaken_for_something_else_are_refused() {
    for text in [
        "",
        "-a",
        "a-",
        "A",
        "a b",
        "a/b",
        "a\n",
        "ä",
        ".",
        "a\u{202e}b",
        &"x".repeat(64),
    ] {
        assert!(PolicyName::new(text).is_err(), "{text:?}");
    }
    for text in ["a", "prod-baseline", "x.y_z-1"] {
        assert!(RuleId::new(text).is_ok(), "{text:?}");
    }
    for text in ["a_b", "a..b", "UP", "host/1"] {
        assert!(HostId::new(text).is_err(), "{text:?}");
    }
}

#[test]
fn user_names_cannot_carry_options_or_shell_syntax() {
    for text in [
        "-rf", "a;b", "a b", "$(x)", "a'b", "a\"b", "a/b", "a:b", "", "$",
    ] {
        assert!(UserName::new(text).is_err(), "{text:?}");
    }
    for text in [
        "alice",
        "DOMAIN\\alice",
        "alice@example.org",
        "host$",
        "_apt",
    ] {
        assert!(UserName::new(text).is_ok(), "{text:?}");
    }
}

#[test]
fn an_error_shows_hostile_text_safely() {
    let error = PolicyName::new("a\u{1b}[31m").unwrap_err().to_string();
    assert!(
        error.contains(r"\x1b") && !error.contains('\u{1b}'),
        "{error}"
    );
}

#[test]
fn ids_print_as_they_are_read() {
    let hold = HoldId(0xab);
    assert_eq!(hold.to_string(), "00000000000000ab");
    assert_eq!(hold.to_string().parse(), Ok(hold));
    let grant = GrantId(Uuid::from_u128(0x0123_4567_89ab_cdef_0011_2233_4455_6677));
    assert_eq!(grant.to_string().parse(), Ok(grant));
    assert_eq!(GrantId::from_halves(grant.halves()), Some(grant));
    assert_eq!(grant.halves()[0], 0x0123_4567_89ab_cdef);
    assert_eq!(
        serde_json::to_string(&(hold, grant)).unwrap(),
        format!("[\"{hold}\",\"{grant}\"]")
    );
}

#[test]
fn nothing_is_not_an_id() {
    for text in [
        "",
        "0",
        "0000000000000000",
        "ab",
        "+0000000000000ab",
        "00000000000000abc",
    ] {
        assert!(text.parse::<HoldId>().is_err(), "{text:?}");
    }
    assert_eq!(GrantId::from_halves([0, 0]), None);
}

#[test]
fn keys_depend_on_names_and_kind_and_are_never_none() {
    let (policy, rule): (PolicyName, RuleId) = ("demo".parse().unwrap(), "vault".parse().unwrap());
    let permission: PermissionRef = "demo/vault".parse().unwrap();
    // SHA-256 of "rule\0demo\0vault", computed with sha256sum.
    assert_eq!(RuleKey::of(&policy, &rule).get(), RULE_DEMO_VAULT);
    assert_ne!(RuleKey::of(&policy, &rule).get(), permission.key().get());
    assert_eq!(PermissionKey::from_raw(0), None);
    assert!("demo".parse::<PermissionRef>().is_err());
}

const RULE_DEMO_VAULT: u64 = 0xc149_9278_b924_37a2;
