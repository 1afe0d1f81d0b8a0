//! Times, durations, texts and identifiers.

use std::str::FromStr;

use stayhand_guardrail::{
    limits::LABELS_MAX,
    policy::{HostLabels, Label},
    time::{DurationMs, UnixMs},
};
use uuid::Uuid;

use super::invalid::{Invalid, leaf};
use crate::limits::{ITEMS_MAX, TEXT_BYTES_MAX};

/// 9999-12-31T23:59:59Z, where google.protobuf.Timestamp ends.
const SECONDS_MAX: i64 = 253_402_300_799;

/// As it travels.
pub fn timestamp(at: UnixMs) -> prost_types::Timestamp {
    let seconds = i64::try_from(at.0 / 1_000)
        .unwrap_or(SECONDS_MAX)
        .min(SECONDS_MAX);
    let nanos = i32::try_from(at.0 % 1_000).unwrap_or(0) * 1_000_000;
    prost_types::Timestamp { seconds, nanos }
}

/// A time that may be left out; before 1970 and after 9999 nothing happened.
pub fn unix_ms(field: &str, at: Option<prost_types::Timestamp>) -> Result<Option<UnixMs>, Invalid> {
    let Some(prost_types::Timestamp { seconds, nanos }) = at else {
        return Ok(None);
    };
    let wrong = || Invalid::new(field, "is no time between 1970 and 9999");
    if !(0..=SECONDS_MAX).contains(&seconds) || !(0..1_000_000_000).contains(&nanos) {
        return Err(wrong());
    }
    let seconds = u64::try_from(seconds).map_err(|_| wrong())?;
    let nanos = u64::try_from(nanos).map_err(|_| wrong())?;
    Ok(Some(UnixMs(seconds * 1_000 + nanos / 1_000_000)))
}

/// A value that has to be there.
pub fn required<T>(field: &str, value: Option<T>) -> Result<T, Invalid> {
    value.ok_or_else(|| Invalid::missing(field))
}

/// A time that has to be there.
pub(super) fn time(field: &str, at: Option<prost_types::Timestamp>) -> Result<UnixMs, Invalid> {
    required(field, unix_ms(field, at)?)
}

/// A span of time that has to be there and is not negative; parts of a millisecond are dropped.
pub fn duration(field: &str, span: Option<prost_types::Duration>) -> Result<DurationMs, Invalid> {
    let prost_types::Duration { seconds, nanos } = required(field, span)?;
    let wrong = || Invalid::new(field, "is no duration, or a negative one");
    let seconds = u64::try_from(seconds).map_err(|_| wrong())?;
    let nanos = u64::try_from(nanos).map_err(|_| wrong())?;
    if nanos >= 1_000_000_000 {
        return Err(wrong());
    }
    Ok(DurationMs(
        seconds
            .saturating_mul(1_000)
            .saturating_add(nanos / 1_000_000),
    ))
}

/// A span of time as it travels.
pub fn span(span: DurationMs) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(span.0 / 1_000).unwrap_or(i64::MAX),
        nanos: i32::try_from(span.0 % 1_000).unwrap_or(0) * 1_000_000,
    }
}

/// A text within its bound.
pub(super) fn text(field: &str, text: String) -> Result<String, Invalid> {
    if text.len() > TEXT_BYTES_MAX {
        let problem = format!(
            "has {} bytes, more than the {TEXT_BYTES_MAX} that are allowed",
            text.len()
        );
        return Err(Invalid::new(field, problem));
    }
    Ok(text)
}

/// A text that may be empty, which means that there is none.
pub(super) fn some_text(field: &str, wire: String) -> Result<Option<String>, Invalid> {
    Ok(Some(text(field, wire)?).filter(|text| !text.is_empty()))
}

/// Bytes within a bound.
pub(super) fn bytes(field: &str, bytes: Vec<u8>, max: usize) -> Result<Vec<u8>, Invalid> {
    if bytes.len() > max {
        let problem = format!(
            "has {} bytes, more than the {max} that are allowed",
            bytes.len()
        );
        return Err(Invalid::new(field, problem));
    }
    Ok(bytes)
}

/// Bytes that may be empty, which means that there are none.
pub(super) fn some_bytes(
    field: &str,
    wire: Vec<u8>,
    max: usize,
) -> Result<Option<Vec<u8>>, Invalid> {
    Ok(Some(bytes(field, wire, max)?).filter(|bytes| !bytes.is_empty()))
}

/// A list within its bound.
pub(super) fn bounded<T>(field: &str, items: Vec<T>, max: usize) -> Result<Vec<T>, Invalid> {
    if items.len() > max {
        let problem = format!(
            "has {} items, more than the {max} that are allowed",
            items.len()
        );
        return Err(Invalid::new(field, problem));
    }
    Ok(items)
}

/// Texts within their bounds.
pub(super) fn texts(field: &str, items: Vec<String>) -> Result<Vec<String>, Invalid> {
    let items = bounded(field, items, ITEMS_MAX)?;
    items
        .into_iter()
        .enumerate()
        .map(|(at, item)| text(&format!("{field}[{at}]"), item))
        .collect()
}

/// Labels of a host, each once.
pub(super) fn host_labels(items: Vec<String>) -> Result<HostLabels, Invalid> {
    const FIELD: &str = "labels";
    let items = bounded(FIELD, items, LABELS_MAX)?;
    let count = items.len();
    let labels: HostLabels = items
        .iter()
        .enumerate()
        .map(|(at, item)| leaf(&format!("{FIELD}[{at}]"), item.parse::<Label>()))
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .collect();
    if labels.0.len() < count {
        return Err(Invalid::new(FIELD, "a label is there twice"));
    }
    Ok(labels)
}

/// An identifier.
pub(super) fn id<T: FromStr<Err: std::fmt::Display>>(
    field: &str,
    text: &str,
) -> Result<T, Invalid> {
    leaf(field, text.parse())
}

/// An identifier that may be empty, which means that there is none.
pub(super) fn some_id<T: FromStr<Err: std::fmt::Display>>(
    field: &str,
    text: &str,
) -> Result<Option<T>, Invalid> {
    if text.is_empty() {
        Ok(None)
    } else {
        id(field, text).map(Some)
    }
}

/// A list of identifiers within its bound.
pub(super) fn ids<T: FromStr<Err: std::fmt::Display>>(
    field: &str,
    texts: Vec<String>,
) -> Result<Vec<T>, Invalid> {
    let texts = bounded(field, texts, ITEMS_MAX)?;
    texts
        .iter()
        .enumerate()
        .map(|(at, text)| id(&format!("{field}[{at}]"), text))
        .collect()
}

/// A UUID.
pub(super) fn uuid(field: &str, text: &str) -> Result<Uuid, Invalid> {
    Uuid::try_parse(text).map_err(|_| Invalid::new(field, "is no UUID"))
}

/// The text of an identifier, empty where there is none.
pub(super) fn shown<T: ToString>(id: Option<&T>) -> String {
    id.map(ToString::to_string).unwrap_or_default()
}
