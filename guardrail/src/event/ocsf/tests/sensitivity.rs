//! What a rule's sensitivity changes about its events: it raises alarms, is told, and changes nothing else.

use serde_json::Value;

use super::*;

/// Every decision, as far as its severity is concerned.
fn decisions() -> impl Iterator<Item = DecisionEvent> {
    let verdicts = [Verdict::Allowed, Verdict::Denied, Verdict::Held];
    verdicts.into_iter().flat_map(|verdict| {
        let each = Reason::ALL.iter();
        each.map(move |reason| decision(verdict, *reason, Operation::Connect))
    })
}

fn shown(decision: DecisionEvent) -> Value {
    let whole = event(EventKind::Decision(Box::new(decision)));
    serde_json::from_str(&encode(&whole, PRODUCER)).unwrap()
}

#[test]
fn a_sensitivity_lowers_no_severity_raises_it_to_its_own_and_changes_nothing_else() {
    let own = [2, 3, 4, 5];
    for decision in decisions() {
        let without = shown(decision.clone());
        for (sensitivity, own) in Sensitivity::ALL.into_iter().zip(own) {
            let mut with = shown(DecisionEvent {
                sensitivity: Some(sensitivity),
                ..decision.clone()
            });
            assert_eq!(violations(&with), Vec::<String>::new());
            let before = without["severity_id"].as_u64().unwrap();
            let after = with["severity_id"].take();
            assert_eq!(after, before.max(own), "{} {sensitivity}", decision.reason);
            with["severity_id"] = before.into();
            let rule = with["firewall_rule"].as_object_mut().unwrap();
            assert_eq!(rule.remove("sensitivity").unwrap(), sensitivity.as_str());
            assert_eq!(with, without);
        }
    }
}

#[test]
fn where_no_rule_decided_there_is_no_sensitivity_whatever_a_host_says() {
    for decision in decisions() {
        let nobody = DecisionEvent {
            rule: None,
            ..decision
        };
        let claimed = DecisionEvent {
            sensitivity: Some(Sensitivity::Critical),
            ..nobody.clone()
        };
        assert_eq!(shown(claimed.clone()), shown(nobody));
        reads_back(claimed).unwrap();
    }
}

#[test]
fn a_sensitivity_reads_back_what_nobody_knows_is_refused_and_lines_from_before_have_none() {
    let plain = || decision(Verdict::Denied, Reason::RuleDeny, Operation::Write);
    for sensitivity in Sensitivity::ALL.map(Some).into_iter().chain([None]) {
        reads_back(DecisionEvent {
            sensitivity,
            ..plain()
        })
        .unwrap();
    }
    let before = encode(&event(EventKind::Decision(Box::new(plain()))), PRODUCER);
    assert!(!before.contains("sensitivity"), "{before}");
    let Ok(Line::Decision(read)) = decode(&before) else {
        panic!("{before}")
    };
    assert_eq!(read.decision.sensitivity, None);
    for word in ["", "High", "urgent", "\u{1b}[2J", "5"] {
        let mut line: Value = serde_json::from_str(&before).unwrap();
        line["firewall_rule"]["sensitivity"] = word.into();
        let problem = decode(&line.to_string()).unwrap_err().to_string();
        assert!(problem.starts_with("the sensitivity"), "{word}: {problem}");
    }
}

/// What the control plane stored before there was such a word.
#[test]
fn a_stored_decision_from_before_is_still_read() {
    let whole = event(EventKind::Decision(Box::new(DecisionEvent {
        sensitivity: Some(Sensitivity::High),
        ..decision(Verdict::Denied, Reason::RuleDeny, Operation::Write)
    })));
    let mut stored = serde_json::to_value(&whole).unwrap();
    assert_eq!(
        serde_json::from_value::<Event>(stored.clone()).unwrap(),
        whole
    );
    let decision = stored.pointer_mut("/kind/decision").unwrap();
    assert_eq!(
        decision
            .as_object_mut()
            .unwrap()
            .remove("sensitivity")
            .unwrap(),
        "high"
    );
    let EventKind::Decision(read) = serde_json::from_value::<Event>(stored).unwrap().kind else {
        panic!("no decision")
    };
    assert_eq!(read.sensitivity, None);
}
