//! When a rule counts, and the calendar of named periods that it can be written with.

use super::{fields::Fields, reader::Reader};
use crate::{
    id::PeriodName,
    limits::{PERIODS_MAX, WINDOWS_MAX},
    policy::{
        Diagnostic, Periods, When,
        diagnostic::nearest,
        language,
        when::Window,
        yaml::{Node, Value},
    },
};

/// Reads `calendar` into the reader, where [`when`] finds it.
pub(super) fn calendar(r: &mut Reader, node: &Node) {
    for (key, value) in r.named(node, "calendar", "windows", PERIODS_MAX) {
        // Each finding looks for what is alike among all zones.
        if r.is_full() {
            break;
        }
        let name: Option<PeriodName> = r.parsed(key, "period name");
        let items = few(r, value);
        let windows = items.iter().filter_map(|item| window(r, item)).collect();
        let Some(name) = name else { continue };
        if r.calendar.iter().any(|known| known.name == name) {
            let message = format!("period `{name}` is defined twice");
            r.report(Diagnostic::error(key.at, name.as_str(), message));
            continue;
        }
        r.calendar.push(Periods {
            name,
            windows,
            used: false,
            at: key.at,
        });
    }
}

/// When a rule counts.
pub(super) fn when(r: &mut Reader, node: &Node) -> Option<When> {
    let mut fields = Fields::of(r, node, &language::WHEN)?;
    let (inside, outside) = (fields.take("windows"), fields.take("outside"));
    let (items, outside) = match (inside, outside) {
        (Some(items), None) => (items, false),
        (None, Some(items)) => (items, true),
        (given, _) => {
            let found = if given.is_some() { "both" } else { "neither" };
            // Other keys have findings of their own.
            if given.is_some() || matches!(&node.value, Value::Map(pairs) if pairs.is_empty()) {
                let message =
                    format!("`when` has `windows` or `outside`, and this one has {found}");
                let error = Diagnostic::error(node.at, "", message);
                r.report(error.suggest("a rule that always counts has no `when`"));
            }
            return None;
        }
    };
    let mut windows = Vec::new();
    for item in few(r, items) {
        windows.extend(named_or_written(r, item));
    }
    if windows.len() > WINDOWS_MAX {
        let message = format!(
            "the rule has {} windows, more than the {WINDOWS_MAX} that are allowed",
            windows.len()
        );
        r.report(Diagnostic::error(items.at, "", message));
    }
    (!windows.is_empty()).then_some(When { windows, outside })
}

/// One or some windows, not more than a rule may have.
fn few<'n>(r: &mut Reader, node: &'n Node) -> &'n [Node] {
    match &node.value {
        Value::List(_) => r.list_up_to(node, "windows", WINDOWS_MAX).unwrap_or(&[]),
        _ => r.one_or_list(node, "windows"),
    }
}

/// The windows of a name, or the one that is written. A window has blanks, a name has none.
fn named_or_written(r: &mut Reader, node: &Node) -> Vec<Window> {
    match node.text() {
        Some(text) if !text.contains(char::is_whitespace) => named(r, node),
        _ => window(r, node).into_iter().collect(),
    }
}

fn named(r: &mut Reader, node: &Node) -> Vec<Window> {
    let Some(name) = r.parsed::<PeriodName>(node, "windows") else {
        return Vec::new();
    };
    if let Some(periods) = r.calendar.iter_mut().find(|one| one.name == name) {
        periods.used = true;
        return periods.windows.clone();
    }
    let known = r.calendar.iter().map(|one| one.name.as_str());
    let near = nearest(name.as_str(), known).map(str::to_owned);
    let message = format!("the calendar has no period `{name}`");
    let error = Diagnostic::error(node.at, name.as_str(), message);
    r.report(match near {
        Some(near) => error.suggest(format!("did you mean `{near}`?")),
        None => error.suggest("define it under `calendar`, or write a window with its zone"),
    });
    Vec::new()
}

fn window(r: &mut Reader, node: &Node) -> Option<Window> {
    let text = r.text(node, "a window")?;
    match text.parse::<Window>() {
        Ok(window) => Some(window),
        Err(error) => {
            let finding = Diagnostic::error(node.at, text, error.to_string());
            r.report(finding.suggest(error.remedy()));
            None
        }
    }
}
