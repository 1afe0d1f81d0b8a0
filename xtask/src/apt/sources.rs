//! The host's apt sources, read; and our private list, made from them.
//!
//! Never names a mirror by itself and never writes below `/etc/apt`.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::host::SUITE;

/// Where Debian publishes kernels newer than its stable ones.
const NEWER_KERNELS: &str = "trixie-backports";

/// One entry of the host's source list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    uri: String,
    suites: Vec<String>,
    /// Its other settings (key, proxy, validity), as lines that go into our copy unread.
    settings: String,
}

/// Our source list: the host's Debian entries, and backports from the same place as the main suite.
pub fn private(host: &[Source]) -> Result<String> {
    let main = main_entry(host)?;
    let security_suite = format!("{SUITE}-security");
    let security = host
        .iter()
        .find(|s| s.suites.contains(&security_suite))
        .with_context(|| {
            format!("no `{security_suite}` entry in the apt sources of this machine; add it")
        })?;
    let mut text = String::new();
    stanza(
        &mut text,
        main,
        &format!("{SUITE} {SUITE}-updates {SUITE}-backports"),
    )?;
    stanza(&mut text, security, &security_suite)?;
    Ok(text)
}

/// A list with the suite of newer kernels alone, from the same place and with the same key.
pub fn newer(host: &[Source]) -> Result<String> {
    let mut text = String::new();
    stanza(&mut text, main_entry(host)?, NEWER_KERNELS)?;
    Ok(text)
}

/// The line that gives this machine backports, for a person to add; none where they are there already, or where there
/// is no main suite to take the place from.
pub fn backports_line(host: &[Source]) -> Option<String> {
    let suite = format!("{SUITE}-backports");
    if host.iter().any(|source| source.suites.contains(&suite)) {
        return None;
    }
    let main = main_entry(host).ok()?;
    let key = main.settings.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("signed-by")
            .then(|| format!("[signed-by={value}] "))
    });
    let key = key.unwrap_or_default();
    Some(format!("deb {key}{} {suite} main", main.uri))
}

fn main_entry(host: &[Source]) -> Result<&Source> {
    host.iter()
        .find(|s| s.suites.iter().any(|x| x == SUITE))
        .with_context(|| {
            format!(
                "no `{SUITE}` entry in the apt sources of this machine; add Debian's own archive"
            )
        })
}

fn stanza(text: &mut String, source: &Source, suites: &str) -> Result<()> {
    writeln!(
        text,
        "Types: deb\nURIs: {}\nSuites: {suites}\nComponents: main",
        source.uri
    )?;
    text.push_str(&source.settings);
    writeln!(text)?;
    Ok(())
}

pub fn of_host(etc: &Path) -> Vec<Source> {
    let mut files = vec![etc.join("sources.list")];
    if let Ok(dir) = fs::read_dir(etc.join("sources.list.d")) {
        files.extend(dir.filter_map(|e| Some(e.ok()?.path())));
    }
    files.sort();
    let mut found = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap_or_default();
        match file.extension().and_then(|e| e.to_str()) {
            Some("sources") => found.extend(deb822(&text)),
            Some("list") => found.extend(text.lines().filter_map(one_line)),
            _ => {}
        }
    }
    found
}

/// `Types: deb` stanzas. Keys that we do not need are ignored.
fn deb822(text: &str) -> Vec<Source> {
    let clean: String = text
        .lines()
        .filter(|l| !l.starts_with('#'))
        .fold(String::new(), |all, l| all + l + "\n");
    clean.split("\n\n").filter_map(deb822_stanza).collect()
}

fn deb822_stanza(stanza: &str) -> Option<Source> {
    let field = |name: &str| {
        stanza.lines().find_map(|l| {
            let (key, value) = l.split_once(':')?;
            key.eq_ignore_ascii_case(name)
                .then(|| value.trim().to_owned())
        })
    };
    if !field("Types")?.split_whitespace().any(|t| t == "deb")
        || field("Enabled").as_deref() == Some("no")
    {
        return None;
    }
    Some(Source {
        uri: field("URIs")?.split_whitespace().next()?.to_owned(),
        suites: field("Suites")?
            .split_whitespace()
            .map(str::to_owned)
            .collect(),
        settings: settings(stanza),
    })
}

