//! Conditions on an execution: its arguments, its file, its process. What a rule says, and what it means.
//!
//! `argv[0]` is never looked at: whoever executes a program chooses it freely.

pub mod fact;
mod option;
mod pattern;

pub use fact::{ArgRegex, Fact, Sha256};
pub use option::{OptionError, OptionName};
pub use pattern::{ArgPattern, PatternError};

use super::PathPattern;

/// All of these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArgCondition {
    /// None: any arguments
    pub clauses: Vec<Clause>,
}

/// One demand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clause {
    /// Some argument matches one of these
    Argument(Vec<ArgPattern>),
    /// The arguments that are no options have the words of one of these in this order, with anything between them.
    /// Surely they have only where these are the very first arguments: elsewhere a word may be an option's value.
    Subcommand(Vec<Vec<ArgPattern>>),
    /// These and no others, each at its place
    Exact {
        /// None: any one argument
        items: Vec<Option<ArgPattern>>,
        /// Whether others may follow
        more: bool,
    },
    /// Some argument is one of these options, in any of the ways in which `getopt_long` takes it
    Option(Vec<OptionName>),
    /// The process has a terminal, or has none
    Terminal(bool),
    /// One of these starts the program: it makes the call, or has forked the process that does
    Parent(Vec<PathPattern>),
    /// The process descends from one of these, what starts the program among them
    Ancestor(Vec<PathPattern>),
    /// What the kernel has to ask about
    Fact {
        /// What is asked
        fact: Fact,
        /// Whether it must not be so
        negated: bool,
    },
}

/// What is known of an attempt beside its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call<'a> {
    /// Behind `argv[0]`
    pub arguments: Arguments<'a>,
    /// Hash of the executed file, if it is known
    pub sha256: Option<Sha256>,
    /// Whether the process has a terminal, if that is known
    pub terminal: Option<bool>,
    /// What starts the program
    pub parents: Programs<'a>,
    /// All that the process descends from, what starts the program among them
    pub ancestors: Programs<'a>,
}

/// Programs, by the paths at which they were when the policies were installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Programs<'a> {
    /// Those that are known
    pub paths: &'a [String],
    /// Whether there are no others
    pub all: bool,
}

/// The arguments of an attempt behind `argv[0]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arguments<'a> {
    /// These
    Known(&'a [Vec<u8>]),
    /// They could not be read, are too many, or the attempt is no execution
    Unknown,
}

/// How sure it is that a condition is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Met {
    /// It is not
    No,
    /// It may be: what restricts applies, what permits does not
    Maybe,
    /// It is
    Yes,
}

impl Met {
    /// What is known for sure.
    pub(crate) fn surely(met: bool) -> Self {
        if met { Self::Yes } else { Self::No }
    }
}

impl<'a> Call<'a> {
    /// Of an attempt that is no execution, or of which nothing could be read.
    pub const UNKNOWN: Self = Self {
        arguments: Arguments::Unknown,
        sha256: None,
        terminal: None,
        parents: Programs::UNKNOWN,
        ancestors: Programs::UNKNOWN,
    };

    /// With these arguments behind `argv[0]`, and nothing else that is known.
    pub const fn with(arguments: &'a [Vec<u8>]) -> Self {
        Self {
            arguments: Arguments::Known(arguments),
            ..Self::UNKNOWN
        }
    }
}

impl Programs<'_> {
    /// Any.
    pub const UNKNOWN: Self = Self {
        paths: &[],
        all: false,
    };

    fn meet(&self, wanted: &[PathPattern]) -> Met {
        let is_wanted = |path: &String| wanted.iter().any(|one| one.matches(path.as_bytes(), 0));
        if self.paths.iter().any(is_wanted) {
            Met::Yes
        } else if self.all {
            Met::No
        } else {
            Met::Maybe
        }
    }
}

impl ArgCondition {
    /// Whether a call meets it.
    pub fn met(&self, call: Call<'_>) -> Met {
        let clauses = self.clauses.iter().map(|clause| clause.met(call));
        clauses.min().unwrap_or(Met::Yes)
    }

