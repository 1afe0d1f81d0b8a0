//! One component of a path in a rule: a name, or the names that begin and end in one way.

use std::{collections::BTreeSet, fmt, str::FromStr};

/// What one directory entry is called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Component {
    /// By name
    Name(String),
    /// By its two ends
    Wild(Wild),
}

/// The names that begin with one text and end with another, without overlap. Ordered by the lengths of the two, which
/// is the order in which the kernel tries them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wild {
    lens: (usize, usize),
    prefix: String,
    suffix: String,
}

/// More than one star, or a backslash that stands before nothing that needs one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAComponent;

impl Component {
    /// Whether a name is meant.
    pub fn matches(&self, name: &[u8]) -> bool {
        match self {
            Self::Name(own) => own.as_bytes() == name,
            Self::Wild(wild) => wild.matches(name),
        }
    }

    /// Whether every name that `other` means is meant by this, too.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Name(name)) => self.matches(name.as_bytes()),
            (Self::Wild(own), Self::Wild(other)) => own.covers(other),
            (Self::Name(_), Self::Wild(_)) => false,
        }
    }

    /// The name, if it is one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Wild(_) => None,
        }
    }
}

impl Wild {
    /// What the names begin with.
    pub fn prefix(&self) -> &[u8] {
        self.prefix.as_bytes()
    }

    /// What they end with.
    pub fn suffix(&self) -> &[u8] {
        self.suffix.as_bytes()
    }

    /// The specification.
    pub fn matches(&self, name: &[u8]) -> bool {
        name.strip_prefix(self.prefix())
            .is_some_and(|rest| rest.ends_with(self.suffix()))
    }

    fn covers(&self, other: &Self) -> bool {
        other.prefix.starts_with(&self.prefix) && other.suffix.ends_with(&self.suffix)
    }
}

/// Which of these patterns one name can match at once, in order: every such choice of two or more, and every beginning
/// of one. Some may be too many (no name is that short), none is missing.
pub fn choices(patterns: &[&Wild]) -> BTreeSet<Vec<usize>> {
    let mut found = BTreeSet::new();
    let texts = |of: fn(&Wild) -> &str| -> BTreeSet<&str> {
        patterns.iter().map(|wild| of(wild)).collect()
    };
    let lengths: BTreeSet<usize> = patterns
        .iter()
        .map(|wild| wild.lens.0 + wild.lens.1)
        .collect();
    for start in texts(|wild| &wild.prefix) {
        for end in texts(|wild| &wild.suffix) {
            for length in &lengths {
                let meets = |wild: &Wild| {
                    start.starts_with(&wild.prefix)
                        && end.ends_with(&wild.suffix)
                        && wild.lens.0 + wild.lens.1 <= *length
                };
                let chosen = patterns.iter().enumerate().filter(|(_, wild)| meets(wild));
                let chosen: Vec<usize> = chosen.map(|(index, _)| index).collect();
                found.extend(
                    (2..=chosen.len())
                        .filter_map(|len| chosen.get(..len))
                        .map(<[_]>::to_vec),
                );
            }
        }
    }
    found
}

impl FromStr for Component {
    type Err = NotAComponent;

    fn from_str(text: &str) -> Result<Self, NotAComponent> {
        let mut sides = vec![String::new()];
        let mut chars = text.chars();
        while let Some(char) = chars.next() {
            let literal = match char {
                '*' => {
                    sides.push(String::new());
                    continue;
                }
                '\\' => chars
                    .next()
                    .filter(|next| matches!(next, '*' | '\\' | '?'))
                    .ok_or(NotAComponent)?,
                other => other,
            };
            if let Some(side) = sides.last_mut() {
                side.push(literal);
            }
        }
        let mut sides = sides.into_iter();
        match (sides.next().unwrap_or_default(), sides.next(), sides.next()) {
            (name, None, _) => Ok(Self::Name(name)),
            (prefix, Some(suffix), None) => Ok(Self::Wild(Wild {
                lens: (prefix.len(), suffix.len()),
                prefix,
                suffix,
            })),
            _ => Err(NotAComponent),
        }
    }
}

/// As a policy writes it.
impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(&escaped(name)),
            Self::Wild(wild) => write!(f, "{wild}"),
        }
    }
}

impl fmt::Display for Wild {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}*{}", escaped(&self.prefix), escaped(&self.suffix))
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('*', "\\*")
        .replace('?', "\\?")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn component(text: &str) -> Component {
        text.parse().expect("a component")
    }

    #[test]
    fn ends_do_not_overlap() {
        let wild = component("ab*ba");
        assert!(!wild.matches(b"aba"));
        assert!(!wild.matches(b"ab"));
        assert!(wild.matches(b"abba"));
        assert!(wild.matches(b"ab.ba"));
    }

    #[test]
    fn a_star_alone_is_every_name() {
        assert!(component("*").matches(b"x"));
        assert!(component("*").covers(&component("a*b")));
        assert!(!component("a*").covers(&component("*")));
    }

    #[test]
    fn two_stars_and_idle_backslashes_are_refused() {
        for text in ["a*b*c", "**", "a\\b", "a\\"] {
            assert_eq!(text.parse::<Component>(), Err(NotAComponent), "{text}");
        }
        assert_eq!(component("a\\*b").name(), Some("a*b"));
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(text in "[ab*\\\\?.]{1,6}") {
            if let Ok(read) = text.parse::<Component>() {
                prop_assert_eq!(component(&read.to_string()), read);
            }
        }

        #[test]
        fn every_choice_of_a_name_is_among_the_choices(
            patterns in proptest::collection::btree_set("[ab]{0,2}[*][ab]{0,2}", 1..8),
            name in "[ab]{1,6}",
        ) {
            let mut wilds: Vec<Wild> = patterns.iter().filter_map(|text| match component(text) {
                Component::Wild(wild) => Some(wild),
                Component::Name(_) => None,
            }).collect();
            wilds.sort();
            let of_name: Vec<usize> = wilds.iter().enumerate()
                .filter(|(_, wild)| wild.matches(name.as_bytes()))
                .map(|(index, _)| index)
                .collect();
            let all = choices(&wilds.iter().collect::<Vec<_>>());
            for len in 2..=of_name.len() {
                prop_assert!(all.contains(&of_name[..len]), "{:?} of {:?} for {}", of_name, wilds, name);
            }
        }

        #[test]
        fn what_covers_matches_whatever_the_other_matches(
            a in "[ab]{0,2}[*]?[ab]{0,2}", b in "[ab]{0,2}[*]?[ab]{0,2}", name in "[ab]{1,6}",
        ) {
            let (a, b) = (component(&a), component(&b));
            if a.covers(&b) && b.matches(name.as_bytes()) {
                prop_assert!(a.matches(name.as_bytes()));
            }
        }
    }
}
