//! Rules about the tree itself. Each is a function from the tree to findings, run by `check` and as a unit test.

mod documents;
mod edges;
mod invariants;
pub mod longest;
mod orphans;
mod places;
mod top_docs;
pub mod tree;
pub mod workspace;

use super::Check;

/// All rules, in the order of printing.
pub const RULES: [Check; 6] = [
    ("edges", edges::check),
    ("module docs", top_docs::check),
    ("orphans", orphans::check),
    ("invariants", invariants::check),
    ("documents", documents::check),
    ("places", places::check),
];

#[cfg(test)]
mod tests {
    use super::{super::Verdict, *};

    #[test]
    fn the_tree_keeps_every_rule() {
        let mut findings = Vec::new();
        for (name, rule) in RULES {
            if let Verdict::Bad(found) = rule().unwrap() {
                findings.extend(found.into_iter().map(|f| format!("{name}: {f}")));
            }
        }
        assert!(findings.is_empty(), "{}", findings.join("\n"));
    }
}
