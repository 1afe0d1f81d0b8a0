//! What can happen at a commit besides the commit. A simulation stands here with its crashes and its full disk; in a control
//! plane nobody does.

use super::StoreError;

/// Asked at every commit.
pub trait Commits: std::fmt::Debug + Send + Sync {
    /// Nothing of the change is kept yet. An error undoes it.
    fn before(&self) -> Result<(), StoreError>;
    /// The change is kept, and nobody was told. An error keeps it from being told.
    fn after(&self) -> Result<(), StoreError>;
}