    /// Programs that it names.
    pub fn programs(&self) -> impl Iterator<Item = &PathPattern> {
        self.clauses.iter().flat_map(|clause| match clause {
            Clause::Parent(paths) | Clause::Ancestor(paths) => paths.as_slice(),
            _ => &[],
        })
    }
}

impl Clause {
    /// Whether it is about arguments.
    pub fn is_on_arguments(&self) -> bool {
        match self {
            Self::Fact { fact, .. } => !fact.is_of_file(),
            Self::Argument(_) | Self::Subcommand(_) | Self::Exact { .. } | Self::Option(_) => true,
            Self::Terminal(_) | Self::Parent(_) | Self::Ancestor(_) => false,
        }
    }

    fn met(&self, call: Call<'_>) -> Met {
        match (self, call.arguments) {
            (Self::Terminal(wanted), _) => match call.terminal {
                None => Met::Maybe,
                Some(found) if found == *wanted => Met::Yes,
                Some(_) => Met::No,
            },
            (Self::Parent(paths), _) => call.parents.meet(paths),
            (Self::Ancestor(paths), _) => call.ancestors.meet(paths),
            (Self::Fact { fact, negated }, _) => match fact.holds(call) {
                Met::Yes if *negated => Met::No,
                Met::No if *negated => Met::Yes,
                met => met,
            },
            (_, Arguments::Unknown) => Met::Maybe,
            (_, Arguments::Known(list)) => self.met_by(list),
        }
    }

    fn met_by(&self, arguments: &[Vec<u8>]) -> Met {
        match self {
            Self::Argument(patterns) => some(patterns, arguments, ArgPattern::met_by),
            Self::Subcommand(all) => {
                let alternatives = all.iter().map(|words| subcommand(words, arguments));
                alternatives.max().unwrap_or(Met::No)
            }
            Self::Exact { items, more } => {
                let number =
                    arguments.len() == items.len() || (*more && arguments.len() > items.len());
                let each = items.iter().zip(arguments).map(|(item, argument)| {
                    let item = item.as_ref();
                    item.map_or(Met::Yes, |pattern| pattern.met_by(argument))
                });
                each.chain([Met::surely(number)]).min().unwrap_or(Met::No)
            }
            Self::Option(names) => some(names, arguments, OptionName::given_by),
            // Arguments alone say nothing of these.
            Self::Terminal(_) | Self::Parent(_) | Self::Ancestor(_) | Self::Fact { .. } => {
                Met::Maybe
            }
        }
    }
}

/// The surest of some alternatives. For each, the first argument counts that may be meant: who gives one that nobody can tell
/// has said enough.
fn some<T>(alternatives: &[T], arguments: &[Vec<u8>], met: impl Fn(&T, &[u8]) -> Met) -> Met {
    let first = |one: &T| {
        let mut all = arguments.iter().map(|argument| met(one, argument));
        all.find(|met| *met != Met::No)
    };
    alternatives
        .iter()
        .filter_map(first)
        .max()
        .unwrap_or(Met::No)
}

/// Whether an argument is an option: a dash and something behind it.
pub(crate) fn is_option(argument: &[u8]) -> bool {
    argument.len() > 1 && argument.starts_with(b"-")
}

