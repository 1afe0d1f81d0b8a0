//! Why loading failed, in words that say what to do, and with the exit code that it means.

use aya::{BtfError as AyaBtfError, EbpfError, programs::ProgramError};

use super::super::{
    btf::BtfError, identity::IdentityError, layout::LayoutError, object::ObjectError,
    offsets::OffsetsError, pins::PinsError, probe::Problem, settings::SettingsError,
    table::TableError, task_storage::TasksError,
};
use crate::exit::{Code, chain};

/// Characters of a verifier's log that an error shows: its end says what was refused.
pub(super) const VERIFIER_TAIL: usize = 2_000;

/// Why nothing was loaded. What an earlier agent pinned goes on being enforced.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Something stands in the way; every problem is named.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Problems(Vec<Problem>),
    /// The object cannot be used.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// The kernel's type information cannot be used.
    #[error(transparent)]
    Btf(#[from] BtfError),
    /// The kernel lacks members that hooks read.
    #[error(transparent)]
    Offsets(#[from] OffsetsError),
    /// A pinned map has another layout.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// Pins cannot be used.
    #[error(transparent)]
    Pins(#[from] PinsError),
    /// Settings cannot be written.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A map cannot be used.
    #[error(transparent)]
    Table(#[from] TableError),
    /// Task storage cannot be used.
    #[error(transparent)]
    Tasks(#[from] TasksError),
    /// Labelling cannot start.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The loader refused the object, or the kernel refused a map.
    #[error("the kernel object cannot be loaded: {}", chain(.0))]
    Maps(#[source] Box<EbpfError>),
    /// The kernel has no such hook.
    #[error("this kernel has no hook `{hook}`; use a supported kernel (6.1 or later with BPF LSM)")]
    NoHook {
        /// The hook
        hook: &'static str,
    },
    /// A program does not load or attach.
    #[error("the program for hook `{hook}` does not {step}: {why}")]
    Hook {
        /// The hook
        hook: &'static str,
        /// What failed
        step: &'static str,
        /// The kernel's words
        why: String,
    },
}

impl LoadError {
    /// The exit code that it ends the agent with.
    pub fn code(&self) -> Code {
        match self {
            Self::Problems(problems) => worst(problems),
            Self::Layout(LayoutError::Other { .. }) | Self::Tasks(TasksError::OtherLayout) => {
                Code::OtherLayout
            }
            Self::Btf(_)
            | Self::Offsets(_)
            | Self::NoHook { .. }
            | Self::Hook { .. }
            | Self::Maps(_) => Code::NotEnforced,
            _ => Code::Failure,
        }
    }
}

/// A missing privilege explains the other problems; a kernel that cannot enforce comes next.
fn worst(problems: &[Problem]) -> Code {
    let codes: Vec<_> = problems.iter().map(Problem::code).collect();
    [Code::Privilege, Code::NotEnforced]
        .into_iter()
        .find(|code| codes.contains(code))
        .unwrap_or(Code::Failure)
}

pub(super) fn not_loaded(
    hook: &'static str,
    step: &'static str,
    error: &ProgramError,
) -> LoadError {
    match error {
        ProgramError::Btf(AyaBtfError::UnknownBtfTypeName { .. }) => LoadError::NoHook { hook },
        ProgramError::LoadError {
            io_error,
            verifier_log,
        } => LoadError::Hook {
            hook,
            step,
            why: format!("{io_error}{}", tail(&verifier_log.to_string())),
        },
        ProgramError::SyscallError(error) if error.io_error.raw_os_error() == Some(libc::E2BIG) => {
            LoadError::Hook {
                hook,
                step,
                why: "38 programs are attached to it already (other products share that bound)"
                    .to_owned(),
            }
        }
        other => LoadError::Hook {
            hook,
            step,
            why: chain(other),
        },
    }
}

pub(super) fn tail(log: &str) -> String {
    let log = log.trim();
    if log.is_empty() {
        return " (the verifier says nothing: the kernel or its policy forbids LSM programs here)"
            .to_owned();
    }
    let skipped = log.chars().count().saturating_sub(VERIFIER_TAIL);
    let shown: String = log.chars().skip(skipped).collect();
    format!("; the verifier's last words:\n{shown}")
}
