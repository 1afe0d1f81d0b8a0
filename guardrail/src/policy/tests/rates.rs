//! How often: what is refused, and what a rate says to the kernel.

use super::{Revision, Versioned, check, compile, parse, refused, with_rules};

fn throttle(rate: &str) -> String {
    with_rules(&[&format!(
        "{{ id: a, effect: throttle, system: {{ ops: [signal] }}, {rate} }}"
    )])
}

#[test]
fn what_is_no_rate_is_refused() {
    for (rate, words) in [
        ("record: true", "has no `rate`; say how often"),
        ("rate: 3", "a rate is text, not a mapping"),
        ("rate: {}", "a rate has no `limit`"),
        ("rate: { limit: 3, per: 1m }", "a rate has no `then`"),
        (
            "rate: { limit: 0, per: 1m, then: deny }",
            "a limit is from 1",
        ),
        (
            "rate: { limit: 100001, per: 1m, then: deny }",
            "a limit is from 1",
        ),
        (
            "rate: { limit: -1, per: 1m, then: deny }",
            "a limit is a number",
        ),
        (
            "rate: { limit: 1.5, per: 1m, then: deny }",
            "a limit is a number",
        ),
        (
            "rate: { limit: 3, per: 0s, then: deny }",
            "counted in 1s to 31d, not 0s",
        ),
        (
            "rate: { limit: 3, per: 32d, then: deny }",
            "counted in 1s to 31d, not 32d",
        ),
        (
            "rate: { limit: 3, per: 1m, then: allow }",
            "unknown then `allow`",
        ),
        (
            "rate: { limit: 3, every: 1m, then: deny }",
            "unknown key `every`",
        ),
        (
            "rate: { limit: 3, per: 1m, then: deny }, timeout: 1m",
            "`timeout` belongs to rules of effect `hold`",
        ),
    ] {
        refused(&throttle(rate), words);
    }
    for effect in ["deny", "hold", "alert", "allow", "require-grant"] {
        let rule = format!(
            "{{ id: a, effect: {effect}, system: {{ ops: [signal] }}, rate: {{ limit: 3, per: 1m, then: deny }} }}"
        );
        refused(
            &with_rules(&[&rule]),
            "`rate` belongs to rules of effect `throttle`",
        );
    }
}

#[test]
fn a_default_is_no_effect_of_a_rule() {
    for effect in ["default-deny", "default-hold"] {
        let rule = format!("{{ id: a, effect: {effect}, system: {{ ops: [signal] }} }}");
        refused(&with_rules(&[&rule]), "unknown effect");
    }
}

#[test]
fn a_rate_that_is_held_where_nothing_can_wait_is_warned_about() {
    let warned = |then: &str| {
        let rule = format!(
            "{{ id: a, effect: throttle, system: {{ ops: [bpf] }}, rate: {{ limit: 3, per: 1m, then: {then} }} }}"
        );
        let warnings = check(&parse(&with_rules(&[&rule])).unwrap());
        warnings
            .iter()
            .any(|one| one.message.contains("no call can wait for"))
    };
    assert!(warned("hold"));
    assert!(!warned("deny"));
}

fn rows(rules: &[String]) -> Vec<(u64, u64, u64)> {
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    let policy = parse(&with_rules(&rules)).unwrap();
    let one = Versioned {
        revision: Revision(1),
        policy,
    };
    let rows = compile(&[one]).unwrap().rates;
    rows.iter()
        .map(|row| (row.bucket, row.interval_ns, row.room_ns))
        .collect()
}

fn rule(id: &str, limit: u32, per: &str) -> String {
    format!(
        "{{ id: {id}, effect: throttle, exec: {{ path: /{id} }}, rate: {{ limit: {limit}, per: {per}, then: hold }} }}"
    )
}

#[test]
fn a_bucket_is_of_one_rule_and_one_rate() {
    let found = rows(&[rule("a", 3, "30s"), rule("b", 3, "30s"), rule("c", 1, "1d")]);
    let times: Vec<(u64, u64)> = found.iter().map(|row| (row.1, row.2)).collect();
    let second = 1_000_000_000;
    assert_eq!(
        times,
        [
            (10 * second, 20 * second),
            (10 * second, 20 * second),
            (86_400 * second, 0)
        ]
    );
    assert_ne!(found[0].0, found[1].0);
    // Another rate of the same rule begins anew, and another place of the rule does not.
    let moved = rows(&[rule("b", 3, "30s"), rule("a", 4, "30s")]);
    assert_eq!(moved[0].0, found[1].0);
    assert_ne!(moved[1].0, found[0].0);
}

#[test]
fn more_rates_than_the_kernel_has_bits_are_refused() {
    let rules: Vec<String> = (0..65).map(|n| rule(&format!("r{n}"), 1, "1m")).collect();
    let compiled = |rules: &[String]| {
        let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
        let policy = parse(&with_rules(&rules)).unwrap();
        compile(&[Versioned {
            revision: Revision(1),
            policy,
        }])
    };
    assert!(compiled(&rules[..64]).is_ok());
    let error = compiled(&rules).unwrap_err()[0].to_string();
    assert!(
        error.contains("65 rules of effect `throttle`, more than the 64"),
        "{error}"
    );
}