/// Each word is the first argument behind the one before that may be it; surely, if they come first.
fn subcommand(words: &[ArgPattern], arguments: &[Vec<u8>]) -> Met {
    let mut rest = arguments.iter().enumerate();
    let mut surely = Met::Yes;
    for (place, word) in words.iter().enumerate() {
        let found = rest.by_ref().find_map(|(at, argument)| {
            let met = word.met_by(argument);
            (!is_option(argument) && met != Met::No).then_some((at, met))
        });
        let Some((at, met)) = found else {
            return Met::No;
        };
        let in_place = if at == place { met } else { Met::Maybe };
        surely = surely.min(in_place);
    }
    surely
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(texts: &[&str]) -> Vec<ArgPattern> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn met(clause: Clause, arguments: &[&str]) -> Met {
        let condition = ArgCondition {
            clauses: vec![clause],
        };
        let list: Vec<Vec<u8>> = arguments
            .iter()
            .map(|text| text.as_bytes().to_vec())
            .collect();
        condition.met(Call::with(&list))
    }

    #[test]
    fn unknown_arguments_may_meet_any_condition_and_surely_meet_none() {
        let condition = ArgCondition {
            clauses: vec![Clause::Argument(patterns(&["scale"]))],
        };
        assert_eq!(condition.met(Call::UNKNOWN), Met::Maybe);
        assert_eq!(ArgCondition::default().met(Call::UNKNOWN), Met::Yes);
    }

    #[test]
    fn what_is_unknown_of_a_process_may_meet_its_condition_and_what_is_known_decides() {
        let cron = || vec![PathPattern::parse("/usr/sbin/cron").unwrap()];
        let condition = |clause| ArgCondition {
            clauses: vec![clause],
        };
        let of = |path: &str, all| {
            let paths = [path.to_owned()];
            let programs = Programs { paths: &paths, all };
            let call = Call {
                terminal: Some(all),
                parents: programs,
                ancestors: programs,
                ..Call::UNKNOWN
            };
            [
                condition(Clause::Parent(cron())).met(call),
                condition(Clause::Ancestor(cron())).met(call),
                condition(Clause::Terminal(true)).met(call),
            ]
        };
        assert_eq!(of("/usr/sbin/cron", true), [Met::Yes; 3]);
        assert_eq!(of("/usr/sbin/cron", false), [Met::Yes, Met::Yes, Met::No]);
        assert_eq!(of("/bin/sh", true), [Met::No, Met::No, Met::Yes]);
        assert_eq!(of("/bin/sh", false), [Met::Maybe, Met::Maybe, Met::No]);
        assert_eq!(
            condition(Clause::Terminal(false)).met(Call::UNKNOWN),
            Met::Maybe
        );
    }

    #[test]
    fn what_is_known_of_a_process_decides_although_arguments_are_not() {
        let condition = ArgCondition {
            clauses: vec![
                Clause::Argument(patterns(&["scale"])),
                Clause::Terminal(true),
            ],
        };
        let with = |terminal| {
            condition.met(Call {
                terminal: Some(terminal),
                ..Call::UNKNOWN
            })
        };
        assert_eq!(with(false), Met::No);
        assert_eq!(with(true), Met::Maybe);
    }

    #[test]
    fn a_subcommand_is_found_behind_options_and_their_values() {
        let restart = || Clause::Subcommand(vec![patterns(&["rollout", "restart"])]);
        let behind = ["-n", "prod", "rollout", "--now", "restart"];
        assert_eq!(met(restart(), &behind), Met::Maybe);
        assert_eq!(met(restart(), &["rollout", "restart", "x"]), Met::Yes);
        assert_eq!(met(restart(), &["restart", "rollout"]), Met::No);
        assert_eq!(met(restart(), &["rollout", "--restart"]), Met::No);
    }

    #[test]
    fn a_word_that_may_be_an_options_value_is_no_sure_subcommand() {
        let get = || Clause::Subcommand(vec![patterns(&["get"])]);
        assert_eq!(met(get(), &["get", "pods"]), Met::Yes);
        assert_eq!(met(get(), &["-n", "get", "delete", "pods"]), Met::Maybe);
        assert_eq!(met(get(), &["delete", "get"]), Met::Maybe);
    }

    #[test]
    fn a_list_means_these_arguments_and_no_others() {
        let exact = |more| Clause::Exact {
            items: vec![Some("restart".parse().unwrap()), None],
            more,
        };
        assert_eq!(met(exact(false), &["restart", "nginx"]), Met::Yes);
        assert_eq!(met(exact(false), &["restart"]), Met::No);
        assert_eq!(met(exact(false), &["restart", "nginx", "x"]), Met::No);
        assert_eq!(met(exact(false), &["--now", "restart", "nginx"]), Met::No);
        assert_eq!(met(exact(true), &["restart", "nginx", "x"]), Met::Yes);
    }

    #[test]
    fn any_argument_meets_wherever_it_stands() {
        let scale = || Clause::Argument(patterns(&["scale", "auto*"]));
        assert_eq!(met(scale(), &["--namespace", "x", "scale"]), Met::Yes);
        assert_eq!(met(scale(), &["autoscale"]), Met::Yes);
        assert_eq!(met(scale(), &["get", "pods"]), Met::No);
        assert_eq!(met(scale(), &[]), Met::No);
    }
}
