//! What a host's own floor can say, and that the control plane has none of its names.

use super::{Diagnostic, parse};

fn floor(name: &str, spec: &str) -> Vec<Diagnostic> {
    let source = format!(
        "apiVersion: stayhand/v1\nkind: Policy\nmetadata: {{ name: {name} }}\nspec: {{ subjects: {{ groups: [dev] }}, {spec} }}"
    );
    parse(&source).err().unwrap_or_default()
}

const DENY: &str = "{ id: a, effect: deny, exec: { path: /a } }";

#[test]
fn what_somebody_else_could_lift_is_refused_in_the_floor_and_nowhere_else() {
    let rule = |rule: &str| format!("rules: [{DENY}, {{ id: b, {rule}, exec: {{ path: /b }} }}]");
    let rate = "rate: { limit: 1, per: 1m, then: deny }";
    for (spec, words) in [
        (rule("effect: hold"), "no `hold` in the floor: an approval"),
        (
            rule("effect: alert"),
            "no `alert` in the floor: what any other policy",
        ),
        (
            rule("effect: allow"),
            "no `allow` in the floor: it restricts nothing",
        ),
        (
            rule(&format!("effect: throttle, {rate}")),
            "no `throttle` in the floor: a grant",
        ),
        (
            rule("effect: deny, when: { flags: busy }"),
            "no `flags` in the floor: the control plane sets",
        ),
        (
            format!("default: deny, rules: [{DENY}]"),
            "no `default-deny` in the floor: any other policy",
        ),
        (
            format!(
                "permissions: {{ p: {{ exec: {{ path: /b }} }} }}, rules: [{DENY}, {{ id: b, effect: require-grant, permission: p }}]"
            ),
            "no `require-grant` in the floor: a grant",
        ),
        (
            format!(
                "permissions: {{ p: {{ exec: {{ path: /b }} }} }}, rules: [{DENY}, {{ id: b, effect: deny, permission: p }}]"
            ),
            "the floor has no permission",
        ),
        (
            format!(
                "approvals: [{{ name: x, stages: [{{ any: [\"user:carol\"] }}] }}], rules: [{DENY}]"
            ),
            "the floor has no approval",
        ),
        (
            "extends: [destructive-commands@1]".to_owned(),
            "in the floor",
        ),
    ] {
        let found = floor("floor.x", &spec);
        assert!(
            found.iter().any(|one| one.message.contains(words)),
            "{spec}: {found:?}"
        );
        assert!(
            found.iter().all(|one| one.suggestion.is_some()),
            "{found:?}"
        );
        for name in ["floor", "floors.x", "the.floor.x"] {
            assert_eq!(floor(name, &spec), [], "{name}: {spec}");
        }
    }
}

#[test]
fn the_floor_denies_at_times_and_on_hosts_by_label() {
    let windows = "when: { windows: \"Sat 00:00 - Mon 00:00 UTC\" }";
    let spec = format!(
        "hosts: {{ env: prod }}, rules: [{DENY}, {{ id: b, effect: deny, exec: {{ path: /b }}, {windows} }}]"
    );
    assert_eq!(floor("floor.x", &spec), []);
}
