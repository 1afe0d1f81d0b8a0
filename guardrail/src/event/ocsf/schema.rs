//! What OCSF 1.8.0 demands of the classes that are used: required fields, enumerations, constraints.
//!
//! Written from the published schema's tables by hand, apart from the encoder; knows nothing of its code.

use serde_json::Value;

/// Class, its activities, its required fields beyond the base.
const CLASSES: &[(u64, &[u64], &[&str])] = &[
    (
        1001,
        &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 99],
        &["actor", "device", "file"],
    ),
    (1003, &[0, 1, 2, 3, 4, 99], &["actor", "device", "kernel"]),
    (
        1007,
        &[0, 1, 2, 3, 4, 5, 99],
        &["actor", "device", "process"],
    ),
    (
        1008,
        &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 99],
        &["actor", "device"],
    ),
    (2004, &[0, 1, 2, 3, 99], &["finding_info"]),
    (3002, &[0, 1, 2, 3, 4, 5, 6, 99], &["user", "service"]),
    (
        3004,
        &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 99],
        &["entity"],
    ),
    (3005, &[0, 1, 2, 99], &["user", "privileges"]),
    (4001, &[0, 1, 2, 3, 4, 5, 6, 7, 99], &[]),
    (6002, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 99], &["app"]),
];
const BASE: &[&str] = &[
    "activity_id",
    "category_uid",
    "class_uid",
    "type_uid",
    "time",
    "severity_id",
    "metadata",
];
const DISPOSITIONS: std::ops::RangeInclusive<u64> = 0..=27;
/// Attributes of the Security Control profile.
const SECURITY_CONTROL: &[&str] = &[
    "action_id",
    "action",
    "disposition_id",
    "disposition",
    "is_alert",
    "authorizations",
    "policy",
    "firewall_rule",
];
/// Attributes of the firewall rule object; what has no place there is not OCSF.
const FIREWALL_RULE: &[&str] = &[
    "category",
    "condition",
    "desc",
    "duration",
    "match_details",
    "match_location",
    "name",
    "rate_limit",
    "sensitivity",
    "type",
    "uid",
    "version",
];
const PROFILES: &[&str] = &["security_control", "host", "linux/linux_users"];

/// Everything that is wrong with an event.
pub(super) fn violations(event: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut wrong = |text: String| found.push(text);
    let number = |path: &str| event.pointer(path).and_then(Value::as_u64);
    for field in BASE {
        if event.get(field).is_none() {
            wrong(format!("no {field}"));
        }
    }
    let class = number("/class_uid").unwrap_or(0);
    let Some((_, activities, required)) = CLASSES.iter().find(|(uid, ..)| *uid == class) else {
        return vec![format!("class {class}")];
    };
    let activity = number("/activity_id").unwrap_or(u64::MAX);
    if !activities.contains(&activity) {
        wrong(format!("activity {activity}"));
    }
    if activity == 99 && event.get("activity_name").is_none() {
        wrong("activity 99 without activity_name".to_owned());
    }
    if number("/category_uid") != Some(class / 1000)
        || number("/type_uid") != Some(class * 100 + activity)
    {
        wrong("category or type".to_owned());
    }
    for field in *required {
        if event.get(field).is_none() {
            wrong(format!("no {field}"));
        }
    }
    if !matches!(number("/severity_id"), Some(0..=6 | 99))
        || !matches!(number("/status_id"), Some(0..=2 | 99))
    {
        wrong("severity or status".to_owned());
    }
    for path in [
        "/metadata/version",
        "/metadata/product/vendor_name",
        "/metadata/product/name",
        "/metadata/uid",
    ] {
        if event
            .pointer(path)
            .and_then(Value::as_str)
            .is_none_or(str::is_empty)
        {
            wrong(format!("no {path}"));
        }
    }
    if class == 4001
        && event
            .get("src_endpoint")
            .or(event.get("dst_endpoint"))
            .is_none()
    {
        wrong("neither endpoint".to_owned());
    }
    profiles(event, &mut wrong);
    objects(event, "", &mut wrong);
    found
}

fn profiles(event: &Value, wrong: &mut impl FnMut(String)) {
    let listed: Vec<&str> = event
        .pointer("/metadata/profiles")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if let Some(unknown) = listed.iter().find(|profile| !PROFILES.contains(profile)) {
        wrong(format!("profile {unknown}"));
    }
    let uses = SECURITY_CONTROL
        .iter()
        .any(|field| event.get(field).is_some());
    if uses != listed.contains(&"security_control") {
        wrong("security_control is listed or used, not both".to_owned());
    }
    if uses {
        if !matches!(event["action_id"].as_u64(), Some(0..=4 | 99)) {
            wrong(format!("action {}", event["action_id"]));
        }
        if !event["disposition_id"]
            .as_u64()
            .is_some_and(|id| DISPOSITIONS.contains(&id) || id == 99)
        {
            wrong(format!("disposition {}", event["disposition_id"]));
        }
    }
    if event.to_string().contains("\"auid\"") && !listed.contains(&"linux/linux_users") {
        wrong("auid without its profile".to_owned());
    }
}

/// Constraints of objects wherever they are.
fn objects(value: &Value, path: &str, wrong: &mut impl FnMut(String)) {
    let Value::Object(map) = value else {
        if let Value::Array(items) = value {
            for item in items {
                objects(item, path, wrong);
            }
        }
        return;
    };
    let any = |fields: &[&str]| {
        fields
            .iter()
            .any(|field| map.get(*field).is_some_and(|value| !value.is_null()))
    };
    let all = |fields: &[&str]| {
        fields
            .iter()
            .all(|field| map.get(*field).is_some_and(|value| !value.is_null()))
    };
    let name = path.rsplit('/').next().unwrap_or_default();
    let fine = match name {
        "actor" => any(&[
            "process",
            "user",
            "invoked_by",
            "session",
            "app_name",
            "app_uid",
        ]),
        "process" | "parent_process" => any(&["pid", "uid", "cpid"]),
        "user" => any(&["account", "name", "uid"]),
        "policy" => any(&["name", "type", "uid"]),
        "firewall_rule" => {
            any(&["name", "uid"])
                && map.keys().all(|key| FIREWALL_RULE.contains(&key.as_str()))
                && map.get("sensitivity").is_none_or(Value::is_string)
        }
        "app" => any(&["name", "uid"]),
        "file" | "kernel" => all(&["name", "type_id"]),
        "device" => {
            all(&["type_id"])
                && any(&[
                    "hostname",
                    "ip",
                    "name",
                    "uid",
                    "instance_uid",
                    "interface_uid",
                    "interface_name",
                ])
        }
        "entity" => any(&[
            "device", "email", "group", "org", "policy", "user", "name", "uid",
        ]),
        "dst_endpoint" => any(&[
            "ip",
            "uid",
            "name",
            "hostname",
            "svc_name",
            "instance_uid",
            "interface_uid",
        ]),
        "connection_info" => all(&["direction_id"]),
        "finding_info" => all(&["uid", "title"]),
        "session" => all(&["uid"]),
        _ => true,
    };
    if !fine {
        wrong(format!("object {path}: {value}"));
    }
    for (key, inner) in map {
        if key != "unmapped" {
            objects(inner, &format!("{path}/{key}"), wrong);
        }
    }
}
