//! The longest files and functions: a place to look, never a failure.

use super::tree;

/// How many of each.
const SHOWN: usize = 10;

/// Prints both lists.
pub fn print() {
    let Ok(sources) = tree::sources() else { return };
    let mut files = Vec::new();
    let mut functions = Vec::new();
    for path in sources {
        let Ok(text) = tree::read(&path) else {
            continue;
        };
        functions.extend(
            lengths(&text)
                .into_iter()
                .map(|(name, n)| (n, format!("{path} {name}"))),
        );
        files.push((text.lines().count(), path));
    }
    println!("check  longest files and functions (lines; a place to look):");
    for mut list in [files, functions] {
        list.sort_by(|a, b| b.cmp(a));
        for (lines, name) in list.into_iter().take(SHOWN) {
            println!("         {lines:>5}  {name}");
        }
    }
}

/// Functions and their lengths. Formatted code closes a body at the indentation of its `fn`.
fn lengths(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else {
            continue;
        };
        let indent = &line[..line.len() - line.trim_start().len()];
        let close = format!("{indent}}}");
        let rest = &lines[start..];
        let Some(end) = rest
            .iter()
            .position(|l| *l == close || (*l == *line && l.ends_with('}')))
        else {
            continue;
        };
        found.push((name, end + 1));
    }
    found
}

fn function_name(line: &str) -> Option<String> {
    let line = line.trim_start();
    let (before, after) = line.split_once("fn ")?;
    let known = [
        "pub",
        "const",
        "async",
        "unsafe",
        "extern",
        "\"C\"",
        "pub(crate)",
        "pub(super)",
    ];
    if !before.split_whitespace().all(|w| known.contains(&w)) {
        return None;
    }
    let name: String = after
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_end_at_their_own_indentation() {
        let text = "impl X {\n    pub fn a(&self) {\n        if x {\n        }\n    }\n\n    fn b() -> u8 { 1 }\n}\n";
        assert_eq!(lengths(text), [("a".to_owned(), 4), ("b".to_owned(), 1)]);
    }

    #[test]
    fn words_that_contain_fn_are_no_functions() {
        assert_eq!(function_name("// a fn x() in a comment"), None);
        assert_eq!(function_name("let f: fn (u8) = g;"), None);
    }
}
