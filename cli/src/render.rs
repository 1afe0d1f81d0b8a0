//! Views to text: tables for people, JSON, JSON lines, YAML and names for programs.
//!
//! JSON is a contract: every document carries `api_version` and `kind`, fields are only ever added. Strings are
//! exact in JSON, and characters that act on a terminal are written as `\u` escapes there.

use std::io;

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;
use serde_json::{Value, ser::Formatter};
use stayhand_guardrail::text::safe;

use crate::{args::Format, failure::Failure, screen::Screen, time::Moment};

/// Version of the documents that programs read.
pub(crate) const API_VERSION: &str = "stayhand/v1";

/// What the commands print.
pub(crate) trait View: Serialize {
    /// Its word in documents.
    const KIND: &'static str;
    /// Heads of its columns.
    const HEADS: &'static [&'static str];

    /// What other commands take for it.
    fn id(&self) -> String;
    /// One row, safe to show.
    fn row(&self, moment: &Moment) -> Vec<String>;
    /// Everything about it, as label and text, safe to show; empty texts are left out.
    fn details(&self, moment: &Moment) -> Vec<(&'static str, String)>;
}

#[derive(Serialize)]
struct Document<'a, T: Serialize> {
    api_version: &'static str,
    kind: &'a str,
    #[serde(flatten)]
    content: &'a T,
}

#[derive(Serialize)]
struct Items<'a, T: Serialize> {
    items: &'a [T],
}

impl Screen {
    /// Prints many.
    pub(crate) fn list<T: View>(&self, items: &[T], none: &str) -> Result<(), Failure> {
        let format = self.format_or(Format::Table);
        if items.is_empty() && format == Format::Table {
            self.note(none);
            return Ok(());
        }
        let text = match format {
            Format::Table => table(items, self.headers(), &self.moment()),
            Format::Json => json(&format!("{}List", T::KIND), &Items { items })?,
            Format::Yaml => yaml(&format!("{}List", T::KIND), &Items { items })?,
            Format::Jsonl | Format::Name => {
                let lines: Result<String, Failure> =
                    items.iter().map(|item| line(item, format)).collect();
                lines?
            }
        };
        self.data(&text)
    }

    /// Prints one.
    pub(crate) fn one<T: View>(&self, item: &T) -> Result<(), Failure> {
        let text = match self.format_or(Format::Table) {
            Format::Table => pairs(&item.details(&self.moment())),
            Format::Json => json(T::KIND, item)?,
            Format::Yaml => yaml(T::KIND, item)?,
            format @ (Format::Jsonl | Format::Name) => line(item, format)?,
        };
        self.data(&text)
    }

    /// Prints one of a stream: a document per line, or YAML documents. Tables are the caller's.
    pub(crate) fn streamed<T: View>(&self, item: &T) -> Result<(), Failure> {
        let text = match self.format_or(Format::Table) {
            Format::Yaml => format!("---\n{}", yaml(T::KIND, item)?),
            Format::Name => line(item, Format::Name)?,
            Format::Json | Format::Jsonl | Format::Table => line(item, Format::Jsonl)?,
        };
        self.data(&text)
    }

    /// Prints one document of somebody else's schema as YAML.
    pub(crate) fn yaml_document(&self, mut value: Value) -> Result<(), Failure> {
        defuse(&mut value);
        let text = serde_yaml_ng::to_string(&value).map_err(unwritable)?;
        self.data(&format!("---\n{text}"))
    }

    /// Prints something that has no id and no row, for programs.
    pub(crate) fn document<T: Serialize>(&self, kind: &str, content: &T) -> Result<(), Failure> {
        let text = match self.format_or(Format::Json) {
            Format::Yaml => yaml(kind, content)?,
            Format::Jsonl => compact(kind, content)?,
            _ => json(kind, content)?,
        };
        self.data(&text)
    }
}

fn line<T: View>(item: &T, format: Format) -> Result<String, Failure> {
    if format == Format::Name {
        return Ok(format!("{}\n", item.id()));
    }
    compact(T::KIND, item)
}

fn compact<T: Serialize>(kind: &str, content: &T) -> Result<String, Failure> {
    let document = document(kind, content);
    let mut bytes = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(
        &mut bytes,
        Guarded(serde_json::ser::CompactFormatter),
    );
    document.serialize(&mut serializer).map_err(unwritable)?;
    bytes.push(b'\n');
    String::from_utf8(bytes).map_err(unwritable)
}

fn json<T: Serialize>(kind: &str, content: &T) -> Result<String, Failure> {
    let document = document(kind, content);
    let mut bytes = Vec::new();
    let pretty = Guarded(serde_json::ser::PrettyFormatter::new());
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, pretty);
    document.serialize(&mut serializer).map_err(unwritable)?;
    bytes.push(b'\n');
    String::from_utf8(bytes).map_err(unwritable)
}

/// YAML is for people and has no escape that every reader writes: acting characters are shown as in tables.
fn yaml<T: Serialize>(kind: &str, content: &T) -> Result<String, Failure> {
    let mut value = serde_json::to_value(document(kind, content)).map_err(unwritable)?;
    defuse(&mut value);
    serde_yaml_ng::to_string(&value).map_err(unwritable)
}

fn document<'a, T: Serialize>(kind: &'a str, content: &'a T) -> Document<'a, T> {
    Document {
        api_version: API_VERSION,
        kind,
        content,
    }
}

