//! The journal of holds: on disk first, then where others see it.

use std::sync::Arc;

use super::{Board, Row};
use crate::spool::{Spool, SpoolError};

/// Where rows are kept.
#[derive(Clone)]
pub struct Journal {
    spool: Arc<Spool>,
    board: Arc<Board>,
}

impl Journal {
    /// In these.
    pub fn new(spool: Arc<Spool>, board: Arc<Board>) -> Self {
        Self { spool, board }
    }

    /// What an earlier agent left; it is on the board from now on.
    pub fn load(&self) -> Result<Vec<Row>, SpoolError> {
        let mut rows = Vec::new();
        for (id, bytes) in self.spool.holds()? {
            match serde_json::from_slice::<Row>(&bytes) {
                Ok(row) => rows.push(row),
                Err(error) => {
                    tracing::error!(hold = format!("{id:016x}"), %error, "a journaled hold is unreadable");
                }
            }
        }
        for row in &rows {
            self.board.put(&row.hold);
        }
        Ok(rows)
    }

    /// Puts a row down. A disk that takes nothing is reported and keeps nobody from seeing it.
    pub fn put(&self, row: &Row) {
        match serde_json::to_vec(row) {
            Ok(bytes) => {
                if let Err(error) = self.spool.put_holds(&[(row.id(), Some(bytes))]) {
                    super::world::warn(row, "journal a hold", &error);
                }
            }
            Err(error) => super::world::warn(row, "journal a hold", &error),
        }
        self.board.put(&row.hold);
    }

    /// Forgets a row.
    pub fn forget(&self, row: &Row) {
        if let Err(error) = self.spool.put_holds(&[(row.id(), None)]) {
            super::world::warn(row, "forget a hold", &error);
        }
        self.board.remove(row.id());
    }
}
