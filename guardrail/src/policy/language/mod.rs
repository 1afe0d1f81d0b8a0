//! The keys of the language: one table, from which the parser knows what may stand where and the JSON Schema is made.
//!
//! Says what can be written, never what it means: a key that is here and that the parser does not read would be accepted and
//! ignored, so `tests/schema.rs` gives every key a wrong value.

mod actions;
mod approvals;
mod document;
mod examples;
mod profiles;
mod shapes;
mod texts;

pub(super) use actions::*;
pub(super) use approvals::*;
pub(super) use document::*;
pub(super) use examples::*;
pub(super) use profiles::*;
pub(super) use texts::NAME;

/// A mapping: a closed set of keys, each at most once.
pub(super) struct Mapping {
    /// What findings call it
    pub(super) what: &'static str,
    /// Its name in the schema
    pub(super) name: &'static str,
    /// What it is for; an editor shows it
    pub(super) says: &'static str,
    pub(super) keys: &'static [Key],
    /// Keys of the language that later builds enforce: refused with these words
    pub(super) later: &'static [&'static str],
    pub(super) has: Has,
}

/// What a mapping has beside its required keys.
pub(super) enum Has {
    /// Nothing more
    Anything,
    /// Exactly one of these
    OneOf(&'static [&'static str]),
    /// At least one of these
    SomeOf(&'static [&'static str]),
}

/// One key.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) required: bool,
    /// What it says; an editor shows it
    pub(super) says: &'static str,
    pub(super) value: Shape,
    pub(super) beside: Beside,
}

/// What has to stand beside a key.
pub(super) enum Beside {
    /// Nothing
    Anything,
    /// This key
    Key(&'static str),
    /// This key with this word
    Word(&'static str, &'static str),
}

/// What stands behind a key.
pub(super) enum Shape {
    Text(&'static Text),
    /// One of these words
    Word(fn() -> Vec<&'static str>),
    /// `true` or `false`
    Flag,
    /// So many items
    List {
        of: &'static Shape,
        min: usize,
        max: usize,
    },
    /// One, or a list of up to so many
    OneOrList {
        of: &'static Shape,
        max: usize,
        /// Whether all have to differ
        differ: bool,
    },
    /// A program, or a list of it and up to so many arguments
    Call {
        program: &'static Shape,
        argument: &'static Shape,
        max: usize,
    },
    Mapping(&'static Mapping),
    /// Something shorter, or a mapping
    Either {
        one: &'static Shape,
        mapping: &'static Mapping,
    },
    /// From names that the policy chooses to something
    Named {
        of: &'static Shape,
        max: usize,
    },
}

/// A text; the parser knows more of it than a pattern can say.
pub(super) struct Text {
    /// What YAML may take it for where it stands without quotes
    pub(super) kind: Kind,
    /// An expression that every such text matches, in the words that JSON Schema has
    pub(super) pattern: Option<&'static str>,
    /// Fewest and most characters
    pub(super) min: usize,
    pub(super) max: Option<usize>,
    pub(super) examples: &'static [&'static str],
}

/// What a value without quotes may look like to YAML: this language reads all of them as text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing but text
    Text,
    /// A number, or text
    Number,
    /// Whatever is no list and no mapping; `null` and nothing are no text
    Scalar,
    /// The same, and what is empty or `null` is text, too
    Anything,
}

impl Mapping {
    /// Its keys, in the order in which they are told.
    pub(super) fn known(&self) -> Vec<&'static str> {
        self.keys.iter().map(|key| key.name).collect()
    }
}

/// A key that has to be there.
const fn must(name: &'static str, value: Shape, says: &'static str) -> Key {
    Key {
        required: true,
        ..may(name, value, says)
    }
}

/// A key that may be missing.
const fn may(name: &'static str, value: Shape, says: &'static str) -> Key {
    Key {
        name,
        required: false,
        says,
        value,
        beside: Beside::Anything,
    }
}

impl Key {
    /// Only beside this one.
    const fn beside(self, key: &'static str) -> Self {
        Self {
            beside: Beside::Key(key),
            ..self
        }
    }

    /// Only where another key has this word.
    const fn only_if(self, key: &'static str, word: &'static str) -> Self {
        Self {
            beside: Beside::Word(key, word),
            ..self
        }
    }
}