fn unwritable(error: impl std::fmt::Display) -> Failure {
    Failure::general(format!(
        "the answer cannot be written in this format: {error}"
    ))
}

fn defuse(value: &mut Value) {
    match value {
        Value::String(text) if text.chars().any(acts) || text.contains(RUNNER) => {
            *text = defused(&safe(text));
        }
        Value::Array(items) => items.iter_mut().for_each(defuse),
        Value::Object(fields) => fields.values_mut().for_each(defuse),
        _ => {}
    }
}

/// Whether a character prints nothing or does something: control, direction, zero width. Line breaks and tabs
/// are layout in both formats.
fn acts(character: char) -> bool {
    let printable = matches!(character, '\n' | '\t' | '\\' | '\'' | '"')
        || character.escape_debug().eq([character]);
    !printable
}

/// Writes JSON that is exact for a program and harmless on a terminal.
struct Guarded<F>(F);

impl<F: Formatter> Formatter for Guarded<F> {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        text: &str,
    ) -> io::Result<()> {
        let mut plain = 0;
        for (at, character) in text
            .char_indices()
            .filter(|(at, character)| acts(*character) || ends_runner(text, *at))
        {
            out.write_all(text.get(plain..at).unwrap_or_default().as_bytes())?;
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}")?;
            }
            plain = at + character.len_utf8();
        }
        out.write_all(text.get(plain..).unwrap_or_default().as_bytes())
    }

    fn begin_array<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_array(out)
    }
    fn end_array<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_array(out)
    }
    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.0.begin_array_value(out, first)
    }
    fn end_array_value<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_array_value(out)
    }
    fn begin_object<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_object(out)
    }
    fn end_object<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_object(out)
    }
    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.0.begin_object_key(out, first)
    }
    fn begin_object_value<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_object_value(out)
    }
    fn end_object_value<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_object_value(out)
    }
}

/// Columns without borders, three blanks apart; cells are never wrapped, so that a row stays a line.
pub(crate) fn table<T: View>(items: &[T], headers: bool, moment: &Moment) -> String {
    columns(T::HEADS, items.iter().map(|item| item.row(moment)), headers)
}

/// The same of rows that are no view's.
pub(crate) fn columns(
    heads: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
    headers: bool,
) -> String {
    let heads = headers.then(|| heads.iter().map(|head| (*head).to_owned()).collect());
    aligned(heads, rows, 3)
}

/// Labels and texts; further lines of a text stand below its first.
pub(crate) fn pairs(details: &[(&'static str, String)]) -> String {
    let shown = details.iter().filter(|(_, text)| !text.is_empty());
    aligned(
        None,
        shown.map(|(label, text)| vec![(*label).to_owned(), text.clone()]),
        2,
    )
}

fn aligned(
    heads: Option<Vec<String>>,
    rows: impl Iterator<Item = Vec<String>>,
    gap: u16,
) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    if let Some(heads) = heads {
        table.set_header(heads);
    }
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, gap));
    }
    format!("{}\n", defused(&table.trim_fmt()))
}

/// What begins a command of GitHub's runner wherever it stands in a line of a log (`ActionCommand.TryParse` in
/// actions/runner). Names and messages come from whoever proposes a change, and logs of forges are read by their runners.
const RUNNER: &str = "##[";

/// The same without such a beginning.
pub(crate) fn defused(text: &str) -> String {
    text.replace(RUNNER, "##\\x5b")
}

/// Whether the character at a place ends such a beginning.
fn ends_runner(text: &str, at: usize) -> bool {
    let upto = text.get(..=at);
    upto.is_some_and(|upto| upto.ends_with(RUNNER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Thing {
        text: &'static str,
    }

    const HOSTILE: &str = "##[x]a\u{9b}2J\u{202e}b\u{7f}\u{1b}[0m\"\\\n\u{e0041}";

    #[test]
    fn json_is_exact_for_programs_and_harmless_on_a_terminal() {
        for text in [
            compact("Thing", &Thing { text: HOSTILE }).unwrap(),
            json("Thing", &Thing { text: HOSTILE }).unwrap(),
        ] {
            let acting = text.chars().filter(|character| acts(*character));
            assert_eq!(acting.count(), 0, "{text:?}");
            assert!(!text.contains(RUNNER), "{text:?}");
            let read: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(read.get("text").unwrap(), HOSTILE);
            assert_eq!(read.get("api_version").unwrap(), API_VERSION);
            assert_eq!(read.get("kind").unwrap(), "Thing");
        }
    }

    #[test]
    fn yaml_shows_acting_characters_and_never_writes_them() {
        let text = yaml("Thing", &Thing { text: HOSTILE }).unwrap();
        let acting = text.chars().filter(|character| acts(*character));
        assert_eq!(acting.count(), 0, "{text:?}");
        assert!(!text.contains(RUNNER), "{text:?}");
        let read: Value = serde_yaml_ng::from_str(&text).unwrap();
        let shown = defused(&safe(HOSTILE));
        assert_eq!(read.get("text").unwrap(), &Value::from(shown));
    }

    #[test]
    fn labels_without_a_text_are_left_out_and_columns_line_up() {
        let details = [
            ("rule", "baseline/nginx".to_owned()),
            ("message", String::new()),
            ("permission", "one\ntwo".to_owned()),
        ];
        assert_eq!(
            pairs(&details),
            "rule        baseline/nginx\npermission  one\n            two\n"
        );
    }
}