/// A stanza without the fields that we set ourselves; continuation lines go with their field.
fn settings(stanza: &str) -> String {
    const OURS: [&str; 6] = [
        "types",
        "uris",
        "suites",
        "components",
        "architectures",
        "enabled",
    ];
    let mut keep = false;
    let mut kept = String::new();
    for line in stanza.lines() {
        if !line.starts_with([' ', '\t']) {
            let key = line
                .split(':')
                .next()
                .unwrap_or_default()
                .to_ascii_lowercase();
            keep = !key.is_empty() && !OURS.contains(&key.as_str());
        }
        if keep {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// `deb [signed-by=/x] URI SUITE COMPONENT…`
fn one_line(line: &str) -> Option<Source> {
    let rest = line.trim().strip_prefix("deb ")?.trim();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(inner) => inner.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace();
    Some(Source {
        uri: words.next()?.to_owned(),
        suites: vec![words.next()?.to_owned()],
        settings: options
            .split_whitespace()
            .filter_map(|o| o.split_once('='))
            .filter(|(key, _)| *key != "arch")
            .fold(String::new(), |all, (key, value)| {
                all + &format!("{key}: {value}\n")
            }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANZAS: &str = "Types: deb\n# a comment\nURIs: mirror:/main\nSuites: bookworm bookworm-updates\nComponents: main\n\
        Signed-By: /usr/share/keyrings/k.gpg\n\nTypes: deb-src\nURIs: mirror:/src\nSuites: bookworm\n\n\
        Types: deb\nURIs: mirror:/security\nSuites: bookworm-security\nComponents: main\n";

    #[test]
    fn backports_comes_from_the_place_of_the_main_suite() {
        let text = private(&deb822(STANZAS)).unwrap();
        assert!(
            text.contains(
                "URIs: mirror:/main\nSuites: bookworm bookworm-updates bookworm-backports"
            ),
            "{text}"
        );
        assert!(
            text.contains("Signed-By: /usr/share/keyrings/k.gpg"),
            "{text}"
        );
        assert!(!text.contains("mirror:/src"), "{text}");
    }

    #[test]
    fn a_person_is_given_the_line_for_backports_only_where_it_is_missing() {
        let mut sources = deb822(STANZAS);
        assert_eq!(
            backports_line(&sources).as_deref(),
            Some("deb [signed-by=/usr/share/keyrings/k.gpg] mirror:/main bookworm-backports main")
        );
        sources[0].suites.push("bookworm-backports".into());
        assert_eq!(backports_line(&sources), None);
        assert_eq!(backports_line(&[]), None);
    }

    #[test]
    fn a_machine_without_the_security_suite_is_told_so() {
        let only_main = &deb822(STANZAS)[..1];
        assert!(
            private(only_main)
                .unwrap_err()
                .to_string()
                .contains("bookworm-security")
        );
    }

    #[test]
    fn one_line_entries_with_options_are_understood() {
        let source = one_line("deb [arch=amd64 signed-by=/k.gpg] mirror:/x bookworm main").unwrap();
        assert_eq!(source.uri, "mirror:/x");
        assert_eq!(source.suites, ["bookworm"]);
        assert_eq!(source.settings, "signed-by: /k.gpg\n");
        assert_eq!(one_line("# deb mirror:/x bookworm main"), None);
    }

    #[test]
    fn a_key_inside_the_entry_is_copied_whole() {
        let text = "Types: deb\nURIs: mirror:/m\nSuites: bookworm\nSigned-By:\n BEGIN\n .\n END\nTrusted: no\n";
        assert_eq!(
            deb822(text)[0].settings,
            "Signed-By:\n BEGIN\n .\n END\nTrusted: no\n"
        );
    }
}
