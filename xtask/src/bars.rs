//! The bars that `bench hooks --check` holds the figures to (docs/performance.md). Never measures anything.

use crate::bench::Row;

/// Most that opening and closing may cost a process that nothing guards: a handful of loads and one look-up of
/// task storage.
const OPEN_UNGUARDED_MAX: f64 = 450.0;
/// Most that an exec may cost it, as a factor.
const EXEC_UNGUARDED_MAX: f64 = 1.02;
/// Most that a connection may cost it. Of a datagram to an address on a socket that was connected before, the sending is
/// taken off: the figure of TCP is mostly the network's.
const CONNECT_UNGUARDED_MAX: f64 = 700.0;
/// Most that a thousand times as many rules may cost, as a factor: rules are looked up, never walked through.
const RULES_MAX: f64 = 1.05;

const NO_AGENT: &str = "no agent";
/// End of the names of circumstances without a login uid.
const UNGUARDED: &str = ", unguarded";
const FEW: &str = "10 rules";
const MANY: &str = "10000 rules";
/// A guarded subject whose action no rule matches, and who it is not to cost more than.
const NONE_MATCHES: &str = ", none matches";
const APPARMOR: &str = "AppArmor, 100 rules";

/// The most that is allowed, from what a figure is compared with.
type Bar = fn(f64) -> f64;

/// Every bar that is missed, and every figure that a bar needs and that is not there.
pub fn missed(rows: &[Row]) -> Vec<String> {
    let mut missed = Vec::new();
    let mut opens = 0;
    let mut execs = 0;
    let mut pairs = 0;
    let mut others = 0;
    for row in rows {
        let base = |scenario: &str| find(rows, &row.action, scenario);
        let mut bars: Vec<(Option<f64>, Bar)> = Vec::new();
        if row.scenario.ends_with(UNGUARDED) {
            if row.action.starts_with("open") {
                opens += 1;
                bars.push((base(NO_AGENT), |base| base + OPEN_UNGUARDED_MAX));
            } else if row.action.contains("exec") {
                execs += 1;
                bars.push((base(NO_AGENT), |base| base * EXEC_UNGUARDED_MAX));
            }
        }
        if row.scenario.ends_with(NONE_MATCHES)
            && STEADY.iter().any(|name| row.action.starts_with(name))
        {
            others += 1;
            bars.push((base(APPARMOR), |base| base));
        }
        if let Some(rest) = row.scenario.strip_prefix(MANY) {
            pairs += 1;
            bars.push((base(&format!("{FEW}{rest}")), |base| base * RULES_MAX));
        }
        for (base, most) in bars {
            match base {
                Some(base) if row.instructions <= most(base) => {}
                Some(base) => missed.push(format!(
                    "{} / {}: {:.0}, more than {:.0} (compared with {base:.0})",
                    row.action,
                    row.scenario,
                    row.instructions,
                    most(base)
                )),
                None => missed.push(format!(
                    "{} / {}: nothing to compare with",
                    row.action, row.scenario
                )),
            }
        }
    }
    let connects = rows
        .iter()
        .filter(|row| row.scenario.ends_with(UNGUARDED) && row.action == CONNECTED)
        .map(|row| (&row.scenario, connecting(rows, &row.scenario)));
    let base = connecting(rows, NO_AGENT);
    for (scenario, cost) in connects {
        match (cost, base) {
            (Some(cost), Some(base)) if cost <= base + CONNECT_UNGUARDED_MAX => {}
            other => missed.push(format!(
                "connect / {scenario}: {other:.0?}, more than {CONNECT_UNGUARDED_MAX} apart"
            )),
        }
    }
    let needed = [
        (opens, "open"),
        (execs, "exec"),
        (pairs, "many rules"),
        (others, "another guard"),
    ];
    missed.extend(
        needed
            .iter()
            .filter(|(count, _)| *count == 0)
            .map(|(_, what)| format!("no figure of {what}")),
    );
    missed
}

/// What connecting a datagram socket costs.
fn connecting(rows: &[Row], scenario: &str) -> Option<f64> {
    Some(find(rows, CONNECTED, scenario)? - find(rows, SENT, scenario)?)
}

const CONNECTED: &str = "UDP connect+send";
const SENT: &str = "UDP send";
/// Actions that cost each process the same, by how their names begin. Of executions and TCP the network and the kernel's
/// memory vary by more than another guard costs.
const STEADY: [&str; 3] = ["open", "create", "UDP"];

fn find(rows: &[Row], action: &str, scenario: &str) -> Option<f64> {
    let row = rows
        .iter()
        .find(|row| row.action == action && row.scenario == scenario);
    row.map(|row| row.instructions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(open: f64, exec: f64, many: f64, connect: f64) -> Vec<Row> {
        rows_with(open, exec, many, connect, 8_350.0)
    }

    fn rows_with(open: f64, exec: f64, many: f64, connect: f64, send: f64) -> Vec<Row> {
        let row = |action: &str, scenario: &str, instructions| Row {
            action: action.into(),
            scenario: scenario.into(),
            instructions,
        };
        vec![
            row("open(write)+close", "no agent", 5_000.0),
            row("open(write)+close", "10 rules, unguarded", open),
            row("vfork+exec", "no agent", 200_000.0),
            row("vfork+exec", "10 rules, unguarded", exec),
            row("open(write)+close", "AppArmor, 100 rules", 9_450.0),
            row("open(write)+close", "10 rules, none matches", 9_000.0),
            row("open(write)+close", "10000 rules, none matches", many),
            row("UDP connect+send", "no agent", 10_000.0),
            row("UDP send", "no agent", 8_000.0),
            row("UDP connect+send", "10 rules, unguarded", connect + 8_300.0),
            row("UDP send", "10 rules, unguarded", 8_300.0),
            row("UDP send", "AppArmor, 100 rules", 8_350.0),
            row("UDP send", "10 rules, none matches", send),
        ]
    }

    #[test]
    fn each_bar_is_missed_by_itself_and_by_nothing_else() {
        assert_eq!(missed(&rows(5_451.0, 204_000.0, 9_450.0, 2_700.0)).len(), 1);
        assert_eq!(missed(&rows(5_450.0, 204_001.0, 9_450.0, 2_700.0)).len(), 1);
        assert_eq!(missed(&rows(5_450.0, 204_000.0, 9_450.0, 2_701.0)).len(), 1);
        // Over the other guard and over fewer rules.
        assert_eq!(missed(&rows(5_450.0, 204_000.0, 9_451.0, 2_700.0)).len(), 2);
        assert_eq!(
            missed(&rows_with(5_450.0, 204_000.0, 9_450.0, 2_700.0, 8_351.0)).len(),
            1
        );
        assert!(missed(&rows(5_450.0, 204_000.0, 9_450.0, 2_700.0)).is_empty());
    }

    #[test]
    fn figures_that_are_not_there_are_no_success() {
        assert_eq!(missed(&[]).len(), 4);
        let all = rows(5_000.0, 200_000.0, 9_000.0, 2_000.0);
        let without_base: Vec<Row> = all
            .into_iter()
            .filter(|row| row.scenario != "no agent")
            .collect();
        assert_eq!(missed(&without_base).len(), 3);
    }
}
